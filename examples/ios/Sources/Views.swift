import SwiftUI
import Tombolo

/// The flights that this phone holds, the most delayed first.
struct FlightList: View {
    let session: Session
    let client: Client
    @State private var flights: LiveRecords<Flight>

    init(session: Session, client: Client) {
        self.session = session
        self.client = client
        _flights = State(initialValue: client.live(Flight.all.sorted { $0.depDelay.descending }.limit(200)))
    }

    var body: some View {
        NavigationStack {
            List(flights.value ?? []) { flight in
                NavigationLink(value: flight) {
                    VStack(alignment: .leading) {
                        Text("\(flight.carrier) \(flight.flight)  \(flight.origin) – \(flight.dest)").font(.headline)
                        Text(flight.depDelay.map { "\($0) minutes late" } ?? "cancelled").font(.caption)
                    }
                }
            }
            .navigationTitle("Flights")
            // A page is made when it is opened, and not for each row of the list.
            .navigationDestination(for: Flight.self) { flight in
                FlightPage(client: client, flight: flight, author: session.account ?? "")
            }
            .toolbar {
                SyncState(status: session.status?.value)
                Button("Sign out") { Task { await session.signOut() } }
            }
        }
    }
}

/// How the replica stands, in a word.
struct SyncState: View {
    let status: Status?

    var body: some View { Label(words, systemImage: symbol) }

    private var words: String {
        guard let status else { return "…" }
        if status.rejected + status.wedged > 0 { return "\(status.rejected + status.wedged) need a look" }
        if status.pending > 0 { return "\(status.pending) to send" }
        return switch status.link {
        case .live: "up to date"
        case .catchingUp, .opening: "catching up"
        case .paused: "sign in again"
        case .offline, .waiting: "offline"
        case .elsewhere: "synced by another process"
        }
    }

    private var symbol: String {
        status?.link == .live ? "checkmark.icloud" : "icloud.slash"
    }
}

/// A flight with its notes.
struct FlightPage: View {
    let client: Client
    let flight: Flight
    let author: String
    @State private var notes: LiveRecords<Note>
    @State private var text = ""
    @State private var severity = Severity.info
    @State private var airline: Airline?
    @State private var problem: String?

    init(client: Client, flight: Flight, author: String) {
        self.client = client
        self.flight = flight
        self.author = author
        _notes = State(initialValue: client.live(flight.notes().sorted { $0.createdAt.descending }))
    }

    var body: some View {
        Form {
            Section("Flight") {
                Text(airline?.name ?? flight.carrier)
                Text("\(flight.origin) – \(flight.dest), \(flight.distance) miles")
            }
            Section("Notes") {
                ForEach(notes.value ?? []) { note in
                    VStack(alignment: .leading) {
                        Text(note.text)
                        Text("\(note.author), \(note.severity?.rawValue ?? "")").font(.caption)
                        if note.done != true { Button("Done") { write { try await client.write(UpdateNoteInput(id: note.id, done: true)) } } }
                    }
                }
            }
            Section("New note") {
                TextField("What should the next reader know?", text: $text)
                Picker("Severity", selection: $severity) {
                    ForEach(Severity.allCases, id: \.self) { Text($0.rawValue).tag($0) }
                }
                Button("Write") { writeNote() }.disabled(text.isEmpty)
                if let problem { Text(problem).font(.caption) }
            }
        }
        .navigationTitle("\(flight.carrier) \(flight.flight)")
        .task { airline = try? await flight.airline(from: client) }
    }

    /// It is in the file when the call returns, with or without a network, and the list shows it at once.
    private func writeNote() {
        let note = CreateNoteInput(flightId: flight.id, text: text, author: author, severity: .value(severity))
        write {
            try await client.write(note)
            // Not before: what could not be written is not to be typed again. And not what was typed meanwhile.
            if text == note.text { text = "" }
        }
    }

    private func write<Value>(_ body: @escaping @MainActor () async throws -> Value) {
        Task {
            do {
                _ = try await body()
                problem = nil
            } catch {
                problem = "\(error)"
            }
        }
    }
}
