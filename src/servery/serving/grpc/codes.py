"""From what happened to what gRPC says: by the HTTP status that says the same, so that both edges agree."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, NoReturn

import grpc

from servery.errors import LimitError, ServeryError
from servery.serving.answers import refusal_of, status_of
from servery.serving.dialects.dialect import Refusal
from servery_worker.wire import Outcome

CODES = {
    200: grpc.StatusCode.OK,
    400: grpc.StatusCode.INVALID_ARGUMENT,
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    404: grpc.StatusCode.NOT_FOUND,
    409: grpc.StatusCode.ABORTED,
    413: grpc.StatusCode.RESOURCE_EXHAUSTED,
    415: grpc.StatusCode.INVALID_ARGUMENT,
    429: grpc.StatusCode.RESOURCE_EXHAUSTED,
    499: grpc.StatusCode.CANCELLED,
    500: grpc.StatusCode.INTERNAL,
    501: grpc.StatusCode.UNIMPLEMENTED,
    503: grpc.StatusCode.UNAVAILABLE,
    504: grpc.StatusCode.DEADLINE_EXCEEDED,
}

Metadata = Sequence[tuple[str, str]]


class Failure(NamedTuple):
    """How a call failed."""

    status: int
    """HTTP's, by which requests are counted."""
    message: str
    retry_seconds: int | None = None

    @property
    def code(self) -> grpc.StatusCode:
        return CODES.get(self.status, grpc.StatusCode.UNKNOWN)

    async def abort(self, context: grpc.aio.ServicerContext[Any, Any], metadata: Metadata = ()) -> NoReturn:
        """End the call. When to try again is told as gRPC's clients read it (``grpc-retry-pushback-ms``)."""
        if self.retry_seconds is not None:
            metadata = (*metadata, ("grpc-retry-pushback-ms", str(1000 * self.retry_seconds)))
        await context.abort(self.code, self.message, tuple(metadata))


def failure_of_error(error: ServeryError | Refusal) -> Failure:
    if isinstance(error, Refusal):
        return Failure(error.status, str(error))
    retry_seconds = error.retry_after_seconds if isinstance(error, LimitError) else None
    return Failure(status_of(error)[0], error.message, retry_seconds)


def failure_of_answer(outcome: Outcome, body: bytes) -> Failure:
    """Of a worker's answer that is not OK."""
    status, _, message = refusal_of(outcome, body)
    return Failure(status, message)
