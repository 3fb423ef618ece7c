package dev.tombolo.datastore

import dev.tombolo.Client
import dev.tombolo.Event
import dev.tombolo.LinkStatus
import dev.tombolo.MutationFilter
import dev.tombolo.MutationStage
import dev.tombolo.MutationState
import dev.tombolo.Outcome
import dev.tombolo.Status
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.yield

/** Tells the hub what a client's status and events say, until the client ends. */
internal suspend fun tell(client: Client, hub: Hub) {
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
            client.events.collect { event ->
                contained {
                    when (event) {
                        is Event.Decided -> outcomes.tell(event)
                        is Event.Missed -> outcomes.tellMissed()
                        else -> {}
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
 * Tells how mutations ended. While the client is suspended nothing can be asked about them: what was decided just before waits for the
 * resumption, and refusals that were never told as events, which would be the app's loss, are looked up then.
 */
private class Outcomes(private val client: Client, private val hub: Hub) {
    private val turn = Mutex()

    /** Refusals from before, of which the app was told when they came. */
    private val old = HashSet<Long>()

    /** Refusals told. */
    private val told = HashSet<Long>()

    suspend fun note() {
        turn.withLock { old += rejected().map { it.number } }
    }

    suspend fun tell(event: Event.Decided) {
        val model = whileAwake { client.mutation(event.number) }?.model ?: return
        turn.withLock { tell(model, event.number, event.outcome) }
    }

    suspend fun tellMissed() {
        turn.withLock {
            for (mutation in rejected()) {
                val state = mutation.state as? MutationState.Rejected ?: continue
                if (mutation.number !in old) tell(mutation.model, mutation.number, Outcome.Rejected(state.code, state.reason))
            }
        }
    }

    private fun tell(model: String, number: Long, outcome: Outcome) {
        if (outcome is Outcome.Rejected && !told.add(number)) return
        hub.tell(DataStoreChannelEventName.OUTBOX_MUTATION_PROCESSED, OutboxMutation(model, number, outcome))
    }

    private suspend fun rejected() = whileAwake { client.mutations(MutationFilter(stages = setOf(MutationStage.Rejected))) }

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
