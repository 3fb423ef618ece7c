//! Several stores on one file, as an app and its extension have it: what one writes the other knows before it decides, one
//! has the link, and whoever comes next goes on where a dead one stopped.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use tombolo_core::id::MutationNumber;
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::{MutationAnswer, MutationOutcome, OutcomeKind};
use tombolo_machine::{
    AnswerBody, Effect, FeedNumber, Input, Machine, NewMutation, Now, Outgoing, Scope, Settings, Status, StepError,
    StoreError, StoreTx as _,
};
use tombolo_store::{OpenError, Options, Seal, Store, discard, peek};

use crate::world::{SDL, options, page, schema};

/// One process on the file.
struct Process {
    store: Store,
    machine: Machine,
    schema: Arc<Schema>,
    author: Option<String>,
    now: Duration,
    sent: Vec<u64>,
    feed: FeedNumber,
    subscriptions: usize,
}

impl Process {
    fn start(path: &Path) -> Self {
        Self::of(path, None)
    }

    fn of(path: &Path, author: Option<&str>) -> Self {
        let schema = schema(SDL);
        let author = author.map(str::to_owned);
        let settings = Settings {
            author: author.clone(),
            ..Settings::default()
        };
        let mut process = Self {
            store: Store::open(path, schema.clone(), options()).unwrap(),
            machine: Machine::new(schema.clone(), settings),
            schema,
            author,
            now: Duration::ZERO,
            sent: Vec::new(),
            feed: FeedNumber(0),
            subscriptions: 0,
        };
        process.step(Input::Start);
        process
    }

    fn step(&mut self, input: Input) {
        self.try_step(input).unwrap();
    }

    fn try_step(&mut self, input: Input) -> Result<(), StepError> {
        let now = Now {
            monotonic: self.now,
            wall_ms: 0,
        };
        let mut tx = self.store.begin(self.machine.durable(&input))?;
        let step = self.machine.step(&mut tx, input, now)?;
        tx.commit()?;
        for effect in self.machine.install(step) {
            match effect {
                Effect::Send(Outgoing::Mutation { number, .. }) => self.sent.push(number.0),
                Effect::Send(Outgoing::Subscribe { feed, .. }) => {
                    (self.feed, self.subscriptions) = (feed, self.subscriptions + 1);
                }
                _ => {}
            }
        }
        // What the machine says is always what the file says.
        let status = self.machine.status().clone();
        let counts = self.store.begin(false).unwrap().counts().unwrap();
        assert_eq!(status.pending, counts.queued + counts.in_flight + counts.acked);
        assert_eq!(status.in_flight, counts.in_flight);
        Ok(())
    }

    fn create(&mut self, id: &str) {
        let model = self.schema.model_named("Todo").unwrap();
        let key = self.schema.models[model.0].key[0];
        self.step(Input::Enqueue(vec![NewMutation {
            model,
            kind: MutationKind::Create,
            values: vec![(key, Value::Text(id.into()))],
            base_version: None,
            read: None,
            condition: None,
            operations: Vec::new(),
            author: self.author.clone(),
        }]));
    }

    fn link(&mut self) {
        self.step(Input::SetOnline(true));
        self.step(Input::LinkOpened);
    }

    fn page(&mut self, cursor: &str) {
        let model = self.schema.models[self.schema.model_named("Todo").unwrap().0].clone();
        let batch = page(&model, cursor, true, false, &[], &[]);
        let feed = self.feed;
        self.step(Input::Batch { feed, batch });
    }

    fn applied(&mut self, number: u64, cursor: &str) {
        let outcome = MutationOutcome {
            number: MutationNumber(number),
            outcome: OutcomeKind::Applied,
            cursor: Some(cursor.into()),
            ..serde_json::from_value(json!({ "number": number, "outcome": "applied" })).unwrap()
        };
        let answer = AnswerBody::Outcomes(MutationAnswer {
            outcomes: vec![outcome],
        });
        self.step(Input::Answers(vec![(MutationNumber(number), answer)]));
    }

    fn status(&self) -> Status {
        self.machine.status().clone()
    }
}

fn file() -> (TempDir, PathBuf) {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("replica.db");
    (dir, path)
}

fn scope_of_todos(process: &mut Process) {
    process.step(Input::SetScope(Scope {
        model: "Todo".into(),
        filter: None,
    }));
}

#[test]
fn one_of_two_has_the_link_and_the_other_gets_it_when_that_one_goes() {
    let (_dir, path) = file();
    let mut app = Process::start(&path);
    let mut extension = Process::start(&path);
    assert!(app.store.try_drain().unwrap() && app.store.drains());
    assert!(!extension.store.try_drain().unwrap() && !extension.store.drains());
    app.store.stop_draining();
    assert!(extension.store.try_drain().unwrap());
    drop(extension);
    assert!(app.store.try_drain().unwrap());
}

#[test]
fn numbers_come_from_the_file_so_that_two_never_take_the_same() {
    let (_dir, path) = file();
    let mut app = Process::start(&path);
    let mut extension = Process::start(&path);
    for i in 0..5 {
        app.create(&format!("a{i}"));
        extension.create(&format!("e{i}"));
    }
    let numbers: Vec<u64> = app
        .store
        .begin(false)
        .unwrap()
        .outbox(0, 100)
        .unwrap()
        .iter()
        .map(|e| e.number.0)
        .collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
    app.step(Input::Refresh);
    assert_eq!((app.status().pending, extension.status().pending), (10, 10));
}

#[test]
fn what_one_queues_the_other_sends_and_its_end_is_known_to_both() {
    let (_dir, path) = file();
    let mut app = Process::start(&path);
    scope_of_todos(&mut app);
    app.link();
    app.page("e.1");
    let mut extension = Process::start(&path);
    extension.create("x");
    assert!(app.sent.is_empty());
    assert_ne!(
        app.store.data_version().unwrap(),
        app.machine.data_version(),
        "the app can see it by polling"
    );
    app.step(Input::Refresh);
    assert_eq!(app.sent, [1]);
    assert_eq!(app.store.data_version().unwrap(), app.machine.data_version());
    extension.step(Input::Refresh);
    assert_eq!(extension.status().in_flight, 1);
    app.applied(1, "e.2");
    app.page("e.2");
    extension.step(Input::Refresh);
    assert_eq!((app.status().pending, extension.status().pending), (0, 0));
}

#[test]
fn an_answer_sends_what_another_queued_meanwhile_without_any_refresh_being_asked_for() {
    let (_dir, path) = file();
    let mut app = Process::start(&path);
    scope_of_todos(&mut app);
    app.link();
    app.page("e.1");
    app.create("a");
    let mut extension = Process::start(&path);
    extension.create("x");
    // The app's memory says that nothing is queued; the step finds out by itself.
    app.applied(1, "e.2");
    app.step(Input::Wake);
    assert_eq!(app.sent, [1, 2]);
}

#[test]
fn what_a_dead_one_had_in_flight_is_sent_again_under_the_same_numbers() {
    let (_dir, path) = file();
    let mut extension = Process::start(&path);
    let mut app = Process::start(&path);
    scope_of_todos(&mut app);
    app.create("a");
    app.create("b");
    app.link();
    assert_eq!(app.sent, [1, 2]);
    // No goodbye: the process is gone, the file is as its last commit left it.
    drop(app);
    assert!(extension.store.try_drain().unwrap());
    extension.step(Input::Refresh);
    extension.link();
    assert_eq!(extension.sent, [1, 2]);
}

#[test]
fn a_wedged_one_that_another_retries_is_sent_by_the_one_with_the_link() {
    let (_dir, path) = file();
    let mut app = Process::start(&path);
    app.create("a");
    app.link();
    for _ in 0..tombolo_machine::limits::UNDECIDED_TRIES_MAX {
        app.step(Input::Answers(vec![(
            MutationNumber(1),
            AnswerBody::Undecided(Vec::new()),
        )]));
        app.now += Duration::from_secs(31);
        app.step(Input::Wake);
        if app.status().wedged == 0 && app.machine.status().link == tombolo_machine::LinkStatus::Waiting {
            app.step(Input::SetOnline(true));
            app.step(Input::LinkOpened);
        }
    }
    assert_eq!(app.status().wedged, 1, "{:?}", app.status());
    let mut extension = Process::start(&path);
    extension.step(Input::Retry(MutationNumber(1)));
    app.sent.clear();
    app.step(Input::Refresh);
    if !app.sent.contains(&1) {
        // The link was being opened again.
        app.step(Input::SetOnline(true));
        app.step(Input::LinkOpened);
    }
    assert_eq!(app.sent, [1]);
}

#[test]
fn a_page_of_a_scope_that_another_changed_is_dropped_and_the_new_one_asked_for() {
    let (_dir, path) = file();
    let mut app = Process::start(&path);
    scope_of_todos(&mut app);
    app.link();
    app.page("e.1");
    let stale = app.feed;
    let mut extension = Process::start(&path);
    extension.step(Input::SetScope(Scope {
        model: "Todo".into(),
        filter: Some(json!({ "rank": { "eq": 1 } })),
    }));
    app.page("e.2");
    assert_ne!(app.feed, stale, "asked anew");
    let scopes = app.store.begin(false).unwrap().scopes().unwrap();
    assert_eq!((scopes[0].cursor.as_deref(), scopes[0].filter.is_some()), (None, true));
    app.page("e.3");
    assert_eq!(
        app.store.begin(false).unwrap().scopes().unwrap()[0].cursor.as_deref(),
        Some("e.3")
    );
    assert_eq!(app.subscriptions, 2);
}

#[test]
fn what_another_saw_acknowledged_is_settled_by_the_feed_that_has_passed_it() {
    let (_dir, path) = file();
    let mut app = Process::start(&path);
    scope_of_todos(&mut app);
    app.create("a");
    app.link();
    let mut next = Process::start(&path);
    // The app gives the link up with its mutation in flight; the next one takes it, and hears of the change by the feed.
    app.step(Input::SetOnline(false));
    next.link();
    next.page("e.5");
    // The answer reached the app after all.
    app.applied(1, "e.5");
    assert_eq!(app.status().pending, 1);
    next.step(Input::Refresh);
    assert_eq!(next.status().pending, 0);
}

#[test]
fn a_mutation_is_sent_in_its_authors_name_or_not_at_all() {
    let (_dir, path) = file();
    let mut ada = Process::of(&path, Some("ada"));
    ada.create("sent");
    ada.link();
    ada.step(Input::SetOnline(false));
    ada.create("queued");
    drop(ada);
    let mut nobody = Process::start(&path);
    nobody.create("no author");
    nobody.link();
    assert_eq!(nobody.sent, [3]);
    nobody.applied(3, "e.1");
    drop(nobody);
    let mut bob = Process::of(&path, Some("bob"));
    bob.create("bob's");
    bob.link();
    bob.now += Duration::from_secs(1);
    bob.step(Input::Wake);
    assert_eq!(bob.sent, [4]);
    bob.step(Input::SetOnline(false));
    drop(bob);
    let mut ada = Process::of(&path, Some("ada"));
    ada.link();
    assert_eq!(ada.sent, [1, 2]);
}

#[test]
fn a_file_that_is_open_is_not_given_another_shape() {
    let (_dir, path) = file();
    let app = Process::start(&path);
    let grown = schema(&SDL.replace("type Todo @model {", "type Todo @model { colour: String"));
    let impatient = Options {
        busy_timeout: Duration::from_millis(30),
        ..options()
    };
    let refused = Store::open(&path, grown.clone(), impatient.clone());
    assert!(matches!(refused, Err(OpenError::InUse(_))), "{refused:?}");
    drop(app);
    drop(Store::open(&path, grown, impatient).unwrap());
}

#[test]
fn a_writer_that_takes_too_long_gives_busy_and_nothing_is_lost() {
    let (_dir, path) = file();
    let mut app = Process::start(&path);
    app.create("before");
    let impatient = Options {
        busy_timeout: Duration::from_millis(30),
        ..options()
    };
    let mut second = Store::open(&path, schema(SDL), impatient).unwrap();
    let stuck = Connection::open(&path).unwrap();
    stuck.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = second.begin(true).map(drop);
    assert!(matches!(refused, Err(StoreError::Busy(_))), "{refused:?}");
    stuck.execute_batch("ROLLBACK").unwrap();
    assert_eq!(second.begin(true).unwrap().counts().unwrap().queued, 1);
}

fn of(account: &str) -> Options {
    Options {
        account: Some(account.into()),
        ..options()
    }
}

#[test]
fn a_file_opens_for_its_account_alone() {
    let (_dir, path) = file();
    let schema = schema(SDL);
    drop(Store::open(&path, schema.clone(), options()).unwrap());
    // It had none; now it has.
    drop(Store::open(&path, schema.clone(), of("ada")).unwrap());
    for wrong in [of("bob"), options()] {
        let refused = Store::open(&path, schema.clone(), wrong);
        assert!(matches!(refused, Err(OpenError::WrongAccount(_))), "{refused:?}");
    }
    drop(Store::open(&path, schema, of("ada")).unwrap());
}

#[test]
fn a_seal_ends_every_process_and_opens_for_its_account() {
    let (_dir, path) = file();
    let schema = schema(SDL);
    let mut app = Store::open(&path, schema.clone(), of("ada")).unwrap();
    let mut extension = Store::open(&path, schema.clone(), of("ada")).unwrap();
    assert_eq!(app.seal(|_| Seal::Kept).unwrap().0.queued, 0);
    let ended = extension.begin(false).map(drop);
    assert!(matches!(ended, Err(StoreError::SignedOut)), "{ended:?}");
    let again = Options {
        again: true,
        ..of("ada")
    };
    let resumed = Store::open(&path, schema.clone(), again);
    assert!(
        matches!(resumed, Err(OpenError::Store(StoreError::SignedOut))),
        "{resumed:?}"
    );
    drop((app, extension));
    assert!(peek(&path).unwrap().unwrap().sealed);
    assert!(matches!(
        Store::open(&path, schema.clone(), of("bob")),
        Err(OpenError::WrongAccount(_))
    ));
    drop(Store::open(&path, schema, of("ada")).unwrap());
    assert!(!peek(&path).unwrap().unwrap().sealed);
}

#[test]
fn a_file_that_is_given_up_goes_when_the_last_one_has_left_it() {
    let (dir, path) = file();
    let schema = schema(SDL);
    let mut app = Process::of(&path, None);
    app.create("lost");
    let extension = Store::open(&path, schema.clone(), options()).unwrap();
    assert_eq!(app.store.seal(|_| Seal::Discarded).unwrap().0.queued, 1);
    drop(app);
    assert!(!discard(&path, Duration::ZERO).unwrap(), "somebody has it open");
    assert_eq!(peek(&path).unwrap(), None);
    drop(extension);
    // Nobody came to remove it; the next one finds nothing of it.
    let mut next = Store::open(&path, schema, options()).unwrap();
    assert_eq!(next.begin(false).unwrap().counts().unwrap().queued, 0);
    next.seal(|_| Seal::Discarded).unwrap();
    drop(next);
    assert!(discard(&path, Duration::ZERO).unwrap());
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
}

#[test]
fn many_that_open_a_new_file_at_once_all_get_in() {
    let (_dir, path) = file();
    let schema = schema(SDL);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let mut store = Store::open(&path, schema.clone(), options()).unwrap();
                    store.begin(false).unwrap().commit().unwrap();
                }
            });
        }
    });
}
