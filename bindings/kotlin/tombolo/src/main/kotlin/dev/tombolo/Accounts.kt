package dev.tombolo

import kotlin.time.Duration

/** An account with a file on this device. */
public data class AccountFile(
    val account: String,
    /** Its file. */
    val path: String,
    /** It has signed out and left something behind. */
    val sealed: Boolean,
    /** Mutations that only this file knows. */
    val unsent: Long,
    /** Why nothing more can be said of the file now. */
    val unreadable: String?,
)

/** What becomes of an account's file when it signs out. */
public sealed interface SignOut {
    /** Send what is queued first, for at most this long. What is left is kept, sealed; if all went, the file is removed. */
    public data class SendFirst(val budget: Duration) : SignOut

    /** Keep the file as it is, sealed, without sending anything. */
    public data object KeepSealed : SignOut

    /** Remove the file with everything that was not sent. */
    public data object Discard : SignOut
}

/** What became of an account's mutations when it signed out. */
public data class SignedOut(
    /** Mutations that the server applied or merged in the course of it. */
    val sent: Long,
    /** Mutations that are kept in the sealed file. */
    val kept: Long,
    /** Mutations that were thrown away with the file. */
    val discarded: Long,
)

internal fun SignOut.native(): dev.tombolo.ffi.SignOut =
    when (this) {
        is SignOut.SendFirst -> dev.tombolo.ffi.SignOut.SendFirst(milliseconds(budget))
        SignOut.KeepSealed -> dev.tombolo.ffi.SignOut.KeepSealed
        SignOut.Discard -> dev.tombolo.ffi.SignOut.Discard
    }

internal fun milliseconds(duration: Duration): ULong = duration.inWholeMilliseconds.coerceAtLeast(0).toULong()
