"""What the gateway must know of a ``ModelInferRequest``: the few fields that say where it goes.

The tensors are skipped, not read: that is the worker's work.
"""

from __future__ import annotations

from itertools import islice
from typing import NamedTuple

from servery.errors import InvalidInput
from servery_worker.oip.grpc_form import TENSORS_MAX, named_parameter
from servery_worker.oip.protobuf import Malformed, WireType, fields, text

_FIELDS_MAX = 2 * TENSORS_MAX
"""As many inputs as may be, and their raw contents."""
_BYTES = int(WireType.BYTES)


class Head(NamedTuple):
    model: str
    version: str
    """Empty where the endpoint's traffic config decides."""
    id: str
    timeout_seconds: float | None
    """As the parameter ``timeout`` says, which is in microseconds."""
    wants_final: bool = False
    """As Triton's parameter ``triton_enable_empty_final_response`` says, in a stream."""


def read_head(body: bytes) -> Head:
    """Raises InvalidInput: it is no such message, or it says nonsense."""
    texts = {1: "", 2: "", 3: ""}
    parameters: dict[str, object] = {}
    try:
        found = fields(memoryview(body))
        for number, wire_type, value in islice(found, _FIELDS_MAX):
            if wire_type != _BYTES or number > 4:
                continue
            if number < 4:
                texts[number] = text(value)
            else:
                name, parameter = named_parameter(value)
                parameters[name] = parameter
        if next(found, None) is not None:
            raise Malformed(f"it has more than {_FIELDS_MAX} fields")
    except Malformed as error:
        raise InvalidInput("ModelInferRequest", expected="a message of that type", got=str(error)) from None
    wants_final = parameters.get("triton_enable_empty_final_response") is True
    return Head(texts[1], texts[2], texts[3], _seconds(parameters.get("timeout")), wants_final)


def _seconds(timeout: object) -> float | None:
    if timeout is None or timeout == 0:
        return None
    if not isinstance(timeout, int) or isinstance(timeout, bool) or timeout < 0:
        raise InvalidInput("timeout", expected="a whole number of microseconds", got=timeout)
    return timeout / 1e6
