#if canImport(Network)
    import Foundation
    import Network

    /// Wants a link while the system has a way to the network, and none while it has none. Not needed for correctness (the
    /// client tries again by itself, with growing pauses): it saves the pauses, and the battery. Keep it as long as the client.
    public final class NetworkPath: Sendable {
        private let monitor = NWPathMonitor()
        private let changes: Task<Void, Never>

        /// - Parameter wants: asked at each change whether the app wants a link at all.
        public init(_ client: Client, wants: @escaping @Sendable () -> Bool = { true }) {
            let (paths, continuation) = AsyncStream.makeStream(of: Bool.self, bufferingPolicy: .bufferingNewest(1))
            changes = Task { [weak client] in
                for await isReachable in paths {
                    // A client that is suspended or closed says so, and is asked again with the next change.
                    try? await client?.setOnline(isReachable && wants())
                }
            }
            // `requiresConnection` is a way that comes up when something asks for it, as a VPN on demand does.
            monitor.pathUpdateHandler = { path in continuation.yield(path.status != .unsatisfied) }
            monitor.start(queue: DispatchQueue(label: "org.tombolo.network-path"))
        }

        deinit {
            monitor.cancel()
            changes.cancel()
        }
    }
#endif
