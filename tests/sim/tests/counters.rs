//! Ten replicas, each offline, each adding to the same counter and to the same set: nobody's addition is lost, and the
//! set is what the rules say. The real machine over the real store and its file, against the real engine over its own.
#![allow(clippy::unwrap_used)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::{ModelId, ReplicaId};
use tombolo_core::query::{Document, QueryLimits, RootField, Side};
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::Schema;
use tombolo_core::value::Value;
use tombolo_engine::{Engine, Settings as ServerSettings, Subscriber};
use tombolo_machine::messages::{self, Page};
use tombolo_machine::{
    CloseReason, Effect, FeedNumber, Input, Machine, NewMutation, Now, Outgoing, Scope, Settings, StoreTx,
};
use tombolo_store::{Durability, Options, Store};
use tombolo_store_sqlite::{Options as ServerOptions, SqliteStore};

const SDL: &str = r#"
    type Board @model {
      id: ID!
      likes: Int @merge(rule: COUNTER)
      share: Float @merge(rule: COUNTER)
      members: [String] @merge(rule: SET)
      best: Int @merge(rule: MAX)
    }
    type Note @model { id: ID! text: String }
"#;

const REPLICAS: usize = 10;

/// Additions of each replica.
const ADDITIONS: usize = 100;

const BOARD: ModelId = ModelId(0);

struct Server {
    engine: Engine<SqliteStore>,
    now_ms: i64,
    commits: u64,
}

/// Runs a future of the inline store, which is ready at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the inline store answers at once"),
    }
}

fn identity() -> Identity {
    Identity::ApiKey { name: "test".into() }
}

impl Server {
    fn open(folder: &Path, schema: &Arc<Schema>) -> Self {
        let options = ServerOptions {
            epoch: Some("test".into()),
            ..ServerOptions::default()
        };
        let path = folder.join("server.db");
        let store = SqliteStore::open_inline(Some(&path), Arc::clone(schema), &options).unwrap();
        Self {
            engine: Engine::new(Arc::clone(schema), store, ServerSettings::default()),
            now_ms: 1_700_000_000_000,
            commits: 0,
        }
    }

    fn mutate(&mut self, request: &tombolo_core::wire::graphql::Request) -> Vec<u8> {
        let prepared = self.engine.prepare(&identity(), request).unwrap();
        let submission = self.engine.submission(&prepared, Vec::new());
        self.now_ms += 1;
        self.commits += 1;
        let verdicts = ready(self.engine.commit(vec![submission], self.now_ms)).unwrap();
        ready(self.engine.respond(&prepared, &verdicts[0])).unwrap()
    }
}

struct Phone {
    index: usize,
    schema: Arc<Schema>,
    store: Store,
    machine: Machine,
    up: bool,
    opening: bool,
    out: VecDeque<Outgoing>,
    feeds: BTreeMap<FeedNumber, Subscriber>,
    wake_at: Option<Duration>,
    clock: Duration,
    /// The next answers are lost with the link.
    loses_answers: bool,
}

impl Phone {
    fn open(folder: &Path, schema: &Arc<Schema>, index: usize) -> Self {
        let mut options = Options::new(ReplicaId(format!("replica-{index}")));
        options.durability = Durability::Normal;
        let store = Store::open(&folder.join(format!("{index}.db")), Arc::clone(schema), options).unwrap();
        let settings = Settings {
            seed: index as u64,
            ..Settings::default()
        };
        let mut phone = Self {
            index,
            machine: Machine::new(Arc::clone(schema), settings),
            schema: Arc::clone(schema),
            store,
            up: false,
            opening: false,
            out: VecDeque::new(),
            feeds: BTreeMap::new(),
            wake_at: None,
            clock: Duration::ZERO,
            loses_answers: false,
        };
        phone.input(Input::Start);
        for model in &schema.models {
            let (model, filter) = (model.name.clone(), None);
            phone.input(Input::SetScope(Scope { model, filter }));
        }
        phone
    }

    fn input(&mut self, input: Input) {
        let now = Now {
            monotonic: self.clock,
            wall_ms: 1_700_000_000_000,
        };
        let mut tx = self.store.begin(false).unwrap();
        let step = self.machine.step(&mut tx, input, now).unwrap();
        tx.commit().unwrap();
        for effect in self.machine.install(step) {
            match effect {
                Effect::OpenLink => self.opening = true,
                Effect::CloseLink => self.hang_up(),
                Effect::Send(message) => self.out.push_back(message),
                Effect::WakeAt(at) => self.wake_at = Some(at),
                _ => {}
            }
        }
    }

    fn hang_up(&mut self) {
        (self.up, self.opening) = (false, false);
        self.out.clear();
        self.feeds.clear();
    }

    /// Mutations of one document: more than one is a transaction.
    fn mutate(&mut self, text: &str, variables: Json) {
        let document = Document::parse(&self.schema, text, &QueryLimits::replica()).unwrap();
        let variables: Map<String, Json> = variables.as_object().cloned().unwrap();
        let access = Access::of(&self.schema, &Identity::Local);
        let bound = document.bind(None, &variables, &access, Side::Replica).unwrap();
        let schema = Arc::clone(&self.schema);
        let new = bound.roots().iter().enumerate().map(|(at, root)| match &root.field {
            RootField::Mutation(input) => NewMutation::of(&schema, input, || "made".to_owned(), None),
            other => panic!("{other:?}: {:?}", bound.refusal(at)),
        });
        self.input(Input::Enqueue(new.collect()));
    }

    fn board(&mut self) -> Option<Record> {
        let mut tx = self.store.begin(false).unwrap();
        tx.view(BOARD, &Key(vec![Value::Text("1".into())])).unwrap()
    }

    fn shows(&mut self, field: &str) -> Json {
        let field = self.schema.model(BOARD).field(field).unwrap();
        self.board().map_or(Json::Null, |row| row.value(field).to_json())
    }

    fn unsettled(&mut self) -> usize {
        self.store.begin(false).unwrap().outbox(0, 10_000).unwrap().len()
    }

    /// One thing that is due; false if nothing is.
    fn step(&mut self, server: &mut Server) -> bool {
        if self.opening {
            (self.opening, self.up) = (false, true);
            self.input(Input::LinkOpened);
            return true;
        }
        if self.wake_at.is_some_and(|at| at <= self.clock) {
            self.wake_at = None;
            self.input(Input::Wake);
            return true;
        }
        if !self.up {
            return false;
        }
        match self.out.pop_front() {
            Some(Outgoing::Subscribe { feed, replica, scopes }) => {
                let request = messages::subscription(&replica, &scopes);
                let prepared = server.engine.prepare(&identity(), &request).unwrap();
                self.feeds.insert(feed, server.engine.subscribe(&prepared).unwrap());
                return true;
            }
            Some(Outgoing::Unsubscribe { feed }) => {
                self.feeds.remove(&feed);
                return true;
            }
            Some(Outgoing::Mutation { number, request }) => {
                let answer = messages::read_answer(&server.mutate(&request));
                if std::mem::take(&mut self.loses_answers) {
                    // Carried out, and nobody here knows.
                    self.hang_up();
                    self.input(Input::LinkClosed(CloseReason::Lost("cut".into())));
                } else {
                    self.input(Input::Answers(vec![(number, answer)]));
                }
                return true;
            }
            Some(Outgoing::FetchPage { feed, scope, .. }) => {
                let prepared = server
                    .engine
                    .prepare(&identity(), &messages::page(&scope, 100))
                    .unwrap();
                let answer = ready(server.engine.query(&prepared)).unwrap();
                self.page(feed, &answer.into_bytes(None));
                return true;
            }
            None => {}
        }
        let mut pages = Vec::new();
        for (feed, subscriber) in &mut self.feeds {
            if let Some(payload) = ready(server.engine.next(subscriber)).unwrap() {
                pages.push((*feed, payload));
            }
        }
        for (feed, payload) in &pages {
            self.page(*feed, payload);
        }
        !pages.is_empty()
    }

    fn page(&mut self, feed: FeedNumber, payload: &[u8]) {
        match messages::read_page(payload) {
            Page::Batch(batch) => self.input(Input::Batch { feed, batch }),
            other => panic!("{other:?}"),
        }
    }
}

/// Everything that is due happens, a little of each phone at a time, until nothing is and all have settled.
fn quiesce(phones: &mut [Phone], server: &mut Server) {
    for _ in 0..1_000_000 {
        let mut moved = false;
        for phone in phones.iter_mut() {
            moved |= phone.step(server);
        }
        if moved {
            continue;
        }
        if phones.iter_mut().all(|phone| phone.up && phone.unsettled() == 0) {
            return;
        }
        for phone in phones.iter_mut() {
            phone.clock += Duration::from_secs(1);
        }
    }
    panic!("the world does not come to rest");
}

const UPDATE: &str = "mutation ($i: UpdateBoardInput!) { updateBoard(input: $i) { id } }";

/// What a phone does while it is offline: additions, naive and as operations; members of its own and shared ones.
fn edit_offline(phone: &mut Phone) {
    let me = phone.index;
    for at in 0..ADDITIONS {
        let shown = phone.shows("likes").as_i64().unwrap();
        let input = if at % 2 == 0 {
            // As an app does that knows nothing of operations: it reads, adds, and writes the sum.
            json!({ "id": "1", "likes": shown + 1, "share": phone.shows("share").as_f64().unwrap() + 0.5 })
        } else {
            json!({ "id": "1", "_operations": { "likes": { "add": 1 }, "share": { "add": 0.5 } } })
        };
        if me % 2 == 1 {
            // A transaction is never folded: every addition travels by itself.
            let text = "mutation ($i: UpdateBoardInput!, $n: CreateNoteInput!) { updateBoard(input: $i) { id } \
                        createNote(input: $n) { id } }";
            phone.mutate(text, json!({ "i": input, "n": { "id": format!("{me}-{at}") } }));
        } else {
            phone.mutate(UPDATE, json!({ "i": input }));
        }
        assert_eq!(phone.shows("likes"), json!(shown + 1), "what was written is read");
    }
    let operations = [
        json!({ "add": [format!("own-{me}"), format!("gone-{me}"), "everyone"] }),
        json!({ "remove": [format!("gone-{me}")] }),
        // In both: it goes.
        json!({ "add": ["never"], "remove": ["never"] }),
        if me.is_multiple_of(2) {
            json!({ "add": ["contested"], "remove": ["old"] })
        } else {
            json!({ "remove": ["contested"] })
        },
    ];
    for operation in operations {
        phone.mutate(
            UPDATE,
            json!({ "i": { "id": "1", "_operations": { "members": operation } } }),
        );
    }
    // And once more by an app that writes the whole list.
    let mut list: Vec<Json> = phone.shows("members").as_array().cloned().unwrap();
    list.push(json!(format!("listed-{me}")));
    phone.mutate(
        UPDATE,
        json!({ "i": { "id": "1", "members": list, "best": me * 7 % 10 } }),
    );
}

/// The world after the replicas have come back in `order`, or all at once without one.
fn played(order: Option<&[usize]>) -> (Vec<Phone>, Server, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let schema = Arc::new(Schema::parse(SDL, "board.graphql").unwrap());
    let mut server = Server::open(folder.path(), &schema);
    let mut phones: Vec<Phone> = (0..REPLICAS)
        .map(|index| Phone::open(folder.path(), &schema, index))
        .collect();
    for phone in &mut phones {
        phone.input(Input::SetOnline(true));
    }
    let text = "mutation ($i: CreateBoardInput!) { createBoard(input: $i) { id } }";
    let board = json!({ "id": "1", "likes": 0, "share": 0.0, "members": ["shared", "old"] });
    phones[0].mutate(text, json!({ "i": board }));
    quiesce(&mut phones, &mut server);
    for phone in &mut phones {
        phone.input(Input::SetOnline(false));
        phone.hang_up();
    }
    for phone in &mut phones {
        edit_offline(phone);
        assert_eq!(phone.shows("likes"), json!(ADDITIONS));
    }
    let before = server.commits;
    match order {
        None => {
            for phone in &mut phones {
                phone.loses_answers = true;
                phone.input(Input::SetOnline(true));
            }
        }
        Some(order) => {
            for index in order {
                let phone = &mut phones[*index];
                phone.loses_answers = true;
                phone.input(Input::SetOnline(true));
                quiesce(std::slice::from_mut(phone), &mut server);
            }
        }
    }
    quiesce(&mut phones, &mut server);
    // Five whose edits were folded, five with a transaction for each addition; each with one that was sent again.
    assert!(server.commits - before > (REPLICAS / 2 * ADDITIONS + REPLICAS) as u64);
    (phones, server, folder)
}

fn members(list: &Json) -> BTreeSet<String> {
    let items: Vec<String> = list
        .as_array()
        .unwrap()
        .iter()
        .map(|m| m.as_str().unwrap().to_owned())
        .collect();
    let set: BTreeSet<String> = items.iter().cloned().collect();
    assert_eq!(items.len(), set.len(), "no member twice: {items:?}");
    set
}

fn expected(contested: bool) -> BTreeSet<String> {
    let mut set: BTreeSet<String> = ["shared", "everyone"].map(str::to_owned).into();
    set.extend((0..REPLICAS).flat_map(|i| [format!("own-{i}"), format!("listed-{i}")]));
    set.extend(contested.then(|| "contested".to_owned()));
    set
}

fn check(phones: &mut [Phone], contested: Option<bool>) {
    let first = phones[0].board().unwrap();
    for phone in phones {
        assert_eq!(
            phone.shows("likes"),
            json!(REPLICAS * ADDITIONS),
            "replica {}",
            phone.index
        );
        assert_eq!(phone.shows("share"), json!((REPLICAS * ADDITIONS) as f64 * 0.5));
        assert_eq!(phone.shows("best"), json!(9));
        let mut shown = members(&phone.shows("members"));
        let wanted = expected(contested.unwrap_or_else(|| shown.contains("contested")));
        assert_eq!(shown, wanted, "replica {}", phone.index);
        shown.clear();
        assert_eq!(
            phone.board().unwrap(),
            first,
            "all replicas are alike, to the order of the list"
        );
    }
}

#[test]
fn ten_offline_replicas_that_each_add_a_hundred_make_a_thousand() {
    let (mut phones, _server, _folder) = played(None);
    check(&mut phones, None);
}

#[test]
fn a_member_that_one_adds_and_another_removes_is_as_the_last_to_come_has_it() {
    // Even replicas add it, odd ones remove it.
    let (mut phones, _server, _folder) = played(Some(&[3, 8, 0, 5, 9, 2, 7, 1, 4, 6]));
    check(&mut phones, Some(true));
    let (mut phones, _server, _folder) = played(Some(&[6, 4, 1, 7, 2, 9, 5, 0, 8, 3]));
    check(&mut phones, Some(false));
}
