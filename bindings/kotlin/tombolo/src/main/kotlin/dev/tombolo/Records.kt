package dev.tombolo

import dev.tombolo.ffi.FindQuery
import dev.tombolo.ffi.FoundRecords
import dev.tombolo.ffi.RecordChange
import dev.tombolo.ffi.RecordChangeKind
import dev.tombolo.ffi.SortStep
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.distinctUntilChanged
import kotlinx.coroutines.flow.map

/**
 * What became of a written record at once, here; the server's decision comes later ([Client.outcome]). The mutation is queued, whatever
 * [problems] says of its answer.
 */
public class Written<M>(
    /** The record as it is now; of a deleted one as it was. `null` if it is not to be seen here, or cannot be read: see [problems]. */
    public val record: M?,
    /** The mutation's number. */
    public val number: Long,
    /** What single fields of the answer failed with, or why it does not fit the generated type; empty in the usual case. */
    public val problems: List<GraphqlProblem> = emptyList(),
)

/** What a typed mutation gives back at once. It is queued, whatever [problems] says of its answer. */
public class Answered<D>(
    /** The answer, from the local rows as they are now; `null` if it cannot be read: see [problems]. */
    public val data: D?,
    /** A number for each mutation field, in order. */
    public val numbers: List<Long>,
    /** What single fields of the answer failed with, or why it does not fit the generated type; empty in the usual case. */
    public val problems: List<GraphqlProblem> = emptyList(),
)

/** A change of one record. */
public sealed interface Change<M : Record> {
    /** It is here and was not: made here or elsewhere, come into the scope, or come to match. */
    public data class Created<M : Record>(val record: M) : Change<M>

    /** It is another than before. */
    public data class Updated<M : Record>(val record: M) : Change<M>

    /** It was deleted, here or elsewhere. */
    public data class Deleted<M : Record>(
        val key: Key<M>,
        /** What is left of it, where the file still has it. */
        val record: M?,
    ) : Change<M>

    /** It is no longer among the observed: it does not match any more, or has left the scope. */
    public data class Left<M : Record>(
        val key: Key<M>,
        /** It as it is now, where the file still has it. */
        val record: M?,
    ) : Change<M>

    /** More records are observed than can be compared, and it is not known which have changed: look at them anew. */
    public class Resynchronise<M : Record> : Change<M>
}

/** The record of this key; `null` if this replica holds none. Throws as [Client.query]. */
public suspend fun <M : Record> Client.get(key: Key<M>): M? =
    work { client -> client.get(key.model.name, Json.encode(key.values))?.let { key.model.decode(Json.decode(it)) } }

/** The record of this key now, and each time it changes; `null` while there is none. */
public fun <M : Record> Client.watch(key: Key<M>): Flow<M?> = watch(Query(key.model, key.predicate(), limit = 1)).map { it.firstOrNull() }

/** The records that a query wants: all of them unless it has a limit (then, and at most [Query.LIMIT_MAX]). Throws as [Client.query]. */
public suspend fun <M : Record> Client.find(query: Query<M, *>): List<M> = page(query).items

/** The first of them; `null` if there is none. */
public suspend fun <M : Record> Client.first(query: Query<M, *>): M? = find(query.limit(1)).firstOrNull()

/** The first [Query.limit] of them, or with [after], a page's [Page.nextToken], those behind that page. */
public suspend fun <M : Record> Client.page(query: Query<M, *>, after: String? = null): Page<M> =
    work { client -> page(query.model, client.find(query.native(after))) }

/** The records that a query wants, now and each time that they have changed; never twice the same. */
public fun <M : Record> Client.watch(query: Query<M, *>): Flow<List<M>> =
    // A record whose version alone has changed is the same here.
    watchRecords({ query.native(null) }) { page(query.model, it).items }.distinctUntilChanged()

/**
 * Each change of the records for which the query's predicate holds, from the moment of collecting on: the app's own at once, the server's as
 * they come. Of changes of one record that come faster than they are collected the last is told.
 */
public fun <M : Record> Client.changes(query: Query<M, *>): Flow<Change<M>> =
    watching(open = { observe(query.model.name, query.filterText()) }, read = { change(query.model, it) })

/** Makes a record, here and then on the server. Throws as [Client.mutate], so never once it is queued; [Written.record] has what was filled in. */
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
        val read = Reading(mutated.answer) { data.decode(it) }
        Answered(read.value, mutated.numbers, read.problems)
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
    val read = Reading(mutated.answer) { data -> data[writing.root.field]?.let(writing.model::decode) }
    return Written(read.value, mutated.number, read.problems)
}

private fun Transaction.add(writing: Writing<*>) = mutate(writing.root.document, writing.variables)

/**
 * What can be read of a mutation's answer. Nothing is thrown: the mutation is queued by now, and an app that took an error for "nothing
 * was queued" would make it a second time.
 */
private class Reading<T>(answer: Answer, read: (Map<String, Any?>) -> T?) {
    var value: T? = null
        private set
    var problems: List<GraphqlProblem>
        private set

    init {
        problems = try {
            answer.errors.also { if (it.isEmpty()) value = read(answer.data) }
        } catch (error: Exception) {
            listOf(GraphqlProblem(error.message ?: error.javaClass.name, "Shape"))
        }
    }
}

internal fun Query<*, *>.filterText(): String? = predicate.filter.takeIf { it.isNotEmpty() }?.let(Json::encode)

private fun Query<*, *>.native(after: String?): FindQuery =
    FindQuery(
        model = model.name,
        filter = filterText(),
        sort = order.map { SortStep(it.field, it.isDescending) },
        limit = limit?.toUInt(),
        offset = offset.toULong(),
        token = after,
    )

private fun <M : Record> page(model: Model<M, *>, found: FoundRecords): Page<M> {
    if (found.errors.isNotEmpty()) {
        val problems = found.errors.map(::problem)
        throw TomboloException.Request(problems.joinToString("; ") { it.message }, problems)
    }
    val items = Members.of(Json.decode(found.data.decodeToString()), model.name).get("items", Codecs.list(model))
    return Page(items, found.nextToken)
}

internal fun <M : Record> change(model: Model<M, *>, native: RecordChange): Change<M> {
    val record = native.record?.let { model.decode(Json.decode(it)) }
    fun key(): Key<M> = Key(model, Members.of(Json.decode(native.key), model.name).all())
    return when (native.kind) {
        RecordChangeKind.CREATED -> Change.Created(checkNotNull(record))
        RecordChangeKind.UPDATED -> Change.Updated(checkNotNull(record))
        RecordChangeKind.DELETED -> Change.Deleted(key(), record)
        RecordChangeKind.LEFT -> Change.Left(key(), record)
        RecordChangeKind.RESYNCHRONISE -> Change.Resynchronise()
    }
}
