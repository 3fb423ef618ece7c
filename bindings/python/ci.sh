#!/usr/bin/env bash
# What CI runs for Python, with `cargo xtask test --only bindings`: types, generated code of the four schemas, what needs no server,
# the scenarios, and one of them broken on purpose. TOMBOLO_BIN and TOMBOLO_LIBRARY name server and library.
set -euo pipefail
cd "$(dirname "$0")"
root=$(cd ../.. && pwd)
export TOMBOLO_BIN=${TOMBOLO_BIN:-$root/target/debug/tombolo}
export TOMBOLO_LIBRARY=${TOMBOLO_LIBRARY:-$root/target/debug}
mypy_version=2.4.1

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Whole, or not there.
tools=$root/target/python-tools-$mypy_version
if [ ! -e "$tools/whole" ]; then
  rm -rf "$tools"
  python3 -m venv "$tools"
  "$tools/bin/pip" install --quiet --disable-pip-version-check "mypy==$mypy_version"
  touch "$tools/whole"
fi
mypy() { MYPYPATH=$1 "$tools/bin/python3" -m mypy --config-file pyproject.toml --cache-dir "$work/mypy" "${@:2}"; }

echo "== generated code"
generate() {
  "$TOMBOLO_BIN" codegen --schema "$1" --lang python --out "$2" --operations "$3" > /dev/null
}
schemas=$root/codegen/tests/schemas
for name in small flights large nasty; do
  generate "$schemas/$name.graphql" "$work/$name" "$schemas/$name.operations.graphql"
  cp -r "$work/$name" "$work/$name.again"
  generate "$schemas/$name.graphql" "$work/$name.again" "$schemas/$name.operations.graphql"
  diff -r "$work/$name" "$work/$name.again"
  python3 -W error -m compileall -q -f "$work/$name"
  mypy "src:$work/$name" --strict -p generated
done
generate "$root/tests/bindings/rig/schema.graphql" "$work/rig" "$root/tests/bindings/rig/operations/*.graphql"

echo "== types of the package and its tests"
python3 -W error -m compileall -q -f src tests
mypy "src:tests:$work/rig" tests/*.py
mypy src -p tombolo

echo "== what needs no server"
python3 -W error tests/units.py

echo "== scenarios"
export TOMBOLO_GENERATED=$work/rig
python3 tests/scenarios.py

echo "== one of them, broken on purpose"
if python3 tests/scenarios.py --only refusal --break refusal > "$work/broken" 2>&1; then
  cat "$work/broken"
  echo "a scenario that was broken on purpose did not go red" >&2
  exit 1
fi
grep -q '^FAILED refusal: .*on purpose' "$work/broken" || { cat "$work/broken"; exit 1; }
tail -1 "$work/broken"
