import Foundation
import Tombolo

/// "What the SDK is for".
let purpose: [String: @Sendable (Trial) async throws -> Void] = [
    "open": open, "offline-edits": offlineEdits, "live-query": liveQuery, "conflict": conflict, "refusal": refusal,
    "transaction": transaction, "suspend-and-resume": suspendAndResume, "cancel": cancel, "sign-out": signOut,
    "token-expiry": tokenExpiry,
]

@Sendable private func open(_ t: Trial) async throws {
    let path = t.file()
    let first = try await t.local(path: path)
    try t.expect(try await first.query(list).ids, is: [], "a new file")
    let status = try first.status
    try t.expect(status.link == .offline && status.pending == 0, "a local client says \(status)")
    try await first.mutate(create, ["input": ["id": "n1", "text": "one"]])
    await first.close()
    let again = try await t.local(path: path)
    let notes = try await again.query(list).notes
    try t.main(notes.first?["text"] == "one", "opened again it answers \(notes)")

    let wrong = try await t.error("a wrong schema") {
        _ = try await Tombolo.open(schema: "type Note @model { id: ID! text: Strin }", path: t.file())
    }
    guard case .schema(let detail) = wrong else { throw Failure("a wrong schema: \(wrong)") }
    try t.expect(detail.contains("schema.graphql:1:"), "no place in: \(detail)")
    let nonsense = try await t.error("a wrong URL") {
        _ = try await Tombolo.open(schema: t.schema, path: t.file(), url: "nonsense")
    }
    guard case .endpoint = nonsense else { throw Failure("a wrong URL: \(nonsense)") }
    let foreign = t.file()
    let words = "not a database, whatever its name says"
    let bytes = Data(String(repeating: words, count: 4096 / words.utf8.count + 1).utf8.prefix(4096))
    try bytes.write(to: URL(fileURLWithPath: foreign))
    let refused = try await t.error("no database") { _ = try await Tombolo.open(schema: t.schema, path: foreign) }
    guard case .open = refused else { throw Failure("no database: \(refused)") }
    try t.expect(!refused.canRetry && !refused.needsSignIn, "what is no database may be tried again")
    try t.expect(try Data(contentsOf: URL(fileURLWithPath: foreign)) == bytes, "the file has been changed")
}

@Sendable private func offlineEdits(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.stop()
    let client = try await t.client(of: server)
    for id in ["n1", "n2", "n3"] { try await client.mutate(create, ["input": ["id": .string(id), "text": "first"]]) }
    let newest = try await client.mutate(update, ["input": ["id": "n1", "text": "second"]]).number
    try await client.mutate(delete, ["input": ["id": "n2"]])
    let notes = try await client.query(list).notes
    try t.expect(notes.map { $0["id"] }, is: ["n1", "n3"], "the notes")
    try t.expect(notes[0]["text"], is: "second", "n1's text")
    let outbox = try await client.outbox()
    try t.expect(!outbox.isEmpty && outbox.allSatisfy { $0.model == "Note" }, "the outbox: \(outbox)")
    try t.expect(try client.status.pending > 0, "nothing is pending")
    let ofThird = try await client.mutations(MutationFilter(model: "Note", key: ["n3"]))
    try await server.start()
    let outcome = try await t.outcome(client, newest)
    try t.main(outcome == .applied, "n1's newest mutation ended \(outcome)")
    for mutation in ofThird { try t.expect(try await t.outcome(client, mutation.number), is: .applied, "n3's") }
    try await t.becomesSettled(client)
    let there = try await server.notes()
    try t.expect(there.map { $0["id"] }, is: ["n1", "n3"], "the server's notes")
    try t.expect(there[0]["text"], is: "second", "n1's text on the server")
}

@Sendable private func liveQuery(_ t: Trial) async throws {
    let server = try await t.server()
    let client = try await t.client(of: server)
    try await t.becomesLive(client)
    let open = "query { listNotes(filter: { done: { ne: true } }) { items { id } } }"
    let answers = Reader(try client.watch(open))
    func next(_ ids: [String]) async throws {
        let answer = try await answers.next()
        try t.expect(answer?.ids ?? ["the end"], is: ids, "the live query")
    }
    try await next([])
    try await client.mutate(create, ["input": ["id": "n1", "text": "one"]])
    try await next(["n1"])
    try await server.writeNote("n2", text: "two")
    try await next(["n1", "n2"])
    try await client.mutate(createTally, ["id": "t1"])
    try await client.mutate(create, ["input": ["id": "n3", "text": "three"]])
    let third = try await answers.next()
    try t.main(third?.ids == ["n1", "n2", "n3"], "after a tally and n3: \(String(describing: third?.ids))")
    try await client.mutate(update, ["input": ["id": "n2", "done": true]])
    try await next(["n1", "n3"])
}

@Sendable private func conflict(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.writeNote("n1", text: "a", done: false)
    let client = try await t.client(of: server)
    try await t.becomesLive(client)
    try await client.setOnline(false)
    let done = try await client.mutate(update, ["input": ["id": "n1", "done": true]]).number
    try await server.update("Note", ["id": "n1", "text": "b"])
    try await client.setOnline(true)
    let first = try await t.outcome(client, done)
    try t.expect(first.tookEffect, "the first ended \(first)")
    try await t.becomes("b and done", client, list) { $0.notes.first?["text"] == "b" && $0.notes.first?["done"] == true }
    let there = try await server.notes().first
    try t.expect(there?["text"] == "b" && there?["done"] == true, "the server holds \(String(describing: there))")

    try await t.becomesSettled(client)
    try await client.setOnline(false)
    let mine = try await client.mutate(update, ["input": ["id": "n1", "text": "mine"]]).number
    try await server.update("Note", ["id": "n1", "text": "theirs"])
    try await client.setOnline(true)
    let second = try await t.outcome(client, mine)
    try t.main(second == .merged, "both have set the text, and it ended \(second)")
    try await t.becomes("theirs", client, list) { $0.notes.first?["text"] == "theirs" }
    try t.expect(try await server.notes().first?["text"], is: "theirs", "the server's text")
}

/// A seat that `client` has wanted and somebody else has taken: the number of the mutation that is refused.
func refusedSeat(_ t: Trial, _ server: Server, _ client: Client, mine: String, theirs: String) async throws
    -> MutationNumber
{
    try await t.becomesLive(client)
    try await client.setOnline(false)
    let number = try await client.mutate(setPassenger, ["who": .string(mine)]).number
    try t.expect(try await client.query(seat)["getSeat"]["passenger"], is: .string(mine), "the passenger at once")
    try await server.update("Seat", ["id": "s1", "passenger": .string(theirs)])
    try await client.setOnline(true)
    return number
}

@Sendable private func refusal(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.graphql("mutation { createSeat(input: { id: \"s1\" }) { id } }")
    let client = try await t.client(of: server)
    let events = try client.events()
    let number = try await refusedSeat(t, server, client, mine: "ada", theirs: "bob")
    let outcome = try await t.outcome(client, number)
    guard case .rejected(let code, let detail) = outcome else { throw Failure("it ended \(outcome)") }
    try t.main(code == "ConflictUnhandled" && !detail.isEmpty, "it was refused with \(code): \(detail)")
    try await t.becomes("decided", events) { $0 == .decided(number: number, outcome: outcome) }
    try await t.becomes("bob", client, seat) { $0["getSeat"]["passenger"] == "bob" }
    let outbox = try await client.outbox()
    try t.expect(outbox.map(\.state), is: [.rejected], "the outbox")
    try t.expect(outbox[0].reasonCode, is: "ConflictUnhandled", "its code")
    try t.expect(outbox[0].reason?.isEmpty == false, "it has no reason")
    try await client.discard(number)
    try t.expect(try await client.outbox().isEmpty, "the outbox is not empty")
}

private struct OwnError: Error, Equatable {}

@Sendable private func transaction(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.graphql("mutation { createSeat(input: { id: \"s1\" }) { id } }")
    let client = try await t.client(of: server, offline: true)
    let two = try await client.transaction { t in
        t.mutate(create, ["input": ["id": "a", "text": "1"]])
        t.mutate(create, ["input": ["id": "b", "text": "2"]])
    }
    try t.expect(Set(two.numbers).count, is: 2, "numbers")
    let outbox = try await client.outbox()
    try t.expect(outbox.count == 2 && Set(outbox.map(\.transaction)).count == 1, "the outbox: \(outbox)")
    let unknown = try await t.error("an update of no note") {
        try await client.transaction { t in
            t.mutate(create, ["input": ["id": "c", "text": "3"]])
            t.mutate(update, ["input": ["id": "nobody", "text": "3"]])
        }
    }
    guard case .unknownRecord(_, "Note") = unknown else { throw Failure("an update of no note: \(unknown)") }
    do {
        try await client.transaction { t in
            t.mutate(create, ["input": ["id": "d", "text": "4"]])
            throw OwnError()
        }
        throw Failure("the body's error was lost")
    } catch is OwnError {}
    try t.expect(try await client.query(list).ids, is: ["a", "b"], "the notes")
    try t.expect(try await client.outbox().count, is: 2, "mutations in the outbox")
    try await client.setOnline(true)
    try await t.becomesLive(client)
    try await t.becomesSettled(client)
    try await client.setOnline(false)
    let both = try await client.transaction { t in
        t.mutate(setPassenger, ["who": "ada"])
        t.mutate(create, ["input": ["id": "n9", "text": "nine"]])
    }
    try await server.update("Seat", ["id": "s1", "passenger": "bob"])
    try await client.setOnline(true)
    for number in both.numbers {
        let outcome = try await t.outcome(client, number)
        guard case .rejected = outcome else { throw Failure("mutation \(number) ended \(outcome)") }
    }
    try await t.becomes("without n9", client, list) { $0.ids == ["a", "b"] }
    let there = try await server.notes().map { $0["id"] }
    try t.main(there == ["a", "b"], "the server has \(there)")
}

@Sendable private func suspendAndResume(_ t: Trial) async throws {
    let server = try await t.server()
    let client = try await t.client(of: server)
    try await t.becomesLive(client)
    let answers = Reader(try client.watch(list))
    try t.expect(try await answers.next()?.ids, is: [], "the live query at first")
    try await client.suspend()
    try t.expect(try client.isSuspended, "it does not say that it is suspended")
    let queried = try await t.error("a query") { _ = try await client.query(list) }
    try t.main(queried == .suspended, "a query failed with \(queried)")
    let mutated = try await t.error("a mutation") { try await client.mutate(create, ["input": ["id": "x", "text": "x"]]) }
    try t.expect(mutated, is: .suspended, "a mutation")
    try await server.writeNote("n1", text: "one")
    try await client.suspend()
    try await client.resume()
    try await client.resume()
    try t.expect(try await answers.next()?.ids, is: ["n1"], "the live query")
    try await t.becomesLive(client)

    let offline = try await t.client(of: server, offline: true)
    try await offline.mutate(create, ["input": ["id": "n2", "text": "two"]])
    let report = try await offline.syncOnce(budget: .seconds(20))
    try t.expect(report.pushed == 1 && report.pending == 0 && report.isUpToDate, "the report: \(report)")
    try await t.becomes("offline", offline) { $0.link == .offline }
}

@Sendable private func cancel(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.stop()
    let client = try await t.client(of: server)
    let number = try await client.mutate(create, ["input": ["id": "n1", "text": "one"]]).number
    let outcome = Task { _ = try await client.outcome(number) }
    let sync = Task { _ = try await client.syncOnce(budget: .seconds(600)) }
    // Both are under way when the client has answered something that was asked after them.
    _ = try await client.query(list)
    let clock = ContinuousClock()
    let begun = clock.now
    outcome.cancel()
    sync.cancel()
    for (name, task) in [("outcome", outcome), ("syncOnce", sync)] {
        do {
            try await within(seconds: 30, { "\(name) went on" }) { try await task.value }
            throw Failure("\(name) ended without an error")
        } catch is CancellationError {}
    }
    try t.main(clock.now - begun < .seconds(5), "they ended after \(clock.now - begun)")
    try t.expect(try await client.query(list).ids, is: ["n1"], "the client")
    try await server.start()
    try t.expect(try await t.outcome(client, number), is: .applied, "the outcome, asked for again")
}

@Sendable private func signOut(_ t: Trial) async throws {
    let server = try await t.server()
    let accounts = Accounts(folder: t.folder + "/accounts")
    try FileManager.default.createDirectory(atPath: accounts.folder, withIntermediateDirectories: true)
    let path = try accounts.path("ada")
    func ada(account: String = "ada", offline: Bool) async throws -> Client {
        t.keep(
            try await Tombolo.open(
                schema: t.schema, path: path, url: server.url, credential: .apiKey(server.key), account: account,
                offline: offline))
    }
    let first = try await ada(offline: true)
    try await first.mutate(create, ["input": ["id": "n1", "text": "one"]])
    let kept = try await first.signOut(.keepSealed)
    try t.main(kept.kept == 1 && kept.sent == 0 && kept.discarded == 0, "keeping it sealed: \(kept)")
    try t.expect(try await t.error("a query") { _ = try await first.query(list) }, is: .signedOut, "a query")
    let files = try await accounts.list()
    try t.expect(files.map(\.account) == ["ada"] && files[0].isSealed && files[0].unsent == 1, "accounts: \(files)")
    let bobs = try await t.error("her file for bob") { _ = try await ada(account: "bob", offline: true) }
    guard case .wrongAccount = bobs else { throw Failure("her file for bob: \(bobs)") }
    let second = try await ada(offline: false)
    try await t.becomesSettled(second)
    try t.expect(try await server.notes().map { $0["id"] }, is: ["n1"], "the server's notes")
    try await second.mutate(create, ["input": ["id": "n2", "text": "two"]])
    let sent = try await second.signOut(.sendFirst(budget: .seconds(20)))
    try t.expect(sent.kept == 0, "sending first: \(sent)")
    try t.expect(try await server.notes().map { $0["id"] }, is: ["n1", "n2"], "the server's notes")
    try t.expect(!FileManager.default.fileExists(atPath: path), "the file is still there")
    let evePath = try accounts.path("eve")
    let eve = t.keep(
        try await Tombolo.open(
            schema: t.schema, path: evePath, url: server.url, credential: .apiKey(server.key), account: "eve", offline: true))
    try await eve.mutate(create, ["input": ["id": "n3", "text": "three"]])
    let discarded = try await eve.signOut(.discard)
    try t.expect(discarded.discarded, is: 1, "discarded")
    try t.expect(!FileManager.default.fileExists(atPath: evePath), "eve's file is still there")
}

@Sendable private func tokenExpiry(_ t: Trial) async throws {
    let server = try await t.server()
    let (calls, rig) = (Box(0), t.rig)
    let client = t.keep(
        try await Tombolo.open(
            schema: t.schema, path: t.file(), url: server.url,
            credentials: {
                let call = calls.with { calls -> Int in
                    calls += 1
                    return calls
                }
                return .token(try await rig.token("ada", seconds: call == 1 ? 0 : 600))
            }))
    let entry = try await client.mutate(createDiary, ["id": "d1", "text": "mine"]).number
    try t.expect(try await client.query(diary)["listDiaries"]["items"].array?.count, is: 1, "the diary")
    try t.expect(try await t.outcome(client, entry), is: .applied, "the entry")
    try await t.becomesSettled(client)
    let asked = calls.with { $0 }
    try t.main(asked >= 2, "the callback was called \(asked) times")
    try t.expect(try await server.graphql(diary, user: "ada")["listDiaries"]["items"].array?.count, is: 1, "as ada")
    try t.expect(try await server.graphql(diary, user: "bob")["listDiaries"]["items"].array?.count, is: 0, "as bob")

    let second = t.keep(
        try await Tombolo.open(
            schema: t.schema, path: t.file(), url: server.url,
            credential: .token(try await rig.token("ada", seconds: 0)), offline: true))
    let events = try second.events()
    try await second.setOnline(true)
    try await t.becomes("asked for a token", events) { $0 == .needToken }
    try await t.becomes("paused", second) { $0.link == .paused }
    try await second.mutate(createDiary, ["id": "d2", "text": "more"])
    let texts = try await second.query(diary)["listDiaries"]["items"].array ?? []
    try t.expect(texts.contains { $0["id"] == "d2" }, "the entry is not there")
    let refused = try await t.error("syncOnce") { try await second.syncOnce(budget: .seconds(20)) }
    guard case .unauthorized = refused, refused.needsSignIn else { throw Failure("syncOnce: \(refused)") }
    try await second.setCredential(.token(try await rig.token("ada", seconds: 600)))
    try await t.becomesLive(second)
    try await t.becomesSettled(second)
}
