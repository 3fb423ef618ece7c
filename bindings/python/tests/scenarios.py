"""Carries out the scenarios of tests/bindings/scenarios.md:  python3 bindings/python/tests/scenarios.py [--only NAME] [--break NAME]

Prints a line for each, `ok NAME` or `FAILED NAME: why`, and `N passed, N failed`; ends with 1 if one failed, or if these
scenarios are not those of the list.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib
import logging
import os
import re
import subprocess
import sys
import tempfile
import traceback
from pathlib import Path

HERE = Path(__file__).resolve().parent
# Panics are provoked here; where they come from is known.
os.environ["RUST_BACKTRACE"] = "0"
os.environ.setdefault("TOMBOLO_LIBRARY", str(HERE.parents[2] / "target/debug"))
sys.path[:0] = [str(HERE), str(HERE.parent / "src")]

from rig import REPOSITORY, Rig, binary  # noqa: E402
from trial import SCENARIOS, Trial  # noqa: E402

LIMIT = 180.0
"""Seconds for one scenario, all its waits together."""


def generate(folder: str) -> None:
    """The rig's schema and operations as Python, by the command that an app uses."""
    rig = REPOSITORY / "tests/bindings/rig"
    command = [binary(), "codegen", "--schema", str(rig / "schema.graphql"), "--lang", "python", "--out", folder]
    subprocess.run([*command, "--operations", str(rig / "operations/*.graphql")], check=True, stdout=subprocess.DEVNULL)


def listed() -> list[str]:
    """The names of the list, in its order."""
    text = (REPOSITORY / "tests/bindings/scenarios.md").read_text(encoding="utf-8")
    return re.findall(r"^- ([a-z0-9-]+): ", text, re.MULTILINE)


async def run(rig: Rig, name: str, broken: bool) -> str:
    """What went wrong; empty if nothing did."""
    trial = Trial(rig, name, broken)
    try:
        await asyncio.wait_for(SCENARIOS[name](trial), LIMIT)
        if not trial.turned:
            return "it has no pivotal check, which --break could turn round"
        return ""
    except asyncio.TimeoutError:
        return f"it took longer than {LIMIT:.0f} s"
    except AssertionError as error:
        place = traceback.extract_tb(error.__traceback__)
        own = next((frame for frame in reversed(place) if frame.name in (name.replace("-", "_"), name.replace("-", "_") + "_")), place[-1])
        return f"{error} ({Path(own.filename).name}:{own.lineno})"
    except Exception:
        return traceback.format_exc()
    finally:
        await trial.end()


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--only")
    parser.add_argument("--break", dest="broken")
    given = parser.parse_args()
    # Reports of panics and callbacks that raise are provoked here.
    logging.getLogger("tombolo").addHandler(logging.NullHandler())
    logging.getLogger("tombolo").propagate = False

    # Generated anew each time, so that it is never an older generator's.
    with tempfile.TemporaryDirectory(prefix="tombolo-generated-") as folder:
        if "TOMBOLO_GENERATED" not in os.environ:
            generate(folder)
        sys.path.insert(0, os.environ.get("TOMBOLO_GENERATED", folder))
        for module in ("purpose", "bad_input", "watched", "generated_code"):
            importlib.import_module(module)
        return carry_out(parser, given)


def carry_out(parser: argparse.ArgumentParser, given: argparse.Namespace) -> int:
    names = listed()
    strange = sorted(set(names) ^ set(SCENARIOS))
    unknown = [name for name in (given.only, given.broken) if name is not None and name not in names]
    if unknown:
        parser.error(f"the list has no scenario {unknown[0]}")
    passed, failed = 0, 0
    for name in strange if given.only is None else []:
        failed += 1
        print(f"FAILED {name}: {'not in the list' if name in SCENARIOS else 'not in this runner'}")
    rig = Rig()
    try:
        for name in names:
            if name in strange or (given.only or name) != name:
                continue
            wrong = asyncio.run(run(rig, name, given.broken == name))
            if wrong:
                failed += 1
                print(f"FAILED {name}: {wrong}", flush=True)
            else:
                passed += 1
                print(f"ok {name}", flush=True)
    finally:
        rig.close()
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
