//! What is known of a replica's numbers: what it has settled and seen, what an envelope depends on, what is noted of each.

use tombolo_core::access::Identity;
use tombolo_core::id::{ModelId, MutationNumber, ReplicaId, Version};
use tombolo_core::merge::{MergeKind, Seen};
use tombolo_core::query::MutationInput;
use tombolo_core::record::Key;
use tombolo_core::wire::envelope::{MutationEnvelope, OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;

use super::Batcher;
use crate::decide::{Digest, RowKey, StoredOutcome, mutation_id};
use crate::limits;
use crate::store::{MutationResult, Submission};

/// What a replica's user saw of its own earlier mutations.
#[derive(Default)]
pub(super) struct SeenRows {
    /// Each version with the record that it is of.
    pub(super) versions: Vec<(RowKey, Seen)>,
    /// Of some of them the outcome is no longer kept, or is a refusal: what was seen is more than `versions`, and nobody knows
    /// what.
    pub(super) forgotten: bool,
}

pub(super) enum Dependencies {
    Met,
    Refused(RejectReason),
    Unknown(MutationNumber),
}

impl Batcher<'_> {
    /// Takes the replica's word on what it has settled, as far as that makes sense, and gives the bound.
    pub(super) fn settle(&mut self, envelope: &MutationEnvelope) -> u64 {
        let claimed = envelope.settled_through.min(envelope.number.0.saturating_sub(1));
        let known = self.settled.entry(envelope.replica.clone()).or_default();
        if claimed > *known {
            *known = claimed;
            self.settled_new.insert(envelope.replica.clone());
        }
        *known
    }

    /// Whether the replicas that the envelope names are the sender's. One that was nobody's becomes his.
    pub(super) fn claim(&mut self, envelope: &MutationEnvelope, submission: &Submission) -> bool {
        let sender = submission.context.identity.as_ref().and_then(Identity::principal);
        let named = envelope.moved_from.iter().map(|from| &from.replica);
        let mut named = named.chain([&envelope.replica]);
        if named.any(|replica| {
            self.principals
                .get(replica)
                .is_some_and(|of| Some(of) != sender.as_ref())
        }) {
            return false;
        }
        if let Some(sender) = sender
            && !self.principals.contains_key(&envelope.replica)
        {
            self.principals.insert(envelope.replica.clone(), sender);
            self.principals_new.insert(envelope.replica.clone());
        }
        true
    }

    /// Notes that a replica was heard of, if that was not noted lately. A clock that went back is no reason to note more.
    pub(super) fn see(&mut self, replica: &ReplicaId) {
        let known = self.last_seen_ms.get(replica).copied().unwrap_or_default();
        if known == 0 || self.given_ms.saturating_sub(known) >= limits::LAST_SEEN_INTERVAL_MS {
            self.seen.insert(replica.clone());
        }
    }

    pub(super) fn lost_through(&self, replica: &ReplicaId) -> u64 {
        self.lost.get(replica).copied().unwrap_or_default()
    }

    pub(super) fn dependencies(&self, envelope: &MutationEnvelope, settled_through: u64) -> Dependencies {
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
    pub(super) fn seen(&self, envelope: &MutationEnvelope) -> SeenRows {
        let mut seen = SeenRows::default();
        for number in &envelope.seen {
            // What was refused here was seen in a history that is lost: of the record that is here nothing was.
            let known = self.outcomes.get(&mutation_id(&envelope.replica, number.0));
            let Some(outcome) = known.filter(|outcome| outcome.kind != OutcomeKind::Rejected) else {
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

    pub(super) fn note(
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
    pub(super) fn digest(&self, envelope: &MutationEnvelope, submission: &Submission, place: usize) -> Option<Digest> {
        let mutation = submission.mutations.get(place);
        // A replica that gives something up need not repeat it to the letter.
        let request = submission.context.request_digest.filter(|_| !envelope.void);
        let known = mutation.is_some() || request.is_some();
        known.then(|| Digest::new(self.schema, envelope, mutation, request))
    }

    pub(super) fn note_outcome(
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
}

pub(super) fn seen_of(row: RowKey, outcome: OutcomeKind, version: Version) -> Option<(RowKey, Seen)> {
    let kind = match outcome {
        OutcomeKind::Applied => MergeKind::Applied,
        OutcomeKind::Merged => MergeKind::Merged,
        OutcomeKind::Rejected => return None,
    };
    Some((row, Seen { version, kind }))
}
