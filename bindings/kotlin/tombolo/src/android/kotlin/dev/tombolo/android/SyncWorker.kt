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
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import java.util.concurrent.TimeUnit
import java.util.concurrent.atomic.AtomicInteger
import kotlin.coroutines.cancellation.CancellationException
import kotlin.time.Duration
import kotlin.time.Duration.Companion.minutes
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.currentCoroutineContext
import kotlinx.coroutines.ensureActive

/**
 * Sends what waits and fetches what was missed while the app is in the background. The app's `Application` is a [TomboloProvider].
 *
 * It succeeds when nothing is left to do, or when only the user can help (sign in, decide on a refused mutation), and is tried again, later
 * each time, when the server was not reached, there was not enough time, or the file could not be had: opening it is part of the work.
 */
public class SyncWorker(context: Context, parameters: WorkerParameters) : CoroutineWorker(context, parameters) {
    override suspend fun doWork(): Result {
        // Also in a process in which App Startup has not run.
        Tls.initialize(applicationContext)
        // An app without a provider is a mistake in the app, which no further try mends: it fails.
        val provider = providerOf(applicationContext)
        val once = NAME in tags
        if (once) running.incrementAndGet()
        return try {
            val lifecycle = provider.tombolo() ?: return Result.success()
            if (lifecycle.awake { it.syncOnce(BUDGET) }.complete) Result.success() else Result.retry()
        } catch (error: CancellationException) {
            currentCoroutineContext().ensureActive()
            // Not the system's stop, but a time limit of the app's own.
            Result.retry()
        } catch (error: TomboloException) {
            Tombolo.tell("lifecycle", "a sync in the background failed: ${error.message}")
            if (isOver(error)) Result.success() else Result.retry()
        } catch (error: Exception) {
            // The app's own, on the way to its client.
            Tombolo.tell("lifecycle", "a sync in the background failed: $error")
            Result.retry()
        } finally {
            if (once) running.decrementAndGet()
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

        /**
         * How many that [enqueue] left to the system run in this process, which is where WorkManager runs them. The periodic one does not
         * count: one that waits would be chained behind, rather than replaced, for its sake.
         */
        private val running = AtomicInteger()

        /**
         * Sends as soon as there is a network, also if the app is gone by then. One that waits for another try, by now perhaps for hours, is
         * replaced and begins anew; one that runs is let run, and this one follows it.
         */
        public fun enqueue(context: Context) {
            val request = OneTimeWorkRequest.Builder(SyncWorker::class.java)
                .setConstraints(constraints())
                .setBackoffCriteria(BackoffPolicy.EXPONENTIAL, BACK_OFF.inWholeMilliseconds, TimeUnit.MILLISECONDS)
                .addTag(NAME)
                .build()
            val policy = if (running.get() > 0) ExistingWorkPolicy.APPEND_OR_REPLACE else ExistingWorkPolicy.REPLACE
            WorkManager.getInstance(context).enqueueUniqueWork(NAME, policy, request)
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

        /** Nothing comes of another try before the app or the user has done something. */
        private fun isOver(error: TomboloException): Boolean =
            error.needsSignIn || error is TomboloException.Closed || error is TomboloException.Incomplete
    }
}
