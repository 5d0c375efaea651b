"""The Python side of Servery: :class:`Client` speaks to a server, :func:`load_model` loads a model right here."""

from __future__ import annotations

from servery.client.client import Client
from servery.client.endpoint_calls import DeployFailed
from servery.client.load import load_model
from servery.client.records import Endpoint, ModelVersion, Prediction, RegisteredModel, ServedEntity, Update

__all__ = [
    "Client",
    "DeployFailed",
    "Endpoint",
    "ModelVersion",
    "Prediction",
    "RegisteredModel",
    "ServedEntity",
    "Update",
    "load_model",
]
