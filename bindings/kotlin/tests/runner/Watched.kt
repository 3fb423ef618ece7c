package dev.tombolo.tests

import dev.tombolo.Event
import dev.tombolo.LinkStatus
import dev.tombolo.MutationFilter
import dev.tombolo.MutationKind
import dev.tombolo.MutationStage
import dev.tombolo.MutationState
import dev.tombolo.Outcome
import dev.tombolo.Scope
import dev.tombolo.TomboloException
import kotlinx.coroutines.flow.first

/** What an app watches and decides. */
val WATCHED: Map<String, suspend Trial.() -> Unit> = mapOf(
    "status-and-events" to Trial::statusAndEvents,
    "outbox-and-retry" to Trial::outboxAndRetry,
    "scopes" to Trial::scopes,
)

private suspend fun Trial.statusAndEvents() {
    val server = server()
    server.stop()
    val client = open(server)
    val statuses = take(client.statuses())
    val before = statuses.next()
    equal(before.pending, 0L, "the current value comes first")
    if (before.link != LinkStatus.Waiting || before.lastError == null) {
        statuses.until("waiting, with a last error") { it.link == LinkStatus.Waiting && it.lastError != null }
    }
    val decided = begin { client.events.first { it is Event.Decided } as Event.Decided }
    val mutated = client.mutate(CREATE, note("n1", "one"))
    statuses.until("one pending") { it.pending == 1L }
    server.start()
    statuses.until("live and settled") { it.link == LinkStatus.Live && it.pending == 0L }
    patiently("the property follows") { client.status.first { it.link == LinkStatus.Live && it.pending == 0L } }
    equal(patiently("the event") { decided.await() }, Event.Decided(mutated.number, Outcome.Applied), pivotal = true)
    val mutation = client.mutation(mutated.number) ?: throw Failed("the mutation is not known")
    equal(mutation.state, MutationState.Applied)
    holds(mutation.settled, "settled")
    equal(listOf(mutation.model, mutation.kind, mutation.key), listOf("Note", MutationKind.Create, listOf<Any?>("n1")))
    equal(mutation.values["text"], "one")
    statuses.letGo()
}

private suspend fun Trial.outboxAndRetry() {
    val server = server()
    server.write("create", "Seat", "id" to "s1")
    val client = open(server, offline = true)
    val first = client.mutate(CREATE, note("n1", "one")).number
    val second = client.mutate(CREATE, note("n2", "two")).number
    val outbox = client.outbox()
    equal(outbox.map { it.state }, listOf<MutationState>(MutationState.Queued, MutationState.Queued))
    equal(outbox.map { it.values["text"] }, listOf<Any?>("one", "two"))
    client.discard(first)
    equal(outcome(client, first), Outcome.Discarded)
    equal(ids(client.query(NOTES)), listOf("n2"))
    fails<TomboloException.WrongState> { client.retry(second) }
    equal(fails<TomboloException.UnknownMutation> { client.discard(999) }.number, 999L)

    client.setOnline(true)
    live(client)
    settled(client)
    shows(client, SEATS, "s1") { "s1" in ids(it, "listSeats") }
    val refused = refused(server, client)
    holds(outcome(client, refused) is Outcome.Rejected, "refused")
    shows(client, SEATS, "bob") { it["listSeats"].members()["items"].items().first()["passenger"] == "bob" }
    val rejected = client.mutations(MutationFilter(stages = setOf(MutationStage.Rejected)))
    equal(rejected.map { it.number }, listOf(refused))
    val carol = client.retry(refused, mapOf("passenger" to "carol")).single()
    holds(carol != refused, "a new number")
    equal(outcome(client, carol), Outcome.Applied, "carol", pivotal = true)
    rigShows(server, SEATS, "carol") { it["listSeats"].members()["items"].items().first()["passenger"] == "carol" }
    settled(client)

    val again = refused(server, client)
    holds(outcome(client, again) is Outcome.Rejected, "refused again")
    shows(client, SEATS, "bob") { it["listSeats"].members()["items"].items().first()["passenger"] == "bob" }
    equal(outcome(client, client.retry(again).single()), Outcome.Applied)
    equal(client.mutations(MutationFilter(model = "Note", stages = setOf(MutationStage.Applied))).map { it.number }, listOf(second))
    holds(client.mutations(MutationFilter(model = "Seat")).all { it.model == "Seat" }, "only seats")
    equal(client.mutations(MutationFilter(model = "Note", stages = setOf(MutationStage.Discarded))).map { it.number }, listOf(first))
}

private suspend fun Trial.scopes() {
    val server = server()
    server.write("create", "Note", "id" to "n1", "text" to "one", "done" to true)
    server.write("create", "Note", "id" to "n2", "text" to "two", "done" to false)
    val done = Scope("Note", mapOf("done" to mapOf("eq" to true)))
    val client = open(server, scopes = listOf(done))
    live(client)
    equal(ids(client.query(NOTES)), listOf("n1"))
    equal(client.scopes().map { it.scope }, listOf(done))
    client.setScope("Note")
    shows(client, NOTES, "n1 and n2") { ids(it) == listOf("n1", "n2") }
    equal(client.scopes().map { it.scope }, listOf(Scope("Note")))
    client.removeScope("Note")
    shows(client, NOTES, "nothing") { ids(it).isEmpty() }
    equal(client.scopes(), emptyList(), pivotal = true)
    equal(fails<TomboloException.UnknownModel> { client.setScope("Nonsense") }.model, "Nonsense")
    fails<TomboloException.Request> { client.setScope("Note", mapOf("nonsense" to mapOf("eq" to 1))) }
}
