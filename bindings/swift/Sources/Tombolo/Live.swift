#if canImport(Observation)
    import Observation

    /// A live query for SwiftUI: views that read ``value`` are drawn anew when it changes.
    ///
    /// ```swift
    /// struct FlightList: View {
    ///     @State private var flights: LiveRecords<Flight>
    ///     init(client: Client) { _flights = State(initialValue: client.live(Flight.where { $0.carrier == "UA" })) }
    ///     var body: some View { List(flights.value ?? []) { Text($0.id) } }
    /// }
    /// ```
    ///
    /// It lives on the main actor and asks in the background. The query ends when this is let go, by ``stop()``, and with the
    /// client.
    @available(iOS 17, macOS 14, tvOS 17, watchOS 10, visionOS 1, *)
    @MainActor @Observable
    public final class LiveQuery<Value: Sendable> {
        /// The newest answer; `nil` before the first.
        public private(set) var value: Value?
        /// Why there is no newer one; `nil` again with the next answer.
        public private(set) var error: (any Error)?
        /// Whether more may come.
        public private(set) var isLive = true

        @ObservationIgnored private let task = Locked<Task<Void, Never>?>(nil)

        /// Takes what `stream` gives. It is called once, at once.
        public init(_ stream: () throws -> AsyncThrowingStream<Value, any Error>) {
            let opened: AsyncThrowingStream<Value, any Error>
            do {
                opened = try stream()
            } catch {
                self.error = error
                isLive = false
                return
            }
            let running = Task { [weak self] in
                do {
                    for try await value in opened {
                        guard let self else { return }
                        self.take(value)
                    }
                } catch {
                    self?.error = error
                }
                self?.isLive = false
            }
            task.with { $0 = running }
        }

        deinit { task.with { $0?.cancel() } }

        /// Ends the query; ``value`` stays.
        public func stop() {
            task.with { $0?.cancel() }
            isLive = false
        }

        private func take(_ value: Value) {
            self.value = value
            if error != nil { error = nil }
        }
    }

    /// A live query of a model's records.
    @available(iOS 17, macOS 14, tvOS 17, watchOS 10, visionOS 1, *)
    public typealias LiveRecords<Record: SyncedModel> = LiveQuery<[Record]>

    @available(iOS 17, macOS 14, tvOS 17, watchOS 10, visionOS 1, *)
    extension Client {
        /// The records that match, for SwiftUI.
        @MainActor
        public func live<Record: SyncedModel>(_ query: RecordQuery<Record>) -> LiveRecords<Record> {
            LiveQuery { try self.watch(query) }
        }

        /// A query's answers, for SwiftUI.
        @MainActor
        public func live(_ document: String, _ variables: Variables = [:]) -> LiveQuery<Answer> {
            LiveQuery { try self.watch(document, variables) }
        }

        /// The replica's status, for SwiftUI.
        @MainActor
        public func liveStatus() -> LiveQuery<Status> { LiveQuery { try self.statuses() } }
    }
#endif
