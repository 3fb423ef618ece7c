import Foundation
import Tombolo

/// "What an app watches and decides".
let watched: [String: @Sendable (Trial) async throws -> Void] = [
    "status-and-events": statusAndEvents, "outbox-and-retry": outboxAndRetry, "scopes": scopes,
]

@Sendable private func statusAndEvents(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.stop()
    let client = try await t.client(of: server)
    let statuses = Reader(try client.statuses())
    try t.expect(try await statuses.next() != nil, "the stream has no current value")
    try await t.becomes("waiting, with its trouble", client) { $0.link == .waiting && $0.lastError != nil }
    let events = try client.events()
    let number = try await client.mutate(create, ["input": ["id": "n1", "text": "one"]]).number
    try t.expect(try client.status.pending, is: 1, "pending")
    try await server.start()
    try await t.becomes("decided", events) { $0 == .decided(number: number, outcome: .applied) }
    try await t.becomes("live and settled", client) { $0.link == .live && $0.pending == 0 }
    guard let mutation = try await client.mutation(number) else { throw Failure("there is no mutation \(number)") }
    try t.main(mutation.state == .applied && mutation.isSettled, "the mutation says \(mutation)")
    try t.expect(
        mutation.model == "Note" && mutation.kind == .create && mutation.key == ["n1"] && mutation.values["text"] == "one",
        "the mutation says \(mutation)")
}

@Sendable private func outboxAndRetry(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.graphql("mutation { createSeat(input: { id: \"s1\" }) { id } }")
    let client = try await t.client(of: server, offline: true)
    let first = try await client.mutate(create, ["input": ["id": "n1", "text": "one"]]).number
    let second = try await client.mutate(create, ["input": ["id": "n2", "text": "two"]]).number
    let outbox = try await client.outbox()
    try t.expect(outbox.map(\.number), is: [first, second], "the outbox")
    try t.expect(outbox.allSatisfy { $0.state == .queued }, "the outbox: \(outbox)")
    try t.expect(outbox.map { $0.values["text"] }, is: ["one", "two"], "its values")
    try await client.discard(first)
    try t.expect(try await t.outcome(client, first), is: .discarded, "the first")
    try t.expect(try await client.query(list).ids, is: ["n2"], "the notes")
    let state = try await t.error("retry of what is queued") { try await client.retry(second) }
    guard case .wrongState = state else { throw Failure("retry of what is queued: \(state)") }
    let nobody = try await t.error("discard of 999") { try await client.discard(999) }
    guard case .unknownMutation(_, 999) = nobody else { throw Failure("discard of 999: \(nobody)") }
    try await client.setOnline(true)
    try await t.becomesSettled(client)

    let refused = try await refusedSeat(t, server, client, mine: "ada", theirs: "bob")
    guard case .rejected = try await t.outcome(client, refused) else { throw Failure("it was not refused") }
    let rejected = try await client.mutations(MutationFilter(model: "Seat", states: [.rejected])).map(\.number)
    try t.expect(rejected, is: [refused], "rejected mutations of seats")
    try t.expect(try await client.mutations(MutationFilter(model: "Tally")).isEmpty, "there are mutations of tallies")
    // What is tried again is an edit of what the client holds by then.
    try await t.becomes("bob", client, seat) { $0["getSeat"]["passenger"] == "bob" }
    let edited = try await client.editAndRetry(refused, values: ["passenger": "carol"])
    guard let number = edited.first else { throw Failure("no new number") }
    let outcome = try await t.outcome(client, number)
    try t.main(number != refused && outcome == .applied, "edited, it ended \(outcome)")
    try await t.becomesSettled(client)
    try t.expect(try await server.graphql(seat)["getSeat"]["passenger"], is: "carol", "the server's passenger")

    let again = try await refusedSeat(t, server, client, mine: "dora", theirs: "eve")
    guard case .rejected = try await t.outcome(client, again) else { throw Failure("it was not refused") }
    try await t.becomes("eve", client, seat) { $0["getSeat"]["passenger"] == "eve" }
    guard let retried = try await client.retry(again).first else { throw Failure("no new number") }
    try t.expect(try await t.outcome(client, retried), is: .applied, "tried again")
}

@Sendable private func scopes(_ t: Trial) async throws {
    let server = try await t.server()
    try await server.writeNote("n1", text: "one", done: true)
    try await server.writeNote("n2", text: "two", done: false)
    let done = Scope("Note", filter: ["done": ["eq": true]])
    let client = try await t.client(of: server, scopes: [done])
    try await t.becomesLive(client)
    let ids = try await client.query(list).ids
    try t.main(ids == ["n1"], "the scope gives \(ids)")
    try t.expect(try client.scopes.map(\.scope), is: [done], "the scopes")
    try await client.setScope(Scope("Note"))
    try await t.becomes("both notes", client, list) { $0.ids == ["n1", "n2"] }
    try t.expect(try client.scopes.map(\.scope), is: [Scope("Note")], "the scopes")
    try await client.removeScope("Note")
    try await t.becomes("no note", client, list) { $0.ids.isEmpty }
    try t.expect(try client.scopes.isEmpty, "there are scopes")
    let model = try await t.error("a scope of nonsense") { try await client.setScope(Scope("Nonsense")) }
    guard case .unknownModel(_, "Nonsense") = model else { throw Failure("a scope of nonsense: \(model)") }
    let field = try await t.error("a filter on nonsense") {
        try await client.setScope(Scope("Note", filter: ["nonsense": ["eq": true]]))
    }
    guard case .request = field else { throw Failure("a filter on nonsense: \(field)") }
}
