"""Whole records, as JSON's own types, without a document: what typed code and :mod:`tombolo.datastore` stand on."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Optional, Union

from ._convert import answered, from_json, problems, text, to_json, told
from ._ffi import ffi
from .errors import AnswerError
from .watching import Watching

__all__ = ["Change", "ChangeKind", "Deleted", "Found", "RecordCalls", "Saved", "SavedAs", "SortBy"]


@dataclass(frozen=True)
class SortBy:
    """One step of an order."""

    field: str
    """The name of a single scalar or enum field of the model, or ``_lastChangedAt``."""
    descending: bool = False
    """From the greatest to the least."""


@dataclass(frozen=True)
class Found:
    """Some records."""

    items: list[dict[str, Any]] = field(repr=False)
    """The records, each with all of its own fields and ``_version``, ``_deleted``, ``_lastChangedAt``."""
    next_token: Optional[str]
    """What leads to the next page; ``None`` if these were the last."""


class SavedAs(enum.Enum):
    """What a save came to."""

    CREATED = "created"
    """The replica held no such record: a create is queued."""
    UPDATED = "updated"
    """It held it: an update with the fields that differ is queued."""
    UNCHANGED = "unchanged"
    """It held it just so: nothing is queued."""


@dataclass(frozen=True)
class Saved:
    """What a save gives back at once."""

    saved_as: SavedAs
    """What it came to."""
    number: Optional[int]
    """The mutation's number; ``None`` for :attr:`SavedAs.UNCHANGED`."""
    record: Optional[dict[str, Any]] = field(repr=False)
    """The record as the view has it now; ``None`` if it could not be read any more."""


@dataclass(frozen=True)
class Deleted:
    """What a delete gives back at once."""

    number: Optional[int]
    """The mutation's number."""
    record: Optional[dict[str, Any]] = field(repr=False)
    """The record as it was; ``None`` if it could not be read any more."""


class ChangeKind(enum.Enum):
    """What happened to a record."""

    CREATED = "created"
    """It is here and was not."""
    UPDATED = "updated"
    """It is another than before."""
    DELETED = "deleted"
    """It was deleted, here or elsewhere."""
    LEFT = "left"
    """It is no longer among the observed."""
    RESYNCHRONISE = "resynchronise"
    """Too many records are observed to tell which have changed: look at them anew."""


@dataclass(frozen=True)
class Change:
    """One change of one record."""

    kind: ChangeKind
    """What happened."""
    key: Optional[dict[str, Any]]
    """Its key by field; ``None`` for :attr:`ChangeKind.RESYNCHRONISE`."""
    record: Optional[dict[str, Any]] = field(repr=False)
    """The record as it is now, where the replica still has it."""


def _optional(value: Optional[Mapping[str, Any]]) -> Optional[str]:
    return None if value is None else to_json(dict(value))


def _key(key: Union[str, Mapping[str, Any]]) -> str:
    return to_json(key if isinstance(key, str) else dict(key))


def _read(given: Optional[str]) -> Optional[dict[str, Any]]:
    if given is None:
        return None
    record: dict[str, Any] = from_json(given)
    return record


def _found(given: Any) -> Found:
    items = from_json(given.data)["items"]
    if given.errors:
        wrong = problems(given.errors)
        raise AnswerError("; ".join(problem.message for problem in wrong), wrong, items)
    return Found(items, given.next_token)


def _change(given: Any) -> Change:
    return Change(ChangeKind[given.kind.name], from_json(given.key), _read(given.record))


class RecordCalls:
    """What a client does with whole records."""

    _native: Any

    async def save(
        self,
        model: str,
        record: Mapping[str, Any],
        *,
        before: Optional[Mapping[str, Any]] = None,
        condition: Optional[Mapping[str, Any]] = None,
    ) -> Saved:
        """Saves a record as the app has it: a create, an update of what differs, or nothing.

        ``before``, the same record as the app read it, has only what the app changed sent: what others changed meanwhile
        stays. A counter or a set cannot be saved changed without it. Otherwise as :meth:`mutate`.
        """
        done = await answered(
            self._native.save(text("model", model), to_json(dict(record)), _optional(before), _optional(condition))
        )
        return Saved(SavedAs[done.saved_as.name], done.number, _read(done.record))

    async def delete(
        self, model: str, key: Union[str, Mapping[str, Any]], *, condition: Optional[Mapping[str, Any]] = None
    ) -> Deleted:
        """Deletes a record; ``key`` holds its key's fields, or all of it; of a key of one field its value will do. Otherwise as :meth:`mutate`."""
        done = await answered(self._native.delete(text("model", model), _key(key), _optional(condition)))
        return Deleted(done.number, _read(done.record))

    async def get(self, model: str, key: Union[str, Mapping[str, Any]]) -> Optional[dict[str, Any]]:
        """One record; ``None`` if this replica holds none."""
        return _read(await answered(self._native.get(text("model", model), _key(key))))

    async def find(
        self,
        model: str,
        *,
        filter: Optional[Mapping[str, Any]] = None,
        sort: Sequence[SortBy] = (),
        limit: Optional[int] = None,
        offset: int = 0,
        token: Optional[str] = None,
    ) -> Found:
        """Records by filter (a model's filter input) and order. At most ``limit`` of them (and 100,000), so many passed over,
        or on from the ``token`` of the page before."""
        return _found(await answered(self._native.find(_query(model, filter, sort, limit, offset, token))))

    def watch_find(
        self,
        model: str,
        *,
        filter: Optional[Mapping[str, Any]] = None,
        sort: Sequence[SortBy] = (),
        limit: Optional[int] = None,
    ) -> Watching[Found]:
        """The same now, and each time it changes."""
        with told():
            return Watching(self._native.watch_find(_query(model, filter, sort, limit, 0, None)), _found)

    async def observe(
        self, model: str, *, filter: Optional[Mapping[str, Any]] = None, with_existing: bool = False
    ) -> Watching[Change]:
        """Each change of a model's records from now on, the app's own at once and the server's as they come;
        ``with_existing`` tells of the records that are there already, too, as created."""
        handle = await answered(self._native.observe(text("model", model), _optional(filter), with_existing))
        return Watching(handle, _change)


def _query(
    model: str,
    filter: Optional[Mapping[str, Any]],
    sort: Sequence[SortBy],
    limit: Optional[int],
    offset: int,
    token: Optional[str],
) -> Any:
    for name, number in (("limit", limit), ("offset", offset)):
        if number is not None and not 0 <= number < 1 << 32:
            raise ValueError(f"{name} is 0 to 2**32 - 1, not {number}")
    return ffi.FindQuery(
        model=text("model", model),
        filter=_optional(filter),
        sort=[ffi.SortStep(field=text("field", step.field), descending=step.descending) for step in sort],
        limit=limit,
        offset=offset,
        token=token,
    )
