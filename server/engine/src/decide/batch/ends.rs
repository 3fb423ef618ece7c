//! The ends that a submission may come to without a look at its rows, each in words.

use tombolo_core::id::MutationNumber;
use tombolo_core::wire::envelope::{OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;

use crate::store::{MutationResult, Undecided, Verdict};

pub(super) fn rejected(number: Option<u64>, reason: RejectReason) -> MutationResult {
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

pub(super) fn reused(number: u64) -> RejectReason {
    let message = format!(
        "number {number} of this replica was used for another mutation: the replica's file was copied or restored from a \
         backup; send the mutation under a fresh replica id"
    );
    RejectReason {
        code: ErrorType::NumberReused,
        message,
    }
}

pub(super) fn written_off(number: u64) -> RejectReason {
    let message = format!(
        "this replica was silent for so long that the server no longer knows whether mutation {number} took effect, and will \
         not carry it out a second time; look at the record as it is now, and make the edit again if it is missing"
    );
    RejectReason {
        code: ErrorType::ReplicaWrittenOff,
        message,
    }
}

pub(super) fn forgotten(number: u64) -> RejectReason {
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

pub(super) fn not_yours(number: u64) -> RejectReason {
    let message = format!(
        "this replica was another user's, so what it says of mutation {number} is not believed. If it was sent before, it may \
         have been carried out: compare with the record, and make the edit again under a fresh replica id if it is missing"
    );
    RejectReason {
        code: ErrorType::OutcomeForgotten,
        message,
    }
}

pub(super) fn given_up() -> RejectReason {
    RejectReason {
        code: ErrorType::Discarded,
        message: "the replica gave it up before it was decided".to_owned(),
    }
}

pub(super) fn undecided(code: ErrorType, message: String, retry: bool) -> Verdict {
    Verdict {
        undecided: Some(Undecided { code, message, retry }),
        ..Verdict::default()
    }
}

pub(super) fn whole_failed(culprit: Option<u64>) -> RejectReason {
    let message = match culprit {
        Some(number) => format!("mutation {number} of the same transaction was rejected, so none of it was applied"),
        None => "another mutation of the same transaction was rejected, so none of it was applied".to_owned(),
    };
    RejectReason {
        code: ErrorType::DependencyRejected,
        message,
    }
}

pub(super) fn result_reason(result: &MutationResult) -> RejectReason {
    result.reason.clone().unwrap_or(RejectReason {
        code: ErrorType::InternalFailure,
        message: String::new(),
    })
}
