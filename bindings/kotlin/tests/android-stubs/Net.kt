@file:Suppress("UNUSED_PARAMETER", "unused")

package android.net

class Network

class ConnectivityManager {
    val activeNetwork: Network? get() = throw NotImplementedError()

    fun registerDefaultNetworkCallback(callback: NetworkCallback) {}

    fun unregisterNetworkCallback(callback: NetworkCallback) {}

    open class NetworkCallback {
        open fun onAvailable(network: Network) {}

        open fun onLost(network: Network) {}
    }
}
