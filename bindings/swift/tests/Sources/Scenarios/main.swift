import Foundation
import Tombolo
import TomboloFFI

// Carries out tests/bindings/scenarios.md: Scenarios --rig URL --list FILE [--only NAME] [--break NAME]
//                                          Scenarios checks [--rig URL] [--only NAME]
//                                          Scenarios bench JOB

/// Panics in the library.
func panic(_ words: String) async throws {
    do { try await provokePanic(words: words) } catch { throw translated(error) }
}

func panicAtOnce(_ words: String) throws {
    do { try provokePanicAtOnce(words: words) } catch { throw translated(error) }
}

private func translated(_ error: any Error) -> any Error {
    if case .Panicked(let detail)? = error as? TomboloFFI.TomboloError { return Tombolo.TomboloError.panicked(detail: detail) }
    return error
}

let arguments = Array(CommandLine.arguments.dropFirst())
func option(_ name: String) -> String? {
    let arguments = CommandLine.arguments
    guard let at = arguments.firstIndex(of: name), at + 1 < arguments.count else { return nil }
    return arguments[at + 1]
}

func say(_ line: String) {
    FileHandle.standardOutput.write(Data((line + "\n").utf8))
}

if let path = option("--probe") {
    do {
        let client = try await Tombolo.open(schema: "type Note @model { id: ID! text: String }", path: path)
        await client.close()
        say("started")
        exit(0)
    } catch {
        say("refused: \(error)")
        exit(3)
    }
}
if arguments.first == "checks" {
    exit(await checks(rig: option("--rig").map(Rig.init)) ? 0 : 1)
}
if arguments.first == "bench" {
    try await bench(job: arguments[1])
    exit(0)
}

guard let url = option("--rig"), let listPath = option("--list") else {
    say("usage: Scenarios --rig URL --list tests/bindings/scenarios.md [--only NAME] [--break NAME]")
    exit(2)
}
let rig = Rig(url: url)
let scenarios = purpose.merging(badInput) { $1 }.merging(watched) { $1 }.merging(generated) { $1 }.merging(importing) { $1 }
// `- name: what must hold`, and all else is words.
let listed = try String(contentsOfFile: listPath, encoding: .utf8).split(separator: "\n").compactMap { line -> String? in
    guard line.hasPrefix("- "), let colon = line.firstIndex(of: ":") else { return nil }
    let name = line[line.index(line.startIndex, offsetBy: 2)..<colon]
    return name.allSatisfy { $0.isLowercase || $0 == "-" } ? String(name) : nil
}
let schema = try await rig.ask("GET", "/schema")["text"].string ?? ""
let broken = option("--break")
let only = option("--only") ?? broken
var (passed, failed) = (0, 0)

for name in Set(listed).symmetricDifference(scenarios.keys).sorted() where only == nil {
    say("FAILED \(name): " + (scenarios[name] == nil ? "it is on the list, and not carried out" : "it is not on the list"))
    failed += 1
}
for name in listed where only == nil || only == name {
    guard let run = scenarios[name] else { continue }
    let folder = NSTemporaryDirectory() + "/tombolo-swift-\(UUID().uuidString)"
    let trial = try Trial(rig: rig, schema: schema, folder: folder, isBroken: broken == name)
    do {
        try await within(seconds: 120, { "it took more than 120 s" }) { try await run(trial) }
        say("ok \(name)")
        passed += 1
    } catch {
        say("FAILED \(name): \(error)")
        failed += 1
    }
    await trial.end()
}
say("\(passed) passed, \(failed) failed")
exit(failed == 0 && passed > 0 ? 0 : 1)
