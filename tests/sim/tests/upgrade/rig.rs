//! One server and one replica: the real engine and machine over their real stores, in one thread, joined without a network.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::Value as Json;
use tombolo_core::access::Identity;
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::Request;
use tombolo_engine::{Engine, EngineError, Settings, Subscriber};
use tombolo_machine::messages::{self, Page};
use tombolo_machine::{
    Effect, FeedNumber, FinalOutcome, Input, Machine, NewMutation, Now, OutboxEntry, Outgoing, Scope, ScopeCursor,
    StoreTx,
};
use tombolo_store::{Durability, Options, Store};
use tombolo_store_sqlite::{OpenError, SqliteStore};

/// Runs a future of the inline store, which is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the inline store answers at once"),
    }
}

pub(crate) struct Server {
    pub(crate) path: PathBuf,
    pub(crate) schema: Arc<Schema>,
    engine: Engine<SqliteStore>,
    now_ms: i64,
}

impl Server {
    /// Opens; a schema that would lose data is first refused, by names that then allow exactly that.
    pub(crate) fn open(path: &Path, schema: &Arc<Schema>) -> Self {
        let mut options = tombolo_store_sqlite::Options {
            epoch: Some("e".into()),
            synchronous: tombolo_store_sqlite::Synchronous::Normal,
            ..tombolo_store_sqlite::Options::default()
        };
        let open = |options: &_| SqliteStore::open_inline(Some(path), Arc::clone(schema), options);
        let store = match open(&options) {
            Err(OpenError::Schema { misfits }) => {
                options.allow_breaking = misfits.into_iter().map(|misfit| misfit.allow).collect::<BTreeSet<_>>();
                open(&options).unwrap()
            }
            other => other.unwrap(),
        };
        Self {
            path: path.to_owned(),
            schema: Arc::clone(schema),
            engine: Engine::new(Arc::clone(schema), store, Settings::default()),
            now_ms: 1_700_000_000_000,
        }
    }

    /// Ends, and comes back with another schema.
    pub(crate) fn upgraded(self, schema: &Arc<Schema>) -> Self {
        let Self {
            path, engine, now_ms, ..
        } = self;
        drop(engine);
        Self {
            now_ms,
            ..Self::open(&path, schema)
        }
    }

    fn identity() -> Identity {
        Identity::ApiKey { name: "test".into() }
    }

    fn mutate(&mut self, request: &Request) -> Vec<u8> {
        self.now_ms += 1;
        let prepared = match self.engine.prepare(&Self::identity(), request) {
            Ok(prepared) => prepared,
            Err(errors) => panic!("{errors:?}"),
        };
        let submission = self.engine.submission(&prepared, Vec::new());
        let verdict = ready(self.engine.commit(vec![submission], self.now_ms))
            .unwrap()
            .remove(0);
        ready(self.engine.respond(&prepared, &verdict)).unwrap()
    }

    fn subscribe(&self, request: &Request) -> Result<Subscriber, EngineError> {
        let prepared = self.engine.prepare(&Self::identity(), request);
        self.engine.subscribe(&prepared.map_err(EngineError::Request)?)
    }
}

/// What is lost of each mutation that is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Loss {
    Nothing,
    /// By turns the answer and the request.
    Everything,
}

pub(crate) struct Replica {
    path: PathBuf,
    pub(crate) schema: Arc<Schema>,
    store: Option<Store>,
    machine: Machine,
    now: Duration,
    feeds: BTreeMap<FeedNumber, Subscriber>,
    wake_at: Option<Duration>,
    /// Rows pulled since it was last looked at.
    pub(crate) pulled: u64,
    /// How each mutation ended.
    pub(crate) ended: BTreeMap<MutationNumber, FinalOutcome>,
    sent: u64,
}

impl Replica {
    pub(crate) fn open(path: &Path, schema: &Arc<Schema>) -> Self {
        let mut replica = Self {
            path: path.to_owned(),
            schema: Arc::clone(schema),
            store: None,
            machine: Machine::new(Arc::clone(schema), tombolo_machine::Settings::default()),
            now: Duration::ZERO,
            feeds: BTreeMap::new(),
            wake_at: None,
            pulled: 0,
            ended: BTreeMap::new(),
            sent: 0,
        };
        replica.reopen();
        replica
    }

    fn reopen(&mut self) {
        self.feeds.clear();
        self.wake_at = None;
        self.store = None;
        let mut options = Options::new(ReplicaId("7d3f0f86-0000-4000-8000-000000000001".into()));
        options.durability = Durability::Normal;
        self.store = Some(Store::open(&self.path, Arc::clone(&self.schema), options).unwrap());
        self.machine = Machine::new(Arc::clone(&self.schema), tombolo_machine::Settings::default());
        self.step(Input::Start);
        for model in &Arc::clone(&self.schema).models {
            self.step(Input::SetScope(Scope {
                model: model.name.clone(),
                filter: None,
            }));
        }
    }

    /// The app is updated: ends, and comes back with another schema.
    pub(crate) fn upgrade(&mut self, schema: &Arc<Schema>) {
        self.schema = Arc::clone(schema);
        self.reopen();
    }

    fn store(&mut self) -> &mut Store {
        self.store.as_mut().unwrap()
    }

    fn step(&mut self, input: Input) -> Vec<Effect> {
        let now = Now {
            monotonic: self.now,
            wall_ms: 1_700_000_000_000,
        };
        let durable = self.machine.durable(&input);
        let shown = format!("{input:?}");
        let mut tx = self.store.as_mut().unwrap().begin(durable).unwrap();
        let step = match self.machine.step(&mut tx, input, now) {
            Ok(step) => step,
            Err(error) => panic!("{error}: {shown}"),
        };
        tx.commit().unwrap();
        let effects = self.machine.install(step);
        for effect in &effects {
            match effect {
                Effect::WakeAt(at) => self.wake_at = Some(*at),
                Effect::Pulled { rows, .. } => self.pulled += rows,
                Effect::Decided { number, outcome } => {
                    self.ended.insert(*number, outcome.clone());
                }
                _ => {}
            }
        }
        effects
    }

    /// Enqueues; more than one is a transaction.
    pub(crate) fn enqueue(&mut self, mutations: Vec<NewMutation>) -> Vec<MutationNumber> {
        let effects = self.step(Input::Enqueue(mutations));
        let numbers = effects.into_iter().find_map(|effect| match effect {
            Effect::Enqueued(numbers) => Some(numbers),
            _ => None,
        });
        numbers.unwrap()
    }

    pub(crate) fn offline(&mut self) {
        self.feeds.clear();
        self.step(Input::SetOnline(false));
    }

    /// Links up and goes on until nothing moves any more, or only waiting again would.
    pub(crate) fn sync(&mut self, server: &mut Server, loss: Loss) {
        /// More than any back-off needs; a mutation that is held waits for ever.
        const WAKES: usize = 12;
        self.feeds.clear();
        let mut due: VecDeque<Effect> = self.step(Input::SetOnline(true)).into();
        let mut wakes = 0;
        loop {
            while let Some(effect) = due.pop_front() {
                due.extend(self.carry_out(server, effect, loss));
            }
            let mut moved = false;
            for feed in self.feeds.keys().copied().collect::<Vec<_>>() {
                if let Some(subscriber) = self.feeds.get_mut(&feed)
                    && let Some(payload) = ready(server.engine.next(subscriber)).unwrap()
                {
                    moved = true;
                    due.extend(match messages::read_page(&payload) {
                        Page::Batch(batch) => self.step(Input::Batch { feed, batch }),
                        other => panic!("{other:?}"),
                    });
                }
            }
            if moved || !due.is_empty() {
                continue;
            }
            match self.wake_at.take().filter(|_| wakes < WAKES && loss == Loss::Nothing) {
                Some(at) => {
                    wakes += 1;
                    self.now = self.now.max(at);
                    due.extend(self.step(Input::Wake));
                }
                None => return,
            }
        }
    }

    fn carry_out(&mut self, server: &mut Server, effect: Effect, loss: Loss) -> Vec<Effect> {
        match effect {
            Effect::OpenLink => self.step(Input::LinkOpened),
            Effect::Send(Outgoing::Subscribe { feed, replica, scopes }) => {
                match server.subscribe(&messages::subscription(&replica, &scopes)) {
                    Ok(subscriber) => {
                        self.feeds.insert(feed, subscriber);
                        Vec::new()
                    }
                    Err(error) => self.step(Input::FeedRefused {
                        feed,
                        errors: error.to_graphql(),
                    }),
                }
            }
            Effect::Send(Outgoing::Unsubscribe { feed }) => {
                self.feeds.remove(&feed);
                Vec::new()
            }
            Effect::Send(Outgoing::Mutation { number, request }) => {
                self.sent += 1;
                if loss == Loss::Everything {
                    if self.sent.is_multiple_of(2) {
                        server.mutate(&request);
                    }
                    return Vec::new();
                }
                let answer = messages::read_answer(&server.mutate(&request));
                self.step(Input::Answers(vec![(number, answer)]))
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn outbox(&mut self) -> Vec<OutboxEntry> {
        self.store().begin(false).unwrap().outbox(0, 10_000).unwrap()
    }

    /// The view row of a record.
    pub(crate) fn row(&mut self, model: &str, key: &Key) -> Option<Record> {
        let model = self.schema.model_named(model).unwrap();
        self.store().begin(false).unwrap().view(model, key).unwrap()
    }
}

impl Server {
    /// All records of a model, tombstones included, by key: values by field.
    pub(crate) fn rows(&self, model: &str) -> BTreeMap<String, BTreeMap<String, Json>> {
        let scope = ScopeCursor {
            model: model.to_owned(),
            filter: None,
            cursor: None,
            schema: self.schema.hash.clone(),
        };
        let prepared = self
            .engine
            .prepare(&Self::identity(), &messages::page(&scope, 1_000))
            .unwrap();
        let answer = ready(self.engine.query(&prepared)).unwrap().into_bytes(None);
        let Page::Batch(batch) = messages::read_page(&answer) else {
            panic!("{}", String::from_utf8_lossy(&answer))
        };
        let rows: Vec<Vec<Json>> = serde_json::from_str(batch.rows.get()).unwrap();
        let shape = &self.schema[self.schema.model_named(model).unwrap()];
        let row = |row: Vec<Json>| {
            let row: BTreeMap<String, Json> = batch.fields.iter().cloned().zip(row).collect();
            let key = shape.key.iter().map(|f| row[&shape.field_at(*f).name].clone());
            (Json::Array(key.collect()).to_string(), row)
        };
        rows.into_iter().map(row).collect()
    }
}
