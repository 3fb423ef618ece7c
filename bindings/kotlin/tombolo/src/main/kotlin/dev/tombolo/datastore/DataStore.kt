package dev.tombolo.datastore

import dev.tombolo.Client
import dev.tombolo.Model
import dev.tombolo.Predicate
import dev.tombolo.Query
import dev.tombolo.Record
import dev.tombolo.SignOut
import dev.tombolo.TomboloException
import dev.tombolo.background
import dev.tombolo.find
import dev.tombolo.get
import dev.tombolo.Key
import dev.tombolo.watch
import kotlin.reflect.KClass
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Job
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.cancelAndJoin
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.emitAll
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/** The entrance, called as an app that comes from Amplify calls it: imports change, shapes do not. */
public object Amplify {
    /** Where events are told. */
    public val Hub: Hub = Hub()

    /** The records. Call [configure] first. */
    public val DataStore: DataStore = DataStore(Hub)

    /**
     * Says how the client is opened; it is when the first call needs it, and again after [DataStore.clear]:
     * `Amplify.configure { Tombolo.open(schema = tomboloSchema, path = …, url = …) }`.
     */
    public fun configure(open: suspend () -> Client): Unit = DataStore.configure(open)
}

/**
 * Records in the manner of Amplify DataStore, over a [Client]: with suspend functions and flows as in its Kotlin facade, and with callbacks as
 * in its Java one. Callbacks come on threads of Dispatchers.Default.
 */
public class DataStore internal constructor(private val hub: Hub) {
    private val turn = Mutex()
    private var opener: (suspend () -> Client)? = null
    private var opened: Client? = null
    private var teller: Job? = null

    internal fun configure(open: suspend () -> Client) {
        opener = open
    }

    /** The client underneath, opened if it is not: for what DataStore has no word for (the outbox, transactions, status). */
    public suspend fun client(): Client = turn.withLock { opened ?: open() }

    /** Holding [turn]. */
    private suspend fun open(): Client {
        val open = opener ?: throw TomboloException.Incomplete("call Amplify.configure { Tombolo.open(…) } first")
        return open().also {
            opened = it
            teller = background.launch { tell(it, hub) }
        }
    }

    /**
     * Calls the client. One that has ended beside us (signed out elsewhere, or closed) is let go of, and the call begins with a new one: what
     * it had refused it had not done.
     */
    private suspend fun <T> calling(call: suspend (Client) -> T): T =
        translated {
            val client = client()
            try {
                call(client)
            } catch (error: TomboloException) {
                if (error !is TomboloException.Closed && error !is TomboloException.SignedOut) throw error
                turn.withLock { if (opened === client) letGo(client) }
                call(client())
            }
        }

    /** The client, found not to have ended: what watches one that has ended is not told so. */
    private suspend fun live(client: Client): Client {
        try {
            // Asks the file: the scopes are answered from memory.
            client.mutation(1)
        } catch (_: TomboloException.Suspended) {
            // What watches waits for as long.
        }
        return client
    }

    /** Holding [turn]. */
    private suspend fun letGo(client: Client) {
        withContext(NonCancellable) {
            client.shutDown()
            opened = null
            teller?.cancelAndJoin()
            teller = null
        }
    }

    /** Opens the link. */
    public suspend fun start(): Unit = calling { it.setOnline(true) }

    /** Ends the link. What is saved meanwhile is sent after [start]. */
    public suspend fun stop(): Unit = calling { it.setOnline(false) }

    /**
     * Removes the file with everything in it, unsent changes too, and ends what observes. The next call begins with a new one. Once begun it
     * is done, also if the caller is cancelled.
     */
    public suspend fun clear(): Unit = calling { client ->
        turn.withLock {
            // Cleared by somebody else while this one waited.
            if (opened !== client) return@withLock
            // Given up between its steps it would leave a client that has ended.
            withContext(NonCancellable) {
                client.signOut(SignOut.Discard)
                letGo(client)
            }
        }
    }

    /** Makes the record, or changes what is different in it. [predicate] is checked by the server on the record as it finds it. */
    public suspend fun <M : Record> save(item: M, predicate: Predicate<M>? = null): M =
        stored(item, predicate).record

    private suspend fun <M : Record> stored(item: M, predicate: Predicate<M>?): Stored<M> =
        calling { store(it, item, predicate) }.also { enqueued(modelOf(item), it) }

    /** Removes the record. */
    public suspend fun <M : Record> delete(item: M, predicate: Predicate<M>? = null): M =
        calling { remove(it, item, predicate) }.also { enqueued(modelOf(item), it) }.record

    /** Removes every record for which the predicate holds. */
    public suspend fun <M : Record> delete(model: Model<M, *>, predicate: Predicate<M> = Predicate.all()): Unit =
        calling { client -> client.find(Query(model, predicate)).forEach { enqueued(model, remove(client, it, null)) } }

    public suspend fun <M : Record> delete(type: KClass<M>, predicate: Predicate<M> = Predicate.all()): Unit =
        delete(translated { modelOf(type.java) }, predicate)

    /** The records, as they are when the flow is collected. */
    public fun <M : Record> query(model: Model<M, *>, options: QueryOptions<M> = Where.matchesAll()): Flow<M> =
        flow { calling { select(it, model, options) }.forEach { emit(it) } }

    public fun <M : Record> query(type: KClass<M>, options: QueryOptions<M> = Where.matchesAll()): Flow<M> =
        query(modelOf(type.java), options)

    /**
     * Each change of a record of the model for which the predicate holds, from the moment on when this returns. Ends with [clear]. The
     * flow is for one collector.
     */
    public suspend fun <M : Record> observe(model: Model<M, *>, predicate: Predicate<M> = Predicate.all()): Flow<DataStoreItemChange<M>> =
        changes(model, calling { begin(live(it), Query(model, predicate)) }).translated()

    public suspend fun <M : Record> observe(type: KClass<M>, predicate: Predicate<M> = Predicate.all()): Flow<DataStoreItemChange<M>> =
        observe(modelOf(type.java), predicate)

    /** The records of a query now, and each time they, or whether they are complete, have changed. Ends with [clear]. */
    public fun <M : Record> observeQuery(
        model: Model<M, *>,
        options: ObserveQueryOptions<M> = ObserveQueryOptions(),
    ): Flow<DataStoreQuerySnapshot<M>> =
        flow {
            val client = calling { live(it) }
            val synced = client.statuses()
                .map { status -> status.scopes.any { it.scope.model == model.name && it.upToDate } }
                .distinctUntilChanged()
            val records = client.watch(Query(model, options.queryPredicate, options.sortBy))
            emitAll(combine(records, synced) { items, isSynced -> DataStoreQuerySnapshot(items, isSynced) })
        }.translated()

    public fun <M : Record> observeQuery(
        type: KClass<M>,
        options: ObserveQueryOptions<M> = ObserveQueryOptions(),
    ): Flow<DataStoreQuerySnapshot<M>> = observeQuery(modelOf(type.java), options)

    // With callbacks.

    public fun start(onComplete: Action, onError: Consumer<DataStoreException>): Unit = called(onError, { start() }) { onComplete.call() }

    public fun stop(onComplete: Action, onError: Consumer<DataStoreException>): Unit = called(onError, { stop() }) { onComplete.call() }

    public fun clear(onComplete: Action, onError: Consumer<DataStoreException>): Unit = called(onError, { clear() }) { onComplete.call() }

    public fun <M : Record> save(item: M, onSuccess: Consumer<DataStoreItemChange<M>>, onError: Consumer<DataStoreException>): Unit =
        save(item, Predicate.all(), onSuccess, onError)

    public fun <M : Record> save(
        item: M,
        predicate: Predicate<M>,
        onSuccess: Consumer<DataStoreItemChange<M>>,
        onError: Consumer<DataStoreException>,
    ): Unit =
        called(
            onError,
            {
                val stored = stored(item, predicate)
                val type = if (stored.created) DataStoreItemChange.Type.CREATE else DataStoreItemChange.Type.UPDATE
                DataStoreItemChange(stored.record, type)
            },
            onSuccess::accept,
        )

    public fun <M : Record> delete(item: M, onSuccess: Consumer<DataStoreItemChange<M>>, onError: Consumer<DataStoreException>): Unit =
        called(onError, { DataStoreItemChange(delete(item), DataStoreItemChange.Type.DELETE) }, onSuccess::accept)

    public fun <M : Record> delete(
        type: Class<M>,
        predicate: Predicate<M>,
        onSuccess: Action,
        onError: Consumer<DataStoreException>,
    ): Unit = called(onError, { delete(modelOf(type), predicate) }) { onSuccess.call() }

    public fun <M : Record> query(type: Class<M>, onSuccess: Consumer<Iterator<M>>, onError: Consumer<DataStoreException>): Unit =
        query(type, Where.matchesAll(), onSuccess, onError)

    public fun <M : Record> query(
        type: Class<M>,
        options: QueryOptions<M>,
        onSuccess: Consumer<Iterator<M>>,
        onError: Consumer<DataStoreException>,
    ): Unit = called(onError, { calling { select(it, modelOf(type), options) } }) { onSuccess.accept(it.iterator()) }

    public fun <M : Record> observe(
        type: Class<M>,
        onStarted: Consumer<Cancelable>,
        onChange: Consumer<DataStoreItemChange<M>>,
        onError: Consumer<DataStoreException>,
        onComplete: Action,
    ): Unit = observe(type, Predicate.all(), onStarted, onChange, onError, onComplete)

    public fun <M : Record> observe(
        type: Class<M>,
        predicate: Predicate<M>,
        onStarted: Consumer<Cancelable>,
        onChange: Consumer<DataStoreItemChange<M>>,
        onError: Consumer<DataStoreException>,
        onComplete: Action,
    ): Unit =
        observed(onError, onComplete) {
            val cancel = Cancelable { coroutineContext[Job]?.cancel() }
            val begun = observe(modelOf(type), predicate)
            contained("onStarted") { onStarted.accept(cancel) }
            begun.collect { contained("onChange") { onChange.accept(it) } }
        }

    public fun <M : Record> observeQuery(
        type: Class<M>,
        options: ObserveQueryOptions<M>,
        onStarted: Consumer<Cancelable>,
        onQuerySnapshot: Consumer<DataStoreQuerySnapshot<M>>,
        onError: Consumer<DataStoreException>,
        onComplete: Action,
    ): Unit =
        observed(onError, onComplete) {
            contained("onStarted") { onStarted.accept { coroutineContext[Job]?.cancel() } }
            observeQuery(modelOf(type), options).collect { contained("onQuerySnapshot") { onQuerySnapshot.accept(it) } }
        }

    private fun enqueued(model: Model<*, *>, stored: Stored<*>) {
        val number = stored.number ?: return
        hub.tell(DataStoreChannelEventName.OUTBOX_MUTATION_ENQUEUED, OutboxMutation(model.name, number))
    }

    private suspend fun <M : Record> select(client: Client, model: Model<M, *>, options: QueryOptions<M>): List<M> {
        if (options.id != null) return listOfNotNull(client.get(Key(model, mapOf(onlyKeyField(model) to options.id))))
        val query = Query(model, options.predicate, options.order)
        val page = options.page ?: return client.find(query)
        return client.find(query.offset(page.number * page.limit).limit(page.limit))
    }

    private fun onlyKeyField(model: Model<*, *>): String =
        model.keyFields.singleOrNull() ?: throw TomboloException.Request(
            "the key of ${model.name} is ${model.keyFields.joinToString(", ")}, and not one value: ask by Where.matches", emptyList(),
        )

    private fun <T> called(onError: Consumer<DataStoreException>, call: suspend () -> T, onSuccess: (T) -> Unit) {
        background.launch {
            val answer = try {
                translated { call() }
            } catch (error: DataStoreException) {
                contained("onError") { onError.accept(error) }
                return@launch
            }
            contained("onSuccess") { onSuccess(answer) }
        }
    }

    private fun observed(onError: Consumer<DataStoreException>, onComplete: Action, observe: suspend CoroutineScope.() -> Unit) {
        background.launch {
            try {
                translated { observe() }
            } catch (error: DataStoreException) {
                contained("onError") { onError.accept(error) }
                return@launch
            }
            contained("onComplete") { onComplete.call() }
        }
    }
}
