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
    var problem: String?

    @ObservationIgnored private var lifecycle: AppLifecycle?
    @ObservationIgnored private var network: NetworkPath?

    /// Signs in: opens the account's file, which need not be the first time, nor need there be a network.
    func signIn(_ account: String, server: String, key: String) async {
        do {
            let path = try AppGroup.path(Session.group, file: "\(account).sqlite")
            let client = try await Tombolo.open(
                schema: GeneratedSchema.sdl, path: path, url: server, credential: .apiKey(key), account: account,
                scopes: [
                    Scope("Flight", filter: Flight.where { $0.carrier == "UA" }.filter?.jsonValue),
                    Scope("Note"), Scope("Airline"), Scope("Airport"),
                ])
            self.client = client
            self.account = account
            status = client.liveStatus()
            lifecycle = AppLifecycle(client)
            network = NetworkPath(client)
        } catch let error as TomboloError where error.needsSignIn {
            problem = "Please sign in again."
        } catch {
            problem = "\(error)"
        }
    }

    /// Signs out. What was not sent is sent first, and otherwise kept, sealed, for the next time.
    func signOut() async {
        guard let client else { return }
        do {
            let end = try await client.signOut(.sendFirst(budget: .seconds(10)))
            if end.kept > 0 { problem = "\(end.kept) notes will be sent when \(account ?? "you") sign in again." }
        } catch {
            problem = "\(error)"
            return
        }
        (self.client, account, status, lifecycle, network) = (nil, nil, nil, nil, nil)
        await client.close()
    }

    /// The client's life cycle, for background work.
    func opened() throws -> AppLifecycle {
        guard let lifecycle else { throw TomboloError.closed }
        return lifecycle
    }
}
