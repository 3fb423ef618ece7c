//! What has been here before is answered, and changes nothing.

use tombolo_core::id::MutationId;
use tombolo_core::query::MutationInput;
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;

use super::Batcher;
use super::ends::{rejected, reused, written_off};
use crate::decide::{StoredOutcome, mutation_id};
use crate::store::{MutationResult, Submission, Verdict};

impl Batcher<'_> {
    /// Answers a submission of which at least one number was decided before, and does nothing. If one of its mutations is
    /// not the one that had its number, none of them is.
    pub(super) fn replay_all(
        &self,
        envelope: &MutationEnvelope,
        submission: &Submission,
        settled_through: u64,
    ) -> Verdict {
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
    pub(super) fn is_same(
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

    pub(super) fn replay(
        &self,
        id: &MutationId,
        outcome: &StoredOutcome,
        mutation: Option<&MutationInput>,
    ) -> MutationResult {
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
}
