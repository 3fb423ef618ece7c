//! What makes a mutation take effect exactly once.
//!
//! For each submission, in order: seen before? (answer from the stored outcome) → settled long ago? → depends on a
//! refused one? → decide row by row → note the outcome. An atomic submission keeps an undo list of the rows it touched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use tombolo_core::id::{ModelId, MutationId, MutationNumber, Position, ReplicaId, Version};
use tombolo_core::merge::{MergeKind, Seen};
use tombolo_core::query::{FilterColumn, MutationInput};
use tombolo_core::record::{Change, Key, Record, StoredRecord};
use tombolo_core::schema::Schema;
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;
use tombolo_core::wire::trace::Trace;

use super::ask::Question;
use super::row::{Decision, RowFacts, decide_row, key_of};
use super::{
    Departure, Digest, Facts, RowKey, RowWrite, Settled, StoredOutcome, Writes, mutation_id, parts, resolve, trace,
};
use crate::limits;
use crate::store::{MutationResult, Submission, Undecided, Verdict};

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
        let Some(envelope) = &submission.envelope else {
            return self.anonymous(submission);
        };
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
                    record: row.stored.as_ref().map(|stored| Arc::new(stored.record.clone())),
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
            position: Position(self.head.0.saturating_add(1)),
            now_ms: self.now_ms,
        };
        let (schema, now_ms, context) = (self.schema, self.now_ms, &submission.context);
        let trace = |found, outcome| {
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
            Decision::Write { outcome, next, found } => {
                let trace = match outcome {
                    OutcomeKind::Applied => None,
                    OutcomeKind::Merged | OutcomeKind::Rejected => trace(found, outcome),
                };
                (outcome, next, trace)
            }
            Decision::Reject { reason, found } => {
                return Ok(MutationResult {
                    record: row.stored.as_ref().map(|stored| Arc::new(stored.record.clone())),
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

    /// Takes the replica's word on what it has settled, as far as that makes sense, and gives the bound.
    fn settle(&mut self, envelope: &MutationEnvelope) -> u64 {
        let claimed = envelope.settled_through.min(envelope.number.0.saturating_sub(1));
        let known = self.settled.entry(envelope.replica.clone()).or_default();
        if claimed > *known {
            *known = claimed;
            self.settled_new.insert(envelope.replica.clone());
        }
        *known
    }

    /// Notes that a replica was heard of, if that was not noted lately. A clock that went back is no reason to note more.
    fn see(&mut self, replica: &ReplicaId) {
        let known = self.last_seen_ms.get(replica).copied().unwrap_or_default();
        if known == 0 || self.given_ms.saturating_sub(known) >= limits::LAST_SEEN_INTERVAL_MS {
            self.seen.insert(replica.clone());
        }
    }

    fn lost_through(&self, replica: &ReplicaId) -> u64 {
        self.lost.get(replica).copied().unwrap_or_default()
    }

    fn dependencies(&self, envelope: &MutationEnvelope, settled_through: u64) -> Dependencies {
        for number in &envelope.depends_on {
            if *number >= envelope.number {
                let message = format!(
                    "mutation {} depends on {number}, which is not an earlier one",
                    envelope.number
                );
                return Dependencies::Refused(RejectReason {
                    code: ErrorType::BadRequest,
                    message,
                });
            }
            match self.outcomes.get(&mutation_id(&envelope.replica, number.0)) {
                Some(outcome) if outcome.kind == OutcomeKind::Rejected => {
                    let message = match &outcome.reason {
                        // Named is the one at the root of it.
                        Some(reason) if reason.code == ErrorType::DependencyRejected => reason.message.clone(),
                        Some(reason) => format!("it depends on mutation {number}, which was rejected ({reason})"),
                        None => format!("it depends on mutation {number}, which was rejected"),
                    };
                    return Dependencies::Refused(RejectReason {
                        code: ErrorType::DependencyRejected,
                        message,
                    });
                }
                Some(_) => {}
                None if number.0 <= settled_through => {}
                None if number.0 <= self.lost_through(&envelope.replica) => {
                    let message = format!(
                        "it depends on mutation {number}, of which it is no longer known what became of it: this replica was \
                         silent for too long"
                    );
                    return Dependencies::Refused(RejectReason {
                        code: ErrorType::DependencyRejected,
                        message,
                    });
                }
                None => return Dependencies::Unknown(*number),
            }
        }
        Dependencies::Met
    }

    /// What the envelope says was seen.
    fn seen(&self, envelope: &MutationEnvelope) -> SeenRows {
        let mut seen = SeenRows::default();
        for number in &envelope.seen {
            let Some(outcome) = self.outcomes.get(&mutation_id(&envelope.replica, number.0)) else {
                seen.forgotten = true;
                continue;
            };
            seen.versions.extend(
                outcome
                    .row
                    .as_ref()
                    .and_then(|(model, key)| seen_of((*model, key.to_text()), outcome.kind, outcome.version)),
            );
        }
        seen
    }

    fn note(
        &mut self,
        envelope: &MutationEnvelope,
        at: (&Submission, usize),
        mutation: &MutationInput,
        mut result: MutationResult,
    ) -> MutationResult {
        let number = envelope.number.0.saturating_add(at.1 as u64);
        result.number = Some(MutationNumber(number));
        self.keep(&mut result, at);
        let model = &self.schema[mutation.model];
        let key = match &result.change {
            Some(change) => Some(change.after.key(&model.key)),
            None => mutation.key(model),
        };
        let row = key.map(|key| (mutation.model, key));
        let digest = self.digest(envelope, at.0, at.1);
        self.note_outcome(envelope, number, row, digest, &result);
        result
    }

    /// What tells the submission's mutation at `place` from another one.
    fn digest(&self, envelope: &MutationEnvelope, submission: &Submission, place: usize) -> Option<Digest> {
        let mutation = submission.mutations.get(place);
        // A replica that gives something up need not repeat it to the letter.
        let request = submission.context.request_digest.filter(|_| !envelope.void);
        let known = mutation.is_some() || request.is_some();
        known.then(|| Digest::new(self.schema, envelope, mutation, request))
    }

    fn note_outcome(
        &mut self,
        envelope: &MutationEnvelope,
        number: u64,
        row: Option<(ModelId, Key)>,
        digest: Option<Digest>,
        result: &MutationResult,
    ) {
        let version = match &result.change {
            Some(change) => change.after.meta.version,
            None => Version(0),
        };
        let outcome = StoredOutcome {
            kind: result.outcome,
            reason: result.reason.clone(),
            row,
            position: result.position.unwrap_or_default(),
            version,
            digest,
        };
        let id = mutation_id(&envelope.replica, number);
        self.outcomes.insert(id.clone(), outcome.clone());
        self.new_outcomes.push((id, outcome));
    }

    /// Answers a submission of which at least one number was decided before, and does nothing. If one of its mutations is
    /// not the one that had its number, none of them is.
    fn replay_all(&self, envelope: &MutationEnvelope, submission: &Submission, settled_through: u64) -> Verdict {
        let first = envelope.number.0;
        let numbers = (0..submission.count() as u64).map(|i| first.saturating_add(i));
        let known = |number: u64| self.outcomes.get(&mutation_id(&envelope.replica, number));
        let mut known_pairs = numbers
            .clone()
            .enumerate()
            .filter_map(|(place, number)| known(number).map(|outcome| (place, outcome)));
        if !known_pairs.all(|(place, outcome)| self.is_same(envelope, (submission, place), outcome)) {
            let results = numbers.map(|number| rejected(Some(number), reused(number)));
            return Verdict::decided(results.collect());
        }
        // A transaction ends as one: while an outcome of it is kept, those already forgotten are known as well.
        let forgotten_through = settled_through.max(self.lost_through(&envelope.replica));
        let fellow = numbers.clone().find_map(known);
        let results = numbers.enumerate().map(|(place, number)| {
            let outcome = known(number).or_else(|| fellow.filter(|_| submission.atomic && number <= forgotten_through));
            match outcome {
                Some(outcome) => {
                    let id = mutation_id(&envelope.replica, number);
                    self.replay(&id, outcome, submission.mutations.get(place))
                }
                None if number <= self.lost_through(&envelope.replica) => rejected(Some(number), written_off(number)),
                None => {
                    // The number was used before by a request with fewer root fields.
                    let message = format!("mutation {} was sent before without number {number}", envelope.number);
                    let code = ErrorType::BadRequest;
                    rejected(Some(number), RejectReason { code, message })
                }
            }
        });
        Verdict::decided(results.collect())
    }

    /// Whether the submission's mutation at the place is the one that `outcome` is of. The answer's selection is that of the
    /// mutation as it comes now: an outcome of another record would be read through another model's rules and columns.
    fn is_same(
        &self,
        envelope: &MutationEnvelope,
        (submission, place): (&Submission, usize),
        outcome: &StoredOutcome,
    ) -> bool {
        let mutation = submission.mutations.get(place);
        let same_record = outcome
            .row
            .as_ref()
            .zip(mutation)
            .is_none_or(|((model, key), mutation)| {
                let given = mutation.key(&self.schema[mutation.model]);
                mutation.model == *model && given.is_none_or(|given| given.to_text() == key.to_text())
            });
        let digest = self.digest(envelope, submission, place);
        same_record
            && !outcome
                .digest
                .zip(digest)
                .is_some_and(|(stored, digest)| stored.differs(digest))
    }

    fn replay(&self, id: &MutationId, outcome: &StoredOutcome, mutation: Option<&MutationInput>) -> MutationResult {
        let record = mutation
            .and(outcome.row.as_ref())
            .and_then(|(model, key)| self.record_now(*model, key));
        MutationResult {
            number: Some(id.number),
            outcome: outcome.kind,
            reason: outcome.reason.clone(),
            record,
            position: (outcome.kind != OutcomeKind::Rejected).then_some(outcome.position),
            change: None,
            trace: self.known_traces.get(id).cloned(),
        }
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
        Writes {
            rows,
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

/// What a replica's user saw of its own earlier mutations.
#[derive(Default)]
struct SeenRows {
    /// Each version with the record that it is of.
    versions: Vec<(RowKey, Seen)>,
    /// Of some of them the outcome is no longer kept: what was seen is more than `versions`, and nobody knows what.
    forgotten: bool,
}

enum Dependencies {
    Met,
    Refused(RejectReason),
    Unknown(MutationNumber),
}

fn altered(columns: &BTreeSet<FilterColumn>, before: &Record, after: &Record) -> bool {
    columns.iter().any(|column| match column {
        FilterColumn::Field(field) => before.value(*field) != after.value(*field),
        FilterColumn::Deleted => before.meta.deleted != after.meta.deleted,
    })
}

/// Everything that a submission has to ask a resolver about in one go: a record that waits for an answer keeps none of the
/// others from being looked at.
#[derive(Default)]
struct Asked {
    questions: Vec<Question>,
    rows: BTreeSet<RowKey>,
}

impl Asked {
    fn take(&mut self, question: Question) {
        self.rows.insert((question.model, question.key.to_text()));
        self.questions.push(question);
    }

    /// Whether `mutation` is about a record of which it is not known yet what an earlier one makes of it.
    fn waits(&self, schema: &Schema, mutation: &MutationInput) -> bool {
        let key = || mutation.key(&schema[mutation.model]);
        !self.rows.is_empty() && key().is_some_and(|key| self.rows.contains(&(mutation.model, key.to_text())))
    }
}

fn ask(questions: Vec<Question>) -> Verdict {
    Verdict {
        ask: questions,
        ..Verdict::default()
    }
}

fn rejected(number: Option<u64>, reason: RejectReason) -> MutationResult {
    MutationResult {
        number: number.map(MutationNumber),
        outcome: OutcomeKind::Rejected,
        reason: Some(reason),
        record: None,
        position: None,
        change: None,
        trace: None,
    }
}

fn seen_of(row: RowKey, outcome: OutcomeKind, version: Version) -> Option<(RowKey, Seen)> {
    let kind = match outcome {
        OutcomeKind::Applied => MergeKind::Applied,
        OutcomeKind::Merged => MergeKind::Merged,
        OutcomeKind::Rejected => return None,
    };
    Some((row, Seen { version, kind }))
}

fn reused(number: u64) -> RejectReason {
    let message = format!(
        "number {number} of this replica was used for another mutation: the replica's file was copied or restored from a \
         backup; send the mutation under a fresh replica id"
    );
    RejectReason {
        code: ErrorType::NumberReused,
        message,
    }
}

fn written_off(number: u64) -> RejectReason {
    let message = format!(
        "this replica was silent for so long that the server no longer knows whether mutation {number} took effect, and will \
         not carry it out a second time; look at the record as it is now, and make the edit again if it is missing"
    );
    RejectReason {
        code: ErrorType::ReplicaWrittenOff,
        message,
    }
}

fn forgotten(number: u64) -> RejectReason {
    let message = format!(
        "mutation {number} of this replica is settled, and what became of it is no longer known: the replica's file was \
         copied or restored from a backup. It may have been carried out: compare with the record, and make the edit again \
         under a fresh replica id if it is missing"
    );
    RejectReason {
        code: ErrorType::OutcomeForgotten,
        message,
    }
}

fn given_up() -> RejectReason {
    RejectReason {
        code: ErrorType::Discarded,
        message: "the replica gave it up before it was decided".to_owned(),
    }
}

fn undecided(code: ErrorType, message: String, retry: bool) -> Verdict {
    Verdict {
        undecided: Some(Undecided { code, message, retry }),
        ..Verdict::default()
    }
}

fn whole_failed(culprit: Option<u64>) -> RejectReason {
    let message = match culprit {
        Some(number) => format!("mutation {number} of the same transaction was rejected, so none of it was applied"),
        None => "another mutation of the same transaction was rejected, so none of it was applied".to_owned(),
    };
    RejectReason {
        code: ErrorType::DependencyRejected,
        message,
    }
}

fn result_reason(result: &MutationResult) -> RejectReason {
    result.reason.clone().unwrap_or(RejectReason {
        code: ErrorType::InternalFailure,
        message: String::new(),
    })
}
