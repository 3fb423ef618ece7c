"""Scenarios: code generated from the rig's schema and operations, on which `scenarios.py` puts `sys.path`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from generated import (
    SCHEMA,
    CreateCommentInput,
    CreateNoteInput,
    Note,
    Notes,
    Place,
    Priority,
    Seat,
    Tally,
    UpdateNoteInput,
    add_note,
    open_notes,
    watch_open_notes,
    Comments,
)
from tombolo.datastore import DataStore, HubEvent, HubEventKind, ModelChange, OpType, Snapshot
from tombolo.values import UNSET
from trial import Trial, scenario


@scenario
async def typed_models(t: Trial) -> None:
    server = await t.server()
    client = await t.open(server, schema=SCHEMA, offline=True)
    place = Place(latitude=40.64, longitude=-73.78, name="JFK")
    given = CreateNoteInput(
        id="n1",
        text="wet runway",
        done=False,
        priority=Priority.HIGH,
        tags=["wet", "04L"],
        place=place,
        due="2013-01-31T12:00:00.000Z",
        stars=3,
    )
    made = await Notes.create(client, given)
    note = await Notes.get(client, "n1")
    if note is None or made.record is None:
        t.holds(False, "the note is there")
        return
    t.equal(note, made.record)
    t.equal(
        (note.text, note.done, note.priority, note.tags, note.place, note.due, note.stars),
        ("wet runway", False, Priority.HIGH, ["wet", "04L"], place, "2013-01-31T12:00:00.000Z", 3),
        "it comes back equal",
    )

    await Notes.update(client, UpdateNoteInput(id="n1", stars=None))
    t.equal(UpdateNoteInput(id="n1", stars=None).to_json(), {"id": "n1", "stars": None})
    t.equal(UpdateNoteInput(id="n1", stars=UNSET).to_json(), {"id": "n1"})
    edited = await Notes.get(client, "n1")
    t.equal((edited and edited.text, edited and edited.stars), ("wet runway", None), "absent stays, null clears")

    for id, text, stars in (("n2", "ice", 5), ("n3", "fog", 1), ("n4", "wind", 5)):
        await Notes.create(client, CreateNoteInput(id=id, text=text, stars=stars, done=id == "n3"))
    wanted = Notes.where(lambda f: (f.stars > 0) & ~(f.text == "nothing")).order_by(
        lambda f: f.stars.desc(), lambda f: f.text.asc()
    )
    t.equal([note.text for note in await wanted.fetch(client)], ["ice", "wind", "fog"], pivotal=True)
    t.equal([note.id for note in await wanted.limit(2).fetch(client)], ["n2", "n4"])
    t.equal([note.id for note in await Notes.where(lambda f: f.id.in_(["n1", "n3"])).fetch(client)], ["n1", "n3"])
    t.equal(await Notes.where(lambda f: f.id.in_([])).fetch(client), [])
    t.equal([note.id for note in await Notes.where(lambda f: f.tags.contains("wet")).fetch(client)], ["n1"])
    t.equal([note.id for note in await Notes.where(lambda f: f.priority == Priority.HIGH).fetch(client)], ["n1"])
    t.equal(
        [note.id for note in await Notes.where(lambda f: f.stars.between(1, 4) | f.text.begins_with("we")).fetch(client)],
        ["n1", "n3"],
    )
    async with wanted.watch(client) as lists:
        t.equal([note.text for note in await t.next(lists)], ["ice", "wind", "fog"])
        await Notes.update(client, UpdateNoteInput(id="n3", stars=9))
        t.equal([note.text for note in await t.next(lists)], ["fog", "ice", "wind"])
    await Comments.create(client, CreateCommentInput(id="c1", note_id="n1", text="still wet"))
    t.equal([comment.id for comment in await Notes.comments_of(note).fetch(client)], ["c1"])

    answer = await open_notes(client, priority=Priority.HIGH)
    found = [item for item in answer.list_notes.items if item is not None] if answer.list_notes else []
    t.equal([(item.id, item.priority, item.place and item.place.latitude) for item in found], [("n1", Priority.HIGH, 40.64)])
    t.equal([c.text for c in (found[0].comments.items if found[0].comments else []) if c], ["still wet"])
    async with watch_open_notes(client, priority=Priority.HIGH, limit=10) as answers:
        t.equal(await t.next(answers), answer)
        added = await add_note(client, input=CreateNoteInput(id="n5", text="added", priority=Priority.HIGH))
        t.equal(added.data and added.data.create_note and added.data.create_note.text, "added")
        newer = await t.next(answers)
        t.equal(len(newer.list_notes.items if newer.list_notes else []), 2)

    # A value that a newer server knows and this code does not.
    strange = Note.from_json({"id": "n6", "text": "x", "priority": "SEVERE", "place": None, "unheardOf": 1})
    t.equal((strange.priority, strange.priority and strange.priority.is_known), ("SEVERE", False))
    t.equal(strange.to_json()["priority"], "SEVERE")
    t.equal(Note.from_json(strange.to_json()), strange)
    t.equal(Priority.HIGH.is_known, True)


@scenario
async def datastore_idioms(t: Trial) -> None:
    server = await t.server()
    path = t.path()
    store = DataStore(schema=SCHEMA, path=path, url=server.url, api_key=server.api_key)
    hub = store.hub()
    await store.start()
    told: list[HubEvent] = []

    async def until(events: AsyncIterator[Any], test: Any) -> Any:
        async for event in events:
            told.append(event)
            if test(event):
                return event
        raise AssertionError("it ended")

    await t.soon(until(hub, lambda event: event.kind is HubEventKind.READY), "ready")
    kinds = {event.kind for event in told}
    t.holds(HubEventKind.NETWORK_STATUS in kinds and HubEventKind.MODEL_SYNCED in kinds, f"the hub told {kinds}")

    changes = await store.observing(Note)
    snapshots = store.observe_query(Notes.where(lambda f: f.stars > 1).order_by(lambda f: f.stars.desc()))
    first: Snapshot[Note] = await t.next(snapshots)
    t.equal((first.items, first.is_synced), ([], True))

    note = await store.save(Note(text="ice", stars=5))
    change: ModelChange[Note] = await t.next(changes)
    t.equal((change.op_type, change.element and change.element.text), (OpType.INSERT, "ice"))
    t.equal([item.id for item in (await t.next(snapshots)).items], [note.id])
    processed = await t.soon(until(hub, lambda event: event.kind is HubEventKind.OUTBOX_MUTATION_PROCESSED))
    t.holds(processed.number, "the hub tells which mutation was processed")
    client = await store.client()
    await t.settled(client)

    # Only what the app changed is sent: what others did to another field meanwhile stays.
    await server.write("update", "Note", id=note.id, done=True)
    await t.until(changes, lambda change: change.element and change.element.done, "the server's edit")
    note.text = "black ice"
    await store.save(note)
    await t.until(changes, lambda change: change.element and change.element.text == "black ice", "the edit")
    kept = await store.query(Note, note.id)
    t.equal((kept and kept.text, kept and kept.done), ("black ice", True), "both edits stand", pivotal=True)

    for stars, text in ((2, "fog"), (3, "wind"), (4, "snow")):
        await store.save(Note(text=text, stars=stars))
    ordered = Notes.all().order_by(lambda f: f.stars.asc())
    t.equal([n.text for n in await store.query(ordered, limit=2)], ["fog", "wind"])
    t.equal([n.text for n in await store.query(ordered, page=1, limit=2)], ["snow", "black ice"])
    t.equal([n.text for n in await store.query(Notes.where(lambda f: f.stars >= 4).order_by(lambda f: f.stars.desc()))], ["black ice", "snow"])
    t.equal(len(await store.query(Note)), 4)
    t.equal(await store.query(Note, "nowhere"), None)
    await t.until(snapshots, lambda snapshot: len(snapshot.items) == 4, "four in the snapshot")

    deleted = await store.delete(Notes.where(lambda f: f.stars < 4))
    t.equal(sorted(n.text for n in deleted), ["fog", "wind"])
    again = await store.query(Note, note.id)
    if again is None:
        t.holds(False, "the note is there")
        return
    await store.delete(again)
    gone = await t.until(changes, lambda change: change.op_type is OpType.DELETE and change.key == {"id": note.id}, "its delete")
    t.equal(gone.key, {"id": note.id})
    t.equal([n.text for n in await store.query(Note)], ["snow"])
    await t.settled(client)
    t.equal(list((await server.notes()).values()), ["snow"])

    await store.stop()
    await t.until(client.statuses(), lambda status: status.link.value == "offline", "offline")
    tally = await store.save(Tally(name="flights", count=1))
    t.equal((await store.query(Tally, tally.id)), tally, "local life goes on")
    t.equal(await store.query(Seat), [])

    async def end() -> None:
        async for _ in changes:
            pass

    ends = asyncio.create_task(end())
    await store.clear()
    await t.soon(ends, "the end of the observer")
    t.holds(not path.exists(), "the file is gone")
    t.equal(await store.query(Tally), [], "a new file is empty")
    await store.close()
