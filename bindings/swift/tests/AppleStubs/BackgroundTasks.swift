// The signatures of BackgroundTasks that Sources/Tombolo/Apple uses, as Apple documents them: for the type checker on Linux.
import Foundation

open class BGTask: NSObject {
    public var expirationHandler: (() -> Void)?
    public func setTaskCompleted(success: Bool) {}
}
open class BGTaskRequest: NSObject {
    public var earliestBeginDate: Date?
    public init(identifier: String) {}
}
public class BGAppRefreshTaskRequest: BGTaskRequest {}
public class BGProcessingTaskRequest: BGTaskRequest {
    public var requiresNetworkConnectivity = false
    public var requiresExternalPower = false
}
public class BGTaskScheduler: NSObject, @unchecked Sendable {
    public static let shared = BGTaskScheduler()
    public func register(
        forTaskWithIdentifier identifier: String, using queue: DispatchQueue?, launchHandler: @escaping (BGTask) -> Void
    ) -> Bool { true }
    public func submit(_ request: BGTaskRequest) throws {}
}
