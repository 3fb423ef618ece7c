package dev.tombolo.android

import android.content.Context
import androidx.lifecycle.DefaultLifecycleObserver
import androidx.lifecycle.Lifecycle
import androidx.lifecycle.LifecycleOwner
import dev.tombolo.Client
import dev.tombolo.MutationFilter
import dev.tombolo.MutationStage
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineExceptionHandler
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.Job
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.delay
import kotlinx.coroutines.launch
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/**
 * Keeps a client in step with the app: in the foreground it has its file and, while the device has a network, the link that the app wishes
 * ([Client.setOnline]); in the background it lets go of both, and what is not sent yet is left to a [SyncWorker]. A file that cannot be had
 * is tried again as long as the app is in the foreground, after 1 s at first and at most 30 s.
 *
 * ```
 * val lifecycle = ClientLifecycle(context, client)
 * ProcessLifecycleOwner.get().lifecycle.addObserver(lifecycle)
 * ```
 *
 * Its methods are called on the main thread and return at once; what they do is done in their order on [Dispatchers.Default]. What fails
 * there is told to [Tombolo.reporter].
 */
public class ClientLifecycle(
    context: Context,
    /** The client. */
    public val client: Client,
    /** Lets go of the file in the background, too. Without it only the link follows the network. */
    private val suspends: Boolean = true,
) : DefaultLifecycleObserver {
    private val context = context.applicationContext
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Default + CoroutineExceptionHandler { _, error -> reported(error) })

    /** What the system has told, in its order; one coroutine takes it out. */
    private val steps = Channel<suspend () -> Unit>(Channel.UNLIMITED)

    /** Held while the client is resumed or suspended, and never while anybody works with it. */
    private val turn = Mutex()

    /** As the system told it last, which may be ahead of the steps. */
    @Volatile
    private var foreground = false

    /** How many are within [awake]. Changed under [turn]. */
    private var holders = 0

    /** Tries to resume the client again. Changed under [turn]. */
    private var retry: Job? = null
    private val network = NetworkWatch(this.context) { connected -> step { client.setNetwork(connected) } }

    init {
        scope.launch {
            for (step in steps) contained { step() }
        }
    }

    override fun onStart(owner: LifecycleOwner) {
        foreground = true
        step { turn.withLock { settle() } }
        watching { network.start() }
    }

    override fun onStop(owner: LifecycleOwner) {
        foreground = false
        if (suspends) watching { network.stop() }
        step {
            contained { if (unsent()) SyncWorker.enqueue(context) }
            turn.withLock { settle() }
        }
    }

    /**
     * Works with the client though the app may be in the background: it is resumed for as long, and suspended again when the last who works
     * with it has ended, unless the app has come to the foreground.
     */
    public suspend fun <R> awake(work: suspend (Client) -> R): R {
        turn.withLock { holders += 1 }
        try {
            turn.withLock {
                client.resume()
                // Nobody watches the network in the background: what was last seen of it may be long ago.
                if (suspends && !foreground) client.setNetwork(true)
            }
            return work(client)
        } finally {
            // Also when the system has stopped the worker, or the file would stay open in a process that is about to be frozen.
            withContext(NonCancellable) {
                turn.withLock {
                    holders -= 1
                    contained { settle() }
                }
            }
        }
    }

    /** Ends it. Sign out before, within [awake]; close the client after. */
    public fun stop(lifecycle: Lifecycle) {
        lifecycle.removeObserver(this)
        watching { network.stop() }
        steps.close()
        scope.cancel()
    }

    /** Suspends the client if nobody needs it, and otherwise resumes it. Called under [turn]. */
    private suspend fun settle() {
        // It holds the turn while it does something: what is cancelled is its pause.
        retry?.cancel()
        if (!foreground && holders == 0 && suspends) return client.suspend()
        try {
            client.resume()
        } catch (error: TomboloException) {
            if (!isOver(error)) retry = scope.launch { resumeAgain() }
            throw error
        }
    }

    /** Nobody else would: the app stays in the foreground, and its calls fail for want of the file. The first failure was told. */
    private suspend fun resumeAgain() {
        var pause = RETRY_FIRST
        do {
            delay(pause)
            pause = minOf(pause * 2, RETRY_MOST)
        } while (turn.withLock { foreground && !isResumed() })
    }

    /** Whether there is nothing left to try. */
    private suspend fun isResumed(): Boolean =
        try {
            client.resume()
            true
        } catch (error: TomboloException) {
            isOver(error)
        }

    /** For tests. */
    internal val triesAgain: Boolean get() = retry?.isActive == true

    /** Returns when everything that was told before is done: for tests. */
    internal suspend fun settled() {
        val done = CompletableDeferred<Unit>()
        step { done.complete(Unit) }
        done.await()
    }

    /** By the file: the status is told a moment after the call that changed it. */
    private suspend fun unsent(): Boolean =
        client.mutations(MutationFilter(stages = ON_THEIR_WAY, limit = 1)).isNotEmpty()

    private fun step(work: suspend () -> Unit) {
        steps.trySend(work)
    }

    /** The system may refuse to be watched. Then the link tries by itself. */
    private inline fun watching(call: () -> Unit) {
        try {
            call()
        } catch (error: RuntimeException) {
            reported(error)
        }
    }

    private suspend fun contained(work: suspend () -> Unit) {
        try {
            work()
        } catch (error: CancellationException) {
            throw error
        } catch (_: TomboloException.Closed) {
            // Nothing is left to follow.
        } catch (_: TomboloException.SignedOut) {
            // Nor here.
        } catch (_: TomboloException.Suspended) {
            // In the background already: what was unsent then was left to a worker.
        } catch (error: Exception) {
            reported(error)
        }
    }

    internal companion object {
        /** The pause before a client that could not be resumed is tried again; each further one is twice as long. */
        val RETRY_FIRST: Duration = 1.seconds

        /** The longest one. Somebody looks at the app and waits. */
        val RETRY_MOST: Duration = 30.seconds

        private val ON_THEIR_WAY = setOf(MutationStage.Queued, MutationStage.InFlight, MutationStage.GivenUp)

        private fun isOver(error: TomboloException) = error is TomboloException.Closed || error is TomboloException.SignedOut

        private fun reported(error: Throwable) = Tombolo.tell("lifecycle", error.message ?: error.javaClass.name)
    }
}
