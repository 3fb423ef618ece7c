"""Values between Python and the native module."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Mapping
from typing import Any, Optional, TypeVar

from . import errors
from ._ffi import ffi
from .errors import JsonError, Problem, TomboloError

T = TypeVar("T")


def to_json(value: Any) -> str:
    """JSON text of what an app gave."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError) as error:
        raise JsonError(f"this cannot become JSON: {error}") from error


def variables_json(variables: Optional[Mapping[str, Any]]) -> Optional[str]:
    """Variables as JSON text. What is no mapping goes through as it is: the library says what is wrong with it."""
    if variables is None:
        return None
    return to_json(dict(variables) if isinstance(variables, Mapping) else variables)


def from_json(text: Any) -> Any:
    """The value of JSON that the library made."""
    return json.loads(text)


def text(what: str, given: Any) -> str:
    """Text that can cross: a mistake of type or a lone surrogate is told here, by name."""
    if not isinstance(given, str):
        raise TypeError(f"{what} is a str, not {type(given).__name__}")
    try:
        given.encode()
    except UnicodeEncodeError as error:
        raise JsonError(f"{what} is no Unicode text: {error}") from error
    return given


def number(what: str, given: Any) -> int:
    """A number of a mutation: 0 to 2**64 - 1."""
    if not isinstance(given, int) or isinstance(given, bool):
        raise TypeError(f"{what} is an int, not {type(given).__name__}")
    if not 0 <= given < 1 << 64:
        raise errors.UnknownMutationError(f"the outbox has no mutation {given}: numbers are 0 to 2**64 - 1", given)
    return given


def milliseconds(what: str, seconds: float) -> int:
    """Seconds as whole milliseconds, rounded up."""
    if not 0 <= seconds < 1 << 53:
        raise ValueError(f"{what} is a number of seconds from 0, not {seconds!r}")
    whole = int(seconds * 1000)
    return whole + (whole < seconds * 1000)


def problems(given: Any) -> tuple[Problem, ...]:
    """Errors of an answer."""
    return tuple(
        Problem(
            message=problem.detail,
            error_type=problem.error_type,
            path=None if problem.path is None else tuple(from_json(problem.path)),
            line=problem.line,
            column=problem.column,
        )
        for problem in given
    )


def error_of(given: Exception) -> Exception:
    """The error as this package tells it."""
    if isinstance(given, ffi.InternalError):
        return errors.PanickedError(f"a mistake in Tombolo: {given}")
    if not isinstance(given, ffi.TomboloError):
        return given
    kind = type(given).__name__.rpartition(".")[2]
    fields: Any = given
    # Those without fields say themselves what they are.
    words = str(getattr(fields, "detail", "")) or _WORDS.get(kind, kind)
    plain = errors._PLAIN.get(kind)
    if plain is not None:
        return plain(words)
    if kind == "Request":
        return errors.RequestError(words, problems(fields.problems))
    if kind == "NeedsNetwork":
        return errors.NeedsNetworkError(words, problems(fields.problems))
    if kind == "UnknownRecord":
        return errors.UnknownRecordError(words, fields.model)
    if kind == "UnknownModel":
        return errors.UnknownModelError(words, fields.model)
    if kind == "UnknownMutation":
        return errors.UnknownMutationError(words, fields.number)
    if kind == "Refused":
        return errors.RefusedError(words, fields.code)
    if kind == "Store":
        return errors.StoreError(words, fields.code)
    if kind == "Open":
        return errors.OpenError(words, fields.code)
    return TomboloError(words)


_WORDS = {
    "Suspended": "the client is suspended; call resume first",
    "SignedOut": "the account has signed out; open the client again with its account",
    "Closed": "the client has been closed",
    "Cancelled": "the call was given up by the library",
}


async def answered(call: Awaitable[T]) -> T:
    """Awaits a call of the library; what it fails with is told as this package tells it."""
    try:
        return await call
    except (ffi.TomboloError, ffi.InternalError) as error:
        raise error_of(error) from None


class told:
    """The same for calls that are answered at once: ``with told(): …``."""

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: Any, error: Optional[BaseException], trace: Any) -> None:
        if isinstance(error, (ffi.TomboloError, ffi.InternalError)):
            raise error_of(error) from None
