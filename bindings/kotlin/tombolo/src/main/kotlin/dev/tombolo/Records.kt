package dev.tombolo

import kotlinx.coroutines.flow.Flow

/** What became of a written record at once, here; the server's decision comes later ([Client.outcome]). */
public class Written<M>(
    /** The record as it is now; of a deleted one as it was. `null` if it is not to be seen here. */
    public val record: M?,
    /** The mutation's number. */
    public val number: Long,
)

/** What a typed operation answers. */
public class Answered<D>(
    public val data: D,
    /** A number for each mutation field, in order; none for a query. */
    public val numbers: List<Long>,
)

/** The record of this key; `null` if this replica holds none. Throws as [Client.query]. */
public suspend fun <M : Record> Client.get(key: Key<M>): M? {
    val root = key.model.root(key.model.get, "get")
    return work { read(key.model, root, query(root.document, key.values)) }
}

/** The record of this key now, and each time it changes; `null` while there is none. */
public fun <M : Record> Client.watch(key: Key<M>): Flow<M?> {
    val root = key.model.root(key.model.get, "get")
    return watch(root.document, key.values) { read(key.model, root, it) }
}

/** The records that a query wants: all of them unless it has a limit (then, and at most [Query.LIMIT_MAX]). Throws as [Client.query]. */
public suspend fun <M : Record> Client.find(query: Query<M, *>): List<M> = page(query).items

/** The first of them; `null` if there is none. */
public suspend fun <M : Record> Client.first(query: Query<M, *>): M? = find(query.limit(1)).firstOrNull()

/** The first [Query.limit] of them, or with [after], a page's [Page.nextToken], those behind that page. */
public suspend fun <M : Record> Client.page(query: Query<M, *>, after: String? = null): Page<M> {
    val root = query.model.root(query.model.list, "list")
    return work { page(query, root, query(root.document, variables(query, after))) }
}

/** The records that a query wants, now and each time that they have changed. */
public fun <M : Record> Client.watch(query: Query<M, *>): Flow<List<M>> {
    val root = query.model.root(query.model.list, "list")
    return watch(root.document, variables(query, null)) { page(query, root, it).items }
}

/** Makes a record, here and then on the server. Throws as [Client.mutate]; [Written.record] has what was filled in. */
public suspend fun <M : Record> Client.create(record: M): Written<M> = work { write(creation(record)) }

/** The same, with what is absent told from what is null. */
public suspend fun <M : Record> Client.create(input: CreateInput<M>): Written<M> = work { write(creation(input)) }

/** Changes the fields that the input has. [onlyIf] is checked by the server on the record as it finds it. Throws as [Client.mutate]. */
public suspend fun <M : Record> Client.update(input: UpdateInput<M>, onlyIf: Predicate<M>? = null): Written<M> =
    work { write(change(input, onlyIf)) }

/** Removes the record of this key. Throws as [Client.mutate]. */
public suspend fun <M : Record> Client.delete(key: Key<M>, onlyIf: Predicate<M>? = null): Written<M> = work { write(removal(key, onlyIf)) }

/** Makes a record, together with whatever else is in the transaction. */
public fun <M : Record> Transaction.create(record: M): Unit = add(creation(record))

/** The same, with what is absent told from what is null. */
public fun <M : Record> Transaction.create(input: CreateInput<M>): Unit = add(creation(input))

/** Changes the fields that the input has. */
public fun <M : Record> Transaction.update(input: UpdateInput<M>, onlyIf: Predicate<M>? = null): Unit = add(change(input, onlyIf))

/** Removes the record of this key. */
public fun <M : Record> Transaction.delete(key: Key<M>, onlyIf: Predicate<M>? = null): Unit = add(removal(key, onlyIf))

/** Carries a typed query out: what generated functions call. */
public suspend fun <D> Client.ask(document: String, variables: Map<String, Any?>, data: Codec<D>): D =
    work { data.decode(query(document, variables).orThrow()) }

/** Watches a typed query: what generated functions call. */
public fun <D> Client.watch(document: String, variables: Map<String, Any?>, data: Codec<D>): Flow<D> =
    watch(document, variables) { data.decode(it.orThrow()) }

/** Carries a typed mutation out: what generated functions call. */
public suspend fun <D> Client.carryOut(document: String, variables: Map<String, Any?>, data: Codec<D>): Answered<D> =
    work {
        val mutated = mutate(document, variables)
        Answered(data.decode(mutated.answer.orThrow()), mutated.numbers)
    }

private class Writing<M : Record>(val model: Model<M, *>, val root: Root, val variables: Map<String, Any?>)

private fun <M : Record> creation(record: M): Writing<M> {
    @Suppress("UNCHECKED_CAST")
    val model = record.__model as Model<M, *>
    return Writing(model, model.root(model.create, "create"), mapOf("input" to model.createInput(record)))
}

private fun <M : Record> creation(input: CreateInput<M>): Writing<M> =
    Writing(input.__model, input.__model.root(input.__model.create, "create"), mapOf("input" to input))

private fun <M : Record> change(input: UpdateInput<M>, onlyIf: Predicate<M>?): Writing<M> =
    Writing(input.__model, input.__model.root(input.__model.update, "update"), conditional(input, onlyIf))

private fun <M : Record> removal(key: Key<M>, onlyIf: Predicate<M>?): Writing<M> =
    Writing(key.model, key.model.root(key.model.delete, "delete"), conditional(key.values, onlyIf))

private fun conditional(input: Any, onlyIf: Predicate<*>?): Map<String, Any?> =
    if (onlyIf == null || onlyIf.filter.isEmpty()) mapOf("input" to input) else mapOf("input" to input, "condition" to onlyIf.filter)

private suspend fun <M : Record> Client.write(writing: Writing<M>): Written<M> {
    val mutated = mutate(writing.root.document, writing.variables)
    return Written(read(writing.model, writing.root, mutated.answer), mutated.number)
}

private fun Transaction.add(writing: Writing<*>) = mutate(writing.root.document, writing.variables)

private fun <M : Record> read(model: Model<M, *>, root: Root, answer: Answer): M? = answer.orThrow()[root.field]?.let(model::decode)

/** The list's arguments. What is passed over is asked for, too, and left out of the answer. */
private fun variables(query: Query<*, *>, after: String?): Map<String, Any?> =
    buildMap {
        val limit = query.limit ?: Query.LIMIT_MAX
        put("limit", (limit.toLong() + query.offset).coerceAtMost(Query.LIMIT_MAX.toLong()))
        if (query.predicate.filter.isNotEmpty()) put("filter", query.predicate.filter)
        if (query.order.isNotEmpty()) put("sort", query.order)
        if (after != null) put("nextToken", after)
    }

private fun <M : Record> page(query: Query<M, *>, root: Root, answer: Answer): Page<M> {
    val connection = Members.of(answer.orThrow()[root.field], root.field)
    val items = connection.get("items", Codecs.list(Codecs.nullable(query.model)))
    return Page(items.drop(query.offset).filterNotNull(), connection.orNull("nextToken", Codecs.text))
}
