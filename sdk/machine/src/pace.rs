//! How much is asked for at once, by what the line bears; and when a feed that stays open is asked for anew.
//!
//! A line that cannot bring a page before it counts as stalled would never bring one: each attempt would begin with the
//! same page. So a stall halves the next pages, and pages that come quickly double them again.

use std::time::Duration;

use crate::context::Context;
use crate::limits::{PAGE_QUICK, PAGE_ROWS, PAGE_ROWS_MIN, PAGE_SLOW, RESUBSCRIBE_AFTER};
use crate::state::{Feed, State};

/// What the machine remembers of the line, for as long as it runs.
#[derive(Clone, Debug)]
pub(crate) struct Pace {
    /// Rows of the next page.
    pub rows: u64,
    /// When the page under way was asked for.
    asked: Option<Duration>,
    /// When the open subscription began.
    subscribed: Option<Duration>,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            rows: PAGE_ROWS,
            asked: None,
            subscribed: None,
        }
    }
}

impl Pace {
    /// Whether the line has been too slow for whole pages.
    pub(crate) fn is_slow(&self) -> bool {
        self.rows < PAGE_ROWS
    }

    pub(crate) fn page_asked(&mut self, now: Duration) {
        self.asked = Some(now);
    }

    pub(crate) fn subscribed(&mut self, now: Duration) {
        self.subscribed = Some(now);
    }
}

/// A page of `model` has come.
pub(crate) fn page_came(cx: &mut Context<'_>, model: &str) {
    if !cx.state.paging.contains(model) {
        return;
    }
    let pace = &mut cx.state.pace;
    if let Some(asked) = pace.asked.take()
        && cx.now.monotonic.saturating_sub(asked) <= PAGE_QUICK
    {
        pace.rows = (pace.rows * 2).min(PAGE_ROWS);
    }
}

/// The link is gone. If a page had been on its way for long, or a subscription had not caught up, less is asked for next.
pub(crate) fn link_ended(state: &mut State, now: Duration) {
    let since = state.pace.asked.take().or_else(|| {
        let waits = state.subscribed && state.feed_state() == Feed::CatchingUp;
        state.owed_since.filter(|_| waits)
    });
    if since.is_some_and(|since| now.saturating_sub(since) >= PAGE_SLOW) {
        state.pace.rows = (state.pace.rows / 2).max(PAGE_ROWS_MIN);
    }
    state.pace.subscribed = None;
}

/// When the subscription is due to be renewed: only with its cursors does a server know what this replica holds, and what
/// it need not keep for it any longer.
pub(crate) fn renewal(state: &State) -> Option<Duration> {
    let live = state.subscribed && state.feed_state() == Feed::Live;
    state
        .pace
        .subscribed
        .filter(|_| live)
        .map(|since| since + RESUBSCRIBE_AFTER)
}
