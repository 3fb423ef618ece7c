//! What the writer tells the rest of the client after each commit: status, events, live queries.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{broadcast, oneshot, watch};
use tombolo_core::id::MutationNumber;
use tombolo_machine::{ChangeSet, ChangedKeys, FinalOutcome, Status};
use tombolo_store::Salvage;
use tombolo_store::datastore::ImportReport;

use crate::{Error, limits};

/// Something that an app may want to act on, told once. See [`crate::Client::events`].
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A mutation has reached its final state.
    Decided {
        /// Which one.
        number: MutationNumber,
        /// How it ended.
        outcome: FinalOutcome,
    },
    /// A mutation cannot be decided as it stands and waits for the app: retry or discard it.
    Wedged {
        /// Which one.
        number: MutationNumber,
        /// The last answer's words.
        reason: String,
    },
    /// The server refused the credential, and the link rests until [`crate::Client::set_token`] or
    /// [`crate::Client::set_api_key`] gives another. Told once
    /// for each credential that is refused; everything local goes on.
    NeedToken,
    /// Another process has signed the account out of this file; this client has ended.
    SignedOut,
    /// The file was copied or restored from a backup, and another replica has used its numbers: it goes on under a fresh
    /// identity. Nothing is lost and nothing to be done; [`Event::Renumbered`] says which mutations have other numbers now.
    ReplicaRenewed {
        /// The fresh identity.
        replica: String,
    },
    /// Mutations go on under new numbers: number `n` from `low` to `high` became `n + by`. Calls that take a number still
    /// know the old ones for [`crate::Client::outcome`] and [`crate::Client::mutation`].
    Renumbered {
        /// The lowest.
        low: MutationNumber,
        /// The highest.
        high: MutationNumber,
        /// The distance.
        by: u64,
    },
    /// The link was open and owed something, and nothing came for 30 s; it is being opened anew.
    Stalled,
    /// The file was damaged. The damaged one is kept aside, the queue of mutations was taken out of it, and the rest is being
    /// fetched anew. Told once for each time: to whoever first asks for [`crate::Client::events`]. What it says
    /// [`crate::Client::salvage`] goes on saying.
    Salvaged {
        /// Where the damaged file is kept.
        damaged: String,
        /// What was wrong, in the database's words.
        problem: String,
        /// The replica is the same one as before; otherwise it has a fresh identity.
        same_replica: bool,
        /// Mutations saved, in any state.
        mutations: u64,
        /// Of those, sent and not answered by the old replica, of which it is not known whether they took effect: they wait
        /// for the app, rejected. 0 for the same replica, which sends them again.
        uncertain: u64,
        /// Mutations that could be seen but not read.
        lost: u64,
        /// The queue could be walked from end to end: nothing else was in it.
        whole: bool,
    },
    /// A file of Amplify DataStore was taken over, or could not be: told to whoever first asks for
    /// [`crate::Client::events`]. Told again when everything that was taken is settled. The report is that of
    /// [`crate::Client::datastore_import`].
    Imported(Box<ImportReport>),
}

impl Event {
    pub(crate) fn salvaged(salvage: &Salvage) -> Self {
        Self::Salvaged {
            damaged: salvage.damaged.to_string_lossy().into_owned(),
            problem: salvage.problem.clone(),
            same_replica: salvage.same_replica,
            mutations: salvage.mutations,
            uncertain: salvage.uncertain,
            lost: salvage.lost,
            whole: salvage.whole,
        }
    }
}

/// Running totals since the client was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Totals {
    pub pushed: u64,
    pub rejected: u64,
    pub pulled: u64,
}

pub(crate) struct Hub {
    pub status: watch::Sender<Status>,
    events: broadcast::Sender<Event>,
    /// An event from before anybody could ask for events.
    held: Mutex<Vec<Event>>,
    import: Mutex<Option<ImportReport>>,
    pushed: AtomicU64,
    rejected: AtomicU64,
    pulled: AtomicU64,
    standing: AtomicU8,
    watches: Mutex<Watches>,
    waiting: Mutex<Waiting>,
}

/// Who waits for the final state of which mutation.
#[derive(Default)]
struct Waiting {
    closed: bool,
    calls: HashMap<MutationNumber, Vec<oneshot::Sender<()>>>,
}

/// Whether calls are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    Open = 0,
    Suspended = 1,
    SignedOut = 2,
    Closed = 3,
}

impl Standing {
    /// Whether no call is ever taken again.
    pub(crate) fn is_over(self) -> bool {
        matches!(self, Self::SignedOut | Self::Closed)
    }

    /// What a call is told that is not taken.
    pub(crate) fn refusal(self) -> Error {
        match self {
            Self::Suspended => Error::Suspended,
            Self::SignedOut => Error::SignedOut,
            Self::Open | Self::Closed => Error::Closed,
        }
    }
}

#[derive(Default)]
struct Watches {
    next: u64,
    closed: bool,
    entries: HashMap<u64, Entry>,
}

/// One that looks again when the models it reads have changed.
struct Entry {
    reads: BTreeSet<String>,
    count: watch::Sender<u64>,
    /// For who is to know which records: those not yet asked for.
    keys: Option<PendingKeys>,
}

/// The records of one model that have changed since somebody last took them; `None` for none.
pub(crate) type PendingKeys = Arc<Mutex<Option<ChangedKeys>>>;

impl Entry {
    /// Notes which records have changed, where somebody is to know; `model` is the one it observes.
    fn note(&self, model: &str, keys: &ChangedKeys) {
        let Some(pending) = &self.keys else { return };
        let mut pending = pending.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = ChangeSet::default();
        for keys in pending.take().into_iter().chain([keys.clone()]) {
            all.merge(ChangeSet {
                models: BTreeMap::from([(model.to_owned(), keys)]),
            });
        }
        *pending = all.models.into_values().next();
    }
}

impl Hub {
    pub(crate) fn new() -> Self {
        Self {
            status: watch::Sender::new(Status::default()),
            events: broadcast::Sender::new(limits::WAITING_EVENTS_MAX),
            held: Mutex::default(),
            import: Mutex::default(),
            pushed: AtomicU64::new(0),
            rejected: AtomicU64::new(0),
            pulled: AtomicU64::new(0),
            standing: AtomicU8::new(Standing::Open as u8),
            watches: Mutex::default(),
            waiting: Mutex::default(),
        }
    }

    pub(crate) fn standing(&self) -> Standing {
        match self.standing.load(Ordering::SeqCst) {
            0 => Standing::Open,
            1 => Standing::Suspended,
            2 => Standing::SignedOut,
            _ => Standing::Closed,
        }
    }

    pub(crate) fn set_standing(&self, standing: Standing) {
        self.standing.store(standing as u8, Ordering::SeqCst);
    }

    fn watches(&self) -> MutexGuard<'_, Watches> {
        // Nothing in here can be left half done by a panic.
        self.watches.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers a live query by the models it reads. The number grows when one of them may have changed; the sender goes
    /// when the client is closed.
    pub(crate) fn add_watch(&self, reads: BTreeSet<String>) -> (u64, watch::Receiver<u64>) {
        self.add(reads, None)
    }

    /// Registers one that is to know which records of a model have changed; they are gathered in what it gets, which names so
    /// many at most as a change set does.
    pub(crate) fn add_observer(&self, model: &str) -> (u64, watch::Receiver<u64>, PendingKeys) {
        let keys = PendingKeys::default();
        let (id, count) = self.add(BTreeSet::from([model.to_owned()]), Some(Arc::clone(&keys)));
        (id, count, keys)
    }

    fn add(&self, reads: BTreeSet<String>, keys: Option<PendingKeys>) -> (u64, watch::Receiver<u64>) {
        let mut watches = self.watches();
        watches.next += 1;
        let id = watches.next;
        let (sender, receiver) = watch::channel(0);
        if !watches.closed {
            let count = sender;
            watches.entries.insert(id, Entry { reads, count, keys });
        }
        (id, receiver)
    }

    pub(crate) fn remove_watch(&self, id: u64) {
        self.watches().entries.remove(&id);
    }

    pub(crate) fn changed(&self, changes: &ChangeSet) {
        for entry in self.watches().entries.values() {
            let mut changed = changes.models.iter().filter(|(model, _)| entry.reads.contains(*model));
            if let Some((model, keys)) = changed.next() {
                entry.note(model, keys);
                entry.count.send_modify(|count| *count += 1);
            }
        }
    }

    /// Every live query looks again.
    pub(crate) fn all_changed(&self) {
        for entry in self.watches().entries.values() {
            entry.note("", &ChangedKeys::All);
            entry.count.send_modify(|count| *count += 1);
        }
        self.wake_all();
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes when something final is to be known of this mutation, which must be looked up after this call: it may have
    /// ended before. An error when the client is closed.
    pub(crate) fn wait_for(&self, number: MutationNumber) -> oneshot::Receiver<()> {
        let (sender, receiver) = oneshot::channel();
        let mut waiting = self.waiting();
        if !waiting.closed {
            let calls = waiting.calls.entry(number).or_default();
            calls.retain(|call| !call.is_closed());
            calls.push(sender);
        }
        receiver
    }

    fn wake(&self, number: MutationNumber) {
        for call in self.waiting().calls.remove(&number).unwrap_or_default() {
            // Who has gone away needs no answer.
            let _ = call.send(());
        }
    }

    /// Any mutation may have ended (another process drains the queue): all who wait look again.
    pub(crate) fn wake_all(&self) {
        let calls = std::mem::take(&mut self.waiting().calls);
        for call in calls.into_values().flatten() {
            let _ = call.send(());
        }
    }

    pub(crate) fn events(&self) -> broadcast::Receiver<Event> {
        let receiver = self.events.subscribe();
        let held = std::mem::take(&mut *self.held.lock().unwrap_or_else(PoisonError::into_inner));
        for event in held {
            self.event(event);
        }
        receiver
    }

    /// Keeps an event until somebody asks for events.
    pub(crate) fn hold(&self, event: Event) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).push(event);
    }

    /// What was taken over of a DataStore file.
    pub(crate) fn import(&self) -> Option<ImportReport> {
        self.import.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_import(&self, report: ImportReport) {
        *self.import.lock().unwrap_or_else(PoisonError::into_inner) = Some(report);
    }

    pub(crate) fn event(&self, event: Event) {
        match &event {
            Event::Decided { number, .. } => self.wake(*number),
            Event::Renumbered { .. } => self.wake_all(),
            Event::Wedged { .. }
            | Event::ReplicaRenewed { .. }
            | Event::NeedToken
            | Event::SignedOut
            | Event::Stalled
            | Event::Imported(_)
            | Event::Salvaged { .. } => {}
        }
        if let Event::Decided { outcome, .. } = &event {
            match outcome {
                FinalOutcome::Applied | FinalOutcome::Merged => self.pushed.fetch_add(1, Ordering::Relaxed),
                FinalOutcome::Rejected(_) => self.rejected.fetch_add(1, Ordering::Relaxed),
                FinalOutcome::Discarded => 0,
            };
        }
        // Without a subscriber nobody wants to know.
        drop(self.events.send(event));
    }

    pub(crate) fn pulled(&self, records: u64) {
        self.pulled.fetch_add(records, Ordering::Relaxed);
    }

    pub(crate) fn totals(&self) -> Totals {
        Totals {
            pushed: self.pushed.load(Ordering::Relaxed),
            rejected: self.rejected.load(Ordering::Relaxed),
            pulled: self.pulled.load(Ordering::Relaxed),
        }
    }

    /// Ends every live query.
    pub(crate) fn close(&self) {
        let mut watches = self.watches();
        watches.closed = true;
        watches.entries.clear();
        drop(watches);
        let mut waiting = self.waiting();
        waiting.closed = true;
        waiting.calls.clear();
    }
}
