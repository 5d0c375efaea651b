"""The one table from our errors to HTTP: a status and MLflow's name for the reason.

MLflow's client tries 408, 429, 500, 502, 503 and 504 again, so what stays wrong has another status.
"""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from servery import errors
from servery.errors import ServeryError

_TABLE: dict[type[ServeryError], tuple[int, str]] = {
    errors.InvalidInput: (400, "INVALID_PARAMETER_VALUE"),
    errors.NotFound: (404, "RESOURCE_DOES_NOT_EXIST"),
    errors.AlreadyExists: (400, "RESOURCE_ALREADY_EXISTS"),
    errors.InUse: (409, "RESOURCE_CONFLICT"),
    errors.Incompatible: (400, "INVALID_STATE"),
    errors.BodyTooLarge: (413, "BAD_REQUEST"),
    errors.UnsupportedMediaType: (415, "BAD_REQUEST"),
    errors.CallerError: (400, "BAD_REQUEST"),
    errors.DeadlinePassed: (504, "DEADLINE_EXCEEDED"),
    errors.LimitError: (503, "TEMPORARILY_UNAVAILABLE"),
    errors.PackageInvalid: (400, "INVALID_PARAMETER_VALUE"),
    errors.LoadFailed: (409, "INVALID_STATE"),
    errors.ModelError: (500, "INTERNAL_ERROR"),
    errors.RemoteError: (502, "TEMPORARILY_UNAVAILABLE"),
}


def error_response(error: ServeryError) -> Response:
    """The answer to a request that raised ``error``."""
    status, error_code = next((_TABLE[kind] for kind in type(error).__mro__ if kind in _TABLE), (500, "INTERNAL_ERROR"))
    retry_after = getattr(error, "retry_after_seconds", None)
    headers = None if retry_after is None else {"Retry-After": str(retry_after)}
    return error_body(status, error_code, error.message, headers=headers)


def error_body(status: int, error_code: str, message: str, *, headers: dict[str, str] | None = None) -> Response:
    """``{"error_code", "message"}``, as every error of this server looks."""
    body = msgspec.json.encode({"error_code": error_code, "message": message})
    return Response(body, status_code=status, media_type="application/json", headers=headers)
