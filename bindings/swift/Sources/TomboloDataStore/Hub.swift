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
public struct ModelSyncedEvent: Sendable, Equatable { public let modelName: String }

/// A mutation that was queued, or that the server has carried out.
public struct OutboxMutationEvent: Sendable, Equatable {
    public let modelName: String
    public let mutation: Mutation
}

/// Ends a listener: `Amplify.Hub.removeListener(token)`.
public struct UnsubscribeToken: Sendable, Hashable { let id: UUID }

/// Tells what happens to the store.
public final class HubCategory: Sendable {
    private let listeners = Listeners()

    init() {}

    /// Calls `listener` for each event from now on, in a task of the store's, one after the other.
    public func listen(
        to channel: HubChannel, _ listener: @escaping @Sendable (HubPayload) -> Void
    ) -> UnsubscribeToken {
        let token = UnsubscribeToken(id: UUID())
        listeners.add(token, listener)
        return token
    }

    /// Ends a listener.
    public func removeListener(_ token: UnsubscribeToken) { listeners.remove(token) }

    private func tell(_ name: String, _ data: (any Sendable)? = nil) {
        listeners.all.forEach { $0(HubPayload(eventName: name, data: data)) }
    }

    func enqueued(_ client: Client, _ number: MutationNumber) async {
        guard let mutation = try? await client.mutation(number) else { return }
        let event = OutboxMutationEvent(modelName: mutation.model, mutation: mutation)
        tell(HubPayload.EventName.DataStore.outboxMutationEnqueued, event)
        tell(HubPayload.EventName.DataStore.outboxStatus, OutboxStatusEvent(isEmpty: false))
    }

    /// Follows a client until its end.
    func follow(_ client: Client, errorHandler: (@Sendable (any Error) -> Void)?) -> Task<Void, Never> {
        guard let statuses = try? client.statuses(), let events = try? client.events() else { return Task {} }
        return Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask { try? await self.follow(statuses) }
                group.addTask { try? await self.follow(events, of: client, errorHandler) }
            }
        }
    }

    private func follow(_ statuses: AsyncThrowingStream<Status, any Error>) async throws {
        typealias Name = HubPayload.EventName.DataStore
        var (active, empty, ready): (Bool?, Bool?, Bool) = (nil, nil, false)
        var synced: Set<String> = []
        for try await status in statuses {
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
        }
    }

    private func follow(
        _ events: AsyncThrowingStream<Event, any Error>, of client: Client,
        _ errorHandler: (@Sendable (any Error) -> Void)?
    ) async throws {
        for try await event in events {
            guard case .decided(let number, let outcome) = event else { continue }
            switch outcome {
            case .applied, .merged:
                guard let mutation = try await client.mutation(number) else { continue }
                let event = OutboxMutationEvent(modelName: mutation.model, mutation: mutation)
                tell(HubPayload.EventName.DataStore.outboxMutationProcessed, event)
            case .rejected(let code, let detail):
                errorHandler?(DataStoreError.mutationRefused(number: number, code: code, detail: detail))
            case .discarded: break
            }
        }
    }
}

private final class Listeners: @unchecked Sendable {
    private let lock = NSLock()
    private var listeners: [UnsubscribeToken: @Sendable (HubPayload) -> Void] = [:]

    func add(_ token: UnsubscribeToken, _ listener: @escaping @Sendable (HubPayload) -> Void) {
        lock.withLock { listeners[token] = listener }
    }

    func remove(_ token: UnsubscribeToken) { lock.withLock { listeners[token] = nil } }

    var all: [@Sendable (HubPayload) -> Void] { lock.withLock { Array(listeners.values) } }
}
