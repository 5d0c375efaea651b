"""Which bodies flow to their worker as they come in, instead of being collected: Arrow that is answered as Arrow."""

from __future__ import annotations

from servery.serving.arrow_flow import ArrowFlow, Connection
from servery.serving.compression import wanted_coding
from servery.serving.exchange import Exchange
from servery.serving.negotiation import ARROW
from servery.serving.site import Site
from servery.serving.spool import Spool
from servery.workers.flow import Flow
from servery_worker.wire import AnswerType, MediaType


def open_flow(caller: Connection, site: Site, incoming: Exchange) -> ArrowFlow | None:
    """The flow that answers a body of which the head has come in; None where it does not flow.

    Raises:
        ServeryError, Refusal: the request is refused by its head, or there is no room for another flow.
    """
    head = incoming.head
    if incoming.method != b"POST" or not head.get(b"content-type", b"").lower().startswith(ARROW.encode()):
        return None
    if b"content-encoding" in head or wanted_coding(head.get(b"accept-encoding")).always:
        return None
    operation = site.operation(incoming.path.partition(b"?")[0], incoming.method, [])
    if operation is None:
        return None
    asked = operation.dialect.ask(head, b"", operation.target.options)
    choice = operation.pinned or operation.target.choose()
    is_arrow = asked.media_type == MediaType.ARROW and asked.answer_type == AnswerType.ARROW
    if not is_arrow or choice.streams is not False:
        return None
    incoming.operation, incoming.arrived = operation, site.clock.monotonic()
    arrow = ArrowFlow(caller, operation, choice, site.clock, Spool(site.spool_folder))
    arrow.flow = Flow(
        asked,
        number=next(site.numbers),
        arrived=incoming.arrived,
        still_seconds=operation.dialect.timeout_seconds(head, asked, default_seconds=site.request_timeout_seconds),
        listener=arrow,
        on_room=arrow.on_room,
    )
    operation.target.open(arrow.flow, choice)
    incoming.choice = choice
    return arrow
