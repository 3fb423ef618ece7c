import Foundation
import TomboloFFI

/// The file that Amplify DataStore has left on this device, to be taken over:
///
/// ```swift
/// try await Tombolo.open(schema: sdl, path: path, url: url, importDataStore: try AmplifyDataStoreFile.path())
/// ```
public enum AmplifyDataStoreFile {
    /// Where Amplify for Swift keeps it, and Flutter on iOS: `<Documents>/<CFBundleName>.db`, and `app.db` for an app without a
    /// bundle name. It need not be there: then nothing is taken over.
    ///
    /// - Parameter bundle: the app that used DataStore. In an app's own process, where its Documents are, that is `main`.
    /// - Throws: ``TomboloError/incomplete(detail:)`` if the system knows no folder of documents.
    public static func path(bundle: Bundle = .main) throws -> String {
        guard let documents = FileManager.default.urls(for: .documentDirectory, in: .userDomainMask).first else {
            throw TomboloError.incomplete(detail: "the system knows no folder of documents: give the old file's path yourself")
        }
        // As Amplify asks for it, so that a name which Info.plist translates is the same here: kCFBundleNameKey, else "app".
        let name = bundle.object(forInfoDictionaryKey: "CFBundleName") as? String ?? "app"
        return documents.appendingPathComponent("\(name).db").path
    }
}

/// What became of a file of Amplify DataStore that was taken over.
public struct ImportReport: Sendable, Equatable {
    /// Which adapter wrote it.
    public enum Format: Sendable, Equatable {
        /// Amplify for Swift, and Flutter on iOS.
        case ios
        /// Amplify for Android, and Flutter on Android.
        case android
    }

    /// How far an import has come.
    public enum State: Sendable, Equatable {
        /// Everything was taken; some of the mutations are not settled yet.
        case unsettled
        /// Each mutation that was taken is settled.
        case settled
        /// The file could not be taken over; the next opening tries again.
        case failed
        /// Another replica has taken this file over before.
        case takenBefore
    }

    /// One thing that could not be taken, or was noticed.
    public struct Problem: Sendable, Equatable {
        /// The table in the old file.
        public let table: String
        /// The row; `nil` for the whole table.
        public let row: String?
        /// The column, or the member of a mutation's content.
        public let column: String?
        /// What is wrong, and what it means.
        public let problem: String
        /// An unsent mutation that was not taken.
        public let isMutation: Bool
        /// The mutation as it stands in the old file.
        public let content: String?
    }

    /// The old file.
    public let path: String
    /// Who wrote it; `nil` if that was not found out.
    public let format: Format?
    /// How far it has come.
    public let state: State
    /// Why it failed.
    public let error: String?
    /// Records that are here now.
    public let records: Int
    /// Tombstones that are here now.
    public let tombstones: Int
    /// Records of which the old file did not know at which version they were synced.
    public let recordsUnversioned: Int
    /// Records that no server may have, queued as creations.
    public let uploads: Int
    /// Records that were not taken.
    public let recordsLeft: Int
    /// Unsent mutations that are in the outbox now.
    public let mutations: Int
    /// Of those, the ones that DataStore may have sent.
    public let mutationsMayBeSent: Int
    /// Unsent mutations that could not be taken. Each is in ``problems``, with its content.
    public let mutationsLeft: Int
    /// Of those taken, the ones that are not settled yet or were refused and not taken note of.
    public let unsettled: Int
    /// Numbers of the first and the last mutation taken, 0 for none.
    public let firstNumber, lastNumber: MutationNumber
    /// What could not be taken, and what was noticed.
    public let problems: [Problem]
    /// Problems beyond the bound, none of them with a mutation.
    public let problemsUntold: Int
    /// The old file was removed after everything was settled.
    public let isRemoved: Bool

    init(_ given: TomboloFFI.ImportReport) {
        path = given.path
        format = given.format.map { $0 == .ios ? .ios : .android }
        state =
            switch given.state {
            case .unsettled: .unsettled
            case .settled: .settled
            case .failed: .failed
            case .takenBefore: .takenBefore
            }
        error = given.error
        records = count(given.records)
        tombstones = count(given.tombstones)
        recordsUnversioned = count(given.recordsUnversioned)
        uploads = count(given.uploads)
        recordsLeft = count(given.recordsLeft)
        mutations = count(given.mutations)
        mutationsMayBeSent = count(given.mutationsMayBeSent)
        mutationsLeft = count(given.mutationsLeft)
        unsettled = count(given.unsettled)
        firstNumber = given.firstNumber
        lastNumber = given.lastNumber
        problems = given.problems.map {
            Problem(
                table: $0.table, row: $0.row, column: $0.column, problem: $0.problem, isMutation: $0.isMutation,
                content: $0.content)
        }
        problemsUntold = count(given.problemsUntold)
        isRemoved = given.removed
    }
}
