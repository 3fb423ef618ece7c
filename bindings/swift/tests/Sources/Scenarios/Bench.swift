import Foundation
import Tombolo

/// What the bench's workload W8 asks of an app; `bench/src/worker/app.rs` has its meaning.
struct BenchJob: Decodable {
    let file, schema, query, update: String
    let plain, watched: [String]
}

/// Does the job: opens a replica's file, asks, writes, watches. One line of JSON, in seconds.
func bench(job path: String) async throws {
    let job = try JSONDecoder().decode(BenchJob.self, from: Data(contentsOf: URL(fileURLWithPath: path)))
    let clock = ContinuousClock()
    let begun = clock.now
    let client = try await Tombolo.open(schema: job.schema, path: job.file)
    let opened = clock.now - begun
    let asked = clock.now
    _ = try await client.query(job.query)
    let answered = clock.now - asked
    func write(_ place: Int, _ id: String) async throws {
        let input: JSONValue = ["id": .string(id), "depDelay": .int(Int64(8_000 + place))]
        try await client.mutate(job.update, ["input": input])
    }
    var (writes, lives): ([Duration], [Duration]) = ([], [])
    for (place, id) in job.plain.enumerated() {
        let mark = clock.now
        try await write(place, id)
        writes.append(clock.now - mark)
    }
    var answers = try client.watch(job.query).makeAsyncIterator()
    _ = try await answers.next()
    for (place, id) in job.watched.enumerated() {
        let mark = clock.now
        try await write(place, id)
        guard try await answers.next() != nil else { throw Failure("the live query has ended") }
        lives.append(clock.now - mark)
    }
    await client.close()
    let told: JSONValue = [
        "open_seconds": seconds(opened), "first_query_seconds": seconds(answered), "write": spread(writes), "live": spread(lives),
    ]
    say(told.json)
}

private func seconds(_ time: Duration) -> JSONValue {
    let (whole, attoseconds) = time.components
    return .double(Double(whole) + Double(attoseconds) / 1e18)
}

private func spread(_ times: [Duration]) -> JSONValue {
    let sorted = times.sorted()
    let at = { (percent: Int) in seconds(sorted[(sorted.count - 1) * percent / 100]) }
    return ["p50": at(50), "p99": at(99)]
}
