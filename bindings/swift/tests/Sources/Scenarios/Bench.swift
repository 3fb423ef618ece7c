import Foundation
import Tombolo

/// Write and live-query round trip in a file of `records` rows; one line of JSON.
func bench(records: Int, writes: Int) async throws {
    let folder = NSTemporaryDirectory() + "/tombolo-swift-bench-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(atPath: folder) }
    let schema = "type Note @model { id: ID! text: String! stars: Int @index(name: \"byStars\", queryField: \"byStars\") }"
    let path = folder + "/bench.sqlite"
    let create = "mutation($id: ID!, $text: String!, $stars: Int) { createNote(input: { id: $id, text: $text, stars: $stars }) { id } }"
    let update = "mutation($id: ID!, $text: String!) { updateNote(input: { id: $id, text: $text }) { id } }"
    let clock = ContinuousClock()
    var client = try await Tombolo.open(schema: schema, path: path, durable: false)
    var at = 0
    while at < records {
        let end = min(at + 100, records)
        try await client.transaction { t in
            for index in at..<end {
                t.mutate(create, ["id": .string("n\(index)"), "text": "a note of some length", "stars": .int(Int64(index % 1000))])
            }
        }
        at = end
    }
    await client.close()
    let opened = clock.now
    client = try await Tombolo.open(schema: schema, path: path)
    let open = clock.now - opened
    let watch = "query { getNote(id: \"n7\") { id text } }"
    var answers = try client.watch(watch).makeAsyncIterator()
    _ = try await answers.next()
    var (write, round): ([Duration], [Duration]) = ([], [])
    for index in 0..<writes {
        let begun = clock.now
        try await client.mutate(update, ["id": "n7", "text": .string("text \(index)")])
        write.append(clock.now - begun)
        let answer = try await answers.next()
        guard answer?["getNote"]["text"].string == "text \(index)" else { throw Failure("the live query gave \(String(describing: answer?.json))") }
        round.append(clock.now - begun)
    }
    await client.close()
    func part(_ times: [Duration]) -> JSONValue {
        let sorted = times.sorted()
        let micros = { (at: Double) -> JSONValue in
            let (seconds, attoseconds) = sorted[min(Int(Double(sorted.count) * at), sorted.count - 1)].components
            return .int(seconds * 1_000_000 + attoseconds / 1_000_000_000_000)
        }
        return ["p50_us": micros(0.5), "p99_us": micros(0.99)]
    }
    let opening = open.components
    say(
        JSONValue.object([
            "language": "swift", "records": JSONValue(records), "writes": JSONValue(writes), "write": part(write),
            "write_to_live_query": part(round),
            "open_us": .int(opening.seconds * 1_000_000 + opening.attoseconds / 1_000_000_000_000),
        ]).json)
}
