import Foundation
import TomboloFFI

/// Everything that a call can fail with, beside `CancellationError` for a task that was cancelled.
///
/// An error of a mutation means that nothing was queued. Being offline is never one. `detail` is for developers: it names the
/// place, what was wrong there and the mend.
public enum TomboloError: Error, Sendable, Equatable {
    /// Something is missing from the configuration.
    case incomplete(detail: String)
    /// The schema cannot work; every error with its place.
    case schema(detail: String)
    /// The address is not a server's.
    case endpoint(detail: String)
    /// The document, its variables or a mutation's input is wrong.
    case request(detail: String, problems: [GraphQLProblem])
    /// The operation has no answer in the local data.
    case needsNetwork(detail: String, problems: [GraphQLProblem])
    /// Single fields of an answer failed, so that it does not have the shape of its type.
    case answer(detail: String, problems: [GraphQLProblem])
    /// An argument that must be JSON text is not.
    case json(detail: String)
    /// An update or a delete of a record that this replica does not hold.
    case unknownRecord(detail: String, model: String)
    /// The mutation cannot succeed. `code` is a stable name, AppSync's where it has one.
    case refused(detail: String, code: String)
    /// More than the server takes in one request.
    case requestTooLarge(detail: String)
    /// The outbox holds as many mutations as it may.
    case outboxFull(detail: String)
    /// The schema has no such model.
    case unknownModel(detail: String, model: String)
    /// The outbox has no such mutation.
    case unknownMutation(detail: String, number: MutationNumber)
    /// The mutation's state does not allow it.
    case wrongState(detail: String)
    /// The answer does not have the shape of its type.
    case shape(detail: String)
    /// The disk is full.
    case diskFull(detail: String)
    /// The file is busy, or another app's lock holds it.
    case busy(detail: String)
    /// The file cannot be read or written. `code` is `read_only`, `corrupt` or `store`.
    case store(detail: String, code: String)
    /// The file cannot be opened. `code` is `in_use`, `newer_file`, `foreign_file` or `open`.
    case open(detail: String, code: String)
    /// The file is another account's.
    case wrongAccount(detail: String)
    /// The system gave no thread.
    case thread(detail: String)
    /// The server refused the credential.
    case unauthorized(detail: String)
    /// The client is suspended: ``Client/resume()`` first.
    case suspended
    /// The account has signed out of this file.
    case signedOut
    /// The client has been closed.
    case closed
    /// The library and this package are of different releases.
    case libraryMismatch(detail: String)
    /// A mistake of ours, which was reported (``setReporter(_:)``). The client may be used on.
    case panicked(detail: String)
}

extension TomboloError {
    /// Whether the same call may succeed later without anything else being done.
    public var canRetry: Bool {
        switch self {
        case .diskFull, .busy, .outboxFull: true
        case .open(_, let code): code == "in_use"
        case .incomplete, .schema, .endpoint, .request, .needsNetwork, .answer, .json, .unknownRecord, .refused,
            .requestTooLarge, .unknownModel, .unknownMutation, .wrongState, .shape, .store, .wrongAccount, .thread,
            .unauthorized, .suspended, .signedOut, .closed, .libraryMismatch, .panicked:
            false
        }
    }

    /// Whether the user has to sign in again, or the app to give another credential.
    public var needsSignIn: Bool { if case .unauthorized = self { true } else { false } }

    /// The errors of the GraphQL answer behind it, with their places; empty for most.
    public var problems: [GraphQLProblem] {
        switch self {
        case .request(_, let problems), .needsNetwork(_, let problems), .answer(_, let problems): problems
        default: []
        }
    }

    /// Words for developers.
    public var detail: String {
        switch self {
        case .incomplete(let detail), .schema(let detail), .endpoint(let detail), .request(let detail, _),
            .needsNetwork(let detail, _), .answer(let detail, _), .json(let detail), .unknownRecord(let detail, _),
            .refused(let detail, _), .requestTooLarge(let detail), .outboxFull(let detail), .unknownModel(let detail, _),
            .unknownMutation(let detail, _), .wrongState(let detail), .shape(let detail), .diskFull(let detail),
            .busy(let detail), .store(let detail, _), .open(let detail, _), .wrongAccount(let detail),
            .thread(let detail), .unauthorized(let detail), .libraryMismatch(let detail), .panicked(let detail):
            detail
        case .suspended: "the client is suspended; call resume first"
        case .signedOut: "the account has signed out; open the client again with its account"
        case .closed: "the client has been closed"
        }
    }
}

extension TomboloError: LocalizedError, CustomStringConvertible {
    public var errorDescription: String? { detail }
    public var description: String { detail }
}

/// One error of a GraphQL answer.
public struct GraphQLProblem: Sendable, Equatable {
    /// What went wrong and what to do about it.
    public let detail: String
    /// The stable name that programs branch on, AppSync's where it has one.
    public let errorType: String?
    /// The field that it concerns: `["listNotes", "items", 0, "text"]`.
    public let path: [JSONValue]
    /// Its line in the document, from 1.
    public let line: Int?
    /// Its column, from 1.
    public let column: Int?

    /// One of this side, without a place in the document.
    init(detail: String, errorType: String) {
        (self.detail, self.errorType) = (detail, errorType)
        (path, line, column) = ([], nil, nil)
    }

    init(_ given: GraphqlProblem) {
        detail = given.detail
        errorType = given.errorType
        path = given.path.flatMap { try? JSONValue(json: $0) }?.array ?? []
        line = given.line.map(Int.init)
        column = given.column.map(Int.init)
    }
}

/// An error of the other side as this package's, or as the language's own.
func told(_ error: any Error) -> any Error {
    guard let error = error as? TomboloFFI.TomboloError else {
        // What an app's own closure threw, or what uniffi says of a call that went wrong in its own code.
        return error
    }
    let problems = { (given: [GraphqlProblem]) in given.map(GraphQLProblem.init) }
    return switch error {
    case .Cancelled: CancellationError()
    case .Incomplete(let detail): TomboloError.incomplete(detail: detail)
    case .Schema(let detail): TomboloError.schema(detail: detail)
    case .Endpoint(let detail): TomboloError.endpoint(detail: detail)
    case .Request(let detail, let given): TomboloError.request(detail: detail, problems: problems(given))
    case .NeedsNetwork(let detail, let given): TomboloError.needsNetwork(detail: detail, problems: problems(given))
    case .Json(let detail): TomboloError.json(detail: detail)
    case .UnknownRecord(let detail, let model): TomboloError.unknownRecord(detail: detail, model: model)
    case .Refused(let detail, let code): TomboloError.refused(detail: detail, code: code)
    case .RequestTooLarge(let detail): TomboloError.requestTooLarge(detail: detail)
    case .OutboxFull(let detail): TomboloError.outboxFull(detail: detail)
    case .UnknownModel(let detail, let model): TomboloError.unknownModel(detail: detail, model: model)
    case .UnknownMutation(let detail, let number): TomboloError.unknownMutation(detail: detail, number: number)
    case .WrongState(let detail): TomboloError.wrongState(detail: detail)
    case .Shape(let detail): TomboloError.shape(detail: detail)
    case .DiskFull(let detail): TomboloError.diskFull(detail: detail)
    case .Busy(let detail): TomboloError.busy(detail: detail)
    case .Store(let detail, let code): TomboloError.store(detail: detail, code: code)
    case .Open(let detail, let code): TomboloError.open(detail: detail, code: code)
    case .WrongAccount(let detail): TomboloError.wrongAccount(detail: detail)
    case .Thread(let detail): TomboloError.thread(detail: detail)
    case .Unauthorized(let detail): TomboloError.unauthorized(detail: detail)
    case .Suspended: TomboloError.suspended
    case .SignedOut: TomboloError.signedOut
    case .Closed: TomboloError.closed
    case .Panicked(let detail): TomboloError.panicked(detail: detail)
    }
}
