package dev.tombolo

import dev.tombolo.ffi.ClientConfig
import dev.tombolo.ffi.uniffiEnsureInitialized
import dev.tombolo.ffi.CallbackException
import dev.tombolo.ffi.Client as NativeClient
import dev.tombolo.ffi.Durability as NativeDurability
import dev.tombolo.ffi.Report as NativeReport
import dev.tombolo.ffi.Reporter as NativeReporter
import dev.tombolo.ffi.Transport as NativeTransport
import java.util.concurrent.atomic.AtomicReference
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.withContext

/** Where everything begins: [open] gives a [Client]. */
public object Tombolo {
    /**
     * Is told of what went wrong inside and is nobody's answer: panics of ours, callbacks that throw. For the app's crash reporter
     * or log; no record's values and no credential are in it. One for the whole process; `null`: nobody.
     *
     * It is called on the thread where it happened and should only note and return. What it throws is passed over.
     */
    @Volatile
    public var reporter: ((Report) -> Unit)? = null

    /** The version of the native library, `MAJOR.MINOR.PATCH`. Loads it: not on the main thread. */
    public val version: String get() {
        Library.ensure()
        return dev.tombolo.ffi.version()
    }

    /**
     * Opens a replica: one SQLite file, one schema, one account, and a link to its server. Returns as soon as the file is open; the
     * link comes up by itself. Everything is done on [Dispatchers.IO] and threads of the library's own.
     *
     * @param schema the schema as SDL text; generated code has it as `tomboloSchema`.
     * @param path the database file, made if it is not there. The folder must exist.
     * @param url the server's GraphQL address, `http(s)://host/graphql`. Without one, and without [transports], the client stays offline.
     * @param credential what to present to the server at first; later [Client.setCredential] or [credentials].
     * @param account whose file this is: for another account it will not open.
     * @param author who makes the mutations; the account unless said.
     * @param offline opens without a link; [Client.setOnline] wants one.
     * @param scopes which records a new file holds; every model, whole, unless said.
     * @param transports further ways to the same server, tried in their order where those before are blocked.
     * @param durability whether a mutation survives a power cut when its call returns; it does unless said.
     * @param credentials is asked whenever the server wants another credential, on [Dispatchers.IO]; `null` means that there is
     *   none now, and the link rests until the app gives one. What it throws is reported and means the same.
     * @param importDatastore a file of Amplify DataStore to take over, once: its records and its unsent mutations, in their order. What
     *   became of it: [Client.datastoreImport].
     * @param removeDatastoreWhenSettled removes that file once the server has settled all of it; it stays unless said.
     *
     * Throws [TomboloException.Library] if the native library is missing or of another release; [TomboloException.Incomplete],
     * [TomboloException.Schema], [TomboloException.Endpoint], [TomboloException.UnknownModel] and [TomboloException.Request] for
     * mistakes in what was given; [TomboloException.Open] and [TomboloException.WrongAccount] if the file cannot be used.
     */
    public suspend fun open(
        schema: String,
        path: String,
        url: String? = null,
        credential: Credential? = null,
        account: String? = null,
        author: String? = null,
        offline: Boolean = false,
        scopes: List<Scope>? = null,
        transports: List<Transport> = emptyList(),
        durability: Durability = Durability.Full,
        credentials: (suspend () -> Credential?)? = null,
        importDatastore: String? = null,
        removeDatastoreWhenSettled: Boolean = false,
    ): Client {
        val config = ClientConfig(
            schema = schema,
            path = path,
            url = url,
            transports = transports.map { it.native() },
            credential = credential?.native(),
            account = account,
            author = author,
            offline = offline,
            scopes = scopes?.map { it.native() },
            durability = if (durability == Durability.Full) NativeDurability.FULL else NativeDurability.NORMAL,
            importDatastore = importDatastore,
            removeDatastoreWhenSettled = removeDatastoreWhenSettled,
        )
        val scope = clientScope()
        var opened: NativeClient? = null
        try {
            return withContext(Dispatchers.IO) {
                Library.ensure()
                val provider = credentials?.let { Provider(it, scope) }
                val native = native { NativeClient.open(config, provider) }
                opened = native
                Client(native, scope, offline)
            }
        } catch (error: Throwable) {
            // Given up just when it was open: the file is released.
            opened?.close()
            scope.end()
            throw error
        }
    }

    /** The file of an account in a folder. Two accounts never have the same. */
    public suspend fun accountPath(folder: String, account: String): String =
        withContext(Dispatchers.IO) {
            Library.ensure()
            dev.tombolo.ffi.accountPath(folder, account)
        }

    /** The accounts that have a file in a folder, by name. No folder is no account. */
    public suspend fun accounts(folder: String): List<AccountFile> =
        withContext(Dispatchers.IO) {
            Library.ensure()
            native { dev.tombolo.ffi.accounts(folder) }.map {
                AccountFile(it.account, it.path, it.sealed, it.unsent.toLong(), it.unreadable)
            }
        }

    /**
     * Loads the native library and checks that it is of this release. [open] does so too; call it early to have it done by then.
     * Throws [TomboloException.Library].
     */
    public suspend fun load() {
        withContext(Dispatchers.IO) { Library.ensure() }
    }

    internal fun tell(kind: String, detail: String) {
        try {
            reporter?.invoke(Report(kind, detail))
        } catch (_: Throwable) {
            // Its own trouble is its own.
        }
    }
}

/** Something that the app's developers should hear of. */
public data class Report(
    /** A stable word: `panic`, `callback`, `lifecycle` (the app's life, on Android), `hub` (an event), or `shape` (a record does not fit its type). */
    val kind: String,
    /** Words for developers. */
    val detail: String,
)

/** What a replica presents to be let in. Printed it shows nothing of it. */
public sealed interface Credential {
    /** An API key. */
    public class ApiKey(internal val key: String) : Credential {
        override fun toString(): String = "ApiKey"
    }

    /** The signed-in user's token, as it came from its issuer. */
    public class Token(internal val token: String) : Credential {
        override fun toString(): String = "Token"
    }
}

/** A way to the server. */
public sealed interface Transport {
    /** GraphQL over a WebSocket and HTTP: `http(s)://host/graphql`. */
    public data class Network(val url: String) : Transport

    /** The same over MQTT: `mqtt://host`, `mqtts://host`, `ws://host/mqtt` or `wss://host/mqtt`. */
    public data class Mqtt(val url: String) : Transport
}

/** Whether what was called survives a power cut. */
public enum class Durability {
    /** It does. */
    Full,

    /** It may be lost with the power if it was made in the last moments; it survives a kill of the process. Faster on slow flash. */
    Normal,
}

internal fun Credential.native(): dev.tombolo.ffi.Credential =
    when (this) {
        is Credential.ApiKey -> dev.tombolo.ffi.Credential.ApiKey(key)
        is Credential.Token -> dev.tombolo.ffi.Credential.Token(token)
    }

internal fun Transport.native(): NativeTransport =
    when (this) {
        is Transport.Network -> NativeTransport.Network(url)
        is Transport.Mqtt -> NativeTransport.Mqtt(url)
    }

/** The native library: loaded once, and only if it is of this release. */
internal object Library {
    private val failure: TomboloException.Library? by lazy {
        try {
            uniffiEnsureInitialized()
            dev.tombolo.ffi.setReporter(Forwarder)
            null
        } catch (error: Throwable) {
            TomboloException.Library(words(error), error)
        }
    }

    /** What the platform has to do, once, when the library is loaded and before anything is opened. */
    private val pending = AtomicReference<(() -> Unit)?>()

    /** Throws if it cannot be used, each time with the same words. */
    fun ensure() {
        failure?.let { throw TomboloException.Library(it.message.orEmpty(), it) }
        if (pending.get() == null) return
        synchronized(this) {
            val step = pending.get() ?: return
            // One that fails is tried again with the next call, and each of them says why.
            step()
            pending.compareAndSet(step, null)
        }
    }

    /** Does nothing yet: [ensure] does it. May be called on the main thread, and so never waits for [failure]. */
    fun before(step: () -> Unit) {
        pending.set(step)
    }

    private fun words(error: Throwable): String {
        val causes = generateSequence(error) { it.cause }.take(CAUSES_MAX).toList()
        if (causes.any { it.message?.contains("checksum mismatch") == true || it.message?.contains("contract version") == true }) {
            return "the native library tombolo_ffi and these classes are of different releases: use both from one"
        }
        val missing = causes.firstOrNull { it is UnsatisfiedLinkError }
        if (missing != null) {
            return "the native library tombolo_ffi is not there or cannot be loaded: ${missing.message}"
        }
        return "the native library tombolo_ffi cannot be used: ${causes.last()}"
    }

    /** Causes of an error that are looked at; a chain that is longer goes round. */
    private const val CAUSES_MAX = 16

    private object Forwarder : NativeReporter {
        override fun report(report: NativeReport) = Tombolo.tell(report.kind, report.detail)
    }
}

/** What the native side may be told of a callback that failed. */
internal fun callbackFailed(error: Throwable) = CallbackException.Failed(error.message ?: error.javaClass.name)
