//! A server without its listeners, on a database in memory.

use std::cell::RefCell;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use serde_json::{Value as Json, json};
use tombolo_core::access::Identity;
use tombolo_core::query::OperationKind;
use tombolo_core::record::Record;
use tombolo_core::wire::envelope::{OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::Request;
use tombolo_engine::{Engine, EngineError, MutationResult, Prepared, Settings, StoreError, Verdict};
use tombolo_store_sqlite::{Options, SqliteStore};

use crate::{check_json, schema};

/// Runs that share one server: what mutations leave behind makes further states, but it must not grow without bound.
const RUNS: u32 = 500;

/// Payloads that are taken from one subscription.
const PAYLOADS: usize = 4;

/// When everything happens: 2013-01-01.
const NOW_MS: i64 = 1_356_998_400_000;

thread_local! {
    static KEPT: RefCell<Option<(Server, u32)>> = const { RefCell::new(None) };
}

/// A server with [`Server::records`] in it.
pub struct Server {
    engine: Engine<SqliteStore>,
    /// Todos that were created.
    pub records: Vec<Arc<Record>>,
}

/// Gives `run` a server; a fresh one now and then.
pub fn with<T>(run: impl FnOnce(&Server) -> T) -> T {
    KEPT.with_borrow_mut(|kept| {
        let (server, runs) = match kept.take() {
            Some((server, runs)) if runs < RUNS => (server, runs + 1),
            _ => (Server::new(), 0),
        };
        let result = run(&server);
        *kept = Some((server, runs));
        result
    })
}

/// Polls a future that never has to wait: the store does everything in the caller's thread.
pub fn ready<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(output) => output,
        Poll::Pending => panic!("a store that works in the caller's thread made it wait"),
    }
}

impl Server {
    /// A fresh one.
    pub fn new() -> Self {
        let options = Options {
            epoch: Some("e".to_owned()),
            ..Options::default()
        };
        let store = SqliteStore::open_inline(None, Arc::clone(schema()), &options).expect("memory can be opened");
        let mut server = Self {
            engine: Engine::new(Arc::clone(schema()), store, Settings::default()),
            records: Vec::new(),
        };
        for (name, input) in records() {
            let query = format!("mutation($i: Create{name}Input!) {{ create{name}(input: $i) {{ _version }} }}");
            let request = Request {
                query,
                variables: json!({ "i": input }).as_object().cloned(),
                ..Request::default()
            };
            let prepared = server.engine.prepare(&identity(), &request).expect("a good request");
            let result = server.commit(&prepared).results.remove(0);
            assert_eq!(result.outcome, OutcomeKind::Applied, "{result:?}");
            if name == "Todo" {
                server.records.extend(result.record);
            }
        }
        server
    }

    /// Carries out a request as a listener does; the answers, each checked to be JSON.
    pub fn ask(&self, request: &Request) -> Vec<Json> {
        let prepared = match self.engine.prepare(&identity(), request) {
            Ok(prepared) => prepared,
            Err(errors) => {
                assert!(!errors.is_empty(), "refused without a reason");
                return Vec::new();
            }
        };
        match prepared.kind() {
            OperationKind::Query => match ready(self.engine.query(&prepared)) {
                Ok(answer) => vec![check_json(&answer.into_bytes(None))],
                Err(error) => no_store_error(error),
            },
            OperationKind::Mutation => self.mutate(&prepared),
            OperationKind::Subscription => self.subscribe(&prepared),
        }
    }

    fn mutate(&self, prepared: &Prepared) -> Vec<Json> {
        let verdict = self.commit(prepared);
        let settled = |number: u64| prepared.envelope().is_some_and(|e| e.settled_through >= number);
        if let Some(envelope) = prepared.envelope()
            && !settled(envelope.number.0)
        {
            let again = self.commit(prepared);
            assert_eq!(
                outcomes(&verdict),
                outcomes(&again),
                "a resent mutation is answered differently: {envelope:?}"
            );
        }
        match ready(self.engine.respond(prepared, &verdict)) {
            Ok(bytes) => vec![check_json(&bytes)],
            Err(error) => no_store_error(error),
        }
    }

    fn commit(&self, prepared: &Prepared) -> Verdict {
        let fresh_ids = (0..prepared.fresh_ids_needed()).map(|i| format!("fresh-{i}")).collect();
        let submission = self.engine.submission(prepared, fresh_ids);
        match ready(self.engine.commit(vec![submission], NOW_MS)) {
            Ok(mut verdicts) => {
                assert_eq!(verdicts.len(), 1, "one verdict for one submission");
                verdicts.remove(0)
            }
            Err(error) => panic!("the database refused what was accepted: {error}"),
        }
    }

    fn subscribe(&self, prepared: &Prepared) -> Vec<Json> {
        let mut subscriber = match self.engine.subscribe(prepared) {
            Ok(subscriber) => subscriber,
            Err(error) => return no_store_error(error),
        };
        let mut payloads = Vec::new();
        while payloads.len() < PAYLOADS {
            match ready(self.engine.next(&mut subscriber)) {
                Ok(Some(payload)) => payloads.push(check_json(&payload)),
                Ok(None) => break,
                Err(error) => {
                    no_store_error(error);
                    break;
                }
            }
        }
        payloads
    }
}

impl Default for Server {
    fn default() -> Self {
        Self::new()
    }
}

/// Who asks.
pub fn identity() -> Identity {
    Identity::ApiKey {
        name: "fuzz".to_owned(),
    }
}

/// A refusal is an answer; a database that cannot carry out what was planned is a fault of the plan.
fn no_store_error(error: EngineError) -> Vec<Json> {
    match error {
        EngineError::Request(errors) => assert!(!errors.is_empty(), "refused without a reason"),
        EngineError::Store(error @ StoreError::Backend(_)) => panic!("the database refused a plan: {error}"),
        EngineError::Store(error) => panic!("a database in memory failed: {error}"),
    }
    Vec::new()
}

fn outcomes(verdict: &Verdict) -> Vec<(OutcomeKind, Option<&RejectReason>)> {
    let outcome = |result: &MutationResult| result.outcome;
    verdict
        .results
        .iter()
        .map(|result| (outcome(result), result.reason.as_ref()))
        .collect()
}

/// What is in a fresh server: todos that differ in what filters look at, and something to relate them to.
fn records() -> Vec<(&'static str, Json)> {
    let mut all: Vec<(&str, Json)> = [
        json!({ "id": "a", "title": "wet runway", "rank": 1, "price": 1.5, "done": true, "tags": ["x", "y"], "list": "l" }),
        json!({ "id": "b", "title": "", "rank": -1, "price": -0.0, "done": false, "tags": [], "list": "l" }),
        json!({ "id": "c", "title": "Wet", "rank": null, "colour": "RED", "colours": ["RED", "GREEN"], "tags": [null] }),
        json!({ "id": "d", "title": "ünï\u{1F600}", "note": "100%_\\", "rank": 2147483647, "price": 1e300 }),
        json!({ "id": "e", "title": "e", "spot": { "x": 1, "y": 2.5, "name": "n", "tags": ["t"] }, "spots": [{ "x": 0 }] }),
        json!({ "id": "f", "title": "f", "meta": "{\"a\":[1,2.50]}", "day": "2013-01-01Z", "hour": "10:00:00.5Z" }),
        json!({ "id": "g", "title": "g", "at": "2013-01-01T10:00:00+02:00", "stamp": 1_356_998_400, "mail": "a@b.ch" }),
        json!({ "id": "h", "title": "h", "at": "2013-01-01T08:00:00Z", "stamp": -1, "link": "https://a.org/", "list": "l" }),
        json!({ "id": "", "title": "no id", "note": "wet runway", "rank": 0 }),
    ]
    .into_iter()
    .map(|todo| ("Todo", todo))
    .collect();
    all.extend([
        ("Line", json!({ "order": "o", "number": 1, "todo": "a", "text": "one" })),
        ("Line", json!({ "order": "o", "number": 2, "todo": "a" })),
        ("Strict", json!({ "id": "s", "text": "t" })),
        ("Newest", json!({ "id": "n", "items": [1, 2] })),
        (
            "Tally",
            json!({ "id": "y", "hits": 3, "marks": ["a"], "first": "2013-01-01T10:00:00+02:00" }),
        ),
    ]);
    all
}
