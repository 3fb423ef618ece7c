package dev.tombolo

import dev.tombolo.ffi.Answer as NativeAnswer
import dev.tombolo.ffi.Client as NativeClient
import dev.tombolo.ffi.FindQuery
import dev.tombolo.ffi.FoundRecords
import dev.tombolo.ffi.RecordChange
import dev.tombolo.ffi.StatusWatch
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.atomic.AtomicBoolean
import java.util.concurrent.atomic.AtomicInteger
import kotlin.time.Duration
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.drop
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/**
 * A replica: one SQLite file, one schema, one account, and a link to its server. Made by [Tombolo.open].
 *
 * **Threads.** Call it from any thread, from several at once, and from within callbacks and flows. No call blocks the caller's
 * thread: files and sockets are used on threads of the library's own, JSON is read and written on [Dispatchers.Default], and flows
 * emit where they are collected.
 *
 * **Cancellation.** A coroutine that is cancelled ends its call at once. What the call has already done stays done: a
 * mutation that was handed over is carried out and queued, also if nobody waits for it any more.
 *
 * **End.** After [shutDown] or [close] every call throws [TomboloException.Closed], and flows end.
 */
public class Client internal constructor(
    private val native: NativeClient,
    private val scope: CoroutineScope,
    offline: Boolean = false,
) : AutoCloseable {
    private val closed = AtomicBoolean()
    private val link = LinkWish(offline)
    private val sleep = Mutex()
    private val awake = MutableStateFlow(true)
    private val resumptions = MutableStateFlow(0)
    private val liveQueries = AtomicInteger()
    private val watched: MutableSet<() -> Unit> = ConcurrentHashMap.newKeySet()
    private val current = MutableStateFlow(status(native { native.status() }))

    /** How the replica stands, kept up to date on [Dispatchers.Default]. After the end it is as it was last. */
    public val status: StateFlow<Status> = current.asStateFlow()

    init {
        // Opened here: a client that is closed at once has nobody to throw `Closed` to.
        val watch = native { native.watchStatus() }
        scope.launch {
            statuses(watch).collect { current.value = it }
        }
    }

    /** How many handles are held: of live queries, and of what is observed. */
    internal val heldCount: Int get() = watched.size

    /** How many live queries are being collected. */
    public val liveQueryCount: Int get() = liveQueries.get()

    /** What was saved out of a damaged file when this one was made; `null` in the usual case. */
    public val salvage: Salvage? get() = native { open().salvage() }?.let(::salvage)

    /** What was taken over of a file of Amplify DataStore, as it stands now; `null` if none was given. */
    public val datastoreImport: ImportReport? get() = native { open().datastoreImport() }?.let(::importReport)

    /**
     * Answers a query from the local file, always, with or without a network.
     *
     * @param variables texts, numbers, booleans, lists and maps, or generated types.
     *
     * Throws [TomboloException.Request], [TomboloException.NeedsNetwork], [TomboloException.Json], [TomboloException.Store].
     */
    public suspend fun query(document: String, variables: Map<String, Any?> = emptyMap()): Answer =
        work { Answer(it.query(document, variablesText(variables))) }

    /**
     * Carries out a mutation on the local rows and queues it for the server, in one transaction. When it returns, it survives a
     * kill of the process. Its final state: [outcome], [events], [mutation].
     *
     * Throws, and has queued nothing: [TomboloException.Request], [TomboloException.Json], [TomboloException.UnknownRecord],
     * [TomboloException.Refused], [TomboloException.RequestTooLarge], [TomboloException.OutboxFull], [TomboloException.DiskFull],
     * [TomboloException.Busy], [TomboloException.Store].
     */
    public suspend fun mutate(document: String, variables: Map<String, Any?> = emptyMap()): Mutated =
        work {
            val mutated = it.mutate(document, variablesText(variables))
            Mutated(Answer(mutated.answer), longs(mutated.numbers))
        }

    /**
     * Carries out several mutations together or not at all, here and on the server.
     *
     * ```
     * client.transaction {
     *     mutate(createNote, mapOf("input" to mapOf("text" to "a")))
     *     mutate(createNote, mapOf("input" to mapOf("text" to "b")))
     * }
     * ```
     *
     * [body] gathers; nothing is done before it has returned, and nothing at all if it throws. Throws as [mutate].
     */
    public suspend fun transaction(body: suspend Transaction.() -> Unit): Transacted {
        val gathered = Transaction()
        gathered.body()
        return work {
            val transacted = it.transaction(gathered.operations)
            Transacted(transacted.answers.map(::Answer), longs(transacted.numbers))
        }
    }

    /**
     * Watches a query: emits the local answer at once and, each time it has become another one, the newest. Never in the middle of a
     * transaction, never twice the same. A collector that is slow gets the newest and not all of them. Ends with the client; while the client
     * is suspended it waits.
     *
     * Collecting throws as [query].
     */
    public fun watch(document: String, variables: Map<String, Any?> = emptyMap()): Flow<Answer> = watch(document, variables) { it }

    internal fun <T> watch(document: String, variables: Map<String, Any?>, read: (Answer) -> T): Flow<T> =
        watching(open = { live(document, variables) }, read = { read(Answer(it)) })

    internal fun live(document: String, variables: Map<String, Any?>): Watched<NativeAnswer> {
        val query = open().watch(document, variablesText(variables))
        liveQueries.incrementAndGet()
        return held({ query.next() }, query::stop) {
            liveQueries.decrementAndGet()
            query.close()
        }
    }

    internal fun <T> watchRecords(query: () -> FindQuery, read: (FoundRecords) -> T): Flow<T> =
        watching(open = { liveRecords(query()) }, read = read)

    internal fun liveRecords(query: FindQuery): Watched<FoundRecords> {
        val records = open().watchFind(query)
        liveQueries.incrementAndGet()
        return held({ records.next() }, records::stop) {
            liveQueries.decrementAndGet()
            records.close()
        }
    }

    /**
     * What is watched is stopped with the client: one whose collector is busy would hold the file, and what ends with the last who holds it
     * would never end.
     */
    private fun <N> held(next: suspend () -> N?, stop: () -> Unit, free: () -> Unit): Watched<N> {
        watched += stop
        return Watched(next, stop) {
            watched -= stop
            stop()
            free()
        }
    }

    /** Each change of a model's records from now on. */
    internal suspend fun observe(model: String, filter: String?): Watched<RecordChange> {
        val changes = open().observe(model, filter)
        return held({ changes.next() }, changes::stop, changes::close)
    }

    /** The status at once and then as it changes, the newest each time; unlike [status] it ends with the client. */
    public fun statuses(): Flow<Status> =
        flow { emitAll(statuses(native { open().watchStatus() })) }

    private fun statuses(watch: StatusWatch): Flow<Status> =
        flow {
            try {
                while (true) emit(status(native { watch.next() } ?: break))
            } finally {
                watch.stop()
                watch.close()
            }
        }

    /**
     * What happens from the moment of collecting on. Ends with the client. A collector that is so slow that events were lost gets
     * [Event.Missed].
     */
    public val events: Flow<Event> =
        flow {
            val stream = native { open().events() }
            try {
                while (true) emit(event(native { stream.next() } ?: break))
            } finally {
                stream.stop()
                stream.close()
            }
        }

    /** The mutations that are not settled, and those refused that the app has not taken note of. Throws [TomboloException.Store]. */
    public suspend fun outbox(): List<Mutation> = work { it.outbox().map(::mutation) }

    /** Mutations on their way and ended. Throws [TomboloException.Store]. */
    public suspend fun mutations(filter: MutationFilter = MutationFilter()): List<Mutation> =
        work { it.mutations(filter.native()).map(::mutation) }

    /** One mutation, on its way or ended; `null` if there is none of that number. */
    public suspend fun mutation(number: Long): Mutation? = work { it.mutation(number.toULong())?.let(::mutation) }

    /** Waits for a mutation's final state, as long as it takes. Throws [TomboloException.UnknownMutation]. */
    public suspend fun outcome(number: Long): Outcome = work { outcome(it.outcome(number.toULong())) }

    /**
     * Tries a rejected or wedged mutation again, with other values where [values] has some. Gives the numbers under which it, and
     * what depends on it, goes on. Throws [TomboloException.UnknownMutation], [TomboloException.WrongState], [TomboloException.Refused].
     */
    public suspend fun retry(number: Long, values: Map<String, Any?>? = null): List<Long> =
        work {
            val numbers = when (values) {
                null -> it.retry(number.toULong())
                else -> it.editAndRetry(number.toULong(), Json.encode(values))
            }
            longs(numbers)
        }

    /**
     * Gives up a queued or wedged mutation, or takes note of a refused one. Throws [TomboloException.UnknownMutation],
     * [TomboloException.WrongState].
     */
    public suspend fun discard(number: Long): Unit = work { it.discard(number.toULong()) }

    /**
     * Wants a link, or none. On Android a `ClientLifecycle` sees to it that a wanted link is only tried while there is a network. Throws
     * [TomboloException.Incomplete] without a URL.
     */
    public suspend fun setOnline(online: Boolean): Unit = link.wish(online) { wanted -> work { it.setOnline(wanted) } }

    /** The device has a network, or none: what the app wishes stays as it is. A client without a URL has no use for either. */
    internal suspend fun setNetwork(there: Boolean): Unit =
        link.network(there) { wanted ->
            try {
                work { it.setOnline(wanted) }
            } catch (_: TomboloException.Incomplete) {
                // No URL.
            }
        }

    /** Gives another credential; a paused link opens again. */
    public suspend fun setCredential(credential: Credential): Unit = work { it.setCredential(credential.native()) }

    /** Goes by another way to the same server. Throws [TomboloException.Endpoint]. */
    public suspend fun setTransport(transport: Transport): Unit = work { it.setTransport(transport.native()) }

    /**
     * Pushes and pulls until nothing is left to do or the budget is spent: for background work. No network is not an error. Throws
     * [TomboloException.Unauthorized], [TomboloException.Incomplete].
     */
    public suspend fun syncOnce(budget: Duration): SyncReport =
        work {
            val report = it.syncOnce(milliseconds(budget))
            SyncReport(
                pushed = report.pushed.toLong(),
                rejected = report.rejected.toLong(),
                pulled = report.pulled.toLong(),
                pending = report.pending.toLong(),
                upToDate = report.upToDate,
                complete = report.complete,
                trouble = report.trouble,
            )
        }

    /** What this replica holds. */
    public suspend fun scopes(): List<ScopeStatus> = work { it.scopes().map(::scope) }

    /** Holds the records of a model that match a filter, or all. Throws [TomboloException.UnknownModel], [TomboloException.Request]. */
    public suspend fun setScope(model: String, filter: Map<String, Any?>? = null): Unit =
        work { it.setScope(model, filter?.let(Json::encode)) }

    /** Holds nothing of a model any more. Throws [TomboloException.UnknownModel]. */
    public suspend fun removeScope(model: String): Unit = work { it.removeScope(model) }

    /**
     * Lets go of file and link, before the system suspends the app. Until [resume], calls throw [TomboloException.Suspended] and live
     * queries wait. Twice is no error. Once begun it is done, also if the caller is cancelled.
     */
    public suspend fun suspend(): Unit = slept(falling = true) { it.suspend() }

    /** Takes them up again. Twice is no error. Once begun it is done. Throws [TomboloException.Open], [TomboloException.SignedOut]. */
    public suspend fun resume(): Unit = slept { it.resume() }

    private suspend fun slept(falling: Boolean = false, call: suspend (NativeClient) -> Unit) {
        sleep.withLock {
            // Given up halfway it would be neither asleep nor awake.
            withContext(NonCancellable) {
                val asleep = !awake.value
                try {
                    if (falling) awake.value = false
                    work(call)
                } finally {
                    // A client that has ended has nothing to wait for.
                    awake.value = runCatching { !native.isSuspended() }.getOrDefault(true)
                    if (asleep && awake.value) resumptions.value += 1
                }
            }
        }
    }

    /** Returns once the client is not suspended, or has ended. */
    internal suspend fun whenAwake() {
        awake.first { it }
    }

    /** Each time that the client is resumed. */
    internal val resumed: Flow<Unit> get() = resumptions.drop(1).map { }

    /** Whether the client is suspended. */
    public val isSuspended: Boolean get() = native { open().isSuspended() }

    /**
     * Signs the account out: this client and every other one on the file end. Cancelled in time it has not happened. Throws
     * [TomboloException.Incomplete], [TomboloException.Suspended], [TomboloException.Store]: the account is still signed in then.
     */
    public suspend fun signOut(how: SignOut): SignedOut =
        work {
            val out = it.signOut(how.native())
            SignedOut(out.sent.toLong(), out.kept.toLong(), out.discarded.toLong())
        }

    /** Carries out what was called before, ends the link and releases the file; returns when that is done. Twice is no error. */
    public suspend fun shutDown() {
        closed.set(true)
        withContext(NonCancellable) {
            watched.forEach { it() }
            native { native.shutDown() }
        }
        awake.value = true
        scope.end()
    }

    /** The same without waiting for it: [AutoCloseable]. Blocks nobody. */
    override fun close() {
        if (closed.compareAndSet(false, true)) background.launch { shutDown() }
    }

    /** Calls [block] and shuts down, whatever becomes of it. */
    public suspend inline fun <R> use(block: (Client) -> R): R =
        try {
            block(this)
        } finally {
            shutDown()
        }

    private fun open(): NativeClient = if (closed.get()) throw TomboloException.Closed() else native

    /** Carries out a call: JSON is written and read off the caller's thread. */
    internal suspend inline fun <T> work(crossinline call: suspend (NativeClient) -> T): T =
        withContext(Dispatchers.Default) { native { call(open()) } }
}
