//! A replica of a world: the real machine over the real store and its file; the driver is this.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::Request;
use tombolo_machine::{Effect, FeedNumber, Input, Machine, Now, ScopeCursor, Settings, StepError};
use tombolo_store::{Durability, Options, Store};

use crate::server::Sent;

/// A message on its way to the server.
#[derive(Clone, Debug)]
pub(crate) enum ToServer {
    Subscribe {
        feed: FeedNumber,
        replica: ReplicaId,
        scopes: Vec<ScopeCursor>,
    },
    Unsubscribe {
        feed: FeedNumber,
    },
    Mutation {
        number: MutationNumber,
        request: Box<Request>,
    },
    FetchPage {
        feed: FeedNumber,
        scope: ScopeCursor,
    },
}

/// The network between a replica and the server.
#[derive(Debug)]
pub(crate) enum Wire {
    Down,
    Opening,
    Up {
        session: u64,
        to_server: VecDeque<ToServer>,
        to_replica: VecDeque<Sent>,
    },
}

/// How an input ended.
#[derive(Debug)]
pub(crate) enum Driven {
    /// Committed; what is to be done.
    Done(Vec<Effect>),
    /// The machine refused it; nothing happened.
    Refused(StepError),
    /// The process died before the commit; nothing happened.
    DiedBefore,
    /// The process died after the commit, before anybody heard of it.
    DiedAfter,
}

pub(crate) struct Replica {
    path: PathBuf,
    schema: Arc<Schema>,
    settings: Settings,
    pub(crate) store: Store,
    pub(crate) machine: Machine,
    pub(crate) wire: Wire,
    pub(crate) online: bool,
    pub(crate) wake_at: Option<Duration>,
    /// Dies at the next commit: after it, or before.
    pub(crate) kill: Option<bool>,
    /// What its clock on the wall is wrong by, in milliseconds.
    pub(crate) clock_error_ms: i64,
    /// The newest request that arrived at the server, for duplication.
    pub(crate) last_request: Option<(MutationNumber, Box<Request>)>,
}

impl Replica {
    pub(crate) fn open(path: PathBuf, schema: Arc<Schema>, index: usize, seed: u64) -> Result<Self, String> {
        let settings = Settings {
            seed: seed.wrapping_add(index as u64),
            base_sync_by_pages: index % 2 == 1,
            ..Settings::default()
        };
        let store = open_store(&path, &schema, index)?;
        let machine = Machine::new(Arc::clone(&schema), settings.clone());
        Ok(Self {
            path,
            schema,
            settings,
            store,
            machine,
            wire: Wire::Down,
            online: false,
            wake_at: None,
            kill: None,
            clock_error_ms: (index as i64 - 1) * 3_600_000,
            last_request: None,
        })
    }

    /// The process dies and starts again on the same file. Its link is gone.
    pub(crate) fn restart(self, index: usize) -> Result<Self, String> {
        let Self {
            path,
            schema,
            settings,
            store,
            clock_error_ms,
            online,
            ..
        } = self;
        drop(store);
        let store = open_store(&path, &schema, index)?;
        let machine = Machine::new(Arc::clone(&schema), settings.clone());
        Ok(Self {
            path,
            schema,
            settings,
            store,
            machine,
            wire: Wire::Down,
            online,
            wake_at: None,
            kill: None,
            clock_error_ms,
            last_request: None,
        })
    }

    /// One input through the machine: step, commit, install, with death at either side of the commit.
    pub(crate) fn drive(&mut self, input: Input, now: Duration) -> Result<Driven, String> {
        let now = Now {
            monotonic: now,
            wall_ms: now.as_millis() as i64 + 1_700_000_000_000 + self.clock_error_ms,
        };
        let kill = self.kill.take();
        let mut tx = self
            .store
            .begin(self.machine.durable(&input))
            .map_err(|e| format!("begin: {e}"))?;
        let step = match self.machine.step(&mut tx, input, now) {
            Ok(step) => step,
            Err(error) => {
                drop(tx);
                self.kill = kill;
                return Ok(Driven::Refused(error));
            }
        };
        if kill == Some(false) {
            drop(tx);
            return Ok(Driven::DiedBefore);
        }
        tx.commit().map_err(|e| format!("commit: {e}"))?;
        if kill == Some(true) {
            return Ok(Driven::DiedAfter);
        }
        Ok(Driven::Done(self.machine.install(step)))
    }
}

fn open_store(path: &std::path::Path, schema: &Arc<Schema>, index: usize) -> Result<Store, String> {
    let mut options = Options::new(ReplicaId(format!("replica-{index}")));
    // SQLite's own durability is not under test; the seams around the commit are.
    options.durability = Durability::Normal;
    Store::open(path, Arc::clone(schema), options).map_err(|error| format!("{}: {error}", path.display()))
}
