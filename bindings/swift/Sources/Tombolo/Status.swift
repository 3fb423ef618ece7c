import Foundation
import TomboloFFI

/// The records of a model that a replica holds, or is to hold.
public struct Scope: Sendable, Equatable {
    /// The model's name.
    public var model: String
    /// The API's filter input for the model; `nil` for all of its records.
    public var filter: JSONValue?

    public init(_ model: String, filter: JSONValue? = nil) {
        self.model = model
        self.filter = filter
    }

    init(_ given: ScopeConfig) {
        model = given.model
        filter = given.filter.flatMap { try? JSONValue(json: $0) }
    }

    var native: ScopeConfig { ScopeConfig(model: model, filter: filter?.json) }
}

/// One scope and how it stands.
public struct ScopeStatus: Sendable, Equatable {
    /// What is held.
    public let scope: Scope
    /// Something of it has been durably applied.
    public let hasBegun: Bool
    /// Complete up to the server's head as of its newest word.
    public let isUpToDate: Bool
    /// Why the server does not give it, in its words.
    public let refused: String?

    init(_ given: TomboloFFI.ScopeStatus) {
        scope = Scope(given.scope)
        hasBegun = given.begun
        isUpToDate = given.upToDate
        refused = given.refused
    }
}

/// How a replica stands.
public struct Status: Sendable, Equatable {
    /// The link to the server.
    public enum Link: Sendable, Equatable, CaseIterable {
        /// The app wants none.
        case offline
        /// Waiting to try again.
        case waiting
        /// Being opened.
        case opening
        /// Open, fetching what was missed.
        case catchingUp
        /// Open; changes arrive as they happen.
        case live
        /// The credential was refused; waiting for the app.
        case paused
        /// Wanted, but another process on the same file has it, and sends what this one queues.
        case elsewhere
    }

    /// What went wrong most recently.
    public struct Trouble: Sendable, Equatable {
        /// A stable word: `lost`, `unauthorized`, `protocol`, `refused`, `undecided`, `stalled`, `store`.
        public let code: String
        /// Words for people.
        public let detail: String
        /// When.
        public let at: Date
    }

    /// The link.
    public let link: Link
    /// What the open link goes by, such as `websocket`; `nil` while there is no link.
    public let transport: String?
    /// Mutations on their way: queued, in flight, or acknowledged and not yet settled.
    public let pending: Int
    /// Of those, sent and not yet answered.
    public let inFlight: Int
    /// Mutations that wait for the app.
    public let wedged: Int
    /// Refused mutations that the app has not taken note of.
    public let rejected: Int
    /// Of the pending ones, held back until the server knows their schema.
    public let held: Int
    /// The newest trouble, until the next progress.
    public let lastError: Trouble?
    /// The link is open and every scope is complete up to the server's head as of its newest word.
    public let isUpToDate: Bool
    /// Each scope, by model name.
    public let scopes: [ScopeStatus]

    init(_ given: TomboloFFI.Status) {
        link = Link(given.link)
        transport = given.transport
        pending = count(given.pending)
        inFlight = count(given.inFlight)
        wedged = count(given.wedged)
        rejected = count(given.rejected)
        held = count(given.held)
        lastError = given.lastError.map { Trouble(code: $0.code, detail: $0.detail, at: date($0.atMs)) }
        isUpToDate = given.upToDate
        scopes = given.scopes.map(ScopeStatus.init)
    }
}

extension Status.Link {
    init(_ given: TomboloFFI.LinkStatus) {
        self =
            switch given {
            case .offline: .offline
            case .waiting: .waiting
            case .opening: .opening
            case .catchingUp: .catchingUp
            case .live: .live
            case .paused: .paused
            case .elsewhere: .elsewhere
            }
    }
}

/// What a round of ``Client/syncOnce(budget:)`` did.
public struct SyncReport: Sendable, Equatable {
    /// Mutations that the server applied or merged.
    public let pushed: Int
    /// Mutations that the server refused.
    public let rejected: Int
    /// Records that came or left.
    public let pulled: Int
    /// Mutations still on their way.
    public let pending: Int
    /// Everything that the server had was here at the end.
    public let isUpToDate: Bool
    /// Nothing is left to do: up to date, with nothing pending.
    public let isComplete: Bool
    /// The newest trouble, in words for people, if the round did not get through.
    public let trouble: String?

    init(_ given: TomboloFFI.SyncReport) {
        pushed = count(given.pushed)
        rejected = count(given.rejected)
        pulled = count(given.pulled)
        pending = count(given.pending)
        isUpToDate = given.upToDate
        isComplete = given.complete
        trouble = given.trouble
    }
}

/// What becomes of an account's file when it signs out.
public enum SignOut: Sendable, Equatable {
    /// Send what is queued first, for at most this long. What is left is kept, sealed.
    case sendFirst(budget: Duration)
    /// Keep the file as it is, sealed, without sending anything.
    case keepSealed
    /// Remove the file with everything that was not sent.
    case discard

    var native: TomboloFFI.SignOut {
        switch self {
        case .sendFirst(let budget): .sendFirst(budgetMs: milliseconds(budget))
        case .keepSealed: .keepSealed
        case .discard: .discard
        }
    }
}

/// What became of an account's mutations when it signed out.
public struct SignedOut: Sendable, Equatable {
    /// Mutations that the server applied or merged in the course of it.
    public let sent: Int
    /// Mutations that are kept in the sealed file.
    public let kept: Int
    /// Mutations that were thrown away with the file.
    public let discarded: Int

    init(_ given: TomboloFFI.SignedOut) {
        sent = count(given.sent)
        kept = count(given.kept)
        discarded = count(given.discarded)
    }
}

/// What was saved out of a damaged file.
public struct Salvage: Sendable, Equatable {
    /// Where the damaged file is kept.
    public let damaged: String
    /// What was wrong, in the database's words.
    public let problem: String
    /// The replica is the same one as before.
    public let isSameReplica: Bool
    /// Mutations saved, in any state.
    public let mutations: Int
    /// Of those, of which it is not known whether they took effect.
    public let uncertain: Int
    /// Mutations that could be seen but not read.
    public let lost: Int
    /// The queue could be walked from end to end.
    public let isWhole: Bool

    init(_ given: TomboloFFI.Salvage) {
        damaged = given.damaged
        problem = given.problem
        isSameReplica = given.sameReplica
        mutations = count(given.mutations)
        uncertain = count(given.uncertain)
        lost = count(given.lost)
        isWhole = given.whole
    }
}

/// Something that an app may want to act on, told once.
public enum Event: Sendable, Equatable {
    /// A mutation has reached its final state.
    case decided(number: MutationNumber, outcome: Outcome)
    /// A mutation cannot be decided as it stands and waits for the app: retry or discard it.
    case wedged(number: MutationNumber, reason: String)
    /// The server refused the credential.
    case needToken
    /// Another process has signed the account out of this file; this client has ended.
    case signedOut
    /// The file goes on under a fresh identity, since another replica has used its numbers.
    case replicaRenewed(replica: String)
    /// Mutations go on under new numbers: number `n` from `low` to `high` became `n + by`.
    case renumbered(low: MutationNumber, high: MutationNumber, by: UInt64)
    /// The link was open and owed something, and nothing came for 30 s; it is being opened anew.
    case stalled
    /// The file was damaged.
    case salvaged(Salvage)
    /// A file of Amplify DataStore was taken over, or could not be; told again when everything that was taken is settled.
    case imported(ImportReport)
    /// The app was so slow to ask that the oldest events are gone; the outbox and the status hold what lasts.
    case missed(count: Int)

    init(_ given: TomboloFFI.Event) {
        self =
            switch given {
            case .decided(let number, let outcome): .decided(number: number, outcome: Outcome(outcome))
            case .wedged(let number, let reason): .wedged(number: number, reason: reason)
            case .needToken: .needToken
            case .signedOut: .signedOut
            case .replicaRenewed(let replica): .replicaRenewed(replica: replica)
            case .renumbered(let low, let high, let by): .renumbered(low: low, high: high, by: by)
            case .stalled: .stalled
            case .salvaged(let salvage): .salvaged(Salvage(salvage))
            case .imported(let report): .imported(ImportReport(report))
            case .missed(let missed): .missed(count: Tombolo.count(missed))
            }
    }
}
