package dev.tombolo.tests.android

import android.app.Application
import androidx.work.FakeWorkManager
import androidx.work.WorkManager
import androidx.work.WorkerParameters
import dev.tombolo.TomboloException
import dev.tombolo.android.ClientLifecycle
import dev.tombolo.android.SyncWorker
import dev.tombolo.android.TomboloProvider
import java.io.IOException
import kotlin.time.Duration.Companion.milliseconds
import kotlin.time.Duration.Companion.hours
import kotlinx.coroutines.delay
import kotlinx.coroutines.withTimeout

internal val WORK: Map<String, suspend () -> Unit> = mapOf(
    "what a worker says to the system" to ::results,
    "a worker over a client without a URL" to ::withoutUrl,
    "a worker without a provider" to ::withoutProvider,
    "one that waits is replaced, one of its name that runs is not" to ::policies,
)

private class App(private val open: suspend () -> ClientLifecycle?) : Application(), TomboloProvider {
    override suspend fun tombolo(): ClientLifecycle? = open()
}

private suspend fun worked(parameters: WorkerParameters = WorkerParameters(), open: suspend () -> ClientLifecycle?): String =
    SyncWorker(App(open), parameters).doWork().toString()

private suspend fun results() {
    wants(worked { null } == "success") { "nobody is signed in" }
    val table = mapOf(
        TomboloException.Busy("d") to "retry",
        TomboloException.DiskFull("d") to "retry",
        TomboloException.Open("d", "in_use") to "retry",
        TomboloException.Open("d", "open") to "retry",
        TomboloException.Store("d", "corrupt") to "retry",
        TomboloException.Panicked("d") to "retry",
        TomboloException.Suspended() to "retry",
        TomboloException.Thread("d") to "retry",
        IOException("the account's file") to "retry",
        TomboloException.Unauthorized("d") to "success",
        TomboloException.SignedOut() to "success",
        TomboloException.Closed() to "success",
        TomboloException.Incomplete("d") to "success",
    )
    for ((error, wanted) in table) {
        val told = reports()
        val found = worked { throw error }
        wants(found == wanted) { "$error gives $found" }
        wants(told.single().kind == "lifecycle") { "$error: told $told" }
    }
    val late = worked { withTimeout(1.milliseconds) { delay(1.hours).let { null } } }
    wants(late == "retry") { "a time limit of the app's own gives $late" }
}

private suspend fun withoutUrl() = scene(asleep = true) {
    val found = worked { lifecycle }
    wants(found == "success" && client.isSuspended) { "it gives $found" }
}

private suspend fun withoutProvider() {
    val error = runCatching { SyncWorker(Application(), WorkerParameters()).doWork() }.exceptionOrNull()
    wants(error is IllegalStateException) { "it gives $error" }
}

private suspend fun policies() {
    val work = FakeWorkManager().also { WorkManager.fake = it }
    val app = Application()
    SyncWorker.enqueue(app)
    SyncWorker.schedule(app, 1.hours)
    val once = work.parameters.getValue(SyncWorker.NAME)
    worked(once) {
        SyncWorker.enqueue(app)
        null
    }
    runCatching { worked(once) { throw TomboloException.Busy("d") } }
    SyncWorker.enqueue(app)
    // The one that runs now is of another name, and nothing has to wait for it.
    worked(work.parameters.getValue(SyncWorker.NAME_PERIODIC)) {
        SyncWorker.enqueue(app)
        null
    }
    SyncWorker.cancel(app)
    val wanted = listOf(
        "REPLACE dev.tombolo.sync", "UPDATE dev.tombolo.sync.periodic", "APPEND_OR_REPLACE dev.tombolo.sync",
        "REPLACE dev.tombolo.sync", "REPLACE dev.tombolo.sync", "CANCEL dev.tombolo.sync", "CANCEL dev.tombolo.sync.periodic",
    )
    wants(work.told == wanted) { "told ${work.told}" }
}
