package dev.tombolo

import dev.tombolo.ffi.ImportFormat as NativeFormat
import dev.tombolo.ffi.ImportReport as NativeReport
import dev.tombolo.ffi.ImportState as NativeState

/** What was taken over of a file of Amplify DataStore. */
public data class ImportReport(
    /** The old file. */
    val path: String,
    /** Who wrote it; `null` if that was not found out. */
    val format: ImportFormat?,
    /** How far it has come. */
    val state: ImportState,
    /** Why it failed. */
    val error: String?,
    /** Records that are here now. */
    val records: Long,
    /** Tombstones that are here now. */
    val tombstones: Long,
    /** Records of which the old file knew neither a version nor a mutation: each is in the outbox as a creation. */
    val uploads: Long,
    /** Records of the same kind of which the old file alone has something. */
    val recordsUnversioned: Long,
    /** Records that were not taken. */
    val recordsLeft: Long,
    /** Unsent mutations that are in the outbox now. */
    val mutations: Long,
    /** Of those, the ones that DataStore may have sent. */
    val mutationsMayBeSent: Long,
    /** Unsent mutations that could not be taken. Each is in [problems], with its content. */
    val mutationsLeft: Long,
    /** Of mutations and uploads, the ones that are not settled yet or were refused and not taken note of. */
    val unsettled: Long,
    /** The numbers of the first and of the last mutation taken; `null` for none. */
    val numbers: LongRange?,
    /** What could not be taken, and what was noticed. */
    val problems: List<ImportProblem>,
    /** Problems beyond the bound, none of them with a mutation. */
    val problemsUntold: Long,
    /** The old file was removed after everything was settled. */
    val removed: Boolean,
)

/** Which adapter wrote a file. */
public enum class ImportFormat {
    /** Amplify for Swift, and Flutter on iOS. */
    Ios,

    /** Amplify for Android, and Flutter on Android. */
    Android,
}

/** How far an import has come. */
public enum class ImportState {
    /** Everything was taken; some of the mutations are not settled yet. */
    Unsettled,

    /** Each mutation that was taken is settled. */
    Settled,

    /** The file could not be taken over; the next opening tries again. */
    Failed,

    /** Another replica has taken this file over before. */
    TakenBefore,
}

/** One thing that could not be taken, or was noticed. Printed it does not show the content. */
public class ImportProblem internal constructor(
    /** The table in the old file. */
    public val table: String,
    /** The row; `null` for the whole table. */
    public val row: String?,
    /** The column, or the member of a mutation's content. */
    public val column: String?,
    /** What is wrong, and what it means. */
    public val problem: String,
    /** An unsent mutation that was not taken. */
    public val isMutation: Boolean,
    /** The mutation as it stands in the old file. */
    public val content: String?,
) {
    override fun toString(): String = "ImportProblem($table $row: $problem)"
}

internal fun importReport(given: NativeReport): ImportReport =
    ImportReport(
        path = given.path,
        format = when (given.format) {
            NativeFormat.IOS -> ImportFormat.Ios
            NativeFormat.ANDROID -> ImportFormat.Android
            null -> null
        },
        state = when (given.state) {
            NativeState.UNSETTLED -> ImportState.Unsettled
            NativeState.SETTLED -> ImportState.Settled
            NativeState.FAILED -> ImportState.Failed
            NativeState.TAKEN_BEFORE -> ImportState.TakenBefore
        },
        error = given.error,
        records = given.records.toLong(),
        tombstones = given.tombstones.toLong(),
        uploads = given.uploads.toLong(),
        recordsUnversioned = given.recordsUnversioned.toLong(),
        recordsLeft = given.recordsLeft.toLong(),
        mutations = given.mutations.toLong(),
        mutationsMayBeSent = given.mutationsMayBeSent.toLong(),
        mutationsLeft = given.mutationsLeft.toLong(),
        unsettled = given.unsettled.toLong(),
        numbers = if (given.firstNumber == 0uL) null else given.firstNumber.toLong()..given.lastNumber.toLong(),
        problems = given.problems.map { ImportProblem(it.table, it.row, it.column, it.problem, it.isMutation, it.content) },
        problemsUntold = given.problemsUntold.toLong(),
        removed = given.removed,
    )
