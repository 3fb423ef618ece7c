//! AppSync's real-time WebSocket: what Amplify's and AppSync's own clients speak.
//!
//! Served at [`PATH`], and at `/graphql` for who offers its subprotocol there, as clients of an AWS host name do. It is neither
//! `graphql-transport-ws` nor the old Apollo protocol whose subprotocol name it bears. Frames and timings:
//! `docs/appsync.md`.
//!
//! One task owns a session and everything open on it (`session`), since what its subscriptions send has to keep one order:
//! a record's creation goes out by one subscription and its next update by another, and clients lay down what comes last.
//! Besides it there are the writing task, and short ones that look at the credentials of a `start`
//! (`handshake` reads where they are carried). Nothing is held for a slow client but its place in the ring of recent
//! changes; one that falls off it is closed with 1011, so that it comes back and fetches what it missed. An `error` instead
//! would make DataStore give up real time for good.

mod frames;
mod handshake;
mod held;
mod session;

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, State, WebSocketUpgrade};
use axum::http::header::{SEC_WEBSOCKET_PROTOCOL, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, Request, StatusCode};
use axum::response::{IntoResponse as _, Response};
use tombolo_core::wire::graphql::ErrorType;
use tombolo_core::wire::ws::SUBPROTOCOL as TRANSPORT_SUBPROTOCOL;

use crate::http::Problem;
use crate::limits::{SOCKET_BUFFER_BYTES, START_BYTES_MAX};
use crate::listener::Place;
use crate::routes::App;

/// Where it is served: AppSync's clients put `/realtime` behind the URL of the API if its host is none of AWS's.
pub const PATH: &str = "/graphql/realtime";

/// The subprotocol's name. The credential may come beside it as a second one; the answer names this one alone.
pub const SUBPROTOCOL: &str = "graphql-ws";

/// Whether who connects to `/graphql` wants this protocol.
pub(crate) fn is_offered(headers: &HeaderMap) -> bool {
    let offers = |name: &str| subprotocols(headers).any(|offered| offered == name);
    offers(SUBPROTOCOL) && !offers(TRANSPORT_SUBPROTOCOL)
}

/// The subprotocols that a client offers, in order.
fn subprotocols(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lists = headers.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    let names = lists
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','));
    names.map(str::trim).filter(|name| !name.is_empty())
}

/// [`PATH`], every method.
pub(crate) async fn listen(State(app): State<Arc<App>>, request: Request<Body>) -> Response {
    let (mut parts, _) = request.into_parts();
    if parts.method != Method::GET || !parts.headers.contains_key(UPGRADE) {
        let message = "Subscriptions are served here, over a WebSocket with the subprotocol graphql-ws.";
        return Problem::new(StatusCode::BAD_REQUEST, ErrorType::BadRequest, message).into_response();
    }
    match WebSocketUpgrade::from_request_parts(&mut parts, &app).await {
        Ok(request) => upgrade(app, request, &parts),
        Err(refused) => refused.into_response(),
    }
}

/// Answers the upgrade and starts the session. Whether the credential is good is told in the session: a browser shows its
/// page nothing of an upgrade that fails.
pub(crate) fn upgrade(app: Arc<App>, upgrade: WebSocketUpgrade, parts: &Parts) -> Response {
    if app.api().is_none() {
        return Problem::starting().into_response();
    }
    let shown = handshake::shown(parts);
    let place = parts.extensions.get::<Place>().cloned();
    let at_work = app.life.tasks.token();
    let limit = app.limits.body_bytes_max.min(START_BYTES_MAX);
    upgrade
        .read_buffer_size(SOCKET_BUFFER_BYTES)
        .write_buffer_size(SOCKET_BUFFER_BYTES)
        .max_message_size(limit)
        .max_frame_size(limit)
        .protocols([SUBPROTOCOL])
        .on_upgrade(move |socket| async move {
            session::serve(socket, app, shown).await;
            drop((place, at_work));
        })
}
