"""What is watched: asynchronous iterators over handles of the library."""

from __future__ import annotations

from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Callable, Generic, Optional, TypeVar

from ._convert import answered

__all__ = ["Watching"]

T = TypeVar("T")
U = TypeVar("U")


class Watching(Generic[T]):
    """Gives items until it is closed, its client is closed, or nobody holds it any more.

    Iterate it (``async for``), await :meth:`next` yourself, or do both as a context manager that closes it::

        async with client.watch("{ listNotes { items { id } } }") as notes:
            async for answer in notes:
                ...

    A task that is cancelled while it waits has lost nothing: the next one gets the item. It belongs to the event loop that
    awaits it; it may be closed from anywhere.
    """

    # There is no `__del__` here, and must not be: in a cycle of garbage the handle may have been freed before it. The
    # handle's own ends the query.

    def __init__(self, handle: Any, read: Callable[[Any], T]) -> None:
        self._handle = handle
        self._read = read

    async def next(self) -> Optional[T]:
        """The next item; ``None`` once it is over."""
        try:
            return await self.__anext__()
        except StopAsyncIteration:
            return None

    def map(self, read: Callable[[T], U]) -> Watching[U]:
        """The same with each item made into another thing. This one is used up by it."""
        before = self._read
        handle, self._handle = self._handle, None
        return Watching(handle, lambda given: read(before(given)))

    def close(self) -> None:
        """Ends it: whoever waits gets the end. Twice is no error."""
        handle, self._handle = self._handle, None
        if handle is not None:
            handle.stop()

    async def aclose(self) -> None:
        """The same, for :func:`contextlib.aclosing`."""
        self.close()

    def __aiter__(self) -> AsyncIterator[T]:
        return self

    async def __anext__(self) -> T:
        handle = self._handle
        given = None if handle is None else await answered(handle.next())
        if given is None:
            self.close()
            raise StopAsyncIteration
        return self._read(given)

    async def __aenter__(self) -> Watching[T]:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        self.close()
