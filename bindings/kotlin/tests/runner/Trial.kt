package dev.tombolo.tests

import dev.tombolo.Answer
import dev.tombolo.Client
import dev.tombolo.Credential
import dev.tombolo.LinkStatus
import dev.tombolo.Outcome
import dev.tombolo.Scope
import dev.tombolo.Status
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import java.nio.file.Files
import java.nio.file.Path
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Deferred
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.async
import kotlinx.coroutines.Job
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.channels.ReceiveChannel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.withTimeout

const val CREATE = "mutation(\$input: CreateNoteInput!) { createNote(input: \$input) { id text } }"
const val UPDATE = "mutation(\$input: UpdateNoteInput!) { updateNote(input: \$input) { id text done } }"
const val DELETE = "mutation(\$input: DeleteNoteInput!) { deleteNote(input: \$input) { id } }"
const val NOTES = "{ listNotes { items { id text done } } }"
const val OPEN_NOTES = "{ listNotes(filter: { done: { ne: true } }) { items { id text } } }"
const val SEAT = "mutation(\$input: UpdateSeatInput!) { updateSeat(input: \$input) { id passenger } }"
const val SEATS = "{ listSeats { items { id passenger } } }"
const val TALLY = "mutation(\$name: String!) { createTally(input: { name: \$name }) { id } }"
const val DIARY = "mutation(\$input: CreateDiaryInput!) { createDiary(input: \$input) { id text } }"

/** What has not come within so long does not come. */
val PATIENCE = 30.seconds

/** What one scenario works with: servers, files, clients, checks, and waits that end. */
class Trial(val rig: Rig, val name: String, private val broken: Boolean, scope: CoroutineScope) : CoroutineScope by scope {
    val folder: Path = Files.createTempDirectory("tombolo-scenario-")
    var turned = false
        private set
    private var files = 0
    private val servers = ArrayList<Server>()
    private val clients = ArrayList<Client>()

    suspend fun end() {
        clients.forEach { it.shutDown() }
        servers.forEach { it.remove() }
        folder.toFile().deleteRecursively()
    }

    // Checks. The one that is `pivotal` is turned round when the scenario is broken on purpose.

    fun <T> equal(found: T, wanted: T, words: String = "", pivotal: Boolean = false) {
        val holds = found == wanted
        if (!(if (pivotal) turn(holds) else holds)) throw Failed("${if (words.isEmpty()) "" else "$words: "}found $found, wanted $wanted")
    }

    fun holds(found: Boolean, words: String, pivotal: Boolean = false) {
        if (!(if (pivotal) turn(found) else found)) throw Failed("not so: $words")
    }

    private fun turn(holds: Boolean): Boolean {
        turned = true
        return holds != broken
    }

    /** The error, which must be of this very class. */
    suspend inline fun <reified E : TomboloException> fails(crossinline call: suspend () -> Any?): E {
        val answer = try {
            call()
        } catch (error: TomboloException) {
            if (error !is E) throw Failed("${error.javaClass.simpleName} (${error.message}) in place of ${E::class.java.simpleName}")
            equal(error.canRetry, false, "${E::class.java.simpleName}.canRetry")
            holds(!error.message.isNullOrEmpty(), "${E::class.java.simpleName} has words")
            return error
        }
        throw Failed("no ${E::class.java.simpleName}, but the answer $answer")
    }

    // Servers, files, clients.

    suspend fun server(): Server = rig.server().also { servers += it }

    fun path(): String = folder.resolve("replica-${++files}.db").toString()

    /** A client of the server, or a local one; closed at the end. */
    suspend fun open(
        server: Server? = null,
        path: String = path(),
        credential: Credential? = server?.let { Credential.ApiKey(it.apiKey) },
        account: String? = null,
        offline: Boolean = false,
        scopes: List<Scope>? = null,
        credentials: (suspend () -> Credential?)? = null,
        schema: String = rig.schema,
        url: String? = server?.url,
        importDatastore: String? = null,
    ): Client =
        Tombolo.open(
            schema = schema,
            path = path,
            url = url,
            credential = credential,
            account = account,
            offline = offline,
            scopes = scopes,
            credentials = credentials,
            importDatastore = importDatastore,
        ).also { clients += it }

    // Waits.

    suspend fun <T> patiently(words: String, wait: suspend () -> T): T =
        try {
            withTimeout(PATIENCE) { wait() }
        } catch (error: TimeoutCancellationException) {
            throw Failed("it did not come to this within $PATIENCE: $words")
        }

    suspend fun becomes(client: Client, words: String, test: (Status) -> Boolean): Status =
        patiently("$words; the status is ${client.status.value}") { client.statuses().first(test) }

    suspend fun live(client: Client): Status = becomes(client, "live") { it.link == LinkStatus.Live && it.upToDate }

    /** The status may be told a moment after the call that changed it; the outbox is never behind. */
    suspend fun settled(client: Client) {
        patiently("settled; the status is ${client.status.value}") {
            client.statuses().first { it.pending == 0L && client.outbox().none { entry -> !entry.state.isFinal } }
        }
    }

    suspend fun offline(client: Client) {
        client.setOnline(false)
        becomes(client, "offline") { it.link == LinkStatus.Offline }
    }

    suspend fun outcome(client: Client, number: Long): Outcome = patiently("the outcome of $number") { client.outcome(number) }

    /** A live query until its answer is so. */
    suspend fun shows(client: Client, document: String, words: String, test: (Map<String, Any?>) -> Boolean) {
        patiently("the live query shows $words") { client.watch(document).first { test(it.data) } }
    }

    /** Asks the rig until it is so: its server is told by nobody. */
    suspend fun rigShows(server: Server, query: String, words: String, test: (Map<String, Any?>) -> Boolean) {
        val data = server.graphql(query)
        if (!test(data)) throw Failed("the rig does not show $words, but $data")
    }

    /** What a flow gives, one by one and none before it is asked for; from this moment on. */
    fun <T> take(flow: Flow<T>): Taken<T> {
        val channel = Channel<T>(Channel.RENDEZVOUS)
        val job = launch(start = CoroutineStart.UNDISPATCHED) {
            val error = runCatching { flow.collect(channel::send) }.exceptionOrNull()
            channel.close(error)
        }
        return Taken(this, channel, job)
    }

    /** Begins at once, up to where it waits. */
    fun <T> begin(work: suspend () -> T): Deferred<T> = async(start = CoroutineStart.UNDISPATCHED) { work() }
}

/** A flow that is asked for its next item. */
class Taken<T>(private val trial: Trial, private val channel: ReceiveChannel<T>, private val job: Job) {
    suspend fun next(): T = trial.patiently("another item") { channel.receive() }

    suspend fun until(words: String, test: (T) -> Boolean): T =
        trial.patiently(words) {
            var item = channel.receive()
            while (!test(item)) item = channel.receive()
            item
        }

    /** It has ended, without an error. */
    suspend fun ended(words: String) {
        trial.patiently("$words ends") {
            val rest = channel.receiveCatching()
            if (rest.isSuccess) throw Failed("$words went on")
            rest.exceptionOrNull()?.let { throw Failed("$words ended with $it") }
        }
    }

    /** It ends without an error, whatever comes before. */
    suspend fun untilEnd(words: String) {
        trial.patiently("$words ends") {
            var rest = channel.receiveCatching()
            while (rest.isSuccess) rest = channel.receiveCatching()
            rest.exceptionOrNull()?.let { throw Failed("$words ended with $it") }
        }
    }

    suspend fun letGo(): Unit = job.cancelAndJoin()
}

/** The ids of a list's answer, in order. */
fun ids(data: Map<String, Any?>, root: String = "listNotes"): List<String> =
    data[root].members()["items"].items().map { it["id"] as String }.sorted()

fun ids(answer: Answer, root: String = "listNotes"): List<String> = ids(answer.data, root)

/** The texts of notes by id. */
fun texts(data: Map<String, Any?>): Map<String, Any?> =
    data["listNotes"].members()["items"].items().associate { it["id"] as String to it["text"] }

fun note(id: String, text: String, vararg more: Pair<String, Any?>): Map<String, Any?> =
    mapOf("input" to mapOf("id" to id, "text" to text, *more))

fun input(vararg fields: Pair<String, Any?>): Map<String, Any?> = mapOf("input" to mapOf(*fields))
