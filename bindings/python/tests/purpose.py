"""Scenarios: what the SDK is for."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import tombolo
from tombolo import Applied, Decided, ImportFormat, ImportState, LinkStatus, Merged, MutationState, NeedToken, Rejected
from trial import CREATE, DELETE, NOTES, OPEN_NOTES, PATIENCE, SEAT, UPDATE, Trial, ids, scenario


def text_of(data: dict[str, Any], id: str) -> Any:
    return {item["id"]: item for item in data["listNotes"]["items"]}[id]["text"]


@scenario
async def open(t: Trial) -> None:
    path = t.path()
    client = await t.open(path=path)
    t.equal(ids(await client.query(NOTES)), [])
    t.equal((client.status.link, client.status.pending), (LinkStatus.OFFLINE, 0))
    await client.mutate(CREATE, {"input": {"id": "n1", "text": "wet runway"}})
    await client.close()
    again = await t.open(path=path)
    t.equal(text_of(await again.query(NOTES), "n1"), "wet runway", "after it was opened again", pivotal=True)

    bad = "type Note @model { id: ID! text: Strin }"
    wrong = await t.fails(tombolo.SchemaError, tombolo.open(schema=bad, path=t.path()))
    t.holds("schema.graphql:1:" in str(wrong), f"the place is named in {wrong}")
    await t.fails(tombolo.EndpointError, tombolo.open(schema=t.rig.schema, path=t.path(), url="nonsense"))
    foreign = t.path()
    words = (b"not a database, whatever its name says" * 200)[:4096]
    foreign.write_bytes(words)
    refused = await t.fails(tombolo.OpenError, tombolo.open(schema=t.rig.schema, path=foreign))
    t.holds(refused.code in ("open", "foreign_file"), f"its code is {refused.code}")
    t.equal(foreign.read_bytes(), words, "the file is as it was")


@scenario
async def offline_edits(t: Trial) -> None:
    server = await t.server()
    await server.stop()
    client = await t.open(server)
    first = await client.mutate(CREATE, {"input": {"id": "n1", "text": "one"}})
    await client.mutate(CREATE, {"input": {"id": "n2", "text": "two"}})
    third = await client.mutate(CREATE, {"input": {"id": "n3", "text": "three"}})
    edit = await client.mutate(UPDATE, {"input": {"id": "n1", "text": "one, edited"}})
    await client.mutate(DELETE, {"input": {"id": "n2"}})
    t.holds(first.numbers and third.numbers, "each call gives numbers")
    local = await client.query(NOTES)
    t.equal(ids(local), ["n1", "n3"])
    t.equal(text_of(local, "n1"), "one, edited")
    outbox = await client.outbox()
    t.holds(outbox, "the outbox is not empty")
    t.equal({mutation.model for mutation in outbox}, {"Note"})
    t.holds(client.status.pending > 0, "something is pending")
    await server.start()
    await client.set_online(True)
    t.equal(await t.outcome(client, edit.number), Applied(), "the edit", pivotal=True)
    t.equal(await t.outcome(client, third.number), Applied(), "the third note")
    await t.settled(client)
    t.equal(await server.notes(), {"n1": "one, edited", "n3": "three"})


@scenario
async def live_query(t: Trial) -> None:
    server = await t.server()
    client = await t.open(server)
    await t.live(client)
    async with client.watch(OPEN_NOTES) as answers:
        t.equal(ids(await t.next(answers)), [])
        await client.mutate(CREATE, {"input": {"id": "n1", "text": "one"}})
        t.equal(ids(await t.next(answers)), ["n1"])
        await server.write("create", "Note", id="n2", text="two")
        t.equal(ids(await t.next(answers)), ["n1", "n2"], pivotal=True)
        await client.mutate('mutation { createTally(input: { name: "none of its business" }) { id } }')
        await client.mutate(CREATE, {"input": {"id": "n3", "text": "three"}})
        t.equal(ids(await t.next(answers)), ["n1", "n2", "n3"], "none in between, none twice")
        await client.mutate(UPDATE, {"input": {"id": "n2", "done": True}})
        t.equal(ids(await t.next(answers)), ["n1", "n3"])


@scenario
async def conflict(t: Trial) -> None:
    server = await t.server()
    await server.write("create", "Note", id="n1", text="a", done=False)
    client = await t.open(server)
    await t.query_until(client, NOTES, lambda data: ids(data) == ["n1"], "the note has come")

    await client.set_online(False)
    made = await client.mutate(UPDATE, {"input": {"id": "n1", "done": True}})
    await server.write("update", "Note", id="n1", text="b")
    await client.set_online(True)
    outcome = await t.outcome(client, made.number)
    t.holds(outcome in (Merged(), Applied()), f"merged or applied: {outcome}")
    both = {"id": "n1", "text": "b", "done": True}
    await t.query_until(client, NOTES, lambda data: data["listNotes"]["items"] == [both], "both edits here")
    data = await server.graphql('{ getNote(id: "n1") { id text done } }')
    t.equal(data["getNote"], both, "both edits there")

    await t.live(client)
    await t.settled(client)
    await client.set_online(False)
    made = await client.mutate(UPDATE, {"input": {"id": "n1", "text": "mine"}})
    await server.write("update", "Note", id="n1", text="theirs")
    await client.set_online(True)
    t.equal(await t.outcome(client, made.number), Merged(), "an edit of the same field", pivotal=True)
    await t.query_until(client, NOTES, lambda data: text_of(data, "n1") == "theirs", "theirs here")
    t.equal((await server.notes())["n1"], "theirs", "theirs there")


async def refused_seat(t: Trial, server: Any, client: tombolo.Client, mine: str, theirs: str) -> int:
    """An edit of seat `s1` that the server refuses, since somebody else's came first; its number."""
    await t.live(client)
    await t.settled(client)
    await client.set_online(False)
    made = await client.mutate(SEAT, {"input": {"id": "s1", "passenger": mine}})
    await server.write("update", "Seat", id="s1", passenger=theirs)
    await client.set_online(True)
    outcome = await t.outcome(client, made.number)
    t.holds(isinstance(outcome, Rejected), f"the edit is rejected: {outcome}")
    # A retry is made on what the replica holds; before this has come it would be refused again.
    await t.query_until(client, PASSENGER, lambda data: data["getSeat"]["passenger"] == theirs, "theirs has come")
    return made.number


async def seated(t: Trial, server: Any, **options: Any) -> tombolo.Client:
    """A client that holds seat `s1`."""
    await server.write("create", "Seat", id="s1")
    client = await t.open(server, **options)
    has_seat = lambda data: data["getSeat"] is not None
    await t.query_until(client, '{ getSeat(id: "s1") { id } }', has_seat, "the seat has come")
    return client


PASSENGER = '{ getSeat(id: "s1") { passenger } }'


@scenario
async def refusal(t: Trial) -> None:
    server = await t.server()
    client = await seated(t, server)
    await t.live(client)
    await client.set_online(False)
    events = client.events()
    made = await client.mutate(SEAT, {"input": {"id": "s1", "passenger": "ada"}})
    t.equal((await client.query(PASSENGER))["getSeat"]["passenger"], "ada")
    await server.write("update", "Seat", id="s1", passenger="bob")
    await client.set_online(True)
    outcome = await t.outcome(client, made.number)
    if not isinstance(outcome, Rejected):
        t.holds(False, f"the edit is rejected: {outcome}")
        return
    t.equal(outcome.code, "ConflictUnhandled", pivotal=True)
    t.holds(outcome.message, "it has a message")
    event = await t.until(events, lambda event: isinstance(event, Decided), "an event tells it")
    t.equal(event, Decided(made.number, outcome))
    await t.query_until(client, PASSENGER, lambda data: data["getSeat"]["passenger"] == "bob", "it is rolled back")
    [entry] = await client.outbox()
    t.equal((entry.number, entry.state, entry.reason_code), (made.number, MutationState.REJECTED, "ConflictUnhandled"))
    t.equal(entry.reason, outcome.message)
    await client.discard(made.number)
    t.equal(await client.outbox(), [])


DIARY = "mutation($input: CreateDiaryInput!) { createDiary(input: $input) { id text } }"
DIARIES = "{ listDiaries { items { id text } } }"


@scenario
async def token_expiry(t: Trial) -> None:
    server = await t.server()
    asked: list[float] = []
    ended, good = await t.rig.token("ada", 0), await t.rig.token("ada", 600)

    async def sign_in() -> str:
        asked.append(time.monotonic())
        return ended if len(asked) == 1 else good

    client = await t.open(server, credentials=sign_in)
    made = await client.mutate(DIARY, {"input": {"id": "d1", "text": "dear diary"}})
    t.equal(ids(await client.query(DIARIES), "listDiaries"), ["d1"], "local life goes on")
    t.equal(await t.outcome(client, made.number), Applied(), "it settles with the second token", pivotal=True)
    t.holds(len(asked) >= 2, f"the callback was asked {len(asked)} times")
    t.equal(ids(await server.graphql(DIARIES, user="ada"), "listDiaries"), ["d1"])
    t.equal(ids(await server.graphql(DIARIES, user="bob"), "listDiaries"), [])

    other = await t.open(server, token=ended, offline=True)
    events = other.events()
    await other.set_online(True)
    await t.until(events, lambda event: event == NeedToken(), "a token is asked for")
    await t.status(other, lambda status: status.link is LinkStatus.PAUSED, "paused")
    made = await other.mutate(DIARY, {"input": {"id": "d2", "text": "still here"}})
    t.equal(ids(await other.query(DIARIES), "listDiaries"), ["d2"])
    await t.fails(tombolo.UnauthorizedError, other.sync_once(PATIENCE))
    await other.set_token(good)
    t.equal(await t.outcome(other, made.number), Applied())
    await t.live(other)
    await t.settled(other)


class Own(Exception):
    """An error of the app's own."""


@scenario
async def transaction(t: Trial) -> None:
    server = await t.server()
    client = await seated(t, server)
    await t.live(client)
    await client.set_online(False)
    async with client.transaction() as both:
        both.mutate(CREATE, {"input": {"id": "n1", "text": "one"}})
        both.mutate(CREATE, {"input": {"id": "n2", "text": "two"}})
    t.equal(len(both.numbers), 2)
    t.equal([answer["createNote"]["id"] for answer in both.answers], ["n1", "n2"])
    outbox = {mutation.number: mutation.transaction for mutation in await client.outbox()}
    t.equal({outbox[number] for number in both.numbers}, {both.numbers[0]}, "they are one transaction")

    async def half() -> None:
        async with client.transaction() as wrong:
            wrong.mutate(CREATE, {"input": {"id": "n3", "text": "three"}})
            wrong.mutate(UPDATE, {"input": {"id": "nowhere", "text": "?"}})

    t.equal((await t.fails(tombolo.UnknownRecordError, half())).model, "Note")
    own = Own("the app's mind has changed")
    try:
        async with client.transaction() as given_up:
            given_up.mutate(CREATE, {"input": {"id": "n4", "text": "four"}})
            raise own
    except Own as error:
        t.holds(error is own, "the very error comes out")
    t.equal(ids(await client.query(NOTES)), ["n1", "n2"], "neither left a note", pivotal=True)
    t.equal(len(await client.outbox()), 2, "nor a mutation")

    async with client.transaction() as refused:
        refused.mutate(SEAT, {"input": {"id": "s1", "passenger": "ada"}})
        refused.mutate(CREATE, {"input": {"id": "n9", "text": "with the seat"}})
    await server.write("update", "Seat", id="s1", passenger="bob")
    await client.set_online(True)
    for number in refused.numbers:
        outcome = await t.outcome(client, number)
        t.holds(isinstance(outcome, Rejected), f"both are rejected: {outcome}")
    for number in both.numbers:
        t.equal(await t.outcome(client, number), Applied())
    await t.query_until(client, NOTES, lambda data: ids(data) == ["n1", "n2"], "n9 is rolled back")
    t.equal(sorted(await server.notes()), ["n1", "n2"])


@scenario
async def suspend_and_resume(t: Trial) -> None:
    server = await t.server()
    client = await t.open(server)
    await t.live(client)
    answers = client.watch(NOTES)
    t.equal(ids(await t.next(answers)), [])
    await client.suspend()
    t.holds(client.is_suspended, "it says that it is suspended")
    await t.fails(tombolo.SuspendedError, client.query(NOTES))
    await t.fails(tombolo.SuspendedError, client.mutate(CREATE, {"input": {"text": "no"}}))
    await server.write("create", "Note", id="n1", text="meanwhile")
    await client.suspend()
    await client.resume()
    await client.resume()
    t.holds(not client.is_suspended, "it says that it is awake")
    t.equal(ids(await t.next(answers)), ["n1"], "what came meanwhile", pivotal=True)
    await t.live(client)

    away = await t.open(server, offline=True)
    await away.mutate(CREATE, {"input": {"id": "n2", "text": "waits"}})
    report = await away.sync_once(20)
    t.equal((report.pushed, report.pending, report.up_to_date, report.complete), (1, 0, True, True))
    t.equal(away.status.link, LinkStatus.OFFLINE)
    t.equal(sorted(await server.notes()), ["n1", "n2"])


@scenario
async def cancel(t: Trial) -> None:
    server = await t.server()
    await server.stop()
    client = await t.open(server)
    made = await client.mutate(CREATE, {"input": {"id": "n1", "text": "one"}})
    waits = [asyncio.create_task(client.outcome(made.number)), asyncio.create_task(client.sync_once(600))]
    # Both have begun when the client has answered something that was asked after them.
    await client.query(NOTES)
    begun = time.monotonic()
    for wait in waits:
        wait.cancel()
    ends = await asyncio.gather(*waits, return_exceptions=True)
    t.holds(time.monotonic() - begun < 5, "they end within 5 s")
    t.equal([type(end) for end in ends], [asyncio.CancelledError] * 2, pivotal=True)
    t.equal(ids(await client.query(NOTES)), ["n1"])
    await server.start()
    await client.set_online(True)
    t.equal(await t.outcome(client, made.number), Applied())


@scenario
async def sign_out(t: Trial) -> None:
    server = await t.server()
    accounts = tombolo.Accounts(t.folder / "accounts")
    options: dict[str, Any] = {"schema": t.rig.schema, "url": server.url, "api_key": server.api_key}
    ada = t.keep(await accounts.open("ada", offline=True, **options))
    await ada.mutate(CREATE, {"input": {"id": "n1", "text": "hers"}})
    out = await ada.sign_out(tombolo.KeepSealed())
    t.equal((out.sent, out.kept, out.discarded), (0, 1, 0), pivotal=True)
    await t.fails(tombolo.SignedOutError, ada.query(NOTES))
    [listed] = await accounts.list()
    t.equal((listed.account, listed.sealed, listed.unsent, listed.path), ("ada", True, 1, accounts.path("ada")))
    await t.fails(tombolo.WrongAccountError, tombolo.open(path=accounts.path("ada"), account="bob", **options))

    ada = t.keep(await accounts.open("ada", **options))
    await t.live(ada)
    await t.settled(ada)
    t.equal(await server.notes(), {"n1": "hers"})
    await ada.mutate(CREATE, {"input": {"id": "n2", "text": "the last"}})
    out = await ada.sign_out(tombolo.SendFirst(20))
    t.equal((out.kept, out.discarded), (0, 0))
    t.equal(sorted(await server.notes()), ["n1", "n2"])
    t.holds(not accounts.path("ada").exists(), "her file is gone")

    eve = t.keep(await accounts.open("eve", offline=True, **options))
    await eve.mutate(CREATE, {"input": {"text": "unsent"}})
    out = await eve.sign_out(tombolo.Discard())
    t.equal((out.sent, out.kept, out.discarded), (0, 0, 1))
    t.holds(not accounts.path("eve").exists(), "her file is gone")


@scenario
async def import_(t: Trial) -> None:
    for platform in ("ios", "android"):
        server = await t.server()
        asked = {"platform": platform, "records": 20, "mutations": 5, "server": server.id}
        old = await t.rig.ask("POST", "/datastore-file", asked)
        await server.stop()
        path = t.path()
        client = await t.open(server, path=path, import_datastore=old["path"])
        report = client.datastore_import
        if report is None:
            t.holds(False, f"there is a report of the file of {platform}")
            return
        t.equal((report.format, report.state), (ImportFormat[platform.upper()], ImportState.UNSETTLED), f"{report}")
        t.equal((report.mutations, report.mutations_left, report.records_left), (5, 0, 0), f"{report.problems}")
        notes = "{ listNotes(limit: 1000) { items { id text } } }"
        local = await client.query(notes)
        t.equal({item["id"]: item["text"] for item in local["listNotes"]["items"]}, old["notes"], platform)
        outbox = await client.outbox()
        queued = [{"kind": m.kind.value, "id": m.key[0]} for m in outbox]
        t.equal(queued, old["mutations"], f"{platform}: in their order", pivotal=True)
        await server.start()
        await client.set_online(True)
        for mutation in outbox:
            outcome = await t.outcome(client, mutation.number)
            t.holds(outcome in (Applied(), Merged()), f"{platform}: {mutation} became {outcome}")
        await t.settled(client)
        t.equal(await server.notes(), old["notes"], f"{platform}: the server has them")
        settled = lambda _: (client.datastore_import or report).state is ImportState.SETTLED
        await t.status(client, settled, "the import is settled")
        t.holds(Path(old["path"]).exists(), "the old file is still there")
        await client.close()
        again = await t.open(server, path=path, import_datastore=old["path"])
        await t.live(again)
        t.equal(again.status.pending, 0, f"{platform}: nothing is imported twice")
        local = await again.query(notes)
        t.equal({item["id"]: item["text"] for item in local["listNotes"]["items"]}, old["notes"], platform)
