#!/usr/bin/env bash
# The Kotlin side of the bench's workload W8, against the library in the release profile.
#
#   bench.sh --build    compiles it; after `cargo xtask bindings` and a release library with what tests call:
#                       cargo build --release -p tombolo-ffi --features testing
#   bench.sh --ready    whether that was done
#   bench.sh JOB        does the job in a file of JSON and prints a line of JSON
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
export TOMBOLO_KOTLIN_WORK=$target/bench-kotlin TOMBOLO_LIBRARY=${TOMBOLO_LIBRARY:-$target/release/libtombolo_ffi.so}
case ${1:-} in
--build)
    rm -rf "$TOMBOLO_KOTLIN_WORK"
    mkdir -p "$TOMBOLO_KOTLIN_WORK"
    "$here/ci.sh" build
    ;;
--ready) [ -f "$TOMBOLO_KOTLIN_WORK/run.sh" ] ;;
*)
    source "$TOMBOLO_KOTLIN_WORK/run.sh"
    run dev.tombolo.tests.MainKt bench "$1"
    ;;
esac
