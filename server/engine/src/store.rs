//! What the engine asks of a database. Every method is one transaction; no handle to an open one crosses this trait.

use std::collections::BTreeSet;
use std::future::Future;
use std::sync::Arc;

use tombolo_core::id::{Epoch, FieldId, ModelId, MutationNumber, Position, ReplicaId};
use tombolo_core::query::{Answer, Bound, Filter, FilterColumn, MutationInput, Supplied};
use tombolo_core::record::{Change, Record, StoredRecord};
use tombolo_core::wire::batch::LandedMutation;
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_core::wire::trace::Trace;

use crate::decide::ask::{Context, Question};

use crate::former::ServedSchema;
use crate::retention::{Pruned, ReplicaNote, Retention};

/// A server's database.
///
/// What [`Store::write`] must keep, and `crate::suite` tests: it loads the facts that [`crate::decide`] asks for,
/// hands them over and writes what was decided, all in one transaction during which nobody else writes. Positions
/// become visible in order and without gaps.
pub trait Store: Send + Sync + 'static {
    /// Answers an operation: runs its statements on one snapshot; `supplied` are the roots answered without a statement.
    fn answer(
        &self,
        bound: Arc<Bound>,
        supplied: Vec<(usize, Supplied)>,
    ) -> impl Future<Output = Result<Answer, StoreError>> + Send;

    /// Decides and writes `batch` in order; one verdict for each submission. On an error nothing was written and nothing
    /// was decided.
    fn write(
        &self,
        batch: Arc<[Submission]>,
        now_ms: i64,
    ) -> impl Future<Output = Result<Vec<Verdict>, StoreError>> + Send;

    /// Reads one page of a scope's changes on one snapshot.
    fn changes(&self, page: PageRequest) -> impl Future<Output = Result<ChangePage, StoreError>> + Send;

    /// Reads the records of `model` that changed after `after`, each at its newest, tombstones too, in the order of their
    /// positions and at most `max` of them, fewer if they are large ([`crate::limits::MISSED_BYTES`]), on one snapshot.
    fn records(
        &self,
        model: ModelId,
        after: Position,
        max: usize,
    ) -> impl Future<Output = Result<RecordsPage, StoreError>> + Send;

    /// Reads one page of the traces, the newest first.
    fn traces(&self, request: TraceRequest) -> impl Future<Output = Result<TracePage, StoreError>> + Send;

    /// The history's identity and its newest position.
    fn head(&self) -> impl Future<Output = Result<Head, StoreError>> + Send;

    /// Sees to it that from now on a change of one of these columns leaves a departure. Durable; cheap when already so.
    /// Gives the position since which all of them leave departures.
    fn watch_fields(
        &self,
        model: ModelId,
        columns: BTreeSet<FilterColumn>,
    ) -> impl Future<Output = Result<Position, StoreError>> + Send;

    /// Notes that these replicas were heard of now, and what they hold. One that was written off no longer is.
    fn note(&self, notes: Vec<ReplicaNote>, now_ms: i64) -> impl Future<Output = Result<(), StoreError>> + Send;

    /// Removes what nobody needs any more, in one transaction that looks at no more than
    /// [`crate::limits::PRUNE_ROWS_MAX`] rows. Depends on nothing but the database and its arguments.
    ///
    /// What it must keep: a tombstone or departure that it removes is at or below [`Head::low_watermark`] when it
    /// commits; and of a replica of which it removes an outcome that was not settled it remembers for ever the highest
    /// number that was decided. Ages are counted, and not the word of a clock that may jump: `now_ms` adds what passed since
    /// the last call, at most a day and never less than nothing.
    fn prune(&self, now_ms: i64, retention: Retention) -> impl Future<Output = Result<Pruned, StoreError>> + Send;

    /// Gives the history a new identity that no history ever had, and forgets what replicas hold of the old one. With
    /// `was`, only if the identity is still that one. Gives the head as it is then.
    fn renew_epoch(&self, was: Option<Epoch>) -> impl Future<Output = Result<Head, StoreError>> + Send;
    /// The schemas that the database was opened with before, the newest [`crate::limits::SCHEMAS_KEPT`] of them.
    fn served(&self) -> Vec<ServedSchema> {
        Vec::new()
    }
}

/// Why a store could not do it. Nothing was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process holds the database.
    #[error("the database is locked by another process; it will be tried again")]
    Busy,
    /// No room on the disk.
    #[error("the disk is full: free some space; reads go on, and writes resume by themselves")]
    Full,
    /// The file or its folder may not be written.
    #[error("the database cannot be written: check the permissions of the file and of its folder")]
    ReadOnly,
    /// The file is damaged.
    #[error("the database is damaged ({0}): restore it from a backup")]
    Corrupt(String),
    /// The store has been closed.
    #[error("the database is closed: the server is shutting down")]
    Closed,
    /// Anything else that the database reports.
    #[error("the database failed: {0}")]
    Backend(String),
}

impl StoreError {
    /// Whether the same call may succeed later without anybody mending anything here.
    #[must_use]
    pub fn can_retry(&self) -> bool {
        match self {
            Self::Busy | Self::Full => true,
            Self::ReadOnly | Self::Corrupt(_) | Self::Closed | Self::Backend(_) => false,
        }
    }

    /// Whether the same request may succeed soon, here or at the next server behind the same address.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.can_retry() || *self == Self::Closed
    }

    /// As the error of an answer; a temporary one has `errorInfo: {"retry": true}`, for programs.
    #[must_use]
    pub fn to_graphql(&self) -> GraphqlError {
        let mut error = GraphqlError::new(ErrorType::InternalFailure, self.to_string());
        error.error_info = self.is_temporary().then(|| serde_json::json!({ "retry": true }));
        error
    }
}

/// The mutations of one request.
#[derive(Clone, Debug, Default)]
pub struct Submission {
    /// Present for a mutation of a replica: with it each takes effect at most once.
    pub envelope: Option<MutationEnvelope>,
    /// In order; with an envelope and without `atomic` exactly one (none for a refusal).
    pub mutations: Vec<MutationInput>,
    /// All or none.
    pub atomic: bool,
    /// Ids for creations that bring none, taken in order.
    pub fresh_ids: Vec<String>,
    /// The request was found wanting before it came here: nothing is to be done, but the rejection is to be kept under
    /// the envelope's number, for each of this many mutations.
    ///
    /// A reason with the code [`ErrorType::UnknownSchema`] rejects nothing: it leaves the mutation undecided, to be sent
    /// again when this server knows the schema.
    pub refusal: Option<(RejectReason, usize)>,
    /// Who sent it, what they saw, what a resolver has answered.
    pub context: Context,
}

/// What became of a [`Submission`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// One for each mutation, in order; empty if undecided.
    pub results: Vec<MutationResult>,
    /// Why nothing was decided: the replica is to send it again later. Nothing was written.
    pub undecided: Option<Undecided>,
    /// Conflicts that a resolver is to settle: if there are any, nothing was decided and nothing written. Ask about all of
    /// them, add the answers to [`Submission::context`], submit again. Several mutations of one record come one by one.
    pub ask: Vec<Question>,
}

impl Verdict {
    /// Each mutation has ended thus.
    #[must_use]
    pub fn decided(results: Vec<MutationResult>) -> Self {
        Self {
            results,
            ..Self::default()
        }
    }
}

/// Why a submission was not decided.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Undecided {
    /// The stable name.
    pub code: ErrorType,
    /// What went wrong and what to do about it.
    pub message: String,
    /// It says nothing about the mutation: the same request may be decided later. A replica then tries for as long as it
    /// takes; otherwise it gives up after a bound of tries and shows the mutation as wedged.
    pub retry: bool,
}

impl Undecided {
    /// As the error of an answer; `retry` as `errorInfo: {"retry": true}`.
    #[must_use]
    pub fn to_graphql(&self) -> GraphqlError {
        let mut error = GraphqlError::new(self.code.clone(), self.message.clone());
        error.error_info = self.retry.then(|| serde_json::json!({ "retry": true }));
        error
    }
}

impl From<&StoreError> for Undecided {
    fn from(error: &StoreError) -> Self {
        Self {
            code: ErrorType::InternalFailure,
            message: error.to_string(),
            retry: error.is_temporary(),
        }
    }
}

/// What became of one mutation.
#[derive(Clone, Debug, PartialEq)]
pub struct MutationResult {
    /// Its number, if it came with an envelope.
    pub number: Option<MutationNumber>,
    /// How it ended.
    pub outcome: OutcomeKind,
    /// Why it was rejected.
    pub reason: Option<RejectReason>,
    /// The record for the answer: as written; as it is now for a replay; the server's for a conflict.
    pub record: Option<Arc<Record>>,
    /// Where its effect stands in the feed; `None` for a rejection.
    pub position: Option<Position>,
    /// The change it made; `None` for a rejection and for a replay.
    pub change: Option<Arc<Change>>,
    /// What was merged or rejected; for a replay as it is stored, if it still is.
    pub trace: Option<Arc<Trace>>,
}

/// The history's identity and bounds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Head {
    /// Its identity.
    pub epoch: Epoch,
    /// The newest position; 0 before the first change.
    pub position: Position,
    /// Cursors below this one may have missed tombstones or departures that are no longer kept.
    pub low_watermark: Position,
}

/// What [`Store::records`] found.
#[derive(Clone, Debug)]
pub struct RecordsPage {
    /// The snapshot's head.
    pub head: Head,
    /// In the order of their positions.
    pub records: Vec<StoredRecord>,
    /// There are more.
    pub more: bool,
}

/// Which part of which scope to read.
#[derive(Clone, Debug)]
pub struct PageRequest {
    /// The model.
    pub model: ModelId,
    /// The scope's filter.
    pub filter: Option<Filter>,
    /// Only what came after this; `None` for a base sync (no departures then, since nothing is held yet).
    pub after: Option<Position>,
    /// Most rows.
    pub rows_max: usize,
    /// Bytes after which no further row is taken.
    pub bytes_max: usize,
    /// The columns of a row, before the meta columns: what the identity may read.
    pub fields: Vec<FieldId>,
    /// Columns of `fields` that are null in rows for which this does not hold.
    pub masks: Vec<(FieldId, Filter)>,
    /// Whose mutations are to be told that have landed in the page.
    pub replica: Option<ReplicaId>,
}

/// A page of a scope's changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangePage {
    /// The history and its head on the page's snapshot.
    pub head: Head,
    /// Everything of the scope up to here is in.
    pub position: Position,
    /// `[[…],…]`: rows in order of position, values in the order of the request's fields, then
    /// [`tombolo_core::wire::batch::META_FIELDS`].
    pub rows: Vec<u8>,
    /// How many rows.
    pub count: usize,
    /// `[[…],…]`: keys of records that left the scope.
    pub left: Vec<u8>,
    /// How many left.
    pub left_count: usize,
    /// Whose the request's replica is, if its user has shown who that is.
    pub principal: Option<String>,
    /// Mutations of the request's replica on records of its model that took effect after the request's cursor and up to
    /// `position`, by position, at most [`crate::limits::FEED_LANDED_MAX`].
    pub landed: Vec<LandedMutation>,
}

/// Which traces to read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TraceRequest {
    /// Only these; `None`: all.
    pub readable: Option<Readable>,
    /// Only this model's.
    pub model: Option<String>,
    /// Only this replica's.
    pub replica: Option<ReplicaId>,
    /// Only those that ended thus.
    pub outcome: Option<OutcomeKind>,
    /// Only those before this id; `None` from the newest on.
    pub before: Option<i64>,
    /// Most traces.
    pub limit: usize,
}

/// Whose traces somebody may see.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Readable {
    /// Those of these models.
    pub models: BTreeSet<String>,
    /// And those that this author's work left.
    pub author: Option<String>,
}

/// A trace in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptTrace {
    /// Its place: later ones have greater ids.
    pub id: i64,
    /// It.
    pub trace: Trace,
}

/// A page of traces, the newest first.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TracePage {
    /// They.
    pub traces: Vec<KeptTrace>,
    /// For [`TraceRequest::before`] of the next page; `None` when there is none.
    pub next: Option<i64>,
}
