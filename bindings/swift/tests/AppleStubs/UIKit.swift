// The signatures of UIKit that Sources/Tombolo/Apple uses, as Apple documents them: for the type checker on Linux.
import Foundation

public struct UIBackgroundTaskIdentifier: Hashable, Sendable {
    public static let invalid = UIBackgroundTaskIdentifier()
}
@MainActor open class UIApplication: NSObject {
    public static let shared = UIApplication()
    nonisolated public static let didEnterBackgroundNotification = Notification.Name("didEnterBackground")
    nonisolated public static let willEnterForegroundNotification = Notification.Name("willEnterForeground")
    public func beginBackgroundTask(
        withName name: String?, expirationHandler: (@MainActor @Sendable () -> Void)? = nil
    ) -> UIBackgroundTaskIdentifier { .invalid }
    public func endBackgroundTask(_ identifier: UIBackgroundTaskIdentifier) {}
}

extension FileManager {
    public func containerURL(forSecurityApplicationGroupIdentifier groupIdentifier: String) -> URL? { nil }
}
