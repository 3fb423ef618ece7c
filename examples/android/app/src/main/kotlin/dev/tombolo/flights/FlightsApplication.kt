package dev.tombolo.flights

import android.app.Application
import dev.tombolo.android.ClientLifecycle
import dev.tombolo.android.TomboloProvider

/** Holds the one session of the process, which screens and background work share. */
class FlightsApplication : Application(), TomboloProvider {
    val session: Session by lazy { Session(this) }

    /** For the worker that the system starts: the client of whoever is signed in. */
    override suspend fun tombolo(): ClientLifecycle? = session.restore()
}
