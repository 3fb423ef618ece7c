package dev.tombolo.android

import android.content.Context
import dev.tombolo.TomboloException

/**
 * TLS asks Android which certificates the device trusts, and for that the native library needs the app's context once, before
 * the first connection. [TomboloInitializer] sees to it when the app starts; call [initialize] yourself where App Startup is switched off.
 */
public object Tls {
    /** Gives the library the context. Twice is no error. Loads the library: tens of milliseconds the first time. */
    public fun initialize(context: Context) {
        try {
            System.loadLibrary("tombolo_ffi")
            init(context.applicationContext)
        } catch (error: UnsatisfiedLinkError) {
            throw TomboloException.Library("the native library tombolo_ffi is not in this app for this device's processor", error)
        }
    }

    @JvmStatic
    private external fun init(context: Context)
}
