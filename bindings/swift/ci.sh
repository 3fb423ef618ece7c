#!/usr/bin/env bash
# Builds the Swift package, the code generated for five schemas, the scenarios and the example, and runs them against real
# servers. After `cargo xtask bindings`, which writes Sources/TomboloFFI and Sources/CTomboloFFI.
#
#   TOMBOLO_BIN      the server          (target/debug/tombolo)
#   TOMBOLO_LIBRARY  the library         (target/debug/libtombolo_ffi.so)
#   TOMBOLO_TOOLS    where the compiler is kept between runs, outside the work tree (~/.cache/tombolo-tools)
#
# A Swift of 6.0 or later on PATH is used; without one Debian's swiftlang, in a root of its own (2.5 GB, 90 s once).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
bin=${TOMBOLO_BIN:-$target/debug/tombolo}
library=${TOMBOLO_LIBRARY:-$target/debug/libtombolo_ffi.so}
tools=${TOMBOLO_TOOLS:-$HOME/.cache/tombolo-tools}
build=$here/.build
work=$(mktemp -d)
pids=()

end() {
    for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
    rm -rf "$work"
}
trap end EXIT

fail() {
    echo "bindings/swift: $*" >&2
    exit 1
}

# Runs a command without its words, unless it fails.
quietly() {
    "$@" >"$work/said" 2>&1 || {
        cat "$work/said" >&2
        fail "failed: $*"
    }
}

[ -x "$bin" ] || fail "no server at $bin: cargo build -p tombolo-server, or set TOMBOLO_BIN"
[ -f "$library" ] || fail "no library at $library: cargo xtask bindings, or set TOMBOLO_LIBRARY"
[ -f "$here/Sources/TomboloFFI/TomboloFFI.swift" ] || fail "nothing generated: cargo xtask bindings"

# --- The compiler

install_root() {
    local debian=$tools/trixie-swift mirror
    if [ ! -x "$debian/usr/bin/swiftc" ] && [ ! -x "$debian/usr/libexec/swift/bin/swiftc" ]; then
        command -v apt-get >/dev/null || fail "install Swift 6.0 or later (swift.org), so that \`swift\` is on PATH"
        if ! command -v mmdebstrap >/dev/null || ! command -v bwrap >/dev/null; then
            quietly apt-get update
            quietly apt-get install -y --no-install-recommends mmdebstrap bubblewrap
        fi
        mirror=http://deb.debian.org/debian
        if [ "$(. /etc/os-release && echo "$ID")" = debian ]; then
            mirror=$(sed -n 's/^URIs: *\([^ ]*\).*/\1/p' /etc/apt/sources.list.d/*.sources 2>/dev/null | head -1)
            [ -n "$mirror" ] || mirror=$(sed -n 's/^deb \(\[[^]]*\] \)\{0,1\}\([^ ]*\) .*/\2/p' /etc/apt/sources.list | head -1)
        fi
        mkdir -p "$tools"
        # Under another name until it is whole, so that half a root is never used.
        rm -rf "$debian.new"
        quietly mmdebstrap -q --variant=apt --include=swiftlang,libc6-dev,libstdc++-14-dev trixie "$debian.new" "$mirror"
        rm -rf "$debian"
        mv "$debian.new" "$debian"
    fi
    echo "$debian"
}

if command -v swift >/dev/null && swift --version 2>/dev/null | grep -Eq 'Swift version ([6-9]|[1-9][0-9])'; then
    inside() { "$@"; }
else
    debian=$(install_root)
    # Everything has the path that it has outside. The network is the machine's: the scenarios speak to 127.0.0.1.
    inside() {
        bwrap --ro-bind "$debian/usr" /usr --symlink usr/bin /bin --symlink usr/lib /lib --symlink usr/lib64 /lib64 \
            --ro-bind "$debian/etc" /etc --proc /proc --dev /dev --bind /tmp /tmp --tmpfs /root \
            --bind "$root" "$root" --bind "$work" "$work" --setenv HOME /root \
            --setenv PATH /usr/libexec/swift/bin:/usr/bin:/bin --die-with-parent --chdir "$PWD" "$@"
    }
fi

# Only the dynamic library may lie in a folder that is given to the linker: Swift's tools do not read Rust's static one.
# libswiftObservation of Debian's package refers to a function that nothing exports and nothing calls.
mkdir -p "$build/library"
cmp -s "$library" "$build/library/$(basename "$library")" || cp "$library" "$build/library/"
library=$build/library/$(basename "$library")
flags=(--disable-sandbox -Xlinker "-L$build/library")
[ "$(uname)" = Darwin ] || flags+=(-Xlinker --allow-shlib-undefined)
export LD_LIBRARY_PATH=$build/library DYLD_LIBRARY_PATH=$build/library TOMBOLO_LIBRARY=$library

if [ "${1:-}" = bench ]; then
    inside "$build/bench/release/Scenarios" bench "$2"
    exit
fi

# --- Generated code

generate() { # folder, schema, operations
    quietly "$bin" codegen --schema "$2" --lang swift --out "$1" ${3:+--operations "$3"}
}
schemas=$root/codegen/tests/schemas
for name in small flights large nasty; do
    operations=$schemas/$name.operations.graphql
    [ -f "$operations" ] || operations=
    generate "$here/tests/Generated/$(echo "${name:0:1}" | tr '[:lower:]' '[:upper:]')${name:1}" "$schemas/$name.graphql" "$operations"
done
generate "$here/tests/Generated/Rig" "$root/tests/bindings/rig/schema.graphql" "$root/tests/bindings/rig/operations/*.graphql"
generate "$root/examples/swift-cli/Sources/Flights" "$root/examples/flights/schema.graphql" ""

# The first ten lines of the README, as they stand there.
mkdir -p "$here/tests/Sources/FirstLines"
sed -n '/^```swift$/,/^```$/p;/^```$/q' "$here/README.md" | sed '/^```/d' >"$work/first.swift"
[ -s "$work/first.swift" ] || fail "README.md has no block of Swift"
cmp -s "$work/first.swift" "$here/tests/Sources/FirstLines/main.swift" || cp "$work/first.swift" "$here/tests/Sources/FirstLines/main.swift"

# --- Build

# SwiftPM 6.0.3 itself dies now and then of a bad pointer, before it has compiled anything that is new. That alone is tried again.
build() { # package, scratch folder
    cd "$1"
    for _ in 1 2 3; do
        inside swift build "${flags[@]}" --scratch-path "$2" >"$work/said" 2>&1 && return
        grep -q '^\*\*\* Program crashed' "$work/said" || break
    done
    cat "$work/said" >&2
    fail "swift build failed in $1"
}
if [ "${1:-}" = bench-build ]; then
    flags+=(-c release)
    build "$here/tests" "$build/bench"
    exit
fi
build "$here/tests" "$build/tests"
build "$root/examples/swift-cli" "$build/example"
echo "ok build: the package, five schemas without a warning, the README's first lines, the example"

# What is Apple's alone, against hand-written signatures of Apple's frameworks.
if [ "$(uname)" != Darwin ]; then
    stubs=$build/stubs
    mkdir -p "$stubs"
    check=(inside swiftc -swift-version 6 -warnings-as-errors -parse-as-library -package-name swift -I "$stubs" -I "$build/tests/debug/Modules"
        -Xcc "-fmodule-map-file=$here/Sources/CTomboloFFI/module.modulemap")
    for name in BackgroundTasks UIKit Network Security SwiftUI; do
        quietly "${check[@]}" -emit-module -module-name $name -o "$stubs/$name.swiftmodule" "$here/tests/AppleStubs/$name.swift"
    done
    # shellcheck disable=SC2046
    quietly "${check[@]}" -emit-module -module-name Tombolo -o "$stubs/Tombolo.swiftmodule" $(find "$here/Sources/Tombolo" -name '[!.]*.swift')
    generate "$root/examples/ios/Sources/Generated" "$root/examples/flights/schema.graphql" ""
    # shellcheck disable=SC2046
    quietly "${check[@]}" -typecheck -module-name App $(find "$root/examples/ios/Sources" -name '[!.]*.swift')
    echo "ok stubs: Sources/Tombolo/Apple and examples/ios"
fi

# --- Run

mkfifo "$work/rig"
TOMBOLO_BIN=$bin node "$root/tests/bindings/rig/main.js" <"$work/rig" >"$work/rig.out" &
exec 9>"$work/rig"
for _ in $(seq 300); do
    [ -s "$work/rig.out" ] && break
    sleep 0.1
done
rig=$(sed -n 's/.*"url": *"\([^"]*\)".*/\1/p' "$work/rig.out")
[ -n "$rig" ] || fail "the rig did not start"
scenarios() { inside "$build/tests/debug/Scenarios" --rig "$rig" --list "$root/tests/bindings/scenarios.md" "$@" 2>"$work/errors"; }

cd "$root"
scenarios || {
    tail -50 "$work/errors" >&2
    fail "scenarios failed"
}
inside "$build/tests/debug/Scenarios" checks --rig "$rig" || fail "checks failed"
if scenarios --break conflict >"$work/said"; then
    fail "a scenario that is broken on purpose did not fail"
fi
grep -q '^FAILED conflict: turned round on purpose' "$work/said" || { cat "$work/said" >&2; fail "the broken scenario failed otherwise"; }
echo "ok broken on purpose: conflict went red"

"$bin" dev --data "$work/dev" --listen 127.0.0.1:0 --api-key crew >"$work/dev.out" 2>&1 &
pids+=($!)
for _ in $(seq 300); do
    url=$(grep -Eo 'http://127\.0\.0\.1:[0-9]+/graphql' "$work/dev.out" | head -1 || true)
    [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || fail "tombolo dev did not start"
inside "$build/example/debug/Crew" "$url" crew >"$work/said" 2>&1 || { cat "$work/said" >&2; fail "examples/swift-cli failed"; }
grep -q '^both hold the same 2 notes' "$work/said" || { cat "$work/said" >&2; fail "examples/swift-cli did not converge"; }
echo "ok example: examples/swift-cli"
