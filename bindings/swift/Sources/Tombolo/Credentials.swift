import TomboloFFI

/// What a replica presents to be let in.
public enum Credential: Sendable, Equatable {
    /// An API key.
    case apiKey(String)
    /// The signed-in user's token, as it came from its issuer.
    case token(String)

    var native: TomboloFFI.Credential {
        switch self {
        case .apiKey(let key): .apiKey(key: key)
        case .token(let token): .token(token: token)
        }
    }
}

extension Credential: CustomStringConvertible, CustomDebugStringConvertible, CustomReflectable {
    /// The kind alone: a credential does not belong in a log.
    public var description: String {
        switch self {
        case .apiKey: "an API key"
        case .token: "a token"
        }
    }
    public var debugDescription: String { description }
    public var customMirror: Mirror { Mirror(self, children: [:]) }
}

/// The app's sign-in: asked for a credential whenever the server wants another one. It runs in a task of its own, on no
/// actor, and may take its time. `nil`, or an error: there is none now, and the link rests until the app gives one
/// (``Client/setCredential(_:)``). An error is reported (``setReporter(_:)``).
///
/// The client holds it until it is closed: if it captures the session that holds the client, write `[weak session]`.
public typealias Credentials = @Sendable () async throws -> Credential?

/// Asks the app in a task, so that none of the library's threads waits for it.
final class Provider: CredentialProvider {
    private let credentials: Credentials

    init(_ credentials: @escaping Credentials) { self.credentials = credentials }

    func credentialNeeded(reply: CredentialReply) throws {
        let credentials = credentials
        Task.detached {
            do {
                _ = reply.give(credential: try await credentials()?.native)
            } catch {
                Reports.tell(Report(kind: "callback", detail: "the credential provider threw: \(error)"))
                _ = reply.give(credential: nil)
            }
        }
    }
}
