package dev.tombolo.datastore

import dev.tombolo.Change
import dev.tombolo.Client
import dev.tombolo.Json
import dev.tombolo.Model
import dev.tombolo.Predicate
import dev.tombolo.Query
import dev.tombolo.Record
import dev.tombolo.Tombolo
import dev.tombolo.change
import dev.tombolo.ffi.RecordChange
import dev.tombolo.ffi.SavedAs
import dev.tombolo.filterText
import dev.tombolo.Watched
import dev.tombolo.watched
import java.util.concurrent.atomic.AtomicReference
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.mapNotNull

/** The record's own model. */
@Suppress("UNCHECKED_CAST")
internal fun <M : Record> modelOf(item: M): Model<M, *> = item.__model as Model<M, *>

/** What a save or a delete came to: the record, and its mutation; no mutation where nothing was different. */
internal class Stored<M>(val record: M, val number: Long?, val created: Boolean)

/** Makes the record, or changes what is different in it. */
internal suspend fun <M : Record> store(client: Client, item: M, condition: Predicate<M>?): Stored<M> =
    client.work {
        val model = modelOf(item)
        val saved = it.save(model.name, Json.encode(model.given(item)), null, text(condition))
        val record = read(model, saved.record) ?: item
        Stored(record, saved.number?.toLong(), saved.savedAs == SavedAs.CREATED)
    }

internal suspend fun <M : Record> remove(client: Client, item: M, condition: Predicate<M>?): Stored<M> =
    client.work {
        val model = modelOf(item)
        val deleted = it.delete(model.name, Json.encode(model.keyOf(item).values), text(condition))
        val record = read(model, deleted.record) ?: item
        Stored(record, deleted.number?.toLong(), false)
    }

/** The record as it was stored. One that does not fit its type is reported and not thrown: by now its mutation is queued. */
private fun <M : Record> read(model: Model<M, *>, json: String?): M? =
    try {
        json?.let { model.decode(Json.decode(it)) }
    } catch (error: Exception) {
        Tombolo.tell("shape", "a stored ${model.name} cannot be read: ${error.message ?: error.javaClass.name}")
        null
    }

/** What is observed: begun, for one collector. */
internal suspend fun begin(client: Client, query: Query<*, *>): Watched<RecordChange> {
    // Not the value of `work`: a coroutine that is cancelled just then would lose the handle.
    val begun = AtomicReference<Watched<RecordChange>?>()
    try {
        client.work { begun.set(client.observe(query.model.name, query.filterText())) }
    } catch (error: Throwable) {
        begun.get()?.letGo?.invoke()
        throw error
    }
    return checkNotNull(begun.get())
}

/** The changes in DataStore's three kinds. What only matches no more, or is not known one by one, has none. */
internal fun <M : Record> changes(model: Model<M, *>, begun: Watched<RecordChange>): Flow<DataStoreItemChange<M>> =
    watched(begun) { change(model, it) }.mapNotNull {
        when (it) {
            is Change.Created -> DataStoreItemChange(it.record, DataStoreItemChange.Type.CREATE)
            is Change.Updated -> DataStoreItemChange(it.record, DataStoreItemChange.Type.UPDATE)
            is Change.Deleted -> it.record?.let { record -> DataStoreItemChange(record, DataStoreItemChange.Type.DELETE) }
            is Change.Left, is Change.Resynchronise -> null
        }
    }

private fun text(condition: Predicate<*>?): String? = condition?.filter?.takeIf { it.isNotEmpty() }?.let(Json::encode)
