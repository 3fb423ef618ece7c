// The signatures of UIKit that Sources/Tombolo/Apple uses, as Apple documents them: for the type checker on Linux.
import Foundation

public struct UIBackgroundTaskIdentifier: Hashable, Sendable {
    public static let invalid = UIBackgroundTaskIdentifier()
}
@MainActor open class UIApplication: NSObject {
    public enum State: Int, Sendable { case active, inactive, background }
    public static let shared = UIApplication()
    public var applicationState: State { .active }
    nonisolated public static let didBecomeActiveNotification = Notification.Name("didBecomeActive")
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
