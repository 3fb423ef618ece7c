#!/usr/bin/env bash
# The Swift side of the bench's workload W8, optimised, against the library in the release profile.
#
#   bench.sh --build    compiles it; after `ci.sh`, and a release library with what tests call:
#                       cargo build --release -p tombolo-ffi --features testing
#   bench.sh --ready    whether that was done
#   bench.sh JOB        does the job in a file of JSON and prints a line of JSON
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
export TOMBOLO_LIBRARY=${TOMBOLO_LIBRARY:-$target/release/libtombolo_ffi.so}
case ${1:-} in
--build) "$here/ci.sh" bench-build ;;
--ready) [ -x "$here/.build/bench/release/Scenarios" ] ;;
*) "$here/ci.sh" bench "$1" ;;
esac
