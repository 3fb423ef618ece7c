"""What a scenario works with: servers, files, clients, checks, and waits that end."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any, Callable, Optional, TypeVar, Union

import tombolo
from rig import Rig, Server

T = TypeVar("T")

PATIENCE = 30.0
"""What has not come within so many seconds does not come."""

CREATE = "mutation($input: CreateNoteInput!) { createNote(input: $input) { id text } }"
UPDATE = "mutation($input: UpdateNoteInput!) { updateNote(input: $input) { id text done } }"
DELETE = "mutation($input: DeleteNoteInput!) { deleteNote(input: $input) { id } }"
NOTES = "{ listNotes { items { id text done } } }"
OPEN_NOTES = "{ listNotes(filter: { done: { ne: true } }) { items { id text } } }"
SEAT = "mutation($input: UpdateSeatInput!) { updateSeat(input: $input) { id passenger } }"
TALLY = "mutation($name: String!) { createTally(input: { name: $name }) { id } }"


class Failed(AssertionError):
    """A check that did not hold."""


def ids(data: dict[str, Any], root: str = "listNotes") -> list[str]:
    """The ids of a list's answer, in order."""
    return sorted(item["id"] for item in data[root]["items"])


class Trial:
    """One scenario's run."""

    def __init__(self, rig: Rig, name: str, broken: bool) -> None:
        self.rig = rig
        self.name = name
        self.broken = broken
        self.turned = False
        self.folder = Path(tempfile.mkdtemp(prefix="tombolo-scenario-"))
        self._files = 0
        self._servers: list[Server] = []
        self._clients: list[tombolo.Client] = []

    async def end(self) -> None:
        for client in self._clients:
            await client.close()
        for server in self._servers:
            await server.remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    # Checks. The one that is `pivotal` is turned round when the scenario is broken on purpose.

    def equal(self, found: T, wanted: T, words: str = "", *, pivotal: bool = False) -> None:
        holds = found == wanted
        if pivotal:
            holds = self._turn(holds)
        if not holds:
            raise Failed(f"{words + ': ' if words else ''}found {found!r}, wanted {wanted!r}{self._purpose(pivotal)}")

    def holds(self, found: object, words: str, *, pivotal: bool = False) -> None:
        if (self._turn(bool(found)) if pivotal else bool(found)) is not True:
            raise Failed(f"{words}: {found!r}{self._purpose(pivotal)}")

    def _purpose(self, pivotal: bool) -> str:
        return " turned round, on purpose" if pivotal and self.broken else ""

    def _turn(self, holds: bool) -> bool:
        self.turned = True
        return not holds if self.broken else holds

    async def fails(self, kind: type[tombolo.TomboloError], call: Union[Awaitable[Any], Callable[[], Any]]) -> Any:
        """The error, which must be of this very class."""
        try:
            answer = await call if isinstance(call, Awaitable) else call()
        except tombolo.TomboloError as error:
            if type(error) is not kind:
                raise Failed(f"{type(error).__name__} ({error}) in place of {kind.__name__}") from error
            self.equal(error.can_retry, False, f"{kind.__name__}.can_retry")
            self.holds(str(error), f"{kind.__name__} has words")
            return error
        raise Failed(f"no {kind.__name__}, but the answer {answer!r}")

    # Servers, files, clients.

    async def server(self) -> Server:
        server = await self.rig.server()
        self._servers.append(server)
        return server

    def path(self) -> Path:
        self._files += 1
        return self.folder / f"replica-{self._files}.db"

    async def open(self, server: Optional[Server] = None, **options: Any) -> tombolo.Client:
        """A client of the server, or a local one; closed at the end."""
        options.setdefault("schema", self.rig.schema)
        options.setdefault("path", self.path())
        if server is not None:
            options.setdefault("url", server.url)
            if not {"api_key", "token", "credentials"} & options.keys():
                options["api_key"] = server.api_key
        return self.keep(await tombolo.open(**options))

    def keep(self, client: tombolo.Client) -> tombolo.Client:
        self._clients.append(client)
        return client

    # Waits.

    async def soon(self, call: Awaitable[T], words: str = "") -> T:
        try:
            return await asyncio.wait_for(call, PATIENCE)
        except asyncio.TimeoutError:
            raise Failed(f"nothing came in {PATIENCE:.0f} s{': ' + words if words else ''}") from None

    async def next(self, watching: AsyncIterator[T]) -> T:
        async def one() -> T:
            return await watching.__anext__()

        return await self.soon(one(), "of what is watched")

    async def until(self, watching: AsyncIterator[T], test: Callable[[T], object], words: str) -> T:
        """The first item for which this holds."""
        last: list[T] = []

        async def search() -> T:
            async for item in watching:
                last[:] = [item]
                if test(item):
                    return item
            raise Failed(f"it ended before: {words}")

        try:
            return await asyncio.wait_for(search(), PATIENCE)
        except asyncio.TimeoutError:
            raise Failed(f"it did not become so: {words}; last {last!r}") from None

    async def status(self, client: tombolo.Client, test: Callable[[tombolo.Status], object], words: str) -> tombolo.Status:
        async with client.statuses() as statuses:
            return await self.until(statuses, test, words)

    async def live(self, client: tombolo.Client) -> None:
        is_live = lambda status: status.link is tombolo.LinkStatus.LIVE and status.up_to_date
        await self.status(client, is_live, "live and up to date")

    async def settled(self, client: tombolo.Client) -> None:
        """Nothing is pending. The status may be told a moment after the call that changed it has returned; the outbox is
        never behind."""

        async def wait() -> None:
            async with client.statuses() as statuses:
                async for status in statuses:
                    waiting = [m for m in await client.outbox() if m.state is not tombolo.MutationState.REJECTED]
                    if status.pending == 0 and not waiting:
                        return

        await self.soon(wait(), "nothing pending")

    async def outcome(self, client: tombolo.Client, number: int) -> tombolo.Outcome:
        return await self.soon(client.outcome(number), f"an outcome of mutation {number}")

    async def query_until(self, client: tombolo.Client, document: str, test: Callable[[dict[str, Any]], object], words: str) -> None:
        async with client.watch(document) as answers:
            await self.until(answers, test, words)


Scenario = Callable[[Trial], Awaitable[None]]
SCENARIOS: dict[str, Scenario] = {}


def scenario(run: Scenario) -> Scenario:
    """Enters a scenario under its name: `live_query` is `live-query`."""
    SCENARIOS[getattr(run, "__name__").replace("_", "-").strip("-")] = run
    return run
