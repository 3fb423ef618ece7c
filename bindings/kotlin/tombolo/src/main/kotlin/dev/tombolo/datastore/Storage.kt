package dev.tombolo.datastore

import dev.tombolo.Client
import dev.tombolo.Json
import dev.tombolo.Model
import dev.tombolo.Predicate
import dev.tombolo.Query
import dev.tombolo.Record
import dev.tombolo.create
import dev.tombolo.delete
import dev.tombolo.get
import dev.tombolo.watch
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.flow

/** The record's own model. */
@Suppress("UNCHECKED_CAST")
internal fun <M : Record> modelOf(item: M): Model<M, *> = item.__model as Model<M, *>

/** What a save or a delete came to: the record, and its mutation; no mutation where nothing was different. */
internal class Stored<M>(val record: M, val number: Long?)

/** Makes the record, or changes what is different in it. */
internal suspend fun <M : Record> store(client: Client, item: M, condition: Predicate<M>?): Stored<M> {
    val model = modelOf(item)
    val key = model.keyOf(item)
    val before = client.get(key)
    if (before == null) {
        val written = client.create(item)
        return Stored(written.record ?: item, written.number)
    }
    val was = before.toJson()
    val changed = item.toJson().filter { (name, value) ->
        name in model.updateFields && name !in model.keyFields && Json.encode(value) != Json.encode(was[name])
    }
    if (changed.isEmpty()) return Stored(before, null)
    val root = model.root(model.update, "update")
    val variables = buildMap<String, Any?> {
        put("input", key.values + changed)
        if (condition != null && condition.filter.isNotEmpty()) put("condition", condition.filter)
    }
    val mutated = client.mutate(root.document, variables)
    return Stored(mutated.answer.orThrow()[root.field]?.let(model::decode) ?: item, mutated.number)
}

internal suspend fun <M : Record> remove(client: Client, item: M, condition: Predicate<M>?): Stored<M> {
    val written = client.delete(modelOf(item).keyOf(item), condition)
    return Stored(written.record ?: item, written.number)
}

/** Each change of one of the records from now on. [onStarted] is called once none can be missed. */
internal fun <M : Record> changes(
    client: Client,
    model: Model<M, *>,
    predicate: Predicate<M>,
    onStarted: () -> Unit,
): Flow<DataStoreItemChange<M>> =
    flow {
        var known: Map<Any, M>? = null
        client.watch(Query(model, predicate)).collect { records ->
            val now = records.associateBy { model.keyOf(it) as Any }
            val before = known
            known = now
            if (before == null) {
                onStarted()
                return@collect
            }
            for ((key, record) in now) {
                val was = before[key]
                if (was == null) emit(DataStoreItemChange(record, DataStoreItemChange.Type.CREATE))
                if (was != null && was != record) emit(DataStoreItemChange(record, DataStoreItemChange.Type.UPDATE))
            }
            for ((key, record) in before) {
                // One that is there and only matches no more was not deleted.
                if (key !in now && client.get(model.keyOf(record)) == null) {
                    emit(DataStoreItemChange(record, DataStoreItemChange.Type.DELETE))
                }
            }
        }
    }
