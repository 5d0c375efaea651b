"""The Python side of Servery: :class:`Client` and :class:`AsyncClient` speak to a server, :func:`load_model` loads a
model right here.
"""

from __future__ import annotations

from servery.client.async_client import AsyncClient, AsyncPredictionStream
from servery.client.client import Client
from servery.client.endpoint_calls import DeployFailed
from servery.client.load import load_model
from servery.client.predict_calls import PredictionStream
from servery.client.predictions.retries import RetryPolicy
from servery.client.records import Endpoint, ModelVersion, Prediction, RegisteredModel, ServedEntity, Update

__all__ = [
    "AsyncClient",
    "AsyncPredictionStream",
    "Client",
    "DeployFailed",
    "Endpoint",
    "ModelVersion",
    "Prediction",
    "PredictionStream",
    "RegisteredModel",
    "RetryPolicy",
    "ServedEntity",
    "Update",
    "load_model",
]
