// The few declarations of Android and AndroidX that the Android source set calls, written by hand after their documentation, so that
// it can be type-checked where no Android SDK is. They hold nothing and are never shipped.
@file:Suppress("UNUSED_PARAMETER", "unused")

package android.content

open class Context {
    val applicationContext: Context get() = throw NotImplementedError()
    val filesDir: java.io.File get() = throw NotImplementedError()

    fun <T> getSystemService(type: Class<T>): T = throw NotImplementedError()
}
