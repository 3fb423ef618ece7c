import Foundation
import Tombolo

let importing: [String: @Sendable (Trial) async throws -> Void] = ["import": importFiles]

@Sendable private func importFiles(_ t: Trial) async throws {
    for platform in ["ios", "android"] {
        let server = try await t.server()
        let made = try await t.rig.ask(
            "POST", "/datastore-file",
            ["platform": .string(platform), "records": 20, "mutations": 5, "server": .string(server.id)])
        let old = made["path"].string ?? ""
        try await server.stop()
        let path = t.file()
        func open() async throws -> Client {
            t.keep(
                try await Tombolo.open(
                    schema: t.schema, path: path, url: server.url, credential: .apiKey(server.key), importDataStore: old))
        }
        let client = try await open()
        guard let report = try client.dataStoreImport else { throw Failure("there is no report") }
        try t.main(
            report.mutations == 5 && report.mutationsLeft == 0 && report.recordsLeft == 0, "\(platform): the report: \(report)")
        try t.expect(report.format, is: platform == "ios" ? .ios : .android, "the platform")
        let texts = made["notes"].object ?? [:]
        let here = try await client.query(list).notes
        try t.expect(
            Dictionary(here.map { ($0["id"].string ?? "", $0["text"]) }, uniquingKeysWith: { $1 }), is: texts,
            "\(platform): the notes")
        let outbox = try await client.outbox()
        try t.expect(
            outbox.map { JSONValue.object(["kind": .string("\($0.kind)"), "id": $0.key[0]]) },
            is: (made["mutations"].array ?? []).map { ["kind": .string(($0["kind"].string ?? "").lowercased()), "id": $0["id"]] },
            "\(platform): the outbox")
        try await server.start()
        for mutation in outbox {
            let outcome = try await t.outcome(client, mutation.number)
            try t.expect(outcome.tookEffect, "\(platform): \(mutation.kind) \(mutation.key) ended \(outcome)")
        }
        try await t.becomesSettled(client)
        let there = try await server.notes()
        try t.expect(
            Dictionary(there.map { ($0["id"].string ?? "", $0["text"]) }, uniquingKeysWith: { $1 }), is: texts,
            "\(platform): the server's notes")
        try t.expect(try client.dataStoreImport?.state, is: .settled, "\(platform): the import")
        try t.expect(FileManager.default.fileExists(atPath: old), "\(platform): the old file is gone")
        await client.close()
        let again = try await open()
        try t.expect(try await again.query(list).ids, is: texts.keys.sorted(), "\(platform): the notes, opened again")
        try t.expect(try await again.outbox().isEmpty, "\(platform): something was imported twice")
        await again.close()
    }
}
