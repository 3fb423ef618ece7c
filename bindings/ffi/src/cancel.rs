//! Giving up on a call from outside.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

/// Ends the calls that it was given to: they return [`crate::TomboloError::Cancelled`] at once. It may be given to several
/// calls, and to calls that begin after it was cancelled; those end at once.
///
/// What a cancelled call has already done stays done: a mutation that was queued is queued.
#[derive(Debug, Default, uniffi::Object)]
pub struct CancelHandle {
    token: CancellationToken,
}

#[uniffi::export]
impl CancelHandle {
    /// One that is not cancelled.
    #[uniffi::constructor]
    #[must_use]
    pub fn new() -> Arc<Self> {
        Arc::default()
    }

    /// Cancels. Twice is no error.
    pub fn cancel(&self) {
        self.token.cancel();
    }

    /// Whether it was cancelled.
    #[must_use]
    pub fn is_cancelled(&self) -> bool {
        self.token.is_cancelled()
    }
}

/// Comes to its end when the handle is cancelled; never without one.
pub(crate) async fn cancelled(handle: Option<Arc<CancelHandle>>) {
    match handle {
        Some(handle) => handle.token.cancelled().await,
        None => std::future::pending().await,
    }
}
