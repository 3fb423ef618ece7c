@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.work

import android.content.Context
import java.util.concurrent.TimeUnit

class WorkerParameters

abstract class ListenableWorker(val applicationContext: Context, parameters: WorkerParameters) {
    abstract class Result {
        companion object {
            fun success(): Result = throw NotImplementedError()

            fun retry(): Result = throw NotImplementedError()

            fun failure(): Result = throw NotImplementedError()
        }
    }
}

abstract class CoroutineWorker(context: Context, parameters: WorkerParameters) : ListenableWorker(context, parameters) {
    abstract suspend fun doWork(): Result
}

enum class NetworkType { NOT_REQUIRED, CONNECTED, UNMETERED }

enum class BackoffPolicy { EXPONENTIAL, LINEAR }

enum class ExistingWorkPolicy { REPLACE, KEEP, APPEND }

enum class ExistingPeriodicWorkPolicy { KEEP, UPDATE, CANCEL_AND_REENQUEUE }

class Constraints {
    class Builder {
        fun setRequiredNetworkType(type: NetworkType): Builder = this

        fun build(): Constraints = Constraints()
    }
}

abstract class WorkRequest {
    abstract class Builder<B : Builder<B, W>, W : WorkRequest> {
        fun setConstraints(constraints: Constraints): B = throw NotImplementedError()

        fun setBackoffCriteria(policy: BackoffPolicy, delay: Long, unit: TimeUnit): B = throw NotImplementedError()

        fun build(): W = throw NotImplementedError()
    }
}

class OneTimeWorkRequest : WorkRequest() {
    class Builder(worker: Class<out ListenableWorker>) : WorkRequest.Builder<Builder, OneTimeWorkRequest>()
}

class PeriodicWorkRequest : WorkRequest() {
    class Builder(worker: Class<out ListenableWorker>, every: Long, unit: TimeUnit) : WorkRequest.Builder<Builder, PeriodicWorkRequest>()
}

interface Operation

abstract class WorkManager {
    abstract fun enqueueUniqueWork(name: String, policy: ExistingWorkPolicy, request: OneTimeWorkRequest): Operation

    abstract fun enqueueUniquePeriodicWork(name: String, policy: ExistingPeriodicWorkPolicy, request: PeriodicWorkRequest): Operation

    abstract fun cancelUniqueWork(name: String): Operation

    companion object {
        fun getInstance(context: Context): WorkManager = throw NotImplementedError()
    }
}
