package dev.tombolo.flights.ui

import android.os.Bundle
import androidx.activity.ComponentActivity
import androidx.activity.compose.BackHandler
import androidx.activity.compose.setContent
import androidx.activity.viewModels
import androidx.compose.foundation.clickable
import androidx.compose.foundation.layout.Column
import androidx.compose.foundation.layout.Row
import androidx.compose.foundation.layout.fillMaxSize
import androidx.compose.foundation.layout.fillMaxWidth
import androidx.compose.foundation.layout.padding
import androidx.compose.foundation.lazy.LazyColumn
import androidx.compose.foundation.lazy.items
import androidx.compose.material3.Button
import androidx.compose.material3.ExperimentalMaterial3Api
import androidx.compose.material3.FilterChip
import androidx.compose.material3.ListItem
import androidx.compose.material3.MaterialTheme
import androidx.compose.material3.OutlinedTextField
import androidx.compose.material3.Scaffold
import androidx.compose.material3.SnackbarHost
import androidx.compose.material3.SnackbarHostState
import androidx.compose.material3.Text
import androidx.compose.material3.TextButton
import androidx.compose.material3.TopAppBar
import androidx.compose.runtime.Composable
import androidx.compose.runtime.LaunchedEffect
import androidx.compose.runtime.getValue
import androidx.compose.runtime.mutableStateOf
import androidx.compose.runtime.remember
import androidx.compose.runtime.saveable.rememberSaveable
import androidx.compose.runtime.setValue
import androidx.compose.ui.Modifier
import androidx.compose.ui.unit.dp
import androidx.lifecycle.compose.collectAsStateWithLifecycle
import dev.tombolo.flights.FlightsViewModel
import flights.generated.Flight
import flights.generated.Note
import flights.generated.Severity

class MainActivity : ComponentActivity() {
    private val model: FlightsViewModel by viewModels()

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        setContent { MaterialTheme { App(model) } }
    }
}

@OptIn(ExperimentalMaterial3Api::class)
@Composable
private fun App(model: FlightsViewModel) {
    val signedIn by model.signedIn.collectAsStateWithLifecycle()
    val flight by model.flight.collectAsStateWithLifecycle()
    val sync by model.sync.collectAsStateWithLifecycle()
    val message by model.message.collectAsStateWithLifecycle()
    val snackbar = remember { SnackbarHostState() }
    LaunchedEffect(message) {
        message?.let { snackbar.showSnackbar(it) }
        model.read()
    }
    BackHandler(enabled = flight != null) { model.choose(null) }
    Scaffold(
        topBar = {
            TopAppBar(
                title = {
                    Column {
                        Text(flight?.let(::title) ?: "Flights")
                        if (signedIn) Text(sync, style = MaterialTheme.typography.bodySmall)
                    }
                },
                actions = { if (signedIn) TextButton(model::signOut) { Text("Sign out") } },
            )
        },
        snackbarHost = { SnackbarHost(snackbar) },
    ) { padding ->
        Column(Modifier.fillMaxSize().padding(padding)) {
            when {
                !signedIn -> SignIn(model::signIn)
                flight == null -> Flights(model)
                else -> Notes(model)
            }
        }
    }
}

@Composable
private fun SignIn(signIn: (String) -> Unit) {
    var account by rememberSaveable { mutableStateOf("") }
    Column(Modifier.padding(16.dp)) {
        OutlinedTextField(account, { account = it }, label = { Text("Your name") }, singleLine = true)
        Button({ signIn(account.trim()) }, enabled = account.isNotBlank()) { Text("Sign in") }
    }
}

@Composable
private fun Flights(model: FlightsViewModel) {
    val flights by model.flights.collectAsStateWithLifecycle()
    LazyColumn {
        items(flights, key = Flight::id) { flight ->
            ListItem(
                headlineContent = { Text(title(flight)) },
                supportingContent = { Text("${flight.date}, ${flight.distance} miles") },
                modifier = Modifier.clickable { model.choose(flight) },
            )
        }
    }
}

@Composable
private fun Notes(model: FlightsViewModel) {
    val notes by model.notes.collectAsStateWithLifecycle()
    var text by rememberSaveable { mutableStateOf("") }
    var urgent by rememberSaveable { mutableStateOf(false) }
    Column {
        Column(Modifier.fillMaxWidth().padding(16.dp)) {
            OutlinedTextField(text, { text = it }, label = { Text("What should the next crew know?") }, modifier = Modifier.fillMaxWidth())
            Row {
                FilterChip(urgent, { urgent = !urgent }, label = { Text("urgent") })
                Button(
                    onClick = {
                        model.note(text.trim(), if (urgent) Severity.URGENT else Severity.INFO)
                        text = ""
                    },
                    enabled = text.isNotBlank(),
                ) { Text("Note") }
            }
        }
        LazyColumn {
            items(notes, key = Note::id) { note ->
                ListItem(
                    headlineContent = { Text(note.text) },
                    supportingContent = { Text(listOfNotNull(note.author, note.severity?.name).joinToString()) },
                )
            }
        }
    }
}

private fun title(flight: Flight): String = "${flight.carrier} ${flight.flight}: ${flight.origin} to ${flight.dest}"
