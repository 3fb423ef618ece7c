package dev.tombolo

import dev.tombolo.ffi.Mutation as NativeMutation
import dev.tombolo.ffi.MutationFilter as NativeFilter
import dev.tombolo.ffi.MutationState as NativeState
import dev.tombolo.ffi.Outcome as NativeOutcome

/** What a mutation does to its record. */
public enum class MutationKind { Create, Update, Delete }

/** Where a mutation stands, without its particulars; the last four are final. */
public enum class MutationStage { Queued, InFlight, Wedged, GivenUp, Applied, Merged, Rejected, Discarded }

/** Where a mutation stands. */
public sealed class MutationState(
    /** The same without particulars. */
    public val stage: MutationStage,
) {
    /** Nothing more will come of it, unless the app tries it again. */
    public val isFinal: Boolean get() = stage >= MutationStage.Applied

    /** Not sent yet. */
    public data object Queued : MutationState(MutationStage.Queued)

    /** Sent; the answer is still to come. */
    public data object InFlight : MutationState(MutationStage.InFlight)

    /** The server never decided it: retry, edit or discard it. */
    public data class Wedged(
        /** The last answer's words. */
        val reason: String,
    ) : MutationState(MutationStage.Wedged)

    /** The app gave it up after it was sent; the server is still to say whether it had carried it out. */
    public data object GivenUp : MutationState(MutationStage.GivenUp)

    /** Carried out as it was sent. */
    public data object Applied : MutationState(MutationStage.Applied)

    /** Carried out, merged with a change that it had not seen. */
    public data object Merged : MutationState(MutationStage.Merged)

    /** Refused by the server: retry, edit or take note of it ([Client.discard]). */
    public data class Rejected(
        /** A stable name, AppSync's where it has one. */
        val code: String,
        /** What went wrong and what to do about it. */
        val reason: String,
    ) : MutationState(MutationStage.Rejected)

    /** Given up by the app, and never carried out. */
    public data object Discarded : MutationState(MutationStage.Discarded)
}

/** How a mutation ended. */
public sealed interface Outcome {
    /** As it was sent. */
    public data object Applied : Outcome

    /** Merged with a change that it had not seen. */
    public data object Merged : Outcome

    /** Refused by the server. */
    public data class Rejected(
        /** A stable name, AppSync's where it has one. */
        val code: String,
        /** What went wrong and what to do about it. */
        val reason: String,
    ) : Outcome

    /** Given up by the app, or taken back before it was ever sent. */
    public data object Discarded : Outcome
}

/** One mutation of this replica. */
public data class Mutation(
    /** Its number. It may be another than the one that it was asked for by, see [Event.Renumbered]. */
    val number: Long,
    /** The first number of its transaction; its own for a mutation alone. */
    val transaction: Long,
    /** The model's name. */
    val model: String,
    val kind: MutationKind,
    /** The values of the record's key, in order. */
    val key: List<Any?>,
    /** The fields that the user set. */
    val values: Map<String, Any?>,
    val state: MutationState,
    /** The server's decision has come back with the feed: nothing more will happen to it. */
    val settled: Boolean,
    /** What was in conflict or refused, field by field; JSON as maps and lists. */
    val conflict: Any?,
    /** The mutation that the app made of it by a retry. */
    val became: Long?,
    /** Mutations that have to succeed first. */
    val dependsOn: List<Long>,
    /** Who made it. */
    val author: String?,
    /** When it was made, in milliseconds since 1970. */
    val createdAtMs: Long,
    /** When it was settled, in milliseconds since 1970. */
    val endedAtMs: Long?,
    /** How often the server answered without deciding. */
    val tries: Int,
) {
    /** Ids only: the values are the user's. */
    override fun toString(): String = "Mutation($number, $kind $model, ${state.stage})"
}

/** Which mutations [Client.mutations] lists. */
public data class MutationFilter(
    /** Only those of this model. */
    val model: String? = null,
    /** Only those of the record with this key: its values in order. */
    val key: List<Any?>? = null,
    /** Only those that stand so; empty: wherever they stand. */
    val stages: Set<MutationStage> = emptySet(),
    /** Only those with greater numbers. */
    val after: Long = 0,
    /** Most to be listed; `null`: as many as may be. */
    val limit: Int? = null,
)

internal fun mutation(given: NativeMutation): Mutation {
    @Suppress("UNCHECKED_CAST")
    return Mutation(
        number = given.number.toLong(),
        transaction = given.transaction.toLong(),
        model = given.model,
        kind = MutationKind.entries[given.kind.ordinal],
        key = Json.decode(given.key) as List<Any?>,
        values = Json.decode(given.values) as Map<String, Any?>,
        state = state(given),
        settled = given.settled,
        conflict = given.conflict?.let(Json::decode),
        became = given.became?.toLong(),
        dependsOn = longs(given.dependsOn),
        author = given.author,
        createdAtMs = given.createdAtMs,
        endedAtMs = given.endedAtMs,
        tries = given.tries.toInt(),
    )
}

private fun state(given: NativeMutation): MutationState =
    when (given.state) {
        NativeState.QUEUED -> MutationState.Queued
        NativeState.IN_FLIGHT -> MutationState.InFlight
        NativeState.WEDGED -> MutationState.Wedged(given.reason.orEmpty())
        NativeState.GIVEN_UP -> MutationState.GivenUp
        NativeState.APPLIED -> MutationState.Applied
        NativeState.MERGED -> MutationState.Merged
        NativeState.REJECTED -> MutationState.Rejected(given.reasonCode.orEmpty(), given.reason.orEmpty())
        NativeState.DISCARDED -> MutationState.Discarded
    }

internal fun outcome(given: NativeOutcome): Outcome =
    when (given) {
        is NativeOutcome.Applied -> Outcome.Applied
        is NativeOutcome.Merged -> Outcome.Merged
        is NativeOutcome.Rejected -> Outcome.Rejected(given.code, given.detail)
        is NativeOutcome.Discarded -> Outcome.Discarded
    }

internal fun MutationFilter.native(): NativeFilter =
    NativeFilter(
        model = model,
        key = key?.let(Json::encode),
        states = stages.map { NativeState.valueOf(native(it)) },
        after = after.toULong(),
        limit = limit?.toUInt(),
    )

private fun native(stage: MutationStage): String =
    when (stage) {
        MutationStage.InFlight -> "IN_FLIGHT"
        MutationStage.GivenUp -> "GIVEN_UP"
        MutationStage.Queued, MutationStage.Wedged, MutationStage.Applied, MutationStage.Merged, MutationStage.Rejected,
        MutationStage.Discarded,
        -> stage.name.uppercase()
    }
