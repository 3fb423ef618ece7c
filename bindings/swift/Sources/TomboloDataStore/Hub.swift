import Foundation
import Tombolo

/// Where events are told. The store's is the only channel.
public enum HubChannel: Sendable, Hashable { case dataStore }

/// An event, by its name, with what belongs to it.
public struct HubPayload: Sendable {
    /// The names.
    public enum EventName {
        public enum DataStore {
            public static let networkStatus = "DataStore.networkStatus"
            public static let outboxStatus = "DataStore.outboxStatus"
            public static let outboxMutationEnqueued = "DataStore.outboxMutationEnqueued"
            public static let outboxMutationProcessed = "DataStore.outboxMutationProcessed"
            public static let syncStarted = "DataStore.syncStarted"
            public static let modelSynced = "DataStore.modelSynced"
            public static let syncQueriesReady = "DataStore.syncQueriesReady"
            public static let ready = "DataStore.ready"
        }
    }

    public let eventName: String
    /// ``NetworkStatusEvent``, ``OutboxStatusEvent``, ``OutboxMutationEvent``, ``ModelSyncedEvent``, or none.
    public let data: (any Sendable)?
}

/// Whether the store has a link.
public struct NetworkStatusEvent: Sendable, Equatable { public let active: Bool }
/// Whether nothing is left to be sent.
public struct OutboxStatusEvent: Sendable, Equatable { public let isEmpty: Bool }
/// A model's records are what the server has.
public struct ModelSyncedEvent: Sendable, Equatable {
    public let modelName: String

    public init(modelName: String) { self.modelName = modelName }
}

/// A mutation that was queued, or that the server has carried out.
public struct OutboxMutationEvent: Sendable, Equatable {
    public let modelName: String
    public let mutation: Mutation
}

/// Ends a listener: `Amplify.Hub.removeListener(token)`.
public struct UnsubscribeToken: Sendable, Hashable { let number: Int }

/// Tells what happens to the store.
public final class HubCategory: Sendable {
    /// The most events that wait for a listener that is slow.
    static let waitingMax = 1000

    private typealias Name = HubPayload.EventName.DataStore

    private let listeners = Listeners()
    private let events: AsyncStream<Told>.Continuation
    private let telling: Task<Void, Never>

    init() {
        let (stream, continuation) = AsyncStream.makeStream(of: Told.self, bufferingPolicy: .bufferingNewest(HubCategory.waitingMax))
        events = continuation
        telling = Task.detached { [listeners] in
            for await told in stream { listeners.of(told).forEach { $0(told.payload) } }
        }
    }

    deinit { telling.cancel() }

    /// Calls `listener` for each event from now on: all listeners in one task of the store's, one event after the other. While a
    /// listener is so slow that 1,000 events wait for it, the oldest of them are lost.
    public func listen(
        to channel: HubChannel, _ listener: @escaping @Sendable (HubPayload) -> Void
    ) -> UnsubscribeToken { listeners.add(listener) }

    /// Ends a listener.
    public func removeListener(_ token: UnsubscribeToken) { listeners.remove(token) }

    private func tell(_ name: String, _ data: (any Sendable)? = nil) {
        events.yield(Told(payload: HubPayload(eventName: name, data: data), newest: listeners.newest))
    }

    func enqueued(_ client: Client, _ number: MutationNumber) async {
        guard let mutation = try? await client.mutation(number) else { return }
        tell(Name.outboxMutationEnqueued, OutboxMutationEvent(modelName: mutation.model, mutation: mutation))
    }

    func processed(_ mutation: Mutation) {
        tell(Name.outboxMutationProcessed, OutboxMutationEvent(modelName: mutation.model, mutation: mutation))
    }

    /// Follows a client, and says when it has ended.
    func follow(
        _ client: Client, errorHandler: (@Sendable (any Error) -> Void)?, ended: @escaping @Sendable () async -> Void
    ) -> Task<Void, Never> {
        guard let statuses = try? client.statuses(), let events = try? client.events() else { return Task { await ended() } }
        let resumptions = client.resumptions()
        let decisions = Decisions(client, errorHandler) { [weak self] in self?.processed($0) }
        return Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { await self.follow(statuses) }
                group.addTask { for await _ in resumptions { await decisions.resumed() } }
                await decisions.begin()
                await following(events, failed: { _ in }) { event in
                    await decisions.take(event)
                    return true
                }
                group.cancelAll()
            }
            if !Task.isCancelled { await ended() }
        }
    }

    private func follow(_ statuses: AsyncThrowingStream<Status, any Error>) async {
        var (active, empty, ready): (Bool?, Bool?, Bool) = (nil, nil, false)
        var synced: Set<String> = []
        await following(statuses, failed: { _ in }) { status in
            let isActive = status.link == .live || status.link == .catchingUp
            if active != isActive { tell(Name.networkStatus, NetworkStatusEvent(active: isActive)) }
            if isActive, active != true { tell(Name.syncStarted) }
            active = isActive
            if empty != (status.pending == 0) { tell(Name.outboxStatus, OutboxStatusEvent(isEmpty: status.pending == 0)) }
            empty = status.pending == 0
            for scope in status.scopes where scope.isUpToDate && synced.insert(scope.scope.model).inserted {
                tell(Name.modelSynced, ModelSyncedEvent(modelName: scope.scope.model))
            }
            if status.isUpToDate, !ready {
                ready = true
                tell(Name.syncQueriesReady)
                tell(Name.ready)
            }
            return true
        }
    }
}

/// An event, for the listeners that were there when it happened.
private struct Told: Sendable {
    let payload: HubPayload
    let newest: Int
}

private final class Listeners: @unchecked Sendable {
    private let lock = NSLock()
    private var count = 0
    private var listeners: [Int: @Sendable (HubPayload) -> Void] = [:]

    var newest: Int { lock.withLock { count } }

    func add(_ listener: @escaping @Sendable (HubPayload) -> Void) -> UnsubscribeToken {
        lock.withLock {
            count += 1
            listeners[count] = listener
            return UnsubscribeToken(number: count)
        }
    }

    func remove(_ token: UnsubscribeToken) { lock.withLock { listeners[token.number] = nil } }

    func of(_ told: Told) -> [@Sendable (HubPayload) -> Void] {
        lock.withLock { listeners.filter { $0.key <= told.newest }.sorted { $0.key < $1.key }.map(\.value) }
    }
}
