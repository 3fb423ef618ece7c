import Foundation

/// Any JSON: the variables of an operation, the values of a mutation, a scalar that the schema declares.
public enum JSONValue: Sendable, Hashable {
    case null
    case bool(Bool)
    /// A number without a fraction.
    case int(Int64)
    case double(Double)
    case string(String)
    case array([JSONValue])
    case object([String: JSONValue])
}

/// A value that has a form in JSON.
public protocol JSONConvertible: Sendable {
    /// The value as JSON.
    var jsonValue: JSONValue { get }
}

// MARK: - Taking it apart

extension JSONValue {
    /// The member of an object; null for what is no object or has no such member.
    public subscript(member: String) -> JSONValue {
        if case .object(let members) = self { members[member] ?? .null } else { .null }
    }

    /// The item of a list; null for what is no list or is shorter.
    public subscript(index: Int) -> JSONValue {
        if case .array(let items) = self, items.indices.contains(index) { items[index] } else { .null }
    }

    /// Whether it is null.
    public var isNull: Bool { self == .null }

    /// The text, if it is one.
    public var string: String? { if case .string(let value) = self { value } else { nil } }

    /// The whole number, if it is one.
    public var int: Int? { if case .int(let value) = self { Int(exactly: value) } else { nil } }

    /// The number, if it is one.
    public var double: Double? {
        switch self {
        case .double(let value): value
        case .int(let value): Double(value)
        case .null, .bool, .string, .array, .object: nil
        }
    }

    /// The truth value, if it is one.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }

    /// The items, if it is a list.
    public var array: [JSONValue]? { if case .array(let items) = self { items } else { nil } }

    /// The members, if it is an object.
    public var object: [String: JSONValue]? { if case .object(let members) = self { members } else { nil } }
}

// MARK: - JSON text

extension JSONValue {
    /// Reads UTF-8 JSON.
    ///
    /// - Throws: `DecodingError` if it is none.
    public init(json: Data) throws { self = try JSONDecoder().decode(JSONValue.self, from: json) }

    /// Reads JSON text.
    ///
    /// - Throws: `DecodingError` if it is none.
    public init(json: String) throws { try self.init(json: Data(json.utf8)) }

    /// The same as anything that can be decoded.
    ///
    /// - Throws: `DecodingError` if it has another shape.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        try JSONDecoder().decode(type, from: Data(json.utf8))
    }

    /// As JSON text, members in alphabetical order. A number that JSON does not have (infinite, none) becomes null.
    public var json: String {
        var out = ""
        write(to: &out)
        return out
    }

    private func write(to out: inout String) {
        switch self {
        case .null: out += "null"
        case .bool(let value): out += value ? "true" : "false"
        case .int(let value): out += String(value)
        case .double(let value): out += value.isFinite ? "\(value)" : "null"
        case .string(let value): JSONValue.write(value, to: &out)
        case .array(let items):
            out += "["
            for (index, item) in items.enumerated() {
                if index > 0 { out += "," }
                item.write(to: &out)
            }
            out += "]"
        case .object(let members):
            out += "{"
            for (index, member) in members.sorted(by: { $0.key < $1.key }).enumerated() {
                if index > 0 { out += "," }
                JSONValue.write(member.key, to: &out)
                out += ":"
                member.value.write(to: &out)
            }
            out += "}"
        }
    }

    private static func write(_ text: String, to out: inout String) {
        out += "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": out += "\\\""
            case "\\": out += "\\\\"
            case "\n": out += "\\n"
            case "\r": out += "\\r"
            case "\t": out += "\\t"
            case _ where scalar.value < 0x20:
                let digits = String(scalar.value, radix: 16)
                out += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
            default: out.unicodeScalars.append(scalar)
            }
        }
        out += "\""
    }
}

// MARK: - Conformances

extension JSONValue: Codable {
    public init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        if container.decodeNil() {
            self = .null
        } else if let value = try? container.decode(Bool.self) {
            self = .bool(value)
        } else if let value = try? container.decode(Int64.self) {
            self = .int(value)
        } else if let value = try? container.decode(Double.self) {
            self = .double(value)
        } else if let value = try? container.decode(String.self) {
            self = .string(value)
        } else if let value = try? container.decode([JSONValue].self) {
            self = .array(value)
        } else {
            self = .object(try container.decode([String: JSONValue].self))
        }
    }

    public func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        switch self {
        case .null: try container.encodeNil()
        case .bool(let value): try container.encode(value)
        case .int(let value): try container.encode(value)
        case .double(let value): try container.encode(value)
        case .string(let value): try container.encode(value)
        case .array(let value): try container.encode(value)
        case .object(let value): try container.encode(value)
        }
    }
}

extension JSONValue: ExpressibleByNilLiteral, ExpressibleByBooleanLiteral, ExpressibleByIntegerLiteral,
    ExpressibleByFloatLiteral, ExpressibleByStringLiteral, ExpressibleByStringInterpolation,
    ExpressibleByArrayLiteral, ExpressibleByDictionaryLiteral
{
    public init(nilLiteral: ()) { self = .null }
    public init(booleanLiteral value: Bool) { self = .bool(value) }
    public init(integerLiteral value: Int64) { self = .int(value) }
    public init(floatLiteral value: Double) { self = .double(value) }
    public init(stringLiteral value: String) { self = .string(value) }
    public init(arrayLiteral items: JSONValue...) { self = .array(items) }
    /// Of a member that is named twice the last counts.
    public init(dictionaryLiteral members: (String, JSONValue)...) {
        self = .object(Dictionary(members, uniquingKeysWith: { $1 }))
    }
}

extension JSONValue: CustomStringConvertible {
    public var description: String { json }
}

extension JSONValue: JSONConvertible {
    public var jsonValue: JSONValue { self }

    /// A value as JSON: `JSONValue(text)`, `JSONValue(record.count)`.
    public init(_ value: some JSONConvertible) { self = value.jsonValue }
}

extension String: JSONConvertible { public var jsonValue: JSONValue { .string(self) } }
extension Bool: JSONConvertible { public var jsonValue: JSONValue { .bool(self) } }
extension Int: JSONConvertible { public var jsonValue: JSONValue { .int(Int64(self)) } }
extension Int32: JSONConvertible { public var jsonValue: JSONValue { .int(Int64(self)) } }
extension Int64: JSONConvertible { public var jsonValue: JSONValue { .int(self) } }
extension Double: JSONConvertible { public var jsonValue: JSONValue { .double(self) } }
extension Optional: JSONConvertible where Wrapped: JSONConvertible {
    public var jsonValue: JSONValue { self?.jsonValue ?? .null }
}
extension Array: JSONConvertible where Element: JSONConvertible {
    public var jsonValue: JSONValue { .array(map(\.jsonValue)) }
}
extension Dictionary: JSONConvertible where Key == String, Value: JSONConvertible {
    public var jsonValue: JSONValue { .object(mapValues(\.jsonValue)) }
}
