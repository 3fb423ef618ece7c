// swift-tools-version: 6.0
import PackageDescription

// What ci.sh builds and runs. Generated/ and Sources/FirstLines are written by it, and are not kept in the repository.
let strict: [SwiftSetting] = [.unsafeFlags(["-warnings-as-errors"])]
let tombolo: Target.Dependency = .product(name: "Tombolo", package: "swift")
let dataStore: Target.Dependency = .product(name: "TomboloDataStore", package: "swift")

let package = Package(
    name: "TomboloTests",
    platforms: [.macOS(.v14)],
    dependencies: [.package(path: "..")],
    targets: [
        .target(name: "GeneratedSmall", dependencies: [tombolo], path: "Generated/Small", swiftSettings: strict),
        .target(name: "GeneratedFlights", dependencies: [tombolo], path: "Generated/Flights", swiftSettings: strict),
        .target(name: "GeneratedLarge", dependencies: [tombolo], path: "Generated/Large", swiftSettings: strict),
        .target(name: "GeneratedNasty", dependencies: [tombolo], path: "Generated/Nasty", swiftSettings: strict),
        .target(name: "GeneratedRig", dependencies: [tombolo], path: "Generated/Rig", swiftSettings: strict),
        .executableTarget(
            name: "Scenarios", dependencies: [tombolo, dataStore, .product(name: "TomboloFFI", package: "swift"), "GeneratedRig"], swiftSettings: strict),
        .executableTarget(name: "FirstLines", dependencies: [tombolo], swiftSettings: strict),
    ],
    swiftLanguageModes: [.v6]
)
