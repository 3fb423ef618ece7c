"""Finds the native library, loads the generated module over it, and refuses a pair that does not belong together.

``tombolo_ffi.py`` in this folder is written by ``cargo xtask bindings``; the library stands beside it in a wheel."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

VARIABLE = "TOMBOLO_LIBRARY"
"""The environment's variable that names the library: its file, or the folder that it is in."""

_MODULE = "tombolo_ffi"


def library_name() -> str:
    """What the library's file is called on this system."""
    if sys.platform == "darwin":
        return f"lib{_MODULE}.dylib"
    if sys.platform == "win32":
        return f"{_MODULE}.dll"
    return f"lib{_MODULE}.so"


def _folder() -> Path:
    """The folder that the library is loaded from."""
    beside = Path(__file__).resolve().parent
    named = os.environ.get(VARIABLE)
    if not named:
        if not (beside / library_name()).exists():
            raise ImportError(
                f"{beside} has no {library_name()}: this is a source tree or a wheel of another system. "
                f"Build it by `cargo xtask bindings`, which prints where the library is, and name that in {VARIABLE}"
            )
        return beside
    place = Path(named)
    folder = place if place.is_dir() else place.parent
    if not (folder / library_name()).exists() or (place != folder and place.name != library_name()):
        raise ImportError(f"{VARIABLE} is {named!r}, and there is no {library_name()} there")
    return folder.resolve()


def _load() -> Any:
    beside = Path(__file__).resolve().parent
    source = beside / f"{_MODULE}.py"
    if not source.exists():
        raise ImportError(f"{source} is missing: it is written by `cargo xtask bindings`")
    spec = importlib.util.spec_from_file_location(f"tombolo._ffi.{_MODULE}", source)
    if spec is None or spec.loader is None:
        raise ImportError(f"{source} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    # The generated module looks for the library beside itself: beside what it takes for itself.
    module.__file__ = str(_folder() / source.name)
    try:
        spec.loader.exec_module(module)
        _check(module)
    except ImportError:
        raise
    except Exception as error:
        raise _drifted(module, error) from error
    sys.modules[spec.name] = module
    return module


def _check(module: ModuleType) -> None:
    """uniffi writes this check down and leaves it to us to call it: without it another library's answers would be read
    as if they were this one's."""
    module._uniffi_check_contract_api_version(module._UniffiLib)
    module._uniffi_check_api_checksums(module._UniffiLib)


def _drifted(module: ModuleType, error: Exception) -> ImportError:
    place = Path(str(module.__file__)).parent / library_name()
    return ImportError(
        f"{place} and this package are of different releases and do not go together: {error}. "
        "Install the package anew, or build library and package from one source",
        name="tombolo",
        path=str(place),
    )


ffi: Any = _load()
