package dev.tombolo.tests

import java.nio.file.Path
import kotlin.io.path.readText
import kotlin.system.exitProcess
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.TimeoutCancellationException
import kotlinx.coroutines.cancelChildren
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

/** One scenario, all its waits together. */
internal val LIMIT = 180.seconds

private val SCENARIOS: Map<String, suspend Trial.() -> Unit> = PURPOSE + BAD_INPUT + WATCHED + GENERATED_CODE

/**
 * Carries out the scenarios of tests/bindings/scenarios.md: `[--only NAME] [--break NAME]`, `checks`, or `bench JOB`. Prints a line for
 * each, and `N passed, N failed`; ends with 1 if one failed, or if these scenarios are not those of the list.
 */
fun main(arguments: Array<String>) {
    val repository = Path.of(System.getenv("TOMBOLO_REPOSITORY") ?: ".").toAbsolutePath()
    if (arguments.firstOrNull() == "bench") {
        runBlocking(Dispatchers.Default) { bench(arguments[1]) }
        exitProcess(0)
    }
    if (arguments.firstOrNull() == "checks") exitProcess(if (checks(repository)) 0 else 1)
    val given = arguments.toList().chunked(2).associate { it[0] to it.getOrNull(1) }
    (given.keys - setOf("--only", "--break")).firstOrNull()?.let { fault("there is no option $it") }
    val names = Regex("^- ([a-z0-9-]+): ", RegexOption.MULTILINE)
        .findAll(repository.resolve("tests/bindings/scenarios.md").readText()).map { it.groupValues[1] }.toList()
    given.values.firstOrNull { it !in names }?.let { fault("the list has no scenario $it") }

    var passed = 0
    var failed = 0
    for (name in SCENARIOS.keys - names.toSet() + (names - SCENARIOS.keys)) {
        failed += 1
        println("FAILED $name: ${if (name in SCENARIOS) "not in the list" else "not in this runner"}")
    }
    Rig(repository).use { rig ->
        for (name in names.filter { it in SCENARIOS && (given["--only"] ?: it) == it }) {
            val wrong = runBlocking(Dispatchers.Default) {
                attempt(rig, name, given["--break"] == name) {
                    SCENARIOS.getValue(name)()
                    if (!turned) throw Failed("it has no pivotal check, which --break could turn round")
                }
            }
            if (wrong == null) passed += 1 else failed += 1
            println(if (wrong == null) "ok $name" else "FAILED $name: $wrong")
        }
    }
    println("$passed passed, $failed failed")
    exitProcess(if (failed == 0) 0 else 1)
}

private fun fault(words: String): Nothing {
    System.err.println(words)
    exitProcess(2)
}

/** What went wrong; `null` if nothing did. */
internal suspend fun attempt(rig: Rig, name: String, broken: Boolean, work: suspend Trial.() -> Unit): String? =
    try {
        withTimeout(LIMIT) {
            coroutineScope {
                val trial = Trial(rig, name, broken, this)
                try {
                    trial.work()
                } finally {
                    coroutineContext.cancelChildren()
                    kotlinx.coroutines.withContext(kotlinx.coroutines.NonCancellable) { trial.end() }
                }
                null
            }
        }
    } catch (error: TimeoutCancellationException) {
        "it took longer than $LIMIT"
    } catch (error: Failed) {
        "${error.message} (${place(error)})"
    } catch (error: Throwable) {
        error.stackTraceToString()
    }

private fun place(error: Throwable): String =
    error.stackTrace.firstOrNull { it.fileName in setOf("Purpose.kt", "BadInput.kt", "Watched.kt", "GeneratedCode.kt", "Facade.kt") }
        ?.let { "${it.fileName}:${it.lineNumber}" } ?: "no place"
