"""The idioms of Amplify DataStore over generated models: ``save``, ``delete``, ``query``, ``observe``, ``observe_query``, ``start``,
``stop``, ``clear``, and a hub of events::

    store = DataStore(schema=SCHEMA, path="app.db", url=url, api_key=key)
    note = await store.save(Note(text="wet runway"))
    urgent = await store.query(Notes.where(lambda f: f.priority == Priority.HIGH))
    async for snapshot in store.observe_query(Note):
        show(snapshot.items, snapshot.is_synced)
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import AsyncIterator, Awaitable
from dataclasses import dataclass
from typing import Any, Callable, Generic, Optional, TypeVar, Union, overload

from . import client as _client
from .client import Client, Discard
from .errors import ClosedError, ShapeError, SignedOutError
from .records import ChangeKind, Found
from .status import Decided, LinkStatus, Outcome, Status
from .typed import Predicate, Query, Record
from .values import encode
from .watching import Watching

__all__ = ["DataStore", "HubEvent", "HubEventKind", "ModelChange", "OpType", "Snapshot"]

R = TypeVar("R", bound=Record)
T = TypeVar("T")

_log = logging.getLogger("tombolo")

_END = object()


class OpType(enum.Enum):
    """What happened to a record."""

    INSERT = "INSERT"
    """It is here and was not."""
    UPDATE = "UPDATE"
    """It is another than before."""
    DELETE = "DELETE"
    """It is gone: deleted, or no longer among the observed."""
    RESYNCHRONISE = "RESYNCHRONISE"
    """Too many records are observed to tell which have changed: query them anew."""


@dataclass(frozen=True)
class ModelChange(Generic[R]):
    """One change of one record."""

    op_type: OpType
    """What happened."""
    key: Optional[dict[str, Any]]
    """Its key by field; ``None`` for :attr:`OpType.RESYNCHRONISE`."""
    element: Optional[R]
    """The record as it is now; of one that is gone, as far as the file still has it."""


@dataclass(frozen=True)
class Snapshot(Generic[R]):
    """The records of a query at one moment."""

    items: list[R]
    """The records."""
    is_synced: bool
    """They are complete up to the server's head as of its newest word."""


class HubEventKind(enum.Enum):
    """What a hub event tells; the values are DataStore's names."""

    NETWORK_STATUS = "networkStatus"
    """``active``: there is a link. Told at first, and each time it becomes another."""
    OUTBOX_STATUS = "outboxStatus"
    """``is_empty``: nothing waits for the server. Told at first, and each time it becomes another."""
    OUTBOX_MUTATION_PROCESSED = "outboxMutationProcessed"
    """``number`` and ``outcome``: a mutation has reached its final state, a refusal among them."""
    SYNC_QUERIES_STARTED = "syncQueriesStarted"
    """What was missed is being fetched."""
    MODEL_SYNCED = "modelSynced"
    """``model``: its records are complete."""
    READY = "ready"
    """Every model is; changes arrive as they happen."""


@dataclass(frozen=True)
class HubEvent:
    """One event of the hub."""

    kind: HubEventKind
    """What it tells; the other fields are given where the kind says so."""
    active: Optional[bool] = None
    is_empty: Optional[bool] = None
    model: Optional[str] = None
    number: Optional[int] = None
    outcome: Optional[Outcome] = None


class DataStore:
    """A replica in the manner of Amplify DataStore. ``options`` are those of :func:`tombolo.open`.

    It is opened, and begins to sync, with the first call."""

    def __init__(self, **options: Any) -> None:
        self._options = options
        self._client: Optional[Client] = None
        self._opening: Optional[asyncio.Lock] = None

    async def client(self) -> Client:
        """The client beneath, for whatever DataStore has no idiom for; opened if it is not."""
        async with self._lock():
            if self._client is None:
                self._client = await _client.open(**self._options)
            return self._client

    def _lock(self) -> asyncio.Lock:
        # Made here: before Python 3.10 a lock belongs to the loop that was there when it was made.
        if self._opening is None:
            self._opening = asyncio.Lock()
        return self._opening

    async def _with(self, call: Callable[[Client], Awaitable[T]]) -> T:
        """Makes a call; where the client has ended meanwhile (signed out or closed elsewhere), once more with another."""
        client = await self.client()
        try:
            return await call(client)
        except (ClosedError, SignedOutError):
            async with self._lock():
                if self._client is client:
                    self._client = None
                    await client.close()
        return await call(await self.client())

    # Its life.

    async def start(self) -> None:
        """Opens the file and begins to sync."""
        await self._with(lambda client: self._set_online(client, True))

    async def stop(self) -> None:
        """Ends syncing. What is saved from now on waits for :meth:`start`; queries and observers go on."""
        await self._with(lambda client: self._set_online(client, False))

    async def _set_online(self, client: Client, online: bool) -> None:
        if self._options.get("url") is not None:
            await client.set_online(online)

    async def clear(self) -> None:
        """Removes the file with all that is in it, unsent mutations included, and ends the observers. The next call begins
        with an empty one."""
        # Carried out to its end also if its caller is cancelled: half of it would be a client that no call can use.
        await asyncio.shield(asyncio.ensure_future(self._with(self._clear)))

    async def _clear(self, client: Client) -> None:
        # What is called meanwhile waits, and gets the next one.
        async with self._lock():
            if self._client is not client:
                return
            await client.sign_out(Discard())
            await client.close()
            self._client = None

    async def close(self) -> None:
        """Releases the file; the next call opens it again."""
        async with self._lock():
            client, self._client = self._client, None
            if client is not None:
                await client.close()

    # Records.

    async def save(self, record: R, condition: Optional[Predicate[R]] = None) -> R:
        """Saves a record: a new one is created, of one that was read what the app changed is updated. Gives it back as it
        stands here now.

        :param condition: what must hold of the server's record, or it refuses the mutation.
        """
        done = await self._with(
            lambda client: client.save(
                record._model.name,
                record.to_json(),
                before=record._loaded,
                condition=None if condition is None else condition.json,
            )
        )
        if done.record is None:
            return record
        try:
            return type(record).from_json(done.record)
        except ShapeError:
            # Queued: an error of the call would have the app do it again.
            _log.error("a %s that was saved cannot be read: generate the types anew from the schema", record._model.name)
            return record

    async def delete(
        self, what: Union[R, Query[R, Any]], condition: Optional[Predicate[R]] = None
    ) -> list[R]:
        """Deletes a record, or all that a query gives; gives back what was deleted."""
        when = None if condition is None else condition.json
        records = await self._with(what.fetch) if isinstance(what, Query) else [what]
        for record in records:
            name, key = record._model.name, record.key_json()
            await self._with(lambda client, name=name, key=key: client.delete(name, key, condition=when))  # type: ignore[misc]
        return records

    @overload
    async def query(self, what: type[R], key: Union[str, dict[str, Any]]) -> Optional[R]: ...

    @overload
    async def query(
        self, what: Union[type[R], Query[R, Any]], *, page: int = 0, limit: Optional[int] = None
    ) -> list[R]: ...

    async def query(
        self,
        what: Any,
        key: Union[str, dict[str, Any], None] = None,
        *,
        page: int = 0,
        limit: Optional[int] = None,
    ) -> Any:
        """The record with a key (``store.query(Note, "n1")``), or records: all of a model, or those of a query
        (``Notes.where(…).order_by(…)``), a page of ``limit`` of them, counted from 0."""
        if key is not None:
            model = what._model
            fields = encode(key) if isinstance(key, dict) else {model.key[0]: key}
            found = await self._with(lambda client: client.get(model.name, fields))
            return None if found is None else what.from_json(found)
        asked = _as_query(what)
        if limit is None:
            if page:
                raise ValueError("a page has a limit: query(…, page=1, limit=100)")
            return await self._with(asked.fetch)
        asked_page = await self._with(lambda client: asked.page(client, limit=limit, offset=page * limit))
        return asked_page.items

    async def observe(self, what: Union[type[R], Query[R, Any]]) -> AsyncIterator[ModelChange[R]]:
        """Each change of a model's records, or of a query's, from now on: ``async for change in store.observe(Note)``.

        It begins with the first item that is asked for; :meth:`observing` begins at once."""
        async with await self.observing(what) as changes:
            async for change in changes:
                yield change

    async def observing(self, what: Union[type[R], Query[R, Any]]) -> Watching[ModelChange[R]]:
        """As :meth:`observe`, and what happens after this call is told."""
        asked: Query[R, Any] = _as_query(what)
        record = asked.record
        watching = await self._with(lambda client: client.observe(record._model.name, filter=asked.filter))

        def read(change: Any) -> ModelChange[R]:
            element: Optional[R] = None
            if change.record is not None:
                try:
                    element = record.from_json(change.record)
                except ShapeError:
                    # What is left of a record that was deleted elsewhere may be its key alone.
                    if change.kind not in (ChangeKind.DELETED, ChangeKind.LEFT):
                        raise
            return ModelChange(_OPS[change.kind], change.key, element)

        return watching.map(read)

    async def observe_query(self, what: Union[type[R], Query[R, Any]]) -> AsyncIterator[Snapshot[R]]:
        """The records now, and each time they change or become complete."""
        client = await self.client()
        asked: Query[R, Any] = _as_query(what)
        name = asked.record._model.name
        found: Optional[Found] = None
        synced = _is_synced(client.status, name)
        sources = (
            client.watch_find(name, filter=asked.filter, sort=asked.steps, limit=asked._limit),
            client.statuses(),
        )
        async for item in _merged(*sources):
            if isinstance(item, Found):
                found = item
            else:
                before, synced = synced, _is_synced(item, name)
                if before == synced:
                    continue
            if found is not None:
                yield Snapshot([asked.record.from_json(one) for one in found.items], synced)

    # The hub.

    async def hub(self) -> AsyncIterator[HubEvent]:
        """What DataStore's hub tells of sync, from now on."""
        client = await self.client()
        last: Optional[Status] = None
        async for item in _merged(client.statuses(), client.events()):
            if isinstance(item, Status):
                for event in _told_by(last, item):
                    yield event
                last = item
            elif isinstance(item, Decided):
                yield HubEvent(
                    HubEventKind.OUTBOX_MUTATION_PROCESSED, number=item.number, outcome=item.outcome
                )


_OPS = {
    ChangeKind.CREATED: OpType.INSERT,
    ChangeKind.UPDATED: OpType.UPDATE,
    ChangeKind.DELETED: OpType.DELETE,
    ChangeKind.LEFT: OpType.DELETE,
    ChangeKind.RESYNCHRONISE: OpType.RESYNCHRONISE,
}


def _as_query(what: Any) -> Any:
    if isinstance(what, Query):
        return what
    if isinstance(what, type) and issubclass(what, Record):
        return Query(what, None)
    raise TypeError(f"a generated model or a query of one is expected, not {what!r}")


def _is_synced(status: Status, model: str) -> bool:
    return any(scope.scope.model == model and scope.up_to_date for scope in status.scopes)


def _is_active(status: Status) -> bool:
    return status.link in (LinkStatus.CATCHING_UP, LinkStatus.LIVE)


def _told_by(last: Optional[Status], status: Status) -> list[HubEvent]:
    """The events that a change of the status comes to."""
    events: list[HubEvent] = []
    if last is None or _is_active(last) != _is_active(status):
        events.append(HubEvent(HubEventKind.NETWORK_STATUS, active=_is_active(status)))
        if _is_active(status):
            events.append(HubEvent(HubEventKind.SYNC_QUERIES_STARTED))
    if last is None or (last.pending == 0) != (status.pending == 0):
        events.append(HubEvent(HubEventKind.OUTBOX_STATUS, is_empty=status.pending == 0))
    for scope in status.scopes:
        model = scope.scope.model
        if scope.up_to_date and not (last is not None and _is_synced(last, model)):
            events.append(HubEvent(HubEventKind.MODEL_SYNCED, model=model))
    if status.up_to_date and not (last is not None and last.up_to_date):
        events.append(HubEvent(HubEventKind.READY))
    return events


async def _merged(*sources: Watching[Any]) -> AsyncIterator[Any]:
    """What several give, as it comes, until one of them ends. Left, it closes them all."""

    async def one(source: Watching[Any]) -> Any:
        try:
            return await source.__anext__()
        except StopAsyncIteration:
            return _END

    waits = {asyncio.ensure_future(one(source)): source for source in sources}
    try:
        while True:
            done, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for task in sorted(done, key=lambda task: sources.index(waits[task])):
                source = waits.pop(task)
                item = task.result()
                if item is _END:
                    return
                waits[asyncio.ensure_future(one(source))] = source
                yield item
    finally:
        for task in waits:
            task.cancel()
        await asyncio.gather(*waits, return_exceptions=True)
        for source in sources:
            source.close()
