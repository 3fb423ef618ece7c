@file:Suppress("UNUSED_PARAMETER", "unused")

package android.net

import java.util.concurrent.CopyOnWriteArrayList

class Network

class ConnectivityManager {
    val fakeCallbacks = CopyOnWriteArrayList<NetworkCallback>()
    var fakeRefusal: RuntimeException? = null
    @Volatile
    var fakeNetwork: Network? = Network()

    val activeNetwork: Network? get() = fakeNetwork

    fun registerDefaultNetworkCallback(callback: NetworkCallback) {
        fakeRefusal?.let { throw it }
        fakeCallbacks += callback
        fakeNetwork?.let(callback::onAvailable)
    }

    fun unregisterNetworkCallback(callback: NetworkCallback) {
        fakeCallbacks -= callback
    }

    /** As the system tells it, from a thread of its own. */
    fun fakeBecomes(there: Boolean) {
        val network = fakeNetwork ?: Network()
        fakeNetwork = if (there) network else null
        fakeCallbacks.forEach { if (there) it.onAvailable(network) else it.onLost(network) }
    }

    open class NetworkCallback {
        open fun onAvailable(network: Network) {}

        open fun onLost(network: Network) {}
    }
}
