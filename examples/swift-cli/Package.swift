// swift-tools-version: 6.0
import PackageDescription

// Sources/Flights is written by `tombolo codegen` (README.md) and is not kept in the repository.
let package = Package(
    name: "Crew",
    platforms: [.macOS(.v13)],
    dependencies: [.package(path: "../../bindings/swift")],
    targets: [
        .target(name: "Flights", dependencies: [.product(name: "Tombolo", package: "swift")]),
        .executableTarget(
            name: "Crew", dependencies: [.product(name: "Tombolo", package: "swift"), "Flights"]),
    ],
    swiftLanguageModes: [.v6]
)
