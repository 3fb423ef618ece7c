import Foundation
import Security

/// The server's key of each account, where the system keeps secrets. It can be read after the first unlock, since the app syncs in
/// the background while the phone is locked, and stays on this phone.
enum Keychain {
    struct Refused: Error { let status: OSStatus }

    static func store(_ key: String, for account: String) throws {
        remove(account)
        var item = query(account)
        item[kSecValueData as String] = Data(key.utf8)
        item[kSecAttrAccessible as String] = kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly
        let status = SecItemAdd(item as CFDictionary, nil)
        guard status == errSecSuccess else { throw Refused(status: status) }
    }

    static func key(of account: String) -> String? {
        var item = query(account)
        item[kSecReturnData as String] = true
        var found: CFTypeRef?
        guard SecItemCopyMatching(item as CFDictionary, &found) == errSecSuccess, let data = found as? Data else { return nil }
        return String(data: data, encoding: .utf8)
    }

    static func remove(_ account: String) { SecItemDelete(query(account) as CFDictionary) }

    private static func query(_ account: String) -> [String: Any] {
        [
            kSecClass as String: kSecClassGenericPassword, kSecAttrService as String: "org.example.flights",
            kSecAttrAccount as String: account,
        ]
    }
}
