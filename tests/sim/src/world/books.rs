//! What is known of each mutation: what its user meant, under which identity it was sent, how the server decided it, how the
//! replica says that it ended.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use tombolo_core::id::MutationNumber;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_core::wire::graphql::ErrorType;
use tombolo_machine::{Ended, FinalOutcome, Outgoing, Renumbered};
use tombolo_store::Kept;

use super::{Held, World};
use crate::oracle::Meant;
use crate::report::Group;

/// How a mutation was last sent.
#[derive(Clone, Debug)]
pub(super) struct SentAs {
    pub(super) replica: String,
    /// The server says that the number was used for another one.
    pub(super) reused: bool,
}

/// The server does not say what became of a mutation.
pub(super) fn is_uncertain(code: &ErrorType) -> bool {
    matches!(code, ErrorType::OutcomeForgotten | ErrorType::ReplicaWrittenOff)
}

impl World {
    /// A request leaves a replica.
    pub(super) fn note_sent(&mut self, index: usize, outgoing: &Outgoing) {
        let Outgoing::Mutation { number, request } = outgoing else {
            return;
        };
        let envelope = request.extensions.as_ref().and_then(|e| e.get("tombolo"));
        let Some(replica) = envelope.and_then(|e| e.get("replica")).and_then(Json::as_str) else {
            return;
        };
        // One input for each mutation of a transaction.
        let inputs = request.variables.iter().flat_map(|v| v.keys());
        let count = inputs.filter(|name| name.starts_with('i')).count() as u64;
        for number in number.0..number.0 + count {
            let sent = SentAs {
                replica: replica.to_owned(),
                reused: false,
            };
            self.sent_as.insert((index, number), sent);
        }
    }

    /// How the server decided a mutation of a replica's file, if it did.
    pub(super) fn verdict(&self, index: usize, number: u64) -> Option<OutcomeKind> {
        let sent = self.sent_as.get(&(index, number)).filter(|sent| !sent.reused)?;
        let decided = self.decided.get(&(sent.replica.clone(), number))?;
        Some(decided.outcome)
    }

    fn is_forgotten(&self, index: usize, number: u64) -> bool {
        let sent = self.sent_as.get(&(index, number));
        sent.is_some_and(|sent| self.forgotten.contains(&(sent.replica.clone(), number)))
    }

    /// Mutations go on under new numbers, and with them what was meant.
    pub(super) fn renumbered(&mut self, index: usize, moved: Renumbered) -> Held {
        self.count(Group::Event, "mutations renumbered");
        let held: BTreeSet<u64> = self.outbox(index)?.into_iter().map(|entry| entry.number.0).collect();
        for number in moved.low.0..=moved.high.0 {
            let to = number + moved.by;
            if held.contains(&to) {
                self.moved(index, number, to);
            }
        }
        Ok(())
    }

    fn moved(&mut self, index: usize, from: u64, to: u64) {
        if let Some(meant) = self.meant.remove(&(index, from)) {
            self.meant.insert((index, to), meant);
        }
        let mine = self.meant.range_mut((index, 0)..=(index, u64::MAX));
        for (replaced, _) in mine.filter_map(|(_, meant)| meant.replaces.as_mut()) {
            if *replaced == from {
                *replaced = to;
            }
        }
    }

    /// After a death that kept it from being told: mutations that go on under other numbers.
    pub(super) fn look_for_numbers(&mut self, index: usize) -> Held {
        let mine = self.meant.range((index, 0)..=(index, u64::MAX));
        let standing = mine.filter(|(_, meant)| !meant.gone);
        let numbers: Vec<u64> = standing.map(|((_, number), _)| *number).collect();
        let moved = self.with_tx(index, |tx| {
            let mut moved = Vec::new();
            for number in numbers {
                let mut now = MutationNumber(number);
                while let Some(kept) = tx.find(now).map_err(|e| e.to_string())? {
                    now = kept.number();
                    // One that was rejected and goes on has ended under its old number.
                    let Kept::Ended(Ended { became: Some(next), .. }) = kept else {
                        break;
                    };
                    now = next;
                }
                if now.0 != number {
                    moved.push((number, now.0));
                }
            }
            Ok(moved)
        })?;
        for (from, to) in moved {
            self.moved(index, from, to);
        }
        Ok(())
    }

    /// The replica says how a mutation ended: the same as the server.
    pub(super) fn heard(&mut self, index: usize, number: MutationNumber, outcome: &FinalOutcome) -> Held {
        let says = match outcome {
            FinalOutcome::Applied => Some(OutcomeKind::Applied),
            FinalOutcome::Merged => Some(OutcomeKind::Merged),
            FinalOutcome::Rejected(_) => Some(OutcomeKind::Rejected),
            FinalOutcome::Discarded => None,
        };
        let server = self.verdict(index, number.0);
        // What waited for one that was sent under an older identity is refused by the replica itself; so is what was to
        // replace one of which nobody knows what became of it.
        let at_home = match outcome {
            FinalOutcome::Rejected(reason) => {
                (reason.code == ErrorType::DependencyRejected || is_uncertain(&reason.code)) && server.is_none()
            }
            FinalOutcome::Applied | FinalOutcome::Merged | FinalOutcome::Discarded => false,
        };
        let forgotten = self.is_forgotten(index, number.0);
        if says.is_some() && !at_home && says != server && !forgotten {
            let detail = format!("replica {index} says {outcome:?} of mutation {number}, the server {server:?}");
            return Err(self.broken("one end", detail));
        }
        if says.is_none() {
            self.count(Group::Mutation, "discarded");
            // One that was sent is given up only when the server has made its number void.
            let carried_out = matches!(server, Some(OutcomeKind::Applied | OutcomeKind::Merged));
            if carried_out && !forgotten {
                let detail = format!("replica {index} took back mutation {number}, which the server {server:?}");
                return Err(self.broken("one end", detail));
            }
            if let Some(meant) = self.meant.get_mut(&(index, number.0)) {
                meant.gone = true;
            }
        }
        Ok(())
    }

    /// Whether what a mutation replaced was carried out, so that only the difference goes on.
    pub(super) fn replaced_was_carried_out(&self, index: usize, replaces: Option<(u64, usize)>) -> bool {
        replaces.is_some_and(|(old, _)| {
            matches!(
                self.verdict(index, old),
                Some(OutcomeKind::Applied | OutcomeKind::Merged)
            )
        })
    }

    /// The fields of a mutation that those which it replaced had set the same and that were carried out with one of them: they
    /// are not sent again, since others may have changed them.
    pub(super) fn done_before(&self, index: usize, meant: &Meant) -> BTreeSet<String> {
        let (mut done, mut at) = (BTreeSet::new(), meant);
        while let Some((old, replaced)) = at
            .replaces
            .and_then(|(old, _)| Some((old, self.meant.get(&(index, old))?)))
        {
            if self.replaced_was_carried_out(index, at.replaces) {
                let same = meant
                    .sets
                    .iter()
                    .filter(|(name, value)| replaced.sets.get(*name) == Some(value));
                done.extend(same.map(|(name, _)| name.clone()));
            }
            // Numbers only grow, so this ends.
            at = match replaced.replaces {
                Some((older, _)) if older < old => replaced,
                Some(_) | None => break,
            };
        }
        done
    }

    /// The number of the replica that an identity belongs to.
    pub(super) fn whose(identity: &str) -> Option<usize> {
        identity.strip_prefix("replica-")?.split('-').next()?.parse().ok()
    }
}
