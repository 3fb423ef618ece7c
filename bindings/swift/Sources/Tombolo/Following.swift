import Foundation

/// The longest pause after an error before a stream is asked again.
private let longestPause = Duration.seconds(30)

/// Takes what a stream gives, to its end. An error does not end it: a file that was busy, or a record that could not be read,
/// is asked for again after a pause, which grows while the errors go on. Only what says that the client has ended is the end.
///
/// - Parameters:
///   - failed: is told of each error.
///   - take: whether to go on.
package func following<Item: Sendable>(
    _ stream: AsyncThrowingStream<Item, any Error>, isolation: isolated (any Actor)? = #isolation,
    failed: (any Error) -> Void, take: (Item) async -> Bool
) async {
    var pause = Duration.seconds(1)
    while !Task.isCancelled {
        do {
            for try await item in stream {
                pause = .seconds(1)
                guard await take(item) else { return }
            }
            return
        } catch {
            failed(error)
            if let error = error as? TomboloError, error == .closed || error == .signedOut { return }
            // Cancelled, it throws.
            guard (try? await Task.sleep(for: pause)) != nil else { return }
            pause = min(pause * 2, longestPause)
        }
    }
}

/// Tells those who follow it that something has happened, without saying how often.
final class Signal: Sendable {
    private let followers = Locked<(next: Int, all: [Int: AsyncStream<Void>.Continuation])>((0, [:]))

    func tell() { followers.with { $0.all.values }.forEach { $0.yield() } }

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
