//! An ERROR in the log is a failure: whoever writes one says that something is broken that should never break.

use std::cell::RefCell;
use std::sync::Once;

use tracing::field::{Field, Visit};
use tracing::level_filters::LevelFilter;
use tracing::span::{Attributes, Id, Record};
use tracing::{Event, Level, Metadata, Subscriber};

thread_local! {
    /// What was logged as ERROR on this thread, a world's own.
    static SEEN: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

/// From now on ERROR logs are kept. Where another subscriber was set first (a test's), that one stays.
pub(crate) fn watch() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _ = tracing::subscriber::set_global_default(Keep);
    });
    SEEN.take();
}

/// The first ERROR since the last look.
pub(crate) fn first() -> Option<String> {
    SEEN.take().into_iter().next()
}

struct Keep;

impl Subscriber for Keep {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR && metadata.is_event()
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(LevelFilter::ERROR)
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = Text(format!("{}:", event.metadata().target()));
        event.record(&mut text);
        SEEN.with_borrow_mut(|seen| seen.push(text.0));
    }

    fn enter(&self, _: &Id) {}

    fn exit(&self, _: &Id) {}
}

struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        self.0.push_str(&format!(" {}={value:?}", field.name()));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn an_error_is_kept_and_a_warning_is_not() {
        super::watch();
        tracing::warn!("mild");
        assert_eq!(super::first(), None);
        tracing::error!(code = 7, "bad");
        assert!(super::first().is_some_and(|text| text.contains("bad") && text.contains("code=7")));
        assert_eq!(super::first(), None);
    }
}
