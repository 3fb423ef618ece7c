#if canImport(Darwin) || canImport(UIKit)
    import Foundation
    #if canImport(UIKit)
        import UIKit
    #endif

    /// A file that an app and its extensions share.
    public enum AppGroup {
        /// The path of a file in the app group's container, in a folder of its own that is made if it is not there.
        ///
        /// The file can be read after the first unlock, so that background work finds it while the phone is locked, and it is
        /// not backed up: the server has what it holds, and a restored copy would go on under numbers that were used before.
        ///
        /// - Throws: ``TomboloError/incomplete(detail:)`` if the app has no such group; what the file system says.
        public static func path(_ group: String, file: String) throws -> String {
            guard let container = FileManager.default.containerURL(forSecurityApplicationGroupIdentifier: group) else {
                throw TomboloError.incomplete(
                    detail: "the app has no group `\(group)`: add it to the entitlements of the app and of its extensions")
            }
            return try path(in: container, file: file)
        }

        /// The same in the app's own Application Support folder.
        public static func privatePath(file: String) throws -> String {
            try path(
                in: FileManager.default.url(
                    for: .applicationSupportDirectory, in: .userDomainMask, appropriateFor: nil, create: true), file: file)
        }

        private static func path(in container: URL, file: String) throws -> String {
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
            return folder.appendingPathComponent(file).path
        }
    }
#endif
