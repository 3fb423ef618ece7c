#!/usr/bin/env bash
# Type-checks the SDK and its border for phones, and makes static libraries as far as this machine can.
#
#   bindings/cross-check.sh            both phones, check and static library
#   bindings/cross-check.sh --check    check alone
#
# Rust's side is the real one: the standard library for each target comes from rustup. SQLite and ring are C, and need a C
# compiler for the target: the NDK's (ANDROID_NDK_HOME) and Xcode's (on a Mac) where they are there. Elsewhere `zig cc` (PyPI:
# ziglang) stands in, with musl's headers for Android and macOS' for iOS: what it makes has the right architecture and format
# and the wrong C library's headers, so the libraries show that everything compiles and are NOT fit to be shipped.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
TOOLS="${TOMBOLO_TOOLS:-$HOME/.cache/tombolo-tools}"
ZIG_VERSION=0.17.1
ANDROID=aarch64-linux-android
IOS=aarch64-apple-ios
mkdir -p "$TOOLS"

rustup target add "$ANDROID" "$IOS"

# A C compiler that answers to the name, whatever the build scripts ask of it.
stand_in() { # NAME ZIG-TARGET [FLAG…]
    local name="$1" target="$2"
    shift 2
    if [ ! -x "$TOOLS/zig-$ZIG_VERSION/bin/python" ]; then
        rm -rf "$TOOLS/zig-new"
        python3 -m venv "$TOOLS/zig-new"
        "$TOOLS/zig-new/bin/pip" install --quiet --disable-pip-version-check "ziglang==$ZIG_VERSION"
        mv "$TOOLS/zig-new" "$TOOLS/zig-$ZIG_VERSION"
    fi
    cat >"$TOOLS/$name" <<WRAPPER
#!/usr/bin/env bash
# The target's own name and paths are left out: zig has others for them.
arguments=()
while [ \$# -gt 0 ]; do
    case "\$1" in
    --target=* | -mios-version-min=* | -miphoneos-version-min=*) ;;
    -target | -isysroot | -arch) shift ;;
    *) arguments+=("\$1") ;;
    esac
    shift
done
exec "$TOOLS/zig-$ZIG_VERSION/bin/python3" -m ziglang cc -target $target $* "\${arguments[@]}"
WRAPPER
    chmod +x "$TOOLS/$name"
}

if [ -n "${ANDROID_NDK_HOME:-}" ]; then
    bin="$(echo "$ANDROID_NDK_HOME"/toolchains/llvm/prebuilt/*/bin)"
    export CC_aarch64_linux_android="$bin/aarch64-linux-android24-clang" AR_aarch64_linux_android="$bin/llvm-ar"
    echo "Android: the NDK's compiler"
else
    stand_in cc-android aarch64-linux-musl
    export CC_aarch64_linux_android="$TOOLS/cc-android" AR_aarch64_linux_android=ar
    echo "Android: no NDK; C is compiled with a stand-in"
fi
if [ "$(uname)" = Darwin ]; then
    echo "iOS: Xcode's compiler"
else
    stand_in cc-ios aarch64-macos
    export CC_aarch64_apple_ios="$TOOLS/cc-ios" AR_aarch64_apple_ios=ar SDKROOT="$TOOLS"
    echo "iOS: no Xcode; C is compiled with a stand-in"
fi

for target in "$ANDROID" "$IOS"; do
    start=$SECONDS
    cargo check --quiet --package tombolo-ffi --target "$target"
    echo "$target: cargo check: ok, $((SECONDS - start)) s"
    [ "${1:-}" = --check ] && continue
    start=$SECONDS
    cargo rustc --quiet --package tombolo-ffi --lib --crate-type staticlib --profile phone --target "$target"
    library="${CARGO_TARGET_DIR:-target}/$target/phone/libtombolo_ffi.a"
    echo "$target: static library: $(stat -c %s "$library" 2>/dev/null || stat -f %z "$library") B, $((SECONDS - start)) s"
done
