#!/usr/bin/env bash
# Builds the native library for this machine's system into native/, laid out as JNA looks for it in a jar, and the Kotlin side of the very
# same library into shipped/: `./build-jvm.sh && gradle :tombolo-jvm:publish -Pnative=../native`.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
profile=${TOMBOLO_PROFILE:-phone}

case $(uname -s) in
Linux) system=linux file=libtombolo_ffi.so ;;
Darwin) system=darwin file=libtombolo_ffi.dylib ;;
*) echo "no build for $(uname -s) here" >&2; exit 1 ;;
esac
case $(uname -m) in
x86_64) processor=x86-64 ;;
aarch64 | arm64) processor=aarch64 ;;
*) echo "no build for $(uname -m) here" >&2; exit 1 ;;
esac

cargo build --manifest-path "$repository/Cargo.toml" --package tombolo-ffi --lib --profile "$profile" --config "profile.$profile.strip=\"none\""
built=${CARGO_TARGET_DIR:-$repository/target}/$profile/$file
# Its description is among the symbols, which are taken out after.
"$here/shipped.sh" write "$built"
folder=$here/native/$system-$processor
mkdir -p "$folder"
cp "$built" "$folder/"
if [ $system = darwin ]; then strip -x "$folder/$file"; else strip --strip-all "$folder/$file"; fi
"$here/shipped.sh" check "$folder/$file"
echo "$system-$processor: $(wc -c < "$folder/$file") bytes"
