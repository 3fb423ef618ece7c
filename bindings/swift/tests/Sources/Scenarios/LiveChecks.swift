import Foundation
import GeneratedRig
import Tombolo

/// What live queries do where things go wrong, or nobody looks.
@MainActor let liveChecks: [(String, @MainActor (Client) async throws -> Void)] = [
    ("a live query goes on after an error", goesOn), ("what cannot be read holds up nothing", unreadableItems),
    ("a live query that nobody reads is none", unread),
    ("a record in another shape", anotherShape), ("a large list leaves the main actor free", largeList),
]

private func expect(_ holds: Bool, _ what: @autoclosure () -> String) throws {
    if !holds { throw Failure(what()) }
}

/// A note whose text is a number, which not every note's is: as a type of the app's own, or of another release.
private struct Odd: SyncedModel {
    struct Fields: Sendable {}
    static let model = Note.model
    static let fields = Fields()
    let id: String
    let number: Int
    var tomboloKey: NoteKey { NoteKey(id) }
    var tomboloValues: [String: JSONValue] { ["id": .string(id), "text": .string("number \(number)")] }

    enum CodingKeys: String, CodingKey { case id, number = "text" }

    init(id: String, number: Int) { (self.id, self.number) = (id, number) }

    init(from decoder: any Decoder) throws {
        let container = try decoder.container(keyedBy: CodingKeys.self)
        id = try container.decode(String.self, forKey: .id)
        let text = try container.decode(String.self, forKey: .number)
        guard let number = Int(text) else {
            // As Foundation does with a number that does not fit.
            throw DecodingError.dataCorruptedError(forKey: .number, in: container, debugDescription: "`\(text)` is no number")
        }
        self.number = number
    }
}

private struct OddNote: Decodable, Sendable { let createNote: Odd }

private let createOdd = "mutation { createNote(input: { id: \"n0\", text: \"number 0\" }) { id text } }"

/// The file is read without an answer now and then, as when it is busy.
@MainActor
private func goesOn(_ client: Client) async throws {
    let asked = Box(0)
    let live = LiveQuery<Int> {
        AsyncThrowingStream {
            let number = asked.with { asked in
                asked += 1
                return asked
            }
            switch number {
            case 1, 3: return number
            case 2: throw TomboloError.busy(detail: "held")
            default: throw TomboloError.closed
            }
        }
    }
    while live.error == nil { await Task.yield() }
    try expect(live.value == 1 && live.error as? TomboloError == .busy(detail: "held") && live.isLive, "\(String(describing: live.error))")
    while live.value != 3 { await Task.yield() }
    while live.isLive { await Task.yield() }
    try expect(live.value == 3 && live.error as? TomboloError == .closed, "it went on after its end")
}

/// An item that is not of the type has been taken, so that the next one is asked for at once. With pauses these took half a minute.
@MainActor
private func unreadableItems(_ client: Client) async throws {
    let asked = Box(0)
    let live = LiveQuery<Int> {
        AsyncThrowingStream {
            let number = asked.with { asked in
                asked += 1
                return asked
            }
            switch number {
            case 1...5: throw TomboloError.shape(detail: "no number")
            case 6: return number
            default: return nil
            }
        }
    }
    let began = ContinuousClock().now
    while live.isLive { await Task.yield() }
    let took = began.duration(to: ContinuousClock().now)
    try expect(live.value == 6 && live.error == nil && took < .seconds(15), "\(String(describing: live.value)) after \(took)")
}

@MainActor
private func unread(_ client: Client) async throws {
    // As SwiftUI does with a state's initial value each time that the parent is drawn.
    let some = (1...10).map { _ in client.live(Note.all) }
    try expect(client.liveQueriesOpen == 0, "\(client.liveQueriesOpen) are open")
    while some[0].value == nil { await Task.yield() }
    try expect(client.liveQueriesOpen == 1, "\(client.liveQueriesOpen) are open")
    some[1].stop()
    try expect(some[1].value == nil && !some[1].isLive && client.liveQueriesOpen == 1, "one that was stopped began")
}

@MainActor
private func anotherShape(_ client: Client) async throws {
    let told = Box<[Report]>([])
    setReporter { report in told.with { $0.append(report) } }
    defer { setReporter(nil) }
    let saved = try await client.save(Odd(id: "n1", number: 1))
    try expect(saved.kind == .created && saved.record == nil, "\(saved)")
    try expect(try await client.outbox().map(\.number) == [saved.number], "it is not in the outbox")
    do {
        let list = try await client.fetch(RecordQuery<Odd>())
        throw Failure("of one record, which is not of the type, there came \(list)")
    } catch TomboloError.shape(let detail) {
        try expect(detail.contains("text`") && !detail.contains("number 1"), detail)
    }
    let written: Written<OddNote> = try await client.run(mutation: createOdd, [:])
    try expect(written.value == nil && written.number > 0, "\(written)")
    try expect(written.problems.map(\.errorType) == ["Shape"] && !"\(written)".contains("number 0"), "\(written)")
    try await client.write(CreateNoteInput(id: "n2", text: "2"))
    try expect(try await client.fetch(RecordQuery<Odd>()).map(\.number) == [2], "the list has not what can be read")
    let live = client.live(RecordQuery<Odd>())
    while live.value == nil { await Task.yield() }
    try await client.write(CreateNoteInput(id: "n3", text: "3"))
    while live.value?.map(\.number).sorted() != [2, 3] { await Task.yield() }
    try expect(live.error == nil, "\(String(describing: live.error))")
    let reports = told.with { $0 }
    try expect(
        !reports.isEmpty && reports.allSatisfy { $0.kind == "shape" && !$0.detail.contains("number 1") }, "\(reports)")
    try expect(reports.first?.detail.contains("Note") == true, "what was saved and could not be read was not reported: \(reports)")
}

/// While a large list is read and decoded the main actor goes on. A machine that is busy holds everything up now and then, which is
/// why the best of some attempts counts: what decodes on the main actor does so each time.
@MainActor
private func largeList(_ client: Client) async throws {
    for start in stride(from: 0, to: 8000, by: 100) {
        try await client.transaction { t in
            for number in start..<start + 100 { t.write(CreateNoteInput(text: "\(number)", stars: .value(number))) }
        }
    }
    var tries: [String] = []
    for _ in 1...5 {
        let (whole, longest) = try await held(by: client)
        if longest < whole / 5 { return }
        tries.append("\(longest) of \(whole)")
    }
    throw Failure("the main actor was held for \(tries)")
}

/// How long it takes to fetch all notes, and the longest that the main actor did nothing else meanwhile.
@MainActor
private func held(by client: Client) async throws -> (Duration, Duration) {
    let clock = ContinuousClock()
    let (began, isDone) = (clock.now, Box(false))
    let list = Task { @MainActor in
        let list = try await client.fetch(Note.all)
        isDone.with { $0 = true }
        return list.count
    }
    var (last, longest) = (began, Duration.zero)
    while !isDone.with({ $0 }), clock.now < began + .seconds(30) {
        await Task.yield()
        let now = clock.now
        (last, longest) = (now, max(longest, last.duration(to: now)))
    }
    let whole = began.duration(to: clock.now)
    try expect(try await list.value == 8000, "not all notes came")
    return (whole, longest)
}
