package dev.tombolo.datastore

import dev.tombolo.Predicate
import dev.tombolo.Record
import dev.tombolo.Sort
import dev.tombolo.TomboloException

/** Which records a query wants: made by [Where]. */
public class QueryOptions<M : Record> internal constructor(
    internal val predicate: Predicate<M>,
    internal val order: List<Sort<M>> = emptyList(),
    internal val page: Page? = null,
    internal val id: Any? = null,
) {
    /** The same, only those for which [predicate] holds. */
    public fun matches(predicate: Predicate<M>): QueryOptions<M> = QueryOptions(predicate, order, page, id)

    /** The same in this order. */
    public fun sorted(vararg by: Sort<M>): QueryOptions<M> = QueryOptions(predicate, by.asList(), page, id)

    /** The same, one page of them. */
    public fun paginated(page: Page): QueryOptions<M> = QueryOptions(predicate, order, page, id)
}

/** Where queries begin: `Where.matches(Post.RATING.gt(4)).sorted(Post.TITLE.ascending()).paginated(Page.firstPage())`. */
public object Where {
    public fun <M : Record> matches(predicate: Predicate<M>): QueryOptions<M> = QueryOptions(predicate)

    public fun <M : Record> matchesAll(): QueryOptions<M> = QueryOptions(Predicate.all())

    /** The record whose key is this one value. */
    public fun <M : Record> id(id: Any): QueryOptions<M> = QueryOptions(Predicate.all(), id = id)

    public fun <M : Record> sorted(vararg by: Sort<M>): QueryOptions<M> = QueryOptions(Predicate.all(), by.asList())

    public fun <M : Record> paginated(page: Page): QueryOptions<M> = QueryOptions(Predicate.all(), page = page)
}

/** One page of a query's records. Pages are counted from 0. */
public class Page private constructor(internal val number: Int, internal val limit: Int) {
    /** The same with so many records on each page. */
    public fun withLimit(limit: Int): Page {
        require(limit > 0) { "a page has 1 record or more, not $limit" }
        return Page(number, limit)
    }

    public companion object {
        /** Records on a page unless said: DataStore's own number. */
        public const val LIMIT_DEFAULT: Int = 100

        public fun startingAt(page: Int): Page {
            require(page >= 0) { "pages are counted from 0; there is no page $page" }
            return Page(page, LIMIT_DEFAULT)
        }

        public fun firstPage(): Page = Page(0, LIMIT_DEFAULT)

        public fun firstResult(): Page = Page(0, 1)
    }
}

/** What observeQuery is asked with. */
public class ObserveQueryOptions<M : Record>(
    public val queryPredicate: Predicate<M> = Predicate.all(),
    public val sortBy: List<Sort<M>> = emptyList(),
)

/** A change of one record. */
public class DataStoreItemChange<M : Record> internal constructor(
    private val item: M,
    private val type: Type,
) {
    /** The record as it is now; of a deleted one as it was. */
    public fun item(): M = item

    public fun type(): Type = type

    /** What happened to it. */
    public enum class Type { CREATE, UPDATE, DELETE }

    override fun toString(): String = "DataStoreItemChange($type ${item.__model.name})"
}

/** The records of a query as they are. */
public class DataStoreQuerySnapshot<M : Record> internal constructor(
    public val items: List<M>,
    /** The model's records are complete up to what the server had. */
    public val isSynced: Boolean,
)

/** Whatever fails, with what to do about it; its [cause] is the [TomboloException], or what the app's own opener threw. */
public class DataStoreException internal constructor(
    message: String,
    public val recoverySuggestion: String,
    override val cause: Throwable,
) : Exception(message, cause)

/** Ends an observation. */
public fun interface Cancelable {
    public fun cancel()
}

/** Takes a value: as Amplify's `Consumer`, and as a lambda. */
public fun interface Consumer<T> {
    public fun accept(value: T)
}

/** Is called: as Amplify's `Action`. */
public fun interface Action {
    public fun call()
}
