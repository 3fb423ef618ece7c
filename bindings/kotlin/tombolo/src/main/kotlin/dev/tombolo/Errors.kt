package dev.tombolo

import dev.tombolo.ffi.InternalException
import dev.tombolo.ffi.TomboloException as Native

/** One error of a GraphQL answer, or one fault of a document. */
public data class GraphqlProblem(
    /** What went wrong and what to do about it. */
    val message: String,
    /** The stable name that programs branch on, AppSync's where it has one. */
    val errorType: String? = null,
    /** The field that it concerns, as names and numbers: `[listNotes, items, 0, text]`. */
    val path: List<Any?>? = null,
    /** Its line in the document, from 1. */
    val line: Int? = null,
    /** Its column, from 1. */
    val column: Int? = null,
)

/**
 * Everything that a call can fail with. An error of a mutation call means that nothing was queued. Being offline is never one.
 *
 * Branch on the class, [canRetry] and [needsSignIn]; the message is words for developers.
 */
public sealed class TomboloException(message: String, cause: Throwable? = null) : Exception(message, cause) {
    /** The same call may succeed later as it stands. */
    public open val canRetry: Boolean get() = false

    /** The user has to sign in again first. */
    public open val needsSignIn: Boolean get() = false

    /** Something is missing from what the client was opened with. */
    public class Incomplete(message: String) : TomboloException(message)

    /** The schema cannot work; the message has every fault with its place. */
    public class Schema(message: String) : TomboloException(message)

    /** The address is not a server's. */
    public class Endpoint(message: String) : TomboloException(message)

    /** The document, its variables or a mutation's input is wrong. */
    public class Request(
        message: String,
        /** Each fault with its place. */
        public val problems: List<GraphqlProblem>,
    ) : TomboloException(message)

    /** The operation has no answer in the local data. */
    public class NeedsNetwork(
        message: String,
        /** Each field that has none. */
        public val problems: List<GraphqlProblem>,
    ) : TomboloException(message)

    /** A value cannot be written as JSON, or a text is none. */
    public class Json(message: String, cause: Throwable? = null) : TomboloException(message, cause)

    /** An answer does not have the shape of its generated type: the code was generated from another schema. */
    public class Shape(message: String) : TomboloException(message)

    /** An update or a delete of a record that this replica does not hold. */
    public class UnknownRecord(
        message: String,
        /** The model's name. */
        public val model: String,
    ) : TomboloException(message)

    /** The mutation cannot succeed. */
    public class Refused(
        message: String,
        /** A stable name, AppSync's where it has one. */
        public val code: String,
    ) : TomboloException(message)

    /** More than the server takes in one request. */
    public class RequestTooLarge(message: String) : TomboloException(message)

    /** The outbox holds as many mutations as it may. */
    public class OutboxFull(message: String) : TomboloException(message) {
        override val canRetry: Boolean get() = true
    }

    /** The schema has no such model. */
    public class UnknownModel(
        message: String,
        /** What was asked for. */
        public val model: String,
    ) : TomboloException(message)

    /** There is no such mutation. */
    public class UnknownMutation(
        message: String,
        /** What was asked for. */
        public val number: Long,
    ) : TomboloException(message)

    /** The mutation's state does not allow it. */
    public class WrongState(message: String) : TomboloException(message)

    /** The disk is full. */
    public class DiskFull(message: String) : TomboloException(message) {
        override val canRetry: Boolean get() = true
    }

    /** The file is busy: another process writes to it. */
    public class Busy(message: String) : TomboloException(message) {
        override val canRetry: Boolean get() = true
    }

    /** The file cannot be read or written. */
    public class Store(
        message: String,
        /** `read_only`, `corrupt` or `store`. */
        public val code: String,
    ) : TomboloException(message)

    /** The file cannot be opened. */
    public class Open(
        message: String,
        /** `in_use`, `newer_file`, `foreign_file` or `open`. */
        public val code: String,
    ) : TomboloException(message) {
        override val canRetry: Boolean get() = code == "in_use"
    }

    /** The file is another account's. */
    public class WrongAccount(message: String) : TomboloException(message)

    /** The system gave no thread. */
    public class Thread(message: String) : TomboloException(message)

    /** The server refused the credential. */
    public class Unauthorized(message: String) : TomboloException(message) {
        override val needsSignIn: Boolean get() = true
    }

    /** The client is suspended: call [Client.resume] first. */
    public class Suspended : TomboloException("the client is suspended; call resume first")

    /** The account has signed out of this file. */
    public class SignedOut : TomboloException("the account has signed out; open the client again with its account") {
        override val needsSignIn: Boolean get() = true
    }

    /** The client has been closed. */
    public class Closed : TomboloException("the client has been closed")

    /** A mistake of ours: the call ended in a panic, which was reported. The client may be used on. */
    public class Panicked(message: String) : TomboloException(message)

    /** The native library is missing, or of another release than these classes. */
    public class Library(message: String, cause: Throwable) : TomboloException(message, cause)

    /** An error that a newer native library has and these classes do not know. */
    public class Unknown(message: String, cause: Throwable) : TomboloException(message, cause)
}

/** Carries a native call out, its errors turned into ours. */
internal inline fun <T> native(call: () -> T): T =
    try {
        call()
    } catch (error: Native) {
        throw translated(error)
    } catch (error: InternalException) {
        throw TomboloException.Panicked("a mistake in Tombolo: ${error.message}")
    }

@PublishedApi
internal fun translated(error: Native): Exception =
    when (error) {
        is Native.Incomplete -> TomboloException.Incomplete(error.detail)
        is Native.Schema -> TomboloException.Schema(error.detail)
        is Native.Endpoint -> TomboloException.Endpoint(error.detail)
        is Native.Request -> TomboloException.Request(error.detail, error.problems.map(::problem))
        is Native.NeedsNetwork -> TomboloException.NeedsNetwork(error.detail, error.problems.map(::problem))
        is Native.Json -> TomboloException.Json(error.detail)
        is Native.UnknownRecord -> TomboloException.UnknownRecord(error.detail, error.model)
        is Native.Refused -> TomboloException.Refused(error.detail, error.code)
        is Native.RequestTooLarge -> TomboloException.RequestTooLarge(error.detail)
        is Native.OutboxFull -> TomboloException.OutboxFull(error.detail)
        is Native.UnknownModel -> TomboloException.UnknownModel(error.detail, error.model)
        is Native.UnknownMutation -> TomboloException.UnknownMutation(error.detail, error.number.toLong())
        is Native.WrongState -> TomboloException.WrongState(error.detail)
        is Native.Shape -> TomboloException.Shape(error.detail)
        is Native.DiskFull -> TomboloException.DiskFull(error.detail)
        is Native.Busy -> TomboloException.Busy(error.detail)
        is Native.Store -> TomboloException.Store(error.detail, error.code)
        is Native.Open -> TomboloException.Open(error.detail, error.code)
        is Native.WrongAccount -> TomboloException.WrongAccount(error.detail)
        is Native.Thread -> TomboloException.Thread(error.detail)
        is Native.Unauthorized -> TomboloException.Unauthorized(error.detail)
        is Native.Suspended -> TomboloException.Suspended()
        is Native.SignedOut -> TomboloException.SignedOut()
        is Native.Closed -> TomboloException.Closed()
        // Only a coroutine's own cancellation ends calls here, and that one is thrown by the coroutine itself.
        is Native.Cancelled -> kotlin.coroutines.cancellation.CancellationException("the call was cancelled")
        is Native.Panicked -> TomboloException.Panicked("a mistake in Tombolo: ${error.detail}")
    }

internal fun problem(given: dev.tombolo.ffi.GraphqlProblem): GraphqlProblem =
    GraphqlProblem(
        message = given.detail,
        errorType = given.errorType,
        path = given.path?.let { Json.decode(it) as? List<*> },
        line = given.line?.toInt(),
        column = given.column?.toInt(),
    )
