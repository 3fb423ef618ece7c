package dev.tombolo.datastore

import dev.tombolo.Client
import dev.tombolo.Event
import dev.tombolo.LinkStatus
import dev.tombolo.Mutation
import dev.tombolo.MutationFilter
import dev.tombolo.MutationStage
import dev.tombolo.MutationState
import dev.tombolo.Outcome
import dev.tombolo.Status
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.yield

/** Tells the hub what a client's status and [events] say, until the client ends. */
internal suspend fun tell(client: Client, hub: Hub, events: Flow<Event> = client.events) {
    try {
        coroutineScope {
            val outcomes = Outcomes(client, hub)
            val statuses = launch {
                var before: Status? = null
                client.statuses().collect { status ->
                    tellStatus(before, status, hub)
                    before = status
                }
            }
            val sweeps = launch(start = CoroutineStart.UNDISPATCHED) {
                contained { outcomes.note() }
                client.resumed.collect { contained { outcomes.tellMissed() } }
            }
            events.collect { event ->
                contained {
                    when (event) {
                        is Event.Decided -> outcomes.tell(event)
                        is Event.Wedged -> outcomes.tell(event)
                        is Event.Missed -> outcomes.tellMissed()
                        Event.NeedToken, Event.SignedOut, is Event.ReplicaRenewed, is Event.Renumbered, Event.Stalled, is Event.Salvaged,
                        is Event.Imported,
                        -> {}
                    }
                }
            }
            sweeps.cancel()
            statuses.join()
        }
    } catch (_: TomboloException) {
        // The client ended while it was being asked.
    }
}

/** What fails with one event does not keep the next ones from being told; only the client's end does. */
private suspend fun contained(tell: suspend () -> Unit) {
    try {
        tell()
    } catch (error: TomboloException) {
        if (error is TomboloException.Closed || error is TomboloException.SignedOut) throw error
        Tombolo.tell("hub", "an event was not told: ${error.message}")
    }
}

/**
 * Tells how mutations ended, and which are wedged. While the client is suspended nothing can be asked about them: what was told just before
 * waits for the resumption, and what waits for the app and was never told as an event, which would be the app's loss, is looked up then.
 */
private class Outcomes(private val client: Client, private val hub: Hub) {
    private val turn = Mutex()

    /** What waited for the app before, which was told when it came to this. */
    private val old = HashSet<Trouble>()

    /** What has been told, or is about to be. */
    private val told = HashSet<Trouble>()

    suspend fun note() {
        turn.withLock { old += waiting().map(::Trouble) }
    }

    suspend fun tell(event: Event.Decided) {
        val refused = if (event.outcome is Outcome.Rejected) Trouble(event.number, MutationStage.Rejected) else null
        // Tried again it has another number: there is only one refusal for each.
        if (refused != null && !turn.withLock { told.add(refused) }) return
        asked(event.number, refused) { model -> OutboxMutation(model, event.number, event.outcome) }
    }

    suspend fun tell(event: Event.Wedged) {
        val wedged = Trouble(event.number, MutationStage.Wedged)
        // Tried again it keeps its number: each event is news.
        turn.withLock { told += wedged }
        asked(event.number, wedged) { model -> OutboxMutation(model, event.number, wedged = MutationState.Wedged(event.reason)) }
    }

    suspend fun tellMissed() {
        turn.withLock {
            val waiting = waiting().associateBy(::Trouble)
            // What the app has done something about may come to this again.
            old.retainAll(waiting.keys)
            told.retainAll(waiting.keys)
            for ((trouble, mutation) in waiting) if (trouble !in old && told.add(trouble)) tell(missed(mutation))
        }
    }

    /** Tells with the model's name, which the event does not have. */
    private suspend fun asked(number: Long, trouble: Trouble?, mutation: (String) -> OutboxMutation) {
        try {
            val model = whileAwake { client.mutation(number) }?.model ?: return
            tell(mutation(model))
        } catch (error: TomboloException) {
            // Left to the next look.
            if (trouble != null) turn.withLock { told -= trouble }
            throw error
        }
    }

    private fun missed(mutation: Mutation): OutboxMutation =
        when (val state = mutation.state) {
            is MutationState.Wedged -> OutboxMutation(mutation.model, mutation.number, wedged = state)
            is MutationState.Rejected -> OutboxMutation(mutation.model, mutation.number, Outcome.Rejected(state.code, state.reason))
            MutationState.Queued, MutationState.InFlight, MutationState.GivenUp, MutationState.Applied, MutationState.Merged,
            MutationState.Discarded,
            -> error("$mutation does not wait for the app")
        }

    private fun tell(mutation: OutboxMutation) = hub.tell(DataStoreChannelEventName.OUTBOX_MUTATION_PROCESSED, mutation)

    private suspend fun waiting() = waiting { filter -> whileAwake { client.mutations(filter) } }

    private suspend fun <T> whileAwake(call: suspend () -> T): T {
        while (true) {
            client.whenAwake()
            try {
                return call()
            } catch (_: TomboloException.Suspended) {
                // Just then. It is asleep now.
                yield()
            }
        }
    }
}

/** A mutation that waits for the app, and for what. */
private data class Trouble(val number: Long, val stage: MutationStage) {
    constructor(mutation: Mutation) : this(mutation.number, mutation.state.stage)
}

/** Every mutation that waits for the app, page by page: a client lists only so many at once. */
internal suspend fun waiting(list: suspend (MutationFilter) -> List<Mutation>): List<Mutation> = buildList {
    var filter = MutationFilter(stages = setOf(MutationStage.Rejected, MutationStage.Wedged))
    while (true) {
        val page = list(filter)
        addAll(page)
        filter = filter.copy(after = page.lastOrNull()?.number ?: break)
    }
}

private fun tellStatus(before: Status?, now: Status, hub: Hub) {
    if (before == null || active(before) != active(now)) {
        hub.tell(DataStoreChannelEventName.NETWORK_STATUS, NetworkStatus(active(now)))
    }
    if (before == null || (before.pending == 0L) != (now.pending == 0L)) {
        hub.tell(DataStoreChannelEventName.OUTBOX_STATUS, OutboxStatus(now.pending == 0L))
    }
    if (active(now) && before?.let(::active) != true) {
        hub.tell(DataStoreChannelEventName.SUBSCRIPTIONS_ESTABLISHED)
        hub.tell(DataStoreChannelEventName.SYNC_QUERIES_STARTED)
    }
    val complete = before?.scopes.orEmpty().filter { it.upToDate }.map { it.scope.model }.toSet()
    now.scopes.filter { it.upToDate && it.scope.model !in complete }.forEach {
        hub.tell(DataStoreChannelEventName.MODEL_SYNCED, it.scope.model)
    }
    if (now.upToDate && before?.upToDate != true) {
        hub.tell(DataStoreChannelEventName.SYNC_QUERIES_READY)
        hub.tell(DataStoreChannelEventName.READY)
    }
}

private fun active(status: Status): Boolean =
    when (status.link) {
        LinkStatus.CatchingUp, LinkStatus.Live -> true
        LinkStatus.Offline, LinkStatus.Waiting, LinkStatus.Opening, LinkStatus.Paused, LinkStatus.Elsewhere -> false
    }
