"""Where an endpoint's requests go: to the gateway that was named, or to the one that the control plane names."""

from __future__ import annotations

import json
from dataclasses import dataclass
from threading import Lock
from urllib.parse import quote

from servery.client.predictions.answers import loss_of, refusal_of
from servery.client.predictions.encodings import Encoding
from servery.client.predictions.steps import Deadline, Loss, Lost, Outcome, Pause, Send, Steps, outcome_of
from servery.client.records import read_endpoint
from servery.clock import Clock
from servery.errors import InvalidInput, RemoteError, Unreachable
from servery.names import parse_endpoint_name

_LOOK_UP_SECONDS_MAX = 5.0
"""How long the control plane may take where a place is known, which may serve all the same."""
_LOOK_AGAIN_SECONDS = 0.01
_START_CONTROL = "start a server there with 'servery up', or name another with SERVERY_SERVER"
_START_GATEWAY = "the gateway is down; start it with 'servery gateway' or 'servery up'"
_START_SERVE = "start a gateway there with 'servery serve' or 'servery gateway'"


@dataclass(frozen=True, slots=True)
class Place:
    """An endpoint on a gateway; without a name it is the only one there."""

    gateway: str
    endpoint: str | None

    @property
    def invocations(self) -> str:
        named = "" if self.endpoint is None else f"/endpoints/{self.endpoint}"
        return f"{self.gateway}{named}/invocations"


class Gateways:
    """Finds places, and remembers them. May be used from several threads."""

    def __init__(self, *, control: str, gateway: str | None, clock: Clock) -> None:
        self._control = control
        self._fixed = gateway
        self._clock = clock
        self._known: dict[str, str] = {}
        self._doubted: set[str] = set()
        self._soles: dict[str, str] = {}
        self._asking: set[str] = set()
        self._lock = Lock()

    @property
    def advice(self) -> str:
        """What to do where no gateway answers."""
        return _START_GATEWAY if self._fixed is None else _START_SERVE

    def find(self, endpoint: str | None, deadline: Deadline) -> Steps[Place]:
        """The endpoint's place. A known one is kept while the control plane does not answer.

        Raises:
            InvalidInput: there is no name, and no gateway was named that may have only one endpoint.
            NotFound, RemoteError: the control plane knows no such endpoint, or refuses.
            Unreachable: nobody serves it; or the control plane does not answer, and no place is known.
        """
        if endpoint is None and self._fixed is None:
            raise InvalidInput("endpoint", expected="a name; only a client of one gateway may leave it out", got=None)
        name = None if endpoint is None else parse_endpoint_name(endpoint)
        if self._fixed is not None or name is None:
            return Place(self._fixed or "", name)
        while (known := self._known.get(name)) is None or name in self._doubted:
            # Many calls that begin together ask once, not each of them.
            if self._begin_asking(name):
                try:
                    known = yield from self._look_up(name, known, deadline)
                finally:
                    self._asking.discard(name)
                break
            if self._clock.monotonic() > deadline.at:
                raise loss_of(Lost(Loss.LATE), self._control, deadline, advice=_START_CONTROL)
            yield Pause(_LOOK_AGAIN_SECONDS)
        return Place(known, name)

    def url(self, place: Place, encoding: Encoding, deadline: Deadline) -> Steps[str | None]:
        """Where a request of this encoding goes; None where the server has no such place."""
        if encoding is not Encoding.TENSORS:
            return place.invocations
        name = place.endpoint or self._soles.get(place.gateway)
        if name is None:
            # The protocol has no path without a name, but its index tells that of the only endpoint.
            url, headers = f"{place.gateway}/v2/repository/index", {"Content-Type": "application/json"}
            name = _only_name_in((yield from outcome_of(Send("POST", url, deadline, headers, b"{}"))))
            if name is None:
                return None
            self._soles[place.gateway] = name
        return f"{place.gateway}/v2/models/{quote(name, safe='')}/infer"

    def doubt(self, place: Place) -> None:
        """It did not answer: ask the control plane again before it is used."""
        self._soles.pop(place.gateway, None)
        if place.endpoint is not None:
            self._doubted.add(place.endpoint)

    def _begin_asking(self, name: str) -> bool:
        with self._lock:
            if name in self._asking:
                return False
            self._asking.add(name)
            return True

    def _look_up(self, name: str, known: str | None, deadline: Deadline) -> Steps[str]:
        soon = Deadline(self._clock.monotonic() + _LOOK_UP_SECONDS_MAX, _LOOK_UP_SECONDS_MAX)
        soon = deadline if known is None else min(deadline, soon)
        outcome = yield from outcome_of(
            Send("GET", f"{self._control}/api/2.0/serving-endpoints/{name}", soon, headers={})
        )
        if known is not None and (isinstance(outcome, Lost) or outcome.status >= 500):
            return known
        if isinstance(outcome, Lost):
            raise loss_of(outcome, self._control, soon, advice=_START_CONTROL)
        if outcome.status != 200:
            raise refusal_of(outcome, self._control, soon, name=name)
        address = _address_in(outcome.body, self._control)
        if address is None:
            raise Unreachable(f"No gateway serves endpoint '{name}' now; start one with 'servery gateway'.")
        self._known[name] = address.partition("/endpoints/")[0]
        self._doubted.discard(name)
        return self._known[name]


def _only_name_in(outcome: Outcome) -> str | None:
    """The name in an index of one endpoint; None from a server that has no such index, or more in it."""
    if isinstance(outcome, Lost) or outcome.status != 200:
        return None
    try:
        names = {entry["name"] for entry in json.loads(outcome.body)}
    except (ValueError, KeyError, TypeError):
        return None
    name = names.pop() if len(names) == 1 else None
    return name if isinstance(name, str) else None


def _address_in(body: bytes, control: str) -> str | None:
    try:
        return read_endpoint(json.loads(body)).url
    except (ValueError, KeyError, TypeError, AttributeError):
        raise RemoteError(f"{control} gave an answer of another form; is it a Servery server?") from None
