package dev.tombolo.tests

import dev.tombolo.Credential
import dev.tombolo.LinkStatus
import dev.tombolo.Report
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import dev.tombolo.ffi.provokePanic
import dev.tombolo.ffi.provokePanicAtOnce
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.TimeUnit
import kotlin.concurrent.thread
import kotlin.time.Duration.Companion.seconds
import kotlin.time.TimeSource
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext

/** Bad input. */
val BAD_INPUT: Map<String, suspend Trial.() -> Unit> = mapOf(
    "call-after-close" to Trial::callAfterClose,
    "two-threads-at-once" to Trial::twoThreadsAtOnce,
    "call-from-within-a-callback" to Trial::callFromWithinACallback,
    "callback-that-throws" to Trial::callbackThatThrows,
    "rust-panic-becomes-an-error" to Trial::rustPanic,
    "watch-stops-on-drop" to Trial::watchStopsOnDrop,
    "bad-document" to Trial::badDocument,
    "wrong-variables" to Trial::wrongVariables,
    "api-drift" to Trial::apiDrift,
)

private suspend fun Trial.callAfterClose() {
    val client = open()
    val mutated = client.mutate(CREATE, note("n1", "one"))
    val answers = take(client.watch(NOTES))
    answers.next()
    val statuses = take(client.statuses())
    statuses.next()
    val events = take(client.events)
    client.shutDown()
    answers.ended("the live query")
    events.ended("the events")
    // Closing may be a last change.
    statuses.untilEnd("the statuses")
    val calls: Map<String, suspend () -> Any?> = mapOf(
        "query" to { client.query(NOTES) },
        "mutate" to { client.mutate(CREATE, note("n2", "two")) },
        "transaction" to { client.transaction { mutate(CREATE, note("n2", "two")) } },
        "watch" to { client.watch(NOTES).first() },
        "outbox" to { client.outbox() },
        "outcome" to { client.outcome(mutated.number) },
        "setScope" to { client.setScope("Note") },
        "syncOnce" to { client.syncOnce(PATIENCE) },
        "suspend" to { client.suspend() },
    )
    for ((name, call) in calls) {
        val error = runCatching { call() }.exceptionOrNull()
        holds(error is TomboloException.Closed, "$name fails with Closed, not $error", pivotal = name == "query")
    }
    client.shutDown()
    client.close()
    equal(client.status.value.link, LinkStatus.Offline, "the status can still be read")
}

private suspend fun Trial.twoThreadsAtOnce() {
    val client = open()
    val numbers = CopyOnWriteArrayList<Long>()
    val wrong = CopyOnWriteArrayList<Throwable>()
    withContext(Dispatchers.IO) {
        val threads = (0 until 8).map { who ->
            thread {
                runCatching {
                    runBlocking {
                        repeat(25) { turn ->
                            val id = "n-$who-$turn"
                            numbers += client.mutate(CREATE, note(id, "by $who")).number
                            val found = client.query("query(\$id: ID!) { getNote(id: \$id) { id } }", mapOf("id" to id))
                            if (found["getNote"] == null) throw Failed("$id is not there")
                        }
                    }
                }.onFailure { wrong += it }
            }
        }
        threads.forEach { it.join() }
    }
    equal(wrong.map { it.toString() }, emptyList())
    equal(numbers.toSet().size, 200, "different numbers")
    equal(ids(client.query("{ listNotes(limit: 1000) { items { id } } }")).size, 200, "notes", pivotal = true)
    withContext(Dispatchers.IO) {
        val closers = (0 until 2).map { thread { runBlocking { client.shutDown() } } }
        closers.forEach { it.join(PATIENCE.inWholeMilliseconds) }
        holds(closers.none { it.isAlive }, "both return")
    }
}

private suspend fun Trial.callFromWithinACallback() {
    val server = server()
    val itself = CompletableDeferred<dev.tombolo.Client>()
    val within = CompletableDeferred<List<String>>()
    val threads = CopyOnWriteArrayList<String>()
    val client = open(server, credential = null, credentials = {
        threads += Thread.currentThread().name
        val client = itself.await()
        val notes = ids(client.query(NOTES))
        client.mutate(TALLY, mapOf("name" to "asked"))
        within.complete(notes)
        Credential.ApiKey(server.apiKey)
    })
    itself.complete(client)
    equal(patiently("the callback") { within.await() }, emptyList())
    live(client)
    settled(client)
    holds(threads.all { it.startsWith("DefaultDispatcher-worker") }, "the callback comes on Dispatchers.IO: $threads")
    val tallies = "{ listTallies { items { id name } } }"
    equal(ids(server.graphql(tallies), "listTallies").size, 1, "the callback's tally is on the server", pivotal = true)

    var turns = 0
    patiently("the live query ends") {
        client.watch(NOTES).collect {
            equal(ids(client.query(NOTES)).size, turns)
            turns += 1
            if (turns < 3) client.mutate(CREATE, note("n$turns", "within")) else client.shutDown()
        }
    }
    equal(turns, 3)
}

/** The reports from now on. */
private fun reports(): CopyOnWriteArrayList<Report> {
    val told = CopyOnWriteArrayList<Report>()
    Tombolo.reporter = { told += it }
    return told
}

private suspend fun Trial.callbackThatThrows() {
    val callback = CompletableDeferred<Report>()
    Tombolo.reporter = { if (it.kind == "callback") callback.complete(it) }
    try {
        val server = server()
        val client = open(server, credential = null, credentials = { error("no sign-in today") })
        becomes(client, "paused") { it.link == LinkStatus.Paused }
        patiently("the reporter is told") { callback.await() }
        holds("no sign-in today" in callback.await().detail, "with its words", pivotal = true)
        client.mutate(CREATE, note("n1", "locally"))
        equal(ids(client.query(NOTES)), listOf("n1"))
        client.setCredential(Credential.ApiKey(server.apiKey))
        live(client)
        Tombolo.reporter = { error("the reporter, too") }
        fails<TomboloException.Panicked> { dev.tombolo.native { provokePanic("on purpose") } }
        equal(ids(client.query(NOTES)), listOf("n1"))
    } finally {
        Tombolo.reporter = null
    }
}

private suspend fun Trial.rustPanic() {
    val client = open()
    val told = reports()
    try {
        val error = fails<TomboloException.Panicked> { dev.tombolo.native { provokePanic("one of ours") } }
        holds("one of ours" in error.message.orEmpty(), "the panic's words: ${error.message}", pivotal = true)
        val here = fails<TomboloException.Panicked> { dev.tombolo.native { provokePanicAtOnce("here and now") } }
        holds("here and now" in here.message.orEmpty(), "the panic's words: ${here.message}")
        equal(told.map { it.kind }, listOf("panic", "panic"))
        holds("one of ours" in told[0].detail && "here and now" in told[1].detail, "the reports have the words: $told")
    } finally {
        Tombolo.reporter = null
    }
    equal(ids(client.query(NOTES)), emptyList())
    client.shutDown()
}

private suspend fun Trial.watchStopsOnDrop() {
    val client = open()
    val first = take(client.watch(NOTES))
    val second = take(client.watch(NOTES))
    first.next()
    second.next()
    equal(client.liveQueryCount, 2)
    first.letGo()
    for (turn in 1..3) {
        client.mutate(CREATE, note("n$turn", "one more"))
        equal(ids(second.next()).size, turn)
    }
    equal(client.liveQueryCount, 1, "the one that was let go of is over", pivotal = true)
    // One that is waited for ends where its coroutine is cancelled.
    val third = take(client.watch(NOTES))
    third.next()
    third.letGo()
    repeat(1_000) { client.watch(NOTES).first() }
    equal(client.liveQueryCount, 1, "after 1,000 that were let go of")
    client.mutate(CREATE, note("n4", "one more"))
    equal(ids(second.next()).size, 4, "the second works")
    val began = TimeSource.Monotonic.markNow()
    client.shutDown()
    holds(began.elapsedNow() < 5.seconds, "closed within 5 s: ${began.elapsedNow()}")
    second.untilEnd("the second")
}

private suspend fun Trial.badDocument() {
    val client = open()
    suspend fun refuses(words: String, named: String, call: suspend () -> Any?) {
        val error = fails<TomboloException.Request> { call() }
        val told = error.message.orEmpty() + error.problems
        holds(named in told, "$words names $named: $told", pivotal = words == "a field")
        equal(ids(client.query(NOTES)), emptyList(), "after $words")
    }
    val syntax = fails<TomboloException.Request> { client.query("{ listNotes {") }
    holds(syntax.problems.any { it.line != null && it.column != null }, "line and column: ${syntax.problems}")
    refuses("a field", "nonsense") { client.query("{ listNotes { items { nonsense } } }") }
    refuses("a mutation given to query", "mutat") { client.query(CREATE, note("n1", "x")) }
    refuses("a mutation given to watch", "mutat") { client.watch(CREATE, note("n1", "x")).first() }
    refuses("a query given to mutate", "query") { client.mutate(NOTES) }
    refuses("the empty document", "") { client.query("") }
    fails<TomboloException.NeedsNetwork> { client.query("{ syncNotes { items { id } } }") }
    equal(client.outbox(), emptyList(), "nothing is queued")
    equal(ids(client.query(NOTES)), emptyList())
}

private suspend fun Trial.wrongVariables() {
    val client = open()
    suspend fun refuses(named: String, call: suspend () -> Any?) {
        val error = fails<TomboloException.Request> { call() }
        val told = error.message.orEmpty() + error.problems
        holds(named in told, "the variable is named ($named): $told", pivotal = named == "input")
    }
    val one = "query(\$id: ID!) { getNote(id: \$id) { id } }"
    val some = "query(\$limit: Int, \$priority: Priority) { listNotes(limit: \$limit, filter: { priority: { eq: \$priority } }) { items { id } } }"
    refuses("id") { client.query(one) }
    refuses("limit") { client.query(some, mapOf("limit" to "many")) }
    refuses("id") { client.query(one, mapOf("id" to null)) }
    refuses("priority") { client.query(some, mapOf("priority" to "NONE")) }
    refuses("input") { client.mutate(CREATE) }
    refuses("stars") { client.mutate(CREATE, note("n1", "x", "stars" to "many")) }
    refuses("text") { client.mutate(CREATE, input("id" to "n1", "text" to null)) }
    refuses("priority") { client.mutate(CREATE, note("n1", "x", "priority" to "NONE")) }
    fails<TomboloException.Json> { client.query(one, mapOf("id" to Any())) }
    equal(client.outbox(), emptyList())

    val text = "\"quotes\" \\ back \r\n line \u0000 \uD83C\uDFDD \u200f\$ {x}"
    client.mutate(CREATE, note("n1", text))
    equal(texts(client.query(NOTES).data)["n1"], text)
}

/** What the process that is started by `api-drift` does: begins, and says so. */
object Beginner {
    @JvmStatic
    fun main(arguments: Array<String>) {
        runBlocking {
            try {
                Tombolo.load()
                println("started ${Tombolo.version} ${arguments.size}")
            } catch (error: TomboloException.Library) {
                println("refused: ${error.message}")
            }
        }
    }
}

private suspend fun Trial.apiDrift() {
    val library = System.getenv("TOMBOLO_LIBRARY") ?: throw Failed("TOMBOLO_LIBRARY names no library")
    val drifted = rig.ask("POST", "/drifted-library", mapOf("path" to library))["path"] as String
    suspend fun begins(path: String): String = withContext(Dispatchers.IO) {
        val java = Path(System.getProperty("java.home"), "bin", "java")
        val process = ProcessBuilder(
            java, "-Duniffi.component.tombolo_ffi.libraryOverride=$path", "-cp", System.getProperty("java.class.path"), Beginner::class.java.name,
        ).redirectErrorStream(true).start()
        val told = process.inputReader().readText()
        if (!process.waitFor(PATIENCE.inWholeSeconds, TimeUnit.SECONDS)) throw Failed("the process does not end: $told")
        told
    }
    val refused = begins(drifted)
    holds(refused.startsWith("refused:") && "different releases" in refused, "an own library is refused: $refused", pivotal = true)
    val started = begins(library)
    holds(started.startsWith("started "), "the real one starts: $started")
}

private fun Path(first: String, vararg more: String): String = java.nio.file.Path.of(first, *more).toString()
