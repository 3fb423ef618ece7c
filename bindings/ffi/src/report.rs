//! What went wrong inside and is nobody's answer: panics, and callbacks that throw.

use std::any::Any;
use std::sync::{Arc, Mutex, PoisonError};

use crate::TomboloError;
use crate::credential::CallbackError;

/// Something that the app's developers should hear of, for their crash reporter or log. It holds no record's values and
/// no credential.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Report {
    /// A stable word: `panic`, or `callback`.
    pub kind: String,
    /// Words for developers.
    pub detail: String,
}

/// Is told of what went wrong inside. Called on the thread where it happened, so it should only note and return; one that
/// throws is not called about that.
#[uniffi::export(with_foreign)]
pub trait Reporter: Send + Sync {
    /// Takes note of a report.
    ///
    /// # Errors
    /// Whatever it throws is passed over.
    fn report(&self, report: Report) -> Result<(), CallbackError>;
}

static REPORTER: Mutex<Option<Arc<dyn Reporter>>> = Mutex::new(None);

/// Sets who is told, for the whole process, instead of whoever was; `None`: nobody.
#[uniffi::export]
pub fn set_reporter(reporter: Option<Arc<dyn Reporter>>) {
    let before = std::mem::replace(&mut *REPORTER.lock().unwrap_or_else(PoisonError::into_inner), reporter);
    // Outside the lock: letting go of it may call into the other language.
    drop(before);
}

pub(crate) fn report(kind: &str, detail: String) {
    tracing::error!(kind, detail, "reported");
    let reporter = REPORTER.lock().unwrap_or_else(PoisonError::into_inner).clone();
    if let Some(reporter) = reporter {
        let report = Report {
            kind: kind.to_owned(),
            detail,
        };
        // Its own trouble is its own.
        drop(reporter.report(report));
    }
}

pub(crate) fn panicked(panic: &(dyn Any + Send)) -> TomboloError {
    let detail = panic
        .downcast_ref::<&str>()
        .map(|words| (*words).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without words".to_owned());
    report("panic", detail.clone());
    TomboloError::Panicked { detail }
}
