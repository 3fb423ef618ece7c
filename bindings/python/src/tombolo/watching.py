"""What is watched: asynchronous iterators over handles of the library."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Callable, Generic, Optional, TypeVar

from ._convert import answered

__all__ = ["Watching"]

T = TypeVar("T")
U = TypeVar("U")


def _heard(asked: asyncio.Task[Any]) -> None:
    """An error is for whoever asks next, and nobody need ask."""
    if not asked.cancelled():
        asked.exception()


def _nothing() -> None:
    """Ends what has ended."""


class Watching(Generic[T]):
    """Gives items until it is closed, its client is closed, or nobody holds it any more.

    Iterate it (``async for``), await :meth:`next` yourself, or do both as a context manager that closes it::

        async with client.watch("{ listNotes { items { id } } }") as notes:
            async for answer in notes:
                ...

    A task that is cancelled while it waits has lost nothing: the next one gets the item. It belongs to the event loop that
    awaits it; it may be closed from anywhere.
    """

    # There is no `__del__` here, and must not be: in a cycle of garbage the handle may have been freed before it. A finalizer holds
    # the handle itself, which the question to the library may hold beyond this.

    def __init__(self, handle: Any, read: Callable[[Any], T]) -> None:
        self._handle = handle
        self._read = read
        self._asked: Optional[asyncio.Task[Any]] = None
        self._given_up = weakref.finalize(self, _nothing if handle is None else handle.stop)
        # At the process's end the library ends by itself.
        self._given_up.atexit = False

    async def next(self) -> Optional[T]:
        """The next item; ``None`` once it is over."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return None

    def map(self, read: Callable[[T], U]) -> Watching[U]:
        """The same with each item made into another thing. This one is used up by it."""
        before = self._read
        self._given_up.detach()
        mapped = Watching(self._handle, lambda given: read(before(given)))
        mapped._asked = self._asked
        self._handle = self._asked = None
        return mapped

    def close(self) -> None:
        """Ends it: whoever waits gets the end. Twice is no error."""
        self._handle = None
        self._given_up()

    async def aclose(self) -> None:
        """The same, for :func:`contextlib.aclosing`."""
        self.close()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        while self._handle is not None:
            asked = self._asked
            if asked is None or asked.cancelled():
                asked = self._asked = asyncio.ensure_future(answered(self._handle.next()))
                asked.add_done_callback(_heard)
            # Goes on when its caller is cancelled: between the library and here an item would be lost.
            await asyncio.wait([asked])
            if self._asked is not asked:
                # Another one has it.
                continue
            self._asked = None
            given = asked.result()
            if given is None:
                self.close()
                break
            return self._read(given)
        raise StopAsyncIteration

    async def __aenter__(self) -> Watching[T]:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()
