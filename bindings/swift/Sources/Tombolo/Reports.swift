import Foundation
import TomboloFFI

/// Something that the app's developers should hear of, for their crash reporter or log. It holds no record's values and no
/// credential.
public struct Report: Sendable, Equatable {
    /// A stable word: `panic`, `callback`, `lifecycle` (the client could not be resumed), `shape` (a record that does not have its
    /// type's shape, and which a list leaves out or a stream passes over), or `record` (what could not be read for a stream, and is
    /// asked for again).
    public let kind: String
    /// Words for developers.
    public let detail: String

    package init(kind: String, detail: String) { (self.kind, self.detail) = (kind, detail) }
}

/// Sets who is told of what went wrong inside and is nobody's answer (a panic, a callback that threw), for the whole process,
/// instead of whoever was; `nil`: nobody.
///
/// It is called on the thread where it happened: one of the library's, Swift's pool, or the caller's own for what `watch` or
/// `status` ran into. So it should only note and return. What it throws is passed over.
public func setReporter(_ reporter: (@Sendable (Report) throws -> Void)?) {
    Reports.set(reporter)
    // A library of another release is told of by `open`; nothing may be called in it.
    guard libraryMatches() else { return }
    TomboloFFI.setReporter(reporter: reporter.map(ReporterBridge.init))
}

private final class ReporterBridge: Reporter {
    private let reporter: @Sendable (Report) throws -> Void

    init(_ reporter: @escaping @Sendable (Report) throws -> Void) { self.reporter = reporter }

    func report(report: TomboloFFI.Report) throws {
        do {
            try reporter(Report(kind: report.kind, detail: report.detail))
        } catch {
            throw CallbackError.Failed(detail: "\(error)")
        }
    }
}

/// Reports of this side.
package enum Reports {
    private static let reporter = Locked<(@Sendable (Report) throws -> Void)?>(nil)

    static func set(_ given: (@Sendable (Report) throws -> Void)?) { reporter.with { $0 = given } }

    package static func tell(_ report: Report) {
        // Outside the lock: it may call back. Its own trouble is its own.
        try? reporter.with { $0 }?(report)
    }
}

/// A value behind a lock. (`Mutex` of the standard library needs iOS 18.)
final class Locked<Value>: @unchecked Sendable {
    private let lock = NSLock()
    private var value: Value

    init(_ value: Value) { self.value = value }

    func with<Result>(_ body: (inout Value) throws -> Result) rethrows -> Result {
        lock.lock()
        defer { lock.unlock() }
        return try body(&value)
    }
}
