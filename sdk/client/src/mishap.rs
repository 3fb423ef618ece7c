//! Panics of the client's own threads and tasks: a mistake of ours, which must neither take the app down nor leave it waiting.

use std::any::Any;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use futures_util::FutureExt as _;

/// Takes note of a panic, in words.
type Told = dyn Fn(&str) + Send + Sync;

/// Who is told of panics. See [`crate::Builder::on_panic`].
#[derive(Clone, Default)]
pub(crate) struct Mishaps(pub(crate) Option<Arc<Told>>);

impl Mishaps {
    /// Does `work`; `None` if it panicked, which was told then.
    pub(crate) fn contain<T>(&self, place: &str, work: impl FnOnce() -> T) -> Option<T> {
        catch_unwind(AssertUnwindSafe(work))
            .inspect_err(|panic| self.tell(place, panic.as_ref()))
            .ok()
    }

    /// The same for what takes time.
    pub(crate) async fn contain_async<T>(&self, place: &str, work: impl Future<Output = T>) -> Option<T> {
        AssertUnwindSafe(work)
            .catch_unwind()
            .await
            .inspect_err(|panic| self.tell(place, panic.as_ref()))
            .ok()
    }

    pub(crate) fn tell(&self, place: &str, panic: &(dyn Any + Send)) {
        let words = panic
            .downcast_ref::<&str>()
            .copied()
            .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
            .unwrap_or("a panic without words");
        tracing::error!(place, panic = words, "a mistake in Tombolo");
        if let Some(told) = &self.0 {
            // Its own panic is its own.
            drop(catch_unwind(AssertUnwindSafe(|| told(&format!("{place}: {words}")))));
        }
    }
}
