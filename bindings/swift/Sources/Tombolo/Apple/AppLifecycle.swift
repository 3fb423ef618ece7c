#if canImport(UIKit) && !os(watchOS)
    import Foundation
    import UIKit

    /// Lets go of a client's file whenever the system suspends the app, and takes it up again afterwards.
    ///
    /// A process that is suspended while it holds a lock on a file in an app group's container is killed (0xdead10cc). The client
    /// has its file while the app is in the foreground, and while work of ``awake(_:)`` goes on in the background, as that of
    /// ``BackgroundSync``; otherwise it is suspended. When the app leaves the foreground, what is queued is sent first, for at
    /// most 5 s, under an assertion that gives it the time. One client has one of these: keep it as long as the client.
    ///
    /// ```swift
    /// let path = try AppGroup.path("group.org.example", file: "notes.sqlite")
    /// let client = try await Tombolo.open(schema: sdl, path: path, url: url)
    /// let lifecycle = AppLifecycle(client)
    /// ```
    ///
    /// An app that the system has launched in the background has its client suspended at once: it is opened for ``awake(_:)``.
    /// A client that cannot be resumed is tried again while the app is in the foreground, and reported (``setReporter(_:)``,
    /// `lifecycle`). App extensions have no such life cycle: they call ``Client/suspend()`` or ``Client/close()`` themselves.
    @available(iOSApplicationExtension, unavailable)
    @available(tvOSApplicationExtension, unavailable)
    @available(visionOSApplicationExtension, unavailable)
    @MainActor
    public final class AppLifecycle {
        /// What an app that leaves the foreground may take to send what is queued. The system gives some 30 s in all.
        public static let leavingBudget = Duration.seconds(5)

        /// The client.
        public let client: Client
        private let wakefulness: Wakefulness
        private let observers: Observers

        public init(_ client: Client, center: NotificationCenter = .default) {
            self.client = client
            wakefulness = Wakefulness(
                Wakefulness.Actions(
                    resume: { try await client.resume() }, suspend: { try await client.suspend() },
                    send: {
                        if try client.status.pending > 0 { try await client.syncOnce(budget: AppLifecycle.leavingBudget) }
                    }),
                isForeground: UIApplication.shared.applicationState != .background)
            observers = Observers(center)
            observe(UIApplication.didEnterBackgroundNotification) { $0.suspend() }
            observe(UIApplication.willEnterForegroundNotification) { $0.resume() }
            // An app with scenes may have been launched for the foreground and say something else at first.
            observe(UIApplication.didBecomeActiveNotification) { $0.resume() }
        }

        /// Suspends the client now, as when the app goes to the background. Work of ``awake(_:)`` goes on, under the same
        /// assertion, until the system wants its time back: then it is cancelled.
        public func suspend() {
            let wakefulness = wakefulness
            let assertion = Assertion("Tombolo lets go of its file") { wakefulness.expire() }
            Task {
                await wakefulness.leave()
                assertion.end()
            }
        }

        /// Resumes it, as when the app comes back.
        public func resume() { wakefulness.enter() }

        /// Works with the client though the app may be in the background: it has its file for as long, and when this returns it
        /// has let go of it, unless the app is in the foreground or other such work goes on. Also if the task is cancelled.
        ///
        /// - Throws: what `work` throws; what ``Client/resume()`` throws.
        public func awake<Value: Sendable>(
            _ work: @escaping @Sendable (Client) async throws -> Value
        ) async throws -> Value {
            let client = client
            return try await wakefulness.awake { try await work(client) }
        }

        private func observe(_ name: Notification.Name, _ act: @escaping @MainActor @Sendable (AppLifecycle) -> Void) {
            observers.add(name) { [weak self] in
                if let self { act(self) }
            }
        }
    }

    /// What is observed on the main queue, until this is let go.
    private final class Observers: @unchecked Sendable {
        private let center: NotificationCenter
        // Changed on the main actor alone, and read when nobody holds this any more.
        private var tokens: [any NSObjectProtocol] = []

        init(_ center: NotificationCenter) { self.center = center }

        @MainActor
        func add(_ name: Notification.Name, _ act: @escaping @MainActor @Sendable () -> Void) {
            tokens.append(
                center.addObserver(forName: name, object: nil, queue: .main) { _ in MainActor.assumeIsolated { act() } })
        }

        deinit { tokens.forEach(center.removeObserver) }
    }

    /// Time that the system gives an app which goes to the background.
    @available(iOSApplicationExtension, unavailable)
    @available(tvOSApplicationExtension, unavailable)
    @available(visionOSApplicationExtension, unavailable)
    @MainActor
    private final class Assertion {
        private var identifier = UIBackgroundTaskIdentifier.invalid

        /// `expires` is called when the system is about to take the time back. It must bring about ``end()`` at once, and does
        /// not call it itself: the app may be suspended in that very moment, and the file is still held.
        init(_ name: String, expires: @escaping @MainActor @Sendable () -> Void) {
            identifier = UIApplication.shared.beginBackgroundTask(withName: name) { MainActor.assumeIsolated { expires() } }
        }

        func end() {
            guard identifier != .invalid else { return }
            UIApplication.shared.endBackgroundTask(identifier)
            identifier = .invalid
        }
    }
#endif
