import Tombolo

/// What is observed, as the store tells it.
struct RecordStore: Sendable {
    let client: Client

    init(_ client: Client) { self.client = client }

    /// What happens to the records of a model. A deleted record is told as it was last seen, which is why the records that are
    /// there already are kept.
    func observe<M: Model>(_ type: M.Type) async throws -> AsyncThrowingStream<MutationEvent, any Error> {
        let existing = try await client.fetch(M.all)
        let changes = try await client.observe(type)
        return AsyncThrowingStream { continuation in
            let task = Task {
                var known = Dictionary(existing.map { (key(of: $0), $0) }, uniquingKeysWith: { $1 })
                do {
                    for try await change in changes {
                        switch change {
                        case .created(let record), .updated(let record):
                            let isNew = known.updateValue(record, forKey: key(of: record)) == nil
                            continuation.yield(MutationEvent(isNew ? .create : .update, record))
                        case .deleted(let key), .left(let key):
                            if let record = known.removeValue(forKey: key) {
                                continuation.yield(MutationEvent(.delete, record))
                            }
                        case .resynchronise:
                            let now = try await client.fetch(M.all)
                            let next = Dictionary(now.map { (key(of: $0), $0) }, uniquingKeysWith: { $1 })
                            differences(from: known, to: next, in: now).forEach { continuation.yield($0) }
                            known = next
                        }
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }

    private func key<M: Model>(of record: M) -> JSONValue { .object(record.tomboloKey.tomboloValues) }

    private func differences<M: Model>(
        from known: [JSONValue: M], to next: [JSONValue: M], in list: [M]
    ) -> [MutationEvent] {
        var out: [MutationEvent] = []
        for record in list {
            switch known[key(of: record)] {
            case nil: out.append(MutationEvent(.create, record))
            case let before? where before != record: out.append(MutationEvent(.update, record))
            case _?: break
            }
        }
        for (key, record) in known where next[key] == nil { out.append(MutationEvent(.delete, record)) }
        return out
    }

    /// Records and whether they are synced, at once and each time one of the two changes.
    func snapshots<M: Model>(
        _ query: RecordQuery<M>
    ) throws -> AsyncThrowingStream<DataStoreQuerySnapshot<M>, any Error> {
        let (lists, statuses) = (try client.watch(query), try client.statuses())
        return AsyncThrowingStream { continuation in
            let newest = Newest<M>()
            let task = Task {
                do {
                    try await withThrowingTaskGroup(of: Void.self) { group in
                        group.addTask {
                            for try await list in lists {
                                if let next = await newest.take(items: list) { continuation.yield(next) }
                            }
                        }
                        group.addTask {
                            for try await status in statuses {
                                if let next = await newest.take(isSynced: status.isUpToDate) { continuation.yield(next) }
                            }
                        }
                        // One ends with the client, and the other with it.
                        try await group.next()
                        group.cancelAll()
                    }
                    continuation.finish()
                } catch {
                    continuation.finish(throwing: error)
                }
            }
            continuation.onTermination = { _ in task.cancel() }
        }
    }
}

/// The newest of two things that come apart.
private actor Newest<M: Model> {
    private var items: [M]?
    private var isSynced = false

    func take(items: [M]) -> DataStoreQuerySnapshot<M>? {
        self.items = items
        return DataStoreQuerySnapshot(items: items, isSynced: isSynced)
    }

    func take(isSynced: Bool) -> DataStoreQuerySnapshot<M>? {
        guard isSynced != self.isSynced else { return nil }
        self.isSynced = isSynced
        return items.map { DataStoreQuerySnapshot(items: $0, isSynced: isSynced) }
    }
}
