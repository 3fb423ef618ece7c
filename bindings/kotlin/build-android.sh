#!/usr/bin/env bash
# Builds libtombolo_ffi.so for each ABI into tombolo/src/android/jniLibs, where the AAR takes it from, and the Kotlin side of the very same
# library into shipped/.
#
#   ANDROID_NDK_HOME=/path/to/ndk ./build-android.sh [ABI…]       all of arm64-v8a armeabi-v7a x86_64 unless said
#
# Needs rustup and an NDK (r28 or newer, whose libraries are aligned to pages of 16 KiB); cargo-ndk is not needed.
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
repository=$(cd "$here/../.." && pwd)
# As minSdk in tombolo/build.gradle.kts.
api=24
profile=${TOMBOLO_PROFILE:-phone}
# Equal functions once, and relocations packed as every Android since 23 reads them: a fifth less.
smaller="-C link-arg=-Wl,--icf=all -C link-arg=-Wl,--pack-dyn-relocs=android"

ndk=${ANDROID_NDK_HOME:-${ANDROID_NDK_ROOT:-}}
if [ ! -d "$ndk/toolchains/llvm/prebuilt" ]; then
    echo "no NDK: set ANDROID_NDK_HOME to the folder that holds toolchains/llvm (Android Studio: SDK Manager, NDK)" >&2
    exit 1
fi
tools=$(echo "$ndk"/toolchains/llvm/prebuilt/*/bin)

abis=("$@")
[ ${#abis[@]} -gt 0 ] || abis=(arm64-v8a armeabi-v7a x86_64)
written=
for abi in "${abis[@]}"; do
    case $abi in
        arm64-v8a) target=aarch64-linux-android clang=aarch64-linux-android ;;
        armeabi-v7a) target=armv7-linux-androideabi clang=armv7a-linux-androideabi ;;
        x86_64) target=x86_64-linux-android clang=x86_64-linux-android ;;
        *) echo "$abi is no ABI that is built here: arm64-v8a, armeabi-v7a or x86_64" >&2; exit 1 ;;
    esac
    rustup target add "$target"
    variable=${target//-/_}
    # The bash of macOS, 3.2, has no ${variable^^}.
    capitals=$(printf %s "$variable" | tr '[:lower:]' '[:upper:]')
    env "CC_$variable=$tools/$clang$api-clang" "AR_$variable=$tools/llvm-ar" \
        "CARGO_TARGET_${capitals}_LINKER=$tools/$clang$api-clang" \
        RUSTFLAGS="-C link-arg=-Wl,-z,max-page-size=16384 $smaller" \
        cargo build --manifest-path "$repository/Cargo.toml" --package tombolo-ffi --lib --profile "$profile" --target "$target" \
        --config "profile.$profile.strip=\"none\""
    built=${CARGO_TARGET_DIR:-$repository/target}/$target/$profile/libtombolo_ffi.so
    # Its description is among the symbols, which are taken out after.
    [ -n "$written" ] || "$here/shipped.sh" write "$built"
    written=yes
    folder=$here/tombolo/src/android/jniLibs/$abi
    mkdir -p "$folder"
    "$tools/llvm-strip" --strip-all -o "$folder/libtombolo_ffi.so" "$built"
    NM=$tools/llvm-nm "$here/shipped.sh" check "$folder/libtombolo_ffi.so"
    # Without it no TLS connection would ever come up.
    "$tools/llvm-nm" --dynamic --defined-only "$folder/libtombolo_ffi.so" | grep -q Java_dev_tombolo_android_Tls_init ||
        { echo "$folder/libtombolo_ffi.so does not export Java_dev_tombolo_android_Tls_init" >&2; exit 1; }
    echo "$abi: $(wc -c < "$folder/libtombolo_ffi.so") bytes"
done
