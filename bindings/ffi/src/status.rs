//! How a replica stands, and what happens to it.

use tombolo::MutationNumber;

use crate::outbox::Outcome;
use crate::{ImportReport, ScopeConfig, convert};

/// How the replica stands: [`tombolo::Status`].
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Status {
    /// The link.
    pub link: LinkStatus,
    /// What the open link goes by, such as `websocket`; `None` while there is no link.
    pub transport: Option<String>,
    /// Mutations on their way: queued, in flight, or acknowledged and not yet settled.
    pub pending: u64,
    /// Of those, sent and not yet answered.
    pub in_flight: u64,
    /// Mutations that wait for the app.
    pub wedged: u64,
    /// Refused mutations that the app has not taken note of.
    pub rejected: u64,
    /// Of the pending ones, held back until the server knows their schema.
    pub held: u64,
    /// The newest trouble, until the next progress.
    pub last_error: Option<LastError>,
    /// The link is open and every scope is complete up to the server's head as of its newest word.
    pub up_to_date: bool,
    /// Each scope, by model name.
    pub scopes: Vec<ScopeStatus>,
}

/// The link: [`tombolo::LinkStatus`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum LinkStatus {
    /// The app wants none.
    Offline,
    /// Waiting to try again.
    Waiting,
    /// Being opened.
    Opening,
    /// Open, fetching what was missed.
    CatchingUp,
    /// Open; changes arrive as they happen.
    Live,
    /// The credential was refused; waiting for the app.
    Paused,
    /// Wanted, but another process on the same file has it, and sends what this one queues.
    Elsewhere,
}

/// What went wrong most recently.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct LastError {
    /// A stable word: `lost`, `unauthorized`, `protocol`, `refused`, `undecided`, `stalled`, `store`.
    pub code: String,
    /// Words for people.
    pub detail: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// One scope.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct ScopeStatus {
    /// What is held.
    pub scope: ScopeConfig,
    /// Something of it has been durably applied.
    pub begun: bool,
    /// Complete up to the server's head as of its newest word.
    pub up_to_date: bool,
    /// Why the server does not give it, in its words.
    pub refused: Option<String>,
}

/// What a round of [`crate::Client::sync_once`] did: [`tombolo::SyncReport`].
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SyncReport {
    /// Mutations that the server applied or merged.
    pub pushed: u64,
    /// Mutations that the server refused.
    pub rejected: u64,
    /// Records that came or left.
    pub pulled: u64,
    /// Mutations still on their way.
    pub pending: u64,
    /// Everything that the server had was here at the end.
    pub up_to_date: bool,
    /// Nothing is left to do: up to date, with nothing pending.
    pub complete: bool,
    /// The newest trouble, in words for people, if the round did not get through.
    pub trouble: Option<String>,
}

/// What becomes of an account's file when it signs out: [`tombolo::SignOut`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum SignOut {
    /// Send what is queued first, for at most this long. What is left is kept, sealed.
    SendFirst {
        /// The longest time to try, in milliseconds.
        budget_ms: u64,
    },
    /// Keep the file as it is, sealed, without sending anything.
    KeepSealed,
    /// Remove the file with everything that was not sent.
    Discard,
}

/// What became of an account's mutations when it signed out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SignedOut {
    /// Mutations that the server applied or merged in the course of it.
    pub sent: u64,
    /// Mutations that are kept in the sealed file.
    pub kept: u64,
    /// Mutations that were thrown away with the file.
    pub discarded: u64,
}

/// What was saved out of a damaged file: [`tombolo::Salvage`].
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct Salvage {
    /// Where the damaged file is kept.
    pub damaged: String,
    /// What was wrong, in the database's words.
    pub problem: String,
    /// The replica is the same one as before.
    pub same_replica: bool,
    /// Mutations saved, in any state.
    pub mutations: u64,
    /// Of those, of which it is not known whether they took effect.
    pub uncertain: u64,
    /// Mutations that could be seen but not read.
    pub lost: u64,
    /// The queue could be walked from end to end.
    pub whole: bool,
}

/// Something that an app may want to act on, told once: [`tombolo::Event`].
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum Event {
    /// A mutation has reached its final state.
    Decided {
        /// Which one.
        number: u64,
        /// How it ended.
        outcome: Outcome,
    },
    /// A mutation cannot be decided as it stands and waits for the app: retry or discard it.
    Wedged {
        /// Which one.
        number: u64,
        /// The last answer's words.
        reason: String,
    },
    /// The server refused the credential.
    NeedToken,
    /// Another process has signed the account out of this file; this client has ended.
    SignedOut,
    /// The file goes on under a fresh identity, since another replica has used its numbers.
    ReplicaRenewed {
        /// The fresh identity.
        replica: String,
    },
    /// Mutations go on under new numbers: number `n` from `low` to `high` became `n + by`.
    Renumbered {
        /// The lowest.
        low: u64,
        /// The highest.
        high: u64,
        /// The distance.
        by: u64,
    },
    /// The link was open and owed something, and nothing came for 30 s; it is being opened anew.
    Stalled,
    /// The file was damaged.
    Salvaged {
        /// What was saved.
        salvage: Salvage,
    },
    /// A file of Amplify DataStore was taken over, or could not be; told again when everything that was taken is settled.
    Imported {
        /// What became of it.
        report: ImportReport,
    },
    /// The app was so slow to ask that the oldest events are gone; the outbox and the status hold what lasts.
    Missed {
        /// How many.
        count: u64,
    },
}

impl From<&tombolo::Status> for Status {
    fn from(status: &tombolo::Status) -> Self {
        Self {
            link: match status.link {
                tombolo::LinkStatus::Offline => LinkStatus::Offline,
                tombolo::LinkStatus::Waiting => LinkStatus::Waiting,
                tombolo::LinkStatus::Opening => LinkStatus::Opening,
                tombolo::LinkStatus::CatchingUp => LinkStatus::CatchingUp,
                tombolo::LinkStatus::Live => LinkStatus::Live,
                tombolo::LinkStatus::Paused => LinkStatus::Paused,
                tombolo::LinkStatus::Elsewhere => LinkStatus::Elsewhere,
            },
            transport: status.transport.map(str::to_owned),
            pending: status.pending,
            in_flight: status.in_flight,
            wedged: status.wedged,
            rejected: status.rejected,
            held: status.held,
            last_error: status.last_error.as_ref().map(|error| LastError {
                code: error.code.to_owned(),
                detail: error.message.clone(),
                at_ms: error.at_ms,
            }),
            up_to_date: status.up_to_date,
            scopes: status.scopes.iter().map(ScopeStatus::from).collect(),
        }
    }
}

impl From<&tombolo::ScopeStatus> for ScopeStatus {
    fn from(scope: &tombolo::ScopeStatus) -> Self {
        Self {
            scope: ScopeConfig {
                model: scope.model.clone(),
                filter: scope.filter.as_ref().map(convert::text),
            },
            begun: scope.cursor.is_some(),
            up_to_date: scope.up_to_date,
            refused: scope.refused.clone(),
        }
    }
}

impl From<tombolo::SyncReport> for SyncReport {
    fn from(report: tombolo::SyncReport) -> Self {
        Self {
            complete: report.is_complete(),
            pushed: report.pushed,
            rejected: report.rejected,
            pulled: report.pulled,
            pending: report.pending,
            up_to_date: report.up_to_date,
            trouble: report.trouble,
        }
    }
}

impl From<SignOut> for tombolo::SignOut {
    fn from(how: SignOut) -> Self {
        match how {
            SignOut::SendFirst { budget_ms } => Self::SendFirst {
                budget: crate::config::milliseconds(budget_ms),
            },
            SignOut::KeepSealed => Self::KeepSealed,
            SignOut::Discard => Self::Discard,
        }
    }
}

impl From<tombolo::SignedOut> for SignedOut {
    fn from(signed_out: tombolo::SignedOut) -> Self {
        Self {
            sent: signed_out.sent,
            kept: signed_out.kept,
            discarded: signed_out.discarded,
        }
    }
}

impl From<&tombolo::Salvage> for Salvage {
    fn from(salvage: &tombolo::Salvage) -> Self {
        Self {
            damaged: salvage.damaged.to_string_lossy().into_owned(),
            problem: salvage.problem.clone(),
            same_replica: salvage.same_replica,
            mutations: salvage.mutations,
            uncertain: salvage.uncertain,
            lost: salvage.lost,
            whole: salvage.whole,
        }
    }
}

impl From<tombolo::Event> for Event {
    fn from(event: tombolo::Event) -> Self {
        let number = |number: MutationNumber| number.0;
        match event {
            tombolo::Event::Decided { number, outcome } => Self::Decided {
                number: number.0,
                outcome: outcome.into(),
            },
            tombolo::Event::Wedged { number, reason } => Self::Wedged {
                number: number.0,
                reason,
            },
            tombolo::Event::NeedToken => Self::NeedToken,
            tombolo::Event::SignedOut => Self::SignedOut,
            tombolo::Event::ReplicaRenewed { replica } => Self::ReplicaRenewed { replica },
            tombolo::Event::Renumbered { low, high, by } => Self::Renumbered {
                low: number(low),
                high: number(high),
                by,
            },
            tombolo::Event::Stalled => Self::Stalled,
            tombolo::Event::Imported(report) => Self::Imported {
                report: ImportReport::from(*report),
            },
            tombolo::Event::Salvaged {
                damaged,
                problem,
                same_replica,
                mutations,
                uncertain,
                lost,
                whole,
            } => Self::Salvaged {
                salvage: Salvage {
                    damaged,
                    problem,
                    same_replica,
                    mutations,
                    uncertain,
                    lost,
                    whole,
                },
            },
        }
    }
}
