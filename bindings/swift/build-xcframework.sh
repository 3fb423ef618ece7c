#!/usr/bin/env bash
# Makes CTomboloFFI.xcframework beside this script, on a Mac with Xcode, for the package here and for a binaryTarget of a
# release: CTomboloFFI.xcframework.zip with its checksum.
#
# The library is built in the profile `phone` of Cargo.toml (small, no symbols). It has not been run in CI, which has no Mac.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
out=$here/CTomboloFFI.xcframework
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

[ "$(uname)" = Darwin ] || { echo "an XCFramework is made by Xcode: run this on a Mac" >&2; exit 1; }
export IPHONEOS_DEPLOYMENT_TARGET=16.0 MACOSX_DEPLOYMENT_TARGET=13.0

targets="aarch64-apple-ios aarch64-apple-ios-sim x86_64-apple-ios aarch64-apple-darwin x86_64-apple-darwin"
cd "$root"
# shellcheck disable=SC2086
rustup target add $targets
# What uniffi reads the API from must have its symbols; what tests alone call is not among it.
cargo build --package tombolo-ffi --package tombolo-bindgen
target_debug=$target/debug
"$target_debug/tombolo-bindgen" generate "$target_debug/libtombolo_ffi.dylib" --language swift --no-format --out-dir "$work/swift"
for name in $targets; do
    cargo build --package tombolo-ffi --profile phone --target "$name"
    strip -S -x "$target/$name/phone/libtombolo_ffi.a"
done

# The module that the generated Swift imports.
mkdir -p "$work/headers/CTomboloFFI"
cp "$work/swift/CTomboloFFI.h" "$work/headers/CTomboloFFI/"
cp "$work/swift/CTomboloFFI.modulemap" "$work/headers/CTomboloFFI/module.modulemap"
{
    cat "$work/swift/TomboloFFI.swift"
    cat <<'SWIFT'

/// Whether the library is the one that this file was written for. Nothing may be called in another.
public func libraryMatches() -> Bool {
    if case .ok = initializationResult { true } else { false }
}
SWIFT
} >"$here/Sources/TomboloFFI/TomboloFFI.swift"

fat() { # name, targets...
    local name=$1 parts=() part
    shift
    for part in "$@"; do parts+=("$target/$part/phone/libtombolo_ffi.a"); done
    mkdir -p "$work/$name"
    lipo -create "${parts[@]}" -output "$work/$name/libtombolo_ffi.a"
}
fat simulator aarch64-apple-ios-sim x86_64-apple-ios
fat macos aarch64-apple-darwin x86_64-apple-darwin

rm -rf "$out" "$out.zip"
xcodebuild -create-xcframework \
    -library "$target/aarch64-apple-ios/phone/libtombolo_ffi.a" -headers "$work/headers" \
    -library "$work/simulator/libtombolo_ffi.a" -headers "$work/headers" \
    -library "$work/macos/libtombolo_ffi.a" -headers "$work/headers" \
    -output "$out"
(cd "$here" && ditto -c -k --keepParent CTomboloFFI.xcframework CTomboloFFI.xcframework.zip)
echo "$out"
echo "checksum: $(swift package --package-path "$here" compute-checksum "$out.zip")"
# Package.swift asks whether the framework is there, and SwiftPM keeps the answer.
echo "if the package was resolved without it before: swift package purge-cache, and in Xcode File > Packages > Reset Package Caches"
