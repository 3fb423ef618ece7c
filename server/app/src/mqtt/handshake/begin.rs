//! The HTTP half: a subscription that is POSTed begins, and is answered with where to hear it.

use std::sync::Arc;

use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderName};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value as Json, json};
use tokio::sync::Notify;
use tombolo_core::query::RootField;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_engine::Prepared;

use super::tickets::{Full, Ticket, Token};
use crate::api::Api;
use crate::auth::Admitted;
use crate::listener::Place;
use crate::mqtt::PATH;
use crate::rates::TooOften;
use crate::routes::App;
use crate::shutdown::Phase;

/// What AppSync's and Amplify's SDKs call themselves with every request, and nobody else does.
const USER_AGENT: HeaderName = HeaderName::from_static("x-amz-user-agent");

/// What a proxy says of the request that it had: the host's name and the scheme.
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The version of the answer, as AppSync writes it.
const VERSION: &str = "1.0.0";

/// A topic is said to last for so long where its caller's credential lasts longer or for ever: what AppSync gives a connection. It
/// is not ended then.
const TOPIC_LIFETIME: SignedDuration = SignedDuration::from_hours(24);

/// Why there is no hand-shake.
#[derive(Debug)]
pub(crate) enum Refused {
    /// What was asked for is refused.
    Errors(Vec<GraphqlError>),
    /// The identity has connected too often of late.
    TooOften(TooOften),
    /// Not now: the server ends, or has too many that wait for their clients.
    Later,
    /// It cannot be told what to connect to.
    NoHost,
}

/// Whether who POSTs a subscription means a hand-shake by it: one of AppSync's SDKs, which say who they are. To others it is a
/// mistake, which they are told.
pub(crate) fn is_asked(headers: &HeaderMap) -> bool {
    headers.contains_key(USER_AGENT)
}

/// Begins a subscription for who is admitted; gives the answer, a response object.
pub(crate) fn begin(
    app: &App,
    api: &Api,
    parts: &Parts,
    caller: &Admitted,
    prepared: &Prepared,
) -> Result<Vec<u8>, Refused> {
    if app.life.phase() == Phase::Ending {
        return Err(Refused::Later);
    }
    let url = url(parts).ok_or(Refused::NoHost)?;
    let Some(field) = response_key(prepared) else {
        return Err(unsupported("The change feed is not served by this hand-shake"));
    };
    // Here and not where it connects, whom a refusal would not tell why.
    app.rates.connect(&caller.identity).map_err(Refused::TooOften)?;
    let wake = Arc::new(Notify::new());
    let waker = {
        let wake = Arc::clone(&wake);
        Arc::new(move || wake.notify_one())
    };
    let subscriber = api.subscribe(prepared, waker).map_err(Refused::Errors)?;
    let token = Token::make().ok_or(Refused::Later)?;
    let client_id = uuid::Uuid::new_v4().to_string();
    let topic = format!("appsync/{client_id}");
    let ticket = Ticket {
        client_id: client_id.clone(),
        topic: topic.clone(),
        subscriber,
        wake,
        expires: caller.expires,
    };
    let identity = caller.identity.author().unwrap_or_default();
    app.tickets.keep(&token, identity, ticket).map_err(|full| match full {
        Full::All => Refused::Later,
        Full::Identity => {
            let message = "Too many subscriptions wait to be connected to: connect to them, or ask later.";
            Refused::Errors(vec![GraphqlError::new(ErrorType::LimitExceeded, message)])
        }
    })?;
    let connection = json!({
        "url": format!("{url}?{}", token.parameter()),
        "topics": [&topic],
        "client": client_id,
    });
    let subscription = json!({"topic": topic, "expireTime": expire_time(caller.expires, Timestamp::now())});
    let answer = json!({
        "data": member(field, Json::Null),
        "extensions": {"subscription": {
            "version": VERSION,
            "mqttConnections": [connection],
            "newSubscriptions": member(field, subscription),
        }},
    });
    Ok(answer.to_string().into_bytes())
}

fn unsupported(message: &str) -> Refused {
    Refused::Errors(vec![GraphqlError::new(ErrorType::UnsupportedOperation, message)])
}

/// The name of the subscription's field in the answer; `None` for the feed of replicas.
fn response_key(prepared: &Prepared) -> Option<&str> {
    let mut roots = prepared.bound()?.roots().iter();
    if roots.clone().any(|root| matches!(root.field, RootField::Changes(..))) {
        return None;
    }
    // One that is refused is none of a kind: the engine says why.
    roots.next().map(|root| root.response_key.as_str())
}

fn member(name: &str, value: Json) -> Json {
    Json::Object(Map::from_iter([(name.to_owned(), value)]))
}

/// Until when a topic lasts, in milliseconds of the Unix epoch.
fn expire_time(expires: Option<Timestamp>, now: Timestamp) -> i64 {
    let lifetime = now.saturating_add(TOPIC_LIFETIME).unwrap_or(Timestamp::MAX);
    expires
        .map_or(lifetime, |expires| expires.min(lifetime))
        .as_millisecond()
}

/// Where MQTT is spoken, as whoever sent this request reaches it: on the host that it named, and over TLS if it came over TLS.
/// A proxy in front says both. Whoever makes up such headers is told what he made up, and nobody else is.
fn url(parts: &Parts) -> Option<String> {
    let said = |name: &HeaderName| {
        let value = parts.headers.get(name)?.to_str().ok()?;
        // The first is what the client said to the first of several proxies.
        value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
    };
    let named = said(&FORWARDED_HOST).or_else(|| said(&HOST));
    let host: Authority = match named {
        Some(host) => host.parse().ok()?,
        None => parts.uri.authority()?.clone(),
    };
    if host.as_str().contains('@') {
        return None;
    }
    let secured = match said(&FORWARDED_PROTO) {
        Some(scheme) => ["https", "wss"].iter().any(|name| scheme.eq_ignore_ascii_case(name)),
        None => parts.extensions.get::<Place>().is_some_and(Place::is_secured),
    };
    let scheme = if secured { "wss" } else { "ws" };
    Some(format!("{scheme}://{host}{PATH}"))
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    type Header = (&'static str, &'static str);

    fn parts(headers: &[Header]) -> Parts {
        let mut request = Request::post("/graphql");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    #[test]
    fn the_url_is_where_the_client_has_come_to() {
        let table: [(&[Header], Option<&str>); 11] = [
            (&[("host", "127.0.0.1:4000")], Some("ws://127.0.0.1:4000/mqtt")),
            (&[("host", "[::1]:4000")], Some("ws://[::1]:4000/mqtt")),
            (
                &[("host", "api.example"), ("x-forwarded-proto", "https")],
                Some("wss://api.example/mqtt"),
            ),
            (
                &[("host", "api.example"), ("x-forwarded-proto", "http")],
                Some("ws://api.example/mqtt"),
            ),
            (
                &[
                    ("host", "inside:4000"),
                    ("x-forwarded-host", "api.example, edge.inside"),
                    ("x-forwarded-proto", "HTTPS, http"),
                ],
                Some("wss://api.example/mqtt"),
            ),
            (
                &[("host", "inside"), ("x-forwarded-host", "")],
                Some("ws://inside/mqtt"),
            ),
            (&[], None),
            (&[("host", "")], None),
            (&[("host", "a/b")], None),
            (&[("host", "user@evil.example")], None),
            (&[("host", "a b")], None),
        ];
        for (headers, expected) in table {
            assert_eq!(url(&parts(headers)).as_deref(), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_topic_lasts_as_long_as_the_credential_and_a_day_at_most() {
        let at = |second| Timestamp::from_second(second).unwrap();
        let now = at(1_700_000_000);
        let day = 24 * 3600;
        assert_eq!(expire_time(None, now), (1_700_000_000 + day) * 1000);
        assert_eq!(expire_time(Some(at(1_700_000_600)), now), 1_700_000_600_000);
        assert_eq!(expire_time(Some(at(1_800_000_000)), now), (1_700_000_000 + day) * 1000);
        assert_eq!(
            expire_time(None, Timestamp::MAX),
            Timestamp::MAX.as_millisecond(),
            "a clock at the end of time"
        );
    }
}
