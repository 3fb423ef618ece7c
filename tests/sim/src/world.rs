//! A world and its one thread: what operations do in `apply`, those of users in `user`, those with backups in `backups`; what
//! happens by itself in `steps`; coming to rest and the looks at the whole in `rest`; what is known of mutations in `books`.

mod apply;
mod backups;
mod books;
mod rest;
mod steps;
mod user;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tempfile::TempDir;
use tombolo_core::id::{Epoch, ModelId, Position};
use tombolo_core::schema::Schema;
use tombolo_machine::{CloseReason, Effect, Input, OutboxEntry, Outgoing, Scope, StepError, StoreError};
use tombolo_store::Tx;

use self::backups::{FileCopy, ServerCopy};
use self::books::SentAs;
use crate::errors;
use crate::op::{Kind, Op, RecordName};
use crate::oracle::deed::Deed;
use crate::oracle::history::History;
use crate::oracle::{Decided, Meant, Rows};
use crate::plan::Plan;
use crate::replica::{Driven, Replica, Restart};
use crate::report::{Group, Report, Violation};
use crate::server::{EPOCH, Sent, Server};
use crate::wire::{Carrier, MQTT_DOUBLES_ONE_IN, MQTT_WINDOW, ToServer, Topic, Wire};

/// Entries of an outbox that the oracles look at; no plan makes more.
const OUTBOX_MAX: usize = 10_000;

/// Plays `plan` and says what came of it.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    play(plan, None)
}

/// Plays `plan` and gives each operation, step and message to `trace` as a line.
#[must_use]
pub fn play(plan: &Plan, trace: Option<fn(&str)>) -> Report {
    errors::watch();
    match World::new(plan, trace) {
        Ok(mut world) => {
            world.play(plan);
            world.report
        }
        Err(detail) => Report {
            violation: Some(Violation {
                oracle: "world",
                detail,
                at: 0,
            }),
            ..Report::default()
        },
    }
}

struct World {
    folder: TempDir,
    schema: Arc<Schema>,
    seed: u64,
    reopen: bool,
    rng: Rng,
    clock: Duration,
    /// `None` only while it restarts.
    server: Option<Server>,
    replicas: Vec<Option<Replica>>,
    /// The colour of each replica's todos.
    scopes: Vec<Option<String>>,
    /// Models that a replica wants nothing of.
    removed: BTreeSet<(usize, Kind)>,
    next_session: u64,
    rows: Rows,
    /// Records that a user ever named.
    named: BTreeSet<RecordName>,
    history: History,
    last_position: Position,
    /// Tombstones up to here may be forgotten.
    pruned_through: Position,
    /// Mutations whose outcome the server has forgotten, by the identity that sent them and their number.
    forgotten: BTreeSet<(String, u64)>,
    /// What each replica's user meant, by its number in the replica's present file.
    meant: BTreeMap<(usize, u64), Meant>,
    /// Under which identity each of these was sent.
    sent_as: BTreeMap<(usize, u64), SentAs>,
    /// What the server decided, by the identity that sent it and its number.
    decided: BTreeMap<(String, u64), Decided>,
    /// Mutations that a lost history acknowledged and the present one was not asked about again.
    doubtful: BTreeSet<(usize, u64)>,
    /// The identity of the server's history.
    epoch: Epoch,
    copies: BTreeMap<usize, FileCopy>,
    server_copy: Option<ServerCopy>,
    /// What the user of the call under way means by a whole counter or set.
    whole: Option<Deed>,
    /// Links asked for and messages sent by replicas.
    sends: u64,
    hasher: DefaultHasher,
    at: usize,
    /// The operation after which nothing is looked at any more.
    last_quiesce: usize,
    trace: Option<fn(&str)>,
    report: Report,
}

/// A law was broken; the run ends.
struct Broken;

type Held = Result<(), Broken>;

fn schema() -> Result<Arc<Schema>, String> {
    static SCHEMA: OnceLock<Result<Arc<Schema>, String>> = OnceLock::new();
    SCHEMA
        .get_or_init(|| {
            Schema::parse(include_str!("../schema.graphql"), "schema.graphql")
                .map(Arc::new)
                .map_err(|e| e.to_string())
        })
        .clone()
}

/// A model's place in the schema, which lists them as [`Kind::ALL`] does.
fn model_id(kind: Kind) -> ModelId {
    ModelId(kind as usize)
}

/// In memory where the machine has such a folder: what a sync to the disk does is not simulated here.
fn folder() -> Result<TempDir, String> {
    let shm = std::path::Path::new("/dev/shm");
    let temp = if shm.is_dir() {
        TempDir::with_prefix_in("tombolo-sim-", shm)
    } else {
        TempDir::new()
    };
    temp.map_err(|error| error.to_string())
}

impl World {
    fn new(plan: &Plan, trace: Option<fn(&str)>) -> Result<Self, String> {
        let schema = schema()?;
        let folder = folder()?;
        let server = Server::open(folder.path().join("server.sqlite"), Arc::clone(&schema))?;
        let quiesced = plan.ops.iter().rposition(|op| *op == Op::Quiesce);
        let mut world = Self {
            folder,
            schema,
            seed: plan.seed,
            reopen: plan.reopen,
            rng: Rng::with_seed(plan.seed ^ 0x5eed),
            clock: Duration::from_secs(1),
            server: Some(server),
            scopes: Vec::new(),
            removed: BTreeSet::new(),
            replicas: Vec::new(),
            next_session: 1,
            rows: Rows::new(),
            named: BTreeSet::new(),
            history: History::default(),
            last_position: Position(0),
            pruned_through: Position(0),
            forgotten: BTreeSet::new(),
            meant: BTreeMap::new(),
            sent_as: BTreeMap::new(),
            decided: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            epoch: Epoch(EPOCH.into()),
            copies: BTreeMap::new(),
            server_copy: None,
            whole: None,
            sends: 0,
            hasher: DefaultHasher::new(),
            at: 0,
            last_quiesce: quiesced.map_or(0, |at| at + 1),
            trace,
            report: Report::default(),
        };
        for _ in 0..plan.replicas {
            world
                .add_replica()
                .map_err(|Broken| format!("{:?}", world.report.violation))?;
        }
        Ok(world)
    }

    fn open_replica(&self, name: String, index: usize) -> Result<Replica, String> {
        let path: PathBuf = self.folder.path().join(format!("{name}.sqlite"));
        Replica::open(path, Arc::clone(&self.schema), name, index, self.seed)
    }

    /// One more replica, with scopes of everything and without a wish for a link.
    fn add_replica(&mut self) -> Held {
        let index = self.replicas.len();
        let opened = self.open_replica(format!("replica-{index}"), index);
        let replica = opened.map_err(|detail| self.broken("world", detail))?;
        self.replicas.push(Some(replica));
        self.scopes.push(None);
        self.begin(index)
    }

    /// What an app does when it starts.
    fn begin(&mut self, index: usize) -> Held {
        let color = self.scopes.get(index).cloned().flatten();
        let removed = &self.removed;
        let scopes = Kind::ALL.map(|kind| match removed.contains(&(index, kind)) {
            true => Input::RemoveScope(kind.model().into()),
            false => Input::SetScope(scope(kind, color.as_deref())),
        });
        let online = self.replica(index)?.online.then_some(Input::SetOnline(true));
        for input in std::iter::once(Input::Start).chain(scopes).chain(online) {
            if !self.input(index, input)? {
                // The disk is so full that the app cannot start: somebody makes room.
                self.count(Group::Event, "room made to start");
                self.replica(index)?.full = false;
                return self.revive(index, true);
            }
        }
        Ok(())
    }

    fn play(&mut self, plan: &Plan) {
        for (at, op) in plan.ops.iter().enumerate() {
            self.at = at + 1;
            self.tell(|| format!("op {} {op}", at + 1));
            match self.apply(op) {
                Ok(true) => self.report.ops += 1,
                Ok(false) => self.report.skipped += 1,
                Err(Broken) => break,
            }
            if let Some(text) = errors::first() {
                let _ = self.broken("no ERROR is logged", text);
                break;
            }
        }
        for ((model, key), (position, row)) in &self.rows {
            (model, key, position, format!("{row:?}")).hash(&mut self.hasher);
        }
        self.report.hash = self.hasher.finish();
    }

    fn broken(&mut self, oracle: &'static str, detail: impl Into<String>) -> Broken {
        let at = self.at;
        self.report.violation.get_or_insert_with(|| Violation {
            oracle,
            detail: detail.into(),
            at,
        });
        Broken
    }

    fn tell(&self, line: impl FnOnce() -> String) {
        if let Some(trace) = self.trace {
            trace(&line());
        }
    }

    fn count(&mut self, group: Group, what: &'static str) {
        *self.report.counts.entry((group, what)).or_default() += 1;
    }

    fn replica(&mut self, index: usize) -> Result<&mut Replica, Broken> {
        if self.replicas.get(index).is_none_or(Option::is_none) {
            return Err(self.broken("world", format!("there is no replica {index}")));
        }
        self.replicas.get_mut(index).and_then(Option::as_mut).ok_or(Broken)
    }

    fn server(&mut self) -> Result<&mut Server, Broken> {
        self.server.as_mut().ok_or(Broken)
    }

    /// One input through a replica, its effects, and the oracles that look after each commit. False if the disk was full
    /// and the app was told so; if it was full for a message of the link, the link is given up.
    fn input(&mut self, index: usize, input: Input) -> Result<bool, Broken> {
        let batch = matches!(input, Input::Batch { .. });
        let app = match &input {
            Input::Start
            | Input::SetOnline(_)
            | Input::Enqueue(_)
            | Input::Retry(_)
            | Input::Edit { .. }
            | Input::Discard(_)
            | Input::SetScope(_)
            | Input::RemoveScope(_)
            | Input::Refresh
            | Input::TokenChanged
            | Input::TransportChanged => true,
            Input::LinkOpened
            | Input::LinkClosed(_)
            | Input::Batch { .. }
            | Input::FeedRefused { .. }
            | Input::Answers(_)
            | Input::Received
            | Input::Wake => false,
        };
        match self.drive(index, input)? {
            Driven::Refused(StepError::Store(StoreError::Full)) => {
                self.count(Group::Event, "replica met a full disk");
                if !app {
                    let clock = self.clock;
                    let replica = self.replica(index)?;
                    let now = replica.now(clock);
                    let effects = replica.machine.link_broken("the disk is full", now);
                    self.hang_up(index, false)?;
                    self.carry_out(index, effects)?;
                }
                Ok(!app)
            }
            Driven::Refused(error) => Err(self.broken("no input is refused", error.to_string())),
            Driven::DiedBefore => {
                self.count(Group::Fault, "app killed before commit");
                self.revive(index, self.reopen)?;
                Ok(true)
            }
            Driven::DiedAfter => {
                self.count(Group::Fault, "app killed after commit");
                self.revive(index, self.reopen)?;
                self.look_for_numbers(index)?;
                Ok(true)
            }
            Driven::Done(effects) => {
                self.carry_out(index, effects)?;
                self.look_after(index, batch)?;
                Ok(true)
            }
        }
    }

    fn drive(&mut self, index: usize, input: Input) -> Result<Driven, Broken> {
        let clock = self.clock;
        let mut coverage = std::mem::take(&mut self.report.coverage);
        let driven = self.replica(index)?.drive(input, clock, &mut coverage);
        self.report.coverage = coverage;
        driven.map_err(|detail| self.broken("world", detail))
    }

    /// The process is dead; it starts again.
    fn revive(&mut self, index: usize, reopen: bool) -> Held {
        self.hang_up(index, false)?;
        let dead = self.replicas.get_mut(index).and_then(Option::take).ok_or(Broken)?;
        let how = if reopen { Restart::Opened } else { Restart::Connected };
        let alive = dead.restart(how).map_err(|detail| self.broken("world", detail))?;
        if let Some(slot) = self.replicas.get_mut(index) {
            *slot = Some(alive);
        }
        self.begin(index)
    }

    /// The link ends. With `late` what was about to reach the replica may still do so afterwards.
    fn hang_up(&mut self, index: usize, late: bool) -> Held {
        let late = late && self.rng.u8(0..3) == 0;
        let closing = match self.rng.u8(0..4) {
            0 => CloseReason::Lost("late".into()),
            1 => CloseReason::Unauthorized("late".into()),
            2 => CloseReason::Protocol("late".into()),
            _ => CloseReason::Ended,
        };
        let replica = self.replica(index)?;
        match std::mem::replace(&mut replica.wire, Wire::Down) {
            Wire::Up {
                session,
                mut to_server,
                mut to_replica,
                carrier,
                ..
            } => {
                if carrier == Carrier::Mqtt {
                    // What the server has read of the connection gets into its queue, whatever becomes of the connection.
                    let on_way: Vec<ToServer> = to_server.drain().collect();
                    let read = self.rng.usize(0..=on_way.len());
                    self.server()?
                        .read_before_the_end(session, on_way.into_iter().take(read));
                }
                let replica = self.replica(index)?;
                if late {
                    let inputs: Vec<Input> = to_replica.drain().map(|sent| sent.to_input()).collect();
                    replica.late.extend(inputs);
                    replica.late.push_back(Input::LinkClosed(closing));
                }
                self.server()?.close(session);
            }
            Wire::Opening if late => {
                replica.late.push_back(Input::LinkOpened);
                replica.late.push_back(Input::LinkClosed(closing));
            }
            Wire::Opening | Wire::Down => {}
        }
        Ok(())
    }

    fn carry_out(&mut self, index: usize, effects: Vec<Effect>) -> Held {
        index.hash(&mut self.hasher);
        // Without the text in between: it would cost more than the step.
        let _ = write!(Hashed(&mut self.hasher), "{effects:?}");
        self.tell(|| format!("    replica {index}: {effects:?}"));
        let clock = self.clock;
        for effect in effects {
            match effect {
                Effect::OpenLink => {
                    self.sends += 1;
                    self.replica(index)?.wire = Wire::Opening;
                }
                Effect::CloseLink => self.hang_up(index, true)?,
                Effect::Send(outgoing) => {
                    self.sends += 1;
                    self.note_sent(index, &outgoing);
                    let replica = self.replica(index)?;
                    if let Wire::Up { to_server, .. } = &mut replica.wire {
                        let message = match outgoing {
                            Outgoing::Subscribe { feed, replica, scopes } => {
                                ToServer::Subscribe { feed, replica, scopes }
                            }
                            Outgoing::Unsubscribe { feed } => ToServer::Unsubscribe { feed },
                            Outgoing::Mutation { number, request } => ToServer::Mutation {
                                number,
                                request: Box::new(request),
                            },
                            Outgoing::FetchPage { feed, scope, .. } => ToServer::FetchPage { feed, scope },
                        };
                        to_server.push(Topic::of_request(&message), clock + replica.weather.delay, message);
                    }
                }
                Effect::WakeAt(at) => self.replica(index)?.wake_at = Some(at),
                Effect::NeedToken => self.count(Group::Event, "token asked for"),
                Effect::Decided { number, outcome } => self.heard(index, number, &outcome)?,
                Effect::Wedged { .. } => self.count(Group::Mutation, "wedged"),
                Effect::Stalled => self.count(Group::Event, "links found silent"),
                Effect::Pulled { .. } => self.count(Group::Event, "batches applied"),
                Effect::Renewed { .. } => self.count(Group::Event, "identities renewed"),
                Effect::Renumbered(moved) => self.renumbered(index, moved)?,
                Effect::Changed(_) | Effect::Status(_) | Effect::Enqueued(_) => {}
            }
        }
        Ok(())
    }

    fn with_tx<T>(&mut self, index: usize, look: impl FnOnce(&mut Tx<'_>) -> Result<T, String>) -> Result<T, Broken> {
        let seen = match self.replica(index)?.begin() {
            Ok(mut tx) => look(&mut tx),
            Err(error) => Err(error.to_string()),
        };
        seen.map_err(|detail| self.broken("world", detail))
    }

    fn outbox(&mut self, index: usize) -> Result<Vec<OutboxEntry>, Broken> {
        self.with_tx(index, |tx| tx.outbox(0, OUTBOX_MAX).map_err(|error| error.to_string()))
    }

    /// A message leaves the server.
    fn deliver(&mut self, to: u64, sent: Sent) {
        self.tell(|| format!("    to session {to}: {sent}"));
        let clock = self.clock;
        for replica in self.replicas.iter_mut().flatten() {
            if let Wire::Up {
                session,
                to_replica,
                carrier,
                given_up,
                ..
            } = &mut replica.wire
                && *session == to
            {
                let topic = Topic::of_answer(&sent);
                let at = clock + replica.weather.delay;
                let mut fault = |what| *self.report.counts.entry((Group::Fault, what)).or_default() += 1;
                if topic == Topic::Mutations && std::mem::take(&mut replica.weather.echo) {
                    to_replica.push(topic, at, sent.clone());
                    fault("answer doubled");
                }
                if *carrier == Carrier::Mqtt {
                    if self.rng.u8(0..MQTT_DOUBLES_ONE_IN) == 0 {
                        to_replica.push(topic, at, sent.clone());
                        fault("MQTT: message to a replica doubled");
                    }
                    // The replica takes nothing, or too slowly.
                    if to_replica.len() >= MQTT_WINDOW && self.rng.u8(0..4) == 0 {
                        *given_up = true;
                    }
                }
                to_replica.push(topic, at, sent);
                return;
            }
        }
        // The session is gone, and the message with it.
        self.count(Group::Fault, "messages lost");
    }

    fn unsettled(&mut self, index: usize) -> Result<bool, Broken> {
        let status = self.replica(index)?.machine.status();
        Ok(status.pending + status.wedged > 0)
    }

    fn in_tx_rows<T>(
        &mut self,
        index: usize,
        look: impl FnOnce(&mut Tx<'_>, &Schema, &Rows) -> Result<T, String>,
    ) -> Result<T, Broken> {
        let schema = Arc::clone(&self.schema);
        let rows = std::mem::take(&mut self.rows);
        let seen = self.with_tx(index, |tx| look(tx, &schema, &rows));
        self.rows = rows;
        seen
    }
}

/// What is written into it is hashed.
struct Hashed<'a>(&'a mut DefaultHasher);

impl std::fmt::Write for Hashed<'_> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        self.0.write(text.as_bytes());
        Ok(())
    }
}

fn scope(kind: Kind, color: Option<&str>) -> Scope {
    Scope {
        model: kind.model().into(),
        filter: color
            .filter(|_| kind == Kind::Todo)
            .map(|color| json!({ "color": { "eq": color } })),
    }
}
