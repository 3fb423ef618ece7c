@file:Suppress("UNUSED_PARAMETER", "unused")

package androidx.lifecycle

import kotlinx.coroutines.CoroutineScope

interface LifecycleObserver

abstract class Lifecycle {
    abstract fun addObserver(observer: LifecycleObserver)

    abstract fun removeObserver(observer: LifecycleObserver)
}

interface LifecycleOwner {
    val lifecycle: Lifecycle
}

interface DefaultLifecycleObserver : LifecycleObserver {
    fun onStart(owner: LifecycleOwner) {}

    fun onStop(owner: LifecycleOwner) {}
}

/** Tells its observers what the test says, and a new one at once that the app is in the foreground, as the real one does. */
class FakeLifecycle : Lifecycle(), LifecycleOwner {
    val observers = ArrayList<DefaultLifecycleObserver>()
    private var started = false
    override val lifecycle: Lifecycle get() = this

    override fun addObserver(observer: LifecycleObserver) {
        observers += observer as DefaultLifecycleObserver
        if (started) observer.onStart(this)
    }

    override fun removeObserver(observer: LifecycleObserver) {
        observers -= observer as DefaultLifecycleObserver
    }

    fun start() {
        started = true
        observers.toList().forEach { it.onStart(this) }
    }

    fun stop() {
        started = false
        observers.toList().forEach { it.onStop(this) }
    }
}

class ProcessLifecycleOwner private constructor() : LifecycleOwner {
    private val fake = FakeLifecycle()
    override val lifecycle: Lifecycle get() = fake

    companion object {
        private val owner = ProcessLifecycleOwner()

        fun get(): LifecycleOwner = owner
    }
}

abstract class ViewModel {
    protected open fun onCleared() {}
}

open class AndroidViewModel(private val application: android.app.Application) : ViewModel() {
    @Suppress("UNCHECKED_CAST")
    fun <T : android.app.Application> getApplication(): T = application as T
}

val ViewModel.viewModelScope: CoroutineScope get() = throw NotImplementedError()
