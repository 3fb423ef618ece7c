import Foundation

/// Decides whether a client has its file: while the app is in the foreground, and while work in the background goes on. It alone
/// suspends and resumes, one after the other and by what holds at that moment, so that a round in the background never takes
/// the file from under a screen, nor one round from under another.
///
/// It knows nothing of UIKit, so that it is checked where there is none.
@_spi(Checks)
@MainActor
public final class Wakefulness {
    /// What it does with the client.
    public struct Actions: Sendable {
        let resume, suspend, send: @Sendable () async throws -> Void

        public init(
            resume: @escaping @Sendable () async throws -> Void, suspend: @escaping @Sendable () async throws -> Void,
            send: @escaping @Sendable () async throws -> Void
        ) {
            (self.resume, self.suspend, self.send) = (resume, suspend, send)
        }
    }

    /// Work that has begun, until it has let go of the file.
    private struct Work {
        let cancel: () -> Void
        let ended: () async -> Void
    }

    /// The longest pause before a client that could not be resumed is tried again.
    private static let longestPause = Duration.seconds(30)

    private let actions: Actions
    private let firstPause: Duration
    private var isForeground: Bool
    /// How much work wants the file.
    private var rounds = 0
    private var works: [Int: Work] = [:]
    /// Of all work there has been.
    private var count = 0
    /// The app has just left the foreground, and what is queued has not been sent for it.
    private var isLeaving = false
    private var sending: Task<Void, Never>?
    private var newest: Task<(any Error)?, Never>?
    private var retrying: Task<Void, Never>?

    private var isWanted: Bool { isForeground || rounds > 0 }

    /// A client that has been opened: it is suspended at once if nobody wants it.
    public init(_ actions: Actions, isForeground: Bool, firstPause: Duration = .seconds(1)) {
        (self.actions, self.isForeground, self.firstPause) = (actions, isForeground, firstPause)
        if !isForeground { bring() }
    }

    deinit { retrying?.cancel() }

    /// The app is in the foreground. Twice is no error.
    public func enter() {
        isForeground = true
        isLeaving = false
        retrying?.cancel()
        retry(firstPause, isFirst: true)
    }

    /// The app has left the foreground. What is queued is sent, and then the file is let go of. Work that goes on has it still: when
    /// this returns, what had begun before has ended, too, so that the system may suspend the app.
    public func leave() async {
        retrying?.cancel()
        if isForeground { isLeaving = true }
        isForeground = false
        _ = await bring().value
        for work in works.values { await work.ended() }
    }

    /// The system wants its time back: sending and work are given up, so that the file is let go of in time.
    public func expire() {
        isLeaving = false
        sending?.cancel()
        works.values.forEach { $0.cancel() }
    }

    /// Has the client open while `work` goes on, also in the background. When it returns nobody holds the file any more, unless
    /// somebody else still wants it; a cancelled task waits for that, too.
    public func awake<Value: Sendable>(
        _ work: @escaping @Sendable () async throws -> Value
    ) async throws -> Value {
        rounds += 1
        count += 1
        let number = count
        let task = Task { () -> Result<Value, any Error> in
            let result: Result<Value, any Error>
            if let error = await bring().value {
                result = .failure(error)
            } else {
                do { result = .success(try await work()) } catch { result = .failure(error) }
            }
            rounds -= 1
            _ = await bring().value
            works[number] = nil
            return result
        }
        works[number] = Work(cancel: { task.cancel() }, ended: { _ = await task.value })
        return try await withTaskCancellationHandler { await task.value } onCancel: { task.cancel() }.get()
    }

    /// Brings the client to where it is wanted by the time that it is this step's turn.
    @discardableResult
    private func bring() -> Task<(any Error)?, Never> {
        let before = newest
        let task = Task { () -> (any Error)? in
            _ = await before?.value
            return await self.bringNow()
        }
        newest = task
        return task
    }

    private func bringNow() async -> (any Error)? {
        if !isWanted, isLeaving {
            isLeaving = false
            // What could not be sent stays queued.
            let task = Task { [actions] in _ = try? await actions.send() }
            sending = task
            await task.value
            sending = nil
        }
        do {
            // The app may have come back meanwhile.
            if isWanted { try await actions.resume() } else { try await actions.suspend() }
            return nil
        } catch {
            return error
        }
    }

    /// Resumes, and tries again for as long as the app is in the foreground: a screen without its file is of no use.
    private func retry(_ pause: Duration, isFirst: Bool) {
        let step = bring()
        retrying = Task { [weak self] in
            guard let error = await step.value, !Task.isCancelled else { return }
            switch error as? TomboloError {
            // It has ended, which is no trouble, and for good.
            case .closed, .signedOut: return
            default: break
            }
            if isFirst {
                Reports.tell(Report(kind: "lifecycle", detail: "the client could not be resumed, and is tried again: \(error)"))
            }
            guard (try? await Task.sleep(for: pause)) != nil, let self, self.isForeground else { return }
            self.retry(min(pause * 2, Wakefulness.longestPause), isFirst: false)
        }
    }
}
