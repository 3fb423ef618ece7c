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
    /// It lives on the main actor and asks in the background, from the moment when ``value``, ``error`` or ``isLive`` is read for the
    /// first time: SwiftUI evaluates a `State`'s initial value each time that the parent is drawn, and lets all but the first go
    /// unread. The query ends when this is let go, by ``stop()``, and with the client.
    @available(iOS 17, macOS 14, tvOS 17, watchOS 10, visionOS 1, *)
    @MainActor @Observable
    public final class LiveQuery<Value: Sendable> {
        /// The newest answer; `nil` before the first.
        public var value: Value? {
            begin()
            access(keyPath: \.value)
            return state.value
        }

        /// Why there is no newer one; `nil` again with the next answer. It is asked again by itself, with growing pauses.
        public var error: (any Error)? {
            begin()
            access(keyPath: \.error)
            return state.error
        }

        /// Whether more may come.
        public var isLive: Bool {
            begin()
            access(keyPath: \.isLive)
            return state.isLive
        }

        private struct State {
            var value: Value?
            var error: (any Error)?
            var isLive = true
        }

        @ObservationIgnored private var state = State()
        /// `nil` once it has begun.
        @ObservationIgnored private var open: (@MainActor () throws -> AsyncThrowingStream<Value, any Error>)?
        @ObservationIgnored private let task = Locked<Task<Void, Never>?>(nil)

        /// Takes what `stream` gives. It is called once, when something is read for the first time.
        public init(_ stream: @escaping @MainActor () throws -> AsyncThrowingStream<Value, any Error>) { open = stream }

        deinit { task.with { $0?.cancel() } }

        /// Ends the query; ``value`` stays.
        public func stop() {
            open = nil
            task.with { $0?.cancel() }
            end()
        }

        private func begin() {
            guard let open else { return }
            self.open = nil
            let opened: AsyncThrowingStream<Value, any Error>
            do {
                opened = try open()
            } catch {
                // Nobody has read anything yet, so that there is nobody to tell. (In the middle of a view's body nobody may be.)
                (state.error, state.isLive) = (error, false)
                return
            }
            let running = Task { [weak self] in
                await following(opened, failed: { self?.fail($0) }) { value in
                    guard let self else { return false }
                    self.take(value)
                    return true
                }
                self?.end()
            }
            task.with { $0 = running }
        }

        private func take(_ value: Value) {
            guard state.isLive else { return }
            withMutation(keyPath: \.value) { state.value = value }
            if state.error != nil { withMutation(keyPath: \.error) { state.error = nil } }
        }

        private func fail(_ error: any Error) { withMutation(keyPath: \.error) { state.error = error } }

        private func end() {
            if state.isLive { withMutation(keyPath: \.isLive) { state.isLive = false } }
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
