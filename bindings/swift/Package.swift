// swift-tools-version: 6.0
import Foundation
import PackageDescription

// The library itself comes in one of two ways. On Apple's systems: `CTomboloFFI.xcframework`, which build-xcframework.sh
// makes in this folder. Elsewhere, and on a Mac without it: `libtombolo_ffi` in a folder that the linker is told of (-L).
let framework = "CTomboloFFI.xcframework"
let hasFramework = FileManager.default.fileExists(atPath: Context.packageDirectory + "/" + framework)

let library: Target =
    hasFramework
    ? .binaryTarget(name: "CTomboloFFI", path: framework)
    : .systemLibrary(name: "CTomboloFFI", path: "Sources/CTomboloFFI")

let package = Package(
    name: "Tombolo",
    platforms: [.iOS(.v16), .macOS(.v13), .tvOS(.v16), .watchOS(.v9), .visionOS(.v1)],
    products: [
        .library(name: "Tombolo", targets: ["Tombolo"]),
        .library(name: "TomboloDataStore", targets: ["TomboloDataStore"]),
        // What lies below, as uniffi wrote it: for this repository's own tests.
        .library(name: "TomboloFFI", targets: ["TomboloFFI"]),
    ],
    targets: [
        library,
        // What uniffi wrote. Its code for callbacks is not up to the Swift 6 mode yet (mozilla/uniffi-rs#2929).
        .target(
            name: "TomboloFFI",
            dependencies: ["CTomboloFFI"],
            swiftSettings: [.swiftLanguageMode(.v5)],
            linkerSettings: hasFramework ? [] : [.linkedLibrary("tombolo_ffi")]
        ),
        .target(name: "Tombolo", dependencies: ["TomboloFFI"]),
        .target(name: "TomboloDataStore", dependencies: ["Tombolo"]),
    ],
    swiftLanguageModes: [.v6]
)
