import Foundation
import GeneratedRig
import TomboloDataStore

/// "Generated code".
let generated: [String: @Sendable (Trial) async throws -> Void] = [
    "typed-models": typedModels, "datastore-idioms": dataStoreIdioms,
]

@Sendable private func typedModels(_ t: Trial) async throws {
    let client = try await t.local()
    let place = Place(latitude: 51.5, longitude: -0.5, name: "here")
    let written = try await client.write(
        CreateNoteInput(
            id: "n1", text: "one", done: false, priority: .value(.high), tags: .value(["a", "b"]), place: .value(place),
            due: "2026-01-02T03:04:05Z", stars: 3))
    let note = try await client.get(Note.self, "n1")
    try t.expect(note == written.value && note != nil, "it came back as \(String(describing: note))")
    try t.expect(
        note?.text == "one" && note?.done == false && note?.priority == .high && note?.tags == ["a", "b"]
            && note?.place == place && note?.due?.hasPrefix("2026-01-02T03:04:05") == true && note?.stars == 3,
        "it came back as \(String(describing: note))")
    try await client.write(UpdateNoteInput(id: "n1", due: nil, stars: 4))
    let edited = try await client.get(Note.self, "n1")
    try t.main(
        edited?.due == nil && edited?.stars == 4 && edited?.text == "one" && edited?.place == place,
        "absent, null and a value gave \(String(describing: edited))")
    try await client.write(CreateNoteInput(id: "n2", text: "two", priority: .value(.low), stars: 5))
    try await client.write(CreateNoteInput(id: "n3", text: "three", priority: .value(.high), stars: 1))
    let high = Note.where { $0.priority == .high && $0.stars >= 1 }
    let sorted = high.sorted { $0.stars.ascending }
    let wanted = ["n3", "n1"]
    try t.expect(try await client.fetch(sorted).map(\.id), is: wanted, "the notes of high priority")
    try t.expect(try await client.fetch(Note.where { $0.due == nil || $0.tags.contains("a") }).count, is: 3, "notes")
    let live = Reader(try client.watch(sorted))
    try t.expect(try await live.next()?.map(\.id), is: wanted, "the typed live query")
    try await client.write(DeleteNoteInput(id: "n3"))
    try t.expect(try await live.next()?.map(\.id), is: ["n1"], "the typed live query")
    let added = try await client.addNote(input: CreateNoteInput(id: "n4", text: "four", priority: .value(.high)))
    try t.expect(added.value?.createNote?.text, is: "four", "AddNote")
    let comment = try await client.write(CreateCommentInput(noteID: "n4", text: "why?"))
    let open = try await client.openNotes(priority: .value(.high))
    let items = (open.listNotes?.items ?? []).compactMap { $0 }.sorted { $0.id < $1.id }
    try t.expect(items.map(\.id), is: ["n1", "n4"], "OpenNotes")
    try t.expect(items.last?.comments?.items.first??.text, is: "why?", "the comment")
    guard let comment = comment.value else { throw Failure("the comment did not come back") }
    try t.expect(try await comment.note(from: client)?.id, is: "n4", "the comment's note")
    let text = #"{"id":"n5","text":"five","priority":"URGENT"}"#
    let unknown = try JSONDecoder().decode(Note.self, from: Data(text.utf8))
    try t.expect(unknown.priority, is: .unrecognized("URGENT"), "an enum value that is not known")
    let back = try JSONValue(json: try JSONEncoder().encode(unknown))
    try t.expect(back["priority"], is: "URGENT", "encoded again")
}

@Sendable private func dataStoreIdioms(_ t: Trial) async throws {
    let server = try await t.server()
    let (store, told) = (Amplify.DataStore, Box<[HubPayload]>([]))
    let token = Amplify.Hub.listen(to: .dataStore) { payload in told.with { $0.append(payload) } }
    defer { Amplify.Hub.removeListener(token) }
    await Amplify.configure(
        DataStoreConfiguration(
            schema: GeneratedSchema.sdl, path: t.file(), url: server.url, credential: .apiKey(server.key)))
    try await store.start()
    let snapshots = Reader(try await store.observeQuery(for: Note.self, where: Note.keys.stars > 1))
    var snapshot = try await snapshots.next()
    try t.expect(snapshot?.items, is: [], "the first snapshot")
    while snapshot?.isSynced == false { snapshot = try await snapshots.next() }
    try t.expect(snapshot?.isSynced, is: true, "synced")
    let events = Reader(try await store.observe(Note.self))

    var note = try await store.save(Note(id: "n1", text: "one", stars: 2))
    try await client(store, follows: events, .create, t) { $0.text == "one" }
    while snapshot?.items.isEmpty == true { snapshot = try await snapshots.next() }
    try t.expect(snapshot?.items.map(\.id), is: ["n1"], "the snapshot")
    note.text = "two"
    try await store.save(note)
    try await client(store, follows: events, .update, t) { $0.text == "two" }
    try await store.save(Note(id: "n2", text: "three", stars: 7))
    try await client(store, follows: events, .create, t) { $0.stars == 7 }
    try t.expect(try await store.query(Note.self, byId: "n1")?.text, is: "two", "by id")
    let found = try await store.query(
        Note.self, where: Note.keys.stars > 1 && Note.keys.text != "x", sort: .descending(Note.keys.stars))
    try t.main(found.map(\.id) == ["n2", "n1"], "by predicate: \(found.map(\.id))")
    let page = try await store.query(Note.self, sort: .by(.descending(Note.keys.stars)), paginate: .page(1, limit: 1))
    try t.expect(page.map(\.id), is: ["n1"], "the second page")
    try await store.delete(note)
    try await client(store, follows: events, .delete, t) { $0.id == "n1" }
    try await store.delete(Note.self, where: Note.keys.stars.eq(7))
    try await client(store, follows: events, .delete, t) { $0.id == "n2" }

    let inside = try await store.client()
    try await t.becomesSettled(inside)
    try await within(seconds: 30, { "the hub told \(told.with { $0.map(\.eventName) })" }) {
        typealias Name = HubPayload.EventName.DataStore
        while true {
            let all = told.with { $0 }
            let active = all.contains { ($0.data as? NetworkStatusEvent)?.active == true }
            let empty = all.contains { ($0.data as? OutboxStatusEvent)?.isEmpty == true }
            let processed = all.contains { $0.eventName == Name.outboxMutationProcessed && $0.data is OutboxMutationEvent }
            if active && empty && processed { return }
            await Task.yield()
        }
    }
    try await store.stop()
    try await t.becomes("offline", inside) { $0.link == .offline }
    try await store.save(Note(id: "n3", text: "local"))
    try t.expect(try await store.query(Note.self).map(\.id), is: ["n3"], "local life")
    try await store.clear()
    while try await events.next() != nil {}
    while try await snapshots.next() != nil {}
    try t.expect(try await store.query(Note.self), is: [], "after clear")
    await (try store.client()).close()
}

private func client(
    _ store: DataStoreCategory, follows events: Reader<MutationEvent>, _ type: MutationEvent.MutationType, _ t: Trial,
    _ wanted: (Note) -> Bool
) async throws {
    // The server's own fields arrive later, as updates.
    while let event = try await events.next() {
        let note = try event.decodeModel(as: Note.self)
        if event.mutationType == type, wanted(note) { return }
        if event.mutationType != .update { throw Failure("observe told \(event)") }
    }
    throw Failure("observe ended")
}
