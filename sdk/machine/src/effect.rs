//! What the driver is to do after the commit.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value as Json;
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::Request;

use crate::input::FeedNumber;
use crate::limits::CHANGED_KEYS_MAX;
use crate::scope::ScopeCursor;

/// One thing to do. Effects of one step are to be carried out in their order.
#[derive(Clone, Debug, PartialEq)]
pub enum Effect {
    /// Open the link; report `LinkOpened` or `LinkClosed`.
    OpenLink,
    /// Close the link. Anything that it still delivers may be dropped.
    CloseLink,
    /// Send a message over the open link.
    Send(Outgoing),
    /// Give `Input::Wake` at this moment of the monotonic clock, or at once if it has passed. Replaces the earlier one.
    WakeAt(Duration),
    /// View rows changed: run the live queries that read them.
    Changed(ChangeSet),
    /// The credential was refused: ask the app for another, once; then `Input::TokenChanged`.
    NeedToken,
    /// The status changed.
    Status(Status),
    /// The numbers of the mutations just enqueued, in order. A folded one has the number of the entry that took it in.
    Enqueued(Vec<MutationNumber>),
    /// The final outcome of a mutation is known. (Its entry may stay a while, until the feed has passed it.)
    Decided {
        /// Which one.
        number: MutationNumber,
        /// How it ended.
        outcome: FinalOutcome,
    },
    /// A mutation cannot succeed as it stands and waits for the app.
    Wedged {
        /// Which one.
        number: MutationNumber,
        /// The last undecided answer.
        reason: String,
    },
    /// The file was copied or restored from a backup: the replica goes on under a fresh identity.
    Renewed {
        /// The fresh one.
        replica: ReplicaId,
    },
    /// Mutations go on under new numbers.
    Renumbered(Renumbered),
    /// Rows of a feed page were applied.
    Pulled {
        /// The model.
        model: String,
        /// Rows written.
        rows: u64,
        /// Records that left.
        left: u64,
    },
    /// The link was open and owed us something, and nothing came; it is being opened anew.
    Stalled,
}

/// A message to the server. The driver translates it into the transport's terms.
#[derive(Clone, Debug, PartialEq)]
pub enum Outgoing {
    /// Subscribe to the change feed of these scopes from their cursors.
    Subscribe {
        /// To be given back with each batch.
        feed: FeedNumber,
        /// Whose feed it is, for `extensions.tombolo.replica`: after each of this replica's mutations the server then sends
        /// a batch whose cursor covers it, also when no record of the scope changed.
        replica: ReplicaId,
        /// At least one.
        scopes: Vec<ScopeCursor>,
    },
    /// End that subscription.
    Unsubscribe {
        /// Which one.
        feed: FeedNumber,
    },
    /// Send a mutation; report its answer with this number. `request` is complete, extensions included.
    Mutation {
        /// The (first) mutation's number.
        number: MutationNumber,
        /// The request.
        request: Request,
    },
    /// Fetch one page of one scope by the query `tomboloChanges`.
    FetchPage {
        /// To be given back with the page.
        feed: FeedNumber,
        /// The scope and where it stands.
        scope: ScopeCursor,
        /// Whose page it is, as for a subscription.
        replica: ReplicaId,
        /// Most rows that the line bears.
        rows: u64,
    },
}

/// Mutations that go on under new numbers, in their order: number `n` from `low` to `high` became `n + by`. Not every number
/// in between need have been one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renumbered {
    /// The lowest.
    pub low: MutationNumber,
    /// The highest.
    pub high: MutationNumber,
    /// The distance.
    pub by: u64,
}

/// How a mutation ended.
#[derive(Clone, Debug, PartialEq)]
pub enum FinalOutcome {
    /// As it was sent.
    Applied,
    /// Merged with a change it had not seen.
    Merged,
    /// Refused by the server.
    Rejected(RejectReason),
    /// Given up by the app, or taken back before it was ever sent (a create and its delete).
    Discarded,
}

/// Which view rows a step changed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChangeSet {
    /// Model name → keys.
    pub models: BTreeMap<String, ChangedKeys>,
}

/// Which records of a model changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChangedKeys {
    /// Too many to name.
    All,
    /// These ([`tombolo_core::record::Key::to_text`]).
    Some(BTreeSet<String>),
}

impl ChangeSet {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.models.is_empty()
    }

    /// Notes one record.
    pub fn add(&mut self, model: &str, key: &str) {
        if let Some(keys) = self.models.get_mut(model) {
            if let ChangedKeys::Some(set) = keys {
                set.insert(key.to_owned());
                if set.len() > CHANGED_KEYS_MAX {
                    *keys = ChangedKeys::All;
                }
            }
        } else {
            self.models
                .insert(model.to_owned(), ChangedKeys::Some(BTreeSet::from([key.to_owned()])));
        }
    }

    /// Notes a whole model.
    pub fn add_all(&mut self, model: &str) {
        self.models.insert(model.to_owned(), ChangedKeys::All);
    }

    /// Takes in what another step changed.
    pub fn merge(&mut self, other: ChangeSet) {
        for (model, keys) in other.models {
            match keys {
                ChangedKeys::All => self.add_all(&model),
                ChangedKeys::Some(keys) => keys.iter().for_each(|key| self.add(&model, key)),
            }
        }
    }
}

/// How the replica stands, for the app.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The link.
    pub link: LinkStatus,
    /// What the open link goes by: `websocket`, `http` (requests alone), `mqtt`, `mqtts`, `mqtt-websocket`, or what a
    /// transport of the app's own says; `None` while there is no link. Never the machine's own word: the driver says it.
    pub transport: Option<&'static str>,
    /// Mutations on their way: queued, in flight, or acknowledged and not yet settled.
    pub pending: u64,
    /// Of those, sent and not yet answered.
    pub in_flight: u64,
    /// Mutations that wait for the app.
    pub wedged: u64,
    /// Refused mutations that the app has not taken note of.
    pub rejected: u64,
    /// Of the pending ones, held back until the server knows their schema: it is older than this app.
    pub held: u64,
    /// The newest trouble, until the next progress.
    pub last_error: Option<LastError>,
    /// The link is open and every scope is complete up to the server's head as of its newest word.
    pub up_to_date: bool,
    /// Each scope, by model name.
    pub scopes: Vec<ScopeStatus>,
}

/// The link, for the app.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LinkStatus {
    /// The app wants none.
    #[default]
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
    /// Wanted, but another process on the same file has it; that one sends what this one queues. Never the machine's own
    /// word: the driver says it.
    Elsewhere,
}

/// What went wrong most recently.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastError {
    /// A stable word: `lost`, `unauthorized`, `protocol`, `refused`, `undecided`, `stalled`, `store`.
    pub code: &'static str,
    /// Words for people.
    pub message: String,
    /// When, in milliseconds since 1970.
    pub at_ms: i64,
}

/// One scope, for the app.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeStatus {
    /// The model's name.
    pub model: String,
    /// Its filter.
    pub filter: Option<Json>,
    /// What has been durably applied; `None` before the first page.
    pub cursor: Option<String>,
    /// Complete up to the server's head as of its newest word.
    pub up_to_date: bool,
    /// Why the server does not give it, in its words; it is asked again with the next link. The other scopes go on.
    pub refused: Option<String>,
}
