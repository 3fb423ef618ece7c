@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.work

import android.content.Context
import java.util.concurrent.ConcurrentHashMap
import java.util.concurrent.CopyOnWriteArrayList
import java.util.concurrent.TimeUnit

class WorkerParameters(val tags: Set<String> = emptySet())

abstract class ListenableWorker(val applicationContext: Context, parameters: WorkerParameters) {
    val tags: Set<String> = parameters.tags

    abstract class Result {
        companion object {
            fun success(): Result = Fake("success")

            fun retry(): Result = Fake("retry")

            fun failure(): Result = Fake("failure")
        }

        private class Fake(private val word: String) : Result() {
            override fun toString() = word
        }
    }
}

abstract class CoroutineWorker(context: Context, parameters: WorkerParameters) : ListenableWorker(context, parameters) {
    abstract suspend fun doWork(): Result
}

enum class NetworkType { NOT_REQUIRED, CONNECTED, UNMETERED }

enum class BackoffPolicy { EXPONENTIAL, LINEAR }

enum class ExistingWorkPolicy { REPLACE, KEEP, APPEND, APPEND_OR_REPLACE }

enum class ExistingPeriodicWorkPolicy { KEEP, UPDATE, CANCEL_AND_REENQUEUE }

class Constraints {
    class Builder {
        fun setRequiredNetworkType(type: NetworkType): Builder = this

        fun build(): Constraints = Constraints()
    }
}

abstract class WorkRequest {
    var tags: Set<String> = emptySet()
        private set

    abstract class Builder<B : Builder<B, W>, W : WorkRequest> {
        private val tags = HashSet<String>()

        @Suppress("UNCHECKED_CAST")
        fun addTag(tag: String): B {
            tags += tag
            return this as B
        }

        @Suppress("UNCHECKED_CAST")
        fun setConstraints(constraints: Constraints): B = this as B

        @Suppress("UNCHECKED_CAST")
        fun setBackoffCriteria(policy: BackoffPolicy, delay: Long, unit: TimeUnit): B = this as B

        protected abstract fun make(): W

        fun build(): W = make().also { it.tags = tags.toSet() }
    }
}

class OneTimeWorkRequest : WorkRequest() {
    class Builder(worker: Class<out ListenableWorker>) : WorkRequest.Builder<Builder, OneTimeWorkRequest>() {
        override fun make() = OneTimeWorkRequest()
    }
}

class PeriodicWorkRequest : WorkRequest() {
    class Builder(worker: Class<out ListenableWorker>, every: Long, unit: TimeUnit) : WorkRequest.Builder<Builder, PeriodicWorkRequest>() {
        override fun make() = PeriodicWorkRequest()
    }
}

interface Operation

abstract class WorkManager {
    abstract fun enqueueUniqueWork(name: String, policy: ExistingWorkPolicy, request: OneTimeWorkRequest): Operation

    abstract fun enqueueUniquePeriodicWork(name: String, policy: ExistingPeriodicWorkPolicy, request: PeriodicWorkRequest): Operation

    abstract fun cancelUniqueWork(name: String): Operation

    companion object {
        /** `null`: it was never initialized, as in a process that has switched its initializer off. */
        @Volatile
        var fake: WorkManager? = FakeWorkManager()

        fun getInstance(context: Context): WorkManager = fake ?: throw IllegalStateException("WorkManager is not initialized properly")
    }
}

/** Notes what it was told. */
class FakeWorkManager : WorkManager() {
    val told = CopyOnWriteArrayList<String>()

    /** What a worker of each name is told of its request. */
    val parameters = ConcurrentHashMap<String, WorkerParameters>()

    override fun enqueueUniqueWork(name: String, policy: ExistingWorkPolicy, request: OneTimeWorkRequest): Operation =
        enqueued(name, "$policy", request)

    override fun enqueueUniquePeriodicWork(name: String, policy: ExistingPeriodicWorkPolicy, request: PeriodicWorkRequest): Operation =
        enqueued(name, "$policy", request)

    override fun cancelUniqueWork(name: String): Operation = note("CANCEL $name")

    private fun enqueued(name: String, policy: String, request: WorkRequest): Operation {
        parameters[name] = WorkerParameters(request.tags)
        return note("$policy $name")
    }

    private fun note(words: String): Operation {
        told += words
        return object : Operation {}
    }
}
