import Foundation
import Tombolo

/// "Bad input".
let badInput: [String: @Sendable (Trial) async throws -> Void] = [
    "call-after-close": callAfterClose, "two-threads-at-once": twoThreadsAtOnce,
    "call-from-within-a-callback": callFromWithinACallback, "callback-that-throws": callbackThatThrows,
    "rust-panic-becomes-an-error": rustPanic, "watch-stops-on-drop": watchStopsOnDrop, "bad-document": badDocument,
    "wrong-variables": wrongVariables, "api-drift": apiDrift,
]

@Sendable private func callAfterClose(_ t: Trial) async throws {
    let client = try await t.local()
    let (query, statuses, events) = (Reader(try client.watch(list)), Reader(try client.statuses()), Reader(try client.events()))
    _ = try await query.next()
    _ = try await statuses.next()
    await client.close()
    await client.close()
    let calls: [(String, () async throws -> Void)] = [
        ("query", { _ = try await client.query(list) }),
        ("mutate", { try await client.mutate(create, ["input": ["text": "x"]]) }),
        ("transaction", { try await client.transaction { t in t.mutate(create, ["input": ["text": "x"]]) } }),
        ("watch", { _ = try client.watch(list) }),
        ("outbox", { _ = try await client.outbox() }),
        ("outcome", { _ = try await client.outcome(1) }),
        ("setScope", { try await client.setScope(Scope("Note")) }),
        ("syncOnce", { try await client.syncOnce(budget: .seconds(1)) }),
        ("suspend", { try await client.suspend() }),
    ]
    for (name, call) in calls { try t.expect(try await t.error(name, call), is: .closed, name) }
    let ended = try await query.next() == nil
    try t.main(ended, "the live query did not end")
    while try await statuses.next() != nil {}
    while try await events.next() != nil {}
    try t.expect(try client.status.pending, is: 0, "the status")
}

@Sendable private func twoThreadsAtOnce(_ t: Trial) async throws {
    let client = try await t.local()
    let numbers = Box<[MutationNumber]>([])
    let failures = Box<[String]>([])
    let get = "query($id: ID!) { getNote(id: $id) { id } }"
    // Threads of the system, each of which waits for its own calls.
    let threads = (0..<8).map { thread in
        Task.detached {
            await onThread {
                for note in 0..<25 {
                    let id: JSONValue = .string("t\(thread)-\(note)")
                    do {
                        let number = try wait { try await client.mutate(create, ["input": ["id": id, "text": "x"]]).number }
                        numbers.with { $0.append(number) }
                        let found = try wait { try await client.query(get, ["id": id])["getNote"]["id"] }
                        if found != id { failures.with { $0.append("\(id) was not found") } }
                    } catch {
                        failures.with { $0.append("\(error)") }
                    }
                }
            }
        }
    }
    for thread in threads { await thread.value }
    try t.expect(failures.with { $0 }, is: [], "failures")
    try t.main(Set(numbers.with { $0 }).count == 200, "\(Set(numbers.with { $0 }).count) different numbers")
    try t.expect(try await client.query(list).ids.count, is: 200, "notes")
    let closing = (0..<2).map { _ in Task.detached { await onThread { try? wait { await client.close() } } } }
    try await within(seconds: 30, { "closing did not end" }) { for task in closing { await task.value } }
}

/// Runs a body on a thread of its own.
private func onThread(_ body: @escaping @Sendable () -> Void) async {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread {
            body()
            continuation.resume()
        }
    }
}

/// Blocks this thread until an asynchronous call has ended.
private func wait<Value: Sendable>(_ call: @escaping @Sendable () async throws -> Value) throws -> Value {
    let (done, result) = (DispatchSemaphore(value: 0), Box<Result<Value, any Error>?>(nil))
    Task.detached {
        do {
            let value = try await call()
            result.with { $0 = .success(value) }
        } catch {
            result.with { $0 = .failure(error) }
        }
        done.signal()
    }
    done.wait()
    guard let result = result.with({ $0 }) else { throw Failure("no result") }
    return try result.get()
}

@Sendable private func callFromWithinACallback(_ t: Trial) async throws {
    let server = try await t.server()
    let (client, answered) = (Box<Client?>(nil), Box(false))
    let opened = t.keep(
        try await Tombolo.open(
            schema: t.schema, path: t.file(), url: server.url,
            credentials: {
                guard let client = client.with({ $0 }) else { return nil }
                _ = try await client.query(list)
                try await client.mutate(createTally, ["id": "from-within"])
                answered.with { $0 = true }
                return .apiKey(server.key)
            }, offline: true))
    client.with { $0 = opened }
    try await opened.setOnline(true)
    try await t.becomesLive(opened)
    try await t.becomesSettled(opened)
    try t.main(answered.with { $0 }, "the callback was not answered")
    client.with { $0 = nil }

    var seen = 0
    let bodies = try opened.watch(list)
    for try await answer in bodies {
        seen += 1
        _ = try await opened.query(list)
        if answer.ids.isEmpty {
            try await opened.mutate(create, ["input": ["id": "n1", "text": "from within"]])
        } else {
            await opened.close()
        }
    }
    try t.expect(seen, is: 2, "answers of the live query")
}

@Sendable private func callbackThatThrows(_ t: Trial) async throws {
    let server = try await t.server()
    let reports = Box<[Report]>([])
    setReporter { report in reports.with { $0.append(report) } }
    defer { setReporter(nil) }
    let calls = Box(0)
    let client = t.keep(
        try await Tombolo.open(
            schema: t.schema, path: t.file(), url: server.url,
            credentials: {
                let first = calls.with { calls -> Bool in
                    calls += 1
                    return calls == 1
                }
                if first { throw Failure("no sign-in today") }
                return nil
            }))
    try await within(seconds: 30, { "the reporter was told nothing" }) {
        while reports.with({ $0.isEmpty }) { await Task.yield() }
    }
    try await t.becomes("paused", client) { $0.link == .paused }
    let told = reports.with { $0 }
    try t.main(
        told.contains { $0.kind == "callback" && $0.detail.contains("no sign-in today") }, "the reporter was told \(told)")
    try await client.mutate(create, ["input": ["id": "n1", "text": "one"]])
    try await client.setCredential(.apiKey(server.key))
    try await t.becomesLive(client)
    setReporter { _ in throw Failure("a reporter that throws") }
    let error = try await t.error("a panic") { try await panic("on purpose") }
    guard case .panicked = error else { throw Failure("a panic: \(error)") }
    try t.expect(try await client.query(list).ids, is: ["n1"], "the client")
}

@Sendable private func rustPanic(_ t: Trial) async throws {
    let reports = Box<[Report]>([])
    setReporter { report in reports.with { $0.append(report) } }
    defer { setReporter(nil) }
    let client = try await t.local()
    let error = try await t.error("a panic") { try await panic("words of a panic") }
    guard case .panicked(let detail) = error else { throw Failure("a panic: \(error)") }
    try t.main(detail.contains("words of a panic"), "its words: \(detail)")
    let atOnce = try await t.error("a panic at once") { try panicAtOnce("words at once") }
    guard case .panicked(let words) = atOnce, words.contains("words at once") else { throw Failure("\(atOnce)") }
    let told = reports.with { $0 }
    try t.expect(told.count == 2 && told.allSatisfy { $0.kind == "panic" }, "the reporter was told \(told)")
    try t.expect(try await client.query(list).ids, is: [], "the client")
    await client.close()
}

@Sendable private func watchStopsOnDrop(_ t: Trial) async throws {
    let client = try await t.local()
    let given = Box(0)
    let second = Reader(try client.watch(list))
    _ = try await second.next()
    let looking = Task {
        for try await _ in try client.watch(list) {
            given.with { $0 += 1 }
            try await Task.sleep(for: .seconds(600))
        }
    }
    try await within(seconds: 30, { "no first answer" }) { while given.with({ $0 }) == 0 { await Task.yield() } }
    try t.expect(client.liveQueriesOpen, is: 2, "open live queries")
    looking.cancel()
    _ = await looking.result
    try t.main(client.liveQueriesOpen == 1, "\(client.liveQueriesOpen) live queries are open")
    for id in ["a", "b", "c"] {
        try await client.mutate(create, ["input": ["id": .string(id), "text": "x"]])
        try t.expect(try await second.next()?.ids.last, is: id, "the second's newest note")
    }
    try t.expect(given.with { $0 }, is: 1, "answers that the first was given")
    for _ in 0..<1000 {
        // The iteration is left with its first answer, and nobody holds the stream.
        for try await _ in try client.watch(list) { break }
    }
    try t.expect(client.liveQueriesOpen, is: 1, "open live queries after 1,000 more")
    try await client.mutate(create, ["input": ["id": "d", "text": "x"]])
    try t.expect(try await second.next()?.ids.last, is: "d", "the second's newest note")
    // One that is stopped while it is waited for ends there.
    let waiting = Task {
        var answers = 0
        for try await _ in try client.watch(list) { answers += 1 }
        return answers
    }
    try await within(seconds: 30, { "it was not opened" }) { while client.liveQueriesOpen < 2 { await Task.yield() } }
    waiting.cancel()
    try t.expect(try await waiting.value <= 1, "it was given more than its first answer")
    try await within(seconds: 5, { "closing took more than 5 s" }) { await client.close() }
}

@Sendable private func badDocument(_ t: Trial) async throws {
    let client = try await t.local()
    let cases: [(String, String, () async throws -> Void)] = [
        ("a syntax error", "", { _ = try await client.query("{ listNotes {") }),
        ("an unknown field", "nonsense", { _ = try await client.query("{ listNotes { items { nonsense } } }") }),
        ("a mutation as a query", "", { _ = try await client.query(create, ["input": ["text": "x"]]) }),
        ("a mutation watched", "", { _ = try client.watch(create, ["input": ["text": "x"]]) }),
        ("a query as a mutation", "", { try await client.mutate(list) }),
        ("the empty document", "", { _ = try await client.query("") }),
    ]
    for (index, (name, word, call)) in cases.enumerated() {
        let error = try await t.error(name, call)
        guard case .request(let detail, let problems) = error else { throw Failure("\(name): \(error)") }
        try t.expect(!error.canRetry, "\(name) may be tried again")
        try t.expect(word.isEmpty || detail.contains(word), "\(name) does not name it: \(detail)")
        if index == 0 {
            let place = problems.first
            try t.main(place?.line != nil && place?.column != nil, "\(name) has no place: \(problems)")
        }
        try t.expect(try await client.query(list).ids, is: [], "a good query after \(name)")
    }
    let sync = try await t.error("syncNotes") { _ = try await client.query("{ syncNotes { items { id } } }") }
    guard case .needsNetwork = sync else { throw Failure("syncNotes: \(sync)") }
    try t.expect(try await client.outbox().isEmpty, "something was queued")
}

@Sendable private func wrongVariables(_ t: Trial) async throws {
    let client = try await t.local()
    let get = "query($id: ID!, $limit: Int, $priority: Priority) { getNote(id: $id) { id }"
        + " listNotes(limit: $limit, filter: { priority: { eq: $priority } }) { items { id } } }"
    let write = "mutation($id: ID!, $text: String!, $stars: Int, $priority: Priority) { createNote(input:"
        + " { id: $id, text: $text, stars: $stars, priority: $priority }) { id } }"
    let cases: [(String, String, Variables)] = [
        (get, "id", [:]), (get, "limit", ["id": "n", "limit": "many"]), (get, "id", ["id": nil]),
        (get, "priority", ["id": "n", "priority": "NONSENSE"]),
        (write, "text", ["id": "n"]), (write, "stars", ["id": "n", "text": "x", "stars": "many"]),
        (write, "text", ["id": "n", "text": nil]), (write, "priority", ["id": "n", "text": "x", "priority": "NONSENSE"]),
    ]
    for (document, variable, given) in cases {
        let error = try await t.error("\(given)") {
            if document.hasPrefix("query") {
                _ = try await client.query(document, given)
            } else {
                try await client.mutate(document, given)
            }
        }
        guard case .request(let detail, _) = error else { throw Failure("\(given): \(error)") }
        try t.expect(detail.contains(variable), "\(given): \(detail)")
    }
    try t.expect(try await client.outbox().isEmpty, "something was queued")
    // A variable that is no object cannot be given: the type does not allow it.
    let text = "\"quotes\" \\ line\nends\r\n \u{0} 🏝️ \u{200F}"
    try await client.mutate(write, ["id": "n1", "text": .string(text)])
    let back = try await client.query(list).notes.first?["text"].string
    try t.main(back == text, "the text came back as \(String(describing: back))")
}

@Sendable private func apiDrift(_ t: Trial) async throws {
    guard let library = ProcessInfo.processInfo.environment["TOMBOLO_LIBRARY"] else {
        throw Failure("TOMBOLO_LIBRARY does not name the library")
    }
    let drifted = try await t.rig.ask("POST", "/drifted-library", ["path": .string(library)])["path"].string ?? ""
    let with = try probe(library: library, t)
    try t.expect(with.code == 0 && with.words.contains("started"), "the real library: \(with)")
    let other = try probe(library: drifted, t)
    try t.main(other.code == 3 && other.words.contains("different releases"), "the drifted library: \(other)")
}

/// Starts this program anew with a library, to open a client and no more.
private func probe(library: String, _ t: Trial) throws -> (code: Int32, words: String) {
    let process = Process()
    process.executableURL = URL(fileURLWithPath: CommandLine.arguments[0])
    process.arguments = ["--probe", t.file()]
    var environment = ProcessInfo.processInfo.environment
    environment["LD_LIBRARY_PATH"] = URL(fileURLWithPath: library).deletingLastPathComponent().path
    process.environment = environment
    let pipe = Pipe()
    (process.standardOutput, process.standardError) = (pipe, pipe)
    try process.run()
    let words = String(decoding: pipe.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
    process.waitUntilExit()
    return (process.terminationStatus, words)
}
