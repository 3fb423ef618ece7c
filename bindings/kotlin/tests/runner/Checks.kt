package dev.tombolo.tests

import dev.tombolo.Absent
import dev.tombolo.Client
import dev.tombolo.Codec
import dev.tombolo.Json
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import dev.tombolo.Value
import dev.tombolo.Watched
import dev.tombolo.ask
import dev.tombolo.ffi.FindQuery
import dev.tombolo.translated
import dev.tombolo.watch
import java.nio.file.Path
import java.util.concurrent.CopyOnWriteArraySet
import java.util.concurrent.Executors
import kotlin.io.path.createTempDirectory
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.asCoroutineDispatcher
import kotlinx.coroutines.async
import kotlinx.coroutines.awaitCancellation
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.joinAll
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withContext
import kotlinx.coroutines.withTimeout
import dev.tombolo.ffi.TomboloException as Native

private const val SCHEMA = "type Note @model { id: ID! text: String! }"
private const val ALL = "{ listNotes { items { id } } }"

/** What no scenario looks at: threads, JSON, and which error becomes which. */
fun checks(repository: Path): Boolean {
    val checks: Map<String, suspend () -> Unit> = mapOf(
        "the main thread only emits" to ::mainThreadOnlyEmits,
        "closing does not wait" to ::closingDoesNotWait,
        "a busy collector holds nothing up" to ::busyCollector,
        "json keeps what it is given" to ::jsonKeeps,
        "errors keep their kind and fields" to ::errorsKeep,
        "a handle that is stopped or let go of gives nothing" to ::handlesEnd,
    ) + PROMISES + FACADE
    var failed = 0
    fun ended(name: String, wrong: Throwable?) {
        if (wrong != null) failed += 1
        println(if (wrong == null) "ok $name" else "FAILED $name: $wrong")
    }
    for ((name, check) in checks) ended(name, runCatching { runBlocking { withTimeout(LIMIT) { check() } } }.exceptionOrNull())
    Rig(repository).use { rig ->
        for ((name, check) in FACADE_SERVED) {
            val wrong = runBlocking(Dispatchers.Default) { attempt(rig, name, false) { check() } }
            ended(name, wrong?.let { Failed(it) })
        }
    }
    println("${checks.size + FACADE_SERVED.size - failed} passed, $failed failed")
    return failed == 0
}

internal fun wants(holds: Boolean, words: () -> String) {
    if (!holds) throw Failed(words())
}

internal suspend fun withClient(schema: String = SCHEMA, work: suspend (Client) -> Unit) {
    val folder = createTempDirectory("tombolo-check-")
    try {
        Tombolo.open(schema, folder.resolve("check.db").toString()).use { work(it) }
    } finally {
        folder.toFile().deleteRecursively()
    }
}

/** Called from a main thread, JSON is read on another one, and flows emit on the main thread. */
private suspend fun mainThreadOnlyEmits() {
    Executors.newSingleThreadExecutor { Thread(it, "main-of-the-app") }.asCoroutineDispatcher().use { main ->
        withContext(main) {
            withClient { client ->
                val read = CopyOnWriteArraySet<String>()
                val codec = object : Codec<Int> {
                    override fun decode(json: Any?): Int = json.toString().length.also { read += Thread.currentThread().name }
                }
                client.ask(ALL, emptyMap(), codec)
                client.watch(ALL, emptyMap(), codec).first { Thread.currentThread().name.startsWith("main-of-the-app") || throw Failed("emitted elsewhere") }
                wants(read.isNotEmpty() && read.none { it.startsWith("main-of-the-app") }) { "JSON was read on $read" }
            }
        }
    }
}

private suspend fun closingDoesNotWait() {
    val told = CopyOnWriteArraySet<String>()
    Tombolo.reporter = { told += it.detail }
    // Closed before anything beside its calls has begun: nobody is told of an error.
    repeat(20) { withClient { it.shutDown() } }
    Tombolo.reporter = null
    wants(told.isEmpty()) { "reported: $told" }
    withClient { client ->
        client.close()
        val error = runCatching { client.query(ALL) }.exceptionOrNull()
        wants(error is TomboloException.Closed) { "after close: $error" }
        client.close()
    }
}

/** Events and status end with the client though a live query's collector has not come back for more. */
private suspend fun busyCollector() {
    withClient { client ->
        coroutineScope {
            val busy = launch(start = CoroutineStart.UNDISPATCHED) { client.watch(ALL).collect { awaitCancellation() } }
            val events = launch(start = CoroutineStart.UNDISPATCHED) { client.events.collect {} }
            val statuses = launch(start = CoroutineStart.UNDISPATCHED) { client.statuses().collect {} }
            client.query(ALL)
            client.shutDown()
            withTimeout(PATIENCE) { listOf(events, statuses).joinAll() }
            busy.cancel()
        }
    }
}

/** What a flow does at its end, seen from the native side. */
private suspend fun handlesEnd() {
    val query = FindQuery(model = "Note", filter = null, sort = emptyList(), limit = null, offset = 0u, token = null)
    withClient { client ->
        val kinds = listOf<suspend () -> Watched<*>>(
            { client.live(ALL, emptyMap()) }, { client.liveRecords(query) }, { client.observe("Note", null) },
        )
        for ((number, open) in kinds.withIndex()) {
            val stopped = open()
            stopped.stop()
            wants(withTimeout(PATIENCE) { stopped.next() } == null) { "kind $number goes on though it is stopped" }
            stopped.letGo()
            val freed = open()
            freed.letGo()
            val error = runCatching { withTimeout(PATIENCE) { freed.next() } }.exceptionOrNull()
            wants(error is IllegalStateException) { "kind $number is not freed: $error" }
            // One who waits is told, too.
            val waited = open()
            // A live query's first answer is there at once.
            if (number < 2) waited.next()
            coroutineScope {
                val waiting = async(start = CoroutineStart.UNDISPATCHED) { waited.next() }
                waited.letGo()
                wants(withTimeout(PATIENCE) { waiting.await() } == null) { "kind $number: one who waited was given something" }
            }
        }
        wants(client.heldCount == 0 && client.liveQueryCount == 0) { "${client.heldCount} handles, ${client.liveQueryCount} live queries" }
    }
}

private suspend fun jsonKeeps() {
    val value = mapOf(
        "text" to "\u0000 \u2028 \"\\/ \uD83C\uDFDD <>&='", "whole" to Long.MAX_VALUE, "small" to -1L, "half" to 0.5,
        "large" to 1e300, "none" to null, "yes" to true, "list" to listOf(listOf(1L), emptyMap<String, Any?>(), emptyList<Any?>()),
    )
    wants(Json.decode(Json.encode(value)) == value) { "it came back as ${Json.encode(value)}" }
    wants(Json.encode(mapOf("a" to Absent, "b" to Value(null), "c" to Value(1))) == """{"b":null,"c":1}""") { "absent, null, value" }
    for (text in listOf("", "{", "[1,]", "{} {}", "nul", "{\"a\" 1}")) {
        val error = runCatching { Json.decode(text) }.exceptionOrNull()
        wants(error is TomboloException.Json) { "`$text` gives $error" }
    }
    for (unfit in listOf(Double.NaN, Any(), mapOf(1 to 2))) {
        val error = runCatching { Json.encode(listOf(unfit)) }.exceptionOrNull()
        wants(error is TomboloException.Json) { "$unfit gives $error" }
    }
}

private suspend fun errorsKeep() {
    val retried = setOf(Native.OutboxFull("d"), Native.DiskFull("d"), Native.Busy("d"), Native.Open("d", "in_use"))
    val signedIn = setOf(Native.Unauthorized("d"), Native.SignedOut())
    val others = setOf(
        Native.Incomplete("d"), Native.Schema("d"), Native.Endpoint("d"), Native.Request("d", emptyList()), Native.NeedsNetwork("d", emptyList()),
        Native.Json("d"), Native.Shape("d"), Native.UnknownRecord("d", "M"), Native.Refused("d", "C"), Native.RequestTooLarge("d"),
        Native.UnknownModel("d", "M"), Native.UnknownMutation("d", 7u), Native.WrongState("d"), Native.Store("d", "corrupt"),
        Native.Open("d", "newer_file"), Native.WrongAccount("d"), Native.Suspended(), Native.Closed(), Native.Panicked("d"),
        Native.Thread("d"),
    )
    for (given in retried + signedIn + others) {
        val error = translated(given) as TomboloException
        wants(error.javaClass.simpleName == given.javaClass.simpleName) { "$given became $error" }
        wants(error.canRetry == given in retried && error.needsSignIn == given in signedIn) { "$error: ${error.canRetry}, ${error.needsSignIn}" }
    }
    wants((translated(Native.UnknownMutation("d", 7u)) as TomboloException.UnknownMutation).number == 7L) { "the number" }
    wants(translated(Native.Cancelled()) is kotlin.coroutines.cancellation.CancellationException) { "cancelled" }
}
