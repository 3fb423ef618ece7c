#if canImport(Darwin) || canImport(UIKit)
    import Foundation
    #if canImport(UIKit)
        import UIKit
    #endif

    /// Where a file lies that an app and its extensions share.
    public enum AppGroup {
        /// A folder in the app group's container, which is made if it is not there: for ``Accounts/init(folder:)``.
        ///
        /// Its files can be read after the first unlock, so that background work finds them while the phone is locked, and they
        /// are not backed up: the server has what they hold, and a restored copy would go on under numbers that were used before.
        ///
        /// - Throws: as ``path(_:file:)``.
        public static func folder(_ group: String) throws -> URL { try folder(in: container(group)) }

        /// The same in the app's own Application Support folder.
        public static func privateFolder() throws -> URL {
            try folder(
                in: FileManager.default.url(
                    for: .applicationSupportDirectory, in: .userDomainMask, appropriateFor: nil, create: true))
        }

        /// The path of a file in ``folder(_:)``.
        ///
        /// - Throws: ``TomboloError/incomplete(detail:)`` if the app has no such group; what the file system says.
        public static func path(_ group: String, file: String) throws -> String {
            try folder(group).appendingPathComponent(file).path
        }

        /// The path of a file in ``privateFolder()``.
        public static func privatePath(file: String) throws -> String {
            try privateFolder().appendingPathComponent(file).path
        }

        private static func container(_ group: String) throws -> URL {
            guard let container = FileManager.default.containerURL(forSecurityApplicationGroupIdentifier: group) else {
                throw TomboloError.incomplete(
                    detail: "the app has no group `\(group)`: add it to the entitlements of the app and of its extensions")
            }
            return container
        }

        private static func folder(in container: URL) throws -> URL {
            var folder = container.appendingPathComponent("Tombolo", isDirectory: true)
            #if os(macOS)
                let attributes: [FileAttributeKey: Any] = [:]
            #else
                let attributes: [FileAttributeKey: Any] = [
                    .protectionKey: FileProtectionType.completeUntilFirstUserAuthentication
                ]
            #endif
            try FileManager.default.createDirectory(
                at: folder, withIntermediateDirectories: true, attributes: attributes)
            var values = URLResourceValues()
            values.isExcludedFromBackup = true
            try folder.setResourceValues(values)
            return folder
        }
    }
#endif
