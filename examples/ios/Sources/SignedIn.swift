import Foundation

/// Who is signed in, from one start of the app to the next: the system starts it in the background, too, where nobody can be asked.
struct SignedIn: Equatable {
    let account: String
    let server: String
    let key: String

    private static let accountName = "account", serverName = "server"

    static func stored() -> SignedIn? {
        let defaults = UserDefaults.standard
        guard let account = defaults.string(forKey: accountName), let server = defaults.string(forKey: serverName),
            let key = Keychain.key(of: account)
        else { return nil }
        return SignedIn(account: account, server: server, key: key)
    }

    func store() throws {
        try Keychain.store(key, for: account)
        UserDefaults.standard.set(account, forKey: SignedIn.accountName)
        UserDefaults.standard.set(server, forKey: SignedIn.serverName)
    }

    func forget() {
        Keychain.remove(account)
        UserDefaults.standard.removeObject(forKey: SignedIn.accountName)
        UserDefaults.standard.removeObject(forKey: SignedIn.serverName)
    }
}
