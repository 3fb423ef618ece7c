"""Mutations from the call to the final state and after."""

from __future__ import annotations

import enum
from dataclasses import dataclass, field
from typing import Any, Optional

from ._convert import from_json

__all__ = ["Mutated", "Mutation", "MutationKind", "MutationState"]


class MutationKind(enum.Enum):
    """What a mutation does to its record."""

    CREATE = "create"
    UPDATE = "update"
    DELETE = "delete"


class MutationState(enum.Enum):
    """Where a mutation stands. The last four are final; each mutation reaches exactly one of them."""

    QUEUED = "queued"
    """Not sent yet."""
    IN_FLIGHT = "in_flight"
    """Sent; the answer is still to come."""
    WEDGED = "wedged"
    """The server never decided it: retry, edit or discard it."""
    GIVEN_UP = "given_up"
    """The app gave it up after it was sent; the server is still to say whether it had carried it out."""
    APPLIED = "applied"
    """Carried out as it was sent."""
    MERGED = "merged"
    """Carried out, merged with a change that it had not seen."""
    REJECTED = "rejected"
    """Refused by the server."""
    DISCARDED = "discarded"
    """Given up by the app, and never carried out."""

    @property
    def is_final(self) -> bool:
        """Whether it will not change any more."""
        return self in (
            MutationState.APPLIED,
            MutationState.MERGED,
            MutationState.REJECTED,
            MutationState.DISCARDED,
        )


@dataclass(frozen=True)
class Mutation:
    """One mutation of this replica."""

    number: int
    """Its number. It may be another than the one that it was asked for by, see :class:`Renumbered`."""
    transaction: int
    """The first number of its transaction; its own for a mutation alone."""
    model: str
    """The model."""
    kind: MutationKind
    """Create, update or delete."""
    key: tuple[Any, ...]
    """The values of the record's key, in order."""
    values: dict[str, Any]
    """The fields that the user set."""
    state: MutationState
    """Where it stands."""
    settled: bool
    """Nothing more will come of it."""
    reason: Optional[str]
    """Why it was refused or wedged."""
    reason_code: Optional[str]
    """The stable code of a refusal, AppSync's where it has one."""
    conflict: Any
    """What was in conflict or refused, field by field."""
    became: Optional[int]
    """The mutation that the app made of it by a retry."""
    depends_on: tuple[int, ...]
    """Mutations that have to succeed first."""
    author: Optional[str]
    """Who made it."""
    created_at_ms: int
    """When it was made, in milliseconds since 1970."""
    ended_at_ms: Optional[int]
    """When it was settled, in milliseconds since 1970."""
    tries: int
    """How often the server answered without deciding."""

    def __repr__(self) -> str:
        """Numbers and states, not values."""
        return f"Mutation({self.number} {self.kind.value} {self.model} {self.state.value})"


@dataclass(frozen=True)
class Mutated:
    """What a mutation call gives back at once. The mutation is queued, whatever ``problems`` says of its answer."""

    data: dict[str, Any] = field(repr=False)
    """The answer, from the local rows as they are now. A record that the server has not seen has ``_version`` 0."""
    numbers: tuple[int, ...]
    """A number for each mutation field, in order: what :meth:`Client.outcome` takes."""
    problems: tuple[Any, ...] = ()
    """What single fields of the answer failed with."""

    @property
    def number(self) -> int:
        """The number of the only mutation field of a document (the first of several)."""
        return self.numbers[0]


def mutation_of(given: Any) -> Mutation:
    """A mutation as the library gives it."""
    return Mutation(
        number=given.number,
        transaction=given.transaction,
        model=given.model,
        kind=MutationKind[given.kind.name],
        key=tuple(from_json(given.key)),
        values=from_json(given.values),
        state=MutationState[given.state.name],
        settled=given.settled,
        reason=given.reason,
        reason_code=given.reason_code,
        conflict=None if given.conflict is None else from_json(given.conflict),
        became=given.became,
        depends_on=tuple(given.depends_on),
        author=given.author,
        created_at_ms=given.created_at_ms,
        ended_at_ms=given.ended_at_ms,
        tries=given.tries,
    )
