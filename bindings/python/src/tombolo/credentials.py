"""What a replica presents to be let in, and whom to ask for another."""

from __future__ import annotations

import asyncio
import concurrent.futures
import inspect
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Any, Callable, Optional, Union

from ._ffi import ffi

__all__ = ["ApiKey", "Credential", "Credentials", "Token"]


@dataclass(frozen=True)
class ApiKey:
    """An API key."""

    key: str = field(repr=False)
    """The key."""


@dataclass(frozen=True)
class Token:
    """The signed-in user's token, as it came from its issuer."""

    token: str = field(repr=False)
    """The token."""


Credential = Union[ApiKey, Token]
"""What a replica presents."""

Given = Union[str, ApiKey, Token, None]

Credentials = Callable[[], Union[Given, Awaitable[Given]]]
"""The app's sign-in: gives a token (a ``str`` is one), or ``None`` if there is none now.

An ordinary function is called on a thread of the library and may block there. An ``async`` one runs on the event loop that
the client was opened in. Either may call the client. What it raises is told to the reporter (:func:`set_reporter`), and the
link rests until the app gives a credential."""


def native_credential(given: Given) -> Any:
    """A credential for the library."""
    if given is None:
        return None
    if isinstance(given, str):
        return ffi.Credential.TOKEN(token=given)
    if isinstance(given, Token):
        return ffi.Credential.TOKEN(token=given.token)
    if isinstance(given, ApiKey):
        return ffi.Credential.API_KEY(key=given.key)
    raise TypeError(f"a credential is a str, a Token, an ApiKey or None, not {type(given).__name__}")


class Provider(ffi.CredentialProvider):  # type: ignore[misc]
    """The app's sign-in as the library calls it: on a thread of its own, which may block."""

    def __init__(self, ask: Credentials, loop: asyncio.AbstractEventLoop) -> None:
        self._ask = ask
        self._loop = loop

    def credential_needed(self, reply: Any) -> None:
        try:
            given: Any = None
            if not inspect.iscoroutinefunction(self._ask):
                given = self._ask()
            if inspect.iscoroutinefunction(self._ask) or inspect.isawaitable(given):
                given = self._on_loop(given)
            reply.give(native_credential(given))
        except BaseException as error:
            # Nothing may go through the library, not even SystemExit.
            raise ffi.CallbackError.Failed(f"{type(error).__name__}: {error}") from error

    def _on_loop(self, given: Any) -> Any:
        """Awaits the app's answer on the loop that the client was opened in, as long as there is one."""

        async def answer() -> Any:
            asked: Any = self._ask() if given is None else given
            return await asked

        if self._loop.is_closed():
            raise RuntimeError("the event loop that the client was opened in is closed")
        future = asyncio.run_coroutine_threadsafe(answer(), self._loop)
        while not future.done():
            concurrent.futures.wait([future], timeout=1.0)
            if self._loop.is_closed() and not future.done():
                future.cancel()
                raise RuntimeError("the event loop that the client was opened in was closed meanwhile")
        return future.result()


def first_credential(api_key: Optional[str], token: Optional[str]) -> Any:
    """The credential that a client is opened with."""
    if api_key is not None and token is not None:
        raise TypeError("a client presents one credential: give api_key or token")
    if api_key is not None:
        return native_credential(ApiKey(api_key))
    return native_credential(token)
