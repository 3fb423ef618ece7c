import Tombolo

/// Tells what became of mutations. What the server refuses is told in any case: also what was decided while this client was
/// suspended, by another process on the file, or while nobody asked for events. An app that comes from Amplify has no other
/// channel for it.
actor Decisions {
    private let client: Client
    private let errorHandler: (@Sendable (any Error) -> Void)?
    private let processed: @Sendable (Mutation) -> Void

    /// Carried out, and not told yet, since the file could not be read.
    private var owed: [MutationNumber] = []
    /// The list of what waits for the app has to be looked through.
    private var owesList = false
    /// What has been told, and not been tried again under another number since.
    private var told: Set<Trouble> = []
    /// What waited for the app before this client was opened, and is old news.
    private var before: Set<Trouble> = []

    /// A mutation that waits for the app, `rejected` or `wedged`.
    private struct Trouble: Hashable {
        var number: MutationNumber
        let isWedged: Bool
    }

    init(
        _ client: Client, _ errorHandler: (@Sendable (any Error) -> Void)?, processed: @escaping @Sendable (Mutation) -> Void
    ) {
        (self.client, self.errorHandler, self.processed) = (client, errorHandler, processed)
    }

    /// Takes note of what waits already. If that cannot be read, it is told with the rest: rather twice than never.
    func begin() async { before = Set((try? await waiting())?.map(\.0) ?? []) }

    func take(_ event: Event) async {
        switch event {
        case .decided(let number, .applied), .decided(let number, .merged):
            owed.append(number)
            await pay()
        case .decided(let number, .rejected(let code, let detail)):
            tell(Trouble(number: number, isWedged: false), .mutationRefused(number: number, code: code, detail: detail))
        case .wedged(let number, let reason):
            // Under the same number as before, if it was tried again.
            told.insert(Trouble(number: number, isWedged: true))
            errorHandler?(DataStoreError.mutationWedged(number: number, detail: reason))
        case .renumbered(let low, let high, let by): renumber(low...high, by: by)
        case .missed:
            owesList = true
            await pay()
        case .decided(_, .discarded), .needToken, .signedOut, .replicaRenewed, .stalled, .salvaged, .imported: break
        }
    }

    /// The client has its file again.
    func resumed() async {
        owesList = true
        await pay()
    }

    /// What fails, since the client is suspended again or the file busy, stays owed until the next event or resumption.
    private func pay() async {
        let numbers = owed
        owed = []
        for number in numbers {
            do {
                if let mutation = try await client.mutation(number) { processed(mutation) }
            } catch {
                owed.append(number)
            }
        }
        guard owesList else { return }
        owesList = false
        do {
            for (trouble, error) in try await waiting() where !before.contains(trouble) { tell(trouble, error) }
        } catch {
            owesList = true
        }
    }

    /// The mutations that wait for the app.
    private func waiting() async throws -> [(Trouble, DataStoreError)] {
        var filter = MutationFilter(states: [.rejected, .wedged])
        var all: [(Trouble, DataStoreError)] = []
        while true {
            let page = try await client.mutations(filter)
            guard let last = page.last else { return all }
            all += page.map { mutation in
                let (number, detail) = (mutation.number, mutation.reason ?? "")
                return mutation.state == .wedged
                    ? (Trouble(number: number, isWedged: true), .mutationWedged(number: number, detail: detail))
                    : (
                        Trouble(number: number, isWedged: false),
                        .mutationRefused(number: number, code: mutation.reasonCode ?? "", detail: detail)
                    )
            }
            filter.after = last.number
        }
    }

    private func tell(_ trouble: Trouble, _ error: DataStoreError) {
        if told.insert(trouble).inserted { errorHandler?(error) }
    }

    /// What has another number is queued again: what becomes of it is news.
    private func renumber(_ numbers: ClosedRange<MutationNumber>, by: UInt64) {
        owed = owed.map { numbers.contains($0) ? $0 &+ by : $0 }
        told = told.filter { !numbers.contains($0.number) }
        before = before.filter { !numbers.contains($0.number) }
    }
}
