//! A phone of the simulation: the real sync machine over the real store, in memory; its driver is this.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Map, Value as Json};
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::query::{Bound, Cache, OperationKind, QueryLimits, RootField, Side};
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::wire::graphql::{GraphqlError, Request};
use tombolo_engine::Subscriber;
use tombolo_machine::messages::{self, Page};
use tombolo_machine::{
    AnswerBody, Effect, FeedNumber, FinalOutcome, Input, Machine, NewMutation, Now, Outgoing, Scope, Settings,
    StepError, StoreTx,
};
use tombolo_store::{Durability, Options, Store};

use super::hand::Trouble;
use super::script::phone_name;
use crate::backend::{Backend, Reply};
use crate::clock::START_MS;

/// A mutation that a phone made.
#[derive(Clone, Debug)]
pub(crate) struct Made {
    pub(crate) number: MutationNumber,
    /// The action that made it.
    pub(crate) action: String,
    /// For people: `updateItem {"id":"1","stock":9}`.
    pub(crate) text: String,
    /// The step of the script, from 0.
    pub(crate) step: usize,
    pub(crate) outcome: Option<FinalOutcome>,
}

/// The two directions of a link.
#[derive(Default)]
struct Wire {
    out: VecDeque<Outgoing>,
    inward: VecDeque<Input>,
    feeds: BTreeMap<FeedNumber, Box<Subscriber>>,
}

pub(crate) struct Phone {
    pub(crate) index: usize,
    schema: Arc<Schema>,
    store: Store,
    machine: Machine,
    wire: Option<Wire>,
    opening: bool,
    wake_at: Option<Duration>,
    pub(crate) online: bool,
    pub(crate) made: Vec<Made>,
    documents: Cache,
    access: Access,
    ids: u64,
}

fn store(error: impl std::fmt::Display) -> Trouble {
    Trouble::Store(error.to_string())
}

impl Phone {
    pub(crate) fn open(index: usize, schema: &Arc<Schema>, now: Duration) -> Result<Self, Trouble> {
        let mut options = Options::new(ReplicaId(phone_name(index)));
        options.durability = Durability::Normal;
        let settings = Settings {
            seed: index as u64,
            ..Settings::default()
        };
        let mut phone = Self {
            index,
            store: Store::open_in_memory(Arc::clone(schema), options).map_err(store)?,
            machine: Machine::new(Arc::clone(schema), settings),
            schema: Arc::clone(schema),
            wire: None,
            opening: false,
            wake_at: None,
            online: true,
            made: Vec::new(),
            documents: Cache::default(),
            access: Access::of(schema, &Identity::Local),
            ids: 0,
        };
        phone.input(Input::Start, now)?;
        for model in &schema.models {
            let scope = Scope {
                model: model.name.clone(),
                filter: None,
            };
            phone.input(Input::SetScope(scope), now)?;
        }
        phone.input(Input::SetOnline(true), now)?;
        Ok(phone)
    }

    /// One input: step, commit, install; gives the numbers of what was queued.
    fn input(&mut self, input: Input, monotonic: Duration) -> Result<Vec<MutationNumber>, Trouble> {
        let now = Now {
            monotonic,
            wall_ms: START_MS.saturating_add(i64::try_from(monotonic.as_millis()).unwrap_or(i64::MAX)),
        };
        let mut tx = self.store.begin(false).map_err(store)?;
        let step = self.machine.step(&mut tx, input, now).map_err(|error| match error {
            StepError::Refused(reason) => Trouble::Refused(reason),
            other => store(other),
        })?;
        tx.commit().map_err(store)?;
        let mut queued = Vec::new();
        for effect in self.machine.install(step) {
            match effect {
                Effect::OpenLink => {
                    self.wire = None;
                    self.opening = true;
                }
                Effect::CloseLink => {
                    self.wire = None;
                    self.opening = false;
                }
                Effect::Send(message) => {
                    if let Some(wire) = &mut self.wire {
                        wire.out.push_back(message);
                    }
                }
                Effect::WakeAt(at) => self.wake_at = Some(at),
                Effect::Enqueued(numbers) => queued.extend(numbers),
                Effect::Decided { number, outcome } => {
                    for made in self.made.iter_mut().filter(|made| made.number == number) {
                        made.outcome = Some(outcome.clone());
                    }
                }
                _ => {}
            }
        }
        Ok(queued)
    }

    pub(crate) fn go_offline(&mut self, now: Duration) -> Result<(), Trouble> {
        self.online = false;
        self.wire = None;
        self.opening = false;
        self.input(Input::SetOnline(false), now).map(drop)
    }

    pub(crate) fn go_online(&mut self, now: Duration) -> Result<(), Trouble> {
        self.online = true;
        self.input(Input::SetOnline(true), now).map(drop)
    }

    /// When the machine next wants to be woken.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        self.wake_at
    }

    /// Whether everything it made is decided and passed by the feed.
    pub(crate) fn is_settled(&mut self) -> Result<bool, Trouble> {
        let mut tx = self.store.begin(false).map_err(store)?;
        let counts = tx.counts().map_err(store)?;
        Ok(counts.queued + counts.in_flight + counts.acked == 0)
    }

    /// One thing that is due; false if nothing is.
    pub(crate) fn step(&mut self, server: &Backend, now: Duration) -> Result<bool, Trouble> {
        if self.opening && self.online {
            self.opening = false;
            self.wire = Some(Wire::default());
            self.input(Input::LinkOpened, now)?;
            return Ok(true);
        }
        if self.wake_at.is_some_and(|at| at <= now) {
            self.wake_at = None;
            self.input(Input::Wake, now)?;
            return Ok(true);
        }
        let Some(wire) = &mut self.wire else { return Ok(false) };
        if let Some(input) = wire.inward.pop_front() {
            self.input(input, now)?;
            return Ok(true);
        }
        if let Some(message) = wire.out.pop_front() {
            wire.carry(message, server);
            return Ok(true);
        }
        Ok(wire.pump(server))
    }

    /// Answers a query from the local rows.
    pub(crate) fn query(&mut self, text: &str, variables: Json) -> Result<Json, Trouble> {
        let bound = self.bind(text, variables)?;
        if bound.kind() != OperationKind::Query {
            return Err(wrong("this is no query; carry it out with `mutate`"));
        }
        let tx = self.store.begin(false).map_err(store)?;
        let answer = tx.answer(bound.execute()).map_err(store)?;
        if !answer.errors.is_empty() {
            return Err(Trouble::Request(answer.errors));
        }
        serde_json::from_slice(&answer.data).map_err(store)
    }

    /// Queues mutations; those of several documents are one transaction.
    pub(crate) fn mutate(
        &mut self,
        documents: &[(&str, Json)],
        action: &str,
        step: usize,
        now: Duration,
    ) -> Result<(), Trouble> {
        let mut new = Vec::new();
        let mut texts = Vec::new();
        for (text, variables) in documents {
            let bound = self.bind(text, variables.clone())?;
            if bound.kind() != OperationKind::Mutation {
                return Err(wrong("this is no mutation; ask it with `query`"));
            }
            for root in bound.roots() {
                let RootField::Mutation(input) = &root.field else {
                    continue;
                };
                self.ids += 1;
                let id = format!("{}-{}", phone_name(self.index), self.ids);
                let mutation = NewMutation::of(&self.schema, input, || id, None);
                texts.push(describe(&self.schema, &mutation));
                new.push(mutation);
            }
        }
        let numbers = self.input(Input::Enqueue(new), now)?;
        for (number, text) in numbers.into_iter().zip(texts) {
            self.made.push(Made {
                number,
                action: action.to_owned(),
                text,
                step,
                outcome: None,
            });
        }
        Ok(())
    }

    fn bind(&self, text: &str, variables: Json) -> Result<Bound, Trouble> {
        let variables = match variables {
            Json::Null => Map::new(),
            Json::Object(map) => map,
            Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
                return Err(wrong("variables are a JSON object, from name to value"));
            }
        };
        let document = self
            .documents
            .parse(&self.schema, text, &QueryLimits::replica())
            .map_err(Trouble::Request)?;
        let bound = document
            .bind(None, &variables, &self.access, Side::Replica)
            .map_err(Trouble::Request)?;
        let refused: Vec<GraphqlError> = (0..bound.roots().len())
            .filter_map(|root| bound.refusal(root).cloned())
            .collect();
        if refused.is_empty() {
            Ok(bound)
        } else {
            Err(Trouble::Request(refused))
        }
    }
}

/// `updateItem {"id":"1","stock":9}`, for people.
fn describe(schema: &Schema, mutation: &NewMutation) -> String {
    let model = schema.model(mutation.model);
    let verb = match mutation.kind {
        MutationKind::Create => "create",
        MutationKind::Update => "update",
        MutationKind::Delete => "delete",
    };
    let name = |field: &tombolo_core::id::FieldId| model.field_at(*field).name.clone();
    let values: Map<String, Json> = mutation
        .values
        .iter()
        .map(|(field, value)| (name(field), value.to_json()))
        .collect();
    format!("{verb}{} {}", model.name, Json::Object(values))
}

fn wrong(message: &str) -> Trouble {
    Trouble::Request(vec![GraphqlError {
        message: message.to_owned(),
        ..GraphqlError::default()
    }])
}

impl Wire {
    /// A message arrives at the server, and its answer sets out.
    fn carry(&mut self, message: Outgoing, server: &Backend) {
        match message {
            Outgoing::Subscribe { feed, replica, scopes } => {
                match server.ask(&messages::subscription(&replica, &scopes)) {
                    Ok(Reply::Stream(subscriber)) => drop(self.feeds.insert(feed, subscriber)),
                    Ok(Reply::Once { .. }) => {}
                    Err(errors) => self.inward.push_back(Input::FeedRefused { feed, errors }),
                }
            }
            Outgoing::Unsubscribe { feed } => drop(self.feeds.remove(&feed)),
            Outgoing::Mutation { number, request } => {
                let body = answer(server, &request);
                self.inward.push_back(Input::Answers(vec![(number, body)]));
            }
            Outgoing::FetchPage {
                feed,
                scope,
                replica,
                rows,
            } => {
                let rows = rows.min(crate::limits::PAGE_ROWS);
                let page = server.ask(&messages::page_of(&replica, &scope, rows));
                if let Ok(Reply::Once { response, .. }) = page {
                    self.batch(feed, &response);
                }
            }
        }
    }

    /// The next batch of a feed that has one sets out; false if none has.
    fn pump(&mut self, server: &Backend) -> bool {
        let mut found = None;
        for (feed, subscriber) in &mut self.feeds {
            match server.next(subscriber) {
                Ok(None) => {}
                Ok(Some(payload)) => {
                    found = Some((*feed, Ok(payload)));
                    break;
                }
                Err(errors) => {
                    found = Some((*feed, Err(errors)));
                    break;
                }
            }
        }
        match found {
            None => return false,
            Some((feed, Ok(payload))) => self.batch(feed, &payload),
            Some((feed, Err(errors))) => {
                self.feeds.remove(&feed);
                self.inward.push_back(Input::FeedRefused { feed, errors });
            }
        }
        true
    }

    fn batch(&mut self, feed: FeedNumber, payload: &[u8]) {
        let input = match messages::read_page(payload) {
            Page::Batch(batch) => Input::Batch { feed, batch },
            Page::Refused(errors) => Input::FeedRefused { feed, errors },
            Page::Unreadable(message) => Input::FeedRefused {
                feed,
                errors: vec![GraphqlError {
                    message,
                    ..GraphqlError::default()
                }],
            },
        };
        self.inward.push_back(input);
    }
}

fn answer(server: &Backend, request: &Request) -> AnswerBody {
    match server.ask(request) {
        Ok(Reply::Once { response, .. }) => messages::read_answer(&response),
        Ok(Reply::Stream(_)) => AnswerBody::Undecided(Vec::new()),
        Err(errors) => AnswerBody::Undecided(errors),
    }
}
