package dev.tombolo.tests

import dev.tombolo.Client
import dev.tombolo.Json
import dev.tombolo.Tombolo
import java.nio.file.Files
import java.nio.file.Path
import kotlin.time.Duration
import kotlin.time.DurationUnit
import kotlin.time.TimeSource
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.produceIn

/**
 * Does the job of the bench's workload W8 (`bench/src/worker/app.rs` has its meaning): opens a replica's file, asks, writes, watches, and
 * prints how long that took in one line of JSON, in seconds.
 */
suspend fun bench(job: String) {
    @Suppress("UNCHECKED_CAST")
    val given = Json.decode(Files.readString(Path.of(job))) as Map<String, Any?>
    fun text(name: String) = given[name] as String
    fun texts(name: String) = (given[name] as List<*>).map { it as String }
    val clock = TimeSource.Monotonic
    val begun = clock.markNow()
    val client = Tombolo.open(schema = text("schema"), path = text("file"))
    val opened = begun.elapsedNow()
    val asked = clock.markNow()
    client.query(text("query"))
    val answered = asked.elapsedNow()
    suspend fun write(client: Client, place: Int, id: String) {
        client.mutate(text("update"), mapOf("input" to mapOf("id" to id, "depDelay" to 8_000 + place)))
    }
    val writes = texts("plain").mapIndexed { place, id ->
        val mark = clock.markNow()
        write(client, place, id)
        mark.elapsedNow()
    }
    val lives = coroutineScope {
        val answers = client.watch(text("query")).buffer(Channel.UNLIMITED).produceIn(this)
        answers.receive()
        val times = texts("watched").mapIndexed { place, id ->
            val mark = clock.markNow()
            write(client, place, id)
            answers.receive()
            mark.elapsedNow()
        }
        answers.cancel()
        times
    }
    client.shutDown()
    val told = mapOf(
        "open_seconds" to opened.toDouble(DurationUnit.SECONDS), "first_query_seconds" to answered.toDouble(DurationUnit.SECONDS),
        "write" to spread(writes), "live" to spread(lives),
    )
    println(Json.encode(told))
}

private fun spread(times: List<Duration>): Map<String, Double> {
    val sorted = times.sorted()
    fun at(percent: Int) = sorted[(sorted.size - 1) * percent / 100].toDouble(DurationUnit.SECONDS)
    return mapOf("p50" to at(50), "p99" to at(99))
}
