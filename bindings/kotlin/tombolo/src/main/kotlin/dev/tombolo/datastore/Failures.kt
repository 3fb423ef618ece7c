package dev.tombolo.datastore

import dev.tombolo.Model
import dev.tombolo.Record
import dev.tombolo.TomboloException
import kotlin.coroutines.cancellation.CancellationException
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.catch

/** The model of a generated type: its companion. */
@Suppress("UNCHECKED_CAST")
internal fun <M : Record> modelOf(type: Class<M>): Model<M, *> =
    try {
        type.getField("Companion").get(null) as Model<M, *>
    } catch (error: ReflectiveOperationException) {
        throw IllegalArgumentException("${type.name} is no generated record: its companion, the model, is not there", error)
    }

/** What fails fails as a [DataStoreException]: code that comes from Amplify catches nothing else. */
internal suspend inline fun <T> translated(call: () -> T): T =
    try {
        call()
    } catch (error: CancellationException) {
        currentCoroutineContext().ensureActive()
        // Not the caller's own: a time limit in the app's opener. Thrown on it would end the caller without a word.
        throw failure(error)
    } catch (error: Exception) {
        throw failure(error)
    }

/** The same for what a flow's collector is thrown. */
internal fun <T> Flow<T>.translated(): Flow<T> = catch { throw failure(it) }

internal fun failure(error: Throwable): DataStoreException {
    if (error is DataStoreException) return error
    val suggestion = when {
        error !is TomboloException -> "see the cause"
        error.needsSignIn -> "let the user sign in again"
        error.canRetry -> "try again later"
        else -> "see the cause"
    }
    return DataStoreException(error.message ?: error.javaClass.name, suggestion, error)
}
