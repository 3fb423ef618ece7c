//! An issuer over real HTTP, whose keys and moods a test sets.

use std::sync::{Arc, Mutex, MutexGuard};

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json as Body, Router};
use serde_json::{Value as Json, json};
use tokio::net::TcpListener;
use tombolo_server::auth::issuer::IssuerConfig;
use tombolo_server::auth::{AuthConfig, Gate, Keys};

use crate::tokens::Pair;

pub(crate) struct Moods {
    pub(crate) keys: Vec<Json>,
    /// Answered with this instead of keys.
    pub(crate) failing: Option<StatusCode>,
    /// Members laid over the discovery document.
    pub(crate) discovery: Json,
    /// Answered instead of the key set.
    pub(crate) key_set: Option<String>,
    /// How often the keys were asked for.
    pub(crate) fetches: usize,
}

#[derive(Clone)]
pub(crate) struct Fake {
    pub(crate) url: String,
    moods: Arc<Mutex<Moods>>,
}

impl Fake {
    pub(crate) async fn start(pairs: &[&Pair]) -> Self {
        let listening = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listening.local_addr().unwrap());
        let moods = Moods {
            keys: pairs.iter().map(|pair| pair.public()).collect(),
            failing: None,
            discovery: json!({}),
            key_set: None,
            fetches: 0,
        };
        let fake = Self {
            url,
            moods: Arc::new(Mutex::new(moods)),
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(discovery))
            .route("/jwks", get(keys))
            .with_state(fake.clone());
        serve(listening, router);
        fake
    }

    pub(crate) fn moods(&self) -> MutexGuard<'_, Moods> {
        self.moods.lock().unwrap()
    }

    pub(crate) fn fetches(&self) -> usize {
        self.moods().fetches
    }

    /// From now on these keys.
    pub(crate) fn publish(&self, pairs: &[&Pair]) {
        self.moods().keys = pairs.iter().map(|pair| pair.public()).collect();
    }

    pub(crate) fn config(&self) -> IssuerConfig {
        IssuerConfig {
            client_id: Some("app-[0-9]".to_owned()),
            ..IssuerConfig::at(&self.url)
        }
    }

    pub(crate) fn gate(&self) -> Gate {
        gate(vec![self.config()])
    }
}

/// Serves until the test ends.
pub(crate) fn serve(listening: TcpListener, router: Router) {
    #[expect(clippy::disallowed_methods, reason = "the test's own endpoint ends with the test")]
    let serving = axum::serve(listening, router);
    tokio::spawn(async { serving.await.unwrap() });
}

pub(crate) fn gate(issuers: Vec<IssuerConfig>) -> Gate {
    let config = AuthConfig {
        issuers,
        ..AuthConfig::default()
    };
    Gate::open(Keys::default(), &config).unwrap()
}

async fn discovery(State(fake): State<Fake>) -> Response {
    let moods = fake.moods();
    if let Some(status) = moods.failing {
        return status.into_response();
    }
    let mut document = json!({ "issuer": fake.url, "jwks_uri": format!("{}/jwks", fake.url) });
    let members = document.as_object_mut().unwrap();
    members.extend(moods.discovery.as_object().unwrap().clone());
    Body(document).into_response()
}

async fn keys(State(fake): State<Fake>) -> Response {
    let mut moods = fake.moods();
    moods.fetches += 1;
    if let Some(status) = moods.failing {
        return status.into_response();
    }
    match &moods.key_set {
        Some(text) => text.clone().into_response(),
        None => Body(json!({ "keys": moods.keys })).into_response(),
    }
}
