//! Which inputs met the machine in which state of its link: the machine's state × event table, counted.

use std::collections::BTreeMap;
use std::fmt;

use tombolo_machine::{AnswerBody, CloseReason, Feed, Input, Link};

/// The machine's states, in the order of a link's life.
pub const STATES: [&str; 7] = ["new", "offline", "waiting", "opening", "catching", "live", "paused"];

/// The machine's inputs.
pub const EVENTS: [&str; 23] = [
    "start",
    "online",
    "offline",
    "link opened",
    "closed: lost",
    "closed: unauthorized",
    "closed: protocol",
    "closed: ended",
    "batch",
    "feed refused",
    "answer: outcomes",
    "answer: undecided",
    "enqueue",
    "retry",
    "edit and retry",
    "discard",
    "set scope",
    "remove scope",
    "token changed",
    "transport changed",
    "bytes received",
    "wake",
    "refresh",
];

/// How often each pair was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage(BTreeMap<(&'static str, &'static str), u64>);

impl Coverage {
    /// Notes that `input` comes to a machine in this state; `None` before its start.
    pub(crate) fn note(&mut self, link: Option<Link>, input: &Input) {
        *self.0.entry((state(link), event(input))).or_default() += 1;
    }

    /// Adds what another world saw.
    pub fn add(&mut self, other: &Self) {
        for (pair, count) in &other.0 {
            *self.0.entry(*pair).or_default() += count;
        }
    }

    /// Pairs that were never seen, of those that may be.
    #[must_use]
    pub fn never(&self) -> Vec<(&'static str, &'static str)> {
        let pairs = STATES.into_iter().flat_map(|s| EVENTS.into_iter().map(move |e| (s, e)));
        pairs
            .filter(|(s, e)| may_meet(s, e) && !self.0.contains_key(&(*s, *e)))
            .collect()
    }

    /// How often a pair was seen.
    #[must_use]
    pub fn count(&self, state: &'static str, event: &'static str) -> u64 {
        self.0.get(&(state, event)).copied().unwrap_or_default()
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<22}", "")?;
        for state in STATES {
            write!(f, "{state:>11}")?;
        }
        for event in EVENTS {
            write!(f, "\n  {event:<22}")?;
            for state in STATES {
                match self.0.get(&(state, event)) {
                    Some(count) => write!(f, "{count:>11}")?,
                    None if may_meet(state, event) => write!(f, "{:>11}", "never")?,
                    None => write!(f, "{:>11}", "")?,
                }
            }
        }
        let never = self.never();
        if never.is_empty() {
            write!(f, "\n  every pair was reached")
        } else {
            let names: Vec<String> = never.iter().map(|(s, e)| format!("{s} × {e}")).collect();
            write!(f, "\n  never reached: {}", names.join(", "))
        }
    }
}

/// A machine that is not started takes nothing but `start`, and a started one is never started again; bytes come over an open
/// link alone.
fn may_meet(state: &str, event: &str) -> bool {
    let open = matches!(state, "catching" | "live");
    (state == "new") == (event == "start") && (open || event != "bytes received")
}

fn state(link: Option<Link>) -> &'static str {
    match link {
        None => "new",
        Some(Link::Offline) => "offline",
        Some(Link::Waiting { .. }) => "waiting",
        Some(Link::Opening) => "opening",
        Some(Link::Open { feed: Feed::CatchingUp }) => "catching",
        Some(Link::Open { feed: Feed::Live }) => "live",
        Some(Link::Paused) => "paused",
    }
}

fn event(input: &Input) -> &'static str {
    match input {
        Input::Start => "start",
        Input::SetOnline(true) => "online",
        Input::SetOnline(false) => "offline",
        Input::LinkOpened => "link opened",
        Input::LinkClosed(CloseReason::Lost(_)) => "closed: lost",
        Input::LinkClosed(CloseReason::Unauthorized(_)) => "closed: unauthorized",
        Input::LinkClosed(CloseReason::Protocol(_)) => "closed: protocol",
        Input::LinkClosed(CloseReason::Ended) => "closed: ended",
        Input::Batch { .. } => "batch",
        Input::FeedRefused { .. } => "feed refused",
        Input::Answers(answers) => match answers.first() {
            Some((_, AnswerBody::Outcomes(_))) => "answer: outcomes",
            Some((_, AnswerBody::Undecided(_))) | None => "answer: undecided",
        },
        Input::Enqueue(_) => "enqueue",
        Input::Retry(_) => "retry",
        Input::Edit { .. } => "edit and retry",
        Input::Discard(_) => "discard",
        Input::SetScope(_) => "set scope",
        Input::RemoveScope(_) => "remove scope",
        Input::Received => "bytes received",
        Input::Refresh => "refresh",
        Input::TokenChanged => "token changed",
        Input::TransportChanged => "transport changed",
        Input::Wake => "wake",
    }
}
