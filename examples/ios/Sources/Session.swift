import Foundation
import Observation
import Tombolo
import UIKit

/// The app's session: who is signed in, and the client that belongs to it.
@MainActor @Observable
final class Session {
    /// The identifiers in Info.plist.
    static let refresh = "org.example.flights.refresh"
    static let processing = "org.example.flights.sync"
    /// The group in the entitlements.
    static let group = "group.org.example.flights"

    private(set) var client: Client?
    private(set) var account: String?
    private(set) var status: LiveQuery<Status>?
    /// What the user should hear of, on whichever screen.
    private(set) var problem: String?

    @ObservationIgnored private var lifecycle: AppLifecycle?
    @ObservationIgnored private var network: NetworkPath?
    @ObservationIgnored private var opening: Task<AppLifecycle, any Error>?

    struct NobodySignedIn: Error {}

    /// Signs in: opens the account's file, which need not be the first time, nor need there be a network.
    func signIn(_ account: String, server: String, key: String) async {
        let signedIn = SignedIn(account: account, server: server, key: key)
        do {
            try signedIn.store()
            _ = try await opened()
            problem = nil
        } catch {
            signedIn.forget()
            tell(error)
        }
    }

    /// At the app's start: whoever was signed in still is.
    func restore() async {
        do { _ = try await opened() } catch is NobodySignedIn {} catch { tell(error) }
    }

    /// The life cycle of the signed-in account's client, which is opened if it is not: for the screen, and for background work, for
    /// which the system starts the app without a screen.
    func opened() async throws -> AppLifecycle {
        if let opening { return try await opening.value }
        guard let signedIn = SignedIn.stored() else { throw NobodySignedIn() }
        let task = Task { try await open(signedIn) }
        opening = task
        do {
            return try await task.value
        } catch {
            opening = nil
            throw error
        }
    }

    private func open(_ signedIn: SignedIn) async throws -> AppLifecycle {
        let accounts = Accounts(folder: try AppGroup.folder(Session.group))
        let client = try await Tombolo.open(
            schema: GeneratedSchema.sdl, path: try accounts.path(signedIn.account), url: signedIn.server,
            credential: .apiKey(signedIn.key), account: signedIn.account,
            scopes: [
                Scope("Flight", filter: Flight.where { $0.carrier == "UA" }.filter?.jsonValue),
                Scope("Note"), Scope("Airline"), Scope("Airport"),
            ],
            // What this app left when it was built on Amplify DataStore. An app with several users gives it for the one alone who
            // used DataStore: the file does not say whose it is.
            importDataStore: try AmplifyDataStoreFile.path())
        let lifecycle = AppLifecycle(client)
        self.client = client
        self.lifecycle = lifecycle
        account = signedIn.account
        status = client.liveStatus()
        network = NetworkPath(client)
        return lifecycle
    }

    /// Signs out. What was not sent is sent first, and otherwise kept, sealed, for the next time.
    func signOut() async {
        guard let client else { return }
        do {
            let end = try await client.signOut(.sendFirst(budget: .seconds(10)))
            problem = end.kept > 0 ? "\(end.kept) notes will be sent when \(account ?? "you") sign in again." : nil
        } catch {
            tell(error)
            return
        }
        SignedIn.stored()?.forget()
        (self.client, account, status, lifecycle, network, opening) = (nil, nil, nil, nil, nil, nil)
        await client.close()
    }

    private func tell(_ error: any Error) {
        problem = (error as? TomboloError)?.needsSignIn == true ? "Please sign in again." : "\(error)"
    }
}
