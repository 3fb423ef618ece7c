import Foundation
import TomboloFFI

/// The number of a mutation, by which the outbox, the events and the outcomes speak of it.
public typealias MutationNumber = UInt64

/// One mutation of this replica, from the call to its final state and after.
public struct Mutation: Sendable, Equatable, Identifiable {
    /// What a mutation does to its record.
    public enum Kind: Sendable, Equatable, CaseIterable {
        /// Makes it.
        case create
        /// Changes some of its fields.
        case update
        /// Removes it.
        case delete
    }

    /// Where a mutation stands. The last four are final.
    public enum State: Sendable, Equatable, CaseIterable {
        /// Not sent yet.
        case queued
        /// Sent; the answer is still to come.
        case inFlight
        /// The server never decided it: retry, edit or discard it.
        case wedged
        /// The app gave it up after it was sent; the server is still to say whether it had carried it out.
        case givenUp
        /// Carried out as it was sent.
        case applied
        /// Carried out, merged with a change that it had not seen.
        case merged
        /// Refused by the server.
        case rejected
        /// Given up by the app, and never carried out.
        case discarded
    }

    /// Its number. It may be another than the one that it was asked for by, see ``Event/renumbered(low:high:by:)``.
    public let number: MutationNumber
    /// The first number of its transaction; its own for a mutation alone.
    public let transaction: MutationNumber
    /// The model.
    public let model: String
    /// Create, update or delete.
    public let kind: Kind
    /// The values of the record's key, in order.
    public let key: [JSONValue]
    /// The fields that the user set.
    public let values: [String: JSONValue]
    /// Where it stands.
    public let state: State
    /// Nothing more will come of it.
    public let isSettled: Bool
    /// Why it was refused or wedged.
    public let reason: String?
    /// The stable code of a refusal, AppSync's where it has one.
    public let reasonCode: String?
    /// What was in conflict or refused, field by field.
    public let conflict: JSONValue?
    /// The mutation that the app made of it by a retry.
    public let became: MutationNumber?
    /// Mutations that have to succeed first.
    public let dependsOn: [MutationNumber]
    /// Who made it.
    public let author: String?
    /// When it was made.
    public let createdAt: Date
    /// When it was settled.
    public let endedAt: Date?
    /// How often the server answered without deciding.
    public let tries: Int

    public var id: MutationNumber { number }

    init(_ given: TomboloFFI.Mutation) {
        number = given.number
        transaction = given.transaction
        model = given.model
        kind = Kind(given.kind)
        key = (try? JSONValue(json: given.key))?.array ?? []
        values = (try? JSONValue(json: given.values))?.object ?? [:]
        state = State(given.state)
        isSettled = given.settled
        reason = given.reason
        reasonCode = given.reasonCode
        conflict = given.conflict.flatMap { try? JSONValue(json: $0) }
        became = given.became
        dependsOn = given.dependsOn
        author = given.author
        createdAt = date(given.createdAtMs)
        endedAt = given.endedAtMs.map(date)
        tries = Int(given.tries)
    }
}

/// How a mutation ended.
public enum Outcome: Sendable, Equatable {
    /// As it was sent.
    case applied
    /// Merged with a change that it had not seen.
    case merged
    /// Refused by the server. `code` is a stable name, AppSync's where it has one; `detail` says what to do about it.
    case rejected(code: String, detail: String)
    /// Given up by the app, or taken back before it was ever sent.
    case discarded

    init(_ given: TomboloFFI.Outcome) {
        self =
            switch given {
            case .applied: .applied
            case .merged: .merged
            case .rejected(let code, let detail): .rejected(code: code, detail: detail)
            case .discarded: .discarded
            }
    }

    /// Whether the server has carried it out.
    public var tookEffect: Bool { self == .applied || self == .merged }
}

/// Which mutations ``Client/mutations(_:)`` lists.
public struct MutationFilter: Sendable, Equatable {
    /// Only those of this model.
    public var model: String?
    /// Only those of the record with this key, its values in order.
    public var key: [JSONValue]?
    /// Only those in one of these states; empty: in any.
    public var states: [Mutation.State]
    /// Only those with greater numbers.
    public var after: MutationNumber
    /// Most to be listed; `nil`: as many as may be.
    public var limit: UInt32?

    public init(
        model: String? = nil, key: [JSONValue]? = nil, states: [Mutation.State] = [], after: MutationNumber = 0,
        limit: UInt32? = nil
    ) {
        self.model = model
        self.key = key
        self.states = states
        self.after = after
        self.limit = limit
    }

    var native: TomboloFFI.MutationFilter {
        TomboloFFI.MutationFilter(
            model: model, key: key.map { JSONValue.array($0).json }, states: states.map(\.native), after: after,
            limit: limit)
    }
}

extension Mutation.Kind {
    init(_ given: TomboloFFI.MutationKind) {
        self =
            switch given {
            case .create: .create
            case .update: .update
            case .delete: .delete
            }
    }
}

extension Mutation.State {
    init(_ given: TomboloFFI.MutationState) {
        self =
            switch given {
            case .queued: .queued
            case .inFlight: .inFlight
            case .wedged: .wedged
            case .givenUp: .givenUp
            case .applied: .applied
            case .merged: .merged
            case .rejected: .rejected
            case .discarded: .discarded
            }
    }

    var native: TomboloFFI.MutationState {
        switch self {
        case .queued: .queued
        case .inFlight: .inFlight
        case .wedged: .wedged
        case .givenUp: .givenUp
        case .applied: .applied
        case .merged: .merged
        case .rejected: .rejected
        case .discarded: .discarded
        }
    }
}

func date(_ milliseconds: Int64) -> Date { Date(timeIntervalSince1970: Double(milliseconds) / 1000) }

/// Milliseconds of a length of time, at least 0.
func milliseconds(_ duration: Duration) -> UInt64 {
    let (seconds, attoseconds) = duration.components
    guard seconds >= 0, attoseconds >= 0 else { return 0 }
    let (product, over) = UInt64(seconds).multipliedReportingOverflow(by: 1000)
    return over ? .max : product &+ UInt64(attoseconds / 1_000_000_000_000_000)
}

/// A count of the other side.
func count(_ given: UInt64) -> Int { Int(clamping: given) }
