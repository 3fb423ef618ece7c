/// A value of an embedded type within its own kind, which a plain property could not hold.
@propertyWrapper
public struct Boxed<Value: Codable & Hashable & Sendable>: Sendable, Hashable {
    private indirect enum Box: Sendable, Hashable { case value(Value) }

    private var box: Box

    public init(wrappedValue: Value) { box = .value(wrappedValue) }

    public var wrappedValue: Value {
        get {
            switch box {
            case .value(let value): value
            }
        }
        set { box = .value(newValue) }
    }
}

extension Boxed: Codable {
    public init(from decoder: any Decoder) throws { self.init(wrappedValue: try Value(from: decoder)) }
    public func encode(to encoder: any Encoder) throws { try wrappedValue.encode(to: encoder) }
}

extension KeyedDecodingContainer {
    /// A member that is missing is null, as for a property without the box.
    public func decode<Value>(_ type: Boxed<Value?>.Type, forKey key: Key) throws -> Boxed<Value?> {
        Boxed(wrappedValue: try decodeIfPresent(Value.self, forKey: key))
    }
}
