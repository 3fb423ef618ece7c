package dev.tombolo

import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock

/** Whether the link is wanted: the app says so, and the network gates it. One does not overwrite the other. */
internal class LinkWish(offline: Boolean) {
    private val turn = Mutex()
    private var wished = !offline
    private var network = true

    suspend fun wish(online: Boolean, apply: suspend (Boolean) -> Unit) {
        turn.withLock {
            val before = wished
            wished = online
            try {
                apply(wished && network)
            } catch (error: TomboloException.Incomplete) {
                wished = before
                throw error
            }
        }
    }

    /** Said again it is applied again: a link that waits tries at once when there is another network. */
    suspend fun network(there: Boolean, apply: suspend (Boolean) -> Unit) {
        turn.withLock {
            network = there
            apply(wished && network)
        }
    }
}
