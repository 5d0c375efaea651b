"""What the Open Inference Protocol's clients ask besides inference: health, metadata, config, statistics, repository.

Sources: ``inference_rest.md`` of kserve/open-inference-protocol; Triton's ``extension_statistics.md``,
``extension_model_repository.md`` and ``extension_model_configuration.md``. A model is an endpoint; its versions are
those of its served entities.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Any
from urllib.parse import unquote

import orjson

from servery.clock import Clock
from servery.errors import InvalidInput, NotFound, Unavailable
from servery.routing import PoolState
from servery.serving.batcher import RETRY_AFTER_SECONDS
from servery.serving.dialects.dialect import Refusal, Reply, method_not_allowed
from servery.serving.gateway import Gateway
from servery.serving.oip_statistics import model_config, model_statistics, platform_of, tensors_of
from servery.serving.targets import Choice, Target
from servery.version import __version__

EXTENSIONS = (
    "binary_tensor_data",
    "generate",
    "model_configuration",
    "model_repository",
    "parameters",
    "schedule_policy",
    "statistics",
)
_STATES = {PoolState.READY: "READY", PoolState.LOADING: "LOADING"}
_NAME_MAX = 100

Page = Callable[[], Any]


class OipPages:
    """The pages below ``/v2``. ``is_ready`` says whether the gateway can answer every request."""

    def __init__(self, gateway: Gateway, clock: Clock, is_ready: Callable[[], bool]) -> None:
        self._gateway = gateway
        self._clock = clock
        self._is_ready = is_ready

    def page(self, method: bytes, path: bytes, body: Sequence[bytes]) -> Reply:
        """The answer to a request for what is no inference.

        Raises:
            NotFound, InvalidInput, Unavailable, Refusal: there is no such page, model or version, or not now.
        """
        parts = [unquote(part) for part in path.decode("latin-1").strip("/").split("/")][1:]
        get, post = self._to_get(parts), self._to_post(parts, body)
        make, allowed = (get, b"GET, HEAD") if get is not None else (post, b"POST")
        if make is None:
            where = path.decode("latin-1")[:200]
            raise Refusal(HTTPStatus.NOT_FOUND, "ENDPOINT_NOT_FOUND", f"There is nothing at {where}.")
        if method not in allowed.split(b", "):
            raise method_not_allowed(method, allowed)
        return Reply(HTTPStatus.OK, orjson.dumps(make()))

    def unknown(self, path: bytes) -> Exception:
        """Why a path that ends like one of inference is none."""
        parts = [unquote(part) for part in path.decode("latin-1").split("/")]
        try:
            self.choices(parts[3], parts[5] if len(parts) > len(("", "v2", "models", "M", "infer")) else None)
        except NotFound as error:
            return error
        return NotFound("Page", path.decode("latin-1")[:_NAME_MAX])

    def _to_get(self, parts: Sequence[str]) -> Page | None:
        match parts:
            case []:
                return self.server
            case ["health", "live"]:
                return lambda: {"live": True}
            case ["health", "ready"]:
                return self.ready
            case ["models", "stats"]:
                return self.all_statistics
            case ["models", model, "versions", version, *rest]:
                return self._to_get_of(model, version, rest)
            case ["models", model, *rest]:
                return self._to_get_of(model, None, rest)
        return None

    def _to_get_of(self, model: str, version: str | None, rest: Sequence[str]) -> Page | None:
        pages: dict[tuple[str, ...], Callable[[Target, list[Choice]], Any]] = {
            (): self.metadata,
            ("ready",): self.model_ready,
            ("config",): config,
            ("stats",): self.statistics,
        }
        make = pages.get(tuple(rest))
        return None if make is None else lambda: make(*self.choices(model, version))

    def _to_post(self, parts: Sequence[str], body: Sequence[bytes]) -> Page | None:
        match parts:
            case ["repository", "index"]:
                return lambda: self.index(_object(body, ("ready",)))
            case ["repository", "models", model, "load"]:
                return lambda: self.load(model, _object(body, ("parameters",)))
            case ["repository", "models", model, "unload"]:
                return lambda: self.unload(model)
        return None

    # The server.

    def server(self) -> dict[str, Any]:
        return {"name": "servery", "version": __version__, "extensions": EXTENSIONS}

    def ready(self) -> dict[str, Any]:
        if not self._is_ready():
            raise Unavailable("The server is not ready.", retry_after_seconds=RETRY_AFTER_SECONDS)
        return {"ready": True}

    # A model.

    def choices(self, model: str, version: str | None) -> tuple[Target, list[Choice]]:
        """Its endpoint, and those of its versions that are meant; raises NotFound."""
        target = self._gateway.targets.get(model)
        if target is None:
            raise NotFound("Model", model[:_NAME_MAX])
        versions = {str(choice.served.pool.spec.version): choice for choice in reversed(target.choices)}
        if version is None:
            return target, list(target.choices)
        if version not in versions:
            has = ", ".join(f"'{known}'" for known in sorted(versions))
            sentence = f"Model '{model[:_NAME_MAX]}' has no version '{version[:_NAME_MAX]}'; it has {has}."
            raise NotFound("Version", version, message=sentence)
        return target, [versions[version]]

    def model_ready(self, target: Target, choices: Sequence[Choice]) -> dict[str, Any]:
        if not all(choice.served.pool.state is PoolState.READY for choice in choices):
            raise _not_ready(target.endpoint)
        return {"name": target.endpoint, "ready": True}

    def metadata(self, target: Target, choices: Sequence[Choice]) -> dict[str, Any]:
        facts = _facts(target, choices)
        versions = sorted({choice.served.pool.spec.version for choice in target.choices})
        head = {"name": target.endpoint, "versions": [str(number) for number in versions]}
        return {**head, "platform": platform_of(facts), **tensors_of(facts)}

    def statistics(self, _target: Target, choices: Sequence[Choice]) -> dict[str, Any]:
        started_ms = self._clock.now_ms() - self._clock.monotonic() * 1000
        return {"model_stats": [model_statistics(choice, started_ms=started_ms) for choice in choices]}

    def all_statistics(self) -> dict[str, Any]:
        targets = self._gateway.targets.values()
        every = [self.statistics(target, target.choices)["model_stats"] for target in targets]
        return {"model_stats": [record for records in every for record in records]}

    # The repository.

    def index(self, wanted: Mapping[str, Any]) -> list[dict[str, str]]:
        only_ready = wanted.get("ready", False)
        if not isinstance(only_ready, bool):
            raise InvalidInput("ready", expected="a boolean", got=only_ready)
        entries = [_entry(target, choice) for target in self._gateway.targets.values() for choice in target.choices]
        return [entry for entry in entries if entry["state"] == "READY" or not only_ready]

    def load(self, model: str, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """What is served is loaded already; raises Refusal where it shall be loaded otherwise."""
        target, choices = self.choices(model, None)
        if wanted.get("parameters"):
            message = f"Model '{target.endpoint}' is loaded as it was registered; 'parameters' cannot change that."
            raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message)
        self.model_ready(target, choices)
        return {}

    def unload(self, model: str) -> Any:
        target, _ = self.choices(model, None)
        message = f"Model '{target.endpoint}' is unloaded with its endpoint, on the control plane, and not here."
        raise Refusal(HTTPStatus.NOT_IMPLEMENTED, "NOT_IMPLEMENTED", message)


def _entry(target: Target, choice: Choice) -> dict[str, str]:
    pool = choice.served.pool
    version, state = str(pool.spec.version), _STATES.get(pool.state, "UNAVAILABLE")
    # The cause of a failure is for those who deploy, on the control plane: it may hold what callers may not see.
    reason = "" if state == "READY" else pool.state.value
    return {"name": target.endpoint, "version": version, "state": state, "reason": reason}


def config(target: Target, choices: Sequence[Choice]) -> dict[str, Any]:
    return model_config(target.endpoint, choices[0], _facts(target, choices))


def _facts(target: Target, choices: Sequence[Choice]) -> Mapping[str, Any]:
    """What a worker of the first of the versions told when it had loaded; raises Unavailable until one has."""
    facts = choices[0].served.pool.facts
    if not facts:
        raise _not_ready(target.endpoint)
    return facts


def _not_ready(model: str) -> Unavailable:
    return Unavailable(f"Model '{model}' is not ready.", retry_after_seconds=RETRY_AFTER_SECONDS)


def _object(body: Sequence[bytes], known: Sequence[str]) -> Mapping[str, Any]:
    """The JSON object of a body, empty where there is no body; raises InvalidInput for any other."""
    text = b"".join(body)
    try:
        value = orjson.loads(text) if text.strip() else {}
    except ValueError:
        raise InvalidInput("body", expected="a JSON object", got=text[:_NAME_MAX].decode("utf-8", "replace")) from None
    if not isinstance(value, dict):
        raise InvalidInput("body", expected="a JSON object", got=value)
    if unknown := [name for name in value if name not in known]:
        raise InvalidInput("body", expected=f"no fields but {', '.join(known)}", got=unknown[0])
    return value
