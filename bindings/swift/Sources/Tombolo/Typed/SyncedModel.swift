/// A record's type, generated from a schema by `tombolo codegen`.
public protocol SyncedModel: Codable, Sendable, Equatable, Identifiable {
    /// The record's primary key.
    associatedtype KeyOfRecord: RecordKey
    /// The model's fields, for predicates and sort orders.
    associatedtype FieldsOfRecord: Sendable

    /// What the API calls it.
    static var model: ModelInfo { get }
    /// The model's fields: `Flight.fields.carrier == "UA"`.
    static var fields: FieldsOfRecord { get }

    /// The record's key.
    var tomboloKey: KeyOfRecord { get }
    /// The record's own fields by the API's names, as JSON.
    var tomboloValues: [String: JSONValue] { get }
}

/// The primary key of a model's records.
public protocol RecordKey: Hashable, Sendable {
    /// Its fields by the API's names.
    var tomboloValues: [String: JSONValue] { get }
}

/// What the API calls a model.
public struct ModelInfo: Sendable, Equatable {
    /// The model's name.
    public let name: String
    /// The names of its key's fields, in order.
    public let key: [String]

    public init(name: String, key: [String]) {
        self.name = name
        self.key = key
    }
}

/// A field of the API's root types with a document that asks for it alone.
public struct RootField: Sendable, Equatable {
    /// The field: `getFlight`.
    public let name: String
    /// The document.
    public let document: String

    public init(_ name: String, _ document: String) {
        self.name = name
        self.document = document
    }
}

/// The input of a create, an update or a delete, generated from a schema.
public protocol WriteInput: JSONConvertible {
    /// The record's type.
    associatedtype RecordOfInput: SyncedModel
    /// The mutation that takes it.
    static var root: RootField { get }
}

/// What a typed mutation gives back at once.
public struct Written<Value: Sendable>: Sendable {
    /// The record, or the operation's data, from the local rows as they are now; `nil` if it cannot be read. ``problems`` say why;
    /// the mutation is queued all the same.
    public let value: Value?
    /// A number for each mutation field, in order.
    public let numbers: [MutationNumber]
    /// What single fields of the answer failed with, or one of the type `Shape`: the answer does not have its type's shape. Empty in
    /// the usual case.
    public let problems: [GraphQLProblem]

    /// The number of the only or the first mutation field.
    public var number: MutationNumber { numbers.first ?? 0 }
}

/// What an input's optional field is given: nothing, null, or a value. Three things: an update leaves alone what is absent, and
/// clears what is null.
///
/// A literal is a value, `nil` is null: `UpdateNoteInput(id: "n1", text: "new", due: nil)` sets the text and clears the date. For
/// anything else: `.value(text)`, `Settable(orNull: maybe)`, `Settable(orAbsent: maybe)`.
public indirect enum Settable<Value: JSONConvertible>: Sendable {
    case absent
    case null
    case value(Value)

    /// The value, or null for `nil`.
    public init(orNull value: Value?) { self = value.map { .value($0) } ?? .null }

    /// The value, or absent for `nil`.
    public init(orAbsent value: Value?) { self = value.map { .value($0) } ?? .absent }

    /// The value; `nil` for null and for what is absent.
    public var value: Value? { if case .value(let value) = self { value } else { nil } }

    /// The member of a JSON object, if there is to be one.
    public var member: JSONValue? {
        switch self {
        case .absent: nil
        case .null: .null
        case .value(let value): value.jsonValue
        }
    }
}

extension Settable: Equatable where Value: Equatable {}
extension Settable: Hashable where Value: Hashable {}
extension Settable: ExpressibleByNilLiteral { public init(nilLiteral: ()) { self = .null } }
extension Settable: ExpressibleByUnicodeScalarLiteral where Value: ExpressibleByStringLiteral {}
extension Settable: ExpressibleByExtendedGraphemeClusterLiteral where Value: ExpressibleByStringLiteral {}
extension Settable: ExpressibleByStringLiteral where Value: ExpressibleByStringLiteral {
    public init(stringLiteral value: Value.StringLiteralType) { self = .value(Value(stringLiteral: value)) }
}
extension Settable: ExpressibleByIntegerLiteral where Value: ExpressibleByIntegerLiteral {
    public init(integerLiteral value: Value.IntegerLiteralType) { self = .value(Value(integerLiteral: value)) }
}
extension Settable: ExpressibleByFloatLiteral where Value: ExpressibleByFloatLiteral {
    public init(floatLiteral value: Value.FloatLiteralType) { self = .value(Value(floatLiteral: value)) }
}
extension Settable: ExpressibleByBooleanLiteral where Value: ExpressibleByBooleanLiteral {
    public init(booleanLiteral value: Value.BooleanLiteralType) { self = .value(Value(booleanLiteral: value)) }
}

/// Members of a JSON object, without those that are absent. Generated inputs are written with it.
public func members(_ given: [(String, JSONValue?)]) -> JSONValue {
    var out: [String: JSONValue] = [:]
    for case (let name, let value?) in given { out[name] = value }
    return .object(out)
}
