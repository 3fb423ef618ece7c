package dev.tombolo.android

import android.content.Context
import android.net.ConnectivityManager
import android.net.Network
import androidx.lifecycle.DefaultLifecycleObserver
import androidx.lifecycle.Lifecycle
import androidx.lifecycle.LifecycleOwner
import dev.tombolo.Client
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock

/**
 * Keeps a client in step with the app: in the foreground it has its file and, while the device has a network, its link; in the background
 * it lets go of both, and what is not sent yet is left to a [SyncWorker].
 *
 * ```
 * val lifecycle = ClientLifecycle(context, client)
 * ProcessLifecycleOwner.get().lifecycle.addObserver(lifecycle)
 * ```
 *
 * Its methods are called on the main thread and return at once; what they do is done in their order on [Dispatchers.Default].
 */
public class ClientLifecycle(
    context: Context,
    /** The client. */
    public val client: Client,
    /** Lets go of the file in the background, too. Without it only the link follows the network. */
    private val suspends: Boolean = true,
) : DefaultLifecycleObserver {
    private val context = context.applicationContext
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default)

    /** What is done, one after the other. */
    private val turn = Mutex()
    private var foreground = false
    private val network = NetworkWatch(this.context) { connected ->
        step { if (!client.isSuspended) client.setOnline(connected) }
    }

    override fun onStart(owner: LifecycleOwner) {
        step {
            foreground = true
            client.resume()
        }
        network.start()
    }

    override fun onStop(owner: LifecycleOwner) {
        network.stop()
        step {
            foreground = false
            if (client.status.value.pending > 0) SyncWorker.enqueue(context)
            if (suspends) client.suspend()
        }
    }

    /** Works with the client though the app may be in the background: it is resumed for as long, and suspended again if it was. */
    public suspend fun <R> awake(work: suspend (Client) -> R): R =
        turn.withLock {
            client.resume()
            try {
                work(client)
            } finally {
                if (suspends && !foreground) client.suspend()
            }
        }

    /** Ends it: before the client is closed or signed out. */
    public fun stop(lifecycle: Lifecycle) {
        lifecycle.removeObserver(this)
        network.stop()
        scope.cancel()
    }

    private fun step(work: suspend () -> Unit) {
        scope.launch {
            turn.withLock {
                try {
                    work()
                } catch (error: TomboloException) {
                    // Closed or signed out meanwhile, or no URL: nothing is left to follow.
                    Tombolo.reporter?.invoke(dev.tombolo.Report("lifecycle", error.message.orEmpty()))
                }
            }
        }
    }
}

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
        running = true
        // Without a network nothing is told at first.
        if (connectivity.activeNetwork == null) tell(false)
        connectivity.registerDefaultNetworkCallback(callback)
    }

    fun stop() {
        if (!running) return
        running = false
        connectivity.unregisterNetworkCallback(callback)
    }
}
