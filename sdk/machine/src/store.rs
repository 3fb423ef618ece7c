//! What the machine needs of the replica's store: one open transaction.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use tombolo_core::id::{ModelId, MutationNumber, Position, ReplicaId};
use tombolo_core::record::{Key, Record};
use tombolo_core::wire::batch::ChangeBatch;

use crate::effect::Renumbered;
use crate::ended::Ended;
use crate::outbox::OutboxEntry;
use crate::scope::ScopeRow;

/// What the store could not do. The transaction is then to be dropped; nothing of it remains.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The disk is full: nothing was lost, the call may be repeated when there is room.
    #[error("the disk is full; nothing was changed, free some space and try again")]
    Full,
    /// The file cannot be written.
    #[error("the database file is read-only; give the app the right to write it")]
    ReadOnly,
    /// The file is damaged.
    #[error("the database file is damaged ({0}); close the app, keep a copy, and start with a new file")]
    Corrupt(String),
    /// Something else holds the file.
    #[error("the database file is busy ({0}); try again")]
    Busy(String),
    /// A feed page that is not what its own header says.
    #[error("a page of the change feed cannot be read: {0}")]
    BadBatch(String),
    /// A scope's filter that the schema refuses.
    #[error("the scope's filter cannot be used: {0}")]
    BadFilter(String),
    /// The account has signed out of this file.
    #[error("the account has signed out of this file; open it again with its account")]
    SignedOut,
    /// Anything else.
    #[error("the store failed: {0}")]
    Other(String),
}

/// What the base table says about a record.
#[derive(Clone, Debug, PartialEq)]
pub enum Base {
    /// No base row is kept apart: the view row is the base row.
    Unsaved,
    /// The record has unsettled mutations; this is the server's row beneath them, `None` if the server has none for us.
    Saved(Option<Record>),
}

/// What applying a page did.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Applied {
    /// Rows of records with unsettled mutations: not written, for the machine to rebase.
    pub set_aside: Vec<Record>,
    /// Rows written.
    pub rows: u64,
    /// Keys written; `None` if there were more than [`crate::limits::CHANGED_KEYS_MAX`].
    pub keys: Option<Vec<String>>,
}

/// How many entries the outbox has in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OutboxCounts {
    /// Never sent.
    pub queued: u64,
    /// Sent, not answered.
    pub in_flight: u64,
    /// Answered, not yet seen in the feed.
    pub acked: u64,
    /// Refused.
    pub rejected: u64,
    /// Waiting for the app.
    pub wedged: u64,
    /// Given up by the app, with the server still to say what became of them.
    pub given_up: u64,
}

impl OutboxCounts {
    /// Those on their way: the server or the feed is still to say something.
    #[must_use]
    pub fn pending(&self) -> u64 {
        self.queued + self.in_flight + self.acked + self.given_up
    }

    /// All.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.pending() + self.rejected + self.wedged
    }
}

/// One open transaction on the replica's store. Models are named by their names where the outbox is concerned (an entry
/// may be of a model that this schema no longer has), and by [`ModelId`] where rows are.
pub trait StoreTx {
    /// This replica's identity.
    fn replica(&self) -> ReplicaId;

    /// A number that differs from what it was before if anyone but this store has committed since. What the machine
    /// remembers of the store is then read anew before it decides anything.
    ///
    /// # Errors
    /// The store's.
    fn data_version(&mut self) -> Result<i64, StoreError>;

    /// Takes the next `count` mutation numbers; the first is returned. A number is never given twice.
    ///
    /// # Errors
    /// The store's.
    fn take_numbers(&mut self, count: u64) -> Result<MutationNumber, StoreError>;

    /// The highest number ever taken, 0 for none.
    ///
    /// # Errors
    /// The store's.
    fn last_number(&mut self) -> Result<u64, StoreError>;

    /// Up to where the server has been told that everything is settled.
    ///
    /// # Errors
    /// The store's.
    fn settled_through(&mut self) -> Result<u64, StoreError>;

    /// Notes it.
    ///
    /// # Errors
    /// The store's.
    fn set_settled_through(&mut self, number: u64) -> Result<(), StoreError>;

    /// The lowest number that any undecided or unsettled entry is, depends on, or has seen.
    ///
    /// # Errors
    /// The store's.
    fn oldest_needed(&mut self) -> Result<Option<u64>, StoreError>;

    /// One entry.
    ///
    /// # Errors
    /// The store's.
    fn entry(&mut self, number: MutationNumber) -> Result<Option<OutboxEntry>, StoreError>;

    /// All entries of an atomic group (or the one entry), by number.
    ///
    /// # Errors
    /// The store's.
    fn group(&mut self, first: MutationNumber) -> Result<Vec<OutboxEntry>, StoreError>;

    /// All entries of one record, whatever their state, by number.
    ///
    /// # Errors
    /// The store's.
    fn entries_of(&mut self, model: &str, key: &str) -> Result<Vec<OutboxEntry>, StoreError>;

    /// First numbers of entries or groups that were never sent, whose dependencies are all decided, and that have this
    /// author or none, by number.
    ///
    /// # Errors
    /// The store's.
    fn sendable(&mut self, author: Option<&str>, limit: usize) -> Result<Vec<MutationNumber>, StoreError>;

    /// First numbers of entries or groups that are in flight or given up, by number.
    ///
    /// # Errors
    /// The store's.
    fn in_flight(&mut self) -> Result<Vec<MutationNumber>, StoreError>;

    /// Acknowledged entries of a model, by number: with an epoch, those at or below `through` in it; with `others`,
    /// also those of any other epoch.
    ///
    /// # Errors
    /// The store's.
    fn acked(
        &mut self,
        model: &str,
        epoch: &str,
        through: Position,
        others: bool,
    ) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Entries that depend on `number` or have seen it and are not yet decided, by number.
    ///
    /// # Errors
    /// The store's.
    fn dependents(&mut self, number: MutationNumber) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Of those, the ones that depend on `number`; quick also where thousands have seen it.
    ///
    /// # Errors
    /// The store's.
    fn waiting_for(&mut self, number: MutationNumber) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Writes an entry, replacing what stands under its number.
    ///
    /// # Errors
    /// The store's.
    fn put_entry(&mut self, entry: &OutboxEntry) -> Result<(), StoreError>;

    /// Writes an entry's state, tries and conflict, and nothing else of it.
    ///
    /// # Errors
    /// The store's.
    fn set_state(&mut self, entry: &OutboxEntry) -> Result<(), StoreError>;

    /// Writes what an entry depends on and has seen, and nothing else of it.
    ///
    /// # Errors
    /// The store's.
    fn set_links(&mut self, entry: &OutboxEntry) -> Result<(), StoreError>;

    /// Queued entries under this identity after `number`, by number.
    ///
    /// # Errors
    /// The store's.
    fn queued_after(&mut self, number: MutationNumber, replica: &ReplicaId) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Entries after `number` that depend on others, whatever their state, by number.
    ///
    /// # Errors
    /// The store's.
    fn linked_after(&mut self, number: MutationNumber) -> Result<Vec<OutboxEntry>, StoreError>;

    /// Notes `replica` as the identity of all entries that have none of their own.
    ///
    /// # Errors
    /// The store's.
    fn keep_replica(&mut self, replica: &ReplicaId) -> Result<(), StoreError>;

    /// Takes a fresh identity, which [`StoreTx::replica`] gives from now on.
    ///
    /// # Errors
    /// The store's.
    fn renew_replica(&mut self) -> Result<ReplicaId, StoreError>;

    /// The highest number taken before the present identity began, 0 for the first one.
    ///
    /// # Errors
    /// The store's.
    fn replica_since(&mut self) -> Result<u64, StoreError>;

    /// Notes that mutations go on under new numbers.
    ///
    /// # Errors
    /// The store's.
    fn put_renumbered(&mut self, renumbered: &Renumbered) -> Result<(), StoreError>;

    /// Writes down what has ended, replacing what stands under its number.
    ///
    /// # Errors
    /// The store's.
    fn put_ended(&mut self, ended: &Ended) -> Result<(), StoreError>;

    /// One that has ended.
    ///
    /// # Errors
    /// The store's.
    fn ended(&mut self, number: MutationNumber) -> Result<Option<Ended>, StoreError>;

    /// Later mutations of this record that are known to have ended as applied or merged.
    ///
    /// # Errors
    /// The store's.
    fn took_effect_after(
        &mut self,
        model: &str,
        key: &str,
        number: MutationNumber,
    ) -> Result<Vec<MutationNumber>, StoreError>;

    /// Forgets those that ended before `recent_ms` and are not among the `keep` newest, all but the `most` newest, and
    /// those that ended before `before_ms`.
    ///
    /// # Errors
    /// The store's.
    fn trim_ended(&mut self, keep: u64, recent_ms: i64, most: u64, before_ms: i64) -> Result<(), StoreError>;

    /// Removes an entry.
    ///
    /// # Errors
    /// The store's.
    fn remove_entry(&mut self, number: MutationNumber) -> Result<(), StoreError>;

    /// Models whose rows were dropped by a schema change, so that unsettled mutations must be laid anew; asked once.
    ///
    /// # Errors
    /// The store's.
    fn take_dropped(&mut self) -> Result<Vec<String>, StoreError>;

    /// How many entries there are.
    ///
    /// # Errors
    /// The store's.
    fn counts(&mut self) -> Result<OutboxCounts, StoreError>;

    /// Keys of a model's records that have unsettled mutations (any state but rejected).
    ///
    /// # Errors
    /// The store's.
    fn unsettled_keys(&mut self, model: &str) -> Result<BTreeSet<String>, StoreError>;

    /// The view row of a record, tombstones included.
    ///
    /// # Errors
    /// The store's.
    fn view(&mut self, model: ModelId, key: &Key) -> Result<Option<Record>, StoreError>;

    /// Writes a view row.
    ///
    /// # Errors
    /// The store's.
    fn put_view(&mut self, model: ModelId, record: &Record, generation: i64) -> Result<(), StoreError>;

    /// Removes a view row if there is one.
    ///
    /// # Errors
    /// The store's.
    fn remove_view(&mut self, model: ModelId, key: &Key) -> Result<(), StoreError>;

    /// The base row of a record.
    ///
    /// # Errors
    /// The store's.
    fn base(&mut self, model: ModelId, key: &Key) -> Result<Base, StoreError>;

    /// Writes the base row of a record with unsettled mutations. `generation` is that in which the feed last gave it;
    /// `None` keeps the view row's (saving what the view holds before the first optimistic update).
    ///
    /// # Errors
    /// The store's.
    fn put_base(
        &mut self,
        model: ModelId,
        key: &Key,
        record: Option<&Record>,
        generation: Option<i64>,
    ) -> Result<(), StoreError>;

    /// The record has no unsettled mutations any more: its base row becomes its view row (or both are gone).
    ///
    /// # Errors
    /// The store's.
    fn adopt_base(&mut self, model: ModelId, key: &Key) -> Result<(), StoreError>;

    /// Writes a page's rows straight into the view, except those of records with a base row kept apart, which are given
    /// back.
    ///
    /// # Errors
    /// [`StoreError::BadBatch`] if the page cannot be read; else the store's.
    fn apply_rows(&mut self, model: ModelId, batch: &ChangeBatch, generation: i64) -> Result<Applied, StoreError>;

    /// Removes view rows of generations older than `generation`, except those of records with a base row kept apart;
    /// gives back the keys of those among them whose base row is of an older generation.
    ///
    /// # Errors
    /// The store's.
    fn sweep(&mut self, model: ModelId, generation: i64) -> Result<Vec<Key>, StoreError>;

    /// Removes view rows that the filter does not hold, except those of records with a base row kept apart.
    ///
    /// # Errors
    /// [`StoreError::BadFilter`] if the schema refuses the filter; else the store's.
    fn keep_only(&mut self, model: ModelId, filter: &Json) -> Result<(), StoreError>;

    /// All scopes, by model name.
    ///
    /// # Errors
    /// The store's.
    fn scopes(&mut self) -> Result<Vec<ScopeRow>, StoreError>;

    /// Writes a scope, cursor included.
    ///
    /// # Errors
    /// The store's.
    fn put_scope(&mut self, scope: &ScopeRow) -> Result<(), StoreError>;

    /// Removes a scope.
    ///
    /// # Errors
    /// The store's.
    fn remove_scope(&mut self, model: &str) -> Result<(), StoreError>;
}
