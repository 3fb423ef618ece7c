package dev.tombolo.tests

import dev.tombolo.Json
import dev.tombolo.Tombolo
import dev.tombolo.Value
import dev.tombolo.create
import dev.tombolo.datastore.Amplify
import dev.tombolo.datastore.DataStoreItemChange
import dev.tombolo.datastore.HubChannel
import dev.tombolo.datastore.HubEvent
import dev.tombolo.datastore.NetworkStatus
import dev.tombolo.datastore.ObserveQueryOptions
import dev.tombolo.datastore.OutboxMutation
import dev.tombolo.datastore.OutboxStatus
import dev.tombolo.datastore.Page
import dev.tombolo.datastore.Where
import dev.tombolo.delete
import dev.tombolo.find
import dev.tombolo.first
import dev.tombolo.get
import dev.tombolo.update
import dev.tombolo.watch
import dev.tombolo.tests.generated.Comment
import dev.tombolo.tests.generated.CreateNoteInput
import dev.tombolo.tests.generated.Note
import dev.tombolo.tests.generated.Place
import dev.tombolo.tests.generated.Priority
import dev.tombolo.tests.generated.UpdateNoteInput
import dev.tombolo.tests.generated.addNote
import dev.tombolo.tests.generated.datastore.DONE
import dev.tombolo.tests.generated.datastore.TEXT
import dev.tombolo.tests.generated.datastore.builder
import dev.tombolo.tests.generated.datastore.copyOfBuilder
import dev.tombolo.tests.generated.openNotes
import dev.tombolo.tests.generated.watchOpenNotes
import kotlinx.coroutines.CompletableDeferred
import kotlinx.coroutines.flow.toList

/** Generated code. */
val GENERATED_CODE: Map<String, suspend Trial.() -> Unit> = mapOf(
    "typed-models" to Trial::typedModels,
    "datastore-idioms" to Trial::datastoreIdioms,
)

private suspend fun Trial.typedModels() {
    val client = open()
    val whole = Note(
        id = "n1",
        text = "every field",
        done = false,
        priority = Priority.HIGH,
        tags = listOf("a", "b"),
        place = Place(latitude = 1.5, longitude = -2.0, name = "here"),
        due = "2026-02-03T04:05:06.789Z",
        stars = 3,
    )
    val written = client.create(whole)
    val read = client.get(Note.key("n1")) ?: throw Failed("n1 is not there")
    equal(read.copy(createdAt = null, updatedAt = null), whole, "what was written comes back")
    equal(written.record, read)

    client.update(UpdateNoteInput(id = "n1", text = Value("changed"), due = Value(null)))
    val changed = client.get(Note.key("n1"))
    equal(changed?.text, "changed")
    equal(changed?.due, null, "null clears")
    equal(changed?.stars, 3, "absent leaves")

    client.create(CreateNoteInput(id = Value("n2"), text = "two", stars = Value(5)))
    client.create(Note(id = "n3", text = "three", done = true, stars = 5, priority = Priority.LOW))
    val sorted = Note.where { (stars ge 3) and (text ne "nothing") }.sortedByDescending { stars }.thenBy { text }
    equal(client.find(sorted).map { it.id }, listOf("n3", "n2", "n1"), "in the right order", pivotal = true)
    equal(client.find(sorted.offset(1).limit(1)).map { it.id }, listOf("n2"))
    equal(client.find(Note.where { tags contains "b" }).map { it.id }, listOf("n1"))
    equal(client.find(Note.where { priority within listOf(Priority.LOW, Priority.NORMAL) }).map { it.id }, listOf("n3"))
    equal(client.find(Note.where { !(done eq true) and (due eq null) }).map { it.id }.sorted(), listOf("n1", "n2"))
    equal(client.find(Note.where { text within emptyList() }), emptyList())

    val notes = take(client.watch(sorted))
    equal(notes.next().size, 3)
    client.delete(Note.key("n3"))
    equal(notes.next().map { it.id }, listOf("n2", "n1"))
    notes.letGo()

    client.create(Comment(id = "c1", noteID = "n1", text = "well said"))
    equal(client.find(Note(id = "n1", text = "").comments()).map { it.id }, listOf("c1"))
    equal(client.first(Comment(noteID = "n1", text = "").note())?.id, "n1")

    val open = take(client.watchOpenNotes(priority = Value(Priority.HIGH)))
    equal(open.next().listNotes?.items?.map { it?.id }, listOf("n1"))
    val added = client.addNote(CreateNoteInput(text = "typed", priority = Value(Priority.HIGH)))
    equal(added.data?.createNote?.text, "typed")
    equal(added.problems, emptyList())
    equal(added.numbers.size, 1)
    equal(open.next().listNotes?.items?.size, 2)
    equal(client.openNotes(limit = Value(1)).listNotes?.items?.size, 1)
    open.letGo()

    val newer = """{"id":"n9","text":"from a newer server","priority":"URGENT"}"""
    val decoded = Note.decode(Json.decode(newer))
    equal(decoded.priority?.name, "URGENT")
    equal(Json.decode(Json.encode(decoded)).members()["priority"], "URGENT", "it is kept")
    equal(decoded.priority, Priority.of("URGENT"))
}

private suspend fun Trial.datastoreIdioms() {
    val server = server()
    val path = path()
    Amplify.configure {
        Tombolo.open(schema = rig.schema, path = path, url = server.url, credential = dev.tombolo.Credential.ApiKey(server.apiKey), offline = true)
    }
    try {
        datastore(server)
    } finally {
        Amplify.DataStore.client().shutDown()
    }
}

private suspend fun Trial.datastore(server: Server) {
    val hub = take(Amplify.Hub.subscribe(HubChannel.DATASTORE))
    val told = ArrayList<HubEvent<*>>()
    suspend fun tells(words: String, test: (HubEvent<*>) -> Boolean) {
        if (told.none(test)) hub.until("the hub tells $words") { told += it; test(it) }
    }
    val store = Amplify.DataStore
    store.start()
    tells("network status") { it.data == NetworkStatus(true) }
    tells("ready") { it.name == "ready" }

    val changes = take(store.observe(Note))
    val snapshots = take(store.observeQuery(Note::class, ObserveQueryOptions(Note.DONE.ne(true), listOf(Note.TEXT.ascending()))))
    snapshots.until("synced and empty") { it.isSynced && it.items.isEmpty() }

    val saved = store.save(Note.builder().id("n1").text("b").done(false).build())
    equal(saved.id, "n1")
    tells("outbox status") { it.data == OutboxStatus(false) }
    tells("the mutation processed") { (it.data as? OutboxMutation)?.outcome == dev.tombolo.Outcome.Applied && it.name == "outboxMutationProcessed" }
    snapshots.until("n1") { snapshot -> snapshot.items.map { it.text } == listOf("b") }
    equal(changes.until("an insert") { it.item().id == "n1" }.type(), DataStoreItemChange.Type.CREATE)

    store.save(saved.copyOfBuilder().text("c").build())
    snapshots.until("c") { snapshot -> snapshot.items.map { it.text } == listOf("c") }
    val update = changes.until("an update") { it.type() == DataStoreItemChange.Type.UPDATE && it.item().text == "c" }
    equal(update.item().id, "n1")
    store.save(Note(id = "n2", text = "a"))
    store.save(Note(id = "n3", text = "d", done = true))

    equal(store.query(Note::class, Where.id("n1")).toList().map { it.text }, listOf("c"))
    val open = Where.matches(Note.DONE.ne(true).or(Note.TEXT.eq("d"))).sorted(Note.TEXT.descending())
    equal(store.query(Note::class, open).toList().map { it.text }, listOf("d", "c", "a"), "sorted", pivotal = true)
    equal(store.query(Note::class, open.paginated(Page.startingAt(1).withLimit(2))).toList().map { it.text }, listOf("a"))

    // The callbacks of the other facade.
    val answered = CompletableDeferred<List<String>>()
    store.query(Note::class.java, open, { found -> answered.complete(found.asSequence().map { it.id }.toList()) }, { answered.completeExceptionally(it) })
    equal(patiently("the callback") { answered.await() }, listOf("n3", "n1", "n2"))
    val callback = CompletableDeferred<DataStoreItemChange.Type>()
    store.save(Note(id = "n4", text = "e"), { callback.complete(it.type()) }, { callback.completeExceptionally(it) })
    equal(patiently("the callback") { callback.await() }, DataStoreItemChange.Type.CREATE)
    val refused = CompletableDeferred<Throwable>()
    store.delete(Note(id = "nowhere", text = ""), { refused.complete(Failed("it was deleted")) }, { refused.complete(it) })
    holds(patiently("the callback") { refused.await() } is dev.tombolo.datastore.DataStoreException, "a typed error")

    store.delete(saved)
    equal(changes.until("a delete") { it.type() == DataStoreItemChange.Type.DELETE }.item().id, "n1")
    store.delete(Note, Note.TEXT.ge("d"))
    equal(store.query(Note::class).toList().map { it.id }, listOf("n2"))
    tells("an empty outbox") { it.data == OutboxStatus(true) }
    settled(store.client())

    store.stop()
    becomes(store.client(), "offline") { it.link == dev.tombolo.LinkStatus.Offline }
    store.save(Note(id = "n5", text = "local life"))
    equal(store.query(Note::class).toList().map { it.id }.sorted(), listOf("n2", "n5"))
    equal(server.notes().keys, setOf("n2"), "nothing was sent")
    store.clear()
    changes.untilEnd("observe")
    snapshots.untilEnd("observeQuery")
    equal(store.query(Note::class).toList(), emptyList(), "the file is empty")
    hub.letGo()
}
