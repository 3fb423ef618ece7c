package dev.tombolo.tests

import dev.tombolo.Json
import java.net.URI
import java.net.http.HttpClient
import java.net.http.HttpRequest
import java.net.http.HttpResponse
import java.nio.file.Path
import java.time.Duration
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/** A check that did not hold. */
class Failed(words: String) : AssertionError(words)

@Suppress("UNCHECKED_CAST")
fun Any?.members(): Map<String, Any?> = this as Map<String, Any?>

@Suppress("UNCHECKED_CAST")
fun Any?.items(): List<Map<String, Any?>> = this as List<Map<String, Any?>>

/** The rig of tests/bindings: its process, spoken to over HTTP. */
class Rig(val repository: Path) : AutoCloseable {
    private val process: Process =
        ProcessBuilder("node", repository.resolve("tests/bindings/rig/main.js").toString())
            .redirectError(ProcessBuilder.Redirect.INHERIT)
            .start()
    private val http = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build()
    private val url: String =
        process.inputReader().readLine()?.let { Json.decode(it).members()["url"] as String }
            ?: throw Failed("the rig did not start: is the server built, and TOMBOLO_BIN set?")
    val schema: String = send("GET", "/schema", null)["text"] as String

    override fun close() {
        process.outputWriter().close()
        process.waitFor()
    }

    suspend fun ask(method: String, path: String, body: Map<String, Any?>? = null): Map<String, Any?> =
        withContext(Dispatchers.IO) { send(method, path, body) }

    private fun send(method: String, path: String, body: Map<String, Any?>?): Map<String, Any?> {
        val publisher = body?.let { HttpRequest.BodyPublishers.ofString(Json.encode(it)) } ?: HttpRequest.BodyPublishers.noBody()
        val request = HttpRequest.newBuilder(URI(url + path)).method(method, publisher).timeout(Duration.ofSeconds(60)).build()
        val answer = http.send(request, HttpResponse.BodyHandlers.ofString())
        if (answer.statusCode() >= 400) throw Failed("$method $path: ${answer.statusCode()} ${answer.body()}")
        return Json.decode(answer.body()).members()
    }

    suspend fun server(): Server {
        val told = ask("POST", "/servers", emptyMap())
        return Server(this, told["id"] as String, told["url"] as String, told["apiKey"] as String)
    }

    suspend fun token(user: String, seconds: Int): String =
        ask("POST", "/tokens", mapOf("user" to user, "seconds" to seconds))["token"] as String
}

/** One server of the rig. */
class Server(private val rig: Rig, val id: String, val url: String, val apiKey: String) {
    suspend fun stop() {
        rig.ask("POST", "/servers/$id/stop", emptyMap())
    }

    suspend fun start() {
        rig.ask("POST", "/servers/$id/start", emptyMap())
    }

    suspend fun remove() {
        rig.ask("DELETE", "/servers/$id")
    }

    /** Somebody else's request, which must succeed; gives its data. */
    suspend fun graphql(query: String, variables: Map<String, Any?> = emptyMap(), user: String? = null): Map<String, Any?> {
        val body = buildMap {
            put("query", query)
            put("variables", variables)
            if (user != null) put("user", user)
        }
        val answer = rig.ask("POST", "/servers/$id/graphql", body)
        val errors = answer["errors"] as? List<*>
        if (answer["status"] != 200L || !errors.isNullOrEmpty()) throw Failed("the rig's request failed: $answer")
        return answer["data"].members()
    }

    /** Somebody else's edit: `write("create", "Note", "id" to "n1", "text" to "a")`. */
    suspend fun write(operation: String, model: String, vararg fields: Pair<String, Any?>) {
        var input = mapOf(*fields)
        if (operation == "update") {
            // The edit of somebody who has seen the newest.
            val got = graphql("query(\$id: ID!) { get$model(id: \$id) { _version } }", mapOf("id" to input["id"]))
            input = input + ("_version" to got["get$model"].members()["_version"])
        }
        val type = "${operation.replaceFirstChar(Char::uppercase)}${model}Input"
        graphql("mutation(\$input: $type!) { $operation$model(input: \$input) { id } }", mapOf("input" to input))
    }

    /** Every note but the deleted ones, which a server's list has, too: text by id. */
    suspend fun notes(): Map<String, Any?> =
        graphql("{ listNotes(limit: 1000) { items { id text _deleted } } }")["listNotes"].members()["items"].items()
            .filter { it["_deleted"] != true }
            .associate { it["id"] as String to it["text"] }
}
