package dev.tombolo.tests.android

import android.app.Application
import dev.tombolo.Client
import dev.tombolo.Report
import dev.tombolo.Tombolo
import dev.tombolo.android.Tls
import dev.tombolo.android.ClientLifecycle
import java.nio.file.Path
import java.util.concurrent.CopyOnWriteArrayList
import kotlin.io.path.createTempDirectory
import kotlin.system.exitProcess
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** What has not come within so long does not come. */
private val PATIENCE = 30.seconds

/** What a coroutine threw that nobody caught: on Android the app's end. */
val uncaught = CopyOnWriteArrayList<Throwable>()

/** The Android source set, run on the JVM over the fakes of `android-stubs`: `[NAME]`. */
fun main(arguments: Array<String>) {
    Thread.setDefaultUncaughtExceptionHandler { _, error -> uncaught += error }
    Tls.giver = {}
    var failed = 0
    val checks = (START + LIFECYCLE + WORK).filterKeys { it == (arguments.firstOrNull() ?: it) }
    for ((name, check) in checks) {
        uncaught.clear()
        val wrong = runCatching { runBlocking(Dispatchers.Default) { withTimeout(PATIENCE) { check() } } }.exceptionOrNull()
        Tombolo.reporter = null
        val words = wrong?.toString() ?: uncaught.firstOrNull()?.let { "it would have ended the app: $it" }
        if (words != null) failed += 1
        println(if (words == null) "ok $name" else "FAILED $name: $words")
    }
    println("${checks.size - failed} passed, $failed failed")
    exitProcess(if (failed == 0) 0 else 1)
}

internal fun wants(holds: Boolean, words: () -> String) {
    if (!holds) throw AssertionError(words())
}

/** What is reported from now on. */
internal fun reports(): List<Report> = CopyOnWriteArrayList<Report>().also { told -> Tombolo.reporter = { told += it } }

const val SCHEMA = "type Note @model { id: ID! text: String! }"
const val CREATE = "mutation { createNote(input: { text: \"a\" }) { id } }"

/** Where nobody listens: a wanted link is tried and fails. */
const val NOWHERE = "http://127.0.0.1:9/graphql"

internal class Scene(val app: Application, val client: Client, val lifecycle: ClientLifecycle, val file: Path)

/** A client and what keeps it in step; suspended, as in the background, if `asleep`. */
internal suspend fun scene(
    url: String? = null,
    asleep: Boolean = false,
    importDatastore: String? = null,
    work: suspend Scene.() -> Unit,
) {
    val folder = createTempDirectory("tombolo-android-")
    try {
        val file = folder.resolve("check.db")
        Tombolo.open(SCHEMA, file.toString(), url = url, importDatastore = importDatastore).use { client ->
            if (asleep) client.suspend()
            val app = Application()
            Scene(app, client, ClientLifecycle(app, client), file).work()
        }
    } finally {
        folder.toFile().deleteRecursively()
    }
}
