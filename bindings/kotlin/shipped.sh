#!/usr/bin/env bash
# The Kotlin side of a library that is shipped, in shipped/, where Gradle takes it from. `generated/` is another one: of a library with what
# tests call, which a shipped one does not have, and JNA looks for every symbol when the first one is called.
#
#   shipped.sh write LIBRARY            writes it; LIBRARY has its symbols still (cargo build --config 'profile.NAME.strip="none"')
#   shipped.sh check LIBRARY [FOLDER]   whether LIBRARY, stripped or not, has every symbol that shipped/ (or FOLDER) names
#
#   TOMBOLO_BINDGEN   the program that writes it (built by cargo unless said)
#   NM                what lists symbols (nm)
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)

case ${1:-} in
write)
    library=$(cd "$(dirname "$2")" && pwd)/$(basename "$2")
    if [ -z "${TOMBOLO_BINDGEN:-}" ]; then
        cargo build --manifest-path "$repository/Cargo.toml" --package tombolo-bindgen
        TOMBOLO_BINDGEN=${CARGO_TARGET_DIR:-$repository/target}/debug/tombolo-bindgen
    fi
    rm -rf "$here/shipped"
    # It looks for the settings of the packages from where it stands.
    (cd "$repository" && "$TOMBOLO_BINDGEN" generate "$library" --language kotlin --no-format --out-dir "$here/shipped")
    ;;
check)
    named=$(grep -ohE 'external fun (uniffi|ffi)_tombolo_ffi_[a-z0-9_]+' "${3:-$here/shipped}/dev/tombolo/ffi/tombolo_ffi.kt" | sed 's/.* //' | sort -u)
    # Without the underscore that macOS puts in front.
    there=$("${NM:-nm}" --dynamic --defined-only "$2" 2>/dev/null || "${NM:-nm}" -gU "$2")
    missing=$(comm -23 <(printf '%s\n' "$named") <(printf '%s\n' "$there" | awk '{ sub(/^_/, "", $NF); print $NF }' | sort -u))
    [ -n "$named" ] || { echo "the Kotlin side names no symbol" >&2; exit 1; }
    [ -z "$missing" ] || { printf '%s does not have what the Kotlin side names:\n%s\n' "$2" "$missing" >&2; exit 1; }
    ;;
*)
    sed -n '2,/^set/p' "${BASH_SOURCE[0]}" | sed '$d; s/^# \{0,1\}//' >&2
    exit 2
    ;;
esac
