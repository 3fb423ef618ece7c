package dev.tombolo.android

import android.content.Context
import androidx.work.BackoffPolicy
import androidx.work.Constraints
import androidx.work.CoroutineWorker
import androidx.work.ExistingPeriodicWorkPolicy
import androidx.work.ExistingWorkPolicy
import androidx.work.NetworkType
import androidx.work.OneTimeWorkRequest
import androidx.work.PeriodicWorkRequest
import androidx.work.WorkManager
import androidx.work.WorkerParameters
import dev.tombolo.SyncReport
import dev.tombolo.TomboloException
import java.util.concurrent.TimeUnit
import kotlin.time.Duration
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds

/**
 * Sends what waits and fetches what was missed while the app is in the background. The app's `Application` is a [TomboloProvider].
 *
 * It succeeds when nothing is left to do, or when only the user can help (sign in, decide on a refused mutation), and is tried again, later
 * each time, when the server was not reached or there was not enough time.
 */
public class SyncWorker(context: Context, parameters: WorkerParameters) : CoroutineWorker(context, parameters) {
    override suspend fun doWork(): Result {
        val lifecycle = providerOf(applicationContext).tombolo() ?: return Result.success()
        return try {
            after(lifecycle.awake { it.syncOnce(BUDGET) })
        } catch (error: TomboloException) {
            if (error.canRetry) Result.retry() else Result.success()
        }
    }

    public companion object {
        /** The longest one run takes. The system stops a worker after 10 minutes; a server that is there is done in seconds. */
        public val BUDGET: Duration = 4.minutes

        /** The first wait before another try; each further one is twice as long, up to WorkManager's five hours. */
        public val BACK_OFF: Duration = 30.seconds

        /** The name of what [enqueue] leaves to the system. */
        public const val NAME: String = "dev.tombolo.sync"

        /** The name of what [schedule] leaves to the system. */
        public const val NAME_PERIODIC: String = "dev.tombolo.sync.periodic"

        /** Sends as soon as there is a network, also if the app is gone by then. One that waits already goes on waiting. */
        public fun enqueue(context: Context) {
            val request = OneTimeWorkRequest.Builder(SyncWorker::class.java)
                .setConstraints(constraints())
                .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, BACK_OFF.inWholeMilliseconds, TimeUnit.MILLISECONDS)
                .build()
            WorkManager.getInstance(context).enqueueUniqueWork(NAME, ExistingWorkPolicy.KEEP, request)
        }

        /** Fetches every so often, at least every 15 minutes apart (the system's own bound), while there is a network. */
        public fun schedule(context: Context, every: Duration) {
            val request = PeriodicWorkRequest.Builder(SyncWorker::class.java, every.inWholeMilliseconds, TimeUnit.MILLISECONDS)
                .setConstraints(constraints())
                .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, BACK_OFF.inWholeMilliseconds, TimeUnit.MILLISECONDS)
                .build()
            WorkManager.getInstance(context).enqueueUniquePeriodicWork(NAME_PERIODIC, ExistingPeriodicWorkPolicy.UPDATE, request)
        }

        /** Takes both back: when the user signs out. */
        public fun cancel(context: Context) {
            val work = WorkManager.getInstance(context)
            work.cancelUniqueWork(NAME)
            work.cancelUniqueWork(NAME_PERIODIC)
        }

        private fun constraints(): Constraints = Constraints.Builder().setRequiredNetworkType(NetworkType.CONNECTED).build()

        private fun after(report: SyncReport): Result = if (report.complete) Result.success() else Result.retry()
    }
}
