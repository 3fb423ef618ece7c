import Foundation
import TomboloFFI

/// The variables of an operation, by name.
public typealias Variables = [String: JSONValue]

/// What a query or a mutation answers: the GraphQL answer in its two parts.
public struct Answer: Sendable, Equatable {
    /// The answer's `data` as UTF-8 JSON, in the order of the document; `null` if there is none.
    public let data: Data
    /// What single fields failed with; empty in the usual case.
    public let errors: [GraphQLProblem]

    init(_ given: TomboloFFI.Answer) {
        data = given.data
        errors = given.errors.map(GraphQLProblem.init)
    }

    /// The data taken apart: `answer.json["listNotes"]["items"][0]["text"].string`.
    public var json: JSONValue { (try? JSONValue(json: data)) ?? .null }

    /// A root field taken apart: `answer["listNotes"]["items"]`.
    public subscript(field: String) -> JSONValue { json[field] }

    /// The data as a type of the app.
    ///
    /// - Throws: ``TomboloError/answer(detail:problems:)`` if fields failed, ``TomboloError/shape(detail:)`` if the data has
    ///   another shape than the type.
    public func decode<Value: Decodable>(_ type: Value.Type = Value.self) throws -> Value {
        guard errors.isEmpty else {
            throw TomboloError.answer(detail: errors.map(\.detail).joined(separator: "; "), problems: errors)
        }
        do {
            return try JSONDecoder().decode(type, from: data)
        } catch {
            throw TomboloError.shape(detail: "the answer has \(words(error))")
        }
    }

    /// The value of one root field as a type of the app; `nil` if it is null.
    func root<Value: Decodable>(_ field: String, as type: Value.Type) throws -> Value? {
        try decode(Root<Value>.self).values[field] ?? nil
    }
}

/// What has another shape than its type. Apps send it to their crash reporters, so that it has no value in it: not the words of the
/// error either, where Foundation and an app's own types write what they have found.
func words(_ error: any Error) -> String {
    guard let error = error as? DecodingError else { return "what its type refuses with \(type(of: error))" }
    let (what, context): (String, DecodingError.Context)
    switch error {
    case .typeMismatch(let type, let at): (what, context) = ("no \(type)", at)
    case .valueNotFound(let type, let at): (what, context) = ("no \(type), but null", at)
    case .keyNotFound(let key, let at): (what, context) = ("no member `\(key.stringValue)`", at)
    case .dataCorrupted(let at): (what, context) = ("no JSON", at)
    @unknown default: return "another shape"
    }
    let path = context.codingPath.map { $0.intValue.map(String.init) ?? $0.stringValue }
    return "\(what) at `\(path.joined(separator: "."))`"
}

/// An error in words that may leave the phone.
package func reportable(_ error: any Error) -> String { (error as? TomboloError)?.detail ?? "\(type(of: error))" }

/// An answer's root fields, all of one type.
private struct Root<Value: Decodable>: Decodable {
    let values: [String: Value?]

    init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        values = container.decodeNil() ? [:] : try container.decode([String: Value?].self)
    }
}

/// What a mutation call gives back at once.
public struct Mutated: Sendable, Equatable {
    /// The answer, from the local rows as they are now.
    public let answer: Answer
    /// A number for each mutation field, in order.
    public let numbers: [MutationNumber]

    /// The number of the only or the first mutation field. (A mutation has at least one.)
    public var number: MutationNumber { numbers.first ?? 0 }
}

/// What a transaction gives back at once.
public struct Transacted: Sendable, Equatable {
    /// An answer for each operation, in order.
    public let answers: [Answer]
    /// A number for each mutation field, in order.
    public let numbers: [MutationNumber]
}

/// Takes up the mutations of a transaction: ``Client/transaction(isolation:_:)``.
public struct Transaction {
    var operations: [TomboloFFI.Operation] = []

    /// Adds a mutation. It is read and carried out when the body has ended.
    public mutating func mutate(_ document: String, _ variables: Variables = [:]) {
        operations.append(TomboloFFI.Operation(document: document, variables: JSONValue.object(variables).json))
    }
}
