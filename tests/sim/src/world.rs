//! A world and its one thread.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use fastrand::Rng;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;
use tombolo_core::id::{ModelId, MutationNumber, Position};
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_core::wire::envelope::{MutationAnswer, OutcomeKind};
use tombolo_core::wire::graphql::GraphqlError;
use tombolo_machine::{
    AnswerBody, CloseReason, Effect, EntryState, FeedNumber, FinalOutcome, Input, NewMutation, OutboxEntry, Outgoing,
    Scope, StoreTx,
};

use crate::op::Op;
use crate::oracle::{self, Decided, Meant, Rows};
use crate::plan::Plan;
use crate::replica::{Driven, Replica, ToServer, Wire};
use crate::report::{Report, Violation};
use crate::server::{Sent, Server};

/// Steps within which a world must come to rest.
const QUIESCE_STEPS_MAX: u32 = 20_000;

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
        Err(detail) => Report { violation: Some(Violation { oracle: "world", detail, at: 0 }), ..Report::default() },
    }
}

/// What one step of the world can be.
#[derive(Clone, Copy, Debug)]
enum Action {
    Open(usize),
    ServerReceives(usize),
    ReplicaReceives(usize),
    Wake(usize),
    Commit,
    Pump(u64, FeedNumber),
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

/// A law was broken; the run ends.
struct Broken;

type Held = Result<(), Broken>;

fn schema() -> Result<Arc<Schema>, String> {
    static SCHEMA: OnceLock<Result<Arc<Schema>, String>> = OnceLock::new();
    SCHEMA
        .get_or_init(|| {
            Schema::parse(include_str!("../schema.graphql"), "schema.graphql").map(Arc::new).map_err(|e| e.to_string())
        })
        .clone()
}

impl World {
    fn new(plan: &Plan) -> Result<Self, String> {
        let schema = schema()?;
        // In memory where the machine has such a folder: what a sync to the disk does is not simulated here.
        let shm = std::path::Path::new("/dev/shm");
        let temp = if shm.is_dir() { TempDir::with_prefix_in("tombolo-sim-", shm) } else { TempDir::new() };
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
            world.begin(index).map_err(|Broken| format!("{:?}", world.report.violation))?;
        }
        Ok(world)
    }

    /// What an app does when it starts.
    fn begin(&mut self, index: usize) -> Held {
        self.input(index, Input::Start)?;
        self.input(index, Input::SetScope(Scope { model: "List".into(), filter: None }))?;
        let scope = self.scopes.get(index).cloned().flatten();
        self.input(index, Input::SetScope(todo_scope(scope.as_deref())))?;
        if self.replicas.get(index).and_then(Option::as_ref).is_some_and(|r| r.online) {
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
        self.report.violation.get_or_insert_with(|| Violation { oracle, detail: detail.into(), at });
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
            Op::Create { replica, record, list, title, color } => {
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
            Op::Edit { replica, record, field, value } => {
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
            Op::Transaction { replica, list, record, title } => {
                let todo = |n: u32| {
                    vec![
                        ("id", Value::Text((record + n).to_string())),
                        ("title", Value::Text(format!("{title}.{n}"))),
                        ("color", Value::Text("red".into())),
                        ("listID", Value::Text(list.to_string())),
                    ]
                };
                let of_list = vec![("id", Value::Text(list.to_string())), ("title", Value::Text(title.clone()))];
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
    fn mutate(
        &mut self,
        index: usize,
        mutations: Vec<(ModelId, MutationKind, Vec<(&str, Value)>)>,
    ) -> Result<bool, Broken> {
        let schema = Arc::clone(&self.schema);
        let mut new = Vec::new();
        let mut meant = Vec::new();
        for (model, kind, sets) in mutations {
            let shape = schema.models.get(model.0).ok_or(Broken)?;
            let key = Key(sets.iter().filter(|(n, _)| *n == "id").map(|(_, v)| v.clone()).collect());
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
                values: sets.into_iter().filter_map(|(n, v)| Some((shape.field(n)?, v))).collect(),
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
                            Outgoing::Mutation { number, request } => {
                                ToServer::Mutation { number, request: Box::new(request) }
                            }
                            Outgoing::FetchPage { feed, scope } => ToServer::FetchPage { feed, scope },
                        });
                    }
                }
                Effect::WakeAt(at) => self.replica(index)?.wake_at = Some(at),
                Effect::NeedToken => return Err(self.broken("no credential is refused", "the machine asks for a token")),
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

    /// One thing that is due, chosen by the seed; false if nothing is.
    fn step(&mut self) -> Result<bool, Broken> {
        let due = self.due();
        let Some(action) = due.get(self.rng.usize(0..due.len().max(1))).copied() else { return Ok(false) };
        self.report.steps += 1;
        self.tell(|| format!("  {:?} {action:?}", self.clock));
        match action {
            Action::Open(index) => {
                let session = self.next_session;
                self.next_session += 1;
                self.replica(index)?.wire =
                    Wire::Up { session, to_server: VecDeque::new(), to_replica: VecDeque::new() };
                self.input(index, Input::LinkOpened)?;
            }
            Action::ServerReceives(index) => self.server_receives(index)?,
            Action::ReplicaReceives(index) => self.replica_receives(index)?,
            Action::Wake(index) => {
                self.replica(index)?.wake_at = None;
                self.input(index, Input::Wake)?;
            }
            Action::Commit => self.commit()?,
            Action::Pump(session, feed) => {
                if let Some(sent) = self.server()?.pump(session, feed) {
                    self.deliver(session, sent);
                }
            }
        }
        Ok(true)
    }

    fn due(&self) -> Vec<Action> {
        let mut due = Vec::new();
        for (index, replica) in self.replicas.iter().enumerate() {
            let Some(replica) = replica else { continue };
            match &replica.wire {
                Wire::Down => {}
                Wire::Opening => due.push(Action::Open(index)),
                Wire::Up { to_server, to_replica, .. } => {
                    if !to_server.is_empty() {
                        due.push(Action::ServerReceives(index));
                    }
                    if !to_replica.is_empty() {
                        due.push(Action::ReplicaReceives(index));
                    }
                }
            }
            if replica.wake_at.is_some_and(|at| at <= self.clock) {
                due.push(Action::Wake(index));
            }
        }
        if let Some(server) = &self.server {
            if server.has_waiting() {
                due.push(Action::Commit);
            }
            due.extend(server.woken().into_iter().map(|(session, feed)| Action::Pump(session, feed)));
        }
        due
    }

    fn deliver(&mut self, to: u64, sent: Sent) {
        self.tell(|| format!("    to session {to}: {sent}"));
        for replica in self.replicas.iter_mut().flatten() {
            if let Wire::Up { session, to_replica, .. } = &mut replica.wire
                && *session == to
            {
                to_replica.push_back(sent);
                return;
            }
        }
        // The session is gone, and the message with it.
        self.count("messages lost");
    }

    fn server_receives(&mut self, index: usize) -> Held {
        let replica = self.replica(index)?;
        let Wire::Up { session, to_server, .. } = &mut replica.wire else { return Ok(()) };
        let session = *session;
        let Some(message) = to_server.pop_front() else { return Ok(()) };
        match message {
            ToServer::Subscribe { feed, replica, scopes } => {
                if let Err(sent) = self.server()?.receive_subscribe(session, &replica.0, feed, &scopes) {
                    self.deliver(session, sent);
                }
            }
            ToServer::Unsubscribe { feed } => self.server()?.receive_unsubscribe(session, feed),
            ToServer::Mutation { number, request } => {
                self.replica(index)?.last_request = Some((number, request.clone()));
                let received = self.server()?.receive_mutation(session, number.0, &request);
                received.map_err(|detail| self.broken("no request is malformed", detail))?;
            }
            ToServer::FetchPage { feed, scope } => {
                let sent = self.server()?.receive_page(feed, &scope);
                self.deliver(session, sent);
            }
        }
        Ok(())
    }

    fn replica_receives(&mut self, index: usize) -> Held {
        let Wire::Up { to_replica, .. } = &mut self.replica(index)?.wire else { return Ok(()) };
        let Some(sent) = to_replica.pop_front() else { return Ok(()) };
        let input = match sent {
            Sent::Answer { number, response } => {
                let response: Response = self.read(&response)?;
                let answer = match response.extensions.map(|e| e.tombolo) {
                    Some(answer) => AnswerBody::Outcomes(answer),
                    None => AnswerBody::Undecided(response.errors),
                };
                Input::Answer { number: MutationNumber(number), answer }
            }
            Sent::Batch { feed, response } => {
                let response: Response = self.read(&response)?;
                match response.data.and_then(|d| d.batch) {
                    Some(batch) => Input::Batch { feed, batch },
                    None => Input::FeedRefused { feed, errors: response.errors },
                }
            }
            Sent::FeedRefused { feed, errors } => {
                self.count("feeds refused");
                Input::FeedRefused { feed, errors }
            }
        };
        self.input(index, input)
    }

    fn read(&mut self, bytes: &[u8]) -> Result<Response, Broken> {
        serde_json::from_slice(bytes)
            .map_err(|error| self.broken("every answer can be read", format!("{error}: {}", String::from_utf8_lossy(bytes))))
    }

    /// The server's writer takes what is waiting.
    fn commit(&mut self) -> Held {
        // The server's clock on the wall jumps now and then, also back.
        let jump = if self.rng.u8(0..16) == 0 { self.rng.i64(-7_200_000..7_200_000) } else { 0 };
        let now_ms = self.clock.as_millis() as i64 + 1_700_000_000_000 + jump;
        let (decided, sent) = self.server()?.commit(now_ms);
        self.count("server commits");
        for (submission, verdict) in decided {
            let Some(envelope) = submission.envelope else { continue };
            let Some(index) = envelope.replica.0.strip_prefix("replica-").and_then(|n| n.parse::<usize>().ok()) else {
                continue;
            };
            if verdict.undecided.is_some() {
                self.count("mutations undecided");
            }
            for result in verdict.results {
                let number = result.number.map_or(0, |n| n.0);
                let now = Decided { outcome: result.outcome, position: result.position };
                let before = self.decided.get(&(index, number));
                oracle::no_double_effect(before, &now, result.change.is_some(), number)
                    .map_err(|detail| self.broken("no double effect", detail))?;
                if self.decided.insert((index, number), now).is_none() {
                    self.count(match result.outcome {
                        OutcomeKind::Applied => "mutations applied",
                        OutcomeKind::Merged => "mutations merged",
                        OutcomeKind::Rejected => "mutations rejected",
                    });
                } else {
                    self.count("resends answered");
                }
                let Some(change) = result.change else { continue };
                oracle::next_position(self.last_position, change.position)
                    .map_err(|detail| self.broken("positions", detail))?;
                self.last_position = change.position;
                let schema = Arc::clone(&self.schema);
                let model = schema.models.get(change.model.0).ok_or(Broken)?;
                if result.outcome == OutcomeKind::Applied
                    && let Some(meant) = self.meant.get(&(index, number))
                {
                    oracle::applied_whole(model, meant, &change.after)
                        .map_err(|detail| self.broken("no lost field", detail))?;
                }
                let key = change.after.key(&model.key).to_text();
                self.rows.insert((change.model, key), (change.position, (*change.after).clone()));
            }
        }
        for (session, sent) in sent {
            self.deliver(session, sent);
        }
        Ok(())
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

    /// What holds after each commit of a replica.
    fn look(&mut self, index: usize) -> Held {
        let entries = self.outbox(index)?;
        let schema = Arc::clone(&self.schema);
        let law = self.with_tx(index, |tx| Ok(oracle::read_your_writes(tx, &schema, &entries)))?;
        law.map_err(|detail| self.broken("read your writes", format!("replica {index}: {detail}")))
    }

    /// What holds after each batch.
    fn look_at_cursors(&mut self, index: usize) -> Held {
        let schema = Arc::clone(&self.schema);
        let rows = std::mem::take(&mut self.rows);
        let color = self.scopes.get(index).cloned().flatten();
        let law = self.with_tx(index, |tx| {
            for scope in tx.scopes().map_err(|e| e.to_string())? {
                let Some(cursor) = scope.parsed_cursor() else { continue };
                let Some(model) = schema.models.iter().position(|m| m.name == scope.model).map(ModelId) else { continue };
                let honest = oracle::cursor_honesty(
                    tx, &schema, &rows, model, cursor.position, scope.base_sync,
                    |row| in_scope(&schema, model, color.as_deref(), row),
                );
                if honest.is_err() {
                    return Ok(honest);
                }
            }
            Ok(Ok(()))
        });
        self.rows = rows;
        law?.map_err(|detail| self.broken("cursor honesty", format!("replica {index}: {detail}")))
    }

    /// Links up, everything delivered, nothing due; then the whole is looked at.
    fn quiesce(&mut self) -> Held {
        for index in 0..self.replicas.len() {
            if !std::mem::replace(&mut self.replica(index)?.online, true) {
                self.input(index, Input::SetOnline(true))?;
            }
        }
        self.rest()?;
        for index in 0..self.replicas.len() {
            self.look_at_the_whole(index)?;
        }
        self.fresh_eyes()?;
        self.count("quiesced");
        Ok(())
    }

    /// Steps until nothing is due and nobody waits for anything, moving the clock to the next timer when idle.
    fn rest(&mut self) -> Held {
        for _ in 0..QUIESCE_STEPS_MAX {
            if self.step()? {
                continue;
            }
            let waiting = self.replicas.iter().flatten().any(|r| {
                let status = r.machine.status();
                !status.up_to_date || status.pending > status.wedged
            });
            let next = self.replicas.iter().flatten().filter_map(|r| r.wake_at).min();
            match (waiting, next) {
                (false, _) => return Ok(()),
                (true, Some(at)) => self.clock = self.clock.max(at),
                (true, None) => {
                    let status: Vec<_> = self.replicas.iter().flatten().map(|r| r.machine.status()).collect();
                    let detail = format!("somebody waits and no timer is set: {status:?}");
                    return Err(self.broken("comes to rest", detail));
                }
            }
        }
        let status: Vec<_> = self.replicas.iter().flatten().map(|r| r.machine.status().clone()).collect();
        Err(self.broken("comes to rest", format!("still busy after {QUIESCE_STEPS_MAX} steps: {status:?}")))
    }

    fn look_at_the_whole(&mut self, index: usize) -> Held {
        let entries: BTreeMap<u64, EntryState> =
            self.outbox(index)?.into_iter().map(|e| (e.number.0, e.state)).collect();
        if let Some((number, state)) =
            entries.iter().find(|(_, s)| !matches!(s, EntryState::Rejected(_) | EntryState::Wedged { .. }))
        {
            let detail = format!("replica {index}: mutation {number} is {state:?} with everything delivered");
            return Err(self.broken("every mutation ends", detail));
        }
        let mine: Vec<(u64, Meant)> =
            self.meant.iter().filter(|((r, _), _)| *r == index).map(|((_, n), m)| (*n, m.clone())).collect();
        for (number, meant) in mine {
            let server = self.decided.get(&(index, number)).map(|d| d.outcome);
            let known = match server {
                Some(OutcomeKind::Applied | OutcomeKind::Merged) => true,
                Some(OutcomeKind::Rejected) => meant.gone || entries.contains_key(&number),
                None => meant.gone || meant.uncertain || entries.contains_key(&number),
            };
            if !known {
                let detail = format!("replica {index}, mutation {number} ({meant:?}): the server says {server:?}");
                return Err(self.broken("no lost write", detail));
            }
        }
        self.converged(index, self.scopes.get(index).cloned().flatten())
    }

    fn converged(&mut self, index: usize, color: Option<String>) -> Held {
        let schema = Arc::clone(&self.schema);
        let rows = std::mem::take(&mut self.rows);
        let law = self.with_tx(index, |tx| {
            for model in [LIST, TODO] {
                let scope = |row: &Record| in_scope(&schema, model, color.as_deref(), row);
                let equal = oracle::convergence(tx, &schema, &rows, model, scope);
                if equal.is_err() {
                    return Ok(equal);
                }
            }
            Ok(Ok(()))
        });
        self.rows = rows;
        law?.map_err(|detail| self.broken("convergence", format!("replica {index}: {detail}")))
    }

    /// **Fresh eyes.** A replica that comes new sees by one base sync what the others see after all they went through,
    /// and both are what the server's own verdicts said.
    fn fresh_eyes(&mut self) -> Held {
        let index = self.replicas.len();
        let path = self.folder.join(format!("fresh-{}-{}.sqlite", index, self.report.steps));
        let opened = Replica::open(path.clone(), Arc::clone(&self.schema), index, 7);
        let mut fresh = opened.map_err(|detail| self.broken("world", detail))?;
        fresh.online = true;
        self.replicas.push(Some(fresh));
        self.scopes.push(None);
        self.begin(index)?;
        self.rest()?;
        self.converged(index, None).map_err(|broken| {
            if let Some(violation) = &mut self.report.violation {
                violation.oracle = "fresh eyes";
            }
            broken
        })?;
        self.hang_up(index)?;
        self.replicas.pop();
        self.scopes.pop();
        // A folder in memory: not to be filled by those who only looked.
        for suffix in ["", "-wal", "-shm", ".lock"] {
            let mut name = path.clone().into_os_string();
            name.push(suffix);
            let _ = std::fs::remove_file(name);
        }
        Ok(())
    }
}

fn todo_scope(color: Option<&str>) -> Scope {
    Scope { model: "Todo".into(), filter: color.map(|c| json!({ "color": { "eq": c } })) }
}

fn in_scope(schema: &Schema, model: ModelId, color: Option<&str>, row: &Record) -> bool {
    let field = schema.models.get(model.0).and_then(|m| m.field("color"));
    match (model == TODO, color, field) {
        (true, Some(color), Some(field)) => *row.value(field) == Value::Text(color.to_owned()),
        _ => true,
    }
}

#[derive(Deserialize)]
struct Response {
    #[serde(default)]
    data: Option<Data>,
    #[serde(default)]
    errors: Vec<GraphqlError>,
    #[serde(default)]
    extensions: Option<Extensions>,
}

#[derive(Deserialize)]
struct Data {
    #[serde(default, rename = "tomboloChanges")]
    batch: Option<ChangeBatch>,
}

#[derive(Deserialize)]
struct Extensions {
    tombolo: MutationAnswer,
}
