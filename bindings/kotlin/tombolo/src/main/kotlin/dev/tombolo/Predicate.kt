package dev.tombolo

/**
 * A test of records of `M`: made by comparing fields, joined by [and] and [or], turned round by [not]. It is a filter of the API, and is
 * tried by the database.
 */
public class Predicate<M> internal constructor(
    /** The filter input. Empty: every record. */
    public val filter: Map<String, Any?>,
) {
    /** Both hold. */
    public infix fun and(other: Predicate<M>): Predicate<M> =
        when {
            filter.isEmpty() -> other
            other.filter.isEmpty() -> this
            else -> joined("and", other)
        }

    /** One of them holds. */
    public infix fun or(other: Predicate<M>): Predicate<M> =
        if (filter.isEmpty() || other.filter.isEmpty()) all() else joined("or", other)

    /** It does not hold. */
    public operator fun not(): Predicate<M> = if (filter.isEmpty()) none() else Predicate(mapOf("not" to filter))

    private fun joined(word: String, other: Predicate<M>): Predicate<M> =
        Predicate(mapOf(word to parts(word) + other.parts(word)))

    private fun parts(word: String): List<Any?> {
        val own = filter[word]
        return if (filter.size == 1 && own is List<*>) own else listOf(filter)
    }

    /** The fields that it names; values are the user's. */
    override fun toString(): String = "Predicate(${names(filter).sorted().joinToString()})"

    private fun names(part: Map<*, *>): Set<String> =
        part.flatMapTo(HashSet()) { (name, value) ->
            when (name) {
                "and", "or" -> (value as List<*>).flatMap { names(it as Map<*, *>) }
                "not" -> names(value as Map<*, *>)
                else -> listOf(name.toString())
            }
        }

    public companion object {
        /** Every record. */
        public fun <M> all(): Predicate<M> = Predicate(emptyMap())

        /** No record. */
        public fun <M> none(): Predicate<M> = Predicate(mapOf("or" to emptyList<Any?>()))
    }
}

/** A field of the model `M`, as predicates and orders name it. `T` is the type of what it is compared with. */
public open class Field<M, T> public constructor(
    /** Its name in the API. */
    public val name: String,
    internal val codec: Codec<T>,
) {
    internal fun test(operator: String, operand: Any?): Predicate<M> = Predicate(mapOf(name to mapOf(operator to operand)))

    internal fun encoded(value: T?): Any? = value?.let(codec::encode)

    override fun toString(): String = name
}

/** One that can be compared for equality, and that lists can be sorted by. */
public open class EqualField<M, T>(name: String, codec: Codec<T>) : Field<M, T>(name, codec) {
    /** It has this value; `null`: it has none. */
    public infix fun eq(value: T?): Predicate<M> = test("eq", encoded(value))

    /** It has another value; `null`: it has one. */
    public infix fun ne(value: T?): Predicate<M> = test("ne", encoded(value))

    /** It has one of these; of none: no record. */
    public infix fun within(values: Collection<T>): Predicate<M> =
        when (values.size) {
            0 -> Predicate.none()
            1 -> eq(values.first())
            else -> Predicate(mapOf("or" to values.map { mapOf(name to mapOf("eq" to encoded(it))) }))
        }

    /** From the least to the greatest; what has no value comes first. */
    public fun ascending(): Sort<M> = Sort(name, false)

    /** From the greatest to the least; what has no value comes last. */
    public fun descending(): Sort<M> = Sort(name, true)
}

/** One whose values have an order. */
public open class OrderedField<M, T>(name: String, codec: Codec<T>) : EqualField<M, T>(name, codec) {
    public infix fun lt(value: T): Predicate<M> = test("lt", encoded(value))

    public infix fun le(value: T): Predicate<M> = test("le", encoded(value))

    public infix fun gt(value: T): Predicate<M> = test("gt", encoded(value))

    public infix fun ge(value: T): Predicate<M> = test("ge", encoded(value))

    /** From [low] to [high], both included. */
    public fun between(low: T, high: T): Predicate<M> = test("between", listOf(encoded(low), encoded(high)))
}

/** A text. */
public class TextField<M>(name: String, codec: Codec<String>) : OrderedField<M, String>(name, codec) {
    public infix fun beginsWith(start: String): Predicate<M> = test("beginsWith", start)

    /** The part stands somewhere in it. */
    public infix fun contains(part: String): Predicate<M> = test("contains", part)

    public infix fun notContains(part: String): Predicate<M> = test("notContains", part)
}

/** A list; `T` is the type of its items. */
public class ListField<M, T>(name: String, codec: Codec<T>) : Field<M, T>(name, codec) {
    /** The item is in it. */
    public infix fun contains(item: T): Predicate<M> = test("contains", encoded(item))

    public infix fun notContains(item: T): Predicate<M> = test("notContains", encoded(item))
}

/** One step of an order. */
public class Sort<M> internal constructor(
    /** The field's name in the API. */
    public val field: String,
    public val isDescending: Boolean,
) : Encodable {
    override fun toJson(): Any = mapOf("field" to field, "direction" to if (isDescending) "DESC" else "ASC")
}
