"""The tree of errors: one class for each reason a caller can act on, its facts as fields.

    ServeryError
    ├── CallerError                the caller can mend it
    │   ├── InvalidInput           a field holds what it may not
    │   │   └── MissingInput       a required field is not there
    │   ├── NotFound               nothing has that name
    │   ├── AlreadyExists          something has that name already
    │   ├── InUse                  it may not go while something depends on it
    │   ├── Incompatible           callers of what serves cannot call what should serve
    │   ├── BodyTooLarge
    │   └── UnsupportedMediaType
    ├── LimitError                 our limits: the same call may succeed later
    │   ├── QueueFull
    │   ├── StreamsFull
    │   ├── Unavailable            nothing can answer at the moment
    │   └── DeadlinePassed
    ├── ModelError                 the model's fault
    │   ├── PackageInvalid         the package cannot be read
    │   ├── EnvironmentFailed      its Python environment cannot be made
    │   ├── LoadFailed             the version did not load, or loaded wrong
    │   ├── NotFit                 a check found that it is not fit to be deployed
    │   ├── PredictFailed          the model raised on this input
    │   └── WorkersLost            the request ended two workers
    ├── SetupError                 this machine or its settings stand in the way
    │   ├── ConfigInvalid
    │   ├── AddressRefused         a port in use, or an address that may not be bound
    │   └── HomeUnusable
    └── RemoteError                another server answered with an error, or not at all
        ├── Unreachable            nothing answers there, or the connection broke
        ├── RequestRefused         (a CallerError) it says that the request is at fault
        │   └── RequestTooLarge    (a CallerError) send less at once
        ├── AccessDenied           (a CallerError) it does not know the caller, or does not allow this
        ├── Overloaded             (a LimitError) it takes no more at the moment, whatever was tried
        ├── AnswerLate             (a DeadlinePassed) there was no answer in the caller's time
        ├── ModelFailed            (a PredictFailed) its model raised
        └── StreamBroken           a stream of events ended before its end

No class knows of HTTP or gRPC: each edge has one table from these classes to its own codes.
A message is one sentence for the person who reads it and holds nothing secret.
"""

from __future__ import annotations

from collections.abc import Sequence

_PROBLEMS_SHOWN = 3
"""How many of many problems a sentence names."""


class ServeryError(Exception):
    """The root. ``str(error)`` is one sentence for a person."""

    @property
    def message(self) -> str:
        return str(self)


class CallerError(ServeryError):
    """The caller can mend it."""


class InvalidInput(CallerError):
    """A field holds what it may not."""

    def __init__(self, field: str, *, expected: str, got: object) -> None:
        shown = got if isinstance(got, str) else repr(got)
        super().__init__(f"Invalid value for '{field}': expected {expected}, got '{shown[:200]}'.")
        self.field = field
        self.expected = expected
        self.got = got


class MissingInput(InvalidInput):
    """A required field is not there, or is empty. The sentence begins as MLflow's does."""

    def __init__(self, field: str) -> None:
        super().__init__(field, expected="a value", got=None)
        self.args = (f"Missing value for required parameter '{field}'.",)


class NotFound(CallerError):
    """Nothing of this kind has that name. ``message`` replaces the usual sentence."""

    def __init__(self, kind: str, name: str, *, message: str | None = None) -> None:
        super().__init__(message or f"{kind} '{name}' not found.")
        self.kind = kind
        self.name = name


class AlreadyExists(CallerError):
    """Something of this kind has that name already. ``message`` replaces the usual sentence."""

    def __init__(self, kind: str, name: str, *, message: str | None = None) -> None:
        super().__init__(message or f"{kind} '{name}' already exists.")
        self.kind = kind
        self.name = name


class InUse(CallerError):
    """It may not be removed while something depends on it."""

    def __init__(self, kind: str, name: str, *, used_by: str) -> None:
        super().__init__(f"{kind} '{name}' is in use by {used_by}.")
        self.kind = kind
        self.name = name
        self.used_by = used_by


class Incompatible(CallerError):
    """Callers of a version that serves cannot call the one that should; ``insist`` says how to do it all the same."""

    def __init__(self, endpoint: str, *, old: str, new: str, problems: Sequence[str], insist: str) -> None:
        shown = "; ".join(problem.rstrip(".") for problem in problems[:_PROBLEMS_SHOWN])
        more = len(problems) - _PROBLEMS_SHOWN
        super().__init__(
            f"Callers of {old} at endpoint '{endpoint}' cannot call {new}: {shown}"
            f"{f'; and {more} more' if more > 0 else ''}; insist with {insist}."
        )
        self.endpoint = endpoint
        self.problems = tuple(problems)


class BodyTooLarge(CallerError):
    """``message`` replaces the usual sentence."""

    def __init__(self, body_bytes_max: int, *, message: str | None = None) -> None:
        super().__init__(message or f"The request body is larger than the limit of {body_bytes_max} bytes.")
        self.body_bytes_max = body_bytes_max


class UnsupportedMediaType(CallerError):
    def __init__(self, got: str | None, *, supported: tuple[str, ...]) -> None:
        names = ", ".join(supported)
        what = "No Content-Type was given" if got is None else f"Content-Type '{got[:100]}' is not supported"
        super().__init__(f"{what}; this endpoint takes {names}.")
        self.got = got
        self.supported = supported


class NotAcceptable(CallerError):
    """The caller takes none of the forms that there are."""

    def __init__(self, header: str, got: str, *, offered: tuple[str, ...]) -> None:
        super().__init__(f"{header} '{got[:100]}' takes nothing that there is: {', '.join(offered)}.")
        self.offered = offered


class LimitError(ServeryError):
    """One of our limits: the same call may succeed later."""

    retry_after_seconds: int | None = None
    """When to try again, where that is known."""


class QueueFull(LimitError):
    def __init__(self, endpoint: str, *, retry_after_seconds: int) -> None:
        super().__init__(f"Endpoint '{endpoint}' has as many requests waiting as it may hold; try again later.")
        self.endpoint = endpoint
        self.retry_after_seconds = retry_after_seconds


class StreamsFull(LimitError):
    def __init__(self, endpoint: str, *, retry_after_seconds: int) -> None:
        super().__init__(f"Endpoint '{endpoint}' has as many streams under way as it may hold; try again later.")
        self.endpoint = endpoint
        self.retry_after_seconds = retry_after_seconds


class Unavailable(LimitError):
    """Nothing can answer at the moment."""

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class DeadlinePassed(LimitError):
    def __init__(self, timeout_seconds: float) -> None:
        super().__init__(f"The request was not answered within its deadline of {timeout_seconds:g} s.")
        self.timeout_seconds = timeout_seconds


class ModelError(ServeryError):
    """The model's fault."""


class PackageInvalid(ModelError):
    """A model package cannot be read: no MLmodel, broken YAML, a path that leaves the folder."""


class EnvironmentFailed(ModelError):
    """The Python environment that a version asks for cannot be made; the message says which requirement, and why.

    ``log`` is what the installer printed.
    """

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class LoadFailed(ModelError):
    """A version did not load, or loaded and answered its example wrongly."""

    def __init__(self, model: str, cause: str) -> None:
        super().__init__(f"{model} failed to load: {cause}")
        self.model = model
        self.cause = cause


class NotFit(ModelError):
    """A check found that it is not fit to be deployed; ``reason`` is the check's own sentence."""

    def __init__(self, model: str, reason: str) -> None:
        super().__init__(f"{model}: {reason} 'servery check {model}' shows all of it.")
        self.model = model
        self.reason = reason


class PredictFailed(ModelError):
    """The model raised on this input."""


class WorkersLost(ModelError):
    """The request was in two workers when they ended; it is not tried a third time."""

    def __init__(self) -> None:
        super().__init__("The model's process ended twice while it worked on this request; it is not tried again.")


class SetupError(ServeryError):
    """This machine or its settings stand in the way."""


class ConfigInvalid(SetupError):
    """A setting is unknown or holds what it may not."""


class AddressRefused(SetupError):
    """A port is in use, or an address may not be bound."""


class HomeUnusable(SetupError):
    """The home folder cannot be created or written."""


class RemoteError(ServeryError):
    """Another server answered with an error, or did not answer.

    ``status`` and ``error_code`` (MLflow's) are those of its answer, where there was one. A call for predictions tells
    besides under which ``request_id`` the server's log has it, where it went, and how often it was sent.
    """

    request_id: str | None = None
    model_version: str | None = None
    attempts: int = 1

    def __init__(self, message: str, *, status: int | None = None, error_code: str | None = None) -> None:
        # Not by super(): a subclass is besides one of the errors above, which make their own sentences.
        Exception.__init__(self, message)
        self.status = status
        self.error_code = error_code


class Unreachable(RemoteError):
    """Nothing answers at the address, or the connection broke before the answer was whole."""


class RequestRefused(RemoteError, CallerError):
    """The server says that the request is at fault, and the same one will be refused again."""


class RequestTooLarge(RequestRefused):
    """The request has more bytes than the server takes: send less at once."""


class AccessDenied(RemoteError, CallerError):
    """The server does not know the caller (401), or does not allow what it asks (403)."""


class Overloaded(RemoteError, LimitError):
    """The server takes no more at the moment, and there was no time, or no leave, to ask it again."""

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        error_code: str | None = None,
        retry_after_seconds: int | None = None,
    ) -> None:
        super().__init__(message, status=status, error_code=error_code)
        self.retry_after_seconds = retry_after_seconds


class AnswerLate(RemoteError, DeadlinePassed):
    """There was no answer within ``timeout_seconds``, all attempts together."""

    def __init__(
        self, message: str, *, timeout_seconds: float, status: int | None = None, error_code: str | None = None
    ) -> None:
        super().__init__(message, status=status, error_code=error_code)
        self.timeout_seconds = timeout_seconds


class ModelFailed(RemoteError, PredictFailed):
    """The server's model raised on this input, or gave what has no form in an answer."""


class StreamBroken(RemoteError):
    """A stream of events ended before its end; the events that came are good."""
