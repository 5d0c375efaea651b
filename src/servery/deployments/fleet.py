"""The live gateways, by what they last reported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from servery.deployments.policy import GatewayView
from servery.errors import InvalidInput
from servery.routing import GatewayReport

LIVE_SECONDS = 6.0
"""How long a report counts: a gateway reports every 2 s, and may miss two."""
TABLE_NUMBER_MAX = 1 << 53
"""JSON's readers agree on integers up to here."""


@dataclass(frozen=True, slots=True)
class _Member:
    address: str
    heard_at: float
    report: GatewayReport | None


class Fleet:
    """Who is live at a moment; ``now`` is always the clock's monotonic time. Only for the event loop's thread.

    ``remembered`` are the gateways that a control plane of before knew. They count as live, and silent,
    until they report or their time is over: nothing may be called finished without them.
    """

    def __init__(self, remembered: Mapping[str, str], *, now: float) -> None:
        self._members = {name: _Member(address, now, None) for name, address in remembered.items()}

    def report(self, report: GatewayReport, *, now: float) -> bool:
        """Take a report; False when it says what the one before said.

        Raises:
            InvalidInput: the table number is none that can be.
        """
        if not 0 <= report.table_number <= TABLE_NUMBER_MAX:
            raise InvalidInput("table_number", expected="a number from 0", got=report.table_number)
        known = self._members.get(report.gateway)
        is_news = known is None or known.report != report or now - known.heard_at >= LIVE_SECONDS
        self._members[report.gateway] = _Member(report.address, now, report)
        return is_news

    def live(self, *, now: float) -> tuple[GatewayView, ...]:
        """The live gateways, those whose last report is too old dropped for good."""
        self._members = {name: one for name, one in self._members.items() if now - one.heard_at < LIVE_SECONDS}
        return tuple(_view(name, self._members[name]) for name in sorted(self._members))

    def next_expiry(self, *, now: float) -> float | None:
        """Seconds until the first of the live gateways would count as gone."""
        return min((one.heard_at + LIVE_SECONDS - now for one in self._members.values()), default=None)


def _view(name: str, member: _Member) -> GatewayView:
    report = member.report
    if report is None:
        return GatewayView(name, member.address, table_number=0, pools=None)
    return GatewayView(name, report.address, report.table_number, {pool.key: pool for pool in report.pools})
