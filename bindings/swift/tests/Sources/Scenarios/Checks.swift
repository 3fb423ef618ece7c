import Foundation
import GeneratedRig
import Observation
import Tombolo

/// What is Swift's alone, and therefore no scenario of the list. Prints a line for each; whether all held. Without a rig those that
/// need a server are left out.
@MainActor
func checks(rig: Rig?) async -> Bool {
    let only = option("--only")
    var all = true
    let cases: [(String, @MainActor (Client) async throws -> Void)] = [
        ("nothing blocks the main actor", mainActor), ("a live query for SwiftUI", observation),
        ("a live query for SwiftUI that cannot begin", brokenObservation), ("JSON", json), ("what is settable", settable),
        ("errors answer questions", errors), ("a credential is not printed", credential), ("boxed values", boxed),
        ("whole records", wholeRecords), ("a hanging call fails", hanging),
        ("where Amplify keeps its file", amplifyFile),
    ] + liveChecks + waking
    for (name, check) in cases where only == nil || only == name {
        let folder = NSTemporaryDirectory() + "/tombolo-swift-\(UUID().uuidString)"
        do {
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            let client = try await Tombolo.open(
                schema: GeneratedSchema.sdl, path: folder + "/checks.sqlite", url: "http://127.0.0.1:9/graphql")
            try await within(seconds: 60, { "it took more than 60 s" }) { try await check(client) }
            await client.close()
            say("ok \(name)")
        } catch {
            say("FAILED \(name): \(error)")
            all = false
        }
        try? FileManager.default.removeItem(atPath: folder)
    }
    guard let rig else { return all }
    for (name, check) in storeChecks where only == nil || only == name {
        let folder = NSTemporaryDirectory() + "/tombolo-swift-\(UUID().uuidString)"
        do {
            let trial = try Trial(rig: rig, schema: GeneratedSchema.sdl, folder: folder, isBroken: false)
            do {
                try await within(seconds: 120, { "it took more than 120 s" }) { try await check(trial) }
                say("ok \(name)")
            } catch {
                say("FAILED \(name): \(error)")
                all = false
            }
            await trial.end()
        } catch {
            say("FAILED \(name): \(error)")
            all = false
        }
    }
    return all
}

private func expect(_ holds: Bool, _ what: @autoclosure () -> String) throws {
    if !holds { throw Failure(what()) }
}

/// What never ends, cancelled or not, is a failure when its time is up, and holds nobody up.
@MainActor
private func hanging(_ client: Client) async throws {
    do {
        try await within(seconds: 0.01, { "time is up" }) { await withUnsafeContinuation { (_: UnsafeContinuation<Void, Never>) in } }
        throw Failure("it ended")
    } catch let failure as Failure {
        try expect(failure.description == "time is up", failure.description)
    }
}

/// While calls that were made on the main actor wait for what does not come (nobody listens at the server's address), the main
/// actor does other things. If one of them blocked it, this would never end.
@MainActor
private func mainActor(_ client: Client) async throws {
    let written = try await client.write(CreateNoteInput(text: "one"))
    let sync = Task { @MainActor in try await client.syncOnce(budget: .seconds(600)) }
    let outcome = Task { @MainActor in try await client.outcome(written.number) }
    let watch = Task { @MainActor in for try await _ in try client.watch(Note.all) {} }
    var ticks = 0
    while ticks < 1000 || client.liveQueriesOpen == 0 {
        await Task.yield()
        ticks += 1
        // As an app does it, while those wait.
        if ticks % 100 == 0 { try await client.write(CreateNoteInput(text: "\(ticks)")) }
    }
    [sync.cancel, outcome.cancel, watch.cancel].forEach { $0() }
    do {
        _ = try await sync.value
        throw Failure("syncOnce ended")
    } catch is CancellationError {}
}

@MainActor
private func observation(_ client: Client) async throws {
    let changes = Box(0)
    var live: LiveRecords<Note>? = client.live(Note.where { $0.done != true })
    func track() {
        withObservationTracking {
            _ = live?.value
        } onChange: {
            changes.with { $0 += 1 }
        }
    }
    track()
    while live?.value == nil { await Task.yield() }
    try expect(changes.with { $0 } == 1, "SwiftUI would not have drawn the first answer")
    track()
    try await client.write(CreateNoteInput(id: "n1", text: "one"))
    while live?.value?.map(\.id) != ["n1"] { await Task.yield() }
    try expect(changes.with { $0 } == 2, "SwiftUI would not have drawn the second answer")
    try expect(client.liveQueriesOpen == 1 && live?.isLive == true, "it is not open")
    live = nil
    while client.liveQueriesOpen > 0 { await Task.yield() }
    let stopped = client.live(Note.all)
    while stopped.value == nil { await Task.yield() }
    stopped.stop()
    while client.liveQueriesOpen > 0 { await Task.yield() }
    try expect(stopped.value?.count == 1 && !stopped.isLive, "what it had is gone")
    let status = client.liveStatus()
    while status.value == nil { await Task.yield() }
    await client.close()
    while status.isLive { await Task.yield() }
    try expect(status.error == nil, "closing is told as an error")
}

@MainActor
private func brokenObservation(_ client: Client) async throws {
    let live = client.live("{ nonsense }")
    guard case .request? = live.error as? TomboloError else { throw Failure("\(String(describing: live.error))") }
    try expect(!live.isLive && live.value == nil, "it says that more may come")
}

@MainActor
private func json(_ client: Client) async throws {
    let value: JSONValue = ["a": [1, 2.5, true, nil, "x\u{0}\"\\\u{1F3DD}"], "b": ["c": -9_007_199_254_740_993]]
    let back = try JSONValue(json: value.json)
    try expect(back == value, "\(value) came back as \(back)")
    try expect(back["a"][1].double == 2.5 && back["a"][9].isNull && back["z"]["y"].isNull, "\(back)")
    try expect(JSONValue.double(.infinity).json == "null", "infinity")
    let coded = try JSONDecoder().decode(JSONValue.self, from: JSONEncoder().encode(value))
    try expect(coded == value, "Codable gave \(coded)")
    do {
        _ = try JSONValue(json: "{")
        throw Failure("`{` was read")
    } catch is DecodingError {}
}

@MainActor
private func settable(_ client: Client) async throws {
    let input = UpdateNoteInput(id: "n1", text: "new", due: nil)
    try expect(input.jsonValue == ["id": "n1", "text": "new", "due": nil], "\(input.jsonValue)")
    let (some, none): (String?, String?) = ("x", nil)
    try expect(Settable(orNull: none) == .null && Settable(orAbsent: none) == .absent, "nil")
    try expect(Settable(orNull: some) == .value("x") && Settable(orAbsent: some).value == "x", "a value")
}

@MainActor
private func errors(_ client: Client) async throws {
    let busy = TomboloError.busy(detail: "held"), unauthorized = TomboloError.unauthorized(detail: "no")
    try expect(busy.canRetry && !busy.needsSignIn, "busy")
    try expect(!unauthorized.canRetry && unauthorized.needsSignIn, "unauthorized")
    try expect(TomboloError.open(detail: "", code: "in_use").canRetry, "in use")
    try expect(!TomboloError.open(detail: "", code: "newer_file").canRetry, "newer")
    try expect(busy.localizedDescription == "held", "\(busy.localizedDescription)")
    do {
        _ = try await client.query("{ listNotes { items { nonsense } } }")
        throw Failure("nonsense was answered")
    } catch let error as TomboloError {
        try expect(error.problems.first?.line == 1, "\(error.problems)")
    }
}

@MainActor
private func credential(_ client: Client) async throws {
    let key = Credential.apiKey("secret")
    var dumped = ""
    dump(key, to: &dumped)
    try expect(!"\(key) \(String(reflecting: key)) \(dumped)".contains("secret"), "the key is printed")
}

private struct Knot: Codable, Hashable, Sendable {
    @Boxed var next: Knot?
    var name: String
}

@MainActor
private func boxed(_ client: Client) async throws {
    let knot = Knot(next: Knot(next: nil, name: "inner"), name: "outer")
    let back = try JSONDecoder().decode(Knot.self, from: JSONEncoder().encode(knot))
    try expect(back == knot && back.next?.name == "inner", "\(back)")
    let short = try JSONDecoder().decode(Knot.self, from: Data(#"{"name":"x"}"#.utf8))
    try expect(short.next == nil, "\(short)")
}

@MainActor
private func wholeRecords(_ client: Client) async throws {
    let changes = Reader(try await client.observe(Note.self, where: Note.fields.stars >= 1))
    let first = try await client.save(Note(id: "n1", text: "one", stars: 1))
    try expect(first.kind == .created && first.number != nil && first.record?.text == "one", "\(first)")
    guard var note = first.record else { return }
    try expect(try await changes.next() == .created(note), "the record was not told as created")
    let same = try await client.save(note)
    try expect(same.kind == .unchanged && same.number == nil, "\(same)")
    let before = note
    note.stars = 2
    try expect(try await client.save(note, before: before).kind == .updated, "it was not updated")
    guard case .updated(let told)? = try await changes.next() else { throw Failure("no update was told") }
    try expect(told.stars == 2, "\(told)")
    note.stars = 0
    try await client.save(note)
    try expect(try await changes.next() == .left(key: ["id": "n1"]), "it was not told to have left the filter")
    note.stars = 3
    try await client.save(note)
    guard case .created? = try await changes.next() else { throw Failure("it was not told to have come back") }
    try await client.delete(note)
    let last = try await changes.next()
    // The server has never heard of it.
    try expect(last == .left(key: ["id": "n1"]), "its end was told as \(String(describing: last))")
    do {
        try await client.delete(note)
        throw Failure("what is not there was deleted")
    } catch TomboloError.unknownRecord {}
    let many = Note.all.sorted { $0.text.descending }.limit(2).offset(1)
    for text in ["a", "b", "c", "d"] { try await client.save(Note(text: text)) }
    try expect(try await client.fetch(many).map(\.text) == ["c", "b"], "offset and limit")
}

/// `<Documents>/<CFBundleName>.db`, whatever is in the name, and `app.db` without one.
@MainActor
private func amplifyFile(_ client: Client) async throws {
    let folder = NSTemporaryDirectory() + "/tombolo-swift-\(UUID().uuidString)"
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let documents = FileManager.default.urls(for: .documentDirectory, in: .userDomainMask).first?.path ?? ""
    for (name, file) in [("Flight Notes", "Flight Notes.db"), (nil, "app.db")] {
        let path = "\(folder)/\(name ?? "none").app"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        var info = ["CFBundleIdentifier": "org.example.\(UUID().uuidString)", "CFBundleDisplayName": "Shown"]
        info["CFBundleName"] = name
        let plist = try PropertyListSerialization.data(fromPropertyList: info, format: .xml, options: 0)
        try plist.write(to: URL(fileURLWithPath: path + "/Info.plist"))
        guard let bundle = Bundle(path: path) else { throw Failure("no bundle at \(path)") }
        try expect(bundle.object(forInfoDictionaryKey: "CFBundleDisplayName") as? String == "Shown", "the bundle was not read")
        let found = try AmplifyDataStoreFile.path(bundle: bundle)
        try expect(found == "\(documents)/\(file)" && found.hasPrefix("/"), "of \(name ?? "no name"): \(found)")
    }
}
