package dev.tombolo

import dev.tombolo.ffi.Answer as NativeAnswer

/** What a query or a mutation answers: the GraphQL answer in its two parts. Printed it shows sizes, not values. */
public class Answer internal constructor(private val native: NativeAnswer) {
    /** The answer's `data` as JSON text, in the order of the document; `null` if there is none. */
    public val json: String by lazy(LazyThreadSafetyMode.PUBLICATION) { native.data.decodeToString() }

    /** The same as maps and lists; empty if there is none. Taken apart with the first call. */
    public val data: Map<String, Any?> by lazy(LazyThreadSafetyMode.PUBLICATION) {
        @Suppress("UNCHECKED_CAST")
        (Json.decode(json) as? Map<String, Any?>).orEmpty()
    }

    /** What single fields failed with; empty in the usual case. */
    public val errors: List<GraphqlProblem> by lazy(LazyThreadSafetyMode.PUBLICATION) { native.errors.map(::problem) }

    /** What a root field answers. */
    public operator fun get(field: String): Any? = data[field]

    /** The data; throws [TomboloException.Request] with [errors] if a field failed. */
    public fun orThrow(): Map<String, Any?> {
        if (errors.isNotEmpty()) throw TomboloException.Request(errors.joinToString("; ") { it.message }, errors)
        return data
    }

    override fun equals(other: Any?): Boolean =
        other is Answer && native.data.contentEquals(other.native.data) && native.errors == other.native.errors

    override fun hashCode(): Int = native.data.contentHashCode()

    override fun toString(): String = "Answer(${native.data.size} bytes, ${native.errors.size} errors)"
}

/** What a mutation call gives back at once. */
public class Mutated internal constructor(
    /** The answer, from the local rows as they are now. */
    public val answer: Answer,
    /** A number for each mutation field, in order: what [Client.outcome] and [Client.mutation] ask for. */
    public val numbers: List<Long>,
) {
    /** The first number: of a document with one mutation field, its number. */
    public val number: Long get() = numbers.first()

    override fun toString(): String = "Mutated($numbers)"
}

/** What a transaction gives back at once. */
public class Transacted internal constructor(
    /** An answer for each document, in order. */
    public val answers: List<Answer>,
    /** A number for each mutation field, in order. */
    public val numbers: List<Long>,
) {
    override fun toString(): String = "Transacted($numbers)"
}

/** Gathers the mutations of a [Client.transaction]. */
public class Transaction internal constructor() {
    internal val operations = ArrayList<dev.tombolo.ffi.Operation>()

    /** Adds a mutation, with its variables as [Client.mutate] takes them. */
    public fun mutate(document: String, variables: Map<String, Any?> = emptyMap()) {
        operations += dev.tombolo.ffi.Operation(document, variablesText(variables))
    }
}

internal fun variablesText(variables: Map<String, Any?>): String? = if (variables.isEmpty()) null else Json.encode(variables)

internal fun longs(numbers: List<ULong>): List<Long> = numbers.map { it.toLong() }
