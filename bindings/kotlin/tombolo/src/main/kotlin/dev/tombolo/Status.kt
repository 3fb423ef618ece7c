package dev.tombolo

import dev.tombolo.ffi.Event as NativeEvent
import dev.tombolo.ffi.LinkStatus as NativeLink
import dev.tombolo.ffi.Salvage as NativeSalvage
import dev.tombolo.ffi.ScopeConfig
import dev.tombolo.ffi.Status as NativeStatus

/** The link to the server. */
public enum class LinkStatus {
    /** The app wants none. */
    Offline,

    /** Waiting to try again. */
    Waiting,

    /** Being opened. */
    Opening,

    /** Open, fetching what was missed. */
    CatchingUp,

    /** Open; changes arrive as they happen. */
    Live,

    /** The credential was refused; waiting for the app. */
    Paused,

    /** Wanted, but another process on the same file has it, and sends what this one queues. */
    Elsewhere,
}

/** How the replica stands. */
public data class Status(
    val link: LinkStatus,
    /** What the open link goes by, such as `websocket`; `null` while there is no link. */
    val transport: String?,
    /** Mutations on their way: queued, in flight, or acknowledged and not yet settled. */
    val pending: Long,
    /** Of those, sent and not yet answered. */
    val inFlight: Long,
    /** Mutations that wait for the app. */
    val wedged: Long,
    /** Refused mutations that the app has not taken note of. */
    val rejected: Long,
    /** Of the pending ones, held back until the server knows their schema. */
    val held: Long,
    /** The newest trouble, until the next progress. */
    val lastError: LastError?,
    /** The link is open and every scope is complete up to the server's head as of its newest word. */
    val upToDate: Boolean,
    /** Each scope, by model name. */
    val scopes: List<ScopeStatus>,
)

/** What went wrong most recently. */
public data class LastError(
    /** A stable word: `lost`, `unauthorized`, `protocol`, `refused`, `undecided`, `stalled`, `store`. */
    val code: String,
    /** Words for people. */
    val message: String,
    /** When, in milliseconds since 1970. */
    val atMs: Long,
)

/** The records of a model to be held. */
public data class Scope(
    /** The model's name. */
    val model: String,
    /** Its filter input as maps and lists; `null` for all of them. */
    val filter: Map<String, Any?>? = null,
)

/** One scope as it stands. */
public data class ScopeStatus(
    val scope: Scope,
    /** Something of it has been durably applied. */
    val begun: Boolean,
    /** Complete up to the server's head as of its newest word. */
    val upToDate: Boolean,
    /** Why the server does not give it, in its words. */
    val refused: String?,
)

/** What a round of [Client.syncOnce] did. */
public data class SyncReport(
    /** Mutations that the server applied or merged. */
    val pushed: Long,
    /** Mutations that the server refused. */
    val rejected: Long,
    /** Records that came or left. */
    val pulled: Long,
    /** Mutations still on their way. */
    val pending: Long,
    /** Everything that the server had was here at the end. */
    val upToDate: Boolean,
    /** Nothing is left to do: up to date, with nothing pending. */
    val complete: Boolean,
    /** The newest trouble, in words for people, if the round did not get through. */
    val trouble: String?,
)

/** What was saved out of a damaged file. */
public data class Salvage(
    /** Where the damaged file is kept. */
    val damaged: String,
    /** What was wrong, in the database's words. */
    val problem: String,
    /** The replica is the same one as before. */
    val sameReplica: Boolean,
    /** Mutations saved, in any state. */
    val mutations: Long,
    /** Of those, of which it is not known whether they took effect. */
    val uncertain: Long,
    /** Mutations that could be seen but not read. */
    val lost: Long,
    /** The queue could be walked from end to end. */
    val whole: Boolean,
)

/** Something that an app may want to act on, told once. */
public sealed interface Event {
    /** A mutation has reached its final state. */
    public data class Decided(val number: Long, val outcome: Outcome) : Event

    /** A mutation cannot be decided as it stands and waits for the app: retry or discard it. */
    public data class Wedged(
        val number: Long,
        /** The last answer's words. */
        val reason: String,
    ) : Event

    /** The server refused the credential. */
    public data object NeedToken : Event

    /** Another process has signed the account out of this file; this client has ended. */
    public data object SignedOut : Event

    /** The file goes on under a fresh identity, since another replica has used its numbers. */
    public data class ReplicaRenewed(val replica: String) : Event

    /** Mutations go on under new numbers: number `n` from [low] to [high] became `n + by`. */
    public data class Renumbered(val low: Long, val high: Long, val by: Long) : Event

    /** The link was open and owed something, and nothing came for 30 s; it is being opened anew. */
    public data object Stalled : Event

    /** The file was damaged. */
    public data class Salvaged(val salvage: Salvage) : Event

    /** A file of Amplify DataStore was taken over, or what came of it is settled. */
    public data class Imported(val report: ImportReport) : Event

    /** The app was so slow to ask that the oldest events are gone; the outbox and the status hold what lasts. */
    public data class Missed(val count: Long) : Event
}

internal fun status(given: NativeStatus): Status =
    Status(
        link = link(given.link),
        transport = given.transport,
        pending = given.pending.toLong(),
        inFlight = given.inFlight.toLong(),
        wedged = given.wedged.toLong(),
        rejected = given.rejected.toLong(),
        held = given.held.toLong(),
        lastError = given.lastError?.let { LastError(it.code, it.detail, it.atMs) },
        upToDate = given.upToDate,
        scopes = given.scopes.map(::scope),
    )

private fun link(given: NativeLink): LinkStatus =
    when (given) {
        NativeLink.OFFLINE -> LinkStatus.Offline
        NativeLink.WAITING -> LinkStatus.Waiting
        NativeLink.OPENING -> LinkStatus.Opening
        NativeLink.CATCHING_UP -> LinkStatus.CatchingUp
        NativeLink.LIVE -> LinkStatus.Live
        NativeLink.PAUSED -> LinkStatus.Paused
        NativeLink.ELSEWHERE -> LinkStatus.Elsewhere
    }

internal fun scope(given: dev.tombolo.ffi.ScopeStatus): ScopeStatus {
    @Suppress("UNCHECKED_CAST")
    val filter = given.scope.filter?.let { Json.decode(it) as Map<String, Any?> }
    return ScopeStatus(Scope(given.scope.model, filter), given.begun, given.upToDate, given.refused)
}

internal fun Scope.native(): ScopeConfig = ScopeConfig(model, filter?.let(Json::encode))

internal fun salvage(given: NativeSalvage): Salvage =
    Salvage(
        damaged = given.damaged,
        problem = given.problem,
        sameReplica = given.sameReplica,
        mutations = given.mutations.toLong(),
        uncertain = given.uncertain.toLong(),
        lost = given.lost.toLong(),
        whole = given.whole,
    )

internal fun event(given: NativeEvent): Event =
    when (given) {
        is NativeEvent.Decided -> Event.Decided(given.number.toLong(), outcome(given.outcome))
        is NativeEvent.Wedged -> Event.Wedged(given.number.toLong(), given.reason)
        is NativeEvent.NeedToken -> Event.NeedToken
        is NativeEvent.SignedOut -> Event.SignedOut
        is NativeEvent.ReplicaRenewed -> Event.ReplicaRenewed(given.replica)
        is NativeEvent.Renumbered -> Event.Renumbered(given.low.toLong(), given.high.toLong(), given.by.toLong())
        is NativeEvent.Stalled -> Event.Stalled
        is NativeEvent.Salvaged -> Event.Salvaged(salvage(given.salvage))
        is NativeEvent.Imported -> Event.Imported(importReport(given.report))
        is NativeEvent.Missed -> Event.Missed(given.count.toLong())
    }
