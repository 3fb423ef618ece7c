#if canImport(UIKit) && !os(watchOS)
    import Foundation
    import UIKit

    /// Lets go of a client's file whenever the system suspends the app, and takes it up again afterwards.
    ///
    /// A process that is suspended while it holds a lock on a file in an app group's container is killed (0xdead10cc). This
    /// suspends the client when the app goes to the background, under an assertion that gives it the time to do so, and resumes
    /// it when the app comes back. Keep it as long as the client.
    ///
    /// ```swift
    /// let path = try AppGroup.path("group.org.example", file: "notes.sqlite")
    /// let client = try await Tombolo.open(schema: sdl, path: path, url: url)
    /// let lifecycle = AppLifecycle(client)
    /// ```
    @MainActor
    public final class AppLifecycle {
        private let client: Client
        private var observers: [any NSObjectProtocol] = []
        private var newest: Task<Void, Never>?

        public init(_ client: Client, center: NotificationCenter = .default) {
            self.client = client
            observe(UIApplication.didEnterBackgroundNotification, center) { $0.suspend() }
            observe(UIApplication.willEnterForegroundNotification, center) { $0.resume() }
        }

        /// Suspends the client now, as when the app goes to the background.
        public func suspend() {
            let assertion = Assertion("Tombolo lets go of its file")
            after { client in
                // A client that is closed or signed out holds nothing.
                try? await client.suspend()
                await assertion.end()
            }
        }

        /// Resumes it, as when the app comes back.
        public func resume() { after { try? await $0.resume() } }

        /// One after the other, in the order in which they were asked for.
        private func after(_ step: @escaping @Sendable (Client) async -> Void) {
            let (before, client) = (newest, client)
            newest = Task {
                await before?.value
                await step(client)
            }
        }

        private func observe(
            _ name: Notification.Name, _ center: NotificationCenter, _ act: @escaping @MainActor @Sendable (AppLifecycle) -> Void
        ) {
            observers.append(
                center.addObserver(forName: name, object: nil, queue: .main) { [weak self] _ in
                    MainActor.assumeIsolated {
                        if let self { act(self) }
                    }
                })
        }
    }

    /// Time that the system gives an app which goes to the background.
    @MainActor
    private final class Assertion {
        private var identifier = UIBackgroundTaskIdentifier.invalid

        init(_ name: String) {
            identifier = UIApplication.shared.beginBackgroundTask(withName: name) { [weak self] in
                MainActor.assumeIsolated { self?.end() }
            }
        }

        func end() {
            guard identifier != .invalid else { return }
            UIApplication.shared.endBackgroundTask(identifier)
            identifier = .invalid
        }
    }
#endif
