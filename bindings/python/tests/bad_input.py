"""Scenarios: bad input."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import threading
from collections.abc import Awaitable
from pathlib import Path
from typing import Any, Callable

import tombolo
from tombolo import LinkStatus, Report
from tombolo._ffi import ffi, library_name
from trial import CREATE, NOTES, TALLY, Trial, ids, scenario


@scenario
async def call_after_close(t: Trial) -> None:
    server = await t.server()
    client = await t.open(server)
    answers, statuses, events = client.watch(NOTES), client.statuses(), client.events()
    await t.next(answers)
    await client.close()
    calls: list[Callable[[], Any]] = [
        lambda: client.query(NOTES),
        lambda: client.mutate(CREATE, {"input": {"text": "late"}}),
        lambda: _transaction(client),
        lambda: client.watch(NOTES),
        lambda: client.outbox(),
        lambda: client.outcome(1),
        lambda: client.set_scope("Note"),
        lambda: client.sync_once(1),
        lambda: client.suspend(),
    ]
    for call in calls:
        called = call() if not _is_at_once(call) else call
        await t.fails(tombolo.ClosedError, called)
    await client.close()

    async def end(watching: Any) -> str:
        async for _ in watching:
            pass
        return "ended"

    for watching in (answers, statuses, events):
        t.equal(await t.soon(end(watching), "the end of what is watched"), "ended", pivotal=True)


def _is_at_once(call: Callable[[], Any]) -> bool:
    """`watch` gives its error at once; the others are awaited."""
    return "watch" in call.__code__.co_names


async def _transaction(client: tombolo.Client) -> None:
    async with client.transaction() as late:
        late.mutate(CREATE, {"input": {"text": "late"}})


@scenario
async def two_threads_at_once(t: Trial) -> None:
    client = await t.open()
    numbers: list[int] = []
    wrong: list[str] = []

    async def work(thread: int) -> None:
        for turn in range(25):
            id = f"t{thread}-{turn}"
            made = await client.mutate(CREATE, {"input": {"id": id, "text": "x"}})
            numbers.append(made.number)
            found = await client.query("query($id: ID!) { getNote(id: $id) { id } }", {"id": id})
            if found["getNote"] is None:
                wrong.append(id)

    def in_thread(thread: int) -> None:
        try:
            asyncio.run(work(thread))
        except Exception as error:
            wrong.append(repr(error))

    await _threads(t, [lambda n=n: in_thread(n) for n in range(8)])  # type: ignore[misc]
    t.equal(wrong, [], "every call succeeded and found its note")
    t.equal(len(set(numbers)), 200, "the numbers are different", pivotal=True)
    t.equal(len(ids(await client.query("{ listNotes(limit: 1000) { items { id } } }"))), 200)
    await _threads(t, [lambda: asyncio.run(client.close())] * 2)
    await t.fails(tombolo.ClosedError, client.query(NOTES))


async def _threads(t: Trial, work: list[Callable[[], Any]]) -> None:
    """Runs each in a thread of its own, and waits for them without holding up the loop."""
    threads = [threading.Thread(target=one, daemon=True) for one in work]
    for thread in threads:
        thread.start()
    loop = asyncio.get_running_loop()
    for thread in threads:
        await t.soon(loop.run_in_executor(None, thread.join), "the end of a thread")


@scenario
async def call_from_within_a_callback(t: Trial) -> None:
    server = await t.server()
    clients: list[tombolo.Client] = []
    opened = asyncio.Event()
    seen: list[Any] = []

    async def sign_in() -> tombolo.ApiKey:
        await opened.wait()
        seen.append(ids(await clients[0].query(NOTES)))
        seen.append((await clients[0].mutate(TALLY, {"name": "from within"})).number)
        return tombolo.ApiKey(server.api_key)

    client = await t.open(server, credentials=sign_in)
    clients.append(client)
    opened.set()
    await t.live(client)
    await t.settled(client)
    t.equal(seen, [[], 1], "both were answered within the callback", pivotal=True)

    # The same from an ordinary function, which is called on a thread of the library and may block there.
    def ordinary() -> tombolo.ApiKey:
        return asyncio.run(_ask_within(other, server.api_key))

    others: list[tombolo.Client] = []
    ready = threading.Event()

    def other() -> tombolo.Client:
        ready.wait(30)
        return others[0]

    others.append(await t.open(server, credentials=ordinary))
    ready.set()
    await t.live(others[0])

    turns = 0
    async for answer in client.watch(NOTES):
        turns += 1
        t.equal(ids(await client.query(NOTES)), ids(answer))
        if turns <= 3:
            await client.mutate(CREATE, {"input": {"id": f"n{turns}", "text": "from within"}})
        else:
            await client.close()
    t.equal(turns, 4, "it ended when it was closed from within")


async def _ask_within(client: Callable[[], tombolo.Client], key: str) -> tombolo.ApiKey:
    await client().query(NOTES)
    return tombolo.ApiKey(key)


@scenario
async def callback_that_throws(t: Trial) -> None:
    reports: list[Report] = []
    tombolo.set_reporter(reports.append)
    try:
        server = await t.server()

        def sign_in() -> str:
            raise RuntimeError("no sign-in today")

        client = await t.open(server, credentials=sign_in)
        await t.status(client, lambda status: status.link is LinkStatus.PAUSED, "paused")
        await t.soon(_becomes(lambda: bool(reports)), "a report")
        t.equal([report.kind for report in reports], ["callback"])
        t.holds("no sign-in today" in reports[0].message, f"its words are told: {reports[0].message}", pivotal=True)
        await client.mutate(CREATE, {"input": {"id": "n1", "text": "local"}})
        t.equal(ids(await client.query(NOTES)), ["n1"])
        await client.set_api_key(server.api_key)
        await t.live(client)
        await t.settled(client)

        def throws(report: Report) -> None:
            reports.append(report)
            raise RuntimeError("the reporter itself")

        reports.clear()
        tombolo.set_reporter(throws)
        await _provoked(t, lambda: _panic("on purpose"))
        t.equal([report.kind for report in reports], ["panic"], "the reporter was called")
        t.equal(ids(await client.query(NOTES)), ["n1"])
    finally:
        tombolo.set_reporter(tombolo.log_report)


async def _panic(words: str) -> None:
    from tombolo._convert import answered

    await answered(ffi.provoke_panic(words))


def _panic_at_once(words: str) -> None:
    from tombolo._convert import told

    with told():
        ffi.provoke_panic_at_once(words)


async def _provoked(t: Trial, call: Callable[[], Awaitable[None]]) -> tombolo.PanickedError:
    error: tombolo.PanickedError = await t.fails(tombolo.PanickedError, call())
    return error


@scenario
async def rust_panic_becomes_an_error(t: Trial) -> None:
    reports: list[Report] = []
    tombolo.set_reporter(reports.append)
    try:
        client = await t.open()
        error = await _provoked(t, lambda: _panic("one fine panic"))
        t.holds("one fine panic" in str(error), f"it has the panic's words: {error}", pivotal=True)
        error = await t.fails(tombolo.PanickedError, lambda: _panic_at_once("and another"))
        t.holds("and another" in str(error), f"it has the panic's words: {error}")
        t.equal([report.kind for report in reports], ["panic", "panic"])
        t.equal(ids(await client.query(NOTES)), [])
        await client.close()
    finally:
        tombolo.set_reporter(tombolo.log_report)


@scenario
async def watch_stops_on_drop(t: Trial) -> None:
    client = await t.open()
    kept = client.watch(NOTES)
    await t.next(kept)
    given: list[Any] = []

    async def some() -> None:
        async for answer in client.watch(NOTES):
            given.append(answer)

    task = asyncio.create_task(some())
    await t.soon(_becomes(lambda: len(given) == 1), "the first answer")
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    # One whose block is left, and one whose handle is closed while it is awaited.
    async for _ in client.watch(NOTES):
        break
    closed = client.watch(NOTES)
    await t.next(closed)
    waits = asyncio.create_task(closed.next())
    await client.query(NOTES)
    closed.close()
    t.equal(await t.soon(waits, "the end of a closed live query"), None)
    for turn in range(3):
        await client.mutate(CREATE, {"input": {"id": f"n{turn}", "text": "x"}})
        t.equal(len(ids(await t.next(kept))), turn + 1)
    t.equal(len(given), 1, "what was let go was given no more", pivotal=True)
    for _ in range(1000):
        dropped = client.watch(NOTES)
        await dropped.next()
        del dropped
    await client.mutate(CREATE, {"input": {"id": "last", "text": "x"}})
    t.equal(len(ids(await t.next(kept))), 4)


async def _becomes(test: Callable[[], bool]) -> None:
    while not test():
        await asyncio.sleep(0.005)


@scenario
async def bad_document(t: Trial) -> None:
    client = await t.open()
    create = 'mutation { createNote(input: { text: "x" }) { id } }'
    bad: list[tuple[str, Callable[[], Any]]] = [
        ("a syntax error", lambda: client.query("{ listNotes {")),
        ("no such field", lambda: client.query("{ listNotes { items { nonsense } } }")),
        ("a mutation queried", lambda: client.query(create)),
        ("a query mutated", lambda: client.mutate(NOTES)),
        ("nothing", lambda: client.query("")),
    ]
    told: dict[str, Any] = {}
    for name, call in bad:
        told[name] = await t.fails(tombolo.RequestError, call())
        t.holds(told[name].problems, f"{name}: it has problems")
        t.equal(ids(await client.query(NOTES)), [], f"after {name}")
    await t.fails(tombolo.RequestError, lambda: client.watch(create))
    syntax = told["a syntax error"].problems[0]
    t.equal((syntax.line, syntax.column), (1, 14), "its place", pivotal=True)
    t.holds("nonsense" in str(told["no such field"]), "the field is named")
    await t.fails(tombolo.NeedsNetworkError, client.query("{ syncNotes { items { id } } }"))
    t.equal(await client.outbox(), [])


EVERY = 'quotes "\' a backslash \\ a line\r\nand a tab\t U+0000 \u0000 an emoji \U0001f6e9 a lone mark \u202e end'


@scenario
async def wrong_variables(t: Trial) -> None:
    client = await t.open()
    get = "query($wanted: ID!) { getNote(id: $wanted) { id } }"
    some = "query($many: Int) { listNotes(limit: $many) { items { id } } }"
    urgent = "query($how: Priority) { listNotes(filter: { priority: { eq: $how } }) { items { id } } }"
    bad: list[tuple[str, Callable[[], Any]]] = [
        ("wanted", lambda: client.query(get)),
        ("many", lambda: client.query(some, {"many": "five"})),
        ("how", lambda: client.query(urgent, {"how": "PINK"})),
        ("input", lambda: client.mutate(CREATE)),
        ("input", lambda: client.mutate(CREATE, {"input": {"text": "x", "stars": "many"}})),
        ("input", lambda: client.mutate(CREATE, {"input": {"text": None}})),
        ("input", lambda: client.mutate(CREATE, {"input": {"text": "x", "priority": "PINK"}})),
    ]
    for name, call in bad:
        error = await t.fails(tombolo.RequestError, call())
        t.holds(name in str(error) or "text" in str(error) or "stars" in str(error), f"{name} is named in {error}", pivotal=name == "wanted")
    nothing: Any = ["no", "object"]
    await t.fails(tombolo.RequestError, client.query(NOTES, nothing))
    await t.fails(tombolo.RequestError, client.mutate(CREATE, nothing))
    # What is no JSON at all never reaches the library.
    for wrong in (float("nan"), object(), {1, 2}):
        await t.fails(tombolo.JsonError, client.query(get, {"wanted": wrong}))
    await t.fails(tombolo.JsonError, client.query("{ listNotes { items { id } } } # \ud800"))
    await t.fails(tombolo.JsonError, client.query(get, {"wanted": "\ud800"}))
    t.equal(await client.outbox(), [])
    await client.mutate(CREATE, {"input": {"id": "n1", "text": EVERY}})
    data = await client.query('{ getNote(id: "n1") { text } }')
    t.equal(data["getNote"]["text"], EVERY)


@scenario
async def api_drift(t: Trial) -> None:
    library = Path(str(ffi.__file__)).parent / library_name()
    drifted = await t.rig.ask("POST", "/drifted-library", {"path": str(library)})
    told = await _imports(drifted["path"])
    t.equal(told[0], 1, "the import fails", pivotal=True)
    t.holds("ImportError" in told[1] and "different releases" in told[1], f"it says why: {told[1][-300:]}")
    t.equal(await _imports(str(library)), (0, ""), "the real one is imported")


async def _imports(library: str) -> tuple[int, str]:
    """How an import with this library ends, in a process of its own."""
    source = str(Path(tombolo.__file__).parent.parent)
    environment = {**os.environ, "TOMBOLO_LIBRARY": library, "PYTHONPATH": source}
    command = [sys.executable, "-c", "import tombolo"]
    run = lambda: subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    ended = await asyncio.get_running_loop().run_in_executor(None, run)
    return ended.returncode, ended.stderr
