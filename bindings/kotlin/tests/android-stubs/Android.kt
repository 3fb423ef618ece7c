// The few declarations of Android and AndroidX that the Android source set calls, written by hand after their documentation, so that
// it can be compiled and run where no Android SDK is. What tests look at is fake and says so (`fake…`); they are never shipped.
@file:Suppress("UNUSED_PARAMETER", "unused")

package android.content

import android.net.ConnectivityManager

open class Context {
    val fakeConnectivity: ConnectivityManager = ConnectivityManager()

    open val applicationContext: Context get() = this
    val filesDir: java.io.File get() = fakeFiles

    /** Made where it is needed. */
    val fakeFiles: java.io.File by lazy { java.nio.file.Files.createTempDirectory("tombolo-app-").toFile() }

    fun getDatabasePath(name: String): java.io.File = filesDir.resolve("databases").resolve(name)

    @Suppress("UNCHECKED_CAST")
    fun <T> getSystemService(type: Class<T>): T = fakeConnectivity as T
}
