// Two phones write notes on one flight where there is no network, and agree once there is.
//
// cargo run --release -- dev        (in another terminal; then see README.md)
package flights

import dev.tombolo.Client
import dev.tombolo.Credential
import dev.tombolo.LinkStatus
import dev.tombolo.Outcome
import dev.tombolo.Tombolo
import dev.tombolo.create
import dev.tombolo.find
import dev.tombolo.first
import dev.tombolo.watch
import flights.generated.Flight
import flights.generated.Note
import flights.generated.Severity
import flights.generated.flightsOf
import flights.generated.tomboloSchema
import java.nio.file.Files
import kotlin.system.exitProcess
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.flow.first
import kotlinx.coroutines.launch
import kotlinx.coroutines.runBlocking
import kotlinx.coroutines.withTimeout

fun main(arguments: Array<String>) {
    val url = arguments.getOrNull(0) ?: "http://127.0.0.1:4000/graphql"
    val key = arguments.getOrNull(1) ?: "dev-key"
    val folder = Files.createTempDirectory("tombolo-flights-")
    val converged = runBlocking {
        withTimeout(120.seconds) {
            phone(folder.resolve("ada.db").toString(), url, key).use { ada ->
                phone(folder.resolve("ben.db").toString(), url, key).use { ben -> twoPhones(ada, ben) }
            }
        }
    }
    folder.toFile().deleteRecursively()
    exitProcess(if (converged) 0 else 1)
}

private suspend fun phone(path: String, url: String, key: String): Client =
    Tombolo.open(schema = tomboloSchema, path = path, url = url, credential = Credential.ApiKey(key))

private suspend fun twoPhones(ada: Client, ben: Client): Boolean = kotlinx.coroutines.coroutineScope {
    listOf(ada, ben).forEach { phone -> phone.status.first { it.upToDate } }
    val flight = checkNotNull(ada.first(Flight.where { carrier eq "UA" }.sortedBy { schedDepTime })) { "the server has no flights" }
    println("${flight.id} from ${flight.origin} to ${flight.dest}, ${ada.first(flight.airline())?.name}")
    val before = ben.find(flight.notes()).size

    // What Ben's screen shows: the local notes at once, and again whenever they have changed.
    val screen = launch {
        ben.watch(flight.notes()).collect { notes -> println("  Ben sees ${notes.size}: ${notes.joinToString { "${it.author}: ${it.text}" }}") }
    }

    // Into the tunnel. Nothing here waits for a network.
    listOf(ada, ben).forEach { phone ->
        phone.setOnline(false)
        phone.status.first { it.link == LinkStatus.Offline }
    }
    val first = ada.create(Note(flightId = flight.id, text = "wet runway, brake early", author = "ada", severity = Severity.CAUTION))
    val second = ben.create(Note(flightId = flight.id, text = "seat 12C is broken", author = "ben"))
    println("offline: Ada has ${ada.outbox().size} unsent, Ben has ${ben.outbox().size}")

    // And out again.
    listOf(ada, ben).forEach { it.setOnline(true) }
    val outcomes = listOf(ada.outcome(first.number), ben.outcome(second.number))
    val wanted = before + 2
    listOf(ada, ben).forEach { phone -> phone.watch(flight.notes()).first { it.size == wanted } }
    screen.cancel()

    val (hers, his) = listOf(ada, ben).map { phone -> phone.find(flight.notes().sortedBy { id }).map { it.copy(createdAt = null, updatedAt = null) } }
    val answer = ada.flightsOf(carrier = "UA", limit = dev.tombolo.Value(3))
    println("the first of UA's flights: ${answer.flightsByCarrier?.items.orEmpty().mapNotNull { it?.id }}")
    val converged = hers == his && hers.size == wanted && outcomes.all { it == Outcome.Applied }
    println(if (converged) "converged: both phones hold the same ${hers.size} notes" else "NOT converged: $hers and $his, $outcomes")
    converged
}
