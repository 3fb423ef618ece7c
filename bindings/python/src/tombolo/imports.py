"""What was taken over of a file of Amplify DataStore."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Optional

__all__ = ["ImportFormat", "ImportProblem", "ImportReport", "ImportState"]


class ImportFormat(enum.Enum):
    """Which adapter wrote the file."""

    IOS = "ios"
    """Amplify for Swift, and Flutter on iOS."""
    ANDROID = "android"
    """Amplify for Android, and Flutter on Android."""


class ImportState(enum.Enum):
    """How far an import has come."""

    UNSETTLED = "unsettled"
    """Everything was taken; some of the mutations are not settled yet."""
    SETTLED = "settled"
    """Each mutation that was taken is settled."""
    FAILED = "failed"
    """The file could not be taken over (``error``); nothing was taken, and the next opening tries again."""
    TAKEN_BEFORE = "taken_before"
    """Another replica has taken this file over before: nothing was taken."""


@dataclass(frozen=True)
class ImportProblem:
    """One thing that could not be taken, or was noticed."""

    table: str
    """The table in the old file."""
    row: Optional[str]
    """The record's or the mutation's id; ``None`` for the whole table."""
    column: Optional[str]
    """The column, or the member of a mutation's content."""
    problem: str
    """What is wrong, and what it means."""
    is_mutation: bool
    """An unsent mutation that was not taken: somebody's work."""
    content: Optional[str] = field(repr=False)
    """The mutation as it stands in the old file."""


@dataclass(frozen=True)
class ImportReport:
    """What became of an old file."""

    path: str
    """The old file."""
    format: Optional[ImportFormat]
    """Who wrote it; ``None`` if that was not found out."""
    state: ImportState
    """How far it has come."""
    error: Optional[str]
    """Why it failed."""
    records: int
    """Records that are here now."""
    tombstones: int
    """Tombstones that are here now."""
    uploads: int
    """Records of which the old file knew neither a version nor a mutation: each is in the outbox as a creation."""
    records_unversioned: int
    """Records of the same kind of which the old file alone has something."""
    records_left: int
    """Records that were not taken."""
    mutations: int
    """Unsent mutations that are in the outbox now."""
    mutations_may_be_sent: int
    """Of those, the ones that DataStore may have sent."""
    mutations_left: int
    """Unsent mutations that could not be taken; each is in ``problems``, with its content."""
    unsettled: int
    """Of mutations and uploads, the ones that are not settled yet or were refused and not taken note of."""
    first_number: int
    """Number of the first mutation taken, 0 for none. Those taken have this one and the following ones, in order."""
    last_number: int
    """Number of the last mutation taken, 0 for none."""
    problems: tuple[ImportProblem, ...]
    """What could not be taken, and what was noticed."""
    problems_untold: int
    """Problems beyond the bound, none of them with a mutation."""
    removed: bool
    """The old file was removed after everything was settled."""


def import_of(given: Any) -> ImportReport:
    """A report as the library gives it."""
    return ImportReport(
        path=given.path,
        format=None if given.format is None else ImportFormat[given.format.name],
        state=ImportState[given.state.name],
        error=given.error,
        records=given.records,
        tombstones=given.tombstones,
        uploads=given.uploads,
        records_unversioned=given.records_unversioned,
        records_left=given.records_left,
        mutations=given.mutations,
        mutations_may_be_sent=given.mutations_may_be_sent,
        mutations_left=given.mutations_left,
        unsettled=given.unsettled,
        first_number=given.first_number,
        last_number=given.last_number,
        problems=tuple(
            ImportProblem(
                table=one.table,
                row=one.row,
                column=one.column,
                problem=one.problem,
                is_mutation=one.is_mutation,
                content=one.content,
            )
            for one in given.problems
        ),
        problems_untold=given.problems_untold,
        removed=given.removed,
    )
