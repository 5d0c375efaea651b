"""What a check is told: of the machine that it runs on, and how long each of its steps may take."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from servery.workers.environments.store import Environments


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How long each step of a check may take."""

    load_seconds: float = 120.0
    predict_seconds: float = 60.0
    edge_seconds: float = 10.0
    latency_seconds: float = 0.6
    rate_seconds: float = 0.3
    growth_seconds: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What a check is told about the machine it runs on."""

    environments: Environments
    server_variables: Mapping[str, str]
    own_variables: Mapping[str, str] = field(default_factory=dict)
    """Those that an endpoint would give the model."""
    limits: Limits = field(default_factory=Limits)
    request_timeout_seconds: float = 60.0
    """The gateway's own."""
