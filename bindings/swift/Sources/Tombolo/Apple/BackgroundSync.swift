#if canImport(BackgroundTasks) && canImport(UIKit) && !os(watchOS) && !os(macOS)
    import BackgroundTasks
    import Foundation

    /// Syncs in the background: a short round when the system refreshes apps, a long one when the phone is charging.
    ///
    /// ```swift
    /// // Before the app has finished launching, and with both identifiers in Info.plist's
    /// // BGTaskSchedulerPermittedIdentifiers:
    /// let sync = BackgroundSync(refresh: "org.example.refresh", processing: "org.example.sync") { try await openLifecycle() }
    /// sync.register()
    /// // When the app goes to the background:
    /// try sync.schedule()
    /// ```
    ///
    /// The system decides when, and whether. What it gives is used up to the last moment: when it takes the time back, the
    /// round is cancelled, and whatever was sent stays sent. A round that the user interrupts by opening the app goes on, and
    /// leaves the client to the app.
    @available(iOS 16, tvOS 16, visionOS 1, *)
    @available(iOSApplicationExtension, unavailable)
    @available(tvOSApplicationExtension, unavailable)
    @available(visionOSApplicationExtension, unavailable)
    public final class BackgroundSync: Sendable {
        /// The longest a refresh takes: the system gives about 30 s, and some of it is needed to end well.
        public static let refreshBudget = Duration.seconds(25)
        /// The longest a processing task takes: the system gives minutes.
        public static let processingBudget = Duration.seconds(300)

        private let refresh: String
        private let processing: String?
        private let lifecycle: @Sendable () async throws -> AppLifecycle

        /// - Parameters:
        ///   - refresh: the identifier of the refresh task.
        ///   - processing: that of the processing task, if there is to be one.
        ///   - lifecycle: the life cycle of the app's client, which is opened if it is not: the system may have launched the app
        ///     for this alone. The one that the app itself uses, since it decides when the client is suspended.
        public init(
            refresh: String, processing: String? = nil, lifecycle: @escaping @Sendable () async throws -> AppLifecycle
        ) {
            (self.refresh, self.processing, self.lifecycle) = (refresh, processing, lifecycle)
        }

        /// Tells the system who carries the tasks out. Before the app has finished launching, and once.
        ///
        /// - Returns: whether it took both; `false` means that Info.plist does not permit them.
        @discardableResult
        public func register() -> Bool {
            let one = register(refresh, budget: BackgroundSync.refreshBudget)
            guard let processing else { return one }
            return register(processing, budget: BackgroundSync.processingBudget) && one
        }

        /// Asks for the next runs: a refresh in 15 minutes at the earliest, the processing when the phone has power and network.
        public func schedule(earliest: Date = Date(timeIntervalSinceNow: 15 * 60)) throws {
            let request = BGAppRefreshTaskRequest(identifier: refresh)
            request.earliestBeginDate = earliest
            try BGTaskScheduler.shared.submit(request)
            guard let processing else { return }
            let long = BGProcessingTaskRequest(identifier: processing)
            long.requiresNetworkConnectivity = true
            long.requiresExternalPower = true
            try BGTaskScheduler.shared.submit(long)
        }

        private func register(_ identifier: String, budget: Duration) -> Bool {
            BGTaskScheduler.shared.register(forTaskWithIdentifier: identifier, using: nil) { task in
                let task = Given(task)
                // The next one, also if this one comes to nothing.
                try? self.schedule()
                let round = Task {
                    let done = await self.round(budget)
                    task.value.setTaskCompleted(success: done)
                }
                task.value.expirationHandler = { round.cancel() }
            }
        }

        /// One round. Whether everything was done.
        private func round(_ budget: Duration) async -> Bool {
            do {
                let lifecycle = try await lifecycle()
                return try await lifecycle.awake { try await $0.syncOnce(budget: budget) }.isComplete
            } catch {
                return false
            }
        }
    }

    /// The system's task, which may be completed on any thread.
    private struct Given: @unchecked Sendable {
        let value: BGTask
        init(_ value: BGTask) { self.value = value }
    }
#endif
