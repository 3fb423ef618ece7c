import Foundation
import TomboloFFI

/// Records of a model: which, in what order, and how many.
///
/// ```swift
/// let late = Flight.where { $0.carrier == "UA" && $0.depDelay > 60 }.sorted { $0.depDelay.descending }.limit(20)
/// let now = try await client.fetch(late)
/// for try await flights in try client.watch(late) { … }
/// ```
public struct RecordQuery<Record: SyncedModel>: Sendable, Hashable {
    /// Which; `nil`: all.
    public var filter: RecordFilter<Record>?
    /// In what order; empty: by key.
    public var order: [RecordOrder<Record>]
    /// At most how many; `nil`: all, up to ``recordsMax``.
    public var limit: Int?
    /// How many of the order are passed over first.
    public var offset: Int

    public init(
        filter: RecordFilter<Record>? = nil, order: [RecordOrder<Record>] = [], limit: Int? = nil, offset: Int = 0
    ) {
        self.filter = filter
        self.order = order
        self.limit = limit
        self.offset = offset
    }

    /// Those of them that match, too.
    public func `where`(_ filter: (Record.FieldsOfRecord) -> RecordFilter<Record>) -> RecordQuery {
        var out = self
        let more = filter(Record.fields)
        out.filter = out.filter.map { $0 && more } ?? more
        return out
    }

    /// In this order; more than one step: `.sorted({ $0.day.ascending }, { $0.delay.descending })`. At most 8.
    public func sorted(_ steps: ((Record.FieldsOfRecord) -> RecordOrder<Record>)...) -> RecordQuery {
        var out = self
        out.order += steps.map { $0(Record.fields) }
        return out
    }

    /// The first `limit` of them.
    public func limit(_ limit: Int) -> RecordQuery {
        var out = self
        out.limit = limit
        return out
    }

    /// Those behind the first `offset` of them.
    public func offset(_ offset: Int) -> RecordQuery {
        var out = self
        out.offset = offset
        return out
    }

    var native: FindQuery {
        FindQuery(
            model: Record.model.name, filter: filter?.jsonValue.json,
            sort: order.map { SortStep(field: $0.field, descending: $0.isDescending) },
            limit: UInt32(clamping: min(limit ?? recordsMax, recordsMax)), offset: UInt64(clamping: offset), token: nil)
    }
}

/// Most records that one query gives: what a replica gives in one page, 30 MB at some 300 B a record.
public let recordsMax = 100_000

extension SyncedModel {
    /// All records of the model.
    public static var all: RecordQuery<Self> { RecordQuery() }

    /// The records that match: `Flight.where { $0.carrier == "UA" }`.
    public static func `where`(_ filter: (FieldsOfRecord) -> RecordFilter<Self>) -> RecordQuery<Self> {
        RecordQuery(filter: filter(fields))
    }
}

/// A list as the other side gives it.
private struct Page<Record: Decodable>: Decodable {
    let items: [Item]

    /// One of it, or why it is none.
    struct Item: Decodable {
        let record: Record?
        let error: (any Error)?

        init(from decoder: any Decoder) {
            do {
                let container = try decoder.singleValueContainer()
                (record, error) = (container.decodeNil() ? nil : try container.decode(Record.self), nil)
            } catch {
                (record, self.error) = (nil, error)
            }
        }
    }
}

extension FoundRecords {
    /// The records. One that does not have its type's shape is left out and reported: it is no reason to show none.
    func decode<Record: SyncedModel>(_ type: Record.Type) throws -> [Record] {
        let items = try Answer(TomboloFFI.Answer(data: data, errors: errors)).decode(Page<Record>.self).items
        let failed = items.compactMap(\.error)
        if let first = failed.first {
            let words = (first as? DecodingError).map(words) ?? "\(first)"
            Reports.tell(
                Report(
                    kind: "record",
                    detail: "\(failed.count) of \(items.count) records of \(Record.model.name) were left out: the first has \(words)"))
        }
        return items.compactMap(\.record)
    }
}

extension Client {
    /// The records that match now, from the local file.
    ///
    /// - Throws: as ``query(_:_:)``; ``TomboloError/shape(detail:)`` if the code was generated from another schema.
    public func fetch<Record: SyncedModel>(_ query: RecordQuery<Record>) async throws -> [Record] {
        let query = query.native
        return try await cancellable { [native] in try await native.find(query: query, cancel: $0) }.decode(Record.self)
    }

    /// The record with a key; `nil` if the file does not hold it.
    ///
    /// - Throws: as ``fetch(_:)``.
    public func get<Record: SyncedModel>(_ type: Record.Type = Record.self, _ key: Record.KeyOfRecord) async throws -> Record? {
        let (model, key) = (Record.model.name, JSONValue.object(key.tomboloValues).json)
        return try await cancellable { [native] in try await native.get(model: model, key: key, cancel: $0) }
            .map { try decoded(Record.self, $0) }
    }

    /// The records that match, at once and each time they have become others: as ``watch(_:_:)``.
    ///
    /// - Throws: as ``fetch(_:)``.
    public func watch<Record: SyncedModel>(
        _ query: RecordQuery<Record>
    ) throws -> AsyncThrowingStream<[Record], any Error> {
        let live = try atOnce { try native.watchFind(query: query.native) }
        return Handle(open: open, ask: { try await live.next(cancel: $0) }, stop: { live.stop() })
            .stream { try $0.decode(Record.self) }
    }

    /// Creates, updates or deletes a record: `client.write(CreateNoteInput(text: "…"))`. As ``mutate(_:_:)``.
    ///
    /// - Parameter condition: what must hold of the record on the server; otherwise the mutation is refused.
    @discardableResult
    public func write<Input: WriteInput>(
        _ input: Input, if condition: ((Input.RecordOfInput.FieldsOfRecord) -> RecordFilter<Input.RecordOfInput>)? = nil
    ) async throws -> Written<Input.RecordOfInput> {
        let done = try await mutate(Input.root.document, input.variables(condition))
        return Written(
            value: try? done.answer.root(Input.root.name, as: Input.RecordOfInput.self), numbers: done.numbers,
            problems: done.answer.errors)
    }

    /// A typed query: what a generated function for an operation calls.
    public func run<Data: Decodable & Sendable>(query document: String, _ variables: JSONValue) async throws -> Data {
        try await query(document, variables.object ?? [:]).decode()
    }

    /// A typed live query: what a generated function for an operation calls.
    public func run<Data: Decodable & Sendable>(
        watch document: String, _ variables: JSONValue
    ) throws -> AsyncThrowingStream<Data, any Error> {
        try watching(document, variables.object ?? [:]).stream { try $0.decode() }
    }

    /// A typed mutation: what a generated function for an operation calls.
    public func run<Data: Decodable & Sendable>(
        mutation document: String, _ variables: JSONValue
    ) async throws -> Written<Data> {
        let done = try await mutate(document, variables.object ?? [:])
        return Written(value: try? done.answer.decode(), numbers: done.numbers, problems: done.answer.errors)
    }
}

extension WriteInput {
    func variables(_ condition: ((RecordOfInput.FieldsOfRecord) -> RecordFilter<RecordOfInput>)?) -> Variables {
        var out: Variables = ["input": jsonValue]
        if let condition { out["condition"] = condition(RecordOfInput.fields).jsonValue }
        return out
    }
}

extension Transaction {
    /// Adds a create, an update or a delete.
    public mutating func write<Input: WriteInput>(
        _ input: Input, if condition: ((Input.RecordOfInput.FieldsOfRecord) -> RecordFilter<Input.RecordOfInput>)? = nil
    ) {
        mutate(Input.root.document, input.variables(condition))
    }
}
