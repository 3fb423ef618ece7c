"""What went wrong inside and is nobody's answer: panics, and callbacks that raise."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, Callable, Optional

from ._ffi import ffi

__all__ = ["Report", "set_reporter"]

_log = logging.getLogger("tombolo")


@dataclass(frozen=True)
class Report:
    """Something that the app's developers should hear of. It holds no record's values and no credential."""

    kind: str
    """A stable word: ``panic``, or ``callback``."""
    message: str
    """Words for developers."""


class _Reporter(ffi.Reporter):  # type: ignore[misc]
    def __init__(self, tell: Callable[[Report], object]) -> None:
        self._tell = tell

    def report(self, report: Any) -> None:
        try:
            self._tell(Report(report.kind, report.detail))
        except BaseException as error:
            _log.exception("the reporter raised")
            raise ffi.CallbackError.Failed(f"{type(error).__name__}: {error}") from error


def log_report(report: Report) -> None:
    """Writes a report to the logger ``tombolo``: what is done until :func:`set_reporter` says otherwise."""
    _log.error("%s: %s", report.kind, report.message)


def set_reporter(tell: Optional[Callable[[Report], object]]) -> None:
    """Sets who is told, for the whole process, instead of whoever was; ``None``: nobody.

    It is called on the thread where it happened, so it should only note and return. What it raises does no harm."""
    ffi.set_reporter(None if tell is None else _Reporter(tell))
