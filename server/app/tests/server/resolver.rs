//! Conflicts that somebody else settles: a resolver over real HTTP that answers, fails, dawdles and talks nonsense.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json as Body, Router};
use serde_json::{Value as Json, json};
use tombolo_server::limits::Limits;
use tombolo_server::outbound::Secret;
use tombolo_server::resolver::{RESOLVER_ROUNDS_MAX, RESOLVER_TRIES, ResolverConfig};
use tombolo_server::{Config, Running, Server, StartError};

use crate::harness::{KEY, ask, exchange, patiently, request};

const SCHEMA: &str = "
type Note @model(conflict: CUSTOM) { id: ID! body: String tag: String }
type Plain @model { id: ID! }
";

/// What the resolver does with one call.
#[derive(Clone, Debug)]
enum Act {
    Answer(Json),
    Text(&'static str),
    Status(u16),
    /// Never answers.
    Hang,
    /// Answers with the record's key once so many calls are there at the same time.
    Together(Arc<tokio::sync::Barrier>),
    /// Answers with the record's key those below this one, the others never.
    Below(&'static str),
    /// Somebody changes the record before the answer.
    MoveOn(Json),
}

#[derive(Default)]
struct Fake {
    acts: Mutex<VecDeque<Act>>,
    calls: Mutex<Vec<(Json, Option<String>)>>,
    server: OnceLock<SocketAddr>,
}

async fn act(State(fake): State<Arc<Fake>>, headers: HeaderMap, Body(question): Body<Json>) -> Response {
    let credential = headers.get("x-secret").map(|value| value.to_str().unwrap().to_owned());
    let key = question["key"][0].as_str().unwrap().to_owned();
    fake.calls.lock().unwrap().push((question, credential));
    // The last one stays.
    let next = {
        let mut acts = fake.acts.lock().unwrap();
        if acts.len() > 1 {
            acts.pop_front()
        } else {
            acts.front().cloned()
        }
    };
    match next.unwrap() {
        Act::Answer(json) => Body(json).into_response(),
        Act::Text(text) => text.into_response(),
        Act::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Act::Hang => std::future::pending().await,
        Act::Together(barrier) => {
            barrier.wait().await;
            Body(resolve(&key)).into_response()
        }
        Act::Below(end) if key.as_str() < end => Body(resolve(&key)).into_response(),
        Act::Below(_) => std::future::pending().await,
        Act::MoveOn(json) => {
            update(*fake.server.get().unwrap(), json!({ "id": "a", "body": "moved" })).await;
            Body(json).into_response()
        }
    }
}

struct World {
    fake: Arc<Fake>,
    running: Running,
}

impl World {
    /// A note that somebody has changed, and a resolver that will do these.
    async fn new(acts: &[Act]) -> Self {
        Self::with(acts, |_| {}).await
    }

    async fn with(acts: &[Act], change: impl FnOnce(&mut ResolverConfig)) -> Self {
        Self::of(acts, |config| change(&mut config.resolver)).await
    }

    async fn limited(acts: &[Act], change: impl FnOnce(&mut Limits)) -> Self {
        Self::of(acts, |config| change(&mut config.limits)).await
    }

    async fn of(acts: &[Act], change: impl FnOnce(&mut Config)) -> Self {
        let fake = Arc::new(Fake::default());
        fake.acts.lock().unwrap().extend(acts.iter().cloned());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/resolve", listener.local_addr().unwrap());
        let router = Router::new().route("/resolve", post(act)).with_state(Arc::clone(&fake));
        #[expect(clippy::disallowed_methods, reason = "the test's own endpoint ends with the test")]
        let serving = axum::serve(listener, router);
        tokio::spawn(async move { serving.await });
        let mut config = Config::in_memory(SCHEMA, KEY);
        config.resolver = ResolverConfig::at(url);
        config.resolver.header = Some(Secret("X-Secret: s3cret".into()));
        change(&mut config);
        let running = Server::start(config).await.unwrap();
        fake.server.set(running.addr).unwrap();
        let create = "mutation ($input: CreateNoteInput!) { createNote(input: $input) { id } }";
        ask(
            running.addr,
            create,
            json!({ "input": { "id": "a", "body": "one", "tag": "t" } }),
        )
        .await;
        update(running.addr, json!({ "id": "a", "body": "two" })).await;
        Self { fake, running }
    }

    /// The update of a replica that has seen the first version alone.
    async fn late(&self, number: u64) -> Json {
        let body = json!({
            "query": "mutation ($input: UpdateNoteInput!) { updateNote(input: $input) { body tag _version _deleted } }",
            "variables": { "input": { "id": "a", "body": "late", "_version": 1 } },
            "extensions": { "tombolo": { "replica": "r", "number": number, "base": { "body": "one" } } },
        });
        let headers = [("x-api-key", KEY), ("content-type", "application/json")];
        let bytes = request("POST", "/graphql", &headers, &body.to_string());
        exchange(self.running.addr, &bytes).await.json()
    }

    /// Thirty notes that somebody has changed: `n00` to `n29`.
    async fn thirty(&self) {
        for n in 0..30 {
            let (id, create) = (
                format!("n{n:02}"),
                "mutation ($input: CreateNoteInput!) { createNote(input: $input) { id } }",
            );
            ask(
                self.running.addr,
                create,
                json!({ "input": { "id": id, "body": "one" } }),
            )
            .await;
            update(self.running.addr, json!({ "id": id, "body": "two" })).await;
        }
    }

    /// One transaction of a replica that has seen the first version of each alone.
    async fn late_thirty(&self, number: u64) -> Json {
        let (mut names, mut roots, mut variables) = (Vec::new(), Vec::new(), serde_json::Map::new());
        for n in 0..30 {
            names.push(format!("$i{n}: UpdateNoteInput!"));
            roots.push(format!("m{n}: updateNote(input: $i{n}) {{ body }}"));
            let input = json!({ "id": format!("n{n:02}"), "body": "late", "_version": 1 });
            variables.insert(format!("i{n}"), input);
        }
        let body = json!({
            "query": format!("mutation ({}) {{ {} }}", names.join(", "), roots.join(" ")),
            "variables": variables,
            "extensions": { "tombolo": { "replica": "r", "number": number, "atomic": true } },
        });
        let headers = [("x-api-key", KEY), ("content-type", "application/json")];
        let bytes = request("POST", "/graphql", &headers, &body.to_string());
        exchange(self.running.addr, &bytes).await.json()
    }

    fn calls(&self) -> usize {
        self.fake.calls.lock().unwrap().len()
    }

    fn answer_with(&self, act: Act) {
        *self.fake.acts.lock().unwrap() = VecDeque::from([act]);
    }

    async fn body(&self) -> Json {
        let note = ask(self.running.addr, "{ getNote(id: \"a\") { body _deleted } }", json!({})).await;
        note["data"]["getNote"].clone()
    }
}

async fn update(addr: SocketAddr, input: Json) -> Json {
    let text = "mutation ($input: UpdateNoteInput!) { updateNote(input: $input) { _version } }";
    ask(addr, text, json!({ "input": input })).await
}

fn resolve(body: &str) -> Json {
    json!({ "action": "resolve", "item": { "body": body } })
}

fn outcome(answer: &Json) -> &Json {
    &answer["extensions"]["tombolo"]["outcomes"][0]
}

/// Nothing was decided. A resolver that does not answer counts as a try; a record that does not come to rest does not.
fn undecided(answer: &Json, restless: bool) {
    assert_eq!(answer.get("extensions"), None, "{answer}");
    let error = &answer["errors"][0];
    assert_eq!(error["errorType"], "InternalFailure", "{answer}");
    let info = if restless { json!({ "retry": true }) } else { Json::Null };
    assert_eq!(error["errorInfo"], info, "{answer}");
}

#[tokio::test]
async fn it_is_shown_all_three_and_what_it_says_is_written() {
    let world = World::new(&[Act::Answer(resolve("both"))]).await;
    let answer = world.late(1).await;
    assert_eq!(answer["data"]["updateNote"]["body"], "both");
    assert_eq!(outcome(&answer)["outcome"], "merged");
    let conflict = &outcome(&answer)["conflict"];
    assert_eq!(
        (&conflict["strategy"], &conflict["author"]),
        (&json!("CUSTOM"), &json!("test"))
    );
    let field = &conflict["fields"][0];
    let told = (&field["base"], &field["server"], &field["incoming"], &field["result"]);
    assert_eq!(told, (&json!("one"), &json!("two"), &json!("late"), &json!("both")));

    let (question, credential) = world.fake.calls.lock().unwrap()[0].clone();
    assert_eq!(credential.as_deref(), Some("s3cret"));
    assert_eq!(question["model"], "Note");
    assert_eq!((&question["key"], &question["kind"]), (&json!(["a"]), &json!("update")));
    assert_eq!(question["base"], json!({ "body": "one" }));
    assert_eq!(
        (&question["server"]["body"], &question["server"]["_version"]),
        (&json!("two"), &json!(2))
    );
    assert_eq!(question["server"]["tag"], "t");
    assert_eq!(question["incoming"], json!({ "id": "a", "body": "late" }));
    assert_eq!(question["conflicts"], json!(["body"]));
    assert_eq!(question["identity"], json!({ "mode": "API_KEY", "name": "test" }));

    // It comes again: the outcome is kept, nobody is asked.
    let again = world.late(1).await;
    assert_eq!(outcome(&again), outcome(&answer));
    assert_eq!(world.calls(), 1);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_client_that_would_throw_its_mutation_away_waits_for_a_resolver_that_is_down() {
    let mut acts = vec![Act::Status(503); RESOLVER_TRIES as usize];
    acts.push(Act::Answer(resolve("both")));
    let world = World::new(&acts).await;
    let answer = update(world.running.addr, json!({ "id": "a", "body": "late", "_version": 1 })).await;
    assert_eq!(answer["data"]["updateNote"]["_version"], 3, "{answer}");
    assert_eq!(world.body().await["body"], "both");
    assert_eq!(world.calls(), acts.len());
    world.running.shutdown().await;
}

#[tokio::test]
async fn the_first_question_has_its_own_time_however_long_a_request_may_be_held() {
    let fake = [Act::Status(503), Act::Answer(resolve("both"))];
    // The pause before the second try alone is longer than a request is held.
    let world = World::limited(&fake, |limits| limits.mutation_hold_ms = 1).await;
    let answer = update(world.running.addr, json!({ "id": "a", "body": "late", "_version": 1 })).await;
    assert_eq!(answer["data"]["updateNote"]["_version"], 3, "{answer}");
    world.running.shutdown().await;
}

#[tokio::test]
async fn it_may_reject_and_remove() {
    let world = World::new(&[
        Act::Answer(json!({ "action": "reject", "message": "ask your captain" })),
        Act::Answer(json!({ "action": "remove" })),
    ])
    .await;
    let refused = world.late(1).await;
    assert_eq!(outcome(&refused)["outcome"], "rejected");
    let reason = json!({ "code": "ConflictUnhandled", "message": "ask your captain" });
    assert_eq!(outcome(&refused)["reason"], reason);
    assert_eq!(outcome(&refused)["conflict"]["payload"]["values"]["body"], "late");
    assert_eq!(refused["errors"][0]["data"]["body"], "two");
    let removed = world.late(2).await;
    assert_eq!(outcome(&removed)["outcome"], "merged");
    assert_eq!(removed["data"]["updateNote"]["_deleted"], true);
    world.running.shutdown().await;
}

#[tokio::test]
async fn an_answer_that_is_none_rejects_for_good() {
    for (number, act) in [
        Act::Text("I would rather not"),
        Act::Answer(json!({ "action": "dance" })),
        Act::Answer(json!({ "action": "resolve", "item": { "body": 7 } })),
        Act::Answer(json!([1, 2])),
    ]
    .into_iter()
    .enumerate()
    {
        let world = World::new(std::slice::from_ref(&act)).await;
        let answer = world.late(number as u64 + 1).await;
        assert_eq!(outcome(&answer)["reason"]["code"], "ConflictError", "{act:?}");
        assert_eq!(world.calls(), 1, "{act:?}");
        assert_eq!(world.body().await["body"], "two");
        world.running.shutdown().await;
    }
}

#[tokio::test]
async fn one_that_is_slow_leaves_it_undecided_and_others_go_on() {
    let world = World::with(&[Act::Hang], |resolver| resolver.timeout_ms = Some(100)).await;
    let plain = async {
        // Only once the resolver is being asked.
        patiently(async {
            while world.calls() == 0 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let made = ask(
            world.running.addr,
            "mutation { createPlain(input: {id: \"p\"}) { id } }",
            json!({}),
        )
        .await;
        assert_eq!(made["data"]["createPlain"]["id"], "p");
        world.calls()
    };
    let (answer, asked_meanwhile) = tokio::join!(world.late(1), plain);
    undecided(&answer, false);
    assert!(asked_meanwhile < RESOLVER_TRIES as usize, "the other one waited");
    assert_eq!(world.calls(), RESOLVER_TRIES as usize);
    assert_eq!(world.body().await["body"], "two");
    // Sent again when it answers, it is decided.
    world.answer_with(Act::Answer(resolve("both")));
    assert_eq!(outcome(&world.late(1).await)["outcome"], "merged");
    world.running.shutdown().await;
}

#[tokio::test]
async fn one_that_is_down_leaves_it_undecided() {
    let world = World::with(&[], |resolver| {
        // A port that was free a moment ago, and where nobody listens.
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        resolver.url = Some(format!("http://{}/", free.local_addr().unwrap()));
    })
    .await;
    undecided(&world.late(1).await, false);
    assert_eq!(world.body().await["body"], "two");
    // A plain client is told the same.
    undecided(
        &update(world.running.addr, json!({ "id": "a", "body": "x", "_version": 1 })).await,
        false,
    );
    world.running.shutdown().await;
}

#[tokio::test]
async fn one_that_fails_is_asked_again_and_one_that_refuses_us_is_not() {
    let world = World::new(&[Act::Status(503), Act::Answer(resolve("both"))]).await;
    assert_eq!(outcome(&world.late(1).await)["outcome"], "merged");
    assert_eq!(world.calls(), 2);
    world.running.shutdown().await;
    let world = World::new(&[Act::Status(401)]).await;
    undecided(&world.late(1).await, false);
    assert_eq!(world.calls(), 1);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_record_that_moves_on_is_asked_about_again() {
    let world = World::new(&[Act::MoveOn(resolve("old")), Act::Answer(resolve("new"))]).await;
    let answer = world.late(1).await;
    assert_eq!(answer["data"]["updateNote"]["body"], "new");
    assert_eq!(outcome(&answer)["conflict"]["fields"][0]["server"], "moved");
    assert_eq!(world.calls(), 2);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_record_that_never_rests_is_left_for_a_calmer_moment() {
    let world = World::new(&[Act::MoveOn(resolve("old"))]).await;
    undecided(&world.late(1).await, true);
    assert_eq!(world.calls(), RESOLVER_ROUNDS_MAX as usize);
    assert_eq!(world.body().await["body"], "moved");
    world.running.shutdown().await;
}

#[tokio::test]
async fn the_conflicts_of_one_transaction_are_asked_about_at_the_same_time() {
    // One after the other none of them would ever be answered.
    let together = Act::Together(Arc::new(tokio::sync::Barrier::new(15)));
    let world = World::new(&[together]).await;
    world.thirty().await;
    let answer = world.late_thirty(1).await;
    assert_eq!(outcome(&answer)["outcome"], "merged", "{answer}");
    for n in 0..30 {
        assert_eq!(answer["data"][format!("m{n}")]["body"], format!("n{n:02}"));
    }
    assert_eq!(world.calls(), 30);
    world.running.shutdown().await;
}

#[tokio::test]
async fn what_was_answered_is_not_asked_again_when_the_transaction_comes_again() {
    let world = World::with(&[Act::Below("n20")], |resolver| resolver.timeout_ms = Some(100)).await;
    world.thirty().await;
    undecided(&world.late_thirty(1).await, false);
    let asked = |world: &World| {
        let mut keys: Vec<String> = Vec::new();
        for (question, _) in world.fake.calls.lock().unwrap().drain(..) {
            keys.push(question["key"][0].as_str().unwrap().to_owned());
        }
        keys.sort();
        keys.dedup();
        keys
    };
    assert_eq!(asked(&world).len(), 30);
    // One of those that were answered moves on: that answer does not count any more.
    update(world.running.addr, json!({ "id": "n05", "body": "three" })).await;
    world.answer_with(Act::Below("n99"));
    let answer = world.late_thirty(1).await;
    assert_eq!(outcome(&answer)["outcome"], "merged", "{answer}");
    let rest: Vec<String> = [5].into_iter().chain(20..30).map(|n| format!("n{n:02}")).collect();
    assert_eq!(asked(&world), rest);
    world.running.shutdown().await;
}

#[tokio::test]
async fn a_server_whose_schema_asks_does_not_start_without_one() {
    let refused = Server::start(Config::in_memory(SCHEMA, KEY)).await;
    let Err(error @ StartError::Resolver(_)) = refused else {
        panic!("it started")
    };
    assert!(
        error.to_string().starts_with("Note asks for a conflict resolver"),
        "{error}"
    );
    assert!(error.to_string().contains("--resolver URL"), "{error}");
}

/// The longest wait is short of what a replica takes for a dead link.
#[test]
fn all_tries_together_end_before_a_replica_gives_the_link_up() {
    use tombolo_server::resolver::{RESOLVER_PAUSE, RESOLVER_TIMEOUT_MS, RESOLVING_MAX};
    let once = Duration::from_millis(RESOLVER_TIMEOUT_MS) * RESOLVER_TRIES + RESOLVER_PAUSE * 5;
    assert!(once < RESOLVING_MAX && RESOLVING_MAX < Duration::from_secs(30));
}
