"""What the handlers work with, built once by ``server`` and handed down."""

from __future__ import annotations

from dataclasses import dataclass

from servery.clock import Clock
from servery.config import ControlConfig
from servery.deployments.service import Deployments
from servery.registry.service import Registry


@dataclass(frozen=True, slots=True)
class Services:
    """Everything behind the control plane's HTTP. All of it may be used from any thread."""

    registry: Registry
    deployments: Deployments
    clock: Clock
    config: ControlConfig
