//! What is served where, and what every answer carries.
//!
//! | path | |
//! |---|---|
//! | `/graphql` | GraphQL: POST and GET ([`crate::http`]), WebSocket ([`crate::ws`], and AppSync's by its subprotocol) |
//! | `/graphql/realtime` | AppSync's WebSocket ([`crate::realtime`]) |
//! | `/mqtt` | MQTT over a WebSocket ([`crate::mqtt`]) |
//! | `/healthz` | the process is alive |
//! | `/readyz` | it can serve: 503 while starting, ending, or unable to write |
//! | `/` | what this is |

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderValue, Method, Request, StatusCode, Uri};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{any, get};
use tokio::sync::Semaphore;
use tombolo_core::wire::graphql::ErrorType;
use tower_http::CompressionLevel;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::{AllowHeaders, CorsLayer};

use crate::api::Api;
use crate::auth::Gate;
use crate::guards::Guards;
use crate::http::{self, ERROR_TYPE_HEADER, Problem, REQUEST_ID_HEADER};
use crate::limits::{COMPRESS_BYTES_MIN, HELD_ADMISSION_BYTES_MAX, Limits};
use crate::mqtt::handshake::Tickets;
use crate::mqtt::{self, Devices, Sessions};
use crate::rates::Rates;
use crate::realtime;
use crate::shutdown::{Lifecycle, Phase};

/// Where GraphQL is served.
pub const GRAPHQL_PATH: &str = "/graphql";

/// How long a browser may remember that a preflight was allowed.
const PREFLIGHT_AGE: Duration = Duration::from_secs(24 * 60 * 60);

/// What every request handler sees.
#[derive(Debug)]
pub struct App {
    api: OnceLock<Api>,
    /// Who may call.
    pub gate: Gate,
    /// The limits in force.
    pub limits: Limits,
    /// How often each identity may read and connect.
    pub rates: Rates,
    /// Room for requests whose caller cannot be told at the moment, in KiB of [`HELD_ADMISSION_BYTES_MAX`].
    pub held: Semaphore,
    /// Who is connected by MQTT.
    pub mqtt: Arc<Devices>,
    /// What outlives their connections.
    pub sessions: Arc<Sessions>,
    /// What AppSync's older hand-shakes left for their clients.
    pub tickets: Arc<Tickets>,
    /// The server's phase.
    pub life: Lifecycle,
}

impl App {
    /// A server whose store is yet to be opened.
    #[must_use]
    pub fn new(gate: Gate, limits: Limits, rates: Rates) -> Self {
        let hold = Duration::from_millis(limits.ticket_hold_ms);
        Self {
            api: OnceLock::new(),
            gate,
            limits,
            rates,
            held: Semaphore::new(HELD_ADMISSION_BYTES_MAX >> 10),
            mqtt: Arc::default(),
            sessions: Arc::default(),
            tickets: Arc::new(Tickets::new(hold)),
            life: Lifecycle::default(),
        }
    }

    /// The API, once the server is ready.
    #[must_use]
    pub fn api(&self) -> Option<&Api> {
        if self.life.phase() == Phase::Starting {
            None
        } else {
            self.api.get()
        }
    }

    /// The API as soon as its store is open, also before the server is ready.
    #[must_use]
    pub fn opened(&self) -> Option<&Api> {
        self.api.get()
    }

    /// Hands over the API; only the first one counts.
    pub fn open(&self, api: Api) -> &Api {
        self.api.get_or_init(|| api)
    }
}

/// The routes with everything around them.
pub fn router(app: Arc<App>, guards: &Guards) -> Router {
    let cors = CorsLayer::new()
        .allow_origin(guards.origins())
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(AllowHeaders::mirror_request())
        .expose_headers([ERROR_TYPE_HEADER, REQUEST_ID_HEADER])
        .max_age(PREFLIGHT_AGE);
    let compression = CompressionLayer::new()
        .quality(CompressionLevel::Fastest)
        .compress_when(SizeAbove::new(COMPRESS_BYTES_MIN));
    Router::new()
        .route(GRAPHQL_PATH, any(http::graphql))
        .route(realtime::PATH, any(realtime::listen))
        .route(mqtt::PATH, any(mqtt::listen))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/", get(about))
        .fallback(nothing)
        .with_state(app)
        .layer(compression)
        .layer(cors)
        .layer(middleware::from_fn(request_id))
}

async fn request_id(request: Request<Body>, next: Next) -> Response {
    let mut response = next.run(request).await;
    if let Ok(id) = HeaderValue::from_str(&uuid::Uuid::new_v4().to_string()) {
        response.headers_mut().insert(REQUEST_ID_HEADER, id);
    }
    response
}

async fn healthz() -> Response {
    json(StatusCode::OK, r#"{"status":"ok"}"#)
}

async fn readyz(State(app): State<Arc<App>>) -> Response {
    match (app.life.phase(), app.api()) {
        (Phase::Starting, _) | (_, None) => json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"starting"}"#),
        (Phase::Ending, _) => json(StatusCode::SERVICE_UNAVAILABLE, r#"{"status":"shutting down"}"#),
        (Phase::Ready, Some(api)) => match api.can_write().await {
            Ok(()) => json(StatusCode::OK, r#"{"status":"ready"}"#),
            Err(error) => {
                let body = serde_json::json!({"status": "cannot write", "reason": error.to_string()});
                json(StatusCode::SERVICE_UNAVAILABLE, body.to_string())
            }
        },
    }
}

fn json(status: StatusCode, body: impl Into<Body>) -> Response {
    (status, [(CONTENT_TYPE, "application/json")], body.into()).into_response()
}

async fn about() -> &'static str {
    concat!(
        "Tombolo ",
        env!("CARGO_PKG_VERSION"),
        ": GraphQL that works offline.\n\n\
         POST /graphql        queries and mutations; send x-api-key and a JSON body {\"query\": \"…\"}\n\
         GET  /graphql        queries; or a WebSocket with the subprotocol graphql-transport-ws\n\
         GET  /graphql/realtime   AppSync's WebSocket (subprotocol graphql-ws)\n\
         GET  /mqtt           MQTT over a WebSocket (subprotocol mqtt)\n\
         GET  /healthz        the process is alive\n\
         GET  /readyz         the server can serve\n"
    )
}

async fn nothing(uri: Uri) -> Response {
    let path: String = uri.path().chars().take(100).collect();
    let message = format!("Nothing is served at {path}: GraphQL is at /graphql.");
    Problem::new(StatusCode::NOT_FOUND, ErrorType::BadRequest, message).into_response()
}
