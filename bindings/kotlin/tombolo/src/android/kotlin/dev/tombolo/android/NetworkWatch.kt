package dev.tombolo.android

import android.content.Context
import android.net.ConnectivityManager
import android.net.Network

/** Tells whether the device has a network, on a thread of the system's. */
internal class NetworkWatch(context: Context, private val tell: (Boolean) -> Unit) {
    private val connectivity = context.getSystemService(ConnectivityManager::class.java)
    private var running = false
    private val callback = object : ConnectivityManager.NetworkCallback() {
        override fun onAvailable(network: Network) = tell(true)

        override fun onLost(network: Network) = tell(false)
    }

    fun start() {
        if (running) return
        // Without a network nothing is told at first.
        if (connectivity.activeNetwork == null) tell(false)
        try {
            connectivity.registerDefaultNetworkCallback(callback)
            running = true
        } catch (error: RuntimeException) {
            // Nobody will say when there is one: the link has to find out by itself.
            tell(true)
            throw error
        }
    }

    fun stop() {
        if (!running) return
        running = false
        connectivity.unregisterNetworkCallback(callback)
    }
}
