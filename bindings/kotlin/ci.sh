#!/usr/bin/env bash
# Compiles the Kotlin library, the code generated for five schemas, the runner and the examples without a warning, and runs them against
# real servers. After `cargo xtask bindings`, which writes generated/. `bench.sh` measures with what it compiles.
#
#   TOMBOLO_BIN      the server          (target/debug/tombolo)
#   TOMBOLO_LIBRARY  the library         (target/debug/libtombolo_ffi.so)
#   TOMBOLO_TOOLS    where the compiler is kept between runs, outside the work tree (~/.cache/tombolo-tools)
#
# Needs npm, and a Java of 17 or later, JNA and Gson, which are installed by apt-get where they are missing.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=$(cd "$here/../.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
bin=${TOMBOLO_BIN:-$target/debug/tombolo}
library=${TOMBOLO_LIBRARY:-$target/debug/libtombolo_ffi.so}
tools=${TOMBOLO_TOOLS:-$HOME/.cache/tombolo-tools}
compiler=2.4.20
work=${TOMBOLO_KOTLIN_WORK:-$(mktemp -d)}
pids=()

end() {
    for pid in ${pids[@]+"${pids[@]}"}; do kill "$pid" 2>/dev/null || true; done
    [ -n "${TOMBOLO_KOTLIN_WORK:-}" ] || rm -rf "$work"
}
trap end EXIT

fail() {
    echo "bindings/kotlin: $*" >&2
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
[ -f "$here/generated/dev/tombolo/ffi/tombolo_ffi.kt" ] || fail "nothing generated: cargo xtask bindings"

# --- What is needed

jars=/usr/share/java
missing=()
command -v java >/dev/null || missing+=(openjdk-17-jdk-headless)
[ -f $jars/jna.jar ] || missing+=(libjna-java)
[ -f $jars/gson.jar ] || missing+=(libgoogle-gson-java)
if [ ${#missing[@]} -gt 0 ]; then
    command -v apt-get >/dev/null || fail "install ${missing[*]}"
    quietly apt-get update
    quietly apt-get install -y --no-install-recommends "${missing[@]}"
fi
kotlin=$tools/kotlin/node_modules/kotlin-compiler
if ! grep -qs "\"version\": \"$compiler\"" "$kotlin/package.json"; then
    # Under another name until it is whole, so that half a compiler is never used.
    fresh=$tools/kotlin.$$
    mkdir -p "$fresh"
    quietly npm install --prefix "$fresh" --ignore-scripts --no-save --no-audit --no-fund "kotlin-compiler@$compiler"
    rm -rf "$tools/kotlin"
    mv "$fresh" "$tools/kotlin"
fi

base=$kotlin/lib/kotlinx-coroutines-core-jvm.jar:$jars/jna.jar:$jars/gson.jar
# compile OUT CLASSPATH ARGUMENTS…
compile() {
    local out=$1 path=$2
    shift 2
    quietly java -Xmx1g -XX:TieredStopAtLevel=1 -jar "$kotlin/lib/kotlin-compiler.jar" -kotlin-home "$kotlin" -no-reflect \
        -jvm-target 17 -cp "$base${path:+:$path}" -d "$out" "$@"
}
generate() { # package, schema, operations
    quietly "$bin" codegen --schema "$2" --lang kotlin --package "$1" --out "$work/src/$1" ${3:+--operations "$3"}
}

# --- The Kotlin side and the library that it names

quietly "$here/shipped.sh" check "$library" "$here/generated"
mkdir -p "$work/unknown/dev/tombolo/ffi"
echo 'external fun uniffi_tombolo_ffi_fn_func_nowhere(): Unit' >"$work/unknown/dev/tombolo/ffi/tombolo_ffi.kt"
if "$here/shipped.sh" check "$library" "$work/unknown" >"$work/said" 2>&1; then
    fail "a Kotlin side that names what the library lacks was let pass"
fi

# --- Compile

# uniffi's own file is not ours to keep free of warnings.
compile "$work/ffi" "" -nowarn "$here/generated"
compile "$work/lib" "$work/ffi" -Werror -Xexplicit-api=strict "$here/tombolo/src/main/kotlin"

schemas=$root/codegen/tests/schemas
for name in small flights large nasty; do
    operations=$schemas/$name.operations.graphql
    [ -f "$operations" ] || operations=
    generate "app.$name" "$schemas/$name.graphql" "$operations"
done
generate dev.tombolo.tests.generated "$root/tests/bindings/rig/schema.graphql" "$root/tests/bindings/rig/operations/*.graphql"
generate flights.generated "$root/examples/flights/schema.graphql" "$root/examples/kotlin-jvm/operations/*.graphql"

# The first ten lines of the README, as they stand there; only the file and the address are the test's.
sed -n '/^```kotlin$/,/^```$/p;/^```$/q' "$here/README.md" | sed '/^```/d' >"$work/src/FirstLines.kt"
[ "$(wc -l <"$work/src/FirstLines.kt")" -ge 8 ] || fail "README.md has no block of Kotlin"

runs=$work/runs
compile "$runs" "$work/lib:$work/ffi" -Werror "-Xfriend-paths=$work/lib" \
    "$work/src" "$here/tests/runner" "$root/examples/kotlin-jvm/src"
echo "ok compiled without a warning: the library, five schemas, the README's first lines, examples/kotlin-jvm"

if [ "${1:-}" != build ]; then
    compile "$work/stubs" "" "$here/tests/android-stubs"
    # One module with src/main, as in Gradle.
    compile "$work/android" "$work/stubs:$work/lib:$work/ffi" -Werror -Xexplicit-api=strict "-Xfriend-paths=$work/lib" \
        "$here/tombolo/src/android/kotlin"
    compile "$work/androidtests" "$work/stubs:$work/android:$work/lib:$work/ffi" -Werror "-Xfriend-paths=$work/lib,$work/android" \
        "$here/tests/android"
    # And all of it in one, as Gradle compiles it.
    compile "$work/gradle" "$work/stubs" -nowarn "$here/generated" "$here/tombolo/src/main/kotlin" "$here/tombolo/src/android/kotlin"
    app=$root/examples/android/app/src/main/kotlin/dev/tombolo/flights
    compile "$work/app" "$work/android:$runs:$work/stubs:$work/lib:$work/ffi" -Werror "$app"/*.kt
    echo "ok against stubs: the Android source set, and examples/android but for its screens"
fi

# --- Run

export TOMBOLO_BIN=$bin TOMBOLO_LIBRARY=$library TOMBOLO_REPOSITORY=$root
run() {
    java -Xmx512m "-Djna.library.path=$(dirname "$library")" -cp "$runs:$work/lib:$work/ffi:$base:$kotlin/lib/kotlin-stdlib.jar" "$@"
}
if [ "${1:-}" = build ]; then
    declare -f run >"$work/run.sh"
    declare -p library runs work base kotlin >>"$work/run.sh"
    exit
fi

# The panics that are provoked on purpose speak on standard error.
run dev.tombolo.tests.MainKt 2>"$work/errors" || {
    tail -50 "$work/errors" >&2
    fail "scenarios failed"
}
run dev.tombolo.tests.MainKt checks || fail "checks failed"
runs=$work/androidtests:$work/android:$work/stubs run dev.tombolo.tests.android.MainKt || fail "the Android source set over fakes failed"
if run dev.tombolo.tests.MainKt --only conflict --break conflict >"$work/said" 2>&1; then
    fail "a scenario that is broken on purpose did not fail"
fi
grep -q '^FAILED conflict: the same field: found Merged, wanted Merged' "$work/said" || { cat "$work/said" >&2; fail "the broken scenario failed otherwise"; }
echo "ok broken on purpose: conflict went red"

"$bin" dev --data "$work/dev" --listen 127.0.0.1:0 --api-key crew >"$work/dev.out" 2>&1 &
pids+=($!)
url=
for _ in $(seq 600); do
    url=$(grep -Eo 'http://127\.0\.0\.1:[0-9]+/graphql' "$work/dev.out" | head -1 || true)
    [ -n "$url" ] && break
    sleep 0.1
done
[ -n "$url" ] || { cat "$work/dev.out" >&2; fail "tombolo dev did not start"; }
run flights.MainKt "$url" crew >"$work/said" 2>&1 || { cat "$work/said" >&2; fail "examples/kotlin-jvm failed"; }
grep -q '^converged: both phones hold the same [0-9]* notes' "$work/said" || { cat "$work/said" >&2; fail "examples/kotlin-jvm did not converge"; }
echo "ok example: examples/kotlin-jvm"

# The README's lines watch until they are stopped: their first answers are enough.
(cd "$work" && exec java "-Djna.library.path=$(dirname "$library")" -cp "$runs:$work/lib:$work/ffi:$base:$kotlin/lib/kotlin-stdlib.jar" FirstLinesKt) >"$work/first.out" 2>&1 &
pids+=($!)
for _ in $(seq 300); do
    grep -q 'written in a tunnel' "$work/first.out" && break
    sleep 0.1
done
grep -q 'written in a tunnel' "$work/first.out" || { cat "$work/first.out" >&2; fail "the README's first lines did not show their note"; }
echo "ok the README's first lines"
