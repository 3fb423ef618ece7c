import Foundation
import Tombolo

/// What did not hold.
struct Failure: Error, CustomStringConvertible {
    let description: String
    init(_ description: String) { self.description = description }
}

/// One run of one scenario.
final class Trial: Sendable {
    let rig: Rig
    let folder: String
    /// Turn round the expectation that matters.
    let isBroken: Bool
    let schema: String
    private let clients = Box<[Client]>([])
    private let servers = Box<[Server]>([])
    private let names = Box(0)

    init(rig: Rig, schema: String, folder: String, isBroken: Bool) throws {
        (self.rig, self.schema, self.folder, self.isBroken) = (rig, schema, folder, isBroken)
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    }

    /// Ends what the scenario has begun.
    func end() async {
        for client in clients.with({ $0 }) { await client.close() }
        for server in servers.with({ $0 }) { try? await server.remove() }
        try? FileManager.default.removeItem(atPath: folder)
    }

    // MARK: What scenarios begin with

    func server() async throws -> Server {
        let server = try await rig.server()
        servers.with { $0.append(server) }
        return server
    }

    /// A path of no file.
    func file() -> String {
        names.with { number in
            number += 1
            return "\(folder)/\(number).sqlite"
        }
    }

    func keep(_ client: Client) -> Client {
        clients.with { $0.append(client) }
        return client
    }

    /// A client of a server, on a fresh file, with its API key.
    func client(
        of server: Server, path: String? = nil, offline: Bool = false, scopes: [Scope]? = nil
    ) async throws -> Client {
        keep(
            try await Tombolo.open(
                schema: schema, path: path ?? file(), url: server.url, credential: .apiKey(server.key), offline: offline,
                scopes: scopes))
    }

    /// A client without a server.
    func local(path: String? = nil) async throws -> Client {
        keep(try await Tombolo.open(schema: schema, path: path ?? file()))
    }

    // MARK: What must hold

    func expect(_ holds: Bool, _ what: @autoclosure () -> String) throws {
        if !holds { throw Failure(what()) }
    }

    func expect<Value: Equatable>(_ actual: Value, is expected: Value, _ what: String) throws {
        if actual != expected { throw Failure("\(what): \(actual), not \(expected)") }
    }

    /// The expectation that the scenario is about; `--break` turns it round.
    func main(_ holds: Bool, _ what: @autoclosure () -> String) throws {
        try expect(holds != isBroken, isBroken ? "turned round on purpose: \(what())" : what())
    }

    /// The error that a call must end with.
    func error(_ what: String, _ call: () async throws -> Void) async throws -> TomboloError {
        do {
            try await call()
        } catch let error as TomboloError {
            return error
        } catch {
            throw Failure("\(what) failed with \(error), which is no TomboloError")
        }
        throw Failure("\(what) did not fail")
    }

    // MARK: What becomes

    /// The first item of a stream that is as wanted, within 30 s.
    @discardableResult
    func becomes<Item: Sendable>(
        _ what: String, _ stream: AsyncThrowingStream<Item, any Error>, _ wanted: @escaping @Sendable (Item) -> Bool
    ) async throws -> Item {
        let newest = Box<Item?>(nil)
        return try await within(seconds: 30, { "it never became \(what); last: \(String(describing: newest.with { $0 }))" }) {
            for try await item in stream {
                newest.with { $0 = item }
                if wanted(item) { return item }
            }
            throw Failure("the stream ended before it became \(what)")
        }
    }

    func becomes(_ what: String, _ client: Client, _ wanted: @escaping @Sendable (Status) -> Bool) async throws {
        try await becomes(what, try client.statuses(), wanted)
    }

    func becomesLive(_ client: Client) async throws {
        try await becomes("live", client) { $0.link == .live && $0.isUpToDate }
    }

    func becomesSettled(_ client: Client) async throws {
        try await becomes("settled", client) { $0.pending == 0 }
    }

    /// A query's answer becomes as wanted.
    func becomes(_ what: String, _ client: Client, _ document: String, _ wanted: @escaping @Sendable (Answer) -> Bool)
        async throws
    {
        try await becomes(what, try client.watch(document), wanted)
    }

    func outcome(_ client: Client, _ number: MutationNumber) async throws -> Outcome {
        try await within(seconds: 30, { "mutation \(number) was never decided" }) { try await client.outcome(number) }
    }
}

/// The body's value, or a failure when the time is up. A body that does not end even then, because a call of the library hangs,
/// is left behind: a task group would wait for it, and CI with it.
func within<Value: Sendable>(
    seconds: Double, _ what: @escaping @Sendable () -> String, _ body: @escaping @Sendable () async throws -> Value
) async throws -> Value {
    let work = Task { try await body() }
    return try await withTaskCancellationHandler {
        try await withCheckedThrowingContinuation { continuation in
            let waiting = Box<CheckedContinuation<Value, any Error>?>(continuation)
            let end = { @Sendable (result: Result<Value, any Error>) in
                waiting.with { waiting in
                    defer { waiting = nil }
                    return waiting
                }?.resume(with: result)
            }
            let timer = Task {
                guard (try? await Task.sleep(for: .seconds(seconds))) != nil else { return }
                end(.failure(Failure(what())))
                work.cancel()
            }
            Task {
                end(await work.result)
                timer.cancel()
            }
        }
    } onCancel: {
        work.cancel()
    }
}

/// The next item of a live query that is asked by hand.
final class Reader<Item: Sendable>: @unchecked Sendable {
    private var iterator: AsyncThrowingStream<Item, any Error>.AsyncIterator

    init(_ stream: AsyncThrowingStream<Item, any Error>) { iterator = stream.makeAsyncIterator() }

    /// `nil`: the stream has ended. One asks at a time.
    func next() async throws -> Item? {
        try await within(seconds: 30, { "there was no next item" }) {
            var iterator = self.iterator
            return try await iterator.next()
        }
    }
}

/// A value behind a lock.
final class Box<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value
    init(_ value: Value) { self.value = value }
    @discardableResult
    func with<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
