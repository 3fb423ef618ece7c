//! What listeners call.
//!
//! A mutation's way: [`Engine::prepare`] → [`Engine::submission`] → the caller's one writer queue → [`Engine::commit`]
//! with what is waiting → [`Engine::respond`]. A query's: [`Engine::prepare`] → [`Engine::query`]. A subscription's:
//! [`Engine::prepare`] → [`Engine::subscribe`] → [`Engine::next`] until it gives `None`, then again when woken.

use std::borrow::Cow;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, PoisonError, RwLock};

use serde_json::Value as Json;
use tombolo_core::access::AuthMode;
use tombolo_core::id::{Cursor, Epoch, Position};
use tombolo_core::query::{Answer, Bound, Cache, OperationKind, QueryLimits, RootField, Supplied};
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::wire::envelope::{MutationAnswer, MutationEnvelope, MutationOutcome, OutcomeKind};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_core::wire::trace::Trace;

use crate::accesses::Accesses;
use crate::decide::ask::Context;
use crate::decide::permit;
use crate::decide::trace;
use crate::feed;
use crate::former::Formers;
use crate::hub::Hub;
use crate::limits;
use crate::prepare::{Body, Prepared, reason};
use crate::request::{finish_without_the_store, formerly};
use crate::retention::Notes;
use crate::store::{MutationResult, Store, StoreError, Submission, Verdict};

/// What can be set; each default is the constant that its line names.
#[derive(Clone, Debug)]
pub struct Settings {
    /// [`limits::BATCH_SUBMISSIONS_MAX`].
    pub batch_max: usize,
    /// [`limits::RING_CHANGES_MAX`].
    pub ring_changes_max: usize,
    /// [`limits::RING_BYTES_MAX`].
    pub ring_bytes_max: usize,
    /// [`limits::FEED_ROWS_HTTP`].
    pub feed_rows_http: usize,
    /// [`limits::FEED_ROWS_LIVE`].
    pub feed_rows_live: usize,
    /// Limits of one operation.
    pub query: QueryLimits,
    /// The mode whose callers may use what has no rules.
    pub default_auth: AuthMode,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            batch_max: limits::BATCH_SUBMISSIONS_MAX,
            ring_changes_max: limits::RING_CHANGES_MAX,
            ring_bytes_max: limits::RING_BYTES_MAX,
            feed_rows_http: limits::FEED_ROWS_HTTP,
            feed_rows_live: limits::FEED_ROWS_LIVE,
            query: QueryLimits::default(),
            default_auth: AuthMode::ApiKey,
        }
    }
}

/// Why a request got no answer.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EngineError {
    /// The store failed; nothing was decided.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The request cannot be carried out.
    #[error("{}", .0.first().map_or("the request cannot be carried out", |error| error.message.as_str()))]
    Request(Vec<GraphqlError>),
}

impl EngineError {
    /// As the errors of an answer.
    #[must_use]
    pub fn to_graphql(&self) -> Vec<GraphqlError> {
        match self {
            Self::Store(error) => vec![error.to_graphql()],
            Self::Request(errors) => errors.clone(),
        }
    }

    pub(crate) fn request(code: ErrorType, message: impl Into<String>) -> Self {
        Self::Request(vec![GraphqlError::new(code, message)])
    }
}

/// The server without its listeners and its database. Share it as an `Arc`.
pub struct Engine<S> {
    pub(crate) schema: Arc<Schema>,
    pub(crate) store: S,
    pub(crate) settings: Settings,
    pub(crate) hub: Arc<Hub>,
    pub(crate) documents: Cache,
    pub(crate) accesses: Accesses,
    /// As last read; a renewal replaces it.
    epoch: RwLock<Option<Epoch>>,
    pub(crate) notes: Notes,
    /// A replica's cursor has made the history renew its identity.
    pub(crate) renewed: AtomicBool,
    pub(crate) formers: Formers,
}

impl<S: Store> Engine<S> {
    /// An engine for `schema` over `store`, which must have been opened with the same schema.
    #[must_use]
    pub fn new(schema: Arc<Schema>, store: S, settings: Settings) -> Self {
        Self {
            hub: Arc::new(Hub::new(settings.ring_changes_max, settings.ring_bytes_max)),
            documents: Cache::default(),
            accesses: Accesses::default(),
            epoch: RwLock::default(),
            notes: Notes::default(),
            renewed: AtomicBool::new(false),
            formers: Formers::new(store.served()),
            schema,
            store,
            settings,
        }
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The limits of one operation.
    #[must_use]
    pub fn query_limits(&self) -> &QueryLimits {
        &self.settings.query
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &S {
        &self.store
    }

    /// Ends the engine; its store is what another one goes on with.
    #[must_use]
    pub fn into_store(self) -> S {
        self.store
    }

    /// The ring of newest changes.
    #[must_use]
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Answers a query. Without a clock a sync's `startedAt` is the model's newest change.
    ///
    /// # Errors
    /// The store's; and a request that is not a query.
    pub async fn query(&self, prepared: &Prepared) -> Result<Answer, EngineError> {
        self.query_at(prepared, None).await
    }

    /// The same at `now_ms`, behind which a sync's `startedAt` stays an hour at most: a client does not take a quiet model for
    /// one that it has not synced for long.
    ///
    /// # Errors
    /// As [`Engine::query`].
    pub async fn query_at(&self, prepared: &Prepared, now_ms: Option<i64>) -> Result<Answer, EngineError> {
        let bound = match &prepared.body {
            Body::Bound(bound) if bound.kind() == OperationKind::Query => bound,
            Body::Bound(_) | Body::Refused(_) => {
                return Err(EngineError::request(
                    ErrorType::BadRequest,
                    "the operation is not a query",
                ));
            }
        };
        let (mut supplied, mut landed) = (Vec::new(), Vec::new());
        for (place, root) in bound.roots().iter().enumerate() {
            if let RootField::Changes(scopes, limit) = &root.field {
                let scopes = prepared.formerly.as_ref().map_or(scopes, |formerly| &formerly.scopes);
                let with = match self.page(prepared, scopes, *limit).await {
                    Ok(batch) => {
                        landed.extend(batch.landed);
                        Supplied::Raw(batch.bytes)
                    }
                    Err(EngineError::Request(errors)) => match errors.into_iter().next() {
                        Some(error) => Supplied::Error(error),
                        None => Supplied::Null,
                    },
                    Err(error @ EngineError::Store(_)) => return Err(error),
                };
                supplied.push((place, with));
            }
            if let (RootField::Read, Some(now_ms)) = (&root.field, now_ms) {
                supplied.push((place, Supplied::Now(now_ms)));
            }
            if let RootField::Conflicts(input) = &root.field {
                supplied.push((place, Supplied::Raw(self.conflicts(prepared, input).await?)));
            }
        }
        let answer = self.store.answer(Arc::clone(bound), supplied).await?;
        Ok(feed::with_landed(answer, prepared.replica.as_ref(), landed))
    }

    /// What the writer queue takes for a mutation. `fresh_ids` are UUIDs for creations that bring no id, at least
    /// [`Prepared::fresh_ids_needed`].
    #[must_use]
    pub fn submission(&self, prepared: &Prepared, fresh_ids: Vec<String>) -> Submission {
        let envelope = prepared.envelope.clone();
        let atomic = envelope.as_ref().is_some_and(|envelope| envelope.atomic);
        let (mutations, refusal) = match &prepared.body {
            Body::Refused(refusal) => (Vec::new(), Some((refusal.reason.clone(), refusal.count))),
            Body::Bound(bound) => {
                let mutations: Vec<_> = match &prepared.formerly {
                    Some(formerly) => formerly.mutations.clone(),
                    None => mutations(bound).cloned().collect(),
                };
                let refusal = envelope.as_ref().and_then(|envelope| refused_whole(bound, envelope));
                (if refusal.is_some() { Vec::new() } else { mutations }, refusal)
            }
        };
        let context = Context {
            identity: Some(prepared.identity.clone()),
            access: Some(Arc::clone(&prepared.access)),
            base: prepared.base(),
            request: prepared.request.clone(),
            request_digest: prepared.request_digest,
            resolutions: Vec::new(),
            removed: prepared
                .formerly
                .as_ref()
                .map_or_else(Vec::new, |formerly| formerly.removed.clone()),
            parts: prepared
                .formerly
                .as_ref()
                .map_or_else(Vec::new, |formerly| formerly.parts.clone()),
        };
        Submission {
            envelope,
            mutations,
            atomic,
            fresh_ids,
            refusal,
            context,
        }
    }

    /// The response to a mutation, with the outcomes of a replica's in `extensions.tombolo`.
    ///
    /// # Errors
    /// The store's. The mutation stands as the verdict says; a replica sends again and is answered from its outcome.
    pub async fn respond(&self, prepared: &Prepared, verdict: &Verdict) -> Result<Vec<u8>, EngineError> {
        if !verdict.ask.is_empty() {
            let error = GraphqlError::new(
                ErrorType::InternalFailure,
                "a conflict awaits its resolver, which was not asked",
            );
            return Ok(Answer::refused(vec![error]).into_bytes(None));
        }
        if let Some(why) = &verdict.undecided {
            let mut error = why.to_graphql();
            if prepared.replica.is_none() {
                error.error_info = None;
            }
            return Ok(Answer::refused(vec![error]).into_bytes(None));
        }
        let answer = match &prepared.body {
            Body::Refused(refusal) => Answer::refused(refusal.errors.clone()),
            Body::Bound(bound) => {
                let roots = bound.roots().iter().enumerate();
                let places = roots.filter(|(_, root)| matches!(root.field, RootField::Mutation(_)));
                let supplied: Vec<_> = places
                    .zip(&verdict.results)
                    .enumerate()
                    .map(|(nth, ((place, root), result))| {
                        let result = self.visible(prepared, nth, &root.field, result);
                        (place, supply(&formerly(prepared, &root.field, &result)))
                    })
                    .collect();
                if prepared.formerly.is_some() {
                    finish_without_the_store(bound, supplied)
                } else {
                    self.finish(bound, supplied).await?
                }
            }
        };
        let extensions = match &prepared.envelope {
            Some(envelope) => Some(self.outcomes(prepared, envelope, verdict).await?),
            None => None,
        };
        Ok(answer.into_bytes(extensions.as_ref()))
    }

    /// The result of the request's `nth` mutation without a record that its sender may not see. Of what he has created
    /// himself he sees what the rules for its fields let him.
    fn visible<'r>(
        &self,
        prepared: &Prepared,
        nth: usize,
        root: &RootField,
        result: &'r MutationResult,
    ) -> Cow<'r, MutationResult> {
        let input = match (&prepared.formerly, root) {
            (Some(formerly), _) => formerly.mutations.get(nth),
            (None, RootField::Mutation(input)) => Some(input),
            (None, _) => None,
        };
        let (Some(input), Some(record)) = (input, &result.record) else {
            return Cow::Borrowed(result);
        };
        // Made just now: an outcome that is told again comes with the record as it is today.
        let created = input.kind == MutationKind::Create && result.change.is_some();
        if created || permit::shows(&prepared.access, &self.schema[input.model], input.model, record) {
            return Cow::Borrowed(result);
        }
        Cow::Owned(MutationResult {
            record: None,
            ..result.clone()
        })
    }

    async fn outcomes(
        &self,
        prepared: &Prepared,
        envelope: &MutationEnvelope,
        verdict: &Verdict,
    ) -> Result<Json, StoreError> {
        let mut outcomes = Vec::with_capacity(verdict.results.len());
        for result in &verdict.results {
            let visible =
                |trace: &Arc<Trace>| trace::visible(trace, &self.schema, &prepared.identity, &prepared.access);
            let conflict = result.trace.as_ref().and_then(visible);
            let cursor = match result.position {
                Some(position) => Some(self.cursor(position).await?),
                None => None,
            };
            outcomes.push(MutationOutcome {
                number: result.number.unwrap_or(envelope.number),
                outcome: result.outcome,
                reason: result.reason.clone(),
                cursor,
                conflict: conflict.and_then(|trace| serde_json::to_value(trace).ok()),
            });
        }
        Ok(serde_json::json!({ "tombolo": MutationAnswer { outcomes } }))
    }

    /// Answers `bound` with what is `supplied`, through the store only if the selection reads from it.
    pub(crate) async fn finish(
        &self,
        bound: &Arc<Bound>,
        supplied: Vec<(usize, Supplied)>,
    ) -> Result<Answer, StoreError> {
        let mut execution = bound.execute();
        for (root, with) in &supplied {
            execution.supply(*root, with.clone());
        }
        if execution.next_statement().is_none() {
            return Ok(execution.finish());
        }
        drop(execution);
        self.store.answer(Arc::clone(bound), supplied).await
    }

    /// The cursor of `position` in this history.
    pub(crate) async fn cursor(&self, position: Position) -> Result<String, StoreError> {
        let epoch = self.epoch().await?;
        Ok(Cursor { epoch, position }.to_string())
    }

    /// This history's identity.
    pub(crate) async fn epoch(&self) -> Result<Epoch, StoreError> {
        let known = self.epoch.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(epoch) = known {
            return Ok(epoch);
        }
        let head = self.store.head().await?;
        let mut epoch = self.epoch.write().unwrap_or_else(PoisonError::into_inner);
        // One that was set meanwhile is newer than what was read.
        Ok(epoch.get_or_insert(head.epoch).clone())
    }

    pub(crate) fn set_epoch(&self, epoch: Epoch) {
        *self.epoch.write().unwrap_or_else(PoisonError::into_inner) = Some(epoch);
    }
}

impl<S> std::fmt::Debug for Engine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("hub", &self.hub).finish_non_exhaustive()
    }
}

fn mutations(bound: &Bound) -> impl Iterator<Item = &tombolo_core::query::MutationInput> {
    bound.roots().iter().filter_map(|root| match &root.field {
        RootField::Mutation(input) => Some(input),
        RootField::Read
        | RootField::Fixed
        | RootField::Subscription(_)
        | RootField::Changes(..)
        | RootField::Conflicts(_) => None,
    })
}

/// Why a replica's mutation is refused as a whole, and how many mutation numbers it takes.
pub(crate) fn refused_whole(
    bound: &Bound,
    envelope: &MutationEnvelope,
) -> Option<(tombolo_core::wire::envelope::RejectReason, usize)> {
    let refusals: Vec<GraphqlError> = (0..bound.roots().len())
        .filter_map(|place| bound.refusal(place).cloned())
        .collect();
    let count = mutations(bound).count() + refusals.len();
    if !refusals.is_empty() {
        return Some((reason(&refusals), count));
    }
    let problem = match (count, envelope.atomic) {
        (0, _) => "the operation holds no mutation",
        (1, _) | (_, true) => return None,
        (_, false) => "one mutation for each request, or `atomic: true`",
    };
    Some((
        reason(&[GraphqlError::new(ErrorType::BadRequest, problem)]),
        count.max(1),
    ))
}

/// A mutation's result as its root field is answered.
fn supply(result: &MutationResult) -> Supplied {
    match (result.outcome, &result.reason, &result.record) {
        (OutcomeKind::Applied | OutcomeKind::Merged, _, Some(record)) => Supplied::Record(Arc::clone(record)),
        (OutcomeKind::Applied | OutcomeKind::Merged, _, None) | (OutcomeKind::Rejected, None, _) => Supplied::Null,
        (OutcomeKind::Rejected, Some(reason), record) => {
            let error = GraphqlError::new(reason.code.clone(), reason.message.clone());
            match (&reason.code, record) {
                (ErrorType::ConflictUnhandled, Some(record)) => Supplied::Conflict(error, Arc::clone(record)),
                _ => Supplied::Error(error),
            }
        }
    }
}
