//! What makes a mutation take effect exactly once.
//!
//! For each submission, in order: seen before? (answer from the stored outcome) → settled long ago? → depends on a
//! refused one? → decide row by row → note the outcome. An atomic submission keeps an undo list of the rows it touched.
//!
//! `known`: what is known of numbers; `replay`: what has been here before; `moved`: under another number; `asked`: what a resolver is asked; `ends`: ends
//! that need no look at a row.

mod asked;
mod ends;
mod known;
mod moved;
mod replay;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tombolo_core::id::{ModelId, MutationId, Position, ReplicaId};
use tombolo_core::merge::Seen;
use tombolo_core::query::{FilterColumn, MutationInput};
use tombolo_core::record::{Change, Key, Record, StoredRecord};
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;
use tombolo_core::wire::trace::Trace;

use super::ask::Question;
use super::permit::Permit;
use super::row::{Decision, Found, RowFacts, decide_row, key_of};
use super::{Departure, Facts, RowKey, RowWrite, Settled, StoredOutcome, Writes, mutation_id, parts, resolve, trace};
use crate::limits;
use crate::store::{MutationResult, Submission, Verdict};
use asked::{Asked, ask};
use ends::{forgotten, given_up, not_yours, rejected, result_reason, undecided, whole_failed, written_off};
use known::{Dependencies, SeenRows, seen_of};

/// Decides `batch` on `facts`, at `now_ms`: one verdict for each submission, and everything there is to write.
#[must_use]
pub fn decide(schema: &Schema, facts: Facts, batch: &[Submission], now_ms: i64) -> (Vec<Verdict>, Writes) {
    let mut batcher = Batcher::new(schema, facts, now_ms);
    let verdicts = batch.iter().map(|submission| batcher.submission(submission)).collect();
    (verdicts, batcher.into_writes())
}

/// A row during the batch.
struct RowState {
    key: Key,
    stored: Option<StoredRecord>,
    /// It was in the store before the batch.
    existed: bool,
    dirty: bool,
}

struct Batcher<'a> {
    schema: &'a Schema,
    now_ms: i64,
    head: Position,
    rows: BTreeMap<RowKey, RowState>,
    outcomes: BTreeMap<MutationId, StoredOutcome>,
    new_outcomes: Vec<(MutationId, StoredOutcome)>,
    settled: BTreeMap<ReplicaId, u64>,
    settled_new: BTreeSet<ReplicaId>,
    lost: BTreeMap<ReplicaId, u64>,
    last_seen_ms: BTreeMap<ReplicaId, i64>,
    principals: BTreeMap<ReplicaId, String>,
    principals_new: BTreeSet<ReplicaId>,
    /// Of these the time was noted; by the caller's clock, not by that of the changes, which never goes back.
    seen: BTreeSet<ReplicaId>,
    given_ms: i64,
    watched: BTreeMap<ModelId, BTreeSet<FilterColumn>>,
    departures: Vec<Departure>,
    traces: Vec<Arc<Trace>>,
    /// Of mutations that have been here before.
    known_traces: BTreeMap<MutationId, Arc<Trace>>,
    moved: bool,
    last_changed_at: i64,
}

/// What an atomic submission needs to take itself back.
#[derive(Clone, Copy)]
struct Mark {
    head: Position,
    departures: usize,
    moved: bool,
}

impl<'a> Batcher<'a> {
    fn new(schema: &'a Schema, facts: Facts, now_ms: i64) -> Self {
        let row = |((model, text), stored): (RowKey, StoredRecord)| {
            let key = stored.record.key(&schema[model].key);
            (
                (model, text),
                RowState {
                    key,
                    stored: Some(stored),
                    existed: true,
                    dirty: false,
                },
            )
        };
        Self {
            schema,
            now_ms: now_ms.max(facts.last_changed_at),
            head: facts.head,
            rows: facts.rows.into_iter().map(row).collect(),
            outcomes: facts.outcomes,
            new_outcomes: Vec::new(),
            settled: facts.settled,
            settled_new: BTreeSet::new(),
            lost: facts.lost,
            last_seen_ms: facts.last_seen_ms,
            principals: facts.principals,
            principals_new: BTreeSet::new(),
            seen: BTreeSet::new(),
            given_ms: now_ms,
            watched: facts.watched,
            departures: Vec::new(),
            traces: Vec::new(),
            known_traces: facts.traces,
            moved: false,
            last_changed_at: facts.last_changed_at,
        }
    }

    fn submission(&mut self, submission: &Submission) -> Verdict {
        match &submission.envelope {
            None => self.anonymous(submission),
            Some(envelope) => self.named(envelope, submission),
        }
    }

    /// A replica's mutation, which has a number.
    fn named(&mut self, envelope: &MutationEnvelope, submission: &Submission) -> Verdict {
        if !self.claim(envelope, submission) {
            // Not noted, and nothing else it says is believed: the numbers are another's.
            let numbers = (0..submission.count() as u64).map(|i| envelope.number.0.saturating_add(i));
            let results = numbers.map(|number| rejected(Some(number), not_yours(number)));
            return Verdict::decided(results.collect());
        }
        let settled_through = self.settle(envelope);
        self.see(&envelope.replica);
        let count = submission.count();
        let numbers = || (0..count as u64).map(|i| envelope.number.0.saturating_add(i));
        if numbers().any(|n| self.outcomes.contains_key(&mutation_id(&envelope.replica, n))) {
            return self.replay_all(envelope, submission, settled_through);
        }
        if envelope.number.0 <= settled_through {
            // A duplicate that strayed, whose answer nobody waits for; or a replica that has gone back to an older file:
            // then this may be the settled one or a new one, and must neither pass for applied nor be carried out.
            let results = numbers()
                .map(|number| rejected(Some(number), forgotten(number)))
                .collect();
            return Verdict::decided(results);
        }
        if envelope.number.0 <= self.lost_through(&envelope.replica) {
            // Noted like any rejection, so that those that depend on it are told of it.
            let reason = written_off(envelope.number.0);
            return self.reject_all(envelope, submission, None, reason);
        }
        if let Some(verdict) = self.moved(envelope, submission) {
            return verdict;
        }
        let verdict = self.first_time(envelope, submission, settled_through);
        self.note_moved(envelope, submission);
        verdict
    }

    /// One that was not decided before, under any number.
    fn first_time(&mut self, envelope: &MutationEnvelope, submission: &Submission, settled_through: u64) -> Verdict {
        if envelope.void {
            return self.reject_all(envelope, submission, None, given_up());
        }
        if let Some((reason, _)) = &submission.refusal {
            if reason.code == ErrorType::UnknownSchema {
                return undecided(reason.code.clone(), reason.message.clone(), true);
            }
            return self.reject_all(envelope, submission, None, reason.clone());
        }
        match self.dependencies(envelope, settled_through) {
            Dependencies::Met => {}
            Dependencies::Refused(reason) => return self.reject_all(envelope, submission, None, reason),
            Dependencies::Unknown(number) => {
                let message = format!(
                    "mutation {} of this replica depends on mutation {number}, which has not arrived: send that first",
                    envelope.number
                );
                return undecided(ErrorType::BadRequest, message, false);
            }
        }
        let seen = self.seen(envelope);
        if submission.atomic {
            return self.atomic(envelope, submission, seen);
        }
        let mut fresh_ids = submission.fresh_ids.iter();
        let mut results = Vec::with_capacity(submission.mutations.len());
        for (place, mutation) in submission.mutations.iter().enumerate() {
            match self.mutation(mutation, &mut fresh_ids, &seen, None, (submission, place)) {
                Ok(result) => results.push(self.note(envelope, (submission, place), mutation, result)),
                // Without `atomic` it is the only one.
                Err(question) => return ask(vec![*question]),
            }
        }
        Verdict::decided(results)
    }

    /// A request without an envelope: plain GraphQL, each root field for itself unless `atomic`.
    fn anonymous(&mut self, submission: &Submission) -> Verdict {
        let mut fresh_ids = submission.fresh_ids.iter();
        let mut results = Vec::with_capacity(submission.mutations.len());
        let mark = self.mark();
        let mut undo = Vec::new();
        let mut asked = Asked::default();
        let none = SeenRows::default();
        for (place, mutation) in submission.mutations.iter().enumerate() {
            if asked.waits(self.schema, mutation) {
                continue;
            }
            let result = match self.mutation(mutation, &mut fresh_ids, &none, Some(&mut undo), (submission, place)) {
                Ok(result) => result,
                Err(question) => {
                    asked.take(*question);
                    continue;
                }
            };
            if result.outcome == OutcomeKind::Rejected && submission.atomic {
                self.undo(mark, std::mem::take(&mut undo));
                let others = 0..submission.mutations.len();
                results = others.map(|_| rejected(None, whole_failed(None))).collect();
                results[place] = result;
                // It fails, whatever a resolver would say.
                asked = Asked::default();
                break;
            }
            results.push(result);
        }
        if !asked.questions.is_empty() {
            self.undo(mark, undo);
            return ask(asked.questions);
        }
        for (place, result) in results.iter_mut().enumerate() {
            self.keep(result, (submission, place));
        }
        Verdict::decided(results)
    }

    fn atomic(&mut self, envelope: &MutationEnvelope, submission: &Submission, mut seen: SeenRows) -> Verdict {
        let mark = self.mark();
        let mut undo = Vec::new();
        let mut fresh_ids = submission.fresh_ids.iter();
        let mut done = Vec::with_capacity(submission.mutations.len());
        let mut asked = Asked::default();
        for (place, mutation) in submission.mutations.iter().enumerate() {
            if asked.waits(self.schema, mutation) {
                continue;
            }
            let result = match self.mutation(mutation, &mut fresh_ids, &seen, Some(&mut undo), (submission, place)) {
                Ok(result) => result,
                Err(question) => {
                    asked.take(*question);
                    continue;
                }
            };
            if result.outcome == OutcomeKind::Rejected {
                self.undo(mark, undo);
                return self.reject_all(envelope, submission, Some((place, &result)), result_reason(&result));
            }
            // Later ones of the same transaction were made on top of this one.
            seen.versions.extend(result.change.as_ref().and_then(|change| {
                let key = change.after.key(&self.schema[change.model].key).to_text();
                seen_of((change.model, key), result.outcome, change.after.meta.version)
            }));
            done.push(result);
        }
        if !asked.questions.is_empty() {
            self.undo(mark, undo);
            return ask(asked.questions);
        }
        let noted = done.into_iter().zip(&submission.mutations).enumerate();
        let results = noted
            .map(|(place, (result, mutation))| self.note(envelope, (submission, place), mutation, result))
            .collect();
        Verdict::decided(results)
    }

    /// Rejects every mutation of `submission`: the one at `culprit` (all, without one) for `reason`, the others because
    /// of it.
    fn reject_all(
        &mut self,
        envelope: &MutationEnvelope,
        submission: &Submission,
        culprit: Option<(usize, &MutationResult)>,
        reason: RejectReason,
    ) -> Verdict {
        let first = envelope.number.0;
        let results = (0..submission.count()).map(|place| {
            let number = first.saturating_add(place as u64);
            let reason = match culprit {
                Some((culprit, _)) if culprit != place => whole_failed(Some(first.saturating_add(culprit as u64))),
                Some(_) | None => reason.clone(),
            };
            let mut result = rejected(Some(number), reason);
            if let Some((culprit, its)) = culprit
                && culprit == place
            {
                result.trace.clone_from(&its.trace);
            }
            match submission.mutations.get(place) {
                Some(mutation) => {
                    if let Some(key) = mutation.key(&self.schema[mutation.model]) {
                        result.record = self.record_now(mutation.model, &key);
                    }
                    self.note(envelope, (submission, place), mutation, result)
                }
                None => {
                    self.keep(&mut result, (submission, place));
                    let digest = self.digest(envelope, submission, place);
                    self.note_outcome(envelope, number, None, digest, &result);
                    result
                }
            }
        });
        Verdict::decided(results.collect())
    }

    /// Decides on one mutation, the submission's at the place; `Err` if a resolver is to be asked first.
    fn mutation<'i>(
        &mut self,
        mutation: &MutationInput,
        fresh_ids: &mut impl Iterator<Item = &'i String>,
        seen: &SeenRows,
        undo: Option<&mut Vec<(RowKey, Option<StoredRecord>, bool)>>,
        (submission, place): (&Submission, usize),
    ) -> Result<MutationResult, Box<Question>> {
        let model = &self.schema[mutation.model];
        let Some(key) = key_of(model, mutation, fresh_ids) else {
            let message = format!("the key of `{}` is not given whole: name every key field", model.name);
            return Ok(rejected(
                None,
                RejectReason {
                    code: ErrorType::BadRequest,
                    message,
                },
            ));
        };
        let row_key = (mutation.model, key.to_text());
        let fresh = || RowState {
            key: key.clone(),
            stored: None,
            existed: false,
            dirty: false,
        };
        let forgotten = seen.forgotten;
        let seen: Vec<Seen> = seen
            .versions
            .iter()
            .filter(|(of, _)| *of == row_key)
            .map(|(_, seen)| *seen)
            .collect();
        let row = self.rows.entry(row_key.clone()).or_insert_with(fresh);
        let permit = Permit::new(self.schema, submission.context.access.as_ref(), mutation.model);
        if let Some(reason) = permit.of_stored(mutation, row.stored.as_ref().map(|stored| &stored.record)) {
            return Ok(rejected(None, reason));
        }
        // What the caller may not see no answer shows.
        let hidden = row.stored.as_ref().is_some_and(|stored| !permit.shows(&stored.record));
        let blind = permit.unreadable(mutation, row.stored.as_ref().map(|stored| &stored.record));
        let visible = |row: &RowState| {
            let stored = row.stored.as_ref().filter(|_| !hidden);
            stored.map(|stored| Arc::new(stored.record.clone()))
        };
        let completed = parts::completed(
            self.schema,
            mutation,
            row.stored.as_ref(),
            submission.context.parts(place),
        );
        let mutation = match &completed {
            Ok(completed) => completed.as_ref(),
            Err(reason) => {
                return Ok(MutationResult {
                    record: visible(row),
                    ..rejected(None, reason.clone())
                });
            }
        };
        let facts = RowFacts {
            model,
            key: &key,
            stored: row.stored.as_ref(),
            seen: &seen,
            forgotten,
            plain: submission.envelope.is_none(),
            resent: submission
                .envelope
                .as_ref()
                .is_some_and(|envelope| envelope.resent && !envelope.atomic),
            hidden,
            blind: &blind,
            owners: match &submission.context.access {
                Some(access) => access.owners(mutation.model),
                None => &[],
            },
            position: Position(self.head.0.saturating_add(1)),
            now_ms: self.now_ms,
        };
        // Who may create but not change learns that his creation was carried out; the record stays as it is.
        let told_only = facts.resent
            && mutation.kind == MutationKind::Create
            && facts.stored.is_some_and(|stored| {
                let change = MutationInput {
                    kind: MutationKind::Update,
                    ..mutation.clone()
                };
                !stored.record.meta.deleted && permit.of_stored(&change, Some(&stored.record)).is_some()
            });
        let (schema, now_ms, context) = (self.schema, self.now_ms, &submission.context);
        let trace = |found: Found, outcome| {
            let found = if hidden { Found::default() } else { found };
            let of = trace::of(schema, now_ms, (submission, place), &key, found, outcome);
            Some(Arc::new(of))
        };
        let decided = match (decide_row(&facts, mutation), facts.stored) {
            (Decision::Ask { values, found }, Some(stored)) => {
                match context.resolution(place, stored.record.meta.version) {
                    Some(action) => resolve::apply(&facts, stored, mutation, values, found, action),
                    None => {
                        let question = resolve::question(&facts, stored, mutation, &found, (context, place));
                        return Err(Box::new(question));
                    }
                }
            }
            (decided, _) => decided,
        };
        let (outcome, next, trace) = match decided {
            Decision::Write { next, .. }
                if mutation.kind == MutationKind::Create
                    && let Some(reason) = permit.of_created(mutation, &next.record) =>
            {
                return Ok(rejected(None, reason));
            }
            Decision::Write { outcome, next, found } => {
                let trace = match outcome {
                    OutcomeKind::Applied => None,
                    OutcomeKind::Merged | OutcomeKind::Rejected => trace(found, outcome),
                };
                if told_only {
                    return Ok(MutationResult {
                        number: None,
                        outcome,
                        reason: None,
                        record: visible(row),
                        position: row.stored.as_ref().map(|stored| stored.position),
                        change: None,
                        trace,
                    });
                }
                (outcome, next, trace)
            }
            Decision::Reject { reason, found } => {
                return Ok(MutationResult {
                    record: visible(row),
                    trace: trace(found, OutcomeKind::Rejected),
                    ..rejected(None, reason)
                });
            }
            // Only a record that is there can be in conflict.
            Decision::Ask { .. } => {
                let message = "the record is not there".to_owned();
                let code = ErrorType::ConflictUnhandled;
                return Ok(rejected(None, RejectReason { code, message }));
            }
        };
        let position = next.position;
        let after = Arc::new(next.record.clone());
        let previous = row.stored.replace(next);
        if let Some(undo) = undo {
            undo.push((row_key, previous.clone(), row.dirty));
        }
        row.dirty = true;
        self.head = position;
        self.moved = true;
        let before = previous.map(|previous| previous.record);
        if let Some(before) = &before
            && self
                .watched
                .get(&mutation.model)
                .is_some_and(|columns| altered(columns, before, &after))
        {
            self.departures.push(Departure {
                position,
                model: mutation.model,
                key,
                before: before.clone(),
            });
        }
        let change = Change {
            position,
            model: mutation.model,
            before: before.map(Arc::new),
            after: Arc::clone(&after),
        };
        Ok(MutationResult {
            number: None,
            outcome,
            reason: None,
            record: Some(after),
            position: Some(position),
            change: Some(Arc::new(change)),
            trace,
        })
    }

    /// Keeps the trace of what was merged or rejected, the submission's mutation at the place.
    fn keep(&mut self, result: &mut MutationResult, (submission, place): (&Submission, usize)) {
        let removed = submission.context.removed.get(place).map_or(&[][..], Vec::as_slice);
        if result.outcome == OutcomeKind::Applied && removed.is_empty() {
            return;
        }
        let mut trace = match result.trace.take() {
            Some(trace) => Arc::unwrap_or_clone(trace),
            None => trace::sent(self.schema, self.now_ms, submission, place),
        };
        // What is left of a mutation whose fields are gone is told as a merge with the change of the schema.
        trace.outcome = match result.outcome {
            OutcomeKind::Applied | OutcomeKind::Merged => OutcomeKind::Merged,
            OutcomeKind::Rejected => OutcomeKind::Rejected,
        };
        trace.fields.extend(removed.iter().map(trace::removed));
        trace.number = result.number;
        trace.position = result.position;
        if let Some(reason) = &result.reason {
            trace.code = Some(reason.code.clone());
            trace.message = Some(reason.message.clone());
        }
        let trace = Arc::new(trace);
        self.traces.push(Arc::clone(&trace));
        result.trace = Some(trace);
    }

    fn mark(&self) -> Mark {
        Mark {
            head: self.head,
            departures: self.departures.len(),
            moved: self.moved,
        }
    }

    fn undo(&mut self, mark: Mark, undo: Vec<(RowKey, Option<StoredRecord>, bool)>) {
        for (row_key, stored, dirty) in undo.into_iter().rev() {
            if let Some(row) = self.rows.get_mut(&row_key) {
                row.stored = stored;
                row.dirty = dirty;
            }
        }
        self.head = mark.head;
        self.departures.truncate(mark.departures);
        self.moved = mark.moved;
    }

    fn record_now(&self, model: ModelId, key: &Key) -> Option<Arc<Record>> {
        let row = self.rows.get(&(model, key.to_text()))?;
        row.stored.as_ref().map(|stored| Arc::new(stored.record.clone()))
    }

    fn into_writes(self) -> Writes {
        let row = |((model, _), row): (RowKey, RowState)| {
            let (true, Some(stored)) = (row.dirty, row.stored) else {
                return None;
            };
            Some(RowWrite {
                model,
                key: row.key,
                stored,
                new: !row.existed,
            })
        };
        let mut rows: Vec<RowWrite> = self.rows.into_iter().filter_map(row).collect();
        // In the order of the feed, which is the order of the tables.
        rows.sort_by_key(|row| row.stored.position);
        let settled = self.settled_new.into_iter().map(|replica| {
            let through = self.settled.get(&replica).copied().unwrap_or_default();
            Settled {
                replica,
                through,
                forget_through: through.saturating_sub(limits::OUTCOMES_KEPT),
            }
        });
        let principal = |replica: ReplicaId| Some((replica.clone(), self.principals.get(&replica)?.clone()));
        let principals = self.principals_new.into_iter().filter_map(principal).collect();
        Writes {
            rows,
            principals,
            outcomes: self.new_outcomes,
            departures: self.departures,
            traces: self.traces,
            settled: settled.collect(),
            seen: self.seen.into_iter().collect(),
            now_ms: self.given_ms,
            head: self.head,
            last_changed_at: if self.moved { self.now_ms } else { self.last_changed_at },
        }
    }
}

fn altered(columns: &BTreeSet<FilterColumn>, before: &Record, after: &Record) -> bool {
    columns.iter().any(|column| match column {
        FilterColumn::Field(field) => before.value(*field) != after.value(*field),
        FilterColumn::Deleted => before.meta.deleted != after.meta.deleted,
    })
}
