package dev.tombolo.datastore

import dev.tombolo.Tombolo
import dev.tombolo.background
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Job
import kotlinx.coroutines.channels.BufferOverflow
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableSharedFlow
import kotlinx.coroutines.flow.filter
import kotlinx.coroutines.launch

/** What an event of the hub is about. */
public enum class HubChannel { DATASTORE }

/** The names of DataStore's events; [eventName] is how they are spelt. */
public enum class DataStoreChannelEventName(public val eventName: String) {
    /** Data: [NetworkStatus]. */
    NETWORK_STATUS("networkStatus"),

    /** Data: [OutboxStatus]. */
    OUTBOX_STATUS("outboxStatus"),

    /** Data: [OutboxMutation]. */
    OUTBOX_MUTATION_ENQUEUED("outboxMutationEnqueued"),

    /** The server has decided a mutation, or never did, and it waits for the app. Told each time that it comes to this. Data: [OutboxMutation]. */
    OUTBOX_MUTATION_PROCESSED("outboxMutationProcessed"),

    /** The link is open, and changes arrive. No data. */
    SUBSCRIPTIONS_ESTABLISHED("subscriptionsEstablished"),

    /** What was missed is being fetched. No data. */
    SYNC_QUERIES_STARTED("syncQueriesStarted"),

    /** A model is complete. Data: its name. */
    MODEL_SYNCED("modelSynced"),

    /** Every model is complete. No data. */
    SYNC_QUERIES_READY("syncQueriesReady"),

    /** The same: DataStore tells both. No data. */
    READY("ready"),
    ;

    override fun toString(): String = eventName
}

/** Whether there is a link. */
public data class NetworkStatus(val active: Boolean)

/** Whether something waits to be sent. */
public data class OutboxStatus(val isEmpty: Boolean)

/** A mutation in the outbox. */
public data class OutboxMutation(
    val modelName: String,
    /** The mutation's number: what `Client.mutation` and `Client.retry` take. */
    val number: Long,
    /** How it ended; `null` while it has not. */
    val outcome: dev.tombolo.Outcome? = null,
    /** Why it waits for the app, if the server never decided it: `Client.retry` or `Client.discard`. */
    val wedged: dev.tombolo.MutationState.Wedged? = null,
)

/** Something that happened. */
public data class HubEvent<T>(
    val name: String,
    val data: T,
)

/** Names one subscription. */
public class SubscriptionToken internal constructor(internal val job: Job)

/** Where DataStore tells what happens. */
public class Hub internal constructor() {
    private val events = MutableSharedFlow<HubEvent<*>>(extraBufferCapacity = BUFFER, onBufferOverflow = BufferOverflow.DROP_OLDEST)

    /** What happens from now on. One who is slower than [BUFFER] events loses the oldest. */
    public fun subscribe(channel: HubChannel, filter: (HubEvent<*>) -> Boolean = { true }): Flow<HubEvent<*>> =
        when (channel) {
            HubChannel.DATASTORE -> events.filter(filter)
        }

    /** The same with a callback, on a thread of Dispatchers.Default; what it throws is reported. */
    public fun subscribe(channel: HubChannel, filter: (HubEvent<*>) -> Boolean, listener: Consumer<HubEvent<*>>): SubscriptionToken =
        // From this moment on, not from when a thread has time.
        SubscriptionToken(background.launch(start = CoroutineStart.UNDISPATCHED) {
            subscribe(channel, filter).collect { event ->
                contained("a listener of the hub") { listener.accept(event) }
            }
        })

    public fun unsubscribe(token: SubscriptionToken): Unit = token.job.cancel()

    internal fun tell(name: DataStoreChannelEventName, data: Any? = null) {
        events.tryEmit(HubEvent(name.eventName, data))
    }

    public companion object {
        /** Events that wait for a slow subscriber: a burst of as many mutations as one transaction would have. */
        public const val BUFFER: Int = 1_024
    }
}

/** Calls the app; what it throws is reported. */
internal inline fun contained(who: String, call: () -> Unit) {
    try {
        call()
    } catch (error: Throwable) {
        Tombolo.tell("callback", "$who threw: ${error.message ?: error.javaClass.name}")
    }
}
