//! A world and its one thread: what operations do here, what happens by itself in `steps`, coming to rest and the looks
//! at the whole in `rest`.

mod rest;
mod steps;

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fastrand::Rng;
use serde_json::json;
use tempfile::TempDir;
use tombolo_core::id::{ModelId, MutationNumber, Position};
use tombolo_core::record::Key;
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::OutcomeKind;
use tombolo_machine::{
    CloseReason, Effect, EntryState, FinalOutcome, Input, NewMutation, OutboxEntry, Outgoing, Scope, StoreTx,
};

use crate::op::Op;
use crate::oracle::{Decided, Meant, Rows};
use crate::plan::Plan;
use crate::replica::{Driven, Replica, ToServer, Wire};
use crate::report::{Report, Violation};
use crate::server::Server;

/// Entries of an outbox that the oracles look at; no plan makes more.
const OUTBOX_MAX: usize = 10_000;

const LIST: ModelId = ModelId(0);
const TODO: ModelId = ModelId(1);

/// Plays `plan` and says what came of it.
#[must_use]
pub fn run(plan: &Plan) -> Report {
    play(plan, None)
}

/// Plays `plan` and gives each operation, step and message to `trace` as a line.
#[must_use]
pub fn play(plan: &Plan, trace: Option<fn(&str)>) -> Report {
    match World::new(plan) {
        Ok(mut world) => {
            world.trace = trace;
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
    _folder: TempDir,
    folder: PathBuf,
    schema: Arc<Schema>,
    rng: Rng,
    clock: Duration,
    /// `None` only while it restarts.
    server: Option<Server>,
    replicas: Vec<Option<Replica>>,
    scopes: Vec<Option<String>>,
    next_session: u64,
    rows: Rows,
    last_position: Position,
    meant: BTreeMap<(usize, u64), Meant>,
    decided: BTreeMap<(usize, u64), Decided>,
    hasher: DefaultHasher,
    at: usize,
    trace: Option<fn(&str)>,
    report: Report,
}

/// A mutation as a plan makes it: model, kind, fields.
type Made<'a> = (ModelId, MutationKind, Vec<(&'a str, Value)>);

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

impl World {
    fn new(plan: &Plan) -> Result<Self, String> {
        let schema = schema()?;
        // In memory where the machine has such a folder: what a sync to the disk does is not simulated here.
        let shm = std::path::Path::new("/dev/shm");
        let temp = if shm.is_dir() {
            TempDir::with_prefix_in("tombolo-sim-", shm)
        } else {
            TempDir::new()
        };
        let temp = temp.map_err(|e| e.to_string())?;
        let folder = temp.path().to_owned();
        let server = Server::open(folder.join("server.sqlite"), Arc::clone(&schema))?;
        let mut replicas = Vec::new();
        for index in 0..plan.replicas {
            replicas.push(Some(Replica::open(
                folder.join(format!("replica-{index}.sqlite")),
                Arc::clone(&schema),
                index,
                plan.seed,
            )?));
        }
        let mut world = Self {
            _folder: temp,
            folder,
            schema,
            rng: Rng::with_seed(plan.seed ^ 0x5eed),
            clock: Duration::from_secs(1),
            server: Some(server),
            scopes: vec![None; plan.replicas],
            replicas,
            next_session: 1,
            rows: Rows::new(),
            last_position: Position(0),
            meant: BTreeMap::new(),
            decided: BTreeMap::new(),
            hasher: DefaultHasher::new(),
            at: 0,
            trace: None,
            report: Report::default(),
        };
        for index in 0..plan.replicas {
            world
                .begin(index)
                .map_err(|Broken| format!("{:?}", world.report.violation))?;
        }
        Ok(world)
    }

    /// What an app does when it starts.
    fn begin(&mut self, index: usize) -> Held {
        self.input(index, Input::Start)?;
        self.input(
            index,
            Input::SetScope(Scope {
                model: "List".into(),
                filter: None,
            }),
        )?;
        let scope = self.scopes.get(index).cloned().flatten();
        self.input(index, Input::SetScope(todo_scope(scope.as_deref())))?;
        if self
            .replicas
            .get(index)
            .and_then(Option::as_ref)
            .is_some_and(|r| r.online)
        {
            self.input(index, Input::SetOnline(true))?;
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

    fn count(&mut self, what: &'static str) {
        *self.report.counts.entry(what).or_default() += 1;
    }

    fn replica(&mut self, index: usize) -> Result<&mut Replica, Broken> {
        if self.replicas.get(index).is_none_or(Option::is_none) {
            return Err(self.broken("world", format!("the plan has no replica {index}")));
        }
        self.replicas.get_mut(index).and_then(Option::as_mut).ok_or(Broken)
    }

    fn server(&mut self) -> Result<&mut Server, Broken> {
        self.server.as_mut().ok_or(Broken)
    }

    /// Carries out one operation; false if it does not apply.
    fn apply(&mut self, op: &Op) -> Result<bool, Broken> {
        match op {
            Op::Create {
                replica,
                record,
                list,
                title,
                color,
            } => {
                let mut sets = vec![
                    ("id", Value::Text(record.to_string())),
                    ("title", Value::Text(title.clone())),
                    ("color", Value::Text(color.clone())),
                ];
                if let Some(list) = list {
                    sets.push(("listID", Value::Text(list.to_string())));
                }
                self.mutate(*replica, vec![(TODO, MutationKind::Create, sets)])
            }
            Op::Edit {
                replica,
                record,
                field,
                value,
            } => {
                let value = match field.as_str() {
                    "rank" => Value::Int(value.parse().unwrap_or_default()),
                    _ => Value::Text(value.clone()),
                };
                let sets = vec![("id", Value::Text(record.to_string())), (field.as_str(), value)];
                self.mutate(*replica, vec![(TODO, MutationKind::Update, sets)])
            }
            Op::Delete { replica, record } => {
                let sets = vec![("id", Value::Text(record.to_string()))];
                self.mutate(*replica, vec![(TODO, MutationKind::Delete, sets)])
            }
            Op::Transaction {
                replica,
                list,
                record,
                title,
            } => {
                let todo = |n: u32| {
                    vec![
                        ("id", Value::Text((record + n).to_string())),
                        ("title", Value::Text(format!("{title}.{n}"))),
                        ("color", Value::Text("red".into())),
                        ("listID", Value::Text(list.to_string())),
                    ]
                };
                let of_list = vec![
                    ("id", Value::Text(list.to_string())),
                    ("title", Value::Text(title.clone())),
                ];
                self.mutate(
                    *replica,
                    vec![
                        (LIST, MutationKind::Create, of_list),
                        (TODO, MutationKind::Create, todo(0)),
                        (TODO, MutationKind::Create, todo(1)),
                    ],
                )
            }
            Op::SetScope { replica, color } => {
                if self.scopes.get(*replica) == Some(color) {
                    return Ok(false);
                }
                if let Some(scope) = self.scopes.get_mut(*replica) {
                    scope.clone_from(color);
                }
                self.count("scope changed");
                self.input(*replica, Input::SetScope(todo_scope(color.as_deref())))?;
                Ok(true)
            }
            Op::GoOnline(replica) | Op::GoOffline(replica) => {
                let online = matches!(op, Op::GoOnline(_));
                if std::mem::replace(&mut self.replica(*replica)?.online, online) == online {
                    return Ok(false);
                }
                self.input(*replica, Input::SetOnline(online))?;
                Ok(true)
            }
            Op::DropLink(replica) => {
                if matches!(self.replica(*replica)?.wire, Wire::Down) {
                    return Ok(false);
                }
                self.count("link dropped");
                self.hang_up(*replica)?;
                self.input(*replica, Input::LinkClosed(CloseReason::Lost("cut".into())))?;
                Ok(true)
            }
            Op::Duplicate(replica) => {
                let replica = self.replica(*replica)?;
                let (Some((number, request)), Wire::Up { session, .. }) = (replica.last_request.clone(), &replica.wire)
                else {
                    return Ok(false);
                };
                let session = *session;
                self.count("request duplicated");
                let received = self.server()?.receive_mutation(session, number.0, &request);
                received.map_err(|detail| self.broken("world", detail))?;
                Ok(true)
            }
            Op::Kill { replica, after } => {
                self.replica(*replica)?.kill = Some(*after);
                Ok(true)
            }
            Op::RestartServer => {
                self.count("server restarted");
                let old = self.server.take().ok_or(Broken)?;
                let new = old.restart().map_err(|detail| self.broken("world", detail))?;
                self.server = Some(new);
                for index in 0..self.replicas.len() {
                    if !matches!(self.replica(index)?.wire, Wire::Down) {
                        self.replica(index)?.wire = Wire::Down;
                        self.input(index, Input::LinkClosed(CloseReason::Ended))?;
                    }
                }
                Ok(true)
            }
            Op::FailCommit => {
                self.server()?.fail_next = true;
                Ok(true)
            }
            Op::Dismiss(replica) => self.dismiss(*replica),
            Op::Step(count) => {
                for _ in 0..*count {
                    if !self.step()? {
                        break;
                    }
                }
                Ok(true)
            }
            Op::Advance(ms) => {
                self.clock += Duration::from_millis(*ms);
                Ok(true)
            }
            Op::Quiesce => {
                self.quiesce()?;
                Ok(true)
            }
        }
    }

    /// A user's mutations through a replica; false if the app would refuse the call because of what it shows.
    fn mutate(&mut self, index: usize, mutations: Vec<Made<'_>>) -> Result<bool, Broken> {
        let schema = Arc::clone(&self.schema);
        let mut new = Vec::new();
        let mut meant = Vec::new();
        for (model, kind, sets) in mutations {
            let shape = schema.models.get(model.0).ok_or(Broken)?;
            let key = Key(sets
                .iter()
                .filter(|(n, _)| *n == "id")
                .map(|(_, v)| v.clone())
                .collect());
            let row = self.with_tx(index, |tx| tx.view(model, &key).map_err(|e| e.to_string()))?;
            let shows = row.as_ref().is_some_and(|r| !r.meta.deleted);
            if (kind == MutationKind::Create && row.is_some()) || (kind != MutationKind::Create && !shows) {
                return Ok(false);
            }
            meant.push(Meant {
                kind,
                model,
                key: key.to_text(),
                sets: sets.iter().map(|(n, v)| ((*n).to_owned(), v.clone())).collect(),
                gone: false,
                uncertain: false,
            });
            new.push(NewMutation {
                model,
                kind,
                values: sets
                    .into_iter()
                    .filter_map(|(n, v)| Some((shape.field(n)?, v)))
                    .collect(),
                operations: Vec::new(),
                base_version: None,
                condition: None,
                author: None,
            });
        }
        let now = self.clock;
        let driven = self.replica(index)?.drive(Input::Enqueue(new), now);
        match driven.map_err(|detail| self.broken("world", detail))? {
            Driven::Refused(_) => {
                self.count("refused at the call");
                Ok(false)
            }
            Driven::DiedBefore => {
                self.count("killed before commit");
                self.revive(index)?;
                Ok(true)
            }
            Driven::DiedAfter => {
                // The call never returned: it may have changed what stood in the queue for these records.
                self.count("killed after commit");
                for old in self.meant.iter_mut().filter(|((r, _), _)| *r == index).map(|(_, m)| m) {
                    old.uncertain |= meant.iter().any(|m| m.key == old.key && m.model == old.model);
                }
                self.revive(index)?;
                Ok(true)
            }
            Driven::Done(effects) => {
                self.note(index, meant, &effects);
                self.carry_out(index, effects)?;
                self.look(index)?;
                Ok(true)
            }
        }
    }

    /// Notes what the user meant under the numbers that the replica gave.
    fn note(&mut self, index: usize, meant: Vec<Meant>, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Enqueued(numbers) = effect {
                for (number, meant) in numbers.iter().zip(&meant) {
                    self.count("mutations enqueued");
                    let slot = self.meant.entry((index, number.0));
                    slot.and_modify(|old| {
                        if meant.kind == MutationKind::Delete {
                            old.kind = MutationKind::Delete;
                        }
                        old.sets.extend(meant.sets.clone());
                    })
                    .or_insert_with(|| meant.clone());
                }
            }
        }
    }

    /// One input through a replica, its effects, and the oracles that look after each commit.
    fn input(&mut self, index: usize, input: Input) -> Held {
        let batch = matches!(input, Input::Batch { .. });
        let now = self.clock;
        let driven = self.replica(index)?.drive(input, now);
        match driven.map_err(|detail| self.broken("world", detail))? {
            Driven::Refused(error) => Err(self.broken("no input is refused", error.to_string())),
            Driven::DiedBefore => {
                self.count("killed before commit");
                self.revive(index)
            }
            Driven::DiedAfter => {
                self.count("killed after commit");
                self.revive(index)
            }
            Driven::Done(effects) => {
                self.carry_out(index, effects)?;
                if batch {
                    self.look_at_cursors(index)?;
                }
                self.look(index)
            }
        }
    }

    fn revive(&mut self, index: usize) -> Held {
        self.hang_up(index)?;
        let dead = self.replicas.get_mut(index).and_then(Option::take).ok_or(Broken)?;
        let alive = dead.restart(index).map_err(|detail| self.broken("world", detail))?;
        if let Some(slot) = self.replicas.get_mut(index) {
            *slot = Some(alive);
        }
        self.begin(index)
    }

    fn hang_up(&mut self, index: usize) -> Held {
        let wire = std::mem::replace(&mut self.replica(index)?.wire, Wire::Down);
        if let Wire::Up { session, .. } = wire {
            self.server()?.close(session);
        }
        Ok(())
    }

    fn carry_out(&mut self, index: usize, effects: Vec<Effect>) -> Held {
        (index, format!("{effects:?}")).hash(&mut self.hasher);
        self.tell(|| format!("    replica {index}: {effects:?}"));
        for effect in effects {
            match effect {
                Effect::OpenLink => self.replica(index)?.wire = Wire::Opening,
                Effect::CloseLink => self.hang_up(index)?,
                Effect::Send(outgoing) => {
                    if let Wire::Up { to_server, .. } = &mut self.replica(index)?.wire {
                        to_server.push_back(match outgoing {
                            Outgoing::Subscribe { feed, replica, scopes } => {
                                ToServer::Subscribe { feed, replica, scopes }
                            }
                            Outgoing::Unsubscribe { feed } => ToServer::Unsubscribe { feed },
                            Outgoing::Mutation { number, request } => ToServer::Mutation {
                                number,
                                request: Box::new(request),
                            },
                            Outgoing::FetchPage { feed, scope } => ToServer::FetchPage { feed, scope },
                        });
                    }
                }
                Effect::WakeAt(at) => self.replica(index)?.wake_at = Some(at),
                Effect::NeedToken => {
                    return Err(self.broken("no credential is refused", "the machine asks for a token"));
                }
                Effect::Decided { number, outcome } => self.heard(index, number, &outcome)?,
                Effect::Wedged { .. } => self.count("mutations wedged"),
                Effect::Stalled => self.count("links found silent"),
                Effect::Pulled { .. } => self.count("batches applied"),
                Effect::Changed(_) | Effect::Status(_) | Effect::Enqueued(_) => {}
            }
        }
        Ok(())
    }

    /// The replica says how a mutation ended: the same as the server.
    fn heard(&mut self, index: usize, number: MutationNumber, outcome: &FinalOutcome) -> Held {
        let says = match outcome {
            FinalOutcome::Applied => Some(OutcomeKind::Applied),
            FinalOutcome::Merged => Some(OutcomeKind::Merged),
            FinalOutcome::Rejected(_) => Some(OutcomeKind::Rejected),
            FinalOutcome::Discarded => None,
        };
        let server = self.decided.get(&(index, number.0)).map(|d| d.outcome);
        if says.is_some() && says != server {
            let detail = format!("replica {index} says {outcome:?} of mutation {number}, the server {server:?}");
            return Err(self.broken("one end", detail));
        }
        if says.is_none() {
            if server.is_some() {
                let detail = format!("replica {index} took back mutation {number}, which the server {server:?}");
                return Err(self.broken("one end", detail));
            }
            if let Some(meant) = self.meant.get_mut(&(index, number.0)) {
                meant.gone = true;
            }
        }
        Ok(())
    }

    fn dismiss(&mut self, index: usize) -> Result<bool, Broken> {
        let rejected: Vec<MutationNumber> = self
            .outbox(index)?
            .into_iter()
            .filter(|e| matches!(e.state, EntryState::Rejected(_)))
            .map(|e| e.number)
            .collect();
        for number in &rejected {
            self.input(index, Input::Discard(*number))?;
            if let Some(meant) = self.meant.get_mut(&(index, number.0)) {
                meant.gone = true;
            }
        }
        Ok(!rejected.is_empty())
    }

    fn with_tx<T>(
        &mut self,
        index: usize,
        look: impl FnOnce(&mut dyn StoreTx) -> Result<T, String>,
    ) -> Result<T, Broken> {
        let seen = match self.replica(index)?.store.begin(false) {
            Ok(mut tx) => look(&mut tx),
            Err(error) => Err(error.to_string()),
        };
        seen.map_err(|detail| self.broken("world", detail))
    }

    fn outbox(&mut self, index: usize) -> Result<Vec<OutboxEntry>, Broken> {
        let seen = match self.replica(index)?.store.begin(false) {
            Ok(tx) => tx.outbox(0, OUTBOX_MAX).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        seen.map_err(|detail| self.broken("world", detail))
    }
}

fn todo_scope(color: Option<&str>) -> Scope {
    Scope {
        model: "Todo".into(),
        filter: color.map(|c| json!({ "color": { "eq": c } })),
    }
}
