package dev.tombolo.flights

import android.app.Application
import androidx.lifecycle.AndroidViewModel
import androidx.lifecycle.viewModelScope
import dev.tombolo.Client
import dev.tombolo.Event
import dev.tombolo.LinkStatus
import dev.tombolo.Outcome
import dev.tombolo.Status
import dev.tombolo.TomboloException
import dev.tombolo.create
import dev.tombolo.watch
import flights.generated.Flight
import flights.generated.Note
import flights.generated.Severity
import kotlinx.coroutines.ExperimentalCoroutinesApi
import kotlinx.coroutines.flow.Flow
import kotlinx.coroutines.flow.MutableStateFlow
import kotlinx.coroutines.flow.SharingStarted
import kotlinx.coroutines.flow.StateFlow
import kotlinx.coroutines.flow.asStateFlow
import kotlinx.coroutines.flow.catch
import kotlinx.coroutines.flow.combine
import kotlinx.coroutines.flow.emptyFlow
import kotlinx.coroutines.flow.flatMapLatest
import kotlinx.coroutines.flow.flowOf
import kotlinx.coroutines.flow.map
import kotlinx.coroutines.flow.stateIn
import kotlinx.coroutines.launch

/** A screen goes on being served for so long after it was turned, in milliseconds. */
private const val LINGER_MS = 5_000L

/** Flights that the list shows. */
private const val FLIGHTS_SHOWN = 200

/** What the screens show and do. Everything is a live query: nothing is ever loaded again by hand. */
@OptIn(ExperimentalCoroutinesApi::class)
class FlightsViewModel(application: Application) : AndroidViewModel(application) {
    private val session = getApplication<FlightsApplication>().session
    private val chosen = MutableStateFlow<Flight?>(null)
    private val words = MutableStateFlow<String?>(null)
    private val client: Flow<Client?> = session.client.map { it?.client }

    val signedIn: StateFlow<Boolean> = session.client.map { it != null }.kept(false)

    /** The flight whose notes are shown. */
    val flight: StateFlow<Flight?> = chosen.asStateFlow()

    /** What the user should be told; shown until [read]. */
    val message: StateFlow<String?> = words.asStateFlow()

    val flights: StateFlow<List<Flight>> =
        client.flatMapLatest { it?.watch(Flight.all.sortedBy { timeHour }.thenBy { id }.limit(FLIGHTS_SHOWN)) ?: flowOf(emptyList()) }
            .telling(emptyList())

    val notes: StateFlow<List<Note>> =
        combine(client, chosen) { client, flight -> client to flight }
            .flatMapLatest { (client, flight) ->
                if (client == null || flight == null) flowOf(emptyList()) else client.watch(flight.notes().sortedByDescending { createdAt })
            }
            .telling(emptyList())

    val sync: StateFlow<String> = client.flatMapLatest { it?.statuses() ?: emptyFlow() }.map(::line).kept("")

    init {
        viewModelScope.launch { trying { session.restore() } }
        viewModelScope.launch {
            client.flatMapLatest { it?.events ?: emptyFlow() }.collect { event ->
                val outcome = (event as? Event.Decided)?.outcome
                if (outcome is Outcome.Rejected) words.value = "The server refused a change: ${outcome.reason}"
            }
        }
    }

    fun choose(flight: Flight?) {
        chosen.value = flight
    }

    /** Takes a note, with or without a network. */
    fun note(text: String, severity: Severity) {
        val flight = chosen.value ?: return
        val lifecycle = session.client.value ?: return
        viewModelScope.launch {
            trying { lifecycle.client.create(Note(flightId = flight.id, text = text, author = "crew", severity = severity)) }
        }
    }

    fun signIn(account: String) {
        viewModelScope.launch { trying { session.signIn(account) } }
    }

    fun signOut() {
        viewModelScope.launch {
            trying {
                val out = session.signOut()
                chosen.value = null
                if (out != null && out.kept > 0) words.value = "${out.kept} changes wait on this device until you sign in again"
            }
        }
    }

    fun read() {
        words.value = null
    }

    private suspend fun trying(work: suspend () -> Unit) {
        try {
            work()
        } catch (error: TomboloException) {
            words.value = if (error.canRetry) "Please try again: ${error.message}" else error.message
        }
    }

    private fun line(status: Status): String {
        val link = when (status.link) {
            LinkStatus.Live -> if (status.upToDate) "up to date" else "fetching"
            LinkStatus.CatchingUp, LinkStatus.Opening -> "fetching"
            LinkStatus.Paused -> "please sign in again"
            LinkStatus.Offline, LinkStatus.Waiting, LinkStatus.Elsewhere -> "offline"
        }
        return if (status.pending == 0L) link else "$link, ${status.pending} to send"
    }

    private fun <T> Flow<T>.kept(first: T): StateFlow<T> = stateIn(viewModelScope, SharingStarted.WhileSubscribed(LINGER_MS), first)

    private fun <T> Flow<T>.telling(first: T): StateFlow<T> =
        catch { error ->
            if (error !is TomboloException) throw error
            words.value = error.message
        }.kept(first)
}
