package dev.tombolo.flights

import android.content.Context
import androidx.lifecycle.ProcessLifecycleOwner
import dev.tombolo.Credential
import dev.tombolo.SignOut
import dev.tombolo.SignedOut
import dev.tombolo.Tombolo
import dev.tombolo.android.ClientLifecycle
import dev.tombolo.android.SyncWorker
import flights.generated.tomboloSchema
import java.io.File
import kotlin.time.Duration.Companion.hours
import kotlin.time.Duration.Companion.seconds
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.NonCancellable
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.sync.Mutex
import kotlinx.coroutines.sync.withLock
import kotlinx.coroutines.withContext

/** Where `tombolo dev` is, seen from the emulator, and the key that it takes. A real app has its user's token in place of it. */
private const val URL = "http://10.0.2.2:4000/graphql"
private const val API_KEY = "dev-key"

/** How long signing out tries to send what is queued. */
private val SIGN_OUT_BUDGET = 10.seconds

/** Who is signed in, and the client of that account. */
class Session(private val context: Context) {
    private val turn = Mutex()
    private val current = MutableStateFlow<ClientLifecycle?>(null)
    private val folder: File get() = File(context.filesDir, "replicas")
    private val name: File get() = File(context.filesDir, "account")

    /** The open client; `null` while nobody is signed in. */
    val client: StateFlow<ClientLifecycle?> = current.asStateFlow()

    /** Opens the account that was signed in when the app last ran. */
    suspend fun restore(): ClientLifecycle? =
        turn.withLock {
            current.value ?: whole { withContext(Dispatchers.IO) { name.takeIf { it.exists() }?.readText() }?.let { open(it) } }
        }

    suspend fun signIn(account: String) {
        turn.withLock {
            check(current.value == null) { "sign out first" }
            whole {
                open(account)
                withContext(Dispatchers.IO) { name.writeText(account) }
            }
        }
    }

    /**
     * Sends what is queued if there is a network. What is left stays on the device for this account alone. If it throws, the account is
     * signed in as before.
     */
    suspend fun signOut(): SignedOut? =
        turn.withLock {
            val lifecycle = current.value ?: return null
            whole {
                // Awake, also if the user turns to another app meanwhile; and what follows the app goes on until it has succeeded.
                val out = lifecycle.awake { it.signOut(SignOut.SendFirst(SIGN_OUT_BUDGET)) }
                withContext(Dispatchers.Main) { lifecycle.stop(ProcessLifecycleOwner.get().lifecycle) }
                SyncWorker.cancel(context)
                lifecycle.client.shutDown()
                withContext(Dispatchers.IO) { name.delete() }
                current.value = null
                out
            }
        }

    /** The screen that asked may go: a client that was opened for it must not be lost, nor a sign-out be left halfway. */
    private suspend fun <T> whole(work: suspend () -> T): T = withContext(NonCancellable) { work() }

    private suspend fun open(account: String): ClientLifecycle {
        withContext(Dispatchers.IO) { folder.mkdirs() }
        // An app that comes from Amplify DataStore adds `importDatastore = amplifyDatastorePath(context)`.
        val client = Tombolo.open(
            schema = tomboloSchema,
            path = Tombolo.accountPath(folder.path, account),
            url = URL,
            credential = Credential.ApiKey(API_KEY),
            account = account,
        )
        val lifecycle = ClientLifecycle(context, client)
        // The observer is told at once if the app is in the foreground.
        withContext(Dispatchers.Main) { ProcessLifecycleOwner.get().lifecycle.addObserver(lifecycle) }
        SyncWorker.schedule(context, 1.hours)
        current.value = lifecycle
        return lifecycle
    }
}
