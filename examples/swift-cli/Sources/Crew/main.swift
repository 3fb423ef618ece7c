import Flights
import Foundation
import Tombolo

guard CommandLine.arguments.count == 3 else {
    print("usage: Crew http://HOST:PORT/graphql API-KEY")
    exit(2)
}
let (url, key) = (CommandLine.arguments[1], CommandLine.arguments[2])
let folder = FileManager.default.temporaryDirectory.appendingPathComponent("tombolo-crew-\(UUID().uuidString)")
try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)

/// A phone: it holds United's flights, and every note.
func phone(_ name: String) async throws -> Client {
    try await Tombolo.open(
        schema: GeneratedSchema.sdl, path: folder.appendingPathComponent("\(name).sqlite").path, url: url,
        credential: .apiKey(key), author: name,
        scopes: [Scope("Flight", filter: Flight.where { $0.carrier == "UA" }.filter?.jsonValue), Scope("Note")])
}

/// Waits until everything is sent and everything is here.
func settled(_ client: Client) async throws {
    for try await status in try client.statuses() where status.isUpToDate && status.pending == 0 { return }
}

let (ada, bob) = (try await phone("ada"), try await phone("bob"))
try await settled(ada)
try await settled(bob)

// The first of the delayed flights, asked for by type.
guard let flight = try await ada.fetch(Flight.where { $0.depDelay > 30 }.limit(1)).first else {
    print("the server has no delayed flight of United's")
    exit(1)
}
print("\(flight.id) to \(flight.dest) was \(flight.depDelay ?? 0) minutes late")

// Into the lift.
try await ada.setOnline(false)
try await bob.setOnline(false)

// Bob watches the flight's notes: what he has now, and every change.
let watching = Task {
    for try await notes in try bob.watch(flight.notes()) {
        print("bob sees \(notes.count) notes: " + notes.map { "\($0.author): \($0.text)" }.sorted().joined(separator: " | "))
        if notes.contains(where: { $0.author == "ada" && $0.done == true }) { return }
    }
}

let note = CreateNoteInput(flightId: flight.id, text: "Left engine inspected", author: "ada", severity: .value(.caution))
let written = try await ada.write(note)
try await bob.write(CreateNoteInput(flightId: flight.id, text: "Catering is late", author: "bob"))
print("ada has \(try ada.status.pending) mutation to send, bob has \(try bob.status.pending)")
if let id = written.value?.id { try await ada.write(UpdateNoteInput(id: id, done: true)) }

// And out again.
try await ada.setOnline(true)
try await bob.setOnline(true)
try await watching.value
try await settled(ada)
try await settled(bob)

// Bob's note may be on its way to Ada still: she watches until it is there.
for try await notes in try ada.watch(flight.notes()) where Set(notes.map(\.author)) == ["ada", "bob"] { break }
let (hers, his) = (try await ada.fetch(flight.notes()), try await bob.fetch(flight.notes()))
print(hers == his ? "both hold the same \(hers.count) notes" : "they differ: \(hers) and \(his)")
await ada.close()
await bob.close()
try? FileManager.default.removeItem(at: folder)
exit(hers == his ? 0 : 1)
