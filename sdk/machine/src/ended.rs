//! What has ended: every entry that leaves the outbox is written down here in the same transaction, so that no mutation
//! disappears. An entry stands in the outbox or here, never in both.

use serde_json::Value as Json;
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::wire::envelope::OutcomeKind;

use crate::context::Context;
use crate::effect::FinalOutcome;
use crate::limits::{ENDED_KEPT, ENDED_LIFE_MS, ENDED_RECENT_MS, OUTBOX_ENTRIES_MAX};
use crate::machine::StepError;
use crate::outbox::{EntryState, Intent, OutboxEntry};

/// A mutation that has ended, with what it meant.
#[derive(Clone, Debug, PartialEq)]
pub struct Ended {
    /// Its number.
    pub number: MutationNumber,
    /// The first number of its atomic transaction; its own for a mutation alone.
    pub first: MutationNumber,
    /// Part of an atomic transaction.
    pub atomic: bool,
    /// The replica that it was sent under.
    pub replica: ReplicaId,
    /// What the user meant.
    pub intent: Intent,
    /// Its final state.
    pub outcome: FinalOutcome,
    /// What was in conflict or refused, in the server's words ([`tombolo_core::wire::trace`]).
    pub conflict: Option<Json>,
    /// The mutation that the app made of it by a retry.
    pub became: Option<MutationNumber>,
    /// Who made it.
    pub author: Option<String>,
    /// Hash of the schema that it was made under.
    pub schema: String,
    /// When it was made, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// When it left the outbox, in milliseconds since 1970.
    pub ended_at_ms: i64,
}

impl OutboxEntry {
    /// The final state, if there is one by now: an acknowledged or rejected entry has ended, though it still stands in the
    /// outbox, the one until the feed has passed it, the other until the app has taken note.
    #[must_use]
    pub fn outcome(&self) -> Option<FinalOutcome> {
        match &self.state {
            EntryState::Acked { outcome, .. } => Some(match outcome {
                OutcomeKind::Merged => FinalOutcome::Merged,
                OutcomeKind::Applied | OutcomeKind::Rejected => FinalOutcome::Applied,
            }),
            EntryState::Rejected(reason) => Some(FinalOutcome::Rejected(reason.clone())),
            EntryState::Queued | EntryState::InFlight | EntryState::Wedged { .. } | EntryState::GivenUp => None,
        }
    }
}

impl Context<'_> {
    /// Takes an entry out of the outbox: with the outcome that it has, or as discarded.
    pub(crate) fn remove_entry(&mut self, entry: &OutboxEntry) -> Result<(), StepError> {
        let outcome = entry.outcome().unwrap_or(FinalOutcome::Discarded);
        self.end(entry, outcome, None)
    }

    /// Takes an entry out of the outbox with this outcome; `became`: the mutation that goes on in its place.
    pub(crate) fn end(
        &mut self,
        entry: &OutboxEntry,
        outcome: FinalOutcome,
        became: Option<MutationNumber>,
    ) -> Result<(), StepError> {
        self.forget(entry)?;
        let replica = match &entry.replica {
            Some(replica) => replica.clone(),
            None => self.tx.replica(),
        };
        self.tx.put_ended(&Ended {
            number: entry.number,
            first: entry.first,
            atomic: entry.atomic,
            replica,
            intent: entry.intent.clone(),
            outcome,
            conflict: entry.conflict.clone(),
            became,
            author: entry.author.clone(),
            schema: entry.schema.clone(),
            created_at_ms: entry.created_at_ms,
            ended_at_ms: self.now.wall_ms,
        })?;
        self.ended = true;
        Ok(())
    }

    /// Keeps what has ended within its bounds, once a step.
    pub(crate) fn trim_ended(&mut self) -> Result<(), StepError> {
        if std::mem::take(&mut self.ended) {
            let now = self.now.wall_ms;
            self.tx.trim_ended(
                ENDED_KEPT,
                now - ENDED_RECENT_MS,
                OUTBOX_ENTRIES_MAX,
                now - ENDED_LIFE_MS,
            )?;
        }
        Ok(())
    }
}
