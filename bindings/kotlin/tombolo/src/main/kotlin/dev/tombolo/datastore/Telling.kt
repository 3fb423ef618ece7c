package dev.tombolo.datastore

import dev.tombolo.Client
import dev.tombolo.Event
import dev.tombolo.LinkStatus
import dev.tombolo.Status
import dev.tombolo.TomboloException
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.launch

/** Tells the hub what a client's status and events say, until the client ends. */
internal suspend fun tell(client: Client, hub: Hub) {
    try {
        coroutineScope {
            launch {
                var before: Status? = null
                client.statuses().collect { status ->
                    tellStatus(before, status, hub)
                    before = status
                }
            }
            client.events.collect { tellEvent(client, it, hub) }
        }
    } catch (_: TomboloException) {
        // It ended while it was being asked.
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

private suspend fun tellEvent(client: Client, event: Event, hub: Hub) {
    if (event is Event.Decided) {
        val model = client.mutation(event.number)?.model ?: return
        hub.tell(DataStoreChannelEventName.OUTBOX_MUTATION_PROCESSED, OutboxMutation(model, event.number, event.outcome))
    }
}
