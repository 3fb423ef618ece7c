#!/usr/bin/env bash
# The Python side of the bench's workload W8, against the library in the release profile: `cargo xtask bindings`, and
# cargo build --release -p tombolo-ffi --features testing. `--build` has nothing to do; `--ready` says whether that was done; JOB is
# a file of JSON.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../../target}
export TOMBOLO_LIBRARY=${TOMBOLO_LIBRARY:-$target/release/libtombolo_ffi.so} PYTHONPATH=$here/src
case ${1:-} in
--build) ;;
--ready) [ -f "$TOMBOLO_LIBRARY" ] && python3 -c 'import tombolo' ;;
*) python3 "$here/tests/bench.py" "$1" ;;
esac
