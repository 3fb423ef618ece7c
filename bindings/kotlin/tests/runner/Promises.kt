package dev.tombolo.tests

import dev.tombolo.Client
import dev.tombolo.Codec
import dev.tombolo.CreateInput
import dev.tombolo.Key
import dev.tombolo.Model
import dev.tombolo.MutationKind
import dev.tombolo.Record
import dev.tombolo.Root
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import dev.tombolo.carryOut
import dev.tombolo.create
import dev.tombolo.datastore.remove
import dev.tombolo.datastore.store
import dev.tombolo.delete
import kotlin.io.path.createTempDirectory

/** What mutation calls promise: one that throws has queued nothing. */
val PROMISES: Map<String, suspend () -> Unit> = mapOf(
    "a queued mutation never throws" to ::queuedNeverThrows,
    "nor where a field of its answer fails" to ::failedFieldNeverThrows,
)

/** A record as generated code has it, for a schema whose answers it does not understand. */
internal class Strange(private val id: String = "n1") : Record {
    override val __model get() = Strange

    override fun toJson(): Map<String, Any?> = mapOf("id" to id, "text" to "a")

    companion object : Model<Strange, Unit>(
        name = "Note",
        fields = Unit,
        keyFields = listOf("id"),
        create = Root("createNote", "mutation(\$input: CreateNoteInput!) { createNote(input: \$input) { id } }"),
        update = null,
        delete = Root("deleteNote", "mutation(\$input: DeleteNoteInput!) { deleteNote(input: \$input) { id text stars } }"),
        createFields = setOf("id", "text"),
        autoFields = emptySet(),
        updateFields = setOf("text"),
    ) {
        override fun decode(json: Any?): Strange = throw TomboloException.Shape("not as it was generated")

        fun key(id: String) = Key(this, mapOf("id" to id))
    }
}

private class StrangeInput : CreateInput<Strange> {
    override val __model: Model<Strange, *> get() = Strange

    override fun toJson(): Map<String, Any?> = mapOf("id" to "n2", "text" to "b")
}

private suspend fun queuedNeverThrows() {
    val told = ArrayList<String>()
    withClient("type Note @model { id: ID! text: String! stars: Int }") { client ->
        val written = client.create(Strange())
        wants(written.record == null && written.problems.single().message.contains("not as it was generated")) { "create: ${written.problems}" }
        wants(client.create(StrangeInput()).problems.size == 1) { "create with an input" }
        val odd = object : Codec<String> {
            override fun decode(json: Any?): String = error("an app's own codec")
        }
        val answered = client.carryOut("mutation { createNote(input: { id: \"n3\", text: \"c\" }) { id } }", emptyMap(), odd)
        wants(answered.data == null && answered.problems.single().message == "an app's own codec") { "a typed operation: ${answered.problems}" }
        val deleted = client.delete(Strange.key("n2"))
        wants(deleted.record == null && deleted.problems.size == 1) { "delete: ${deleted.problems}" }

        Tombolo.reporter = { told += it.kind }
        val item = Strange("n4")
        wants(store(client, item, null).record === item) { "a save gives what it was given" }
        wants(remove(client, item, null).record === item) { "a delete gives what it was given" }
        Tombolo.reporter = null
        wants(told == listOf("shape", "shape")) { "reported: $told" }
        // Those of n2 and n4 took each other back.
        val queued = client.outbox().map { it.key.single() }
        wants(queued == listOf("n1", "n3")) { "queued: $queued" }
    }
}

private suspend fun failedFieldNeverThrows() {
    val folder = createTempDirectory("tombolo-check-")
    try {
        val path = folder.resolve("check.db").toString()
        Tombolo.open("type Note @model { id: ID! text: String! }", path).use { it.mutate("mutation { createNote(input: { id: \"n1\", text: \"a\" }) { id } }") }
        // The newer schema has a field that a note of the older one cannot answer.
        Tombolo.open("type Note @model { id: ID! text: String! stars: Int! }", path).use { client -> deletes(client) }
    } finally {
        folder.toFile().deleteRecursively()
    }
}

private suspend fun deletes(client: Client) {
    val update = "mutation { updateNote(input: { id: \"n1\", text: \"b\" }) { id text stars } }"
    val any = object : Codec<Any?> {
        override fun decode(json: Any?): Any? = json
    }
    val answered = client.carryOut(update, emptyMap(), any)
    wants(answered.data == null && answered.problems.isNotEmpty() && answered.numbers.size == 1) { "an update: ${answered.problems}" }
    val deleted = client.delete(Strange.key("n1"))
    wants(deleted.record == null && deleted.problems.isNotEmpty()) { "a delete: ${deleted.problems}" }
    val queued = client.mutation(answered.numbers.single())
    wants(queued?.kind == MutationKind.Update) { "queued: $queued" }
}
