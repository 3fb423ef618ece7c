// The signatures of Security that examples/ios uses, simplified: for the type checker on Linux.
import Foundation

public typealias CFString = String
public typealias CFDictionary = [String: Any]
public typealias CFTypeRef = AnyObject
public typealias OSStatus = Int32

public let errSecSuccess: OSStatus = 0
public let kSecClass: CFString = "class", kSecClassGenericPassword: CFString = "genp"
public let kSecAttrService: CFString = "svce", kSecAttrAccount: CFString = "acct", kSecAttrAccessible: CFString = "pdmn"
public let kSecAttrAccessibleAfterFirstUnlockThisDeviceOnly: CFString = "cku"
public let kSecValueData: CFString = "v_Data", kSecReturnData: CFString = "r_Data"

public func SecItemAdd(_ attributes: CFDictionary, _ result: UnsafeMutablePointer<CFTypeRef?>?) -> OSStatus { errSecSuccess }
public func SecItemCopyMatching(_ query: CFDictionary, _ result: UnsafeMutablePointer<CFTypeRef?>?) -> OSStatus { errSecSuccess }
@discardableResult public func SecItemDelete(_ query: CFDictionary) -> OSStatus { errSecSuccess }
