package dev.tombolo.tests.android

import android.app.Application
import android.content.Context
import dev.tombolo.Library
import dev.tombolo.Tombolo
import dev.tombolo.TomboloException
import dev.tombolo.android.Tls
import dev.tombolo.android.TomboloInitializer
import dev.tombolo.android.amplifyDatastorePath

/** First: a context that was given once is given no more. */
internal val START: Map<String, suspend () -> Unit> = mapOf(
    "the start of an app" to ::start,
    "where Amplify DataStore has its file" to ::amplifyFile,
)

private suspend fun amplifyFile() {
    val app = Application()
    val path = amplifyDatastorePath(app)
    wants(path.endsWith("/databases/AmplifyDatastore.db")) { "it is $path" }
    // An app that never had one opens all the same.
    scene(importDatastore = path) { client.query("{ listNotes { items { id } } }") }
}

private suspend fun start() {
    var steps = 0
    Library.before { steps += 1 }
    repeat(3) { Tombolo.load() }
    wants(steps == 1) { "what the platform has to do was done $steps times" }

    val given = ArrayList<Context>()
    val refusal = UnsatisfiedLinkError("a test on the JVM")
    var there = false
    Tls.giver = {
        if (!there) throw refusal
        given += it
    }
    val app = Application()
    // On the main thread, and where the library cannot be loaded: nothing is loaded, and nothing thrown.
    TomboloInitializer().create(app)
    repeat(2) {
        val error = runCatching { Tombolo.load() }.exceptionOrNull()
        wants(error is TomboloException.Library && error.cause === refusal) { "loading gives $error" }
    }
    there = true
    repeat(2) { Tombolo.load() }
    TomboloInitializer().create(app)
    Tombolo.load()
    wants(given == listOf<Context>(app)) { "it was given $given" }
}
