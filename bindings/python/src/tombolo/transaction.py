"""Several mutations that are applied together or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Optional

from ._convert import answered, from_json, text, variables_json
from ._ffi import ffi

__all__ = ["Transaction"]


class Transaction:
    """Collects mutations; they are carried out when its block ends well, and not at all when it raises.

    See :meth:`Client.transaction`."""

    def __init__(self, native: Any) -> None:
        self._native = native
        self._operations: Optional[list[Any]] = None
        self.answers: tuple[dict[str, Any], ...] = ()
        """After the block: the answer of each document, in order."""
        self.numbers: tuple[int, ...] = ()
        """After the block: a number for each mutation field, in order."""

    def mutate(self, document: str, variables: Optional[Mapping[str, Any]] = None) -> None:
        """Adds a mutation. Whether it can be carried out is told at the end of the block."""
        if self._operations is None:
            raise RuntimeError("a transaction collects mutations within its block: `async with client.transaction() as t:`")
        self._operations.append(ffi.Operation(document=text("document", document), variables=variables_json(variables)))

    async def __aenter__(self) -> Transaction:
        if self._operations is not None or self.numbers:
            raise RuntimeError("a transaction has one block; begin another one with client.transaction()")
        self._operations = []
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        operations, self._operations = self._operations, None
        if error is not None or not operations:
            return
        done = await answered(self._native.transaction(operations))
        self.answers = tuple(from_json(answer.data) for answer in done.answers)
        self.numbers = tuple(done.numbers)
