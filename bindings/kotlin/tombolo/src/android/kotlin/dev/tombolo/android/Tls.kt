package dev.tombolo.android

import android.content.Context
import dev.tombolo.Library
import dev.tombolo.TomboloException

/**
 * TLS asks Android which certificates the device trusts, and for that the native library needs the app's context once, before the first
 * connection. [TomboloInitializer] sees to it when the app's main process starts; call [initialize] yourself where App Startup is switched
 * off, and in other processes of the app.
 */
public object Tls {
    @Volatile
    private var given = false

    /** How the library is given the context; tests on the JVM have no such library. */
    @Volatile
    internal var giver: (Context) -> Unit = ::initLibrary

    /**
     * Remembers the app's context. The library is given it when it is loaded, which the first call does that needs it, on a thread of its
     * own. Returns at once and throws nothing, also where the library cannot be loaded (tests on the JVM). Twice is no error.
     */
    public fun initialize(context: Context) {
        if (given) return
        val remembered = context.applicationContext
        Library.before { give(remembered) }
    }

    private fun give(context: Context) {
        try {
            giver(context)
            given = true
        } catch (error: UnsatisfiedLinkError) {
            throw TomboloException.Library("the native library tombolo_ffi is not in this app for this device's processor", error)
        } catch (error: RuntimeException) {
            throw TomboloException.Library("the TLS verifier cannot be given the app's context: ${error.message}", error)
        }
    }

    private fun initLibrary(context: Context) {
        // JNA has loaded it for itself; natives of this class are found in what this class's loader has loaded.
        System.loadLibrary("tombolo_ffi")
        init(context)
    }

    @JvmStatic
    private external fun init(context: Context)
}
