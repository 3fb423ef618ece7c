import Tombolo

/// What is observed, as the store tells it.
struct RecordStore: Sendable {
    let client: Client

    init(_ client: Client) { self.client = client }

    /// What happens to the records of a model. A deleted record is told as it was last seen, which is why the records that are
    /// there already are kept.
    func observe<M: Model>(_ type: M.Type) async throws -> AsyncThrowingStream<MutationEvent, any Error> {
        // In this order: what comes between the two is told, and is among the records as well.
        let changes = try await client.observe(type)
        let existing = try await readable(M.self).records
        let (stream, continuation) = AsyncThrowingStream.makeStream(of: MutationEvent.self)
        let task = Task { [client] in
            var known = Dictionary(existing.map { (key(of: $0), $0) }, uniquingKeysWith: { $1 })
            // Told when everything was looked at anew, and possibly to come once more as a change.
            var ahead: Set<JSONValue> = []
            await following(changes, failed: reported) { change in
                switch change {
                case .created(let record), .updated(let record):
                    let key = key(of: record)
                    let before = known.updateValue(record, forKey: key)
                    let isAhead = ahead.remove(key) != nil
                    if isAhead, before == record { break }
                    let isCreated = if case .created = change { !isAhead } else { before == nil }
                    continuation.yield(MutationEvent(isCreated ? .create : .update, record))
                case .deleted(let key), .left(let key):
                    ahead.remove(key)
                    if let record = known.removeValue(forKey: key) { continuation.yield(MutationEvent(.delete, record)) }
                case .resynchronise:
                    guard let now = await insisting(failed: reported, ask: { try await readable(M.self) }) else { return false }
                    var next = Dictionary(now.records.map { (key(of: $0), $0) }, uniquingKeysWith: { $1 })
                    // What is missing may be there, in another shape than the type's. It is not told as deleted.
                    if !now.isWhole { next.merge(known) { found, _ in found } }
                    differences(from: known, to: next, in: now.records).forEach { continuation.yield($0) }
                    ahead = Set(next.filter { known[$0.key] != $0.value }.keys)
                    known = next
                }
                return true
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    /// All records that can be read; the others are reported.
    private func readable<M: Model>(_ type: M.Type) async throws -> Readable<M> {
        let found = try await client.readable(M.all)
        found.report()
        return found
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

    /// Records and whether the server's are among them, at once and each time one of the two changes. A slow reader gets the newest.
    func snapshots<M: Model>(
        _ query: RecordQuery<M>
    ) throws -> AsyncThrowingStream<DataStoreQuerySnapshot<M>, any Error> {
        let (lists, statuses) = (try client.watch(query), try client.statuses())
        let (stream, continuation) = AsyncThrowingStream.makeStream(
            of: DataStoreQuerySnapshot<M>.self, bufferingPolicy: .bufferingNewest(1))
        let newest = Newest(continuation)
        let task = Task {
            await withTaskGroup(of: Void.self) { group in
                group.addTask {
                    await following(lists, failed: reported) { list in
                        await newest.take(items: list)
                        return true
                    }
                }
                group.addTask {
                    await following(statuses, failed: reported) { status in
                        await newest.take(
                            isSynced: status.scopes.contains { $0.scope.model == M.model.name && $0.isUpToDate })
                        return true
                    }
                }
                // One ends with the client, and the other with it.
                await group.next()
                group.cancelAll()
            }
            continuation.finish()
        }
        continuation.onTermination = { _ in task.cancel() }
        return stream
    }

    /// The stream goes on, so that it is not told there.
    @Sendable private func reported(_ error: any Error) {
        // A suspension is no trouble, and ends.
        if error as? TomboloError == .suspended || error as? TomboloError == .closed || error as? TomboloError == .signedOut { return }
        if case TomboloError.shape(let detail) = error {
            Reports.tell(Report(kind: "shape", detail: "what is observed was passed over: \(detail)"))
        } else {
            Reports.tell(Report(kind: "record", detail: "what is observed could not be read, and is asked for again: \(reportable(error))"))
        }
    }
}

/// The newest of two things that come apart. It gives on what it makes of them itself, so that none overtakes the other.
private actor Newest<M: Model> {
    private let continuation: AsyncThrowingStream<DataStoreQuerySnapshot<M>, any Error>.Continuation
    private var items: [M]?
    private var isSynced = false

    init(_ continuation: AsyncThrowingStream<DataStoreQuerySnapshot<M>, any Error>.Continuation) {
        self.continuation = continuation
    }

    func take(items: [M]) {
        self.items = items
        tell()
    }

    func take(isSynced: Bool) {
        guard isSynced != self.isSynced else { return }
        self.isSynced = isSynced
        tell()
    }

    private func tell() {
        if let items { continuation.yield(DataStoreQuerySnapshot(items: items, isSynced: isSynced)) }
    }
}
