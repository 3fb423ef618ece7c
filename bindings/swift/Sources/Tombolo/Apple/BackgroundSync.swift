#if canImport(BackgroundTasks) && !os(macOS)
    import BackgroundTasks
    import Foundation

    /// Syncs in the background: a short round when the system refreshes apps, a long one when the phone is charging.
    ///
    /// ```swift
    /// // Before the app has finished launching, and with both identifiers in Info.plist's
    /// // BGTaskSchedulerPermittedIdentifiers:
    /// let sync = BackgroundSync(refresh: "org.example.refresh", processing: "org.example.sync") { try await openClient() }
    /// sync.register()
    /// // When the app goes to the background:
    /// try sync.schedule()
    /// ```
    ///
    /// The system decides when, and whether. What it gives is used up to the last moment: when it takes the time back, the
    /// round is cancelled, and whatever was sent stays sent.
    @available(iOS 16, tvOS 16, visionOS 1, *)
    public final class BackgroundSync: Sendable {
        /// The longest a refresh takes: the system gives about 30 s, and some of it is needed to end well.
        public static let refreshBudget = Duration.seconds(25)
        /// The longest a processing task takes: the system gives minutes.
        public static let processingBudget = Duration.seconds(300)

        private let refresh: String
        private let processing: String?
        private let client: @Sendable () async throws -> Client

        /// - Parameters:
        ///   - refresh: the identifier of the refresh task.
        ///   - processing: that of the processing task, if there is to be one.
        ///   - client: the app's client, opened if it is not. It may be suspended: the round resumes it and suspends it again.
        public init(
            refresh: String, processing: String? = nil, client: @escaping @Sendable () async throws -> Client
        ) {
            (self.refresh, self.processing, self.client) = (refresh, processing, client)
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
                let client = try await client()
                let wasSuspended = try client.isSuspended
                if wasSuspended { try await client.resume() }
                let report = try? await client.syncOnce(budget: budget)
                // Also when the round was cancelled: no lock may be held when the system suspends the app.
                if wasSuspended { try await client.suspend() }
                return report?.isComplete ?? false
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
