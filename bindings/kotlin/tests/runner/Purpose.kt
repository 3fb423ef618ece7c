package dev.tombolo.tests

import dev.tombolo.Credential
import dev.tombolo.Event
import dev.tombolo.ImportFormat
import dev.tombolo.ImportState
import dev.tombolo.LinkStatus
import dev.tombolo.Outcome
import dev.tombolo.SignOut
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import java.nio.file.Files
import java.nio.file.Path
import java.util.concurrent.atomic.AtomicInteger
import kotlin.coroutines.cancellation.CancellationException
import kotlin.io.path.exists
import kotlin.io.path.readBytes
import kotlin.io.path.writeBytes
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.async
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.supervisorScope

/** What the SDK is for. */
val PURPOSE: Map<String, suspend Trial.() -> Unit> = mapOf(
    "open" to Trial::openScenario,
    "offline-edits" to Trial::offlineEdits,
    "live-query" to Trial::liveQuery,
    "conflict" to Trial::conflict,
    "refusal" to Trial::refusal,
    "token-expiry" to Trial::tokenExpiry,
    "transaction" to Trial::transaction,
    "suspend-and-resume" to Trial::suspendAndResume,
    "cancel" to Trial::cancelScenario,
    "sign-out" to Trial::signOut,
    "import" to Trial::importScenario,
)

private suspend fun Trial.openScenario() {
    val path = path()
    val client = open(path = path)
    equal(ids(client.query(NOTES)), emptyList())
    equal(client.status.value.link, LinkStatus.Offline)
    equal(client.status.value.pending, 0L)
    client.mutate(CREATE, note("n1", "first"))
    client.shutDown()
    equal(texts(open(path = path).query(NOTES).data), mapOf<String, Any?>("n1" to "first"), "after opening again", pivotal = true)

    val schema = fails<TomboloException.Schema> { open(schema = "type Note @model { id: ID! text: Strin }") }
    holds("schema.graphql:1:" in schema.message.orEmpty(), "the message names the place: ${schema.message}")
    fails<TomboloException.Endpoint> { open(url = "nonsense") }
    val strange = Path.of(path())
    val bytes = ByteArray(4096) { "not a database, whatever its name says"[it % 38].code.toByte() }
    strange.writeBytes(bytes)
    val refused = fails<TomboloException.Open> { open(path = strange.toString()) }
    holds(refused.code.isNotEmpty(), "an error of opening has a code")
    holds(strange.readBytes().contentEquals(bytes), "the file is as it was")
}

private suspend fun Trial.offlineEdits() {
    val server = server()
    server.stop()
    val client = open(server)
    client.mutate(CREATE, note("n1", "one"))
    client.mutate(CREATE, note("n2", "two"))
    val third = client.mutate(CREATE, note("n3", "three"))
    val first = client.mutate(UPDATE, input("id" to "n1", "text" to "one, edited"))
    client.mutate(DELETE, input("id" to "n2"))
    equal(texts(client.query(NOTES).data), mapOf<String, Any?>("n1" to "one, edited", "n3" to "three"))
    val outbox = client.outbox()
    holds(outbox.isNotEmpty() && outbox.all { it.model == "Note" }, "only notes wait in the outbox: $outbox")
    becomes(client, "pending") { it.pending > 0 }
    server.start()
    equal(outcome(client, first.number), Outcome.Applied, "the newest of n1", pivotal = true)
    equal(outcome(client, third.number), Outcome.Applied, "n3")
    settled(client)
    equal(server.notes(), mapOf("n1" to "one, edited", "n3" to "three"))
}

private suspend fun Trial.liveQuery() {
    val server = server()
    val client = open(server)
    live(client)
    val answers = take(client.watch(OPEN_NOTES))
    equal(ids(answers.next()), emptyList())
    client.mutate(CREATE, note("n1", "one"))
    equal(ids(answers.next()), listOf("n1"))
    server.write("create", "Note", "id" to "n2", "text" to "two")
    equal(ids(answers.next()), listOf("n1", "n2"))
    client.mutate(TALLY, mapOf("name" to "visits"))
    client.mutate(CREATE, note("n3", "three"))
    equal(ids(answers.next()), listOf("n1", "n2", "n3"), "none in between", pivotal = true)
    client.mutate(UPDATE, input("id" to "n2", "done" to true))
    equal(ids(answers.next()), listOf("n1", "n3"))
    answers.letGo()
}

private suspend fun Trial.conflict() {
    val server = server()
    server.write("create", "Note", "id" to "n1", "text" to "a", "done" to false)
    val client = open(server)
    live(client)
    shows(client, NOTES, "n1") { "n1" in ids(it) }
    offline(client)
    val done = client.mutate(UPDATE, input("id" to "n1", "done" to true))
    server.write("update", "Note", "id" to "n1", "text" to "b")
    client.setOnline(true)
    val first = outcome(client, done.number)
    holds(first == Outcome.Merged || first == Outcome.Applied, "both edits are kept: $first")
    val one = "{ getNote(id: \"n1\") { text done } }"
    shows(client, one, "text b, done") { it["getNote"] == mapOf("text" to "b", "done" to true) }
    rigShows(server, one, "text b, done") { it["getNote"] == mapOf("text" to "b", "done" to true) }
    settled(client)
    offline(client)
    val mine = client.mutate(UPDATE, input("id" to "n1", "text" to "mine"))
    server.write("update", "Note", "id" to "n1", "text" to "theirs")
    client.setOnline(true)
    equal(outcome(client, mine.number), Outcome.Merged, "the same field", pivotal = true)
    shows(client, one, "theirs") { it["getNote"].members()["text"] == "theirs" }
    rigShows(server, one, "theirs") { it["getNote"].members()["text"] == "theirs" }
}

/** A seat that the client sets to `ada` and the rig to `bob`: gives the number of the mutation that will be refused. */
suspend fun Trial.refused(server: Server, client: dev.tombolo.Client): Long {
    offline(client)
    val mutated = client.mutate(SEAT, input("id" to "s1", "passenger" to "ada"))
    equal(passenger(client), "ada", "at once")
    server.write("update", "Seat", "id" to "s1", "passenger" to "bob")
    client.setOnline(true)
    return mutated.number
}

suspend fun passenger(client: dev.tombolo.Client): Any? = client.query(SEATS)["listSeats"].members()["items"].items().first()["passenger"]

private suspend fun Trial.refusal() {
    val server = server()
    server.write("create", "Seat", "id" to "s1")
    val client = open(server)
    live(client)
    val told = begin { client.events.first { it is Event.Decided } as Event.Decided }
    val number = refused(server, client)
    val outcome = outcome(client, number)
    holds(outcome is Outcome.Rejected && outcome.code == "ConflictUnhandled" && outcome.reason.isNotEmpty(), "rejected: $outcome", pivotal = true)
    equal(patiently("the event") { told.await() }, Event.Decided(number, outcome))
    shows(client, SEATS, "bob") { it["listSeats"].members()["items"].items().first()["passenger"] == "bob" }
    val entry = client.outbox().single()
    equal(entry.number, number)
    val state = entry.state
    holds(
        state is dev.tombolo.MutationState.Rejected && state.code == "ConflictUnhandled" && state.reason.isNotEmpty(),
        "the outbox says why: $state",
    )
    client.discard(number)
    equal(client.outbox(), emptyList())
}

private suspend fun Trial.tokenExpiry() {
    val server = server()
    val asked = AtomicInteger()
    val (ended, good) = rig.token("ada", 0) to rig.token("ada", 600)
    val client = open(server, credential = null, credentials = {
        Credential.Token(if (asked.incrementAndGet() == 1) ended else good)
    })
    val entry = client.mutate(DIARY, input("id" to "d1", "text" to "dear diary"))
    val entries = "{ listDiaries { items { id text } } }"
    equal(ids(client.query(entries), "listDiaries"), listOf("d1"), "locally")
    equal(outcome(client, entry.number), Outcome.Applied, "with the second token", pivotal = true)
    holds(asked.get() >= 2, "the callback was called twice or more: ${asked.get()}")
    equal(ids(server.graphql(entries, user = "ada"), "listDiaries"), listOf("d1"))
    equal(ids(server.graphql(entries, user = "bob"), "listDiaries"), emptyList())

    val second = open(server, credential = Credential.Token(rig.token("ada", 0)), offline = true)
    val need = begin { second.events.first { it == Event.NeedToken } }
    second.setOnline(true)
    patiently("the event that a token is needed") { need.await() }
    becomes(second, "paused") { it.link == LinkStatus.Paused }
    second.mutate(DIARY, input("id" to "d2", "text" to "again"))
    holds("d2" in ids(second.query(entries), "listDiaries"), "the entry is there locally")
    val refused = fails<TomboloException.Unauthorized> { second.syncOnce(20.seconds) }
    holds(refused.needsSignIn, "needsSignIn")
    second.setCredential(Credential.Token(good))
    live(second)
    settled(second)
}

private suspend fun Trial.transaction() {
    val server = server()
    val client = open(server, offline = true)
    val two = client.transaction {
        mutate(CREATE, note("n1", "one"))
        mutate(CREATE, note("n2", "two"))
    }
    equal(two.numbers.size, 2)
    equal(client.outbox().map { it.transaction }.toSet(), setOf(two.numbers.first()), "one transaction")
    val unknown = fails<TomboloException.UnknownRecord> {
        client.transaction {
            mutate(CREATE, note("n3", "three"))
            mutate(UPDATE, input("id" to "nowhere", "text" to "x"))
        }
    }
    equal(unknown.model, "Note")
    class OwnError : Exception("the app's own")
    val own = OwnError()
    try {
        client.transaction {
            mutate(CREATE, note("n4", "four"))
            throw own
        }
        throw Failed("the transaction went through")
    } catch (error: OwnError) {
        holds(error === own, "that very error")
    }
    equal(ids(client.query(NOTES)), listOf("n1", "n2"))
    equal(client.outbox().size, 2)

    server.write("create", "Seat", "id" to "s1")
    client.setOnline(true)
    live(client)
    settled(client)
    shows(client, SEATS, "s1") { "s1" in ids(it, "listSeats") }
    offline(client)
    val both = client.transaction {
        mutate(SEAT, input("id" to "s1", "passenger" to "ada"))
        mutate(CREATE, note("n9", "nine"))
    }
    server.write("update", "Seat", "id" to "s1", "passenger" to "bob")
    client.setOnline(true)
    for (number in both.numbers) {
        val outcome = outcome(client, number)
        holds(outcome is Outcome.Rejected, "together or not at all: $outcome", pivotal = true)
    }
    shows(client, NOTES, "no n9") { "n9" !in ids(it) }
    holds("n9" !in server.notes(), "the server has no n9")
}

private suspend fun Trial.suspendAndResume() {
    val server = server()
    val client = open(server)
    live(client)
    val answers = take(client.watch(NOTES))
    equal(ids(answers.next()), emptyList())
    client.suspend()
    holds(client.isSuspended, "suspended")
    fails<TomboloException.Suspended> { client.query(NOTES) }
    fails<TomboloException.Suspended> { client.mutate(CREATE, note("x", "x")) }
    server.write("create", "Note", "id" to "n1", "text" to "meanwhile")
    client.suspend()
    client.resume()
    client.resume()
    holds(!client.isSuspended, "resumed")
    equal(ids(answers.until("n1") { ids(it).isNotEmpty() }), listOf("n1"), "the live query goes on", pivotal = true)
    live(client)
    answers.letGo()

    val second = open(server, offline = true)
    second.mutate(CREATE, note("n2", "from the background"))
    val report = second.syncOnce(20.seconds)
    equal(listOf(report.pushed, report.pending), listOf(1L, 0L), "$report")
    holds(report.upToDate, "up to date: $report")
    becomes(second, "offline") { it.link == LinkStatus.Offline }
}

private suspend fun Trial.cancelScenario() {
    val server = server()
    server.stop()
    val client = open(server)
    val mutated = client.mutate(CREATE, note("n1", "one"))
    supervisorScope {
        val waits = async { client.outcome(mutated.number) }
        val syncs = async { client.syncOnce(600.seconds) }
        // Both are on their way once the client has answered this.
        client.query(NOTES)
        val began = TimeSource.Monotonic.markNow()
        for (job in listOf(waits, syncs)) {
            job.cancelAndJoin()
            val how = runCatching { job.await() }.exceptionOrNull()
            holds(job.isCancelled && how is CancellationException, "cancelled, not $how", pivotal = true)
        }
        holds(began.elapsedNow() < 5.seconds, "within 5 s: ${began.elapsedNow()}")
    }
    equal(ids(client.query(NOTES)), listOf("n1"))
    server.start()
    equal(outcome(client, mutated.number), Outcome.Applied)
}

private suspend fun Trial.signOut() {
    val server = server()
    val accounts = Files.createDirectory(folder.resolve("accounts")).toString()
    suspend fun account(name: String, offline: Boolean) =
        open(server, path = Tombolo.accountPath(accounts, name), account = name, offline = offline)

    val ada = account("ada", true)
    ada.mutate(CREATE, note("n1", "ada's"))
    equal(ada.signOut(SignOut.KeepSealed).kept, 1L, "kept", pivotal = true)
    val gone = fails<TomboloException.SignedOut> { ada.query(NOTES) }
    holds(gone.needsSignIn, "needsSignIn")
    ada.shutDown()
    val file = Tombolo.accounts(accounts).single()
    equal(listOf(file.account, file.sealed, file.unsent), listOf("ada", true, 1L))
    fails<TomboloException.WrongAccount> { open(server, path = file.path, account = "bob") }
    val again = account("ada", false)
    settled(again)
    equal(server.notes(), mapOf<String, Any?>("n1" to "ada's"))
    again.mutate(CREATE, note("n2", "another"))
    val out = again.signOut(SignOut.SendFirst(20.seconds))
    equal(out.kept, 0L, "$out")
    equal(server.notes().keys, setOf("n1", "n2"))
    again.shutDown()
    holds(!Path.of(file.path).exists(), "the file is gone")

    val eve = account("eve", true)
    eve.mutate(CREATE, note("n3", "eve's"))
    equal(eve.signOut(SignOut.Discard).discarded, 1L)
    eve.shutDown()
    holds(!Path.of(Tombolo.accountPath(accounts, "eve")).exists(), "eve's file is gone")
}

private suspend fun Trial.importScenario() {
    for (platform in ImportFormat.entries) {
        val server = server()
        val asked = mapOf("platform" to platform.name.lowercase(), "records" to 20, "mutations" to 5, "server" to server.id)
        val old = rig.ask("POST", "/datastore-file", asked)
        val file = old["path"] as String
        server.stop()
        val path = path()
        val client = open(server, path = path, importDatastore = file)
        val report = client.datastoreImport ?: throw Failed("there is no report of the file of $platform")
        equal(listOf(report.format, report.state), listOf(platform, ImportState.Unsettled), "$report")
        equal(listOf(report.mutations, report.mutationsLeft, report.recordsLeft), listOf(5L, 0L, 0L), "${report.problems}")
        val notes = "{ listNotes(limit: 1000) { items { id text } } }"
        equal(texts(client.query(notes).data), old["notes"].members(), "$platform: the notes")
        val outbox = client.outbox()
        equal(outbox.map { mapOf("kind" to it.kind.name.lowercase(), "id" to it.key[0]) }, old["mutations"].items(), "$platform: in their order", pivotal = true)
        server.start()
        for (mutation in outbox) {
            val outcome = outcome(client, mutation.number)
            holds(outcome == Outcome.Applied || outcome == Outcome.Merged, "$platform: $mutation became $outcome")
        }
        settled(client)
        equal(server.notes(), old["notes"].members(), "$platform: the server has them")
        becomes(client, "the import is settled") { client.datastoreImport?.state == ImportState.Settled }
        holds(Path.of(file).exists(), "the old file is still there")
        client.shutDown()
        val again = open(server, path = path, importDatastore = file)
        live(again)
        equal(again.outbox(), emptyList(), "$platform: nothing is imported twice")
        equal(texts(again.query(notes).data), old["notes"].members(), "$platform: the same notes")
    }
}
