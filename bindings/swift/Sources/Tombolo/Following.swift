import Foundation

/// The pauses between attempts: a second at first, then twice as long each time, to half a minute.
private struct Patience {
    private static let first = Duration.seconds(1), longest = Duration.seconds(30)
    private var pause = first

    mutating func reset() { pause = Patience.first }

    /// Whether to try again, after a pause. Not when the client has ended, nor in a task that is cancelled.
    mutating func pauses(
        after error: any Error, isolation: isolated (any Actor)? = #isolation
    ) async -> Bool {
        if let error = error as? TomboloError, error == .closed || error == .signedOut { return false }
        guard (try? await Task.sleep(for: pause)) != nil else { return false }
        pause = min(pause * 2, Patience.longest)
        return true
    }
}

/// Takes what a stream gives, to its end. An error does not end it: a file that was busy
/// is asked for again after a pause, which grows while the errors go on. An item that does not have its type's shape has been taken,
/// and the next one is not kept waiting for it. Only what says that the client has ended is the end.
///
/// - Parameters:
///   - failed: is told of each error.
///   - take: whether to go on.
package func following<Item: Sendable>(
    _ stream: AsyncThrowingStream<Item, any Error>, isolation: isolated (any Actor)? = #isolation,
    failed: (any Error) -> Void, take: (Item) async -> Bool
) async {
    var patience = Patience()
    while !Task.isCancelled {
        do {
            for try await item in stream {
                patience.reset()
                guard await take(item) else { return }
            }
            return
        } catch TomboloError.shape(let detail) {
            failed(TomboloError.shape(detail: detail))
        } catch {
            failed(error)
            guard await patience.pauses(after: error) else { return }
        }
    }
}

/// What is asked until it is answered, with the same patience; `nil` if the client ended, or the task was cancelled, before.
package func insisting<Value: Sendable>(
    isolation: isolated (any Actor)? = #isolation, failed: (any Error) -> Void, ask: () async throws -> Value
) async -> Value? {
    var patience = Patience()
    while !Task.isCancelled {
        do {
            return try await ask()
        } catch {
            failed(error)
            guard await patience.pauses(after: error) else { return nil }
        }
    }
    return nil
}

/// Tells those who follow it that something has happened, without saying how often.
final class Signal: Sendable {
    private let followers = Locked<(next: Int, all: [Int: AsyncStream<Void>.Continuation])>((0, [:]))

    func tell() { followers.with { Array($0.all.values) }.forEach { $0.yield() } }

    /// From now on.
    func follow() -> AsyncStream<Void> {
        let (stream, continuation) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        let number = followers.with { followers in
            followers.next += 1
            followers.all[followers.next] = continuation
            return followers.next
        }
        continuation.onTermination = { [weak self] _ in self?.followers.with { $0.all[number] = nil } }
        return stream
    }
}
