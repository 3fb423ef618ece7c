import Foundation
import TomboloFFI

/// What ``Client/save(_:before:if:)`` came to.
public struct Saved<Record: SyncedModel>: Sendable {
    public enum Kind: Sendable, Equatable {
        /// The replica held no such record: a create is queued.
        case created
        /// It held it: an update with the fields that differ is queued.
        case updated
        /// It held it just so: nothing is queued.
        case unchanged
    }

    /// What it came to.
    public let kind: Kind
    /// The mutation's number; `nil` if nothing is queued.
    public let number: MutationNumber?
    /// The record as it is now in the file; `nil` if it does not have its type's shape, which is reported (``setReporter(_:)``).
    public let record: Record?
}

/// Something that happened to a record.
public enum RecordChange<Record: SyncedModel>: Sendable, Equatable {
    /// It is here and was not.
    case created(Record)
    /// It is another than before.
    case updated(Record)
    /// It was deleted, here or elsewhere. The key's fields are given by the API's names.
    case deleted(key: JSONValue)
    /// It is no longer among the observed.
    case left(key: JSONValue)
    /// Too many records are observed to tell which have changed: look at them anew.
    case resynchronise
}

extension Client {
    /// Saves a record as the app has it: a create, an update of what differs, or nothing. As brief as ``mutate(_:_:)``, and as
    /// certain.
    ///
    /// - Parameters:
    ///   - before: the same record as the app read it. Then only what the app has changed since is sent, also if the file's
    ///     record has changed meanwhile.
    ///   - condition: what must hold of the record on the server; otherwise the mutation is refused.
    /// - Throws: as ``mutate(_:_:)``; nothing has been queued then.
    @discardableResult
    public func save<Record: SyncedModel>(
        _ record: Record, before: Record? = nil, if condition: RecordFilter<Record>? = nil
    ) async throws -> Saved<Record> {
        let (model, text) = (Record.model.name, JSONValue.object(record.tomboloValues).json)
        let (before, condition) = (before.map { JSONValue.object($0.tomboloValues).json }, condition?.jsonValue.json)
        let saved = try await finished { [native] in
            try await native.save(model: model, record: text, before: before, condition: condition)
        }
        let kind: Saved<Record>.Kind =
            switch saved.savedAs {
            case .created: .created
            case .updated: .updated
            case .unchanged: .unchanged
            }
        return Saved(kind: kind, number: saved.number, record: saved.record.flatMap(stored))
    }

    /// A record as it was stored. The mutation is queued: another shape than the type's is no reason to say that it was not.
    private func stored<Record: SyncedModel>(_ text: String) -> Record? {
        do {
            return try decoded(Record.self, text)
        } catch {
            Reports.tell(Report(kind: "shape", detail: "a stored \(Record.model.name) could not be read: \(reportable(error))"))
            return nil
        }
    }

    /// Deletes a record by its key. As brief as ``mutate(_:_:)``, and as certain.
    ///
    /// - Returns: the mutation's number.
    /// - Throws: as ``mutate(_:_:)``: `unknownRecord` if the file does not hold it.
    @discardableResult
    public func delete<Record: SyncedModel>(
        _ type: Record.Type, _ key: Record.KeyOfRecord, if condition: RecordFilter<Record>? = nil
    ) async throws -> MutationNumber? {
        let (model, key) = (Record.model.name, JSONValue.object(key.tomboloValues).json)
        let condition = condition?.jsonValue.json
        return try await finished { [native] in
            try await native.delete(model: model, key: key, condition: condition)
        }.number
    }

    /// Deletes a record. As ``delete(_:_:if:)``.
    @discardableResult
    public func delete<Record: SyncedModel>(
        _ record: Record, if condition: RecordFilter<Record>? = nil
    ) async throws -> MutationNumber? {
        try await delete(Record.self, record.tomboloKey, if: condition)
    }

    /// Each change of a model's records from now on, here or on the server.
    ///
    /// - Parameter withExisting: tells of the records that are there already, too, as created.
    /// - Throws: as ``query(_:_:)``. The stream throws ``TomboloError/shape(detail:)`` for a record that does not have its type's
    ///   shape, and goes on with the next change when it is read again.
    public func observe<Record: SyncedModel>(
        _ type: Record.Type, where filter: RecordFilter<Record>? = nil, withExisting: Bool = false
    ) async throws -> AsyncThrowingStream<RecordChange<Record>, any Error> {
        let (model, filter) = (Record.model.name, filter?.jsonValue.json)
        let changes = try await finished { [native] in
            try await native.observe(model: model, filter: filter, withExisting: withExisting)
        }
        return Handle(open: open, ask: { try await changes.next(cancel: $0) }, stop: { changes.stop() })
            .stream { change in
                let key = (try? JSONValue(json: change.key)) ?? .null
                switch (change.kind, change.record) {
                case (.created, let record?): return .created(try decoded(Record.self, record))
                case (.updated, let record?): return .updated(try decoded(Record.self, record))
                case (.deleted, _): return .deleted(key: key)
                case (.left, _): return .left(key: key)
                case (.resynchronise, _), (.created, nil), (.updated, nil): return .resynchronise
                }
            }
    }
}

/// A record of the other side's JSON text.
func decoded<Record: SyncedModel>(_ type: Record.Type, _ text: String) throws -> Record {
    try Answer(TomboloFFI.Answer(data: Data(text.utf8), errors: [])).decode(type)
}
