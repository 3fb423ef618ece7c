//! A whole engine over the store: documents in, bytes out.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value as Json, json};
use tombolo_core::access::Identity;
use tombolo_core::wire::graphql::Request;

use super::{BEGIN_MS, Place, block_on, schema};
use crate::service::{Engine, EngineError, Settings};
use crate::store::Store;
use crate::subscribe::Subscriber;

pub(super) struct Server<S>(pub(super) Engine<S>);

pub(super) const FEED: &str = "subscription ($scopes: [TomboloScopeInput!]!) { tomboloChanges(scopes: $scopes) \
                    { model cursor upToDate reset fields rows left } }";

pub(super) fn request(query: &str, variables: Json, extension: Json) -> Request {
    Request {
        query: query.to_owned(),
        operation_name: None,
        variables: variables.as_object().cloned(),
        extensions: (!extension.is_null()).then(|| [("tombolo".to_owned(), extension)].into_iter().collect()),
    }
}

impl<S: Store> Server<S> {
    pub(super) fn new(place: &impl Place<Store = S>, settings: Settings) -> Self {
        let schema = schema();
        Self(Engine::new(Arc::clone(&schema), place.fresh(&schema), settings))
    }

    /// The answer to any request that is not a subscription.
    pub(super) fn ask(&self, query: &str, variables: Json, extension: Json) -> Json {
        let Self(engine) = self;
        let identity = Identity::ApiKey { name: "test".into() };
        let prepared = engine
            .prepare(&identity, &request(query, variables, extension))
            .unwrap();
        let bytes = block_on(async {
            match prepared.kind() {
                tombolo_core::query::OperationKind::Query => engine.query(&prepared).await.unwrap().into_bytes(None),
                _ => {
                    let submission = engine.submission(&prepared, vec!["fresh".into()]);
                    let verdicts = engine.commit(vec![submission], BEGIN_MS).await.unwrap();
                    engine.respond(&prepared, &verdicts[0]).await.unwrap()
                }
            }
        });
        serde_json::from_slice(&bytes).unwrap()
    }

    pub(super) fn create(&self, id: &str, list: &str) {
        let document = "mutation ($input: CreateTodoInput!) { createTodo(input: $input) { id } }";
        let answer = self.ask(
            document,
            json!({ "input": { "id": id, "title": "t", "list": list } }),
            Json::Null,
        );
        assert_eq!(answer, json!({ "data": { "createTodo": { "id": id } } }));
    }

    pub(super) fn move_to(&self, id: &str, list: &str) {
        let document = "mutation ($input: UpdateTodoInput!) { updateTodo(input: $input) { list } }";
        let answer = self.ask(document, json!({ "input": { "id": id, "list": list } }), Json::Null);
        assert_eq!(answer, json!({ "data": { "updateTodo": { "list": list } } }));
    }

    fn subscribe(&self, query: &str, variables: Json, replica: Option<&str>) -> Subscriber {
        let identity = Identity::ApiKey { name: "test".into() };
        let extension = replica.map_or(Json::Null, |replica| json!({ "replica": replica }));
        let prepared = self
            .0
            .prepare(&identity, &request(query, variables, extension))
            .unwrap();
        self.0.subscribe(&prepared).unwrap()
    }

    pub(super) fn feed(&self, filter: Json, cursor: Json, replica: Option<&str>) -> Subscriber {
        let scope = json!({ "model": "Todo", "filter": filter, "cursor": cursor });
        self.subscribe(FEED, json!({ "scopes": [scope] }), replica)
    }

    fn next(&self, subscriber: &mut Subscriber) -> Option<Json> {
        let bytes = block_on(self.0.next(subscriber)).unwrap()?;
        Some(serde_json::from_slice(&bytes).unwrap())
    }

    /// The next batch: ids of its rows, keys that left, up to date, reset, cursor.
    pub(super) fn batch(&self, subscriber: &mut Subscriber) -> Option<(Vec<String>, Json, bool, bool, String)> {
        let answer = self.next(subscriber)?;
        let batch = &answer["data"]["tomboloChanges"];
        let id = |row: &Json| row[0].as_str().unwrap().to_owned();
        Some((
            batch["rows"].as_array().unwrap().iter().map(id).collect(),
            batch["left"].clone(),
            batch["upToDate"].as_bool().unwrap(),
            batch["reset"].as_bool().unwrap(),
            batch["cursor"].as_str().unwrap().to_owned(),
        ))
    }
}

fn position(cursor: &str) -> i64 {
    cursor.rsplit_once('.').unwrap().1.parse().unwrap()
}

/// Law: the outcome and its cursor stand in the answer's extensions; a conflict shows the server's record.
pub fn a_mutation_is_answered_with_its_outcome(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    let create = "mutation ($input: CreateStrictInput!) { made: createStrict(input: $input) { id _version } }";
    let input = json!({ "input": { "id": "a", "text": "one" } });
    let envelope = |number: u64| json!({ "replica": "r", "number": number });
    let answer = server.ask(create, input, envelope(1));
    assert_eq!(answer["data"], json!({ "made": { "id": "a", "_version": 1 } }));
    let outcome = &answer["extensions"]["tombolo"]["outcomes"][0];
    assert_eq!(
        (&outcome["number"], &outcome["outcome"]),
        (&json!(1), &json!("applied"))
    );
    assert_eq!(position(outcome["cursor"].as_str().unwrap()), 1);
    let update = "mutation ($input: UpdateStrictInput!) { updateStrict(input: $input) { text _version } }";
    server.ask(
        update,
        json!({ "input": { "id": "a", "text": "two", "_version": 1 } }),
        envelope(2),
    );
    let stale = server.ask(
        update,
        json!({ "input": { "id": "a", "text": "mine", "_version": 1 } }),
        envelope(3),
    );
    assert_eq!(stale["data"], json!({ "updateStrict": null }));
    assert_eq!(stale["errors"][0]["errorType"], json!("ConflictUnhandled"));
    assert_eq!(stale["errors"][0]["data"], json!({ "text": "two", "_version": 2 }));
    let outcome = &stale["extensions"]["tombolo"]["outcomes"][0];
    assert_eq!(
        (&outcome["outcome"], &outcome["reason"]["code"]),
        (&json!("rejected"), &json!("ConflictUnhandled"))
    );
}

/// Law: first what was missed, in pages; then what comes.
pub fn a_session_catches_up_and_stays_live(place: &impl Place) {
    let server = Server::new(
        place,
        Settings {
            feed_rows_live: 2,
            ..Settings::default()
        },
    );
    for id in ["a", "b", "c"] {
        server.create(id, "x");
    }
    let mut session = server.feed(Json::Null, Json::Null, None);
    let (rows, left, up_to_date, reset, _) = server.batch(&mut session).unwrap();
    assert_eq!(
        (rows, left, up_to_date, reset),
        (vec!["a".to_owned(), "b".to_owned()], json!([]), false, false)
    );
    let (rows, _, up_to_date, ..) = server.batch(&mut session).unwrap();
    assert_eq!((rows, up_to_date), (vec!["c".to_owned()], true));
    assert_eq!(server.batch(&mut session), None);
    for id in ["d", "e", "f"] {
        server.create(id, "x");
    }
    server.move_to("d", "y");
    let (rows, _, up_to_date, ..) = server.batch(&mut session).unwrap();
    assert_eq!((rows, up_to_date), (vec!["d".to_owned(), "e".to_owned()], false));
    let (rows, _, up_to_date, _, cursor) = server.batch(&mut session).unwrap();
    assert_eq!((rows, up_to_date), (vec!["f".to_owned(), "d".to_owned()], true));
    assert_eq!((position(&cursor), server.batch(&mut session)), (7, None));
    let mut resumed = server.feed(Json::Null, json!(cursor), None);
    let (rows, _, up_to_date, reset, _) = server.batch(&mut resumed).unwrap();
    assert_eq!((rows, up_to_date, reset), (vec![], true, false));
}

/// Law: after its own mutation a replica's cursor passes it, though the record is not in its scope.
pub fn a_session_tells_its_own_replica_even_of_nothing(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    let filter = json!({ "list": { "eq": "x" } });
    let mut own = server.feed(filter.clone(), Json::Null, Some("r"));
    let mut other = server.feed(filter, Json::Null, Some("s"));
    server.batch(&mut own).unwrap();
    server.batch(&mut other).unwrap();
    let document = "mutation ($input: CreateTodoInput!) { createTodo(input: $input) { id } }";
    let input = json!({ "input": { "id": "a", "title": "t", "list": "elsewhere" } });
    let answer = server.ask(document, input, json!({ "replica": "r", "number": 1 }));
    let acked = answer["extensions"]["tombolo"]["outcomes"][0]["cursor"]
        .as_str()
        .unwrap();
    let (rows, left, up_to_date, _, cursor) = server.batch(&mut own).unwrap();
    assert_eq!((rows, left, up_to_date), (vec![], json!([]), true));
    assert!(position(&cursor) >= position(acked));
    assert_eq!(server.batch(&mut other), None);
}

/// Law: a cursor that is not of this history, or beyond it, begins a base sync and says so; nonsense is refused.
pub fn a_cursor_of_another_history_starts_again(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    server.create("a", "x");
    let mut session = server.feed(Json::Null, Json::Null, None);
    let cursor = server.batch(&mut session).unwrap().4;
    let beyond = format!("{}.99", cursor.rsplit_once('.').unwrap().0);
    for foreign in ["another-epoch.1", &beyond] {
        let mut session = server.feed(Json::Null, json!(foreign), None);
        let (rows, _, up_to_date, reset, _) = server.batch(&mut session).unwrap();
        assert_eq!(
            (rows, up_to_date, reset),
            (vec!["a".to_owned()], true, true),
            "{foreign}"
        );
    }
    let identity = Identity::ApiKey { name: "test".into() };
    let scope = json!({ "scopes": [{ "model": "Todo", "cursor": "nonsense" }] });
    let refused = match server.0.prepare(&identity, &request(FEED, scope, Json::Null)) {
        Ok(prepared) => server.0.subscribe(&prepared).is_err(),
        Err(_) => true,
    };
    assert!(refused);
}

/// Law: the live path names departures as the store does.
pub fn a_scope_that_a_record_leaves_says_so_live(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    server.create("a", "x");
    let mut session = server.feed(json!({ "list": { "eq": "x" } }), Json::Null, None);
    server.batch(&mut session).unwrap();
    server.create("b", "y");
    assert_eq!(server.batch(&mut session), None);
    server.move_to("a", "y");
    server.move_to("b", "x");
    let (rows, left, ..) = server.batch(&mut session).unwrap();
    assert_eq!((rows, left), (vec!["b".to_owned()], json!([["a"]])));
}

/// Law: whoever falls behind the ring loses nothing.
pub fn a_session_behind_the_ring_reads_the_store(place: &impl Place) {
    let server = Server::new(
        place,
        Settings {
            ring_changes_max: 2,
            ..Settings::default()
        },
    );
    let mut session = server.feed(json!({ "list": { "eq": "x" } }), Json::Null, None);
    server.batch(&mut session).unwrap();
    server.create("a", "x");
    for id in ["b", "c", "d"] {
        server.create(id, "x");
    }
    server.move_to("b", "y");
    assert_eq!(server.0.hub().held().0, 2);
    let (rows, left, up_to_date, reset, _) = server.batch(&mut session).unwrap();
    assert_eq!(
        (rows, left),
        (vec!["a".to_owned(), "c".to_owned(), "d".to_owned()], json!([["b"]]))
    );
    assert_eq!((up_to_date, reset, server.batch(&mut session)), (true, false, None));
}

const ON_UPDATE: &str = "subscription ($f: ModelSubscriptionTodoFilterInput) { changed: onUpdateTodo(filter: $f) \
                         { id list } }";

/// Law: kind and filter decide; the payload is the record under the subscription's selection.
pub fn a_model_subscription_gets_what_matches(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    server.create("early", "x");
    let mut updates = server.subscribe(ON_UPDATE, json!({ "f": { "list": { "eq": "x" } } }), None);
    assert_eq!(server.next(&mut updates), None);
    server.create("a", "x");
    server.move_to("a", "y");
    server.move_to("a", "x");
    assert_eq!(
        server.next(&mut updates),
        Some(json!({ "data": { "changed": { "id": "a", "list": "x" } } }))
    );
    assert_eq!(server.next(&mut updates), None);
}

/// Law: it holds no memory, so it ends rather than skip.
pub fn a_slow_model_subscription_ends_with_an_error(place: &impl Place) {
    let server = Server::new(
        place,
        Settings {
            ring_changes_max: 2,
            ..Settings::default()
        },
    );
    server.create("a", "x");
    let mut updates = server.subscribe(ON_UPDATE, json!({}), None);
    for list in ["1", "2", "3"] {
        server.move_to("a", list);
    }
    let error = block_on(server.0.next(&mut updates)).unwrap_err();
    let EngineError::Request(errors) = error else {
        panic!("{error}")
    };
    assert!(errors[0].message.contains("too slow"));
}

/// Law: what nobody waits for ends nobody, however much of it there is at once; what somebody waited for is not passed over.
pub fn a_flood_ends_only_whoever_missed_something(place: &impl Place) {
    let server = Server::new(
        place,
        Settings {
            ring_changes_max: 2,
            ..Settings::default()
        },
    );
    server.create("a", "x");
    let of = |list: &str| server.subscribe(ON_UPDATE, json!({ "f": { "list": { "eq": list } } }), None);
    let (mut rare, mut missed) = (of("rare"), of("2"));
    let mut other = server.subscribe("subscription { gone: onDeleteLine { order } }", json!({}), None);
    for list in ["1", "2", "3", "4", "5"] {
        server.move_to("a", list);
    }
    let mut late = of("2");
    let all = [&rare, &other];
    let began = rare.since().unwrap();
    assert!(server.0.events(began, all.into_iter()).is_some(), "many at once");
    assert!(server.0.events(began, [&rare, &missed].into_iter()).is_none());
    let later = [&rare, &late];
    assert!(
        server.0.events(began, later.into_iter()).is_some(),
        "one that began after the flood"
    );
    assert_eq!((server.next(&mut rare), server.next(&mut other)), (None, None));
    assert!(block_on(server.0.next(&mut missed)).is_err());
    assert_eq!(server.next(&mut late), None);
    server.move_to("a", "2");
    server.move_to("a", "rare");
    for (session, list) in [(&mut late, "2"), (&mut rare, "rare")] {
        assert_eq!(
            server.next(session),
            Some(json!({ "data": { "changed": { "id": "a", "list": list } } }))
        );
    }
}

/// Law: sleepers are not asked, and dropping a subscriber takes it out.
pub fn a_commit_wakes_only_the_interested(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    let count = |filter: Json| {
        let session = server.feed(filter, Json::Null, None);
        let woken = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&woken);
        session.set_waker(Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        (session, woken)
    };
    let (all, x, y) = (
        count(Json::Null),
        count(json!({ "list": { "eq": "x" } })),
        count(json!({ "list": { "eq": "y" } })),
    );
    server.create("a", "x");
    server.move_to("a", "y");
    server.move_to("a", "z");
    server.move_to("a", "w");
    let woken = |counter: &Arc<AtomicUsize>| counter.load(Ordering::Relaxed);
    assert_eq!((woken(&all.1), woken(&x.1), woken(&y.1)), (4, 2, 2));
    assert_eq!(server.0.hub().subscribers(), 3);
    drop((all, x, y));
    assert_eq!(server.0.hub().subscribers(), 0);
}

/// Law: what a replica sends and no server could do is rejected once and for all, in its answer; for others it is an error.
pub fn a_request_that_cannot_be_carried_out_is_rejected_for_good(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    let requests = [
        (
            "mutation { createTodo(input: { id: \"a\", nonsense: 1 }) { id } }",
            1,
            false,
        ),
        ("mutation { createNothing(input: { id: \"a\" }) { id } }", 2, false),
        ("mutation { createTodo(input: ", 3, false),
        (
            "mutation { a: createTodo(input: { nonsense: 1 }) { id } b: deleteTodo(input: { id: \"b\" }) { id } }",
            4,
            true,
        ),
    ];
    for (document, number, atomic) in requests {
        for _ in 0..2 {
            let envelope = json!({ "replica": "r", "number": number, "atomic": atomic });
            let answer = server.ask(document, json!({}), envelope);
            let outcomes = answer["extensions"]["tombolo"]["outcomes"].as_array().unwrap();
            assert_eq!(outcomes.len(), if atomic { 2 } else { 1 }, "{answer}");
            assert!(outcomes.iter().all(|o| o["outcome"] == json!("rejected")), "{answer}");
            assert_eq!(outcomes[0]["reason"]["code"], json!("BadRequest"), "{answer}");
            assert!(!answer["errors"].as_array().unwrap().is_empty());
        }
        let identity = Identity::ApiKey { name: "test".into() };
        assert!(
            server
                .0
                .prepare(&identity, &request(document, json!({}), Json::Null))
                .is_err(),
            "{document}"
        );
    }
}

/// Law: the query gives the same pages as the subscription.
pub fn one_page_by_query(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    for id in ["a", "b", "c"] {
        server.create(id, "x");
    }
    let document = "query ($scope: TomboloScopeInput!) { tomboloChanges(scope: $scope, limit: 2) \
                    { model cursor upToDate reset fields rows left } }";
    let first = server.ask(document, json!({ "scope": { "model": "Todo" } }), Json::Null);
    let batch = &first["data"]["tomboloChanges"];
    assert_eq!(
        (batch["rows"].as_array().unwrap().len(), &batch["upToDate"]),
        (2, &json!(false)),
        "{first}"
    );
    let fields = batch["fields"].as_array().unwrap();
    assert_eq!(
        (&fields[0], fields.last()),
        (&json!("id"), Some(&json!("_lastChangedAt")))
    );
    let scope = json!({ "scope": { "model": "Todo", "cursor": batch["cursor"] } });
    let second = server.ask(document, scope, Json::Null);
    let batch = &second["data"]["tomboloChanges"];
    assert_eq!(
        (batch["rows"].as_array().unwrap().len(), &batch["upToDate"]),
        (1, &json!(true))
    );
}

/// Law: a model that is written without pause does not keep the changes of the others back.
pub fn scopes_take_turns(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    let scopes = json!([{ "model": "Todo" }, { "model": "Strict" }]);
    let mut feed = server.subscribe(FEED, json!({ "scopes": scopes }), None);
    while server.next(&mut feed).is_some() {}
    server.create("first", "a");
    server.ask(
        "mutation { createStrict(input: { id: \"s\" }) { id } }",
        json!({}),
        Json::Null,
    );
    let models: Vec<String> = (0..3)
        .map(|i| {
            server.create(&format!("t{i}"), "a");
            let batch = server.next(&mut feed).unwrap();
            batch["data"]["tomboloChanges"]["model"].as_str().unwrap().to_owned()
        })
        .collect();
    assert!(models.contains(&"Strict".to_owned()), "{models:?}");
}

/// Law: a live session looks past as many changes of others as there are.
pub fn a_page_of_other_changes_hides_none_of_its_own(place: &impl Place) {
    let settings = Settings {
        feed_rows_live: 2,
        ..Settings::default()
    };
    let server = Server::new(place, settings);
    server.create("mine", "a");
    let mut feed = server.feed(json!({ "list": { "eq": "a" } }), Json::Null, None);
    while server.next(&mut feed).is_some() {}
    for i in 0..5 {
        server.create(&format!("other{i}"), "b");
    }
    server.move_to("mine", "b");
    let (rows, left, ..) = server.batch(&mut feed).unwrap();
    assert_eq!((rows, left), (Vec::new(), json!([["mine"]])));
}

/// Law: beside a batch a replica is told which of its own mutations have landed with it, whether the batch comes from the
/// store or as it happens; of others' nothing, and nobody without a name is told anything.
pub fn a_session_is_told_which_of_its_own_mutations_have_landed(place: &impl Place) {
    let server = Server::new(place, Settings::default());
    let landed = |answer: &Json| answer["extensions"]["tombolo"]["landed"].clone();
    let told = |mutations: Json| json!({ "replica": "r", "mutations": mutations });
    let send = |replica: &str, number: u64, id: &str| {
        let document = "mutation ($input: CreateTodoInput!) { createTodo(input: $input) { id } }";
        let input = json!({ "input": { "id": id, "title": "t", "list": "x" } });
        server.ask(document, input, json!({ "replica": replica, "number": number }));
    };
    send("r", 1, "a");
    send("s", 1, "b");
    send("r", 2, "c");
    // Refused: it has no place in the feed.
    send("r", 3, "c");
    let mut own = server.feed(Json::Null, Json::Null, Some("r"));
    let mut unnamed = server.feed(Json::Null, Json::Null, None);
    let first = server.next(&mut own).unwrap();
    assert_eq!(
        landed(&first),
        told(json!([{ "number": 1, "position": 1 }, { "number": 2, "position": 3 }]))
    );
    assert_eq!(server.next(&mut unnamed).unwrap().get("extensions"), None);
    send("s", 2, "d");
    send("r", 4, "e");
    let live = server.next(&mut own).unwrap();
    assert_eq!(landed(&live), told(json!([{ "number": 4, "position": 5 }])));
    assert_eq!(server.next(&mut unnamed).unwrap().get("extensions"), None);
    send("s", 3, "f");
    let others = server.next(&mut own).unwrap();
    assert_eq!(others.get("extensions"), None, "{others}");

    // By pages: each tells of its own part.
    let document =
        "query ($scope: TomboloScopeInput!) { tomboloChanges(scope: $scope, limit: 3) { cursor upToDate rows } }";
    let mut scope = json!({ "model": "Todo" });
    let mut pages = Vec::new();
    loop {
        let page = server.ask(document, json!({ "scope": scope }), json!({ "replica": "r" }));
        pages.push(landed(&page)["mutations"].clone());
        let batch = &page["data"]["tomboloChanges"];
        if batch["upToDate"] == json!(true) {
            break;
        }
        scope["cursor"] = batch["cursor"].clone();
    }
    assert_eq!(
        json!(pages),
        json!([
            [{ "number": 1, "position": 1 }, { "number": 2, "position": 3 }],
            [{ "number": 4, "position": 5 }]
        ])
    );

    // What it has settled it does not ask about any more, however much of it is kept.
    let create = "mutation ($input: CreateTodoInput!) { createTodo(input: $input) { id } }";
    let input = json!({ "input": { "id": "g", "title": "t", "list": "x" } });
    server.ask(
        create,
        input,
        json!({ "replica": "r", "number": 5, "settledThrough": 2 }),
    );
    let whole = "query ($scope: TomboloScopeInput!) { tomboloChanges(scope: $scope) { cursor } }";
    let page = server.ask(
        whole,
        json!({ "scope": { "model": "Todo" } }),
        json!({ "replica": "r" }),
    );
    assert_eq!(
        landed(&page),
        told(json!([{ "number": 4, "position": 5 }, { "number": 5, "position": 7 }]))
    );
}
