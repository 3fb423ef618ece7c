//! A mutation that goes on under another number may have been sent under its earlier one, by a copy of the replica's file.

use tombolo_core::id::MutationId;
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind};

use super::Batcher;
use super::ends::{forgotten, written_off};
use crate::decide::{StoredOutcome, mutation_id};
use crate::store::{Submission, Verdict};

impl Batcher<'_> {
    /// The verdict on a submission that was carried out under one of its earlier names, or may have been.
    pub(super) fn moved(&mut self, envelope: &MutationEnvelope, submission: &Submission) -> Option<Verdict> {
        envelope
            .moved_from
            .iter()
            .find_map(|from| self.moved_from(from, envelope, submission))
    }

    fn moved_from(
        &mut self,
        from: &MutationId,
        envelope: &MutationEnvelope,
        submission: &Submission,
    ) -> Option<Verdict> {
        let places = submission.count();
        let names: Vec<MutationId> = (0..places as u64).map(|place| from.after(place)).collect();
        let known: Vec<(usize, StoredOutcome)> = names
            .iter()
            .enumerate()
            .filter_map(|(place, name)| Some((place, self.outcomes.get(name)?.clone())))
            .collect();
        let Some((_, fellow)) = known.first() else {
            let (number, lost) = (from.number.0, self.lost_through(&from.replica));
            let settled = self.settled.get(&from.replica).copied().unwrap_or_default();
            let reason = if number <= settled {
                forgotten(number)
            } else if number <= lost {
                written_off(number)
            } else {
                return None;
            };
            return Some(self.reject_all(envelope, submission, None, reason));
        };
        // A transaction ends as one. Refused there, or another mutation: this one was not carried out under that name.
        let refused = fellow.kind == OutcomeKind::Rejected;
        let same = |(place, outcome): &(usize, StoredOutcome)| self.is_same(envelope, (submission, *place), outcome);
        if refused || !known.iter().all(same) {
            return None;
        }
        // Another mutation of this record may have had the number, and across schemas nothing tells them apart.
        let told = |(place, outcome): &(usize, StoredOutcome)| {
            let digest = self.digest(envelope, submission, *place);
            outcome
                .digest
                .zip(digest)
                .is_some_and(|(stored, digest)| stored.compares(digest))
        };
        if !known.iter().all(told) {
            return Some(self.reject_all(envelope, submission, None, forgotten(from.number.0)));
        }
        let mut results = Vec::with_capacity(places);
        for (place, name) in names.iter().enumerate() {
            let outcome = self.outcomes.get(name).unwrap_or(fellow).clone();
            let own = mutation_id(&envelope.replica, envelope.number.0.saturating_add(place as u64));
            let mut result = self.replay(name, &outcome, submission.mutations.get(place));
            result.number = Some(own.number);
            self.outcomes.insert(own.clone(), outcome.clone());
            self.new_outcomes.push((own, outcome));
            results.push(result);
        }
        Some(Verdict::decided(results))
    }

    /// Keeps what was just decided under the earlier names, too: who sends it by one of them is told the same.
    pub(super) fn note_moved(&mut self, envelope: &MutationEnvelope, submission: &Submission) {
        for from in &envelope.moved_from {
            for place in 0..submission.count() as u64 {
                let own = mutation_id(&envelope.replica, envelope.number.0.saturating_add(place));
                let name = from.after(place);
                if let Some(outcome) = self.outcomes.get(&own).cloned()
                    && !self.outcomes.contains_key(&name)
                {
                    self.outcomes.insert(name.clone(), outcome.clone());
                    self.new_outcomes.push((name, outcome));
                }
            }
        }
    }
}
