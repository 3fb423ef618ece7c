package dev.tombolo

import com.google.gson.stream.JsonReader
import com.google.gson.stream.JsonToken
import com.google.gson.stream.JsonWriter
import java.io.StringReader
import java.io.StringWriter

/**
 * JSON as plain Kotlin values: `Map<String, Any?>`, `List<Any?>`, `String`, `Boolean`, `null`, and numbers as `Long` where they
 * are whole and fit, as `Double` otherwise.
 */
public object Json {
    /** The value that the text holds. Throws [TomboloException.Json] where it is no JSON. */
    public fun decode(text: String): Any? =
        try {
            val reader = JsonReader(StringReader(text))
            val value = read(reader)
            if (reader.peek() != JsonToken.END_DOCUMENT) throw TomboloException.Json("there is more than one value in the JSON text")
            value
        } catch (error: TomboloException) {
            throw error
        } catch (error: Exception) {
            throw TomboloException.Json("this is no JSON: ${error.message}", error)
        }

    /**
     * The text of a value: maps with text keys, iterables, arrays, texts, numbers, booleans, `null`, and what is [Encodable].
     * [Absent] members of a map are left out.
     */
    public fun encode(value: Any?): String {
        val text = StringWriter()
        val writer = JsonWriter(text)
        writer.serializeNulls = true
        writer.isHtmlSafe = false
        write(writer, value)
        writer.flush()
        return text.toString()
    }

    private fun read(reader: JsonReader): Any? =
        when (reader.peek()) {
            JsonToken.BEGIN_OBJECT -> {
                val members = LinkedHashMap<String, Any?>()
                reader.beginObject()
                while (reader.hasNext()) members[reader.nextName()] = read(reader)
                reader.endObject()
                members
            }
            JsonToken.BEGIN_ARRAY -> {
                val items = ArrayList<Any?>()
                reader.beginArray()
                while (reader.hasNext()) items.add(read(reader))
                reader.endArray()
                items
            }
            JsonToken.NUMBER -> {
                val number = reader.nextString()
                number.toLongOrNull() ?: number.toDouble()
            }
            JsonToken.STRING -> reader.nextString()
            JsonToken.BOOLEAN -> reader.nextBoolean()
            else -> {
                reader.nextNull()
                null
            }
        }

    private fun write(writer: JsonWriter, value: Any?) {
        when (value) {
            null -> writer.nullValue()
            is String -> writer.value(value)
            is Boolean -> writer.value(value)
            is Double -> writer.value(finite(value))
            is Float -> writer.value(finite(value.toDouble()))
            is Number -> writer.value(value)
            is Map<*, *> -> {
                writer.beginObject()
                for ((name, member) in value) {
                    if (member === Absent) continue
                    writer.name(name as? String ?: throw unfit(name))
                    write(writer, member)
                }
                writer.endObject()
            }
            is Iterable<*> -> {
                writer.beginArray()
                value.forEach { write(writer, it) }
                writer.endArray()
            }
            is Array<*> -> write(writer, value.asList())
            is Value<*> -> write(writer, value.value)
            is Encodable -> write(writer, value.toJson())
            else -> throw unfit(value)
        }
    }

    private fun finite(value: Double): Double =
        if (value.isFinite()) value else throw TomboloException.Json("JSON has no number $value")

    private fun unfit(value: Any?) =
        TomboloException.Json("JSON has no ${value?.javaClass?.name ?: "null"} here: give texts, numbers, booleans, lists and maps from text")
}

/** What says itself how it is written as JSON: generated records, inputs and enums. */
public interface Encodable {
    /** As [Json.encode] takes it. */
    public fun toJson(): Any?
}

/** Stands in a map for a member that is not there. */
public object Absent : Given<Nothing>

/**
 * A field of an input that need not be given: [Absent], or a [Value], which may be `null`. Leaving a field out of an update leaves
 * it as it is; `null` clears it.
 */
public sealed interface Given<out T>

/** A value that is given. */
public data class Value<out T>(
    /** The value. */
    val value: T,
) : Given<T>
