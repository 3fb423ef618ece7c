/// A condition on a model's records: what `Flight.where { $0.carrier == "UA" && $0.depDelay > 60 }` builds.
public struct RecordFilter<Record: SyncedModel>: Sendable, Hashable {
    /// The API's filter input.
    public let jsonValue: JSONValue

    /// A filter input written by hand.
    public init(_ input: JSONValue) { jsonValue = input }

    init(_ field: String, _ operation: String, _ operand: JSONValue) {
        jsonValue = [field: [operation: operand]]
    }

    /// Every record.
    public static var all: RecordFilter { RecordFilter([:]) }

    public static func && (left: RecordFilter, right: RecordFilter) -> RecordFilter {
        RecordFilter(["and": [left.jsonValue, right.jsonValue]])
    }

    public static func || (left: RecordFilter, right: RecordFilter) -> RecordFilter {
        RecordFilter(["or": [left.jsonValue, right.jsonValue]])
    }

    public static prefix func ! (filter: RecordFilter) -> RecordFilter {
        RecordFilter(["not": filter.jsonValue])
    }

    /// The same as `&&`.
    public func and(_ other: RecordFilter) -> RecordFilter { self && other }

    /// The same as `||`.
    public func or(_ other: RecordFilter) -> RecordFilter { self || other }
}

/// A step of a sort order. Null comes first where the order ascends.
public struct RecordOrder<Record: SyncedModel>: Sendable, Hashable {
    /// The field's name.
    public let field: String
    /// Whether great values come first.
    public let isDescending: Bool

    public init(field: String, isDescending: Bool = false) {
        self.field = field
        self.isDescending = isDescending
    }

    /// Small values first: `.ascending(Post.keys.rating)`.
    public static func ascending(_ field: some SortableField<Record>) -> RecordOrder { field.ascending }

    /// Great values first.
    public static func descending(_ field: some SortableField<Record>) -> RecordOrder { field.descending }

    var jsonValue: JSONValue { ["field": .string(field), "direction": isDescending ? "DESC" : "ASC"] }
}

/// A field of a model.
public protocol ModelField<Record>: Sendable {
    associatedtype Record: SyncedModel
    /// The API's name.
    var name: String { get }
}

/// A field that records can be sorted by.
public protocol SortableField<Record>: ModelField {}

extension SortableField {
    /// Small values first.
    public var ascending: RecordOrder<Record> { RecordOrder(field: name) }
    /// Great values first.
    public var descending: RecordOrder<Record> { RecordOrder(field: name, isDescending: true) }
}

/// A field that is compared whole.
public protocol EquatableField<Record, Value>: ModelField {
    associatedtype Value: JSONConvertible
}

extension EquatableField {
    /// Equal; for `nil`: without a value.
    public static func == (field: Self, value: Value?) -> RecordFilter<Record> {
        value.map { field.eq($0) } ?? field.exists(false)
    }

    /// Not equal; for `nil`: with a value.
    public static func != (field: Self, value: Value?) -> RecordFilter<Record> {
        value.map { field.ne($0) } ?? field.exists(true)
    }

    /// Equal.
    public func eq(_ value: Value) -> RecordFilter<Record> { RecordFilter(name, "eq", value.jsonValue) }

    /// Not equal.
    public func ne(_ value: Value) -> RecordFilter<Record> { RecordFilter(name, "ne", value.jsonValue) }

    /// Whether there is a value.
    public func exists(_ exists: Bool = true) -> RecordFilter<Record> {
        RecordFilter(name, "attributeExists", .bool(exists))
    }

    /// One of these values.
    public func isIn(_ values: [Value]) -> RecordFilter<Record> {
        RecordFilter(["or": .array(values.map { eq($0).jsonValue })])
    }
}

/// A field whose values have an order.
public protocol ComparableField<Record, Value>: EquatableField {}

extension ComparableField {
    public static func < (field: Self, value: Value) -> RecordFilter<Record> { field.lt(value) }
    public static func <= (field: Self, value: Value) -> RecordFilter<Record> { field.le(value) }
    public static func > (field: Self, value: Value) -> RecordFilter<Record> { field.gt(value) }
    public static func >= (field: Self, value: Value) -> RecordFilter<Record> { field.ge(value) }

    /// Less.
    public func lt(_ value: Value) -> RecordFilter<Record> { RecordFilter(name, "lt", value.jsonValue) }
    /// Less or equal.
    public func le(_ value: Value) -> RecordFilter<Record> { RecordFilter(name, "le", value.jsonValue) }
    /// Greater.
    public func gt(_ value: Value) -> RecordFilter<Record> { RecordFilter(name, "gt", value.jsonValue) }
    /// Greater or equal.
    public func ge(_ value: Value) -> RecordFilter<Record> { RecordFilter(name, "ge", value.jsonValue) }

    /// From a value to another, both included.
    public func between(start: Value, end: Value) -> RecordFilter<Record> {
        RecordFilter(name, "between", [start.jsonValue, end.jsonValue])
    }

    /// Within a range, its ends included.
    public func isIn(_ range: ClosedRange<Value>) -> RecordFilter<Record> where Value: Comparable {
        between(start: range.lowerBound, end: range.upperBound)
    }
}

/// Text, or an id.
public struct StringField<Record: SyncedModel>: ComparableField, SortableField {
    public typealias Value = String
    public let name: String
    public init(_ name: String) { self.name = name }

    /// With this text in it.
    public func contains(_ part: String) -> RecordFilter<Record> { RecordFilter(name, "contains", .string(part)) }
    /// Without it.
    public func notContains(_ part: String) -> RecordFilter<Record> { RecordFilter(name, "notContains", .string(part)) }
    /// With this text at its beginning.
    public func beginsWith(_ start: String) -> RecordFilter<Record> { RecordFilter(name, "beginsWith", .string(start)) }
}

/// A number or a point in time, or whatever else has an order.
public struct OrderedField<Record: SyncedModel, Value: JSONConvertible>: ComparableField, SortableField {
    public let name: String
    public init(_ name: String) { self.name = name }
}

/// A truth value or an enum.
public struct PlainField<Record: SyncedModel, Value: JSONConvertible>: EquatableField, SortableField {
    public let name: String
    public init(_ name: String) { self.name = name }
}

/// A list.
public struct ListField<Record: SyncedModel, Element: JSONConvertible>: ModelField {
    public let name: String
    public init(_ name: String) { self.name = name }

    /// With this item.
    public func contains(_ item: Element) -> RecordFilter<Record> { RecordFilter(name, "contains", item.jsonValue) }
    /// Without it.
    public func notContains(_ item: Element) -> RecordFilter<Record> {
        RecordFilter(name, "notContains", item.jsonValue)
    }
    /// Whether there is a list.
    public func exists(_ exists: Bool = true) -> RecordFilter<Record> {
        RecordFilter(name, "attributeExists", .bool(exists))
    }
}

/// A field that cannot be tested, and may be sorted by.
public struct UntestedField<Record: SyncedModel>: SortableField {
    public let name: String
    public init(_ name: String) { self.name = name }
}
