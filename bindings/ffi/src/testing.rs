//! For tests of the bindings alone.

use crate::{TomboloError, runtime};

/// Panics on one of our threads.
///
/// # Errors
/// [`TomboloError::Panicked`], always.
#[uniffi::export]
pub async fn provoke_panic(words: String) -> Result<(), TomboloError> {
    runtime::run(None, async move { panic!("{words}") }).await
}

/// Panics on the caller's thread.
///
/// # Errors
/// [`TomboloError::Panicked`], always.
#[uniffi::export]
pub fn provoke_panic_at_once(words: String) -> Result<(), TomboloError> {
    runtime::at_once(|| panic!("{words}"))
}
