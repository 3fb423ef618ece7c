"""How a replica stands, and what happens to it."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Optional, Union

from ._convert import from_json
from .imports import ImportReport, import_of

__all__ = [
    "Applied",
    "Decided",
    "Discarded",
    "Event",
    "Imported",
    "LastError",
    "LinkStatus",
    "Merged",
    "Missed",
    "NeedToken",
    "Outcome",
    "Rejected",
    "Renumbered",
    "ReplicaRenewed",
    "Salvage",
    "Salvaged",
    "Scope",
    "ScopeStatus",
    "SignedOut",
    "SignedOutEvent",
    "Stalled",
    "Status",
    "SyncReport",
    "Wedged",
]


class LinkStatus(enum.Enum):
    """The link to the server."""

    OFFLINE = "offline"
    """The app wants none."""
    WAITING = "waiting"
    """Waiting to try again."""
    OPENING = "opening"
    """Being opened."""
    CATCHING_UP = "catching_up"
    """Open, fetching what was missed."""
    LIVE = "live"
    """Open; changes arrive as they happen."""
    PAUSED = "paused"
    """The credential was refused; waiting for the app."""
    ELSEWHERE = "elsewhere"
    """Wanted, but another process on the same file has it, and sends what this one queues."""


@dataclass(frozen=True)
class LastError:
    """What went wrong most recently."""

    code: str
    """A stable word: ``lost``, ``unauthorized``, ``protocol``, ``refused``, ``undecided``, ``stalled``, ``store``."""
    message: str
    """Words for people."""
    at_ms: int
    """When, in milliseconds since 1970."""


@dataclass(frozen=True)
class Scope:
    """The records of a model to be held."""

    model: str
    """The model's name."""
    filter: Optional[dict[str, Any]] = None
    """Its filter input, such as ``{"done": {"eq": False}}``; ``None`` for all of them."""


@dataclass(frozen=True)
class ScopeStatus:
    """One scope, and how far it has come."""

    scope: Scope
    """What is held."""
    begun: bool
    """Something of it has been durably applied."""
    up_to_date: bool
    """Complete up to the server's head as of its newest word."""
    refused: Optional[str]
    """Why the server does not give it, in its words."""


@dataclass(frozen=True)
class Status:
    """How the replica stands."""

    link: LinkStatus
    """The link."""
    transport: Optional[str]
    """What the open link goes by, such as ``websocket``; ``None`` while there is no link."""
    pending: int
    """Mutations on their way: queued, in flight, or acknowledged and not yet settled."""
    in_flight: int
    """Of those, sent and not yet answered."""
    wedged: int
    """Mutations that wait for the app."""
    rejected: int
    """Refused mutations that the app has not taken note of."""
    held: int
    """Of the pending ones, held back until the server knows their schema."""
    last_error: Optional[LastError]
    """The newest trouble, until the next progress."""
    up_to_date: bool
    """The link is open and every scope is complete up to the server's head as of its newest word."""
    scopes: tuple[ScopeStatus, ...]
    """Each scope, by model name."""


@dataclass(frozen=True)
class SyncReport:
    """What a round of :meth:`Client.sync_once` did."""

    pushed: int
    """Mutations that the server applied or merged."""
    rejected: int
    """Mutations that the server refused."""
    pulled: int
    """Records that came or left."""
    pending: int
    """Mutations still on their way."""
    up_to_date: bool
    """Everything that the server had was here at the end."""
    complete: bool
    """Nothing is left to do: up to date, with nothing pending."""
    trouble: Optional[str]
    """The newest trouble, in words for people, if the round did not get through."""


@dataclass(frozen=True)
class SignedOut:
    """What became of an account's mutations when it signed out."""

    sent: int
    """Mutations that the server applied or merged in the course of it."""
    kept: int
    """Mutations that are kept in the sealed file."""
    discarded: int
    """Mutations that were thrown away with the file."""


@dataclass(frozen=True)
class Salvage:
    """What was saved out of a damaged file."""

    damaged: str
    """Where the damaged file is kept."""
    problem: str
    """What was wrong, in the database's words."""
    same_replica: bool
    """The replica is the same one as before."""
    mutations: int
    """Mutations saved, in any state."""
    uncertain: int
    """Of those, of which it is not known whether they took effect."""
    lost: int
    """Mutations that could be seen but not read."""
    whole: bool
    """The queue could be walked from end to end."""


@dataclass(frozen=True)
class Applied:
    """The mutation was carried out as it was sent."""


@dataclass(frozen=True)
class Merged:
    """The mutation was carried out, merged with a change that it had not seen."""


@dataclass(frozen=True)
class Rejected:
    """The server refused the mutation."""

    code: str
    """A stable name, AppSync's where it has one."""
    message: str
    """What went wrong and what to do about it."""


@dataclass(frozen=True)
class Discarded:
    """The app gave the mutation up, or took it back before it was ever sent."""


Outcome = Union[Applied, Merged, Rejected, Discarded]
"""How a mutation ended."""


@dataclass(frozen=True)
class Decided:
    """A mutation has reached its final state."""

    number: int
    """Which one."""
    outcome: Outcome
    """How it ended."""


@dataclass(frozen=True)
class Wedged:
    """A mutation cannot be decided as it stands and waits for the app: retry or discard it."""

    number: int
    """Which one."""
    reason: str
    """The last answer's words."""


@dataclass(frozen=True)
class NeedToken:
    """The server refused the credential. Told once for each that is refused."""


@dataclass(frozen=True)
class SignedOutEvent:
    """Another process has signed the account out of this file; this client has ended."""


@dataclass(frozen=True)
class ReplicaRenewed:
    """The file goes on under a fresh identity, since another replica has used its numbers. Nothing is to be done."""

    replica: str
    """The fresh identity."""


@dataclass(frozen=True)
class Renumbered:
    """Mutations go on under new numbers: number ``n`` from ``low`` to ``high`` became ``n + by``."""

    low: int
    """The lowest."""
    high: int
    """The highest."""
    by: int
    """The distance."""


@dataclass(frozen=True)
class Stalled:
    """The link was open and owed something, and nothing came for 30 s; it is being opened anew."""


@dataclass(frozen=True)
class Salvaged:
    """The file was damaged; what could be read of it was saved."""

    salvage: Salvage
    """What was saved."""


@dataclass(frozen=True)
class Imported:
    """A file of Amplify DataStore was taken over, or could not be; told again when all that was taken is settled."""

    report: ImportReport
    """What became of it."""


@dataclass(frozen=True)
class Missed:
    """The app was so slow to ask that the oldest events are gone; the outbox and the status hold what lasts."""

    count: int
    """How many."""


Event = Union[
    Decided, Wedged, NeedToken, SignedOutEvent, ReplicaRenewed, Renumbered, Stalled, Salvaged, Imported, Missed
]
"""Something that an app may want to act on, told once."""


def status_of(given: Any) -> Status:
    """A status as the library gives it."""
    trouble = given.last_error
    return Status(
        link=LinkStatus[given.link.name],
        transport=given.transport,
        pending=given.pending,
        in_flight=given.in_flight,
        wedged=given.wedged,
        rejected=given.rejected,
        held=given.held,
        last_error=trouble and LastError(trouble.code, trouble.detail, trouble.at_ms),
        up_to_date=given.up_to_date,
        scopes=tuple(map(scope_of, given.scopes)),
    )


def scope_of(given: Any) -> ScopeStatus:
    """A scope as the library gives it."""
    held = given.scope
    return ScopeStatus(
        scope=Scope(held.model, None if held.filter is None else from_json(held.filter)),
        begun=given.begun,
        up_to_date=given.up_to_date,
        refused=given.refused,
    )


def report_of(given: Any) -> SyncReport:
    """A report as the library gives it."""
    return SyncReport(
        pushed=given.pushed,
        rejected=given.rejected,
        pulled=given.pulled,
        pending=given.pending,
        up_to_date=given.up_to_date,
        complete=given.complete,
        trouble=given.trouble,
    )


def salvage_of(given: Any) -> Salvage:
    """A salvage as the library gives it."""
    return Salvage(
        damaged=given.damaged,
        problem=given.problem,
        same_replica=given.same_replica,
        mutations=given.mutations,
        uncertain=given.uncertain,
        lost=given.lost,
        whole=given.whole,
    )


def outcome_of(given: Any) -> Outcome:
    """An outcome as the library gives it."""
    if given.is_APPLIED():
        return Applied()
    if given.is_MERGED():
        return Merged()
    if given.is_DISCARDED():
        return Discarded()
    return Rejected(given.code, given.detail)


def event_of(given: Any) -> Event:
    """An event as the library gives it."""
    kind = type(given).__name__.rpartition(".")[2]
    if kind == "DECIDED":
        return Decided(given.number, outcome_of(given.outcome))
    if kind == "WEDGED":
        return Wedged(given.number, given.reason)
    if kind == "NEED_TOKEN":
        return NeedToken()
    if kind == "SIGNED_OUT":
        return SignedOutEvent()
    if kind == "REPLICA_RENEWED":
        return ReplicaRenewed(given.replica)
    if kind == "RENUMBERED":
        return Renumbered(given.low, given.high, given.by)
    if kind == "STALLED":
        return Stalled()
    if kind == "SALVAGED":
        return Salvaged(salvage_of(given.salvage))
    if kind == "IMPORTED":
        return Imported(import_of(given.report))
    if kind == "MISSED":
        return Missed(given.count)
    # The library and this package are of one release: every kind stands here.
    raise TypeError(f"an event of the kind {kind} is not known")
