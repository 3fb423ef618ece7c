package dev.tombolo

/** How a type is read from JSON (as [Json.decode] gives it) and written. Generated code is made of these. */
public interface Codec<T> {
    /** Throws [TomboloException.Shape] if [json] is of another kind. */
    public fun decode(json: Any?): T

    /** As [Json.encode] takes it. */
    public fun encode(value: T): Any? = value
}

/** Codecs of the scalars, and of lists. */
public object Codecs {
    /** Texts; dates, times, ids and AWSJSON are texts, too. */
    public val text: Codec<String> = scalar("a text") { it as? String }

    /** Whole numbers of 32 bits. */
    public val int: Codec<Int> = scalar("a whole number") { (it as? Long)?.takeIf { n -> n in Int.MIN_VALUE..Int.MAX_VALUE }?.toInt() }

    /** Whole numbers of 64 bits. */
    public val long: Codec<Long> = scalar("a whole number") { it as? Long }

    /** Numbers. */
    public val double: Codec<Double> = scalar("a number") { (it as? Number)?.toDouble() }

    public val boolean: Codec<Boolean> = scalar("true or false") { it as? Boolean }

    /** Any JSON but null. */
    public val any: Codec<Any> = scalar("a value") { it }

    /** Lists. */
    public fun <T> list(item: Codec<T>): Codec<List<T>> =
        object : Codec<List<T>> {
            override fun decode(json: Any?): List<T> = (json as? List<*> ?: throw shape("a list", json)).map(item::decode)

            override fun encode(value: List<T>): Any? = value.map(item::encode)
        }

    /** The same or null. */
    public fun <T : Any> nullable(codec: Codec<T>): Codec<T?> =
        object : Codec<T?> {
            override fun decode(json: Any?): T? = if (json == null) null else codec.decode(json)

            override fun encode(value: T?): Any? = value?.let(codec::encode)
        }

    private fun <T : Any> scalar(what: String, read: (Any?) -> T?): Codec<T> =
        object : Codec<T> {
            override fun decode(json: Any?): T = read(json) ?: throw shape(what, json)
        }

    internal fun shape(wanted: String, found: Any?): TomboloException.Shape {
        val kind = when (found) {
            null -> "null"
            is String -> "a text"
            is Boolean -> "true or false"
            is Number -> "a number"
            is List<*> -> "a list"
            else -> "an object"
        }
        return TomboloException.Shape("$wanted was expected, not $kind: was the code generated from another schema?")
    }
}

/** The members of a JSON object, as generated types read them. */
public class Members private constructor(private val members: Map<*, *>, private val type: String) {
    /** A member; one that is not there is as null. Throws [TomboloException.Shape], which names it. */
    public fun <T> get(name: String, codec: Codec<T>): T =
        try {
            codec.decode(members[name])
        } catch (error: TomboloException.Shape) {
            throw TomboloException.Shape("$type.$name: ${error.message}")
        }

    /** The same where null may stand. */
    public fun <T : Any> orNull(name: String, codec: Codec<T>): T? = if (members[name] == null) null else get(name, codec)

    @Suppress("UNCHECKED_CAST")
    internal fun all(): Map<String, Any?> = members as Map<String, Any?>

    public companion object {
        /** Of a JSON object; [type] is named in errors. */
        public fun of(json: Any?, type: String): Members =
            Members(json as? Map<*, *> ?: throw Codecs.shape("an object for $type", json), type)
    }
}
