import Foundation
import TomboloFFI

/// The accounts of an app on this device: a file each, in one folder.
public struct Accounts: Sendable {
    /// An account with a file on this device.
    public struct File: Sendable, Equatable {
        /// The account.
        public let account: String
        /// Its file.
        public let path: String
        /// It has signed out and left something behind.
        public let isSealed: Bool
        /// Mutations that only this file knows.
        public let unsent: Int
        /// Why nothing more can be said of the file now.
        public let unreadable: String?
    }

    /// The folder.
    public let folder: String

    /// The accounts of a folder, which must exist before a client is opened in it.
    public init(folder: String) { self.folder = folder }

    /// The same, by its file URL.
    public init(folder: URL) { self.init(folder: folder.path) }

    /// The file of an account, to open a client with. Two accounts never have the same.
    ///
    /// - Throws: ``TomboloError/libraryMismatch(detail:)``.
    public func path(_ account: String) throws -> String {
        try ensureLibrary()
        return accountPath(folder: folder, account: account)
    }

    /// The accounts that have a file, by name. No folder is no account.
    ///
    /// - Throws: ``TomboloError/open(detail:code:)`` if the folder cannot be read.
    public func list() async throws -> [File] {
        try ensureLibrary()
        let folder = folder
        return try await finished { try await accounts(folder: folder) }.map { file in
            File(
                account: file.account, path: file.path, isSealed: file.sealed, unsent: count(file.unsent),
                unreadable: file.unreadable)
        }
    }
}
