//! `syncX` as DataStore's clients use it, over the engine and this store: base and delta, tombstones, pages that stay whole
//! under writes, and clocks that are off.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde_json::{Value as Json, json};
use tombolo_core::access::Identity;
use tombolo_core::query::OperationKind;
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::Request;
use tombolo_engine::suite::block_on;
use tombolo_engine::{Engine, Settings};
use tombolo_store_sqlite::SqliteStore;

const SDL: &str = r#"
type Note @model @auth(rules: [{ allow: public }]) {
  id: ID!
  text: String
  rank: Int
}
"#;

const SYNC: &str =
    "query operation($limit: Int, $nextToken: String, $lastSync: AWSTimestamp, $filter: ModelNoteFilterInput) {
  syncNotes(limit: $limit, nextToken: $nextToken, lastSync: $lastSync, filter: $filter) {
    items { id text rank _version _lastChangedAt _deleted }
    nextToken
    startedAt
  }
}";

/// 2024-01-01.
const BEGIN_MS: i64 = 1_704_067_200_000;
const MINUTE_MS: i64 = 60_000;
const HOUR_MS: i64 = 60 * MINUTE_MS;

/// An engine over this store, and a clock.
pub(super) struct Server {
    engine: Engine<SqliteStore>,
    now_ms: AtomicI64,
}

impl Server {
    fn new() -> Self {
        Self::of(SDL)
    }

    pub(super) fn of(sdl: &str) -> Self {
        let schema = Arc::new(Schema::parse(sdl, "schema.graphql").unwrap_or_else(|e| panic!("{e}")));
        let store = SqliteStore::open_in_memory(Arc::clone(&schema), &super::options()).unwrap();
        Self {
            engine: Engine::new(schema, store, Settings::default()),
            now_ms: AtomicI64::new(BEGIN_MS),
        }
    }

    fn now(&self) -> i64 {
        self.now_ms.load(Ordering::Relaxed)
    }

    fn wait(&self, ms: i64) {
        self.now_ms.fetch_add(ms, Ordering::Relaxed);
    }

    pub(super) fn ask(&self, query: &str, variables: Json) -> Json {
        let request = Request {
            query: query.to_owned(),
            operation_name: None,
            variables: variables.as_object().cloned(),
            extensions: None,
        };
        let identity = Identity::ApiKey { name: "test".into() };
        let prepared = self.engine.prepare(&identity, &request).unwrap();
        let bytes = block_on(async {
            if prepared.kind() == OperationKind::Query {
                return self.engine.query(&prepared).await.unwrap().into_bytes(None);
            }
            let submission = self.engine.submission(&prepared, vec!["fresh".into()]);
            let verdicts = self.engine.commit(vec![submission], self.now()).await.unwrap();
            self.engine.respond(&prepared, &verdicts[0]).await.unwrap()
        });
        serde_json::from_slice(&bytes).unwrap()
    }

    fn change(&self, verb: &str, input: Json) -> Json {
        let (name, field) = (format!("{}Note", verb), format!("{verb}Note"));
        let upper = name[..1].to_uppercase() + &name[1..];
        let query = format!("mutation ($input: {upper}Input!) {{ {field}(input: $input) {{ id _version }} }}");
        let answer = self.ask(&query, json!({ "input": input }));
        assert_eq!(answer["errors"], Json::Null, "{answer}");
        answer["data"][&field].clone()
    }

    fn create(&self, id: &str, rank: i64) {
        self.change("create", json!({ "id": id, "text": "t", "rank": rank }));
    }

    fn page(&self, variables: Json) -> Json {
        let answer = self.ask(SYNC, variables);
        assert_eq!(answer["errors"], Json::Null, "{answer}");
        let page = answer["data"]["syncNotes"].clone();
        let keys: Vec<&String> = page.as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            ["items", "nextToken", "startedAt"],
            "every key is there, null or not"
        );
        page
    }

    /// All pages, and what each said of `startedAt`; `between` runs after each page.
    fn pages(&self, mut variables: Json, between: impl Fn(usize)) -> (Vec<Json>, i64) {
        let (mut items, mut started) = (Vec::new(), None);
        for number in 0.. {
            let page = self.page(variables.clone());
            items.extend(page["items"].as_array().unwrap().iter().cloned());
            let at = page["startedAt"].as_i64().unwrap();
            assert_eq!(*started.get_or_insert(at), at, "the same on all pages");
            if page["nextToken"].is_null() {
                break;
            }
            variables["nextToken"] = page["nextToken"].clone();
            between(number);
        }
        (items, started.unwrap())
    }
}

fn ids(items: &[Json]) -> Vec<&str> {
    items.iter().map(|item| item["id"].as_str().unwrap()).collect()
}

/// Takes items as DataStore for JavaScript does: whatever comes last stands, without a look at versions.
fn merge(local: &mut BTreeMap<String, Json>, items: &[Json]) {
    for item in items {
        let id = item["id"].as_str().unwrap().to_owned();
        if item["_deleted"] == json!(true) {
            local.remove(&id);
        } else {
            local.insert(id, item.clone());
        }
    }
}

#[test]
fn base_is_everything_with_tombstones_whatever_way_it_is_asked_for() {
    let server = Server::new();
    let empty = server.page(json!({ "lastSync": 0, "limit": 1000, "nextToken": null, "filter": null }));
    assert_eq!((&empty["items"], &empty["nextToken"]), (&json!([]), &Json::Null));
    assert!(empty["startedAt"].is_i64());
    for i in 0..5 {
        server.create(&format!("n{i}"), i);
        server.wait(HOUR_MS);
    }
    server.change("delete", json!({ "id": "n1", "_version": 1 }));
    for variables in [
        json!({ "lastSync": 0, "limit": 1000, "nextToken": null, "filter": null }),
        json!({ "lastSync": null }),
        json!({}),
    ] {
        let page = server.page(variables);
        let items = page["items"].as_array().unwrap();
        assert_eq!(ids(items), ["n0", "n2", "n3", "n4", "n1"]);
        let gone = &items[4];
        assert_eq!((&gone["_deleted"], &gone["_version"]), (&json!(true), &json!(2)));
        assert_eq!(gone["text"], "t", "a tombstone keeps its other attributes");
        assert_eq!(items[0]["_deleted"], Json::Null, "null, not false, on what lives");
        assert!(items[0].as_object().unwrap().contains_key("_deleted"));
    }
}

#[test]
fn a_delta_has_what_changed_since_with_tombstones_and_nothing_else() {
    let server = Server::new();
    for i in 0..4 {
        server.create(&format!("n{i}"), i);
    }
    server.wait(HOUR_MS);
    server.change("update", json!({ "id": "n3", "text": "u", "_version": 1 }));
    let since = server.page(json!({ "lastSync": 0 }))["startedAt"].as_i64().unwrap();
    assert_eq!(since, server.now(), "the newest change");
    server.wait(HOUR_MS);
    server.change("update", json!({ "id": "n0", "text": "new", "_version": 1 }));
    server.change("delete", json!({ "id": "n2", "_version": 1 }));
    let (delta, started) = server.pages(json!({ "lastSync": since, "limit": 1000 }), |_| {});
    // The change that `startedAt` is of comes again: whoever committed in the same millisecond is not lost.
    assert_eq!(ids(&delta), ["n3", "n0", "n2"]);
    assert_eq!(delta[2]["_deleted"], json!(true));
    assert!(started >= since, "never back");
    // An old `lastSync` asks for all that has changed since, not for everything.
    let (old, _) = server.pages(json!({ "lastSync": BEGIN_MS + HOUR_MS }), |_| {});
    assert_eq!(ids(&old), ["n3", "n0", "n2"]);
}

#[test]
fn pages_lose_nothing_to_writes_between_them_and_give_versions_in_order() {
    let server = Server::new();
    for i in 0..30 {
        server.create(&format!("n{i:02}"), i);
    }
    let between = |number: usize| {
        server.wait(1);
        match number {
            // One that was given, one that is to come, twice; one that goes; one that is new.
            0 => {
                server.change("update", json!({ "id": "n00", "text": "again", "_version": 1 }));
                server.change("update", json!({ "id": "n25", "text": "once", "_version": 1 }));
            }
            1 => {
                server.change("update", json!({ "id": "n25", "text": "twice", "_version": 2 }));
                server.change("delete", json!({ "id": "n20", "_version": 1 }));
                server.create("late", 99);
            }
            2 => {
                server.change("delete", json!({ "id": "n00", "_version": 2 }));
            }
            _ => {}
        }
    };
    let (items, started) = server.pages(json!({ "lastSync": 0, "limit": 7 }), between);
    let mut versions: BTreeMap<String, i64> = BTreeMap::new();
    for item in &items {
        let version = item["_version"].as_i64().unwrap();
        let before = versions.insert(item["id"].as_str().unwrap().to_owned(), version);
        assert!(before.is_none_or(|before| before < version), "{item}");
    }
    assert_eq!(versions.len(), 31, "every id came");
    // A client that merges blindly, then asks for the delta, holds what the server holds.
    let mut local = BTreeMap::new();
    merge(&mut local, &items);
    let (delta, _) = server.pages(json!({ "lastSync": started, "limit": 1000 }), |_| {});
    merge(&mut local, &delta);
    let (base, _) = server.pages(json!({ "lastSync": 0, "limit": 1000 }), |_| {});
    let mut truth = BTreeMap::new();
    merge(&mut truth, &base);
    assert_eq!(local, truth);
    assert_eq!(truth.len(), 29);
}

/// Amplify's Android client keeps the time of its own clock at the start of a sync, and sends that.
#[test]
fn a_device_whose_clock_is_off_loses_nothing() {
    for ahead in [
        -30 * HOUR_MS,
        -5 * HOUR_MS,
        -1,
        MINUTE_MS,
        3 * HOUR_MS,
        23 * HOUR_MS,
        24 * 365 * HOUR_MS,
    ] {
        let server = Server::new();
        server.create("old", 1);
        server.wait(100 * HOUR_MS);
        let (mut local, mut last_sync) = (BTreeMap::new(), 0);
        for round in 0..12 {
            // Syncs an hour and less apart, a change after each; the clock is at no round number.
            let device = server.now() + ahead + 1;
            let (delta, _) = server.pages(json!({ "lastSync": last_sync, "limit": 2 }), |_| {});
            merge(&mut local, &delta);
            last_sync = device;
            assert_eq!(local.len(), 1 + round, "{ahead}: {delta:?}");
            server.wait(HOUR_MS - 7);
            server.create(&format!("n{round}"), 2);
            server.wait(if round % 2 == 0 { 10 } else { 40 * MINUTE_MS + 11 });
        }
        // A clock that is right, or nearly, is not brought everything each time.
        let (delta, _) = server.pages(json!({ "lastSync": last_sync }), |_| {});
        assert_eq!(ids(&delta).contains(&"old"), ahead > 2 * HOUR_MS, "{ahead}");
    }
}

/// Once in ten thousand times a device's clock passes for the server's: the next sync makes up for it.
#[test]
fn what_one_sync_takes_for_the_servers_time_the_next_brings() {
    let server = Server::new();
    server.create("old", 1);
    server.wait(100 * HOUR_MS);
    let round = server.now() / 10_000 * 10_000 + 3 * HOUR_MS;
    server.wait(HOUR_MS);
    server.create("new", 2);
    let device = server.now() + 3 * HOUR_MS + 1;
    assert!(server.pages(json!({ "lastSync": round }), |_| {}).0.is_empty());
    server.wait(HOUR_MS);
    assert_eq!(
        ids(&server.pages(json!({ "lastSync": device }), |_| {}).0),
        ["old", "new"]
    );
}

#[test]
fn a_server_whose_clock_is_set_back_loses_nothing() {
    let server = Server::new();
    server.create("old", 1);
    server.wait(HOUR_MS);
    server.create("next", 2);
    // A server whose clock is set back gives times that do not go back.
    server.wait(-24 * HOUR_MS);
    let before = server.page(json!({ "lastSync": 0 }))["startedAt"].as_i64().unwrap();
    server.create("back", 3);
    let (delta, after) = server.pages(json!({ "lastSync": before }), |_| {});
    assert!(ids(&delta).contains(&"back"), "{delta:?}");
    assert!(after >= before);
}

#[test]
fn limits_and_filters_hold_on_every_page() {
    let server = Server::new();
    for i in 0..1_003 {
        server.create(&format!("n{i:04}"), i % 10);
    }
    let count = |variables: Json| server.page(variables)["items"].as_array().unwrap().len();
    assert_eq!(count(json!({})), 100, "AppSync's default");
    assert_eq!(count(json!({ "limit": 5_000 })), 1_000, "and its most");
    assert_eq!(count(json!({ "limit": 1_000 })), 1_000);
    let (all, _) = server.pages(json!({ "limit": 1_000 }), |_| {});
    assert_eq!(all.len(), 1_003);
    let filter = json!({ "and": [{ "rank": { "eq": 3 } }] });
    let (some, _) = server.pages(json!({ "limit": 30, "filter": filter }), |_| {});
    assert_eq!(some.len(), 100);
    assert!(some.iter().all(|item| item["rank"] == 3));
    // DataStore's way of asking for nothing.
    let nothing = json!({ "and": [{ "id": { "eq": null } }] });
    assert_eq!(count(json!({ "filter": nothing })), 0);
    // The filter holds for a delta too, and a token belongs to its filter.
    server.wait(HOUR_MS);
    let since = server.now();
    server.change("update", json!({ "id": "n0003", "text": "x", "_version": 1 }));
    server.change("update", json!({ "id": "n0004", "text": "x", "_version": 1 }));
    let (delta, _) = server.pages(json!({ "lastSync": since, "filter": filter }), |_| {});
    assert_eq!(ids(&delta), ["n0003"]);
    let token = server.page(json!({ "limit": 5, "filter": filter }))["nextToken"].clone();
    let answer = server.ask(SYNC, json!({ "limit": 5, "nextToken": token }));
    assert_eq!(answer["errors"][0]["errorType"], "BadRequest", "{answer}");
}
