import Foundation
import GeneratedRig
@_spi(Checks) import Tombolo

/// When a client has its file: what `AppLifecycle` and `BackgroundSync` do on a phone, without a phone.
@MainActor let waking: [(String, @MainActor (Client) async throws -> Void)] = [
    ("a round in the background leaves the client to the app", roundAndApp),
    ("rounds that overlap do not suspend each other", overlappingRounds),
    ("a round without a foreground ends suspended", roundAlone),
    ("an app that leaves sends, and lets go", leaving),
    ("an app that comes back while it sends keeps its client", comingBack),
    ("sending is given up in time", givingUp),
    ("an app that leaves waits for work", leavingWork), ("work is given up in time", workExpires),
    ("a client that could not be resumed is tried again", resumeFails),
    ("a client is awake for a round", realClient),
]

/// A client that is open or not, and what was done to it.
@MainActor
private final class Fake {
    private(set) var isOpen = true
    private(set) var log: [String] = []
    private var failures: [any Error] = []
    private let sends: Gate?

    init(sends: Gate? = nil) { self.sends = sends }

    func fail(_ errors: [any Error]) { failures = errors }

    func resume() throws {
        log.append("resume")
        if !failures.isEmpty { throw failures.removeFirst() }
        isOpen = true
    }

    func suspend() {
        log.append("suspend")
        isOpen = false
    }

    func send() async throws {
        log.append("send")
        try await sends?.pass()
        log.append("sent")
    }

    var actions: Wakefulness.Actions {
        Wakefulness.Actions(
            resume: { try await self.resume() }, suspend: { await self.suspend() }, send: { try await self.send() })
    }
}

/// Lets one through when it is opened.
private final class Gate: Sendable {
    private let (stream, continuation) = AsyncStream.makeStream(of: Void.self)
    private let reached = Box(false)

    func open() { continuation.finish() }
    func pass() async throws {
        reached.with { $0 = true }
        for await _ in stream {}
        try Task.checkCancellation()
    }
    /// Waits until somebody is there.
    func isReached() async { while !reached.with({ $0 }) { await Task.yield() } }
}

private func expect(_ holds: Bool, _ what: @autoclosure () -> String) throws {
    if !holds { throw Failure(what()) }
}

@MainActor
private func roundAndApp(_ client: Client) async throws {
    let (fake, gate) = (Fake(), Gate())
    let wakefulness = Wakefulness(fake.actions, isForeground: true)
    await wakefulness.leave()
    try expect(!fake.isOpen, "it is open in the background")
    let round = Task { try await wakefulness.awake { try await gate.pass() } }
    await gate.isReached()
    try expect(fake.isOpen, "it is not open for the round")
    wakefulness.enter()
    gate.open()
    try await round.value
    try expect(fake.isOpen, "the round suspended it under the app")
    await wakefulness.leave()
    try expect(!fake.isOpen, "it is open in the background")
}

@MainActor
private func overlappingRounds(_ client: Client) async throws {
    let (fake, first, second) = (Fake(), Gate(), Gate())
    let wakefulness = Wakefulness(fake.actions, isForeground: false)
    let refresh = Task { try await wakefulness.awake { try await first.pass() } }
    let processing = Task { try await wakefulness.awake { try await second.pass() } }
    await first.isReached()
    await second.isReached()
    first.open()
    try await refresh.value
    try expect(fake.isOpen, "the first suspended it under the second")
    processing.cancel()
    guard case .failure(let error) = await processing.result, error is CancellationError else {
        throw Failure("a cancelled round did not end as one")
    }
    try expect(!fake.isOpen, "it is open after the last")
}

@MainActor
private func roundAlone(_ client: Client) async throws {
    // As the system launches it: opened for the task, and never in the foreground.
    let fake = Fake()
    let wakefulness = Wakefulness(fake.actions, isForeground: false)
    while fake.isOpen { await Task.yield() }
    let wasOpen = try await wakefulness.awake { await fake.isOpen }
    try expect(wasOpen, "it was not open for the round")
    try expect(!fake.isOpen, "nobody suspended it")
    fake.fail([TomboloError.open(detail: "held", code: "in_use")])
    do {
        try await wakefulness.awake { throw Failure("it worked with a client that is not open") }
        throw Failure("a client that could not be resumed was no error")
    } catch TomboloError.open {}
    try expect(fake.log.last == "suspend", "\(fake.log)")
}

@MainActor
private func leaving(_ client: Client) async throws {
    let fake = Fake()
    let wakefulness = Wakefulness(fake.actions, isForeground: true)
    await wakefulness.leave()
    await wakefulness.leave()
    try expect(fake.log == ["send", "sent", "suspend", "suspend"], "\(fake.log)")
}

@MainActor
private func comingBack(_ client: Client) async throws {
    let gate = Gate()
    let fake = Fake(sends: gate)
    let wakefulness = Wakefulness(fake.actions, isForeground: true)
    let left = Task { await wakefulness.leave() }
    await gate.isReached()
    wakefulness.enter()
    gate.open()
    await left.value
    try expect(fake.isOpen && !fake.log.contains("suspend"), "\(fake.log)")
}

@MainActor
private func givingUp(_ client: Client) async throws {
    let gate = Gate()
    let fake = Fake(sends: gate)
    let wakefulness = Wakefulness(fake.actions, isForeground: true)
    let left = Task { await wakefulness.leave() }
    await gate.isReached()
    wakefulness.expire()
    await left.value
    try expect(fake.log == ["send", "suspend"], "\(fake.log)")
}

@MainActor
private func leavingWork(_ client: Client) async throws {
    let (fake, gate, hasLeft) = (Fake(), Gate(), Box(false))
    let wakefulness = Wakefulness(fake.actions, isForeground: true)
    let work = Task { try await wakefulness.awake { try await gate.pass() } }
    await gate.isReached()
    let left = Task {
        await wakefulness.leave()
        hasLeft.with { $0 = true }
        return fake.isOpen
    }
    for _ in 1...1000 { await Task.yield() }
    try expect(!hasLeft.with { $0 } && fake.isOpen, "the system may suspend the app while work has the file")
    gate.open()
    try await work.value
    try expect(await !left.value, "it is open when the app may be suspended")
}

@MainActor
private func workExpires(_ client: Client) async throws {
    let (fake, gate) = (Fake(), Gate())
    let wakefulness = Wakefulness(fake.actions, isForeground: true)
    let work = Task { try await wakefulness.awake { try await gate.pass() } }
    await gate.isReached()
    let left = Task { await wakefulness.leave() }
    for _ in 1...1000 { await Task.yield() }
    wakefulness.expire()
    await left.value
    try expect(!fake.isOpen, "it is open when the app may be suspended")
    guard case .failure(let error) = await work.result, error is CancellationError else { throw Failure("it was not cancelled") }
}

@MainActor
private func resumeFails(_ client: Client) async throws {
    let (fake, told) = (Fake(), Box<[Report]>([]))
    setReporter { report in told.with { $0.append(report) } }
    defer { setReporter(nil) }
    let wakefulness = Wakefulness(fake.actions, isForeground: true, firstPause: .milliseconds(1))
    await wakefulness.leave()
    let busy = TomboloError.open(detail: "held", code: "in_use")
    fake.fail([busy, busy])
    wakefulness.enter()
    while !fake.isOpen { await Task.yield() }
    try expect(fake.log.filter { $0 == "resume" }.count == 3, "\(fake.log)")
    try expect(told.with { $0 }.map(\.kind) == ["lifecycle"], "\(told.with { $0 })")
}

@MainActor
private func realClient(_ client: Client) async throws {
    let wakefulness = Wakefulness(
        Wakefulness.Actions(
            resume: { try await client.resume() }, suspend: { try await client.suspend() }, send: {}),
        isForeground: false)
    let notes = try await wakefulness.awake { try await client.fetch(Note.all) }
    try expect(try notes.isEmpty && client.isSuspended, "it is not suspended after the round")
    wakefulness.enter()
    while try client.isSuspended { await Task.yield() }
    try expect(try await client.fetch(Note.all).isEmpty, "it holds notes")
}
