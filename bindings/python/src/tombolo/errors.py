"""What calls fail with: a class for each kind that an app can act on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional, Union

__all__ = [
    "AnswerError",
    "BusyError",
    "ClosedError",
    "DiskFullError",
    "EndpointError",
    "IncompleteError",
    "JsonError",
    "NeedsNetworkError",
    "OpenError",
    "OutboxFullError",
    "PanickedError",
    "Problem",
    "RefusedError",
    "RequestError",
    "RequestTooLargeError",
    "SchemaError",
    "ShapeError",
    "SignedOutError",
    "StoreError",
    "SuspendedError",
    "ThreadError",
    "TomboloError",
    "UnauthorizedError",
    "UnknownModelError",
    "UnknownMutationError",
    "UnknownRecordError",
    "WrongAccountError",
    "WrongStateError",
]


@dataclass(frozen=True)
class Problem:
    """One error of a GraphQL answer."""

    message: str
    """What went wrong and what to do about it."""
    error_type: Optional[str] = None
    """The stable name that programs branch on, AppSync's where it has one."""
    path: Optional[tuple[Union[str, int], ...]] = None
    """The field that it concerns."""
    line: Optional[int] = None
    """Its line in the document, from 1."""
    column: Optional[int] = None
    """Its column, from 1."""


class TomboloError(Exception):
    """Everything that a call can fail with. An error of a mutation call means that nothing was queued. Being offline is
    never one."""

    code: str = "tombolo"
    """A stable name for programs."""
    can_retry: bool = False
    """Whether the same call may succeed later without a change by the developer."""


class IncompleteError(TomboloError):
    """Something is missing from what a client was opened with."""

    code = "incomplete"


class SchemaError(TomboloError):
    """The schema cannot work; every error with its place."""

    code = "schema"


class EndpointError(TomboloError):
    """The address is not a server's."""

    code = "endpoint"


class _WithProblems(TomboloError):
    def __init__(self, message: str, problems: tuple[Problem, ...] = ()) -> None:
        super().__init__(message)
        self.problems = problems
        """Each error, with its place."""


class RequestError(_WithProblems):
    """The document, its variables or a mutation's input is wrong."""

    code = "request"


class AnswerError(_WithProblems):
    """Single fields of a query's answer failed. ``data`` is the rest of it."""

    code = "answer"

    def __init__(self, message: str, problems: tuple[Problem, ...], data: Any) -> None:
        super().__init__(message, problems)
        self.data = data


class NeedsNetworkError(_WithProblems):
    """The operation has no answer in the local data (``sync…``, custom fields)."""

    code = "needs_network"


class JsonError(TomboloError):
    """A value that is to become JSON cannot: not a number (NaN), a lone surrogate, an object of another type."""

    code = "json"


class UnknownRecordError(TomboloError):
    """An update or a delete of a record that this replica does not hold."""

    code = "unknown_record"

    def __init__(self, message: str, model: str) -> None:
        super().__init__(message)
        self.model = model
        """The model."""


class RefusedError(TomboloError):
    """The mutation cannot succeed: its record exists already, for example."""

    code = "refused"

    def __init__(self, message: str, reason_code: str) -> None:
        super().__init__(message)
        self.reason_code = reason_code
        """A stable name, AppSync's where it has one."""


class RequestTooLargeError(TomboloError):
    """More than the server takes in one request."""

    code = "request_too_large"


class OutboxFullError(TomboloError):
    """The outbox holds as many mutations as it may."""

    code = "outbox_full"
    can_retry = True


class UnknownModelError(TomboloError):
    """The schema has no such model."""

    code = "unknown_model"

    def __init__(self, message: str, model: str) -> None:
        super().__init__(message)
        self.model = model
        """The name that it was asked for by."""


class UnknownMutationError(TomboloError):
    """The outbox has no such mutation; it may have been settled meanwhile."""

    code = "unknown_mutation"

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.number = number
        """The number that it was asked for by."""


class WrongStateError(TomboloError):
    """The mutation's state does not allow it."""

    code = "wrong_state"


class ShapeError(TomboloError):
    """The answer does not fit its type: generate the code anew from the schema."""

    code = "shape"


class DiskFullError(TomboloError):
    """The disk is full."""

    code = "disk_full"
    can_retry = True


class BusyError(TomboloError):
    """The file is busy."""

    code = "busy"
    can_retry = True


class _WithCode(TomboloError):
    def __init__(self, message: str, code: str) -> None:
        super().__init__(message)
        self.code = code


class StoreError(_WithCode):
    """The file cannot be read or written; ``code`` is ``read_only``, ``corrupt`` or ``store``."""

    code = "store"


class OpenError(_WithCode):
    """The file cannot be opened; ``code`` is ``in_use``, ``newer_file``, ``foreign_file`` or ``open``."""

    code = "open"

    def __init__(self, message: str, code: str) -> None:
        super().__init__(message, code)
        self.can_retry = code == "in_use"


class WrongAccountError(TomboloError):
    """The file is another account's."""

    code = "wrong_account"


class ThreadError(TomboloError):
    """The system gave no thread."""

    code = "thread"


class UnauthorizedError(TomboloError):
    """The server refused the credential: the user has to sign in again, or the app to give another one."""

    code = "unauthorized"


class SuspendedError(TomboloError):
    """The client is suspended; call ``resume`` first."""

    code = "suspended"


class SignedOutError(TomboloError):
    """The account has signed out of this file; open the client again with its account."""

    code = "signed_out"


class ClosedError(TomboloError):
    """The client has been closed."""

    code = "closed"


class CallCancelledError(TomboloError):
    """The library gave the call up. A call that *you* cancel raises :class:`asyncio.CancelledError`, as everywhere."""

    code = "cancelled"


class PanickedError(TomboloError):
    """A mistake of ours: the call ended in a panic, which was reported. The client may be used on."""

    code = "panicked"


_PLAIN: dict[str, type[TomboloError]] = {
    "Incomplete": IncompleteError,
    "Schema": SchemaError,
    "Endpoint": EndpointError,
    "Json": JsonError,
    "RequestTooLarge": RequestTooLargeError,
    "OutboxFull": OutboxFullError,
    "WrongState": WrongStateError,
    "Shape": ShapeError,
    "DiskFull": DiskFullError,
    "Busy": BusyError,
    "WrongAccount": WrongAccountError,
    "Thread": ThreadError,
    "Unauthorized": UnauthorizedError,
    "Suspended": SuspendedError,
    "SignedOut": SignedOutError,
    "Closed": ClosedError,
    "Cancelled": CallCancelledError,
    "Panicked": PanickedError,
}
