//! Subscriptions that are gone on with, in the same engine and in another one over the same store.

use serde_json::{Value as Json, json};
use tombolo_core::access::Identity;

use super::sessions::{FEED, Server, request};
use super::{BEGIN_MS, Place, block_on, schema};
use crate::resume::Bookmark;
use crate::retention::Retention;
use crate::service::{Engine, EngineError, Settings};
use crate::store::Store;
use crate::subscribe::Subscriber;

const CREATED: &str = "subscription { t: onCreateTodo { id title } }";
const UPDATED: &str = "subscription { t: onUpdateTodo { id title } }";
const DELETED: &str = "subscription { t: onDeleteTodo { id title } }";
const OF_A: &str = "subscription { t: onUpdateTodo(filter: { list: { eq: \"a\" } }) { id title } }";

impl<S: Store> Server<S> {
    fn from(&self, query: &str, variables: &Json, bookmark: Option<&Bookmark>) -> Result<Subscriber, EngineError> {
        let identity = Identity::ApiKey { name: "test".into() };
        let prepared = self
            .0
            .prepare(&identity, &request(query, variables.clone(), Json::Null))
            .unwrap();
        block_on(self.0.subscribe_from(&prepared, bookmark))
    }

    fn begin(&self, query: &str) -> Subscriber {
        self.from(query, &Json::Null, None).unwrap()
    }

    /// As it is kept: through its text.
    fn bookmark(&self, subscriber: &Subscriber) -> Bookmark {
        let bookmark = block_on(self.0.bookmark(subscriber)).unwrap();
        serde_json::from_str(&serde_json::to_string(&bookmark).unwrap()).unwrap()
    }

    /// All that there is for a subscription to a model: ids and titles.
    fn told(&self, subscriber: &mut Subscriber) -> Vec<String> {
        let mut told = Vec::new();
        while let Some(bytes) = block_on(self.0.next(subscriber)).unwrap() {
            let payload: Json = serde_json::from_slice(&bytes).unwrap();
            let record = &payload["data"]["t"];
            told.push(format!(
                "{} {}",
                record["id"].as_str().unwrap(),
                record["title"].as_str().unwrap()
            ));
        }
        told
    }

    fn told_from(&self, query: &str, bookmark: &Bookmark) -> Vec<String> {
        self.told(&mut self.from(query, &Json::Null, Some(bookmark)).unwrap())
    }

    fn write(&self, id: &str, title: &str) {
        let document = "mutation ($input: UpdateTodoInput!) { updateTodo(input: $input) { id } }";
        let answer = self.ask(document, json!({ "input": { "id": id, "title": title } }), Json::Null);
        assert_eq!(answer, json!({ "data": { "updateTodo": { "id": id } } }));
    }

    fn remove(&self, id: &str) {
        let document = "mutation ($input: DeleteTodoInput!) { deleteTodo(input: $input) { id } }";
        let answer = self.ask(document, json!({ "input": { "id": id } }), Json::Null);
        assert_eq!(answer, json!({ "data": { "deleteTodo": { "id": id } } }));
    }

    fn again(self, place: &impl Place<Store = S>) -> Option<Self> {
        let store = place.reopen(self.0.into_store(), &schema())?;
        Some(Self(Engine::new(schema(), store, Settings::default())))
    }
}

fn new<P: Place>(place: &P) -> Server<P::Store> {
    Server::new(place, Settings::default())
}

/// Law: as far back as the ring reaches nothing is left out and nothing told twice.
pub fn what_the_ring_has_is_told_change_by_change(place: &impl Place) {
    let server = new(place);
    let (mut created, mut updated) = (server.begin(CREATED), server.begin(UPDATED));
    server.create("a", "x");
    assert_eq!(
        (server.told(&mut created), server.told(&mut updated)),
        (vec!["a t".to_owned()], vec![])
    );
    let at = server.bookmark(&created);
    assert_eq!(at, server.bookmark(&updated));
    drop((created, updated));
    server.create("b", "x");
    server.write("b", "1");
    server.write("b", "2");
    assert_eq!(server.told_from(CREATED, &at), ["b t"]);
    assert_eq!(server.told_from(UPDATED, &at), ["b 1", "b 2"]);
}

/// Law: nothing that a subscription missed while the server was down or the ring too short is passed over; what is told is the
/// record at its newest.
pub fn after_a_restart_each_record_is_told_once(place: &impl Place) {
    let server = new(place);
    for id in ["old", "gone"] {
        server.create(id, "a");
    }
    let at = server.bookmark(&server.begin(CREATED));
    server.create("new", "b");
    server.write("new", "1");
    server.create("moved", "a");
    server.write("moved", "1");
    server.write("old", "1");
    server.write("old", "2");
    server.remove("gone");
    let Some(server) = server.again(place) else { return };
    assert_eq!(
        server.told_from(CREATED, &at),
        ["new 1", "moved 1", "old 2"],
        "`old` may have come meanwhile"
    );
    assert_eq!(server.told_from(UPDATED, &at), ["new 1", "moved 1", "old 2"]);
    assert_eq!(server.told_from(OF_A, &at), ["moved 1", "old 2"]);
    assert_eq!(server.told_from(DELETED, &at), ["gone t"]);
    // And from there live, as everybody.
    let mut updated = server.from(UPDATED, &Json::Null, Some(&at)).unwrap();
    assert_eq!(server.told(&mut updated).len(), 3);
    assert_eq!(server.told_from(UPDATED, &server.bookmark(&updated)), [""; 0]);
    server.write("new", "3");
    assert_eq!(server.told(&mut updated), ["new 3"]);
}

/// Law: a subscription begins where the store stands, also before the first commit of a process.
pub fn what_was_there_before_a_subscription_is_not_missed(place: &impl Place) {
    let server = new(place);
    server.create("a", "x");
    let Some(server) = server.again(place) else { return };
    let mut created = server.begin(CREATED);
    let at = server.bookmark(&created);
    assert_eq!(server.told_from(CREATED, &at), [""; 0]);
    server.create("b", "x");
    assert_eq!(server.told(&mut created), ["b t"]);
    let Some(server) = server.again(place) else { return };
    assert_eq!(server.told_from(CREATED, &at), ["b t"]);
}

/// Law: what has left the ring is read from the store, in pages.
pub fn a_subscription_that_goes_on_does_not_end_of_slowness(place: &impl Place) {
    let settings = Settings {
        ring_changes_max: 4,
        ..Settings::default()
    };
    let server = Server::new(place, settings);
    let mut created = server.begin(CREATED);
    let ids: Vec<String> = (0..crate::limits::MISSED_RECORDS * 2 + 5)
        .map(|i| format!("n{i}"))
        .collect();
    for id in &ids {
        server.create(id, "x");
    }
    let told: Vec<String> = ids.iter().map(|id| format!("{id} t")).collect();
    assert_eq!(server.told(&mut created), told);
    server.create("last", "x");
    assert_eq!(server.told(&mut created), ["last t"]);
}

/// Law: a bookmark of a history that is no more says so.
pub fn another_history_cannot_be_gone_on_with(place: &impl Place) {
    let server = new(place);
    let at = server.bookmark(&server.begin(CREATED));
    block_on(server.0.renew_epoch(None)).unwrap();
    let refused = server.from(CREATED, &Json::Null, Some(&at));
    assert!(matches!(refused, Err(EngineError::Request(_))), "{refused:?}");
}

/// Law: a subscription to deletions does not pass over one whose tombstone is gone.
pub fn a_deletion_that_is_no_longer_kept_is_not_passed_over(place: &impl Place) {
    let server = new(place);
    server.create("a", "x");
    let at = server.bookmark(&server.begin(DELETED));
    server.remove("a");
    let Some(server) = server.again(place) else { return };
    let retention = Retention {
        tombstones: std::time::Duration::ZERO,
        ..Retention::default()
    };
    let day = 24 * 3600 * 1000;
    let mut removed = 0;
    for days in 1..4 {
        loop {
            let pruned = block_on(server.0.prune(BEGIN_MS + days * day, &retention)).unwrap();
            removed += pruned.tombstones;
            if !pruned.more {
                break;
            }
        }
    }
    assert_eq!(removed, 1);
    let mut deleted = server.from(DELETED, &Json::Null, Some(&at)).unwrap();
    let next = block_on(server.0.next(&mut deleted));
    assert!(matches!(next, Err(EngineError::Request(_))), "{next:?}");
    assert_eq!(server.told_from(CREATED, &at), [""; 0]);
}

/// Law: the feed goes on where each scope stood.
pub fn the_feed_goes_on_from_its_cursors(place: &impl Place) {
    let server = new(place);
    server.create("a", "x");
    let scopes = json!({ "scopes": [{ "model": "Todo" }, { "model": "Line" }] });
    let mut feed = server.from(FEED, &scopes, None).unwrap();
    assert_eq!(
        server.bookmark(&feed),
        Bookmark::Feed {
            cursors: vec![None, None]
        }
    );
    assert_eq!(server.batch(&mut feed).unwrap().0, ["a"]);
    assert_eq!(server.batch(&mut feed).unwrap().0, [""; 0]);
    let at = server.bookmark(&feed);
    server.create("b", "x");
    let Some(server) = server.again(place) else { return };
    let mut feed = server.from(FEED, &scopes, Some(&at)).unwrap();
    let (rows, _, _, reset, _) = server.batch(&mut feed).unwrap();
    assert_eq!((rows, reset), (vec!["b".to_owned()], false));
}
