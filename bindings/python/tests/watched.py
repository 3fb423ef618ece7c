"""Scenarios: what an app watches and decides."""

from __future__ import annotations

import tombolo
from purpose import PASSENGER, refused_seat, seated
from tombolo import Applied, Decided, Discarded, LinkStatus, MutationKind, MutationState, Scope
from trial import CREATE, NOTES, Trial, ids, scenario


@scenario
async def status_and_events(t: Trial) -> None:
    server = await t.server()
    await server.stop()
    client = await t.open(server)
    statuses, events = client.statuses(), client.events()
    first = await t.next(statuses)
    t.equal(first.pending, 0, "the current value comes first")
    waiting = await t.until(statuses, lambda status: status.link is LinkStatus.WAITING and status.last_error, "waiting")
    t.holds(waiting.last_error and waiting.last_error.message, "it says what is wrong")
    made = await client.mutate(CREATE, {"input": {"id": "n1", "text": "one"}})
    await t.until(statuses, lambda status: status.pending == 1, "one is pending")
    await server.start()
    await client.set_online(True)
    await t.until(
        statuses,
        lambda status: status.link is LinkStatus.LIVE and status.up_to_date and status.pending == 0,
        "live, up to date, nothing pending",
    )
    event = await t.until(events, lambda event: isinstance(event, Decided), "it is decided")
    t.equal(event, Decided(made.number, Applied()), pivotal=True)
    mutation = await client.mutation(made.number)
    if mutation is None:
        t.holds(False, "the mutation is kept")
        return
    t.equal(
        (mutation.state, mutation.settled, mutation.model, mutation.kind, mutation.key, mutation.values["text"]),
        (MutationState.APPLIED, True, "Note", MutationKind.CREATE, ("n1",), "one"),
    )


@scenario
async def outbox_and_retry(t: Trial) -> None:
    server = await t.server()
    client = await seated(t, server)
    await t.live(client)
    await client.set_online(False)
    first = await client.mutate(CREATE, {"input": {"id": "n1", "text": "one"}})
    second = await client.mutate(CREATE, {"input": {"id": "n2", "text": "two"}})
    outbox = await client.outbox()
    t.equal([(m.number, m.state, m.values["text"]) for m in outbox], [
        (first.number, MutationState.QUEUED, "one"),
        (second.number, MutationState.QUEUED, "two"),
    ])
    await client.discard(first.number)
    t.equal(await t.outcome(client, first.number), Discarded())
    t.equal(ids(await client.query(NOTES)), ["n2"])
    await t.fails(tombolo.WrongStateError, client.retry(second.number))
    t.equal((await t.fails(tombolo.UnknownMutationError, client.discard(999))).number, 999)
    await client.set_online(True)

    number = await refused_seat(t, server, client, "ada", "bob")
    again = await client.edit_and_retry(number, {"passenger": "carol"})
    t.equal(await t.outcome(client, again[-1]), Applied(), "edited and tried again", pivotal=True)
    t.equal((await server.graphql(PASSENGER))["getSeat"]["passenger"], "carol")
    number = await refused_seat(t, server, client, "dora", "emil")
    again = await client.retry(number)
    t.equal(await t.outcome(client, again[-1]), Applied(), "tried again")
    t.equal((await server.graphql(PASSENGER))["getSeat"]["passenger"], "dora")

    await t.settled(client)
    notes = await client.mutations(model="Note")
    t.equal([(m.number, m.state) for m in notes], [
        (first.number, MutationState.DISCARDED),
        (second.number, MutationState.APPLIED),
    ])
    rejected = await client.mutations(states=[MutationState.REJECTED])
    t.equal({m.model for m in rejected}, {"Seat"})
    t.equal([m.number for m in await client.mutations(key=["n2"])], [second.number])
    t.equal([m.number for m in await client.mutations(model="Note", after=first.number)], [second.number])
    t.equal(len(await client.mutations(limit=1)), 1)


@scenario
async def scopes(t: Trial) -> None:
    server = await t.server()
    await server.write("create", "Note", id="n1", text="one", done=True)
    await server.write("create", "Note", id="n2", text="two", done=False)
    done = {"done": {"eq": True}}
    client = await t.open(server, scopes=[Scope("Note", done)])
    await t.live(client)
    t.equal(ids(await client.query(NOTES)), ["n1"], "those in the scope alone", pivotal=True)
    t.equal([scope.scope for scope in client.scopes], [Scope("Note", done)])
    await client.set_scope("Note")
    await t.query_until(client, NOTES, lambda data: ids(data) == ["n1", "n2"], "all notes")
    t.equal([scope.scope for scope in client.scopes], [Scope("Note")])
    await client.remove_scope("Note")
    await t.query_until(client, NOTES, lambda data: ids(data) == [], "no note")
    t.equal(client.scopes, [])
    t.equal((await t.fails(tombolo.UnknownModelError, client.set_scope("Nonsense"))).model, "Nonsense")
    error = await t.fails(tombolo.RequestError, client.set_scope("Note", {"nonsense": {"eq": 1}}))
    t.holds("nonsense" in str(error), f"the field is named in {error}")
