import SwiftUI
import Tombolo

@main
struct FlightsApp: App {
    @Environment(\.scenePhase) private var phase
    @State private var session: Session
    private let background: BackgroundSync

    init() {
        let session = Session()
        _session = State(initialValue: session)
        background = BackgroundSync(refresh: Session.refresh, processing: Session.processing) {
            try await session.opened()
        }
        background.register()
    }

    var body: some Scene {
        WindowGroup { RootView(session: session) }
            .onChange(of: phase) { _, phase in
                // The next round, whether or not the last one took place.
                if phase == .background { try? background.schedule() }
            }
    }
}

struct RootView: View {
    let session: Session

    var body: some View {
        VStack {
            // On every screen: a sign-out that failed leaves the user where they were.
            if let problem = session.problem { Text(problem).font(.caption) }
            if let client = session.client {
                FlightList(session: session, client: client)
            } else {
                SignIn(session: session)
            }
        }
        .task { await session.restore() }
    }
}

struct SignIn: View {
    let session: Session
    @State private var account = ""
    @State private var server = "http://127.0.0.1:4000/graphql"
    @State private var key = ""

    var body: some View {
        Form {
            Section("Account") {
                TextField("Name", text: $account)
                TextField("Server", text: $server)
                SecureField("API key", text: $key)
            }
            Button("Sign in") { Task { await session.signIn(account, server: server, key: key) } }
                .disabled(account.isEmpty || key.isEmpty)
        }
    }
}
