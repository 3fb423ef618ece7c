package dev.tombolo

/** A record of a generated type. */
public interface Record : Encodable {
    /** Its model. Underscores in front are no field's. */
    public val __model: Model<*, *>

    /** Its fields by their names in the API. */
    override fun toJson(): Map<String, Any?>
}

/** A root field of the API, and a document that calls it with each of its arguments as a variable. */
public class Root(
    public val field: String,
    public val document: String,
)

/**
 * A model as generated code describes it: the companion of its record's type. `M` is that type, `F` names the fields in predicates
 * and orders.
 */
public abstract class Model<M : Record, F>(
    /** Its name in the API. */
    public val name: String,
    /** Its fields, as predicates and orders name them. */
    public val fields: F,
    /** The names of the primary key's fields, in order. */
    public val keyFields: List<String>,
    internal val create: Root?,
    internal val update: Root?,
    internal val delete: Root?,
    /** The fields that a create takes, and those of them that are filled in if they are left out. */
    internal val createFields: Set<String>,
    internal val autoFields: Set<String>,
    internal val updateFields: Set<String>,
) : Codec<M> {
    override fun encode(value: M): Any? = value.toJson()

    /** All records. */
    public val all: Query<M, F> get() = Query(this)

    /** The records for which the test holds: `Flight.where { carrier eq "UA" }`. */
    public fun where(test: F.() -> Predicate<M>): Query<M, F> = Query(this, fields.test())

    /** The key of a record. */
    public fun keyOf(record: M): Key<M> {
        val json = record.toJson()
        return Key(this, keyFields.associateWith { json[it] })
    }

    internal fun root(root: Root?, what: String): Root =
        root ?: throw TomboloException.Refused("the API has no $what of $name: the schema switches it off at @model", "Unsupported")

    /** The record without what is yet to be filled in. */
    internal fun given(record: M): Map<String, Any?> =
        record.toJson().filter { (name, value) -> value != null || name !in autoFields }

    /** What a create is given for a record. */
    internal fun createInput(record: M): Map<String, Any?> =
        record.toJson().filter { (name, value) -> name in createFields && (value != null || name !in autoFields) }

    override fun toString(): String = name
}

/** The primary key of a record of `M`, by field. */
public class Key<M : Record>(
    public val model: Model<M, *>,
    public val values: Map<String, Any?>,
) {
    internal fun predicate(): Predicate<M> = Predicate(mapOf("and" to values.map { (name, value) -> mapOf(name to mapOf("eq" to value)) }))

    override fun equals(other: Any?): Boolean = other is Key<*> && model === other.model && values == other.values

    override fun hashCode(): Int = values.hashCode()

    override fun toString(): String = "${model.name}$values"
}

/** The input of a create of `M`: fields that are [Absent] are filled in or stay empty. */
public interface CreateInput<M : Record> : Encodable {
    public val __model: Model<M, *>
}

/** The input of an update of `M`: fields that are [Absent] stay as they are. */
public interface UpdateInput<M : Record> : Encodable {
    public val __model: Model<M, *>
}

/** A fresh random id, as records get one unless they are given one. */
public fun newId(): String = java.util.UUID.randomUUID().toString()
