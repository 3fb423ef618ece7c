//! The threads that the SDK works on in another language's process.
//!
//! One tokio runtime for all clients of the process, made with the first call and ended with the process, if at all: an app may
//! open and close clients as it likes. A call from outside is a task here, and the caller awaits its end with whatever executor it
//! has.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use tokio::runtime::{Builder, Handle, Runtime};
use tokio::task::JoinHandle;

use crate::cancel::{CancelHandle, cancelled};
use crate::{TomboloError, report};

/// Threads that drive sockets, timers and calls. Files are read and written on threads of each client's own, so that two
/// are enough to keep one slow future from holding up the others.
pub const WORKERS: usize = 2;

/// Threads that callbacks into the app may block at once. One that is asked for beyond waits its turn.
pub const CALLBACK_THREADS_MAX: usize = 8;

/// What [`shut_down_process`] waits for at most: calls that are just being answered, not work.
pub const SHUT_DOWN_WAIT: Duration = Duration::from_secs(2);

/// The threads, until they are ended.
struct Threads {
    handle: Handle,
    runtime: Mutex<Option<Runtime>>,
}

static RUNTIME: OnceLock<Result<Threads, String>> = OnceLock::new();

fn runtime() -> Result<&'static Handle, TomboloError> {
    let made = RUNTIME.get_or_init(|| {
        Builder::new_multi_thread()
            .worker_threads(WORKERS)
            .max_blocking_threads(CALLBACK_THREADS_MAX)
            .thread_name("tombolo")
            .enable_all()
            .build()
            .map(|runtime| Threads {
                handle: runtime.handle().clone(),
                runtime: Mutex::new(Some(runtime)),
            })
            .map_err(|error| error.to_string())
    });
    made.as_ref()
        .map(|threads| &threads.handle)
        .map_err(|detail| TomboloError::Thread { detail: detail.clone() })
}

/// Ends the library's threads, and with them every call that is still under way; later ones end as cancelled. For a language whose
/// end does not bear a thread that is just about to call into it, as Python's: called when the process is about to end, and never
/// before. What was queued is in its file. Waits at most [`SHUT_DOWN_WAIT`]. Twice, or before the first call, is no error.
#[uniffi::export]
pub fn shut_down_process() {
    let Some(Ok(threads)) = RUNTIME.get() else { return };
    let runtime = threads.runtime.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(runtime) = runtime {
        runtime.shutdown_timeout(SHUT_DOWN_WAIT);
    }
}

/// Ends the task when the caller's own future is dropped, as Kotlin's and Python's are by cancellation.
struct AbortOnDrop<T>(JoinHandle<T>);

impl<T> Drop for AbortOnDrop<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Carries a call out on our threads. A panic in it becomes an error and a report; dropping the future ends it.
pub(crate) async fn run<T: Send + 'static>(
    cancel: Option<Arc<CancelHandle>>,
    call: impl Future<Output = Result<T, TomboloError>> + Send + 'static,
) -> Result<T, TomboloError> {
    let task = runtime()?.spawn(async move {
        tokio::select! {
            biased;
            () = cancelled(cancel) => Err(TomboloError::Cancelled),
            done = call => done,
        }
    });
    ended((&mut AbortOnDrop(task).0).await)
}

/// As [`run`], for what must not be left half done when the caller goes away: it is carried out to its end all the same.
pub(crate) async fn run_to_end<T: Send + 'static>(
    call: impl Future<Output = Result<T, TomboloError>> + Send + 'static,
) -> Result<T, TomboloError> {
    ended(runtime()?.spawn(call).await)
}

/// Carries out what is done at once, on the caller's thread, within our runtime.
pub(crate) fn at_once<T>(call: impl FnOnce() -> Result<T, TomboloError>) -> Result<T, TomboloError> {
    let _within = runtime()?.enter();
    catch_unwind(AssertUnwindSafe(call)).unwrap_or_else(|panic| Err(report::panicked(panic.as_ref())))
}

fn ended<T>(end: Result<Result<T, TomboloError>, tokio::task::JoinError>) -> Result<T, TomboloError> {
    match end {
        Ok(done) => done,
        Err(error) if error.is_panic() => Err(report::panicked(error.into_panic().as_ref())),
        // Only we end tasks, and then nobody asks for their end; or the process is about to end.
        Err(_) => Err(TomboloError::Cancelled),
    }
}
