import Foundation
import TomboloFFI

/// What is watched on the other side, until this is let go.
final class Handle<Item: Sendable>: Sendable {
    private let ask: @Sendable (CancelHandle) async throws -> Item?
    private let stop: @Sendable () -> Void
    private let open: Locked<Int>?

    /// `open` counts those that are.
    init(
        open: Locked<Int>? = nil, ask: @escaping @Sendable (CancelHandle) async throws -> Item?,
        stop: @escaping @Sendable () -> Void
    ) {
        (self.ask, self.stop, self.open) = (ask, stop, open)
        open?.with { $0 += 1 }
    }

    deinit {
        stop()
        open?.with { $0 -= 1 }
    }

    /// The next item. A task that is cancelled while it waits gets `nil`, the end of the stream, as with every stream of the
    /// language.
    func next() async throws -> Item? {
        do {
            return try await cancellable { cancel in try await self.ask(cancel) }
        } catch is CancellationError {
            return nil
        }
    }

    /// The items as a stream, which asks for one when it is asked: nothing is buffered here, so that a slow reader gets the
    /// newest. The handle goes with the stream, or as soon as its task is cancelled.
    func stream<Out: Sendable>(
        _ out: @escaping @Sendable (Item) throws -> Out
    ) -> AsyncThrowingStream<Out, any Error> {
        AsyncThrowingStream { try await self.next().map(out) }
    }
}

extension LiveQueryProtocol {
    func handle(open: Locked<Int>) -> Handle<Answer> {
        Handle(open: open, ask: { try await self.next(cancel: $0).map(Answer.init) }, stop: { self.stop() })
    }
}
