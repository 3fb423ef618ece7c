//! What is open on one socket, by the client's ids and in the order in which it was begun.

use std::collections::{BTreeMap, HashMap, VecDeque};

use jiff::Timestamp;
use tokio::time::Instant;
use tombolo_engine::Subscriber;

use crate::limits::START_ACK_DELAY;

/// The place of a subscription in the order of their beginnings; never used twice on one socket.
pub(super) type Serial = u64;

/// A subscription that stands.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) subscriber: Subscriber,
    /// Its `start_ack` is out: data may follow.
    pub(super) acked: bool,
    /// From then on its credential is refused.
    pub(super) expires: Option<Timestamp>,
}

/// One that was asked for.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) id: String,
    /// `None` while its credential is looked at.
    pub(super) live: Option<Live>,
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Held {
    entries: BTreeMap<Serial, Entry>,
    ids: HashMap<String, Serial>,
    last: Serial,
    /// In the order in which they are due.
    acks: VecDeque<(Instant, Serial)>,
}

impl Held {
    /// How many there are, whether they stand already or not.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Whether any stands.
    pub(super) fn any_live(&self) -> bool {
        self.entries.values().any(|entry| entry.live.is_some())
    }

    /// Notes one whose credential is being looked at.
    pub(super) fn begin(&mut self, id: String) -> Serial {
        self.last += 1;
        self.ids.insert(id.clone(), self.last);
        self.entries.insert(self.last, Entry { id, live: None });
        self.last
    }

    /// The id of one that is not over.
    pub(super) fn id(&self, serial: Serial) -> Option<&str> {
        self.entries.get(&serial).map(|entry| entry.id.as_str())
    }

    /// It stands; its `start_ack` is due in a moment.
    pub(super) fn stand(&mut self, serial: Serial, subscriber: Subscriber, expires: Option<Timestamp>) {
        if let Some(entry) = self.entries.get_mut(&serial) {
            entry.live = Some(Live {
                subscriber,
                acked: false,
                expires,
            });
            self.acks.push_back((Instant::now() + START_ACK_DELAY, serial));
        }
    }

    /// Ends the one that the client calls `id`.
    pub(super) fn end(&mut self, id: &str) {
        if let Some(serial) = self.ids.remove(id) {
            self.entries.remove(&serial);
        }
    }

    /// When the next `start_ack` is due.
    pub(super) fn ack_due(&self) -> Option<Instant> {
        self.acks.front().map(|(due, _)| *due)
    }

    /// The next one whose `start_ack` is due at `now`; from here on data may follow.
    pub(super) fn next_ack(&mut self, now: Instant) -> Option<&str> {
        while self.acks.front().is_some_and(|(due, _)| *due <= now) {
            let (_, serial) = self.acks.pop_front()?;
            // One that was ended meanwhile is passed over.
            if !self.entries.contains_key(&serial) {
                continue;
            }
            let entry = self.entries.get_mut(&serial)?;
            if let Some(live) = &mut entry.live {
                live.acked = true;
            }
            return Some(&entry.id);
        }
        None
    }

    /// One that stands.
    pub(super) fn get(&self, serial: Serial) -> Option<(&str, &Live)> {
        let entry = self.entries.get(&serial)?;
        Some((&entry.id, entry.live.as_ref()?))
    }

    /// Those that stand, in order.
    pub(super) fn live(&self) -> impl Iterator<Item = (Serial, &str, &Live)> {
        self.entries
            .iter()
            .filter_map(|(serial, entry)| Some((*serial, entry.id.as_str(), entry.live.as_ref()?)))
    }

    /// When the first credential expires.
    pub(super) fn expires(&self) -> Option<Timestamp> {
        self.live().filter_map(|(_, _, live)| live.expires).min()
    }
}
