//! A replica of a world: the real machine over the real store and its file; the driver is this.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::Request;
use tombolo_machine::{Effect, Input, Link, Machine, Now, Settings, StepError, StoreError};
use tombolo_store::{Durability, Options, Store, Tx};

use crate::backup::Kept;
use crate::coverage::Coverage;
use crate::template;
use crate::wire::{Weather, Wire};

/// Where the clocks on the wall stand when a world begins, in milliseconds since 1970.
pub(crate) const WALL_BEGIN_MS: i64 = 1_700_000_000_000;

/// How an input ended.
#[derive(Debug)]
pub(crate) enum Driven {
    /// Committed; what is to be done.
    Done(Vec<Effect>),
    /// The machine refused it, or the disk is full; nothing happened.
    Refused(StepError),
    /// The process died before the commit; nothing happened.
    DiedBefore,
    /// The process died after the commit, before anybody heard of it.
    DiedAfter,
}

pub(crate) struct Replica {
    /// The identity that its file began with, and what its later ones begin with.
    pub(crate) name: String,
    path: PathBuf,
    schema: Arc<Schema>,
    settings: Settings,
    /// How often the file was opened: each time with another identity to go on under.
    openings: u32,
    store: Store,
    /// Whether the last transaction was durable.
    durable: bool,
    pub(crate) machine: Machine,
    /// `Input::Start` was installed.
    started: bool,
    pub(crate) wire: Wire,
    pub(crate) weather: Weather,
    pub(crate) online: bool,
    /// The server takes its credential.
    pub(crate) token_good: bool,
    pub(crate) wake_at: Option<Duration>,
    /// Dies at the next commit: after it, or before.
    pub(crate) kill: Option<bool>,
    /// The next commit finds the disk full.
    pub(crate) fail_next: bool,
    /// The file may not grow.
    pub(crate) full: bool,
    /// What its clock on the wall is wrong by, in milliseconds.
    pub(crate) clock_error_ms: i64,
    /// The newest request that arrived at the server, for duplication.
    pub(crate) last_request: Option<(MutationNumber, Box<Request>)>,
    /// What an ended link still delivers.
    pub(crate) late: VecDeque<Input>,
    /// The first session of the present file: what an older one sent, a file sent that is no longer.
    pub(crate) since_session: u64,
}

/// How a process comes back.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Restart<'a> {
    /// The connection to the file outlived it.
    Connected,
    /// The file is opened anew.
    Opened,
    /// The file was put back from a backup.
    Restored(&'a Kept),
}

impl Replica {
    pub(crate) fn open(
        path: PathBuf,
        schema: Arc<Schema>,
        name: String,
        index: usize,
        seed: u64,
    ) -> Result<Self, String> {
        let settings = Settings {
            seed: seed.wrapping_add(index as u64),
            base_sync_by_pages: index % 2 == 1,
            ..Settings::default()
        };
        template::replica(&path, &schema, &name)?;
        let store = open_store(&path, &schema, &fresh(&name, 0), None)?;
        let machine = Machine::new(Arc::clone(&schema), settings.clone());
        Ok(Self {
            name,
            path,
            schema,
            settings,
            openings: 0,
            store,
            durable: false,
            machine,
            started: false,
            wire: Wire::Down,
            weather: Weather::default(),
            online: false,
            token_good: true,
            wake_at: None,
            kill: None,
            fail_next: false,
            full: false,
            clock_error_ms: (index as i64 - 1) * 3_600_000,
            last_request: None,
            late: VecDeque::new(),
            since_session: 0,
        })
    }

    /// A backup of the file.
    pub(crate) fn copy(&self) -> Result<Kept, String> {
        Kept::of(&self.path).map_err(|error| error.to_string())
    }

    /// The process dies and starts again. Its link is gone.
    pub(crate) fn restart(self, how: Restart<'_>) -> Result<Self, String> {
        let openings = self.openings + 1;
        let store = match how {
            Restart::Connected => self.store,
            Restart::Opened | Restart::Restored(_) => {
                drop(self.store);
                if let Restart::Restored(kept) = how {
                    kept.put_back(&self.path).map_err(|error| error.to_string())?;
                }
                // The smallest limit there is: the file stays as large as it is.
                let pages_max = self.full.then_some(1);
                open_store(&self.path, &self.schema, &fresh(&self.name, openings), pages_max)?
            }
        };
        let machine = Machine::new(Arc::clone(&self.schema), self.settings.clone());
        Ok(Self {
            store,
            machine,
            openings,
            started: false,
            wire: Wire::Down,
            wake_at: None,
            kill: None,
            fail_next: false,
            last_request: None,
            late: VecDeque::new(),
            ..self
        })
    }

    pub(crate) fn now(&self, clock: Duration) -> Now {
        Now {
            monotonic: clock,
            wall_ms: clock.as_millis() as i64 + WALL_BEGIN_MS + self.clock_error_ms,
        }
    }

    /// The state of the link; `None` before the start.
    pub(crate) fn link(&self) -> Option<Link> {
        self.started.then(|| self.machine.link())
    }

    /// A transaction to look at the file, as durable as the last one: to change that costs more than the look.
    pub(crate) fn begin(&mut self) -> Result<Tx<'_>, StoreError> {
        self.store.begin(self.durable)
    }

    /// One input through the machine: step, commit, install, with death at either side of the commit.
    pub(crate) fn drive(&mut self, input: Input, clock: Duration, coverage: &mut Coverage) -> Result<Driven, String> {
        let now = self.now(clock);
        coverage.note(self.link(), &input);
        let starts = matches!(input, Input::Start);
        let kill = self.kill.take();
        let fail = std::mem::take(&mut self.fail_next);
        let full = |error: &StoreError| matches!(error, StoreError::Full);
        self.durable = self.machine.durable(&input);
        let mut tx = match self.store.begin(self.durable) {
            Ok(tx) => tx,
            Err(error) if full(&error) => return Ok(Driven::Refused(error.into())),
            Err(error) => return Err(format!("begin: {error}")),
        };
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
        if fail {
            drop(tx);
            self.kill = kill;
            return Ok(Driven::Refused(StoreError::Full.into()));
        }
        match tx.commit() {
            Ok(()) => {}
            Err(error) if full(&error) => {
                self.kill = kill;
                return Ok(Driven::Refused(error.into()));
            }
            Err(error) => return Err(format!("commit: {error}")),
        }
        if kill == Some(true) {
            return Ok(Driven::DiedAfter);
        }
        self.started |= starts;
        Ok(Driven::Done(self.machine.install(step)))
    }
}

/// An identity that this file never had, as a driver gives one with each opening.
fn fresh(name: &str, openings: u32) -> String {
    format!("{name}-o{openings}")
}

/// `fresh` is the identity of a new file, and the one under which an old one goes on if it must.
pub(crate) fn open_store(
    path: &std::path::Path,
    schema: &Arc<Schema>,
    fresh: &str,
    pages_max: Option<u32>,
) -> Result<Store, String> {
    let mut options = Options::new(ReplicaId(fresh.to_owned()));
    // SQLite's own durability is not under test; the seams around the commit are.
    options.durability = Durability::Normal;
    options.pages_max = pages_max;
    Store::open(path, Arc::clone(schema), options).map_err(|error| format!("{}: {error}", path.display()))
}
