//! The newest changes in a bounded ring, and who is to be woken by what.
//!
//! Fan-out is pull-based: a commit puts its changes into the ring and calls the wakers of those who are interested; each
//! subscriber then takes what it has not seen, from the ring, or from the store if the ring no longer reaches back that
//! far. A slow subscriber holds nothing but its own position.
//!
//! Interest is looked up, not asked for: an index by model, and where a filter demands equality by (model, field,
//! value), so that a commit costs what the woken cost, not what the sleeping do.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use tombolo_core::id::{FieldId, ModelId, MutationNumber, Position, ReplicaId};
use tombolo_core::query::{Filter, FilterColumn, Test};
use tombolo_core::record::{Change, Record};
use tombolo_core::value::Value;

/// Calls to be made after a commit. Must not block; may be called from any thread, also when there is nothing new.
pub type Waker = Arc<dyn Fn() + Send + Sync>;

/// A subscriber's name in the hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SubscriberId(u64);

/// What wakes a subscriber.
#[derive(Clone, Debug, PartialEq)]
pub struct Interest {
    /// A change of this model …
    pub model: ModelId,
    /// … whose record has, before or after, this value in this field; any record without.
    pub equality: Option<(FieldId, Value)>,
}

impl Interest {
    /// The narrowest interest that misses nothing of `filter`.
    #[must_use]
    pub fn of(model: ModelId, filter: Option<&Filter>) -> Self {
        Self {
            model,
            equality: filter.and_then(equality),
        }
    }
}

/// An equality that every record which matches `filter` fulfils.
fn equality(filter: &Filter) -> Option<(FieldId, Value)> {
    match filter {
        Filter::Test {
            column: FilterColumn::Field(field),
            test: Test::Eq(value),
        } if indexable(value) => Some((*field, value.clone())),
        Filter::All(all) => all.iter().find_map(equality),
        Filter::Any(any) if any.len() == 1 => any.first().and_then(equality),
        Filter::Any(_) | Filter::Not(_) | Filter::Test { .. } => None,
    }
}

/// Values whose text is equal exactly when they are. Not floats (`0.0` equals `-0.0`).
fn indexable(value: &Value) -> bool {
    matches!(value, Value::Bool(_) | Value::Int(_) | Value::Text(_))
}

/// The replica's mutation that made a change.
pub(crate) type By = (ReplicaId, MutationNumber);

/// A change in the ring, with its row's encoding made once for all who read every field.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) change: Arc<Change>,
    pub(crate) by: Option<By>,
    pub(crate) row: OnceLock<Vec<u8>>,
    bytes: usize,
}

/// What the ring has after a position.
pub(crate) enum Recent {
    /// In order.
    Entries {
        /// What there is.
        entries: Vec<Arc<Entry>>,
        /// Up to here `entries` is everything.
        through: Position,
        /// There is more.
        more: bool,
    },
    /// The ring does not reach back that far, or for a subscription to a model's mutations: something that it may be
    /// interested in has left the ring.
    TooOld,
}

/// See the module.
pub struct Hub {
    state: Mutex<State>,
    changes_max: usize,
    bytes_max: usize,
}

#[derive(Default)]
struct State {
    /// Contiguous positions: `start + 1 ..= head`.
    ring: VecDeque<Arc<Entry>>,
    bytes: usize,
    start: Position,
    head: Position,
    /// What the store held before the first commit that was published here.
    origin: Position,
    /// Changes and bytes put into the ring since all were woken.
    unseen: (usize, usize),
    next_id: u64,
    subscribers: BTreeMap<SubscriberId, Slot>,
    by_model: BTreeMap<ModelId, BTreeSet<SubscriberId>>,
    by_value: BTreeMap<(ModelId, FieldId), BTreeMap<String, BTreeSet<SubscriberId>>>,
    by_replica: BTreeMap<ReplicaId, BTreeSet<SubscriberId>>,
    /// The newest change of each model that has left the ring.
    left: BTreeMap<ModelId, Position>,
    /// Up to here there may have been changes that never came here.
    unknown: Position,
}

struct Slot {
    waker: Option<Waker>,
    interests: Vec<Interest>,
    /// The newest change that one of its equalities was interested in and that has left the ring.
    left: Position,
    replica: Option<ReplicaId>,
    /// Models of which this replica's own mutations have moved the feed: a batch is due for each.
    due: BTreeSet<ModelId>,
}

impl Hub {
    pub(crate) fn new(changes_max: usize, bytes_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            changes_max,
            bytes_max,
        }
    }

    /// Nothing that runs under the lock can panic halfway through a change of the state, so a poisoned one is whole.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The newest position that was published here.
    #[must_use]
    pub fn head(&self) -> Position {
        self.state().head
    }

    /// How many subscribers there are.
    #[must_use]
    pub fn subscribers(&self) -> usize {
        self.state().subscribers.len()
    }

    /// How many changes the ring holds, and about how many bytes.
    #[must_use]
    pub fn held(&self) -> (usize, usize) {
        let state = self.state();
        (state.ring.len(), state.bytes)
    }

    pub(crate) fn register(&self, interests: Vec<Interest>, replica: Option<ReplicaId>) -> SubscriberId {
        let mut guard = self.state();
        let state = &mut *guard;
        state.next_id += 1;
        let id = SubscriberId(state.next_id);
        for interest in &interests {
            match &interest.equality {
                None => state.by_model.entry(interest.model).or_default().insert(id),
                Some((field, value)) => {
                    let values = state.by_value.entry((interest.model, *field)).or_default();
                    values.entry(index_text(value)).or_default().insert(id)
                }
            };
        }
        if let Some(replica) = &replica {
            state.by_replica.entry(replica.clone()).or_default().insert(id);
        }
        state.subscribers.insert(
            id,
            Slot {
                waker: None,
                interests,
                left: Position(0),
                replica,
                due: BTreeSet::new(),
            },
        );
        id
    }

    pub(crate) fn set_waker(&self, id: SubscriberId, waker: Waker) {
        if let Some(slot) = self.state().subscribers.get_mut(&id) {
            slot.waker = Some(waker);
        }
    }

    pub(crate) fn unregister(&self, id: SubscriberId) {
        let mut guard = self.state();
        let state = &mut *guard;
        let Some(slot) = state.subscribers.remove(&id) else {
            return;
        };
        for interest in &slot.interests {
            match &interest.equality {
                None => remove(&mut state.by_model, &interest.model, id),
                Some((field, value)) => {
                    let place = (interest.model, *field);
                    if let Some(values) = state.by_value.get_mut(&place) {
                        remove(values, &index_text(value), id);
                        if values.is_empty() {
                            state.by_value.remove(&place);
                        }
                    }
                }
            }
        }
        if let Some(replica) = &slot.replica {
            remove(&mut state.by_replica, replica, id);
        }
    }

    /// The models of which a batch is due to `id` because of its replica's own mutations; taken.
    pub(crate) fn take_due(&self, id: SubscriberId) -> BTreeSet<ModelId> {
        self.state()
            .subscribers
            .get_mut(&id)
            .map(|slot| std::mem::take(&mut slot.due))
            .unwrap_or_default()
    }

    /// Puts a commit's changes, in order of position, into the ring, and wakes. `own` are the replicas whose mutations
    /// are among them, with the models they changed.
    pub(crate) fn publish(
        &self,
        changes: Vec<(Arc<Change>, Option<By>)>,
        own: &BTreeMap<ReplicaId, BTreeSet<ModelId>>,
    ) {
        let mut woken = BTreeSet::new();
        let mut guard = self.state();
        let state = &mut *guard;
        for (change, by) in changes {
            state.interested(&change, &mut woken);
            state.append(change, by);
        }
        // The cursor of who is interested in little would stay where it is.
        if state.unseen.0 > self.changes_max / 2 || state.unseen.1 > self.bytes_max / 2 {
            state.unseen = (0, 0);
            woken.extend(state.subscribers.keys());
        }
        while state.ring.len() > self.changes_max || (state.bytes > self.bytes_max && !state.ring.is_empty()) {
            state.drop_oldest();
        }
        for (replica, models) in own {
            for id in state.by_replica.get(replica).into_iter().flatten() {
                if let Some(slot) = state.subscribers.get_mut(id) {
                    slot.due.extend(models);
                    woken.insert(*id);
                }
            }
        }
        let wakers: Vec<Waker> = woken
            .iter()
            .filter_map(|id| state.subscribers.get(id).and_then(|slot| slot.waker.clone()))
            .collect();
        drop(guard);
        for waker in wakers {
            waker();
        }
    }

    /// Wakes every subscriber: something has changed that is no change of a record.
    pub(crate) fn wake_all(&self) {
        let state = self.state();
        let wakers: Vec<Waker> = state
            .subscribers
            .values()
            .filter_map(|slot| slot.waker.clone())
            .collect();
        drop(state);
        for waker in wakers {
            waker();
        }
    }

    /// Whether every change after `position` is here.
    pub(crate) fn reaches_back(&self, position: Position) -> bool {
        let state = self.state();
        state.head > Position(0) && position >= state.start
    }

    /// The first `max` changes of `model` after `position`.
    pub(crate) fn after(&self, position: Position, model: ModelId, max: usize) -> Recent {
        self.state().after(position, Some(model), max)
    }

    /// The first `max` changes after `position`, of every model without one, for subscribers that began at [`Hub::head`] (before
    /// the first commit that is 0, whatever the store holds), each with where it began. What has left the ring counts only
    /// if one of them may be interested in it: a flood of one model's changes ends nobody who waits for another's.
    pub(crate) fn events_after(
        &self,
        position: Position,
        model: Option<ModelId>,
        max: usize,
        mut subscribers: impl Iterator<Item = (SubscriberId, Position)>,
    ) -> Recent {
        let state = self.state();
        let position = position.max(state.origin);
        match subscribers.any(|(id, began)| state.left_of(id) > position.max(began)) {
            true => Recent::TooOld,
            false => state.after(position.max(state.start), model, max),
        }
    }
}

impl State {
    fn after(&self, position: Position, model: Option<ModelId>, max: usize) -> Recent {
        if position < self.start {
            return Recent::TooOld;
        }
        let skip = usize::try_from(position.0 - self.start.0).unwrap_or(usize::MAX);
        let of_model = self
            .ring
            .iter()
            .skip(skip)
            .filter(|entry| model.is_none_or(|model| entry.change.model == model));
        let mut entries: Vec<Arc<Entry>> = of_model.take(max + 1).cloned().collect();
        // A reader of the store may be ahead of the hub by a commit that is not published yet.
        let mut through = position.max(self.head);
        let more = entries.len() > max;
        if more {
            entries.truncate(max);
            through = entries.last().map_or(position, |entry| entry.change.position);
        }
        Recent::Entries { entries, through, more }
    }

    /// The newest change that the subscriber may be interested in and that it can no longer have from here.
    fn left_of(&self, id: SubscriberId) -> Position {
        let Some(slot) = self.subscribers.get(&id) else {
            return self.head;
        };
        let whole_models = slot.interests.iter().filter(|interest| interest.equality.is_none());
        let of_models = whole_models.filter_map(|interest| self.left.get(&interest.model)).max();
        of_models.copied().unwrap_or_default().max(slot.left).max(self.unknown)
    }

    fn drop_oldest(&mut self) {
        let Some(entry) = self.ring.pop_front() else { return };
        let position = entry.change.position;
        self.bytes -= entry.bytes;
        self.start = position;
        self.left.insert(entry.change.model, position);
        let mut equal = BTreeSet::new();
        self.equal(&entry.change, &mut equal);
        for id in equal {
            if let Some(slot) = self.subscribers.get_mut(&id) {
                slot.left = position;
            }
        }
    }

    fn append(&mut self, change: Arc<Change>, by: Option<By>) {
        if change.position <= self.head {
            // Published late by a commit that was overtaken: the store has it, and so had the feed.
            return;
        }
        if self.head == Position(0) {
            self.origin = Position(change.position.0 - 1);
        }
        if change.position.0 != self.head.0 + 1 {
            // A commit was not published (its caller went away): what the ring holds is no longer without gaps.
            self.ring.clear();
            self.bytes = 0;
            self.start = Position(change.position.0 - 1);
            // Before the first commit nobody who is here now had begun.
            if self.head > Position(0) {
                self.unknown = self.start;
            }
        }
        let bytes = change.before.as_deref().map_or(0, size) + size(&change.after);
        self.head = change.position;
        self.bytes += bytes;
        self.unseen = (self.unseen.0 + 1, self.unseen.1 + bytes);
        self.ring.push_back(Arc::new(Entry {
            change,
            by,
            row: OnceLock::new(),
            bytes,
        }));
    }

    fn interested(&self, change: &Change, woken: &mut BTreeSet<SubscriberId>) {
        woken.extend(self.by_model.get(&change.model).into_iter().flatten());
        self.equal(change, woken);
    }

    /// Those whose equality demands a value that the record has or had.
    fn equal(&self, change: &Change, into: &mut BTreeSet<SubscriberId>) {
        let fields = (change.model, FieldId(0))..=(change.model, FieldId(usize::MAX));
        for ((_, field), values) in self.by_value.range(fields) {
            for record in change.before.as_deref().into_iter().chain([&*change.after]) {
                let value = record.value(*field);
                if indexable(value) {
                    into.extend(values.get(&index_text(value)).into_iter().flatten());
                }
            }
        }
    }
}

fn remove<K: Ord>(index: &mut BTreeMap<K, BTreeSet<SubscriberId>>, key: &K, id: SubscriberId) {
    if let Some(ids) = index.get_mut(key) {
        ids.remove(&id);
        if ids.is_empty() {
            index.remove(key);
        }
    }
}

/// Text and JSON escapes aside, a prefix for each class keeps `"1"` and `1` apart.
fn index_text(value: &Value) -> String {
    match value {
        Value::Text(text) => format!("t{text}"),
        other => other.to_json().to_string(),
    }
}

/// A record's size in memory, twice its text: its row may be encoded beside it.
fn size(record: &Record) -> usize {
    let value = |value: &Value| match value {
        Value::Text(text) | Value::Json(text) => 2 * text.len() + 32,
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) => 40,
    };
    record.values.iter().map(value).sum::<usize>() + 128
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        f.debug_struct("Hub")
            .field("head", &state.head)
            .field("changes", &state.ring.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tombolo_core::id::Version;
    use tombolo_core::record::Meta;

    use super::*;

    fn change(position: i64) -> Arc<Change> {
        let after = Record {
            values: vec![Value::Text("a".into())],
            meta: Meta {
                version: Version(1),
                deleted: false,
                last_changed_at: position,
            },
        };
        Arc::new(Change {
            model: ModelId(0),
            position: Position(position),
            before: None,
            after: Arc::new(after),
        })
    }

    #[test]
    fn after_a_commit_that_was_not_published_nobody_is_told_that_there_was_nothing() {
        let hub = Hub::new(10, 1_000_000);
        let waiting = hub.register(vec![Interest::of(ModelId(0), None)], None);
        hub.publish(vec![(change(5), None)], &BTreeMap::new());
        let ask = |began: i64| {
            let one = std::iter::once((waiting, Position(began)));
            hub.events_after(Position(began), None, 10, one)
        };
        assert!(matches!(ask(4), Recent::Entries { entries, .. } if entries.len() == 1));
        // Position 6 never came here.
        hub.publish(vec![(change(7), None)], &BTreeMap::new());
        assert!(matches!(ask(5), Recent::TooOld));
        assert!(matches!(ask(6), Recent::Entries { entries, .. } if entries.len() == 1));
    }
}
