package dev.tombolo

/**
 * Which records of a model are wanted, and in which order: `Flight.where { carrier eq "UA" }.sortedByDescending { depTime }.limit(20)`.
 * Given to [find], [first], [page] and [watch]. Each function gives a new query and leaves this one as it is.
 *
 * `M` is the record's type, `F` names its fields.
 */
public class Query<M : Record, F> internal constructor(
    /** The model. */
    public val model: Model<M, F>,
    /** Which records. */
    public val predicate: Predicate<M> = Predicate.all(),
    /** In which order; the key settles the rest. */
    public val order: List<Sort<M>> = emptyList(),
    /** Most records; `null`: [LIMIT_MAX]. */
    public val limit: Int? = null,
    /** So many are passed over first. */
    public val offset: Int = 0,
) {
    /** Those of these for which the test holds, too. */
    public fun where(test: F.() -> Predicate<M>): Query<M, F> = with(predicate = predicate and model.fields.test())

    /** In the order of this field alone. */
    public fun sortedBy(field: F.() -> EqualField<M, *>): Query<M, F> = with(order = listOf(model.fields.field().ascending()))

    /** In the reverse order of this field alone. */
    public fun sortedByDescending(field: F.() -> EqualField<M, *>): Query<M, F> = with(order = listOf(model.fields.field().descending()))

    /** What is equal so far: by this field. */
    public fun thenBy(field: F.() -> EqualField<M, *>): Query<M, F> = with(order = order + model.fields.field().ascending())

    /** What is equal so far: by this field in reverse. */
    public fun thenByDescending(field: F.() -> EqualField<M, *>): Query<M, F> = with(order = order + model.fields.field().descending())

    /** In this order. */
    public fun sorted(by: List<Sort<M>>): Query<M, F> = with(order = by)

    /** At most so many. */
    public fun limit(count: Int): Query<M, F> {
        require(count >= 0) { "a limit is 0 or more, not $count" }
        return with(limit = count)
    }

    /** Without the first so many. */
    public fun offset(count: Int): Query<M, F> {
        require(count >= 0) { "an offset is 0 or more, not $count" }
        return with(offset = count)
    }

    private fun with(
        predicate: Predicate<M> = this.predicate,
        order: List<Sort<M>> = this.order,
        limit: Int? = this.limit,
        offset: Int = this.offset,
    ): Query<M, F> = Query(model, predicate, order, limit, offset)

    override fun toString(): String = "Query(${model.name})"

    public companion object {
        /** Most records of one answer on a replica. */
        public const val LIMIT_MAX: Int = 100_000
    }
}

/** Some records, and what leads to those behind them. */
public class Page<M>(
    public val items: List<M>,
    /** Given to [Client.page] with the same query it gives the next ones; `null`: these were the last. */
    public val nextToken: String?,
)
