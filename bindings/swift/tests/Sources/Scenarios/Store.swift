import Foundation
import GeneratedRig
import TomboloDataStore

/// What the store in Amplify's manner does beyond the scenario of the list. Against real servers.
let storeChecks: [(String, @Sendable (Trial) async throws -> Void)] = [
    ("a suspension costs no refusal", suspendedRefusal), ("what another client has sent is told", refusedElsewhere),
    ("what is refused again is told again", refusedAgain), ("what cannot be read is not deleted", unreadable),
    ("what is saved while the store is cleared", savedWhileCleared), ("a cancelled clear", cancelledClear),
    ("a clear that fails", failedClear), ("a sign-out behind the store", signOutElsewhere),
    ("the store's other calls and events", otherCalls), ("what changes while observing begins", observedMeanwhile),
    ("other ways to the server", otherWays),
]

/// What a store has told.
private struct Ear: Sendable {
    let payloads = Box<[HubPayload]>([])
    let errors = Box<[DataStoreError]>([])

    var refused: [MutationNumber] {
        errors.with { $0 }.compactMap { if case .mutationRefused(let number, _, _) = $0 { number } else { nil } }
    }

    var processed: [MutationNumber] {
        payloads.with { $0 }.filter { $0.eventName == HubPayload.EventName.DataStore.outboxMutationProcessed }
            .compactMap { ($0.data as? OutboxMutationEvent)?.mutation.number }
    }

    func becomes(_ what: String, _ wanted: @escaping @Sendable (Ear) -> Bool) async throws {
        try await within(seconds: 30, { "it never told \(what): \(payloads.with { $0.map(\.eventName) }), \(errors.with { $0 })" }) {
            while !wanted(self) { await Task.yield() }
        }
    }
}

/// A store of its own file, with or without a server, and what it tells. It is cleared at the end.
private func withStore(
    _ t: Trial, _ server: Server? = nil, path: String? = nil, hears: (@Sendable (any Error) -> Void)? = nil,
    _ body: (DataStoreCategory, Ear) async throws -> Void
) async throws {
    let (store, ear) = (Amplify.DataStore, Ear())
    let token = Amplify.Hub.listen(to: .dataStore) { payload in ear.payloads.with { $0.append(payload) } }
    defer { Amplify.Hub.removeListener(token) }
    await Amplify.configure(
        DataStoreConfiguration(
            schema: GeneratedSchema.sdl, path: path ?? t.file(), url: server?.url, credential: server.map { .apiKey($0.key) },
            errorHandler: { error in
                if let error = error as? DataStoreError { ear.errors.with { $0.append(error) } }
                hears?(error)
            }))
    try await body(store, ear)
    try await store.clear()
}

@Sendable private func suspendedRefusal(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.graphql("mutation { createSeat(input: { id: \"s1\" }) { id } }")
    // The first refusal is told so slowly that the client is suspended meanwhile.
    let (slow, isFirst) = (DispatchSemaphore(value: 0), Box(true))
    let hears: @Sendable (any Error) -> Void = { _ in
        if isFirst.with({ first in defer { first = false }; return first }) { slow.wait() }
    }
    try await withStore(t, server, hears: hears) { store, ear in
        let client = try await store.client()
        try await t.becomesLive(client)
        try await client.setOnline(false)
        let first = try await client.mutate(setPassenger, ["who": "ada"]).number
        let second = try await client.mutate(create, ["input": ["id": "n1", "text": "one"]]).number
        try await server.update("Seat", ["id": "s1", "passenger": "bob"])
        try await client.setOnline(true)
        try await ear.becomes("the first") { $0.refused == [first] }
        try t.expect(try await t.outcome(client, second), is: .applied, "the second")
        try await client.suspend()
        slow.signal()
        try await client.resume()
        try await ear.becomes("the second") { $0.processed == [second] }
        try await t.becomes("bob", client, seat) { $0["getSeat"]["passenger"] == "bob" }
        let third = try await refusedSeat(t, server, client, mine: "carol", theirs: "dora")
        try await ear.becomes("the third") { $0.refused == [first, third] }
    }
}

@Sendable private func refusedElsewhere(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.graphql("mutation { createSeat(input: { id: \"s1\" }) { id } }")
    let path = t.file()
    try await withStore(t, server, path: path) { store, ear in
        let client = try await store.client()
        try await t.becomesLive(client)
        try await client.setOnline(false)
        let number = try await client.mutate(setPassenger, ["who": "ada"]).number
        try await server.update("Seat", ["id": "s1", "passenger": "bob"])
        try await client.suspend()
        let other = try await t.client(of: server, path: path)
        try await t.becomes("refused", other) { $0.rejected == 1 }
        await other.close()
        try t.expect(ear.refused, is: [], "what is told while suspended")
        try await client.resume()
        try await ear.becomes("the refusal") { $0.refused == [number] }
        try await client.suspend()
        try await client.resume()
        let next = try await client.mutate(setPassenger, ["who": "carol"]).number
        try await server.update("Seat", ["id": "s1", "passenger": "dora"])
        try await client.setOnline(true)
        try await ear.becomes("each once") { $0.refused == [number, next] }
    }
}

/// A mutation that was refused because of another one goes on behind that one's retry, under a new number.
@Sendable private func refusedAgain(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.writeNote("n1", text: "one")
    try await withStore(t, server) { store, ear in
        let client = try await store.client()
        try await t.becomesLive(client)
        try await client.setOnline(false)
        let first = try await client.write(UpdateNoteInput(id: "n1", text: "mine"), if: { $0.text == "one" }).number
        let behind = try await client.write(UpdateNoteInput(id: "n1", done: true)).number
        try await server.update("Note", ["id": "n1", "text": "theirs"])
        try await client.setOnline(true)
        try await ear.becomes("both") { $0.refused.sorted() == [first, behind] }
        let again = try await client.retry(first)
        try await t.becomes("refused again", client) { $0.pending == 0 && $0.rejected == 2 }
        let numbers = try await client.outbox().map(\.number).sorted()
        try t.expect(numbers.first == again.first && numbers.allSatisfy { $0 > behind }, "tried again as \(again), they are \(numbers)")
        try await ear.becomes("both again") { $0.refused.sorted() == [first, behind] + numbers }
    }
}

/// A note as a type that not every note has the shape of.
private struct Short: Model {
    struct Fields: Sendable {}
    static let model = Note.model
    static let fields = Fields()
    let id: String
    let text: String
    var tomboloKey: NoteKey { NoteKey(id) }
    var tomboloValues: [String: JSONValue] { ["id": .string(id), "text": .string(text)] }

    init(from decoder: any Decoder) throws {
        let note = try Note(from: decoder)
        guard note.text.count < 10 else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: note.text))
        }
        (id, text) = (note.id, note.text)
    }

    func encode(to encoder: any Encoder) throws { try JSONValue.object(tomboloValues).encode(to: encoder) }
}

/// Nothing is deleted by a list that is not whole.
@Sendable private func unreadable(_ t: Trial) async throws {
    try await withStore(t) { store, _ in
        try await store.save(Note(id: "n1", text: "short"))
        try await store.save(Note(id: "n2", text: "longer than it may be"))
        try t.expect(try await store.query(Short.self).map(\.id), is: ["n1"], "what can be read")
        let error = try await t.error("a delete of what cannot be read") { try await store.delete(Short.self, where: .all) }
        guard case .shape(let detail) = error, !detail.contains("longer") else { throw Failure("it failed with \(error)") }
        try t.expect(try await store.query(Note.self).count, is: 2, "the notes")
    }
}

@Sendable private func savedWhileCleared(_ t: Trial) async throws {
    try await withStore(t) { store, _ in
        try await store.save(Note(id: "old", text: "old"))
        let (clearing, again) = (Task { try await store.clear() }, Task { try await store.clear() })
        let ended = Box(false)
        let end = Task {
            let result = await clearing.result
            ended.with { $0 = true }
            try result.get()
        }
        while !ended.with({ $0 }) {
            // One whose call was on its way when the file went is refused.
            do { try await store.save(Note(text: "meanwhile")) } catch TomboloError.signedOut {} catch TomboloError.closed {}
        }
        try await end.value
        try await again.value
        try await store.save(Note(id: "new", text: "new"))
        let ids = try await store.query(Note.self).map(\.id)
        try t.expect(ids.contains("new") && !ids.contains("old"), "the notes are \(ids)")
    }
}

@Sendable private func cancelledClear(_ t: Trial) async throws {
    try await withStore(t) { store, _ in
        for _ in 1...20 {
            try await store.save(Note(id: "old", text: "old"))
            let clearing = Task { try await store.clear() }
            while try await !store.query(Note.self).isEmpty, !clearing.isCancelled {
                clearing.cancel()
                await Task.yield()
            }
            _ = await clearing.result
            try await store.save(Note(id: "new", text: "new"))
            try t.expect(try await store.query(Note.self).contains { $0.id == "new" }, "what was saved afterwards is gone")
        }
    }
}

@Sendable private func failedClear(_ t: Trial) async throws {
    let server = try await t.server()
    try await withStore(t, server) { store, ear in
        let client = try await store.client()
        try await client.suspend()
        let error = try await t.error("a clear while suspended") { try await store.clear() }
        try t.expect(error, is: .suspended, "a clear while suspended")
        try await client.resume()
        try t.expect(try await store.client() === client, "it is another client")
        try await store.save(Note(id: "n1", text: "one"))
        try await ear.becomes("what was processed") { $0.processed.count == 1 }
    }
}

@Sendable private func signOutElsewhere(_ t: Trial) async throws {
    try await withStore(t) { store, _ in
        for end in ["signed out", "closed"] {
            let client = try await store.client()
            if end == "closed" { await client.close() } else { try await client.signOut(.discard) }
            // Also the call that finds it out.
            _ = try await store.query(Note.self)
            try await store.save(Note(id: "n1", text: "one"))
            try t.expect(try await store.query(Note.self).map(\.id), is: ["n1"], "the notes, after it was \(end)")
        }
    }
}

@Sendable private func otherCalls(_ t: Trial) async throws {
    typealias Name = HubPayload.EventName.DataStore
    let server = try await t.server()
    try await withStore(t, server) { store, ear in
        try await t.becomesLive(store.client())
        try await store.save(Note(id: "n1", text: "one"))
        try t.expect(try await store.query(Note.self, byIdentifier: "n1")?.text, is: "one", "by its key")
        try t.expect(try await store.query(Note.self, byIdentifier: "n2"), is: nil, "by no key")
        try await store.delete(Note.self, withId: "n1")
        try await store.delete(Note.self, withId: "n1")
        try t.expect(try await store.query(Note.self, byId: "n1"), is: nil, "deleted")
        try await ear.becomes("all of it") { ear in
            let payloads = ear.payloads.with { $0 }
            let names = Set(payloads.map(\.eventName))
            let isEmpty = payloads.last { $0.eventName == Name.outboxStatus }?.data as? OutboxStatusEvent
            return names.isSuperset(of: [Name.outboxMutationEnqueued, Name.syncStarted, Name.syncQueriesReady, Name.ready])
                && payloads.contains { $0.data as? ModelSyncedEvent == ModelSyncedEvent(modelName: "Note") }
                && isEmpty?.isEmpty == true
        }
    }
}

/// Whatever was saved while the observing began: when it is deleted later, that is told.
@Sendable private func observedMeanwhile(_ t: Trial) async throws {
    try await withStore(t) { store, _ in
        for round in 1...20 {
            let saving = Task {
                for number in 1...20 { try await store.save(Note(text: "\(number)")) }
            }
            while try await store.query(Note.self, paginate: .firstResult).isEmpty { await Task.yield() }
            // Several, so that some begin just when a note is being saved.
            var observers: [Reader<MutationEvent>] = []
            for _ in 1...8 { observers.append(Reader(try await store.observe(Note.self))) }
            try await saving.value
            // When this one has been told, all were: what is made and deleted before anybody looks is not told at all.
            let last = try await store.save(Note(text: "last"))
            for events in observers { while let event = try await events.next(), event.modelId != last.id {} }
            let ids = Set(try await store.query(Note.self).map(\.id))
            try await store.delete(Note.self, where: Note.keys.text != "")
            for events in observers {
                var left = ids
                while !left.isEmpty {
                    guard let event = try await events.next() else { throw Failure("observe ended") }
                    if event.mutationType == .delete { left.remove(event.modelId) }
                }
            }
            try t.expect(try await store.query(Note.self).isEmpty, "notes are left in round \(round)")
        }
    }
}

/// Ways to the server as an app gives them: one that is blocked with another behind it, and another while the client is open.
@Sendable private func otherWays(_ t: Trial) async throws {
    let server = try await t.server()
    // Nobody listens there.
    let blocked = "http://127.0.0.1:9/graphql"
    let client = t.keep(
        try await Tombolo.open(
            schema: t.schema, path: t.file(), url: blocked, fallbacks: [.network(url: server.url)], credential: .apiKey(server.key),
            durable: false))
    try await t.becomesLive(client)
    let number = try await client.mutate(create, ["input": ["id": "n1", "text": "one"]]).number
    try t.expect(try await t.outcome(client, number), is: .applied, "the mutation")
    try await client.setTransport(.network(url: blocked))
    try await t.becomes("waiting", client) { $0.link == .waiting }
    try await client.setTransport(.network(url: server.url))
    try await t.becomesLive(client)
    let error = try await t.error("a way to nowhere") { try await client.setTransport(.network(url: "nonsense")) }
    guard case .endpoint = error else { throw Failure("a way to nowhere: \(error)") }
    try t.expect(try client.salvage, is: nil, "what was saved out of a file that was never damaged")
}
