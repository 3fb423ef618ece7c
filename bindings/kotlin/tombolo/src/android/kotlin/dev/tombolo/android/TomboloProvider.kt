package dev.tombolo.android

import android.content.Context

/**
 * What an app's `Application` implements, so that a worker which the system starts, perhaps in a process of its own making, finds the
 * same client as the screens.
 */
public interface TomboloProvider {
    /** The one client of this process and what keeps it in step with the app's life; `null` if nobody is signed in. */
    public suspend fun tombolo(): ClientLifecycle?
}

internal fun providerOf(context: Context): TomboloProvider =
    context.applicationContext as? TomboloProvider
        ?: throw IllegalStateException("the app's Application class must implement dev.tombolo.android.TomboloProvider")
