package dev.tombolo.tests

import dev.tombolo.Client
import dev.tombolo.Event
import dev.tombolo.Model
import dev.tombolo.MutationStage
import dev.tombolo.MutationState
import dev.tombolo.Outcome
import dev.tombolo.Record
import dev.tombolo.SignOut
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import dev.tombolo.datastore.DataStore
import dev.tombolo.datastore.DataStoreException
import dev.tombolo.datastore.Hub
import dev.tombolo.datastore.HubChannel
import dev.tombolo.datastore.ObserveQueryOptions
import dev.tombolo.datastore.OutboxMutation
import dev.tombolo.datastore.Where
import dev.tombolo.datastore.begin
import dev.tombolo.datastore.tell
import dev.tombolo.datastore.waiting
import dev.tombolo.tests.generated.Note
import dev.tombolo.tests.generated.Seat
import dev.tombolo.tests.generated.tomboloSchema
import java.io.IOException
import kotlin.io.path.createTempDirectory
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.receiveAsFlow
import kotlinx.coroutines.flow.toList
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import kotlinx.coroutines.withTimeoutOrNull
import kotlinx.coroutines.yield

/** What code that comes from Amplify DataStore relies on. */
val FACADE: Map<String, suspend () -> Unit> = mapOf(
    "a callback comes whatever fails" to ::callbacksCome,
    "flows fail as code from Amplify expects" to ::flowsFail,
    "the store lives on after its client" to ::livesOn,
    "a clear that is given up" to ::clearGivenUp,
    "an observation that is given up holds nothing" to ::observationGivenUp,
    "a wedged mutation is told each time" to ::wedgedTold,
    "what waits for the app is listed to its end" to ::listedToItsEnd,
)

/** The same, against a server. */
val FACADE_SERVED: Map<String, suspend Trial.() -> Unit> = mapOf(
    "a refusal that came while it was suspended is told" to Trial::refusedWhileSuspended,
)

/** A record whose key is two values. */
internal class Leg : Record {
    override val __model get() = Leg

    override fun toJson(): Map<String, Any?> = emptyMap()

    companion object : Model<Leg, Unit>("Leg", Unit, listOf("flight", "number"), null, null, null, emptySet(), emptySet(), emptySet()) {
        override fun decode(json: Any?): Leg = Leg()
    }
}

private suspend fun withStore(open: suspend (path: String) -> Client, work: suspend (DataStore) -> Unit) {
    val folder = createTempDirectory("tombolo-check-")
    val store = DataStore(Hub())
    val path = folder.resolve("check.db").toString()
    var last: Client? = null
    store.configure { open(path).also { last = it } }
    try {
        work(store)
    } finally {
        last?.shutDown()
        folder.toFile().deleteRecursively()
    }
}

private suspend fun local(path: String): Client = Tombolo.open(tomboloSchema, path)

private suspend fun callbacksCome() {
    val failures: List<suspend (String) -> Client> = listOf(
        { throw IOException("no folder") },
        { withTimeout(1.milliseconds) { delay(1.hours) }.let { _ -> error("not so late") } },
    )
    for (open in failures) withStore(open) { store ->
        val cause = refused { error -> store.query(Note::class.java, { error.complete(null) }, { error.complete(it) }) }.cause
        wants(cause is IOException || cause is kotlinx.coroutines.TimeoutCancellationException) { "the opener's error became $cause" }
        refused { error -> store.save(Note(text = "a"), { error.complete(null) }, { error.complete(it) }) }
        refused { error -> store.start({ error.complete(null) }, { error.complete(it) }) }
        refused { error -> store.observe(Note::class.java, { }, { }, { error.complete(it) }, { error.complete(null) }) }
        refused { error -> store.observeQuery(Note::class.java, ObserveQueryOptions(), { }, { }, { error.complete(it) }, { error.complete(null) }) }
    }
    withStore(::local) { store ->
        val composite = refused { error -> store.query(Leg::class.java, Where.id("UA1"), { error.complete(null) }, { error.complete(it) }) }
        wants(composite.cause is TomboloException.Request && "flight, number" in composite.message.orEmpty()) { "a composite key: $composite" }
        abstract class Foreign : Record
        refused { error -> store.query(Foreign::class.java, { error.complete(null) }, { error.complete(it) }) }
    }
}

/** What the callback is told; it must be told something. */
private suspend fun refused(call: (CompletableDeferred<DataStoreException?>) -> Unit): DataStoreException {
    val told = CompletableDeferred<DataStoreException?>()
    call(told)
    return withTimeout(PATIENCE) { told.await() } ?: throw Failed("it did not fail")
}

private suspend fun flowsFail() {
    withStore({ throw IOException("no folder") }) { store ->
        val found = listOf(
            runCatching { store.query(Note).toList() }, runCatching { store.observe(Note).toList() },
            runCatching { store.observeQuery(Note).toList() }, runCatching { store.save(Note(text = "a")) },
        ).map { it.exceptionOrNull() }
        wants(found.all { it is DataStoreException && it.cause is IOException }) { "found $found" }
    }
    withStore(::local) { store ->
        coroutineScope {
            val changes = store.observe(Strange)
            store.save(Note(id = "n1", text = "a"))
            val found = listOf(
                runCatching { withTimeout(PATIENCE) { changes.toList() } }, runCatching { withTimeout(PATIENCE) { store.observeQuery(Strange).toList() } },
                runCatching { store.query(Strange).toList() },
            ).map { it.exceptionOrNull() }
            wants(found.all { it is DataStoreException && it.cause is TomboloException.Shape }) { "found $found" }
        }
    }
}

private suspend fun livesOn() = withStore(::local) { store ->
    for (round in 1..2) {
        val first = store.client()
        store.save(Note(id = "n1", text = "a"))
        first.signOut(SignOut.Discard)
        wants(store.query(Note).toList().isEmpty()) { "signed out elsewhere, round $round" }
        val second = store.client()
        wants(second !== first) { "still the client that has ended" }
        store.save(Note(id = "n2", text = "b"))
        second.shutDown()
        wants(store.query(Note).toList().map { it.id } == listOf("n2")) { "closed beside us, round $round" }
        store.client().shutDown()
        wants(store.observeQuery(Note).first().items.size == 1) { "observed after the end" }
        store.client().signOut(SignOut.Discard)
        wants(store.observeQuery(Note).first().items.isEmpty()) { "observed after a sign-out elsewhere" }
        store.client().signOut(SignOut.Discard)
        val changes = store.observe(Note)
        store.save(Note(id = "n3", text = "c"))
        wants(changes.first().item().id == "n3") { "changes after a sign-out elsewhere" }
        store.client().suspend()
        coroutineScope {
            // One who observes while the client is suspended waits.
            val snapshot = async(start = CoroutineStart.UNDISPATCHED) { store.observeQuery(Note).first() }
            store.client().resume()
            wants(snapshot.await().items.size == 1) { "observed while suspended" }
        }
        store.client().shutDown()
        store.clear()
        wants(store.query(Note).toList().isEmpty()) { "cleared after the end" }
    }
}

private suspend fun clearGivenUp() = withStore(::local) { store ->
    for (round in 0..40) {
        store.save(Note(id = "n$round", text = "a"))
        coroutineScope {
            val clearing = launch(start = CoroutineStart.UNDISPATCHED) { store.clear() }
            repeat(round * 50) { yield() }
            clearing.cancel()
            clearing.join()
        }
        store.save(Note(id = "more", text = "a"))
        wants(store.query(Note, Where.id("more")).toList().size == 1) { "round $round" }
    }
}

private suspend fun observationGivenUp() = withStore(::local) { store ->
    val client = store.client()
    repeat(50) { round ->
        coroutineScope {
            val begun = launch(start = CoroutineStart.UNDISPATCHED) { begin(client, Note.all).letGo() }
            // This thread is the one that would take the handle: it is kept from it until the handle is there.
            val late = System.nanoTime() + PATIENCE.inWholeNanoseconds
            while (begun.isActive && client.heldCount == 0 && System.nanoTime() < late) Thread.onSpinWait()
            begun.cancelAndJoin()
        }
        wants(client.heldCount == 0) { "round $round: the handle is held by nobody and never let go" }
    }
}

private suspend fun wedgedTold() {
    var path = ""
    withStore({ path = it; local(it) }) { store ->
        val client = store.client()
        for (id in listOf("n1", "n2")) store.save(Note(id = id, text = "a"))
        val (first, second) = client.outbox().map { it.number }
        val (hub, events, told) = Triple(Hub(), Channel<Event>(Channel.UNLIMITED), Channel<Any?>(Channel.UNLIMITED))
        coroutineScope {
            val listening = launch(start = CoroutineStart.UNDISPATCHED) {
                hub.subscribe(HubChannel.DATASTORE) { it.name == "outboxMutationProcessed" }.collect { told.send(it.data) }
            }
            val telling = launch { tell(client, hub, events.receiveAsFlow()) }
            suspend fun tells(number: Long, reason: String) {
                val found = withTimeoutOrNull(PATIENCE) { told.receive() }
                wants(found == OutboxMutation("Note", number, wedged = MutationState.Wedged(reason))) { "$reason: told $found" }
            }
            for (reason in listOf("no answer", "nor now")) {
                events.send(Event.Wedged(first, reason))
                tells(first, reason)
            }
            // Another process sends what is queued here, and its events are its own.
            for (reason in listOf("while it was suspended", "and again")) {
                client.suspend()
                wedge(path, second, reason)
                client.resume()
                tells(second, reason)
                client.retry(second)
                // With this look the retry has been seen.
                events.send(Event.Missed(1))
                events.send(Event.Wedged(first, reason))
                tells(first, reason)
            }
            telling.cancel()
            listening.cancel()
        }
    }
}

/** As the server's many answers that decide nothing leave it. */
private suspend fun wedge(path: String, number: Long, reason: String) {
    val script = "import sqlite3, sys; file = sqlite3.connect(sys.argv[1], isolation_level=None); " +
        "file.execute('update _outbox set state = 4, reason = ? where number = ?', (sys.argv[3], int(sys.argv[2])))"
    val ended = withContext(Dispatchers.IO) { ProcessBuilder("python3", "-c", script, path, "$number", reason).inheritIO().start().waitFor() }
    wants(ended == 0) { "the file could not be written" }
}

private suspend fun listedToItsEnd() = withStore(::local) { store ->
    repeat(5) { store.save(Note(id = "n$it", text = "a")) }
    val client = store.client()
    val stages = ArrayList<Set<MutationStage>>()
    // They are queued, and stand for those that wait.
    val found = waiting { filter ->
        stages += filter.stages
        client.mutations(filter.copy(stages = setOf(MutationStage.Queued), limit = 2))
    }
    wants(found.map { it.number } == client.outbox().map { it.number } && found.size == 5) { "found $found" }
    wants(stages.toSet() == setOf(setOf(MutationStage.Rejected, MutationStage.Wedged))) { "asked for $stages" }
}

private suspend fun Trial.refusedWhileSuspended() {
    val server = server()
    server.write("create", "Seat", "id" to "s1")
    val path = path()
    val hub = Hub()
    val store = DataStore(hub)
    store.configure { open(server, path) }
    val told = take(hub.subscribe(HubChannel.DATASTORE) { it.name == "outboxMutationProcessed" })
    suspend fun seat() = store.query(Seat, Where.id("s1")).toList().single()
    // One of before, of which the app was told when it ran last.
    val before = store.client()
    live(before)
    val first = refused(server, before)
    equal((told.next().data as OutboxMutation).number, first)
    before.shutDown()
    seat()
    val client = store.client()
    live(client)
    shows(client, SEATS, "bob") { it["listSeats"].members()["items"].items().first()["passenger"] == "bob" }

    store.stop()
    store.save(seat().copy(passenger = "carol"))
    server.write("update", "Seat", "id" to "s1", "passenger" to "dave")
    client.suspend()
    val other = open(server, path)
    settled(other)
    val missed = other.outbox().single { it.number != first }
    holds(outcome(other, missed.number) is Outcome.Rejected, "refused")
    other.shutDown()
    client.resume()
    val mutation = told.next().data as OutboxMutation
    equal(mutation.number, missed.number, "the missed refusal")
    holds(mutation.outcome is Outcome.Rejected, "it is a refusal: ${mutation.outcome}")

    store.start()
    live(client)
    store.save(Note(id = "n1", text = "a"))
    equal((told.next().data as OutboxMutation).outcome, Outcome.Applied, "events go on, and nothing is told twice")

    shows(client, SEATS, "dave") { it["listSeats"].members()["items"].items().first()["passenger"] == "dave" }
    offline(client)
    val retried = client.retry(missed.number).single()
    server.write("update", "Seat", "id" to "s1", "passenger" to "erin")
    client.setOnline(true)
    val again = told.next().data as OutboxMutation
    equal(again.number, retried, "a retry that is refused")
    holds(again.outcome is Outcome.Rejected, "it is a refusal again: ${again.outcome}")
    told.letGo()
}
