import Foundation
import TomboloFFI

/// A way to the server.
public enum Transport: Sendable, Equatable {
    /// GraphQL over a WebSocket and HTTP: `http(s)://host/graphql`.
    case network(url: String)
    /// The same over MQTT: `mqtt://host`, `mqtts://host`, `ws://host/mqtt` or `wss://host/mqtt`.
    case mqtt(url: String)

    var native: TomboloFFI.Transport {
        switch self {
        case .network(let url): .network(url: url)
        case .mqtt(let url): .mqtt(url: url)
        }
    }
}

/// Opens a replica: one SQLite file, one schema, one account, and a link to its server.
///
/// ```swift
/// let client = try await Tombolo.open(schema: sdl, path: "notes.sqlite", url: "https://example.org/graphql",
///                                     credential: .apiKey("…"))
/// ```
///
/// It returns as soon as the file is open; the link comes up by itself.
///
/// - Parameters:
///   - schema: the schema as SDL text.
///   - path: the database file, made if it is not there. Its folder must exist.
///   - url: the server's GraphQL address, `http(s)://host/graphql`. Without it the client stays offline.
///   - fallbacks: further ways to the same server, tried in their order where those before are blocked.
///   - credential: what to present to the server at first.
///   - credentials: who is asked whenever the server wants another credential.
///   - account: whose file this is. A file of another account is refused.
///   - author: who makes the mutations. Default: the account.
///   - offline: opens without a link, until ``Client/setOnline(_:)`` or ``Client/syncOnce(budget:)``.
///   - scopes: which records a new file holds. Default: every model, whole.
///   - importDataStore: a file of Amplify DataStore to take over, records and unsent mutations: ``Client/dataStoreImport``.
///     ``AmplifyDataStoreFile/path(bundle:)`` says where Amplify kept it.
///   - removeDataStoreWhenSettled: whether that file is removed once all of it is settled.
///   - durable: whether a mutation survives a power cut when its call returns. It survives a kill of the process in any case.
/// - Throws: ``TomboloError``: `incomplete`, `schema`, `endpoint`, `unknownModel` and `request` (a scope's filter) are mistakes
///   in the call; `open` and `wrongAccount` say why the file cannot be used; `libraryMismatch`.
public func open(
    schema: String,
    path: String,
    url: String? = nil,
    fallbacks: [Transport] = [],
    credential: Credential? = nil,
    credentials: Credentials? = nil,
    account: String? = nil,
    author: String? = nil,
    offline: Bool = false,
    scopes: [Scope]? = nil,
    importDataStore: String? = nil,
    removeDataStoreWhenSettled: Bool = false,
    durable: Bool = true
) async throws -> Client {
    try ensureLibrary()
    let config = ClientConfig(
        schema: schema,
        path: path,
        url: url,
        transports: fallbacks.map(\.native),
        credential: credential?.native,
        account: account,
        author: author,
        offline: offline,
        scopes: scopes?.map(\.native),
        durability: durable ? nil : .normal,
        importDatastore: importDataStore,
        removeDatastoreWhenSettled: removeDataStoreWhenSettled
    )
    let provider = credentials.map(Provider.init)
    return Client(try await finished { try await TomboloFFI.Client.open(config: config, credentials: provider) })
}

/// A replica, opened by ``open(schema:path:url:fallbacks:credential:credentials:account:author:offline:scopes:importDataStore:removeDataStoreWhenSettled:durable:)``.
///
/// Reads and writes are local and never wait for the network. Every method may be called from any actor, several at once, and
/// from within callbacks; none blocks the thread that it is called on: files are read and written on threads of the client's
/// own. When nobody holds the client any more its file is released soon after; ``close()`` waits for it.
///
/// A task that is cancelled while it waits in a call gets `CancellationError` at once. Calls that change something
/// (``mutate(_:_:)``, ``transaction(isolation:_:)``, ``retry(_:)`` and so on) are brief and are carried out to their end all the same.
public final class Client: Sendable {
    let native: TomboloFFI.Client
    /// The live queries that are open.
    let open = Locked(0)
    /// The client has been resumed.
    private let resumed = Signal()
    /// The status that stood when the client was closed.
    private let last = Locked<Status?>(nil)

    init(_ native: TomboloFFI.Client) { self.native = native }

    // MARK: What is read and written

    /// Answers a query from the local file.
    ///
    /// - Throws: ``TomboloError``: `request`, `needsNetwork`, `store`.
    public func query(_ document: String, _ variables: Variables = [:]) async throws -> Answer {
        let variables = JSONValue.object(variables).json
        return Answer(
            try await cancellable { [native] cancel in
                try await native.query(document: document, variables: variables, cancel: cancel)
            })
    }

    /// Carries out a mutation on the local rows and queues it for the server, in one transaction. When it returns the mutation
    /// is in the file.
    ///
    /// - Throws: ``TomboloError``: `request`, `unknownRecord`, `refused`, `requestTooLarge`, `outboxFull`, `diskFull`, `busy`,
    ///   `store`. Nothing has been queued then.
    @discardableResult
    public func mutate(_ document: String, _ variables: Variables = [:]) async throws -> Mutated {
        let variables = JSONValue.object(variables).json
        let done = try await finished { [native] in try await native.mutate(document: document, variables: variables) }
        return Mutated(answer: Answer(done.answer), numbers: done.numbers)
    }

    /// Carries out several mutations together or not at all, here and on the server, offline too:
    ///
    /// ```swift
    /// try await client.transaction { t in
    ///     t.mutate(create, ["id": "a"])
    ///     t.mutate(create, ["id": "b"])
    /// }
    /// ```
    ///
    /// The body runs on the caller's actor.
    ///
    /// - Throws: what the body throws, and as ``mutate(_:_:)``. Nothing has been queued then.
    @discardableResult
    public func transaction(
        isolation: isolated (any Actor)? = #isolation, _ body: (inout Transaction) throws -> Void
    ) async throws -> Transacted {
        var transaction = Transaction()
        try body(&transaction)
        let operations = transaction.operations
        let done = try await finished { [native] in try await native.transaction(operations: operations) }
        return Transacted(answers: done.answers.map(Answer.init), numbers: done.numbers)
    }

    /// Watches a query: the local answer at once; then, each time it has become another one, the newest.
    ///
    /// Changes that come quickly one after the other are taken together, a transaction is never seen half done, and the same
    /// answer is never given twice in a row. While the client is suspended it waits; it ends when the client is closed, when
    /// its task is cancelled, and when nobody holds the stream any more. An error (`store`) ends the loop, not the stream.
    ///
    /// - Throws: as ``query(_:_:)``, for the document and its variables.
    public func watch(
        _ document: String, _ variables: Variables = [:]
    ) throws -> AsyncThrowingStream<Answer, any Error> {
        try watching(document, variables).stream { $0 }
    }

    func watching(_ document: String, _ variables: Variables) throws -> Handle<Answer> {
        try atOnce { try native.watch(document: document, variables: JSONValue.object(variables).json) }
            .handle(open: open)
    }

    /// How many live queries of this client are open.
    public var liveQueriesOpen: Int { open.with { $0 } }

    // MARK: How it stands

    /// How the replica stands. It can be read after ``close()``, too.
    ///
    /// - Throws: ``TomboloError/thread(detail:)`` alone.
    public var status: Status {
        get throws {
            do {
                return Status(try atOnce { try native.status() })
            } catch TomboloError.closed {
                if let last = last.with({ $0 }) { return last }
                throw TomboloError.closed
            }
        }
    }

    /// The status at once; then, each time it has changed, the newest.
    ///
    /// - Throws: ``TomboloError/closed``.
    public func statuses() throws -> AsyncThrowingStream<Status, any Error> {
        let watch = try atOnce { try native.watchStatus() }
        return Handle(ask: { try await watch.next(cancel: $0) }, stop: { watch.stop() }).stream(Status.init)
    }

    /// What happens from now on, each event once. The outbox and the status hold what lasts.
    ///
    /// - Throws: ``TomboloError/closed``.
    public func events() throws -> AsyncThrowingStream<Event, any Error> {
        let events = try atOnce { try native.events() }
        return Handle(ask: { try await events.next(cancel: $0) }, stop: { events.stop() }).stream(Event.init)
    }

    /// What was saved out of a damaged file when this one was made; `nil` for one that was never damaged.
    ///
    /// - Throws: ``TomboloError/closed``.
    public var salvage: Salvage? {
        get throws { try atOnce { try native.salvage() }.map(Salvage.init) }
    }

    /// What was taken over of a file of Amplify DataStore; `nil` if none was given, now or before.
    ///
    /// - Throws: ``TomboloError/closed``.
    public var dataStoreImport: ImportReport? {
        get throws { try atOnce { try native.datastoreImport() }.map(ImportReport.init) }
    }

    // MARK: The outbox

    /// The mutations that are not settled, and those refused that the app has not taken note of. One that the server has
    /// carried out, and whose effect the feed is about to bring, stands as `applied`, merged or not.
    ///
    /// - Throws: ``TomboloError/store(detail:code:)``.
    public func outbox() async throws -> [Mutation] {
        try await cancellable { [native] in try await native.outbox(cancel: $0) }.map(Mutation.init)
    }

    /// Mutations on their way and ended.
    ///
    /// - Throws: ``TomboloError/store(detail:code:)``.
    public func mutations(_ filter: MutationFilter = MutationFilter()) async throws -> [Mutation] {
        try await cancellable { [native] in try await native.mutations(filter: filter.native, cancel: $0) }
            .map(Mutation.init)
    }

    /// One mutation, on its way or ended.
    ///
    /// - Throws: ``TomboloError/store(detail:code:)``.
    public func mutation(_ number: MutationNumber) async throws -> Mutation? {
        try await finished { [native] in try await native.mutation(number: number) }.map(Mutation.init)
    }

    /// Waits for a mutation's final state.
    ///
    /// - Throws: ``TomboloError``: `unknownMutation`, `closed`.
    public func outcome(_ number: MutationNumber) async throws -> Outcome {
        Outcome(try await cancellable { [native] in try await native.outcome(number: number, cancel: $0) })
    }

    /// Tries a rejected or wedged mutation again, under new numbers.
    ///
    /// - Throws: ``TomboloError``: `unknownMutation`, `wrongState`, `refused`.
    @discardableResult
    public func retry(_ number: MutationNumber) async throws -> [MutationNumber] {
        try await finished { [native] in try await native.retry(number: number) }
    }

    /// Tries a rejected or wedged mutation again with other values of some fields.
    ///
    /// - Throws: as ``retry(_:)``; `request` if a field or its value is wrong.
    @discardableResult
    public func editAndRetry(_ number: MutationNumber, values: [String: JSONValue]) async throws -> [MutationNumber] {
        let values = JSONValue.object(values).json
        return try await finished { [native] in try await native.editAndRetry(number: number, values: values) }
    }

    /// Gives up a queued or wedged mutation, or takes note of a refused one.
    ///
    /// - Throws: ``TomboloError``: `unknownMutation`, `wrongState`.
    public func discard(_ number: MutationNumber) async throws {
        try await finished { [native] in try await native.discard(number: number) }
    }

    // MARK: The link

    /// Wants a link, or none.
    ///
    /// - Throws: ``TomboloError/incomplete(detail:)`` without a URL.
    public func setOnline(_ online: Bool) async throws {
        try await finished { [native] in try await native.setOnline(online: online) }
    }

    /// Gives another credential.
    ///
    /// - Throws: ``TomboloError``: `closed`, `suspended`.
    public func setCredential(_ credential: Credential) async throws {
        try await finished { [native] in try await native.setCredential(credential: credential.native) }
    }

    /// Goes by another way to the same server.
    ///
    /// - Throws: ``TomboloError/endpoint(detail:)``.
    public func setTransport(_ transport: Transport) async throws {
        try await finished { [native] in try await native.setTransport(transport: transport.native) }
    }

    /// Pushes and pulls until nothing is left to do or the budget is spent: for background work. It makes a link of its own if
    /// the client has none. No network is not an error.
    ///
    /// - Throws: ``TomboloError``: `unauthorized`, `incomplete`.
    @discardableResult
    public func syncOnce(budget: Duration) async throws -> SyncReport {
        let budget = milliseconds(budget)
        return SyncReport(try await cancellable { [native] in try await native.syncOnce(budgetMs: budget, cancel: $0) })
    }

    // MARK: What it holds

    /// What this replica holds.
    ///
    /// - Throws: ``TomboloError/closed``.
    public var scopes: [ScopeStatus] {
        get throws { try atOnce { try native.scopes() }.map(ScopeStatus.init) }
    }

    /// Holds the records of a model that match a filter, or all of them.
    ///
    /// - Throws: ``TomboloError``: `unknownModel`, `request`.
    public func setScope(_ scope: Scope) async throws {
        let given = scope.native
        try await finished { [native] in try await native.setScope(model: given.model, filter: given.filter) }
    }

    /// Holds nothing of a model any more.
    ///
    /// - Throws: ``TomboloError/unknownModel(detail:model:)``.
    public func removeScope(_ model: String) async throws {
        try await finished { [native] in try await native.removeScope(model: model) }
    }

    // MARK: Its end, for a while or for good

    /// Lets go of file and link, before the system suspends the app: a process that is suspended with a lock on a file in a
    /// shared container is killed. Twice is no error.
    ///
    /// - Throws: ``TomboloError``: `closed`, `signedOut`.
    public func suspend() async throws { try await finished { [native] in try await native.suspend() } }

    /// Takes them up again. Twice is no error.
    ///
    /// - Throws: ``TomboloError``: `open`, `signedOut`.
    public func resume() async throws {
        try await finished { [native] in try await native.resume() }
        resumed.tell()
    }

    /// Each time that the client has been resumed, from now on.
    package func resumptions() -> AsyncStream<Void> { resumed.follow() }

    /// Whether the client is suspended.
    ///
    /// - Throws: ``TomboloError/closed``.
    public var isSuspended: Bool {
        get throws { try atOnce { try native.isSuspended() } }
    }

    /// Signs the account out. If its task is cancelled it may have happened: ``Accounts/list()`` tells.
    ///
    /// - Throws: ``TomboloError``: `incomplete`, `suspended`, `store`: the account is still signed in.
    @discardableResult
    public func signOut(_ how: SignOut) async throws -> SignedOut {
        SignedOut(try await cancellable { [native] in try await native.signOut(how: how.native, cancel: $0) })
    }

    /// Carries out what was called before, ends the link and releases the file. Twice is no error. Every call after it fails
    /// with ``TomboloError/closed``; streams end.
    public func close() async {
        if let status = try? native.status() { last.with { $0 = Status(status) } }
        // It has no error of its own.
        try? await native.shutDown()
    }
}
