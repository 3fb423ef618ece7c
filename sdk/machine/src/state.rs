//! The machine's memory: small, copied for each step, replaced when the step's transaction is committed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tombolo_core::id::MutationNumber;

use crate::backoff::Backoff;
use crate::effect::{LastError, LinkStatus, ScopeStatus, Status};
use crate::input::{FeedNumber, Now};
use crate::limits::ERROR_TEXT_MAX;
use crate::pace::{self, Pace};
use crate::scope::ScopeRow;
use crate::store::OutboxCounts;

/// The link, as the machine sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The app wants none.
    Offline,
    /// It failed; to be tried again at this moment of the monotonic clock.
    Waiting {
        /// When.
        until: Duration,
    },
    /// The driver is opening it.
    Opening,
    /// It is there.
    Open {
        /// Whether the feed has caught up.
        feed: Feed,
    },
    /// The credential was refused; the app was asked for another.
    Paused,
}

/// How far the feed of an open link is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Some scope is not complete up to the head yet.
    CatchingUp,
    /// All are.
    Live,
}

#[derive(Clone, Debug)]
pub(crate) struct State {
    /// `Input::Start` was handled.
    pub started: bool,
    pub link: Link,
    /// Links that failed since the last progress.
    pub failures: u32,
    pub backoff: Backoff,
    /// The current subscription.
    pub feed: FeedNumber,
    /// A subscription of that number is open.
    pub subscribed: bool,
    /// Models fetched by pages before the subscription begins.
    pub paging: BTreeSet<String>,
    pub scopes: BTreeMap<String, ScopeRow>,
    /// What the line bears.
    pub pace: Pace,
    /// Scopes that the server will not give on this link, and why: left out of the subscription.
    pub refused: BTreeMap<String, String>,
    /// Feeds that ended with an error since all scopes were last up to date.
    pub feed_failures: u32,
    /// Sent on this link and not answered, by (first) number; the value says when.
    pub in_flight: BTreeMap<MutationNumber, Duration>,
    /// Sent before, undecided, to be sent again at the given moment.
    pub due: BTreeMap<MutationNumber, Duration>,
    /// Of `due`, those whose schema the server does not know: they go last.
    pub held: BTreeSet<MutationNumber>,
    /// How often the server was too busy for a mutation: only its back-off grows by it.
    pub busy: BTreeMap<MutationNumber, u32>,
    pub counts: OutboxCounts,
    /// [`crate::StoreTx::data_version`] as of which `counts`, `scopes`, `in_flight`, `due` and `busy` agree with the store.
    pub data_version: i64,
    /// Since when the open link owes us something without having given anything.
    pub owed_since: Option<Duration>,
    /// Since when there has been something to send in a step of its own.
    pub send_since: Option<Duration>,
    /// The wake-up last asked for.
    pub wake_at: Option<Duration>,
    pub last_error: Option<LastError>,
    /// As last told.
    pub status: Status,
}

impl State {
    pub(crate) fn new(seed: u64) -> Self {
        Self {
            started: false,
            link: Link::Offline,
            failures: 0,
            backoff: Backoff::new(seed),
            feed: FeedNumber(0),
            subscribed: false,
            paging: BTreeSet::new(),
            pace: Pace::default(),
            scopes: BTreeMap::new(),
            refused: BTreeMap::new(),
            feed_failures: 0,
            in_flight: BTreeMap::new(),
            due: BTreeMap::new(),
            held: BTreeSet::new(),
            busy: BTreeMap::new(),
            counts: OutboxCounts::default(),
            data_version: 0,
            owed_since: None,
            send_since: None,
            wake_at: None,
            last_error: None,
            status: Status::default(),
        }
    }

    pub(crate) fn is_open(&self) -> bool {
        matches!(self.link, Link::Open { .. })
    }

    /// Forgets what belonged to the link. Mutations in flight become unknown: due again with the next link.
    pub(crate) fn leave(&mut self, to: Link, now: Now) {
        pace::link_ended(self, now.monotonic);
        let unknown = std::mem::take(&mut self.in_flight);
        self.due
            .extend(unknown.into_keys().map(|number| (number, now.monotonic)));
        for scope in self.scopes.values_mut() {
            scope.up_to_date = false;
        }
        self.subscribed = false;
        self.paging.clear();
        self.link = to;
        self.owed_since = (to == Link::Opening).then_some(now.monotonic);
    }

    /// The link has failed: to be tried again, later each time.
    pub(crate) fn fail(&mut self, code: &'static str, message: &str, now: Now) {
        let delay = self.backoff.next(self.failures);
        self.failures = self.failures.saturating_add(1);
        self.note_error(code, message, now);
        self.leave(
            Link::Waiting {
                until: now.monotonic + delay,
            },
            now,
        );
    }

    pub(crate) fn note_error(&mut self, code: &'static str, message: &str, now: Now) {
        self.last_error = Some(LastError {
            code,
            message: clip(message),
            at_ms: now.wall_ms,
        });
    }

    /// The scopes that the feed is asked for: all that the server did not refuse.
    pub(crate) fn asked(&self) -> impl Iterator<Item = &ScopeRow> {
        self.scopes
            .values()
            .filter(|scope| !self.refused.contains_key(&scope.model))
    }

    /// What the feed is, by its scopes.
    pub(crate) fn feed_state(&self) -> Feed {
        if self.asked().all(|scope| scope.up_to_date) {
            Feed::Live
        } else {
            Feed::CatchingUp
        }
    }

    /// Whether an open link should be bringing something.
    pub(crate) fn is_owed(&self) -> bool {
        self.is_open() && (!self.in_flight.is_empty() || self.counts.acked > 0 || self.feed_state() == Feed::CatchingUp)
    }

    pub(crate) fn to_status(&self) -> Status {
        Status {
            link: match self.link {
                Link::Offline => LinkStatus::Offline,
                Link::Waiting { .. } => LinkStatus::Waiting,
                Link::Opening => LinkStatus::Opening,
                Link::Open { feed: Feed::CatchingUp } => LinkStatus::CatchingUp,
                Link::Open { feed: Feed::Live } => LinkStatus::Live,
                Link::Paused => LinkStatus::Paused,
            },
            transport: None,
            pending: self.counts.pending(),
            in_flight: self.counts.in_flight,
            wedged: self.counts.wedged,
            rejected: self.counts.rejected,
            held: self.held.len() as u64,
            last_error: self.last_error.clone(),
            up_to_date: self.is_open() && self.feed_state() == Feed::Live,
            scopes: self
                .scopes
                .values()
                .map(|scope| ScopeStatus {
                    model: scope.model.clone(),
                    filter: scope.filter.clone(),
                    cursor: scope.cursor.clone(),
                    up_to_date: scope.up_to_date,
                    refused: self.refused.get(&scope.model).cloned(),
                })
                .collect(),
        }
    }
}

/// At most [`ERROR_TEXT_MAX`] characters.
pub(crate) fn clip(text: &str) -> String {
    text.chars().take(ERROR_TEXT_MAX).collect()
}
