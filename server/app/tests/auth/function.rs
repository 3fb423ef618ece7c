//! The authorizer function over real HTTP: asked, believed, kept, failing, dawdling, talking nonsense.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use axum::{Json as Body, Router};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tombolo_core::access::{AuthMode, Identity};
use tombolo_server::auth::authorizer::{
    AUTHORIZER_ANSWER_BYTES_MAX, AUTHORIZER_CALLS_MAX, AUTHORIZER_TOKEN_BYTES_MAX, AUTHORIZER_TTL_S,
    AUTHORIZER_TTL_S_MAX, AuthorizerConfig,
};
use tombolo_server::auth::{AuthConfig, Gate, Keys, Refusal, Target};
use tombolo_server::outbound::Secret;
use tombolo_server::{Config, Server};

use crate::harness::{SCHEMA, exchange, request};
use crate::issuer::{Fake as Issuer, serve};
use crate::tokens::{Pair, claims, now, shows};

/// What the function does with each call.
#[derive(Clone, Debug)]
enum Act {
    Answer(Json),
    Text(String),
    Status(u16),
    /// Answers yes once it is told to.
    Wait(Arc<Notify>),
    /// Never answers.
    Hang,
}

/// What it was asked, and with which credential.
type Call = (Json, Option<String>);

#[derive(Clone)]
struct Fake {
    url: String,
    act: Arc<Mutex<Act>>,
    calls: Arc<Mutex<Vec<Call>>>,
}

async fn act(State(fake): State<Fake>, headers: HeaderMap, Body(question): Body<Json>) -> Response {
    let credential = headers.get("x-secret").map(|value| value.to_str().unwrap().to_owned());
    fake.calls.lock().unwrap().push((question, credential));
    let act = fake.act.lock().unwrap().clone();
    match act {
        Act::Answer(json) => Body(json).into_response(),
        Act::Text(text) => text.into_response(),
        Act::Status(code) => StatusCode::from_u16(code).unwrap().into_response(),
        Act::Wait(told) => {
            told.notified().await;
            Body(json!({ "isAuthorized": true })).into_response()
        }
        Act::Hang => std::future::pending().await,
    }
}

impl Fake {
    async fn start(act_of: Act) -> Self {
        let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let fake = Self {
            url: format!("http://{}/authorize", listening.local_addr().unwrap()),
            act: Arc::new(Mutex::new(act_of)),
            calls: Arc::default(),
        };
        let router = Router::new().route("/authorize", post(act)).with_state(fake.clone());
        serve(listening, router);
        fake
    }

    fn does(&self, act: Act) {
        *self.act.lock().unwrap() = act;
    }

    fn calls(&self) -> usize {
        self.calls.lock().unwrap().len()
    }

    fn config(&self) -> AuthorizerConfig {
        AuthorizerConfig::at(&self.url)
    }

    fn gate(&self) -> Gate {
        gate(self.config())
    }
}

fn gate(authorizer: AuthorizerConfig) -> Gate {
    let config = AuthConfig {
        authorizer,
        ..AuthConfig::default()
    };
    Gate::open(Keys::default(), &config).unwrap()
}

fn after(seconds: u64) -> Timestamp {
    now().checked_add(Duration::from_secs(seconds)).unwrap()
}

async fn ask(gate: &Gate, token: &str, at: Timestamp) -> Result<(), Refusal> {
    gate.admit(&shows(token), at).await.map(|_| ())
}

fn yes() -> Act {
    Act::Answer(json!({ "isAuthorized": true }))
}

#[tokio::test]
async fn it_is_told_the_token_and_the_request_and_says_who_it_is() {
    let fake = Fake::start(Act::Answer(json!({
        "isAuthorized": true,
        "resolverContext": { "sub": "ada", "plan": "gold" },
        "deniedFields": ["Todo.secret", "arn:aws:appsync:eu-west-1:1:apis/x/types/Mutation/fields/deleteTodo"],
        "ttlOverride": 10,
        "somethingNew": 1,
    })))
    .await;
    let gate = gate(AuthorizerConfig {
        header: Some(Secret("x-secret: between us".to_owned())),
        ..fake.config()
    });
    let body = json!({ "query": "query o { a }", "operationName": "o", "variables": { "x": 1 } });
    let shown = shows("Custom abc").of(Target {
        body: body.to_string().into_bytes(),
        ..Target::default()
    });
    let admitted = gate.admit(&shown, now()).await.unwrap();
    let Identity::Function(caller) = &admitted.identity else {
        panic!("{admitted:?}")
    };
    assert_eq!(admitted.identity.mode(), Some(AuthMode::Function));
    assert_eq!(caller.subject, "sub:ada");
    assert_eq!(caller.context["plan"], "gold");
    let denied: BTreeSet<String> = ["Mutation.deleteTodo", "Todo.secret"].map(str::to_owned).into();
    assert_eq!(caller.denied_fields, denied);
    let (question, credential) = fake.calls.lock().unwrap()[0].clone();
    assert_eq!(question["authorizationToken"], "Custom abc");
    assert_eq!(question["requestContext"]["queryString"], "query o { a }");
    assert_eq!(question["requestContext"]["variables"], json!({ "x": 1 }));
    assert_eq!(credential.as_deref(), Some("between us"));
}

#[tokio::test]
async fn a_yes_is_kept_for_its_time_and_a_no_is_not() {
    let fake = Fake::start(yes()).await;
    let gate = fake.gate();
    assert_eq!(ask(&gate, "a", now()).await, Ok(()));
    fake.does(Act::Answer(json!({ "isAuthorized": false })));
    assert_eq!(ask(&gate, "a", after(AUTHORIZER_TTL_S - 1)).await, Ok(()));
    assert_eq!(fake.calls(), 1);
    assert_eq!(ask(&gate, "a", after(AUTHORIZER_TTL_S)).await, Err(Refusal::Unknown));
    assert_eq!(ask(&gate, "a", after(AUTHORIZER_TTL_S)).await, Err(Refusal::Unknown));
    assert_eq!(fake.calls(), 3);
    // The answer says for how long, within bounds.
    for (ttl, kept) in [(0, 0), (7, 7), (1_000_000, AUTHORIZER_TTL_S_MAX)] {
        let token = format!("for {ttl}");
        fake.does(Act::Answer(json!({ "isAuthorized": true, "ttlOverride": ttl })));
        assert_eq!(ask(&gate, &token, now()).await, Ok(()));
        fake.does(Act::Answer(json!({ "isAuthorized": false })));
        if kept > 0 {
            assert_eq!(ask(&gate, &token, after(kept - 1)).await, Ok(()), "{ttl}");
        }
        assert_eq!(ask(&gate, &token, after(kept)).await, Err(Refusal::Unknown), "{ttl}");
    }
}

#[tokio::test]
async fn without_a_time_nothing_is_kept() {
    let fake = Fake::start(yes()).await;
    let gate = gate(AuthorizerConfig {
        ttl_s: Some(0),
        ..fake.config()
    });
    for _ in 0..3 {
        assert_eq!(ask(&gate, "a", now()).await, Ok(()));
    }
    assert_eq!(fake.calls(), 3);
}

#[tokio::test]
async fn an_answer_that_is_none_lets_nobody_in_and_blames_nobody() {
    let fake = Fake::start(yes()).await;
    let gate = gate(AuthorizerConfig {
        timeout_ms: Some(100),
        ..fake.config()
    });
    for act in [
        Act::Status(500),
        Act::Status(401),
        Act::Status(302),
        Act::Status(204),
        Act::Text("yes".to_owned()),
        Act::Answer(json!({})),
        Act::Answer(json!({ "isAuthorized": "true" })),
        Act::Answer(json!({ "isAuthorized": 1 })),
        Act::Answer(json!([true])),
        Act::Answer(json!({ "isAuthorized": true, "resolverContext": "x" })),
        Act::Answer(json!({ "isAuthorized": true, "ttlOverride": -1 })),
        // What it denies and we cannot read would be let through.
        Act::Answer(json!({ "isAuthorized": true, "deniedFields": ["Todo"] })),
        Act::Answer(json!({ "isAuthorized": true, "deniedFields": [1] })),
        Act::Answer(json!({ "isAuthorized": true, "x": "y".repeat(AUTHORIZER_ANSWER_BYTES_MAX) })),
        Act::Hang,
    ] {
        fake.does(act.clone());
        assert_eq!(ask(&gate, "a", now()).await, Err(Refusal::Unavailable), "{act:?}");
    }
    fake.does(yes());
    assert_eq!(ask(&gate, "a", now()).await, Ok(()), "none of it was kept");
    assert_eq!(
        ask(&self::gate(AuthorizerConfig::at("http://127.0.0.1:1/")), "a", now()).await,
        Err(Refusal::Unavailable)
    );
}

#[tokio::test]
async fn a_token_of_the_wrong_form_costs_no_call() {
    let fake = Fake::start(yes()).await;
    let gate = gate(AuthorizerConfig {
        token_regex: Some("^custom-[0-9]+$".to_owned()),
        ..fake.config()
    });
    for bad in ["", "custom-", "xcustom-1", "custom-1 "] {
        assert_eq!(ask(&gate, bad, now()).await, Err(Refusal::Unknown), "{bad:?}");
    }
    let long = format!("custom-{}", "1".repeat(AUTHORIZER_TOKEN_BYTES_MAX));
    assert_eq!(ask(&gate, &long, now()).await, Err(Refusal::Unknown));
    assert_eq!(fake.calls(), 0);
    assert_eq!(ask(&gate, "custom-1", now()).await, Ok(()));
}

#[tokio::test]
async fn no_more_than_so_many_are_asked_at_once() {
    let told = Arc::new(Notify::new());
    let fake = Fake::start(Act::Wait(Arc::clone(&told))).await;
    let gate = Arc::new(fake.gate());
    let mut asking = tokio::task::JoinSet::new();
    for number in 0..AUTHORIZER_CALLS_MAX + 10 {
        let gate = Arc::clone(&gate);
        asking.spawn(async move { ask(&gate, &format!("token {number}"), now()).await });
    }
    // As many as may be are there; each answer lets one more in.
    while fake.calls() < AUTHORIZER_CALLS_MAX {
        tokio::task::yield_now().await;
    }
    let mut answered = 0;
    while answered < AUTHORIZER_CALLS_MAX + 10 {
        assert!(
            fake.calls() <= AUTHORIZER_CALLS_MAX + answered,
            "{} of {answered}",
            fake.calls()
        );
        told.notify_one();
        assert_eq!(asking.join_next().await.unwrap().unwrap(), Ok(()));
        answered += 1;
    }
}

#[tokio::test]
async fn an_issuers_token_is_the_issuers_and_all_else_is_the_functions() {
    let pair = Pair::rsa("k1");
    let issuer = Issuer::start(&[&pair]).await;
    let fake = Fake::start(yes()).await;
    let config = AuthConfig {
        issuers: vec![issuer.config()],
        authorizer: fake.config(),
        ..AuthConfig::default()
    };
    let gate = Gate::open(Keys::default(), &config).unwrap();
    let mode = async |token: &str| {
        let admitted = gate.admit(&shows(token), now()).await?;
        Ok::<_, Refusal>(admitted.identity.mode().unwrap())
    };
    let good = pair.sign(&claims(&issuer.url, &json!({})));
    assert_eq!(mode(&good).await, Ok(AuthMode::Oidc));
    let forged = Pair::other_rsa("k1").sign(&claims(&issuer.url, &json!({})));
    assert_eq!(
        mode(&forged).await,
        Err(Refusal::Unknown),
        "the function cannot let in what the issuer refuses"
    );
    assert_eq!(fake.calls(), 0);
    assert_eq!(mode("anything").await, Ok(AuthMode::Function));
    let of_another = pair.sign(&claims("https://other.example", &json!({})));
    assert_eq!(mode(&of_another).await, Ok(AuthMode::Function));
    // Only the function wants to see the request first.
    assert!(gate.needs_body(&shows("anything")) && !gate.needs_body(&shows(&good)));
    assert!(!Gate::new(Keys::default()).needs_body(&shows("anything")));
}

#[tokio::test]
async fn a_mutation_is_not_sent_away_while_the_function_is_down() {
    let fake = Fake::start(Act::Status(500)).await;
    let config = Config {
        api_keys: Vec::new(),
        default_auth: AuthMode::Function,
        auth: AuthConfig {
            authorizer: fake.config(),
            ..AuthConfig::default()
        },
        ..Config::in_memory(SCHEMA, "not used")
    };
    let running = Server::start(config).await.unwrap();
    let headers = [("authorization", "Custom abc"), ("content-type", "application/json")];
    let query = r#"mutation { createTodo(input: { title: "kept" }) { title } }"#;
    let sent = request("POST", "/graphql", &headers, &json!({ "query": query }).to_string());
    let asked_twice = async {
        while fake.calls() < 2 {
            tokio::task::yield_now().await;
        }
        fake.does(yes());
    };
    let (reply, ()) = tokio::join!(exchange(running.addr, &sent), asked_twice);
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.json()["data"]["createTodo"]["title"], "kept");
    running.shutdown().await;
}

#[tokio::test]
async fn a_server_that_ends_answers_what_it_holds() {
    let fake = Fake::start(Act::Status(500)).await;
    let config = Config {
        api_keys: Vec::new(),
        default_auth: AuthMode::Function,
        auth: AuthConfig {
            authorizer: fake.config(),
            ..AuthConfig::default()
        },
        ..Config::in_memory(SCHEMA, "not used")
    };
    let running = Server::start(config).await.unwrap();
    let headers = [("authorization", "Custom abc"), ("content-type", "application/json")];
    let sent = request(
        "POST",
        "/graphql",
        &headers,
        &json!({ "query": "{ __typename }" }).to_string(),
    );
    let (addr, began) = (running.addr, std::time::Instant::now());
    let ended = async {
        while fake.calls() < 2 {
            tokio::task::yield_now().await;
        }
        running.shutdown().await
    };
    let (reply, _) = tokio::join!(exchange(addr, &sent), ended);
    assert_eq!(reply.status, 503, "{reply:?}");
    assert!(began.elapsed() < Duration::from_secs(15), "{:?}", began.elapsed());
}
