package dev.tombolo.tests

import dev.tombolo.Json
import dev.tombolo.Tombolo
import java.nio.file.Files
import kotlin.time.Duration
import kotlin.time.TimeSource
import kotlinx.coroutines.channels.Channel
import kotlinx.coroutines.coroutineScope
import kotlinx.coroutines.flow.buffer
import kotlinx.coroutines.flow.produceIn

private const val SCHEMA =
    "type Note @model { id: ID! room: ID! @index(name: \"byRoom\", queryField: \"notesByRoom\") text: String! }"
private const val WRITE = "mutation(\$input: CreateNoteInput!) { createNote(input: \$input) { id } }"
private const val ROOM = "{ notesByRoom(room: \"live\", sortDirection: DESC, limit: 20) { items { id text } } }"

/** A transaction takes at most so many. */
private const val BATCH = 100

/** Measures on a file of `rows` records, with the link down: a write, and a write until the live query has shown it. One line of JSON. */
suspend fun bench(rows: Int, writes: Int) {
    val folder = Files.createTempDirectory("tombolo-bench-")
    try {
        val path = folder.resolve("bench.db").toString()
        Tombolo.open(schema = SCHEMA, path = path).use { client ->
            for (batch in (0 until rows).chunked(BATCH)) {
                client.transaction { batch.forEach { mutate(WRITE, create("r$it", "room-${it % 1000}")) } }
            }
        }
        val began = TimeSource.Monotonic.markNow()
        Tombolo.open(schema = SCHEMA, path = path).use { client ->
            val opened = began.elapsedNow()
            client.query("{ getNote(id: \"r0\") { id } }")
            val answered = began.elapsedNow()
            val write = measure(writes) { client.mutate(WRITE, create("w$it", "quiet")) }
            val round = coroutineScope {
                val answers = client.watch(ROOM).buffer(Channel.UNLIMITED).produceIn(this)
                answers.receive()
                val times = measure(writes) {
                    // In the order of their ids, the newest first.
                    val id = "l" + it.toString().padStart(9, '0')
                    client.mutate(WRITE, create(id, "live"))
                    while (!answers.receive().json.contains(id)) continue
                }
                answers.cancel()
                times
            }
            val told = mapOf(
                "language" to "kotlin", "rows" to rows, "writes" to writes,
                "open_ms" to opened.inWholeMilliseconds, "open_and_first_query_ms" to answered.inWholeMilliseconds,
                "write_us_p50" to micros(write, 50), "write_us_p99" to micros(write, 99),
                "live_us_p50" to micros(round, 50), "live_us_p99" to micros(round, 99),
            )
            println(Json.encode(told))
        }
    } finally {
        folder.toFile().deleteRecursively()
    }
}

private fun create(id: String, room: String): Map<String, Any?> =
    mapOf("input" to mapOf("id" to id, "room" to room, "text" to "wet runway, brake early"))

/** Each turn's time, in order of length. The first tenth warms the machine up and does not count. */
private suspend fun measure(count: Int, turn: suspend (Int) -> Unit): List<Duration> {
    val times = ArrayList<Duration>(count)
    for (n in 0 until count + count / 10) {
        val began = TimeSource.Monotonic.markNow()
        turn(n)
        if (n >= count / 10) times += began.elapsedNow()
    }
    return times.sorted()
}

private fun micros(times: List<Duration>, percent: Int): Long = times[(times.size - 1) * percent / 100].inWholeMicroseconds
