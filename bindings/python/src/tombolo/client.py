"""The client: what an app calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Coroutine, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Optional, Union

from . import credentials as _credentials
from ._convert import answered, from_json, milliseconds, number, problems, text, to_json, told, variables_json
from ._ffi import ffi
from .credentials import Credential, Credentials
from .errors import AnswerError, SchemaError
from .imports import ImportReport, import_of
from .mutations import Mutated, Mutation, MutationState, mutation_of
from .records import RecordCalls
from .status import (
    Event,
    Outcome,
    Salvage,
    Scope,
    ScopeStatus,
    SignedOut,
    Status,
    SyncReport,
    event_of,
    outcome_of,
    report_of,
    salvage_of,
    scope_of,
    status_of,
)
from .transaction import Transaction
from .watching import Watching

__all__ = ["Client", "Discard", "KeepSealed", "SendFirst", "SignOut", "open"]


@dataclass(frozen=True)
class SendFirst:
    """Signing out sends what is queued first, for at most ``budget`` seconds. If everything went through the file is
    removed; otherwise it is kept, sealed."""

    budget: float = 10.0


@dataclass(frozen=True)
class KeepSealed:
    """Signing out keeps the file as it is, sealed, without sending anything."""


@dataclass(frozen=True)
class Discard:
    """Signing out removes the file with everything that was not sent."""


SignOut = Union[SendFirst, KeepSealed, Discard]
"""What becomes of an account's file when it signs out."""


class Opening:
    """A replica that is being opened: await it for the client, or enter it (``async with``), which closes the client at its end."""

    def __init__(self, opened: Callable[[], Coroutine[Any, Any, Client]]) -> None:
        self._opened = opened
        self._client: Optional[Client] = None

    def __await__(self) -> Generator[Any, None, Client]:
        return self._opened().__await__()

    async def __aenter__(self) -> Client:
        self._client = await self._opened()
        return self._client

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        if self._client is not None:
            await self._client.close()


def open(
    *,
    schema: Union[str, "os.PathLike[str]"],
    path: Union[str, "os.PathLike[str]"],
    url: Optional[str] = None,
    fallbacks: Sequence[str] = (),
    api_key: Optional[str] = None,
    token: Optional[str] = None,
    credentials: Optional[Credentials] = None,
    account: Optional[str] = None,
    author: Optional[str] = None,
    offline: bool = False,
    scopes: Optional[Iterable[Scope]] = None,
    durable: bool = True,
    import_datastore: Union[str, "os.PathLike[str]", None] = None,
    remove_datastore_when_settled: bool = False,
) -> Opening:
    """Opens a replica. Returns as soon as its file is open; the link comes up by itself.

    Use it as ``async with tombolo.open(…) as client:``, which closes the client, or as ``client = await tombolo.open(…)``.

    :param schema: the schema as SDL text, or the path (:class:`pathlib.Path`) of its file.
    :param path: the database file, made if it is not there. Its folder must exist.
    :param url: the server's GraphQL address, ``http(s)://host/graphql``. Without it the client stays offline.
    :param fallbacks: further ways to the same server, tried in their order where those before are blocked:
        ``http(s)://…/graphql``, or ``mqtt(s)://…``, ``ws(s)://…/mqtt``.
    :param api_key: the API key to present.
    :param token: the signed-in user's token to present.
    :param credentials: who is asked whenever the server wants another credential. See :data:`tombolo.Credentials`.
    :param account: whose file this is. A file of another account is refused.
    :param author: who makes the mutations. Default: the account.
    :param offline: opens without a link, until :meth:`Client.set_online` or :meth:`Client.sync_once`.
    :param scopes: which records a new file holds. Default: every model, whole.
    :param durable: whether a mutation survives a power cut when its call returns. It survives a kill of the process in
        any case.
    :param import_datastore: a file of Amplify DataStore, whose records and unsent mutations are taken over once; see
        :attr:`Client.datastore_import`. Give it at each opening.
    :param remove_datastore_when_settled: removes that file when the server has settled all that was taken.
    :raises IncompleteError, SchemaError, EndpointError, UnknownModelError, RequestError: mistakes in the call.
    :raises OpenError, WrongAccountError: why the file cannot be used.
    """
    async def opened() -> Client:
        if isinstance(schema, str):
            if schema.endswith((".graphql", ".graphqls", ".gql")) and "{" not in schema:
                raise SchemaError(f"{schema!r} is a file's name: give it as pathlib.Path({schema!r}), or the schema's text")
            sdl = schema
        else:
            try:
                sdl = Path(schema).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError) as error:
                raise SchemaError(f"the schema {os.fspath(schema)} cannot be read: {error}") from error
        config = ffi.ClientConfig(
            schema=text("schema", sdl),
            path=text("path", os.fspath(path)),
            url=None if url is None else text("url", url),
            transports=[_transport(text("fallback", way)) for way in fallbacks],
            credential=_credentials.first_credential(api_key, token),
            account=None if account is None else text("account", account),
            author=None if author is None else text("author", author),
            offline=offline,
            scopes=None if scopes is None else [_native_scope(scope) for scope in scopes],
            durability=None if durable else ffi.Durability.NORMAL,
            import_datastore=None if import_datastore is None else text("import_datastore", os.fspath(import_datastore)),
            remove_datastore_when_settled=remove_datastore_when_settled,
        )
        provider = None
        if credentials is not None:
            provider = _credentials.Provider(credentials, asyncio.get_running_loop())
        return Client(await answered(ffi.Client.open(config, provider)))

    return Opening(opened)


def _transport(url: str) -> Any:
    if url.startswith(("http://", "https://")):
        return ffi.Transport.NETWORK(url=url)
    return ffi.Transport.MQTT(url=url)


def _native_scope(scope: Scope) -> Any:
    return ffi.ScopeConfig(model=text("model", scope.model), filter=None if scope.filter is None else to_json(scope.filter))


def _data(answer: Any) -> dict[str, Any]:
    data = from_json(answer.data)
    if answer.errors:
        told_of = problems(answer.errors)
        raise AnswerError("; ".join(problem.message for problem in told_of), told_of, data)
    return data if isinstance(data, dict) else {}


class Client(RecordCalls):
    """A replica: one SQLite file, one schema, one account, and a link to its server. Made by :func:`tombolo.open`.

    Reads and writes are local and never wait for the network. It may be called from any event loop in any thread, from
    several at once, and from within callbacks. When nobody holds it any more its file is released soon after;
    :meth:`close` waits for it.
    """

    def __init__(self, native: Any) -> None:
        self._native = native

    # What is read and written.

    async def query(self, document: str, variables: Optional[Mapping[str, Any]] = None) -> dict[str, Any]:
        """Answers a query from the local file.

        :raises RequestError: the document or its variables are wrong.
        :raises NeedsNetworkError: it asks for what only the server can answer.
        :raises AnswerError: single fields failed.
        """
        return _data(await answered(self._native.query(text("document", document), variables_json(variables))))

    async def mutate(self, document: str, variables: Optional[Mapping[str, Any]] = None) -> Mutated:
        """Carries out a mutation on the local rows and queues it for the server, in one transaction.

        When it returns the mutation is in the file. It is brief; a task that is cancelled meanwhile does not know whether
        it was carried out (it was, if its number is in the outbox).

        :raises RequestError, UnknownRecordError, RefusedError, RequestTooLargeError, OutboxFullError, DiskFullError,
            BusyError, StoreError: nothing has been queued then.
        """
        done = await answered(self._native.mutate(text("document", document), variables_json(variables)))
        data = from_json(done.answer.data)
        return Mutated(
            data=data if isinstance(data, dict) else {},
            numbers=tuple(done.numbers),
            problems=problems(done.answer.errors),
        )

    def transaction(self) -> Transaction:
        """Several mutations together or not at all, here and on the server, offline too::

            async with client.transaction() as t:
                t.mutate(create, {"id": "a"})
                t.mutate(create, {"id": "b"})
            print(t.numbers)

        Nothing is queued if the block raises, or if its end does (as :meth:`mutate`).
        """
        return Transaction(self._native)

    def watch(self, document: str, variables: Optional[Mapping[str, Any]] = None) -> Watching[dict[str, Any]]:
        """Watches a query: its answer now, and each time it becomes another.

        Changes that come quickly one after the other are taken together, a transaction is never seen half done, and the
        same answer is never given twice in a row. While the client is suspended it waits; it ends when the client is closed.
        """
        with told():
            return Watching(self._native.watch(text("document", document), variables_json(variables)), _data)

    # How it stands.

    @property
    def status(self) -> Status:
        """How the replica stands: link, pending, wedged and rejected mutations, last trouble, scopes."""
        with told():
            return status_of(self._native.status())

    def statuses(self) -> Watching[Status]:
        """The status now, and each time it changes."""
        with told():
            return Watching(self._native.watch_status(), status_of)

    def events(self) -> Watching[Event]:
        """What happens from now on that an app may want to act on. Each event is told once; the outbox and the status
        hold what lasts."""
        with told():
            return Watching(self._native.events(), event_of)

    @property
    def salvage(self) -> Optional[Salvage]:
        """What was saved out of a damaged file when this one was made; ``None`` for one that was never damaged."""
        with told():
            given = self._native.salvage()
        return None if given is None else salvage_of(given)

    @property
    def datastore_import(self) -> Optional[ImportReport]:
        """What was taken over of a file of Amplify DataStore; ``None`` if there was none."""
        with told():
            given = self._native.datastore_import()
        return None if given is None else import_of(given)

    # The outbox.

    async def outbox(self) -> list[Mutation]:
        """The mutations that are not settled, and those refused that the app has not taken note of, by number."""
        return [mutation_of(given) for given in await answered(self._native.outbox())]

    async def mutations(
        self,
        *,
        model: Optional[str] = None,
        key: Optional[Sequence[Any]] = None,
        states: Iterable[MutationState] = (),
        after: int = 0,
        limit: Optional[int] = None,
    ) -> list[Mutation]:
        """Mutations on their way and ended, by number: only those of a model, of the record with a key, in some states,
        or with greater numbers than ``after``."""
        wanted = ffi.MutationFilter(
            model=None if model is None else text("model", model),
            key=None if key is None else to_json(list(key)),
            states=[ffi.MutationState[state.name] for state in states],
            after=number("after", after),
            limit=limit,
        )
        return [mutation_of(given) for given in await answered(self._native.mutations(wanted))]

    async def mutation(self, number_: int) -> Optional[Mutation]:
        """One mutation, on its way or ended; ``None`` if there is none, or if it ended so long ago that it is no longer
        kept."""
        given = await answered(self._native.mutation(number("number", number_)))
        return None if given is None else mutation_of(given)

    async def outcome(self, number_: int) -> Outcome:
        """Waits for a mutation's final state, as long as it takes. Cancelling ends the wait and nothing else."""
        return outcome_of(await answered(self._native.outcome(number("number", number_))))

    async def retry(self, number_: int) -> tuple[int, ...]:
        """Tries a rejected or wedged mutation again; gives the numbers under which it goes on."""
        return tuple(await answered(self._native.retry(number("number", number_))))

    async def edit_and_retry(self, number_: int, values: Mapping[str, Any]) -> tuple[int, ...]:
        """Tries a rejected or wedged mutation again with other values for some fields."""
        return tuple(await answered(self._native.edit_and_retry(number("number", number_), to_json(dict(values)))))

    async def discard(self, number_: int) -> None:
        """Gives up a queued or wedged mutation (its effect is rolled back), or takes note of a refused one."""
        await answered(self._native.discard(number("number", number_)))

    # The link.

    async def set_online(self, online: bool) -> None:
        """Wants a link, or none. Saying ``True`` again cuts the back-off short: call it when the system reports a
        network."""
        await answered(self._native.set_online(online))

    async def set_credential(self, credential: Credential) -> None:
        """Gives another credential. A link that was refused is tried again, one that is open is opened anew."""
        await answered(self._native.set_credential(_credentials.native_credential(credential)))

    async def set_token(self, token: str) -> None:
        """Gives another token of the signed-in user."""
        await self.set_credential(_credentials.Token(text("token", token)))

    async def set_api_key(self, key: str) -> None:
        """Gives another API key."""
        await self.set_credential(_credentials.ApiKey(text("key", key)))

    async def set_transport(self, url: str) -> None:
        """Goes by another way to the same server: ``http(s)://…/graphql``, ``mqtt(s)://…``, ``ws(s)://…/mqtt``."""
        await answered(self._native.set_transport(_transport(text("url", url))))

    async def sync_once(self, budget: float = 30.0) -> SyncReport:
        """Pushes and pulls until nothing is left to do or ``budget`` seconds are over. No network is not an error."""
        return report_of(await answered(self._native.sync_once(milliseconds("budget", budget))))

    # What is held.

    @property
    def scopes(self) -> list[ScopeStatus]:
        """What this replica holds, by model."""
        with told():
            return [scope_of(given) for given in self._native.scopes()]

    async def set_scope(self, model: str, filter: Optional[Mapping[str, Any]] = None) -> None:
        """Holds the records of a model that match a filter, or all of them. What no longer matches leaves the file."""
        native = _native_scope(Scope(model, None if filter is None else dict(filter)))
        await answered(self._native.set_scope(native.model, native.filter))

    async def remove_scope(self, model: str) -> None:
        """Holds nothing of a model any more."""
        await answered(self._native.remove_scope(text("model", model)))

    # Its life.

    async def suspend(self) -> None:
        """Lets go of file and link. Calls raise :class:`SuspendedError` until :meth:`resume`."""
        await answered(self._native.suspend())

    async def resume(self) -> None:
        """Takes them up again."""
        await answered(self._native.resume())

    @property
    def is_suspended(self) -> bool:
        """Whether it is suspended."""
        with told():
            return bool(self._native.is_suspended())

    async def sign_out(self, how: SignOut) -> SignedOut:
        """Signs the account out: this client ends, and so does every other one on the same file. No network is not an
        error."""
        native: Any
        if isinstance(how, SendFirst):
            native = ffi.SignOut.SEND_FIRST(budget_ms=milliseconds("budget", how.budget))
        elif isinstance(how, KeepSealed):
            native = ffi.SignOut.KEEP_SEALED()
        else:
            native = ffi.SignOut.DISCARD()
        done = await answered(self._native.sign_out(native))
        return SignedOut(sent=done.sent, kept=done.kept, discarded=done.discarded)

    async def close(self) -> None:
        """Carries out what was called before, ends the link and releases the file. Calls raise :class:`ClosedError` then,
        and what is watched ends. Twice is no error."""
        await answered(self._native.shut_down())

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        trace: Optional[TracebackType],
    ) -> None:
        await self.close()
