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

/// The records of a list that have their type's shape, and what is wrong with the others.
package struct Readable<Record: SyncedModel>: Sendable {
    package let records: [Record]
    /// Those that do not have it, in words; `nil` if there are none.
    private let unreadable: String?

    init(_ found: FoundRecords) throws {
        let items = try Answer(TomboloFFI.Answer(data: found.data, errors: found.errors)).decode(Page<Record>.self).items
        let failed = items.compactMap(\.error)
        records = items.compactMap(\.record)
        unreadable = failed.first.map {
            "\(failed.count) of \(items.count) records of \(Record.model.name) cannot be read: the first has \(words($0))"
        }
    }

    /// Whether these are all.
    package var isWhole: Bool { unreadable == nil }

    /// All of them.
    ///
    /// - Throws: ``TomboloError/shape(detail:)`` if one cannot be read.
    package func whole() throws -> [Record] {
        if let unreadable { throw TomboloError.shape(detail: unreadable) }
        return records
    }

    /// Those that can be read. The others are left out and reported: they are no reason to show none.
    ///
    /// - Throws: ``TomboloError/shape(detail:)`` if there are some and none can be read.
    func some() throws -> [Record] {
        if records.isEmpty { return try whole() }
        report()
        return records
    }

    /// Tells the reporter of what is left out.
    package func report() {
        if let unreadable { Reports.tell(Report(kind: "shape", detail: unreadable)) }
    }
}

extension Client {
    /// The records that match now, from the local file. One that does not have its type's shape is left out and reported
    /// (``setReporter(_:)``, `shape`).
    ///
    /// - Throws: as ``query(_:_:)``; ``TomboloError/shape(detail:)`` if there are records and none of them can be read, as when the
    ///   code was generated from another schema.
    public func fetch<Record: SyncedModel>(_ query: RecordQuery<Record>) async throws -> [Record] {
        try await readable(query).some()
    }

    /// The records that match now, and whether all of them can be read.
    package func readable<Record: SyncedModel>(_ query: RecordQuery<Record>) async throws -> Readable<Record> {
        let query = query.native
        return try Readable(await cancellable { [native] in try await native.find(query: query, cancel: $0) })
    }

    /// The record with a key; `nil` if the file does not hold it.
    ///
    /// - Throws: as ``query(_:_:)``; ``TomboloError/shape(detail:)`` if the record does not have its type's shape.
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
            .stream { try Readable($0).some() }
    }

    /// Creates, updates or deletes a record: `client.write(CreateNoteInput(text: "…"))`. As ``mutate(_:_:)``.
    ///
    /// - Parameter condition: what must hold of the record on the server; otherwise the mutation is refused.
    @discardableResult
    public func write<Input: WriteInput>(
        _ input: Input, if condition: ((Input.RecordOfInput.FieldsOfRecord) -> RecordFilter<Input.RecordOfInput>)? = nil
    ) async throws -> Written<Input.RecordOfInput> {
        try await mutate(Input.root.document, input.variables(condition)).read {
            try $0.root(Input.root.name, as: Input.RecordOfInput.self)
        }
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
        try await mutate(document, variables.object ?? [:]).read { try $0.decode() }
    }
}

extension Mutated {
    /// What can be read of the answer. Nothing is thrown: the mutation is queued by now, and an app that took an error for "nothing was
    /// queued" would make it a second time.
    func read<Value>(_ read: (Answer) throws -> Value?) -> Written<Value> {
        guard answer.errors.isEmpty else { return Written(value: nil, numbers: numbers, problems: answer.errors) }
        do {
            return Written(value: try read(answer), numbers: numbers, problems: [])
        } catch {
            let problem = GraphQLProblem(detail: reportable(error), errorType: "Shape")
            return Written(value: nil, numbers: numbers, problems: [problem])
        }
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
