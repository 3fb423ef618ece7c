import Foundation
import Tombolo

#if canImport(FoundationNetworking)
    import FoundationNetworking
#endif

/// The rig of real servers: tests/bindings/README.md.
struct Rig: Sendable {
    let url: String

    /// What a request is answered; an error if it was refused.
    func ask(_ method: String, _ path: String, _ body: JSONValue? = nil) async throws -> JSONValue {
        guard let url = URL(string: url + path) else { throw Failure("the rig's address is none: \(url)") }
        var request = URLRequest(url: url)
        request.httpMethod = method
        request.timeoutInterval = 60
        if let body { request.httpBody = Data(body.json.utf8) }
        let (data, response) = try await URLSession.shared.data(for: request)
        let answer = try JSONValue(json: data)
        guard let response = response as? HTTPURLResponse, response.statusCode < 400 else {
            throw Failure("the rig refused \(method) \(path): \(answer)")
        }
        return answer
    }

    func server() async throws -> Server {
        let made = try await ask("POST", "/servers")
        return Server(rig: self, id: made["id"].string ?? "", url: made["url"].string ?? "", key: made["apiKey"].string ?? "")
    }

    /// A token of a user; with 0 seconds it has ended.
    func token(_ user: String, seconds: Int) async throws -> String {
        try await ask("POST", "/tokens", ["user": .string(user), "seconds": .int(Int64(seconds))])["token"].string ?? ""
    }
}

/// One of its servers.
struct Server: Sendable {
    let rig: Rig
    let id: String
    let url: String
    let key: String

    func stop() async throws { _ = try await rig.ask("POST", "/servers/\(id)/stop") }
    func start() async throws { _ = try await rig.ask("POST", "/servers/\(id)/start") }
    func remove() async throws { _ = try await rig.ask("DELETE", "/servers/\(id)") }

    /// Somebody else's request; its data.
    @discardableResult
    func graphql(_ query: String, _ variables: Variables = [:], user: String? = nil) async throws -> JSONValue {
        var body: [String: JSONValue] = ["query": .string(query), "variables": .object(variables)]
        if let user { body["user"] = .string(user) }
        let answer = try await rig.ask("POST", "/servers/\(id)/graphql", .object(body))
        if let errors = answer["errors"].array, !errors.isEmpty { throw Failure("the server answered \(answer)") }
        return answer["data"]
    }

    /// The notes that it holds, by id. As AppSync does, it lists those that were deleted, too.
    func notes() async throws -> [JSONValue] {
        try await graphql("{ listNotes(limit: 1000) { items { id text done _deleted } } }")["listNotes"]["items"].sorted
            .filter { $0["_deleted"] != true }
    }

    func writeNote(_ id: String, text: String, done: Bool? = nil) async throws {
        var input: [String: JSONValue] = ["id": .string(id), "text": .string(text)]
        if let done { input["done"] = .bool(done) }
        try await graphql(create, ["input": .object(input)])
    }

    /// The version of a record, which the API wants back with an edit.
    func update(_ model: String, _ input: [String: JSONValue]) async throws {
        let id = input["id"]?.string ?? ""
        let read = try await graphql("query($id: ID!) { get\(model)(id: $id) { _version } }", ["id": .string(id)])
        var input = input
        input["_version"] = read["get\(model)"]["_version"]
        try await graphql(
            "mutation($input: Update\(model)Input!) { update\(model)(input: $input) { id } }", ["input": .object(input)])
    }
}

let create = "mutation Create($input: CreateNoteInput!) { createNote(input: $input) { id text done } }"
let update = "mutation Update($input: UpdateNoteInput!) { updateNote(input: $input) { id text done } }"
let delete = "mutation Delete($input: DeleteNoteInput!) { deleteNote(input: $input) { id } }"
let list = "query { listNotes(limit: 100000) { items { id text done } } }"
let createTally = "mutation($id: ID!) { createTally(input: { id: $id, name: \"t\", count: 0 }) { id } }"
let seat = "query { getSeat(id: \"s1\") { id passenger } }"
let setPassenger = "mutation($who: String) { updateSeat(input: { id: \"s1\", passenger: $who }) { id } }"
let diary = "query { listDiaries { items { id text } } }"
let createDiary = "mutation($id: ID!, $text: String!) { createDiary(input: { id: $id, text: $text }) { id } }"

extension JSONValue {
    /// A list's items by id.
    var sorted: [JSONValue] { (array ?? []).sorted { ($0["id"].string ?? "") < ($1["id"].string ?? "") } }
}

extension Answer {
    /// The notes, by id.
    var notes: [JSONValue] { self["listNotes"]["items"].sorted }
    /// Their ids.
    var ids: [String] { notes.compactMap { $0["id"].string } }
}
