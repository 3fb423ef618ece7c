package dev.tombolo.tests.android

import androidx.lifecycle.FakeLifecycle
import androidx.work.FakeWorkManager
import androidx.work.WorkManager
import dev.tombolo.LinkStatus
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import dev.tombolo.android.ClientLifecycle
import java.nio.file.Path
import kotlin.io.path.createDirectory
import kotlin.io.path.deleteExisting
import kotlin.io.path.moveTo
import kotlin.time.Duration.Companion.milliseconds
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.CoroutineStart
import kotlinx.coroutines.Job
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.delay
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch

internal val LIFECYCLE: Map<String, suspend () -> Unit> = mapOf(
    "the client follows the app" to ::followsTheApp,
    "what is written last is not overlooked" to ::writtenLast,
    "a worker that is stopped leaves the client suspended" to ::stoppedWorker,
    "the app in the foreground keeps its client" to ::startedDuringWork,
    "the last who works with it lets it go" to ::twoWorkers,
    "starts and stops are done in their order" to ::inOrder,
    "a reporter that throws does not end the app" to ::throwingReporter,
    "without a WorkManager it suspends all the same" to ::withoutWorkManager,
    "the system may refuse to tell of the network" to ::unwatchedNetwork,
    "a client without a URL has no use for a network" to ::withoutUrl,
    "the network only gates what the app wishes" to ::networkGates,
    "a file that cannot be had is tried again in the foreground" to ::triedAgain,
    "a client that has ended is not tried again" to ::endedNotTried,
    "signing out while it is awake" to ::signOutWhileAwake,
)

/** Begins to work with the client, and goes on until told. */
private class Work(val job: Job, private val end: CompletableDeferred<Unit>) {
    suspend fun finish() {
        end.complete(Unit)
        job.join()
    }
}

private suspend fun Scene.working(scope: CoroutineScope): Work {
    val begun = CompletableDeferred<Unit>()
    val end = CompletableDeferred<Unit>()
    val job = scope.launch(start = CoroutineStart.UNDISPATCHED) {
        lifecycle.awake {
            begun.complete(Unit)
            end.await()
        }
    }
    begun.await()
    return Work(job, end)
}

private suspend fun followsTheApp() = scene {
    val work = FakeWorkManager().also { WorkManager.fake = it }
    val app = FakeLifecycle()
    app.addObserver(lifecycle)
    app.start()
    lifecycle.settled()
    app.stop()
    lifecycle.settled()
    wants(client.isSuspended) { "it is not suspended in the background" }
    wants(work.told.isEmpty()) { "nothing was unsent, and ${work.told}" }
    app.start()
    lifecycle.settled()
    client.mutate(CREATE)
    app.stop()
    lifecycle.settled()
    wants(client.isSuspended && work.told == listOf("REPLACE dev.tombolo.sync")) { "told ${work.told}" }
    lifecycle.stop(app)
    wants(app.observers.isEmpty() && this.app.fakeConnectivity.fakeCallbacks.isEmpty()) { "something is still observed" }
}

/** The status is told a moment after the call that changed it, and the app may be in the background by then. */
private suspend fun writtenLast() {
    repeat(30) { round ->
        scene {
            val work = FakeWorkManager().also { WorkManager.fake = it }
            val app = FakeLifecycle()
            app.addObserver(lifecycle)
            app.start()
            lifecycle.settled()
            client.mutate(CREATE)
            app.stop()
            lifecycle.settled()
            wants(work.told.size == 1) { "round $round: nobody sends it" }
            lifecycle.stop(app)
        }
    }
}

private suspend fun stoppedWorker() = scene(asleep = true) {
    coroutineScope {
        // Several at once, so that each has to wait for its turn to let go.
        val workers = List(4) { working(this) }
        wants(!client.isSuspended) { "suspended while it is worked with" }
        workers.forEach { it.job.cancel() }
        workers.forEach { it.job.join() }
    }
    wants(client.isSuspended) { "the file stays open in the background" }
}

private suspend fun startedDuringWork() = scene(asleep = true) {
    coroutineScope {
        val work = working(this)
        val app = FakeLifecycle()
        app.addObserver(lifecycle)
        app.start()
        // Not held up by who works with the client.
        lifecycle.settled()
        work.finish()
        wants(!client.isSuspended) { "suspended under an app in the foreground" }
        client.mutate(CREATE)
        val more = working(this)
        app.stop()
        lifecycle.settled()
        wants(!client.isSuspended) { "suspended under who works with it" }
        more.finish()
        wants(client.isSuspended) { "nobody needs it, and it is not suspended" }
        lifecycle.stop(app)
    }
}

private suspend fun twoWorkers() = scene(asleep = true) {
    coroutineScope {
        val one = working(this)
        val other = working(this)
        one.finish()
        wants(!client.isSuspended) { "suspended under the other" }
        other.finish()
        wants(client.isSuspended) { "not suspended by the last" }
    }
}

private suspend fun inOrder() = scene(NOWHERE) {
    val app = FakeLifecycle()
    app.addObserver(lifecycle)
    repeat(1_000) {
        app.start()
        app.stop()
    }
    lifecycle.settled()
    wants(client.isSuspended) { "not suspended after the last stop" }
    repeat(1_000) {
        app.start()
        app.stop()
    }
    app.start()
    lifecycle.settled()
    wants(!client.isSuspended) { "suspended after the last start" }
    val network = this.app.fakeConnectivity
    for (round in 1..20) {
        repeat(25) {
            network.fakeBecomes(true)
            network.fakeBecomes(false)
        }
        lifecycle.settled()
        val link = client.statuses().first().link
        wants(link == LinkStatus.Offline) { "the network is gone, and the link is $link in round $round" }
    }
    lifecycle.stop(app)
}

private suspend fun throwingReporter() = scene {
    val app = FakeLifecycle()
    app.addObserver(lifecycle)
    var told = 0
    Tombolo.reporter = {
        told += 1
        error("a reporter that throws")
    }
    this.app.fakeConnectivity.fakeRefusal = SecurityException("no permission")
    app.start()
    lifecycle.settled()
    wants(told == 1) { "told $told times" }
    client.shutDown()
    app.stop()
    lifecycle.settled()
    wants(told == 1) { "a client that was closed is nobody's trouble, and $told were told" }
    lifecycle.stop(app)
}

private suspend fun withoutWorkManager() = scene {
    WorkManager.fake = null
    val told = reports()
    val app = FakeLifecycle()
    app.addObserver(lifecycle)
    app.start()
    client.mutate(CREATE)
    app.stop()
    lifecycle.settled()
    WorkManager.fake = FakeWorkManager()
    wants(client.isSuspended) { "not suspended" }
    wants(told.map { it.kind } == listOf("lifecycle")) { "told $told" }
    lifecycle.stop(app)
}

private suspend fun unwatchedNetwork() = scene(NOWHERE) {
    val told = reports()
    app.fakeConnectivity.fakeNetwork = null
    app.fakeConnectivity.fakeRefusal = RuntimeException("too many callbacks")
    val app = FakeLifecycle()
    app.addObserver(lifecycle)
    app.start()
    lifecycle.settled()
    wants(told.single().detail == "too many callbacks") { "told $told" }
    wants(client.statuses().first().link != LinkStatus.Offline) { "the link is not tried" }
    app.stop()
    lifecycle.settled()
    lifecycle.stop(app)
}

private suspend fun withoutUrl() = scene {
    val told = reports()
    val app = FakeLifecycle()
    app.addObserver(lifecycle)
    app.start()
    this.app.fakeConnectivity.fakeBecomes(false)
    this.app.fakeConnectivity.fakeBecomes(true)
    lifecycle.settled()
    wants(told.isEmpty()) { "told $told" }
    wants(runCatching { client.setOnline(true) }.exceptionOrNull() is TomboloException.Incomplete) { "the app's own wish is a mistake" }
    lifecycle.stop(app)
}

private suspend fun networkGates() = scene(NOWHERE) {
    val app = FakeLifecycle()
    val network = this.app.fakeConnectivity
    suspend fun offline() = client.statuses().first().link == LinkStatus.Offline
    app.addObserver(lifecycle)
    app.start()
    lifecycle.settled()
    wants(!offline()) { "the app wishes a link, and there is a network" }
    client.setOnline(false)
    network.fakeBecomes(false)
    network.fakeBecomes(true)
    lifecycle.settled()
    wants(offline()) { "the network has overruled the app" }
    app.stop()
    app.start()
    lifecycle.settled()
    wants(offline()) { "coming back to the foreground has overruled the app" }
    network.fakeBecomes(false)
    lifecycle.settled()
    client.setOnline(true)
    wants(offline()) { "a link is tried without a network" }
    network.fakeBecomes(true)
    lifecycle.settled()
    wants(!offline()) { "the app's wish is forgotten" }
    lifecycle.stop(app)
}

private suspend fun triedAgain() = scene {
    val told = reports()
    val app = FakeLifecycle()
    app.addObserver(lifecycle)
    client.suspend()
    val file = Withheld(file)
    app.start()
    lifecycle.settled()
    wants(client.isSuspended) { "resumed without its file" }
    // One try fails, too.
    delay(ClientLifecycle.RETRY_FIRST * 1.5)
    wants(client.isSuspended && told.map { it.kind } == listOf("lifecycle")) { "told $told" }
    file.giveBack()
    while (client.isSuspended) delay(10.milliseconds)
    client.query("{ listNotes { items { id } } }")

    app.stop()
    lifecycle.settled()
    file.withhold()
    app.start()
    lifecycle.settled()
    wants(lifecycle.triesAgain) { "not tried again" }
    app.stop()
    lifecycle.settled()
    file.giveBack()
    delay(ClientLifecycle.RETRY_FIRST * 1.5)
    wants(client.isSuspended && !lifecycle.triesAgain) { "tried again in the background" }
    lifecycle.stop(app)
}

private suspend fun endedNotTried() = scene(asleep = true) {
    val told = reports()
    val app = FakeLifecycle()
    app.addObserver(lifecycle)
    client.shutDown()
    app.start()
    lifecycle.settled()
    wants(!lifecycle.triesAgain && told.isEmpty()) { "told $told" }
    lifecycle.stop(app)
}

/** A file in whose place there is a folder, which nobody can open. */
private class Withheld(private val file: Path) {
    private val aside = file.resolveSibling("aside")

    init {
        withhold()
    }

    fun withhold() {
        file.moveTo(aside)
        file.createDirectory()
    }

    fun giveBack() {
        file.deleteExisting()
        aside.moveTo(file)
    }
}

private suspend fun signOutWhileAwake() = scene(asleep = true) {
    val told = reports()
    lifecycle.awake { it.signOut(dev.tombolo.SignOut.Discard) }
    lifecycle.stop(FakeLifecycle().also { it.addObserver(lifecycle) })
    wants(told.isEmpty()) { "told $told" }
}
