package dev.tombolo.android

import android.content.Context
import androidx.startup.Initializer

/** Remembers the app's context for the native library when the app starts: named in this library's manifest, the app does nothing. */
public class TomboloInitializer : Initializer<Unit> {
    override fun create(context: Context): Unit = Tls.initialize(context)

    override fun dependencies(): List<Class<out Initializer<*>>> = emptyList()
}
