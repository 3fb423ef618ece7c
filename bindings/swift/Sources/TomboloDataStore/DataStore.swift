import Foundation
@_exported import Tombolo

/// The name that an app which comes from Amplify knows: `Amplify.DataStore.save(post)`, `Amplify.Hub.listen(to: .dataStore)`.
public enum Amplify {
    /// The store.
    public static let DataStore = DataStoreCategory()
    /// What happens to it.
    public static let Hub = HubCategory()

    /// Says what the store is opened with, once, before its first use. Nothing is opened yet.
    public static func configure(_ configuration: DataStoreConfiguration) async { await DataStore.configure(configuration) }
}

/// A type that `tombolo codegen` has generated: what Amplify calls a model.
public typealias Model = SyncedModel

/// What the store is opened with.
public struct DataStoreConfiguration: Sendable {
    /// The schema as SDL text: `GeneratedSchema.sdl`.
    public var schema: String
    /// The database file, made if it is not there. Its folder must exist.
    public var path: String
    /// The server's GraphQL address. Without it the store stays local.
    public var url: String?
    /// What to present to the server at first.
    public var credential: Credential?
    /// Who is asked for another credential.
    public var credentials: Credentials?
    /// Whose file this is.
    public var account: String?
    /// Which records the file holds (Amplify's sync expressions). Default: all.
    public var scopes: [Scope]?
    /// The file that Amplify DataStore has left on the phone, to take its records and unsent mutations over at the first opening.
    /// ``AmplifyDataStoreFile/path(bundle:)`` says where that is.
    public var importing: String?
    /// Is told of mutations that the server refused or never decided, which Amplify tells its `errorHandler`: of each one each time
    /// that it is decided, also of those that were refused while the store was suspended. The mutation stays in the outbox until
    /// it is discarded or tried again: `Amplify.DataStore.client()`. It is called on Swift's pool, and should note and return.
    public var errorHandler: (@Sendable (any Error) -> Void)?

    public init(
        schema: String, path: String, url: String? = nil, credential: Credential? = nil, credentials: Credentials? = nil,
        account: String? = nil, scopes: [Scope]? = nil, importing: String? = nil, errorHandler: (@Sendable (any Error) -> Void)? = nil
    ) {
        self.schema = schema
        self.path = path
        self.url = url
        self.credential = credential
        self.credentials = credentials
        self.account = account
        self.scopes = scopes
        self.importing = importing
        self.errorHandler = errorHandler
    }
}

/// Why the store does not do what it was asked for, beside what ``TomboloError`` tells.
public enum DataStoreError: Error, Sendable, Equatable {
    /// ``Amplify/configure(_:)`` has not been called.
    case notConfigured
    /// The server refused a mutation.
    case mutationRefused(number: MutationNumber, code: String, detail: String)
    /// The server never decided a mutation, which waits for the app.
    case mutationWedged(number: MutationNumber, detail: String)
    /// An event's record is another model's.
    case wrongModel(expected: String, actual: String)
}

/// The store, in the manner of Amplify DataStore.
///
/// It opens its file with the first call and syncs from then on, unless it was stopped. Nothing waits for the network.
public actor DataStoreCategory {
    private var configuration: DataStoreConfiguration?
    private var opening: Task<Client, any Error>?
    /// The client that was opened, as long as it is of use.
    private var current: Client?
    private var ending: Task<Void, any Error>?
    private var wanted = true
    private var watching: Task<Void, Never>?

    func configure(_ configuration: DataStoreConfiguration) { self.configuration = configuration }

    /// The client behind the store, for what Amplify has no word for: the outbox, transactions, GraphQL. If it is closed or signed
    /// out, the next call of the store opens another one.
    ///
    /// - Throws: ``DataStoreError/notConfigured``; what `Tombolo.open` throws.
    public func client() async throws -> Client {
        while true {
            if let ending {
                // Whether it succeeds is for its own caller.
                _ = await ending.result
            } else if let opening {
                let client = try await opening.value
                // It may have been given up meanwhile.
                if ending == nil, opening == self.opening { return client }
            } else {
                guard let configuration else { throw DataStoreError.notConfigured }
                opening = Task { try await self.open(configuration) }
            }
        }
    }

    private func open(_ configuration: DataStoreConfiguration) async throws -> Client {
        do {
            let client = try await Tombolo.open(
                schema: configuration.schema, path: configuration.path, url: configuration.url,
                credential: configuration.credential, credentials: configuration.credentials,
                account: configuration.account, offline: !wanted && configuration.url != nil, scopes: configuration.scopes,
                importDataStore: configuration.importing)
            current = client
            watching = Amplify.Hub.follow(client, errorHandler: configuration.errorHandler) { [weak self] in
                await self?.drop(client)
            }
            return client
        } catch {
            // The next call tries again.
            opening = nil
            throw error
        }
    }

    /// Gives up a client that has ended.
    private func drop(_ client: Client) {
        guard current === client else { return }
        watching?.cancel()
        (watching, opening, current) = (nil, nil, nil)
    }

    /// Calls the client; where it turns out to have ended, by a `clear()` meanwhile or elsewhere, once more the next one. What failed in
    /// that way has done nothing.
    private func with<Value: Sendable>(_ call: @Sendable (Client) async throws -> Value) async throws -> Value {
        let client = try await client()
        do {
            return try await call(client)
        } catch let error as TomboloError where error == .signedOut || error == .closed {
            drop(client)
        }
        return try await call(try await self.client())
    }

    // MARK: Its life

    /// Begins to sync. The first call of any kind does so, too.
    public func start() async throws {
        wanted = true
        if configuration?.url != nil { try await with { try await $0.setOnline(true) } } else { _ = try await client() }
    }

    /// Ends syncing. Local life goes on, and what is saved meanwhile is sent after the next ``start()``.
    public func stop() async throws {
        wanted = false
        guard opening != nil, configuration?.url != nil else { return }
        try await with { try await $0.setOnline(false) }
    }

    /// Ends syncing and removes the file with everything in it, **mutations that were never sent included**; what observes it
    /// ends. The next call begins with an empty file, also one that is made while this goes on: it waits. Once it has begun it is
    /// carried out, whether or not the task is cancelled. If it fails everything is as it was.
    public func clear() async throws {
        if ending == nil {
            let client = try await client()
            if ending == nil { ending = Task { try await self.end(client) } }
        }
        try await ending?.value
    }

    private func end(_ client: Client) async throws {
        defer { ending = nil }
        do {
            try await client.signOut(.discard)
        } catch TomboloError.signedOut {}
        await client.close()
        drop(client)
    }

    // MARK: Records

    /// Saves a record: makes it, or changes the fields that differ from the one that is there.
    ///
    /// - Parameter condition: what must hold of the record on the server; otherwise the mutation is refused.
    /// - Returns: the record as it is now in the file.
    @discardableResult
    public func save<M: Model>(_ model: M, where condition: RecordFilter<M>? = nil) async throws -> M {
        try await with { client in
            let saved = try await client.save(model, if: condition)
            if let number = saved.number { await Amplify.Hub.enqueued(client, number) }
            return saved.record ?? model
        }
    }

    /// Deletes a record. One that is not there is no error.
    public func delete<M: Model>(_ model: M, where condition: RecordFilter<M>? = nil) async throws {
        try await with { client in
            do {
                if let number = try await client.delete(model, if: condition) { await Amplify.Hub.enqueued(client, number) }
            } catch TomboloError.unknownRecord {}
        }
    }

    /// Deletes a record by its id: the first field of its key.
    public func delete<M: Model>(_ type: M.Type, withId id: String, where condition: RecordFilter<M>? = nil) async throws {
        guard let model = try await query(type, byId: id) else { return }
        try await delete(model, where: condition)
    }

    /// Deletes the records that match.
    ///
    /// - Throws: ``TomboloError/shape(detail:)`` if one of them does not have its type's shape; nothing is deleted then.
    public func delete<M: Model>(_ type: M.Type, where predicate: RecordFilter<M>) async throws {
        let models = try await with { try await $0.readable(RecordQuery(filter: predicate)).whole() }
        for model in models { try await delete(model) }
    }

    /// The record with an id: the first field of its key.
    public func query<M: Model>(_ type: M.Type, byId id: String) async throws -> M? {
        guard let key = M.model.key.first else { return nil }
        let filter = RecordFilter<M>(.object([key: .object(["eq": .string(id)])]))
        return try await with { try await $0.fetch(RecordQuery<M>(filter: filter, limit: 1)).first }
    }

    /// The record with a key.
    public func query<M: Model>(_ type: M.Type, byIdentifier key: M.KeyOfRecord) async throws -> M? {
        try await with { try await $0.get(type, key) }
    }

    /// The records that match, in an order, or a page of them.
    public func query<M: Model>(
        _ type: M.Type, where predicate: RecordFilter<M>? = nil, sort: QuerySort<M>? = nil,
        paginate page: QueryPagination? = nil
    ) async throws -> [M] {
        let query = RecordQuery<M>(
            filter: predicate, order: sort?.steps ?? [], limit: page?.limit, offset: page.map { $0.page * $0.limit } ?? 0)
        return try await with { try await $0.fetch(query) }
    }

    // MARK: What is observed

    /// What happens to a model's records from now on, here or on the server.
    public func observe<M: Model>(_ type: M.Type) async throws -> AsyncThrowingStream<MutationEvent, any Error> {
        try await with { try await RecordStore($0).observe(type) }
    }

    /// The records that match, at once and after each change, and whether they are what the server has.
    public func observeQuery<M: Model>(
        for type: M.Type, where predicate: RecordFilter<M>? = nil, sort: QuerySort<M>? = nil
    ) async throws -> AsyncThrowingStream<DataStoreQuerySnapshot<M>, any Error> {
        let query = RecordQuery<M>(filter: predicate, order: sort?.steps ?? [])
        return try await with { try RecordStore($0).snapshots(query) }
    }
}

/// An order of records: `.ascending(Post.keys.rating)`, `.by(.descending(Post.keys.rating), .ascending(Post.keys.title))`.
public struct QuerySort<M: Model>: Sendable {
    let steps: [RecordOrder<M>]

    public static func ascending(_ field: some SortableField<M>) -> QuerySort { QuerySort(steps: [field.ascending]) }
    public static func descending(_ field: some SortableField<M>) -> QuerySort { QuerySort(steps: [field.descending]) }
    public static func by(_ steps: RecordOrder<M>...) -> QuerySort { QuerySort(steps: steps) }
}

/// A page of records.
public struct QueryPagination: Sendable, Equatable {
    /// Its number, from 0.
    public let page: Int
    /// Records in a page.
    public let limit: Int

    /// A page by its number, from 0.
    public static func page(_ page: Int, limit: Int = 100) -> QueryPagination {
        QueryPagination(page: max(page, 0), limit: max(limit, 1))
    }

    /// The first hundred.
    public static var firstPage: QueryPagination { .page(0) }
    /// The first record.
    public static var firstResult: QueryPagination { .page(0, limit: 1) }
}

extension SyncedModel {
    /// The model's fields, as Amplify names them: `Post.keys.rating > 4`.
    public static var keys: FieldsOfRecord { fields }
}

/// Something that happened to a record.
public struct MutationEvent: Sendable, Equatable {
    /// What a mutation does to its record.
    public enum MutationType: String, Sendable, Equatable {
        case create, update, delete
    }

    /// The first field of the record's key, as text.
    public let modelId: String
    /// The model's name.
    public let modelName: String
    /// What happened.
    public let mutationType: MutationType
    /// The record as JSON text; of a delete as it was before.
    public let json: String

    init<M: Model>(_ type: MutationType, _ record: M) {
        let values = record.tomboloValues
        let first = M.model.key.first.flatMap { values[$0] } ?? .null
        modelId = first.string ?? first.json
        modelName = M.model.name
        mutationType = type
        json = JSONValue.object(values).json
    }

    /// The record.
    ///
    /// - Throws: ``DataStoreError/wrongModel(expected:actual:)``.
    public func decodeModel<M: Model>(as type: M.Type) throws -> M {
        guard M.model.name == modelName else {
            throw DataStoreError.wrongModel(expected: M.model.name, actual: modelName)
        }
        return try JSONValue(json: json).decode()
    }
}

/// The records of an `observeQuery` at a moment.
public struct DataStoreQuerySnapshot<M: Model>: Sendable, Equatable {
    /// The records.
    public let items: [M]
    /// Whether the model's records are what the server has, as of its newest word.
    public let isSynced: Bool
}
