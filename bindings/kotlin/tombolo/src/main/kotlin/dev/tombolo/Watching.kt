package dev.tombolo

import dev.tombolo.ffi.CredentialProvider
import dev.tombolo.ffi.CredentialReply
import java.util.concurrent.atomic.AtomicReference
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.CoroutineExceptionHandler
import kotlinx.coroutines.CoroutineName
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.FlowCollector
import kotlinx.coroutines.flow.flow
import kotlinx.coroutines.launch
import kotlinx.coroutines.withContext

/** A native handle that gives items. Stopped it gives none any more; let go of it is gone. */
internal class Watched<N>(
    val next: suspend () -> N?,
    val stop: () -> Unit,
    val letGo: () -> Unit,
)

/**
 * A cold flow over a native handle: opened and read on [Dispatchers.Default], emitted where it is collected, and let go of when the
 * collector ends, however that is.
 */
internal fun <N : Any, T> watching(open: suspend () -> Watched<N>, read: (N) -> T): Flow<T> =
    flow {
        // Not the value of `withContext`: a coroutine that is cancelled just then would lose the handle.
        val opened = AtomicReference<Watched<N>?>()
        try {
            withContext(Dispatchers.Default) { native { opened.set(open()) } }
            emitItems(checkNotNull(opened.get()), read)
        } finally {
            opened.get()?.letGo?.invoke()
        }
    }

/** The same over a handle that is open already, for one collector. */
internal fun <N : Any, T> watched(opened: Watched<N>, read: (N) -> T): Flow<T> =
    flow {
        try {
            emitItems(opened, read)
        } finally {
            opened.letGo()
        }
    }

private suspend fun <N : Any, T> FlowCollector<T>.emitItems(watched: Watched<N>, read: (N) -> T) {
    while (true) {
        val item = withContext(Dispatchers.Default) { native { watched.next() }?.let { Read(read(it)) } } ?: break
        emit(item.value)
    }
}

/** Tells an item that was read as `null` from the end. */
private class Read<T>(val value: T)

/** Asks the app for a credential, on a thread that may block. */
internal class Provider(
    private val ask: suspend () -> Credential?,
    private val scope: CoroutineScope,
) : CredentialProvider {
    override fun credentialNeeded(reply: CredentialReply) {
        val job = scope.launch(Dispatchers.IO) {
            try {
                reply.give(ask()?.native())
            } catch (error: CancellationException) {
                throw error
            } catch (error: Throwable) {
                Tombolo.tell("callback", "the credential provider threw: ${callbackFailed(error).detail}")
                reply.give(null)
            }
        }
        // Also if the client ended before it began: letting go of the reply says that there is none.
        job.invokeOnCompletion { reply.close() }
    }
}

/** What ends with no client: closing without waiting. */
internal val background: CoroutineScope = CoroutineScope(SupervisorJob() + Dispatchers.Default + CoroutineName("tombolo") + contained())

/** What a client does beside its calls. */
internal fun clientScope(): CoroutineScope = CoroutineScope(SupervisorJob() + Dispatchers.Default + CoroutineName("tombolo-client") + contained())

/** What fails beside the calls is reported; by itself it would end the app. */
private fun contained() = CoroutineExceptionHandler { _, error -> Tombolo.tell("callback", "$error") }

internal fun CoroutineScope.end() = cancel()
