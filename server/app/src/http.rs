//! GraphQL over HTTP: `POST /graphql` and `GET /graphql`.
//!
//! Follows the "GraphQL over HTTP" draft for methods, media types and statuses, and AppSync for the bodies and headers of
//! refusals (`x-amzn-ErrorType` is what its JavaScript client reads). A document that is no valid operation is answered with 200
//! to a client that asked for `application/json` and with 400 to one that asked for `application/graphql-response+json`; one
//! that cannot be parsed with 400, as AppSync does.
//!
//! A mutation is never sent away because there is much to do: it waits for its place in the writer's queue, and one that the
//! store cannot take for now is held ([`MUTATION_HOLD`](crate::limits::MUTATION_HOLD)).
//!
//! A subscription is a mistake here, except from AppSync's older SDKs, which mean a [`handshake`].

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{FromRequestParts as _, State, WebSocketUpgrade};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request as HttpRequest, StatusCode};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;
use tombolo_core::access::Identity;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};
use tombolo_engine::Prepared;

use crate::api::{Api, Failed, Work};
use crate::auth::{Admitted, Refusal, Shown, Target};
use crate::limits::HoldPauses;
use crate::mqtt::handshake;
use crate::rates::TooOften;
use crate::routes::App;
use crate::{asked, realtime, ws};

/// The header that names an error, as AppSync's clients read it.
pub const ERROR_TYPE_HEADER: HeaderName = HeaderName::from_static("x-amzn-errortype");

/// The header that names a request.
pub const REQUEST_ID_HEADER: HeaderName = HeaderName::from_static("x-amzn-requestid");

/// The two media types of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Media {
    /// `application/json`: what AppSync's clients read.
    Json,
    /// `application/graphql-response+json`: a status that is not 2xx still carries a GraphQL answer.
    GraphqlResponse,
}

impl Media {
    /// The first of the most wanted types in `accept` that we can give; `None` if there is none. Without the header, and
    /// for wildcards, it is JSON.
    fn negotiate(headers: &HeaderMap) -> Option<Self> {
        let mut best: Option<(Self, f32)> = None;
        let mut asked = false;
        for value in headers.get_all(ACCEPT) {
            for item in value
                .to_str()
                .unwrap_or("")
                .split(',')
                .map(str::trim)
                .filter(|i| !i.is_empty())
            {
                asked = true;
                let mut parts = item.split(';').map(str::trim);
                let media = match parts.next().unwrap_or("").to_ascii_lowercase().as_str() {
                    "application/graphql-response+json" => Self::GraphqlResponse,
                    "application/json" | "application/*" | "*/*" => Self::Json,
                    _ => continue,
                };
                let wanted = parts
                    .find_map(|p| p.strip_prefix("q="))
                    .and_then(|q| q.parse::<f32>().ok())
                    .unwrap_or(1.0);
                if wanted > 0.0 && best.is_none_or(|(_, w)| wanted > w) {
                    best = Some((media, wanted));
                }
            }
        }
        if asked {
            best.map(|(media, _)| media)
        } else {
            Some(Self::Json)
        }
    }

    fn content_type(self) -> HeaderValue {
        match self {
            Self::Json => HeaderValue::from_static("application/json; charset=utf-8"),
            Self::GraphqlResponse => HeaderValue::from_static("application/graphql-response+json; charset=utf-8"),
        }
    }
}

/// `/graphql`, every method.
pub(crate) async fn graphql(State(app): State<Arc<App>>, request: HttpRequest<Body>) -> Response {
    let (mut parts, body) = request.into_parts();
    if parts.method == Method::GET && parts.headers.contains_key(UPGRADE) {
        return match WebSocketUpgrade::from_request_parts(&mut parts, &app).await {
            Ok(upgrade) if realtime::is_offered(&parts.headers) => realtime::upgrade(app, upgrade, &parts),
            Ok(upgrade) => ws::upgrade(app, upgrade, &parts),
            Err(refused) => refused.into_response(),
        };
    }
    let answered = match parts.method {
        Method::POST => post(&app, &parts, body).await,
        Method::GET => get(&app, &parts).await,
        _ => Err(Problem::method(
            "GET, POST",
            "GraphQL is asked with POST, or with GET for queries.",
        )),
    };
    answered.unwrap_or_else(Problem::into_response)
}

async fn post(app: &App, parts: &Parts, body: Body) -> Result<Response, Problem> {
    let media = negotiated(parts)?;
    let hold_until = Instant::now() + Duration::from_millis(app.limits.mutation_hold_ms);
    // It may be a mutation, which a server that is about to be ready does not send away.
    let _ready_or_late = tokio::time::timeout_at(hold_until, app.life.started()).await;
    let api = ready(app)?;
    let early = match app.gate.needs_body(&Shown::headers(&parts.headers)) {
        true => None,
        false => Some(admitted_by(app, parts, Vec::new(), hold_until).await?),
    };
    readable(&parts.headers)?;
    let limit = app.limits.body_bytes_max;
    let wait = Duration::from_millis(app.limits.body_read_timeout_ms);
    let bytes = read(parts, body, limit, wait).await?;
    let caller = match early {
        Some(caller) => caller,
        None => admitted_by(app, parts, bytes.clone(), hold_until).await?,
    };
    if bytes.is_empty() {
        return Err(Problem::malformed("Request body is empty."));
    }
    if bytes.first() == Some(&b'[') {
        return Err(Problem::malformed(
            "Batches are not served: send one request object for each operation.",
        ));
    }
    let request: Request = serde_json::from_slice(&bytes)
        .map_err(|e| Problem::malformed(format!("The request body is not a GraphQL request in JSON: {e}.")))?;
    drop(bytes);
    match api.prepare(&caller.identity, &request) {
        Ok(Work::Query(prepared)) => query(app, api, &caller.identity, media, &request, prepared).await,
        Ok(Work::Mutation(mutation)) if request.is_of_replica() => {
            let pending = api.enqueue(mutation).await.map_err(|e| Problem::failed(&e, &request))?;
            finish(media, &request, api.settle(pending).await)
        }
        Ok(Work::Mutation(mutation)) => finish(media, &request, api.hold(mutation, hold_until, app.life.ended()).await),
        Ok(Work::Subscription(prepared)) if media == Media::Json && handshake::is_asked(&parts.headers) => {
            shake_hands(app, api, parts, &caller, &prepared)
        }
        Ok(Work::Subscription(_)) => Err(Problem::subscription()),
        Err(errors) => invalid(api, media, &request, errors),
    }
}

/// AppSync's older hand-shake. What is refused is an answer with errors, which its client reads; what is not its caller's fault has a
/// status upon which it asks again.
fn shake_hands(
    app: &App,
    api: &Api,
    parts: &Parts,
    caller: &Admitted,
    prepared: &Prepared,
) -> Result<Response, Problem> {
    let answer = match handshake::begin(app, api, parts, caller, prepared) {
        Ok(answer) => answer,
        Err(handshake::Refused::Errors(errors)) => json!({"data": null, "errors": errors}).to_string().into_bytes(),
        Err(handshake::Refused::TooOften(often)) => return Err(Problem::throttled(often)),
        Err(handshake::Refused::Later) => {
            let message = "No further subscription can be connected to at the moment; ask again.";
            return Err(Problem::later(message));
        }
        Err(handshake::Refused::NoHost) => {
            return Err(Problem::malformed(
                "The request names no host to connect to: send the header `host`.",
            ));
        }
    };
    Ok(respond(StatusCode::OK, Media::Json, answer))
}

async fn query(
    app: &App,
    api: &Api,
    identity: &Identity,
    media: Media,
    request: &Request,
    prepared: Prepared,
) -> Result<Response, Problem> {
    app.rates.read(identity).map_err(Problem::throttled)?;
    finish(media, request, api.query(prepared).await)
}

async fn get(app: &App, parts: &Parts) -> Result<Response, Problem> {
    let media = negotiated(parts)?;
    let api = ready(app)?;
    let caller = admitted(app, &shown(parts, Vec::new()))
        .await
        .map_err(Problem::refused)?;
    let request = asked::by_query(parts.uri.query().unwrap_or_default()).map_err(Problem::malformed)?;
    match api.prepare(&caller.identity, &request) {
        Ok(Work::Query(prepared)) => query(app, api, &caller.identity, media, &request, prepared).await,
        Ok(Work::Mutation(_)) => Err(Problem::method(
            "POST",
            "A mutation is sent with POST: GET must change nothing.",
        )),
        Ok(Work::Subscription(_)) => Err(Problem::subscription()),
        Err(errors) => invalid(api, media, &request, errors),
    }
}

fn negotiated(parts: &Parts) -> Result<Media, Problem> {
    Media::negotiate(&parts.headers).ok_or_else(|| {
        let message = "Answers are application/json or application/graphql-response+json; accept one of them.";
        Problem::new(StatusCode::NOT_ACCEPTABLE, ErrorType::BadRequest, message)
    })
}

/// The API, if it is open.
fn ready(app: &App) -> Result<&Api, Problem> {
    app.api().ok_or_else(Problem::starting)
}

/// What is shown; `body` counts for a signature, and for what the authorizer function is told.
fn shown(parts: &Parts, body: Vec<u8>) -> Shown {
    Shown::headers(&parts.headers).of(Target {
        body,
        ..Target::of(parts)
    })
}

/// Who is asking, if they may.
async fn admitted(app: &App, shown: &Shown) -> Result<Admitted, Refusal> {
    app.gate.admit(shown, Timestamp::now()).await
}

/// Who is asking, if they may. It may be with a mutation, which is not sent away because an issuer or the authorizer function
/// cannot be asked at the moment: they are asked again until `hold_until`.
async fn admitted_by(app: &App, parts: &Parts, body: Vec<u8>, hold_until: Instant) -> Result<Admitted, Problem> {
    let kib = u32::try_from(body.len() >> 10).unwrap_or(u32::MAX).saturating_add(1);
    let shown = shown(parts, body);
    let mut room = None;
    let mut pauses = HoldPauses::default();
    loop {
        let pause = pauses.next();
        match admitted(app, &shown).await {
            Err(refusal) if refusal.is_temporary() && Instant::now() + pause < hold_until => {
                if room.is_none() {
                    room = Some(app.held.try_acquire_many(kib).map_err(|_| Problem::refused(refusal))?);
                }
                tokio::select! {
                    () = tokio::time::sleep(pause) => {}
                    () = app.life.ended() => return Err(Problem::refused(refusal)),
                }
            }
            answer => return answer.map_err(Problem::refused),
        }
    }
}

/// Whether the body is JSON as we read it.
fn readable(headers: &HeaderMap) -> Result<(), Problem> {
    let unsupported = |message: &str| {
        Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            ErrorType::BadRequest,
            message,
        ))
    };
    let content_type = headers
        .get(CONTENT_TYPE)
        .and_then(|v| v.to_str().ok())
        .unwrap_or("")
        .to_ascii_lowercase();
    let mut parts = content_type.split(';').map(str::trim);
    if parts.next() != Some("application/json") {
        return unsupported("The body must be JSON: send `content-type: application/json`.");
    }
    if parts
        .filter_map(|p| p.strip_prefix("charset="))
        .any(|c| !matches!(c.trim_matches('"'), "utf-8" | "utf8"))
    {
        return unsupported("The body must be UTF-8.");
    }
    match headers.get(CONTENT_ENCODING).map(HeaderValue::as_bytes) {
        None | Some(b"identity") => Ok(()),
        Some(_) => unsupported("Compressed request bodies are not read: send it as it is."),
    }
}

async fn read(parts: &Parts, body: Body, limit: usize, wait: Duration) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        let message = format!("The request body is larger than {limit} bytes: send less at once.");
        Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ErrorType::LimitExceeded, message)
    };
    let length = parts
        .headers
        .get(CONTENT_LENGTH)
        .and_then(|v| v.to_str().ok())
        .and_then(|v| v.parse::<usize>().ok());
    if length.is_some_and(|length| length > limit) {
        return Err(too_large());
    }
    let mut bytes = Vec::with_capacity(length.unwrap_or(0));
    let mut chunks = body.into_data_stream();
    let all = async {
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| Problem::malformed("The request body ended early."))?;
            if bytes.len() + chunk.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&chunk);
        }
        Ok(())
    };
    match tokio::time::timeout(wait, all).await {
        Ok(ended) => ended.map(|()| bytes),
        Err(_) => {
            let message = format!("The request body did not arrive within {} ms.", wait.as_millis());
            Err(Problem::new(
                StatusCode::REQUEST_TIMEOUT,
                ErrorType::LimitExceeded,
                message,
            ))
        }
    }
}

fn finish(media: Media, request: &Request, answer: Result<Vec<u8>, Failed>) -> Result<Response, Problem> {
    answer
        .map(|bytes| respond(StatusCode::OK, media, bytes))
        .map_err(|failed| Problem::failed(&failed, request))
}

/// The answer to what is no valid operation of the schema: in AppSync's words, unless one of our replicas asks.
fn invalid(api: &Api, media: Media, request: &Request, errors: Vec<GraphqlError>) -> Result<Response, Problem> {
    let errors = match media {
        Media::Json if !request.is_of_replica() => api.appsync_errors(request, errors).map_err(Problem::unparsable)?,
        Media::Json | Media::GraphqlResponse => errors,
    };
    let (status, body) = match media {
        Media::Json => (StatusCode::OK, json!({"data": null, "errors": errors})),
        Media::GraphqlResponse => (StatusCode::BAD_REQUEST, json!({"errors": errors})),
    };
    Ok(respond(status, media, body.to_string().into_bytes()))
}

fn respond(status: StatusCode, media: Media, bytes: Vec<u8>) -> Response {
    let mut response = Response::new(Body::from(bytes));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, media.content_type());
    response
}

/// A request that is refused before or instead of being executed.
pub(crate) struct Problem {
    status: StatusCode,
    error: Box<GraphqlError>,
    header: Option<(HeaderName, HeaderValue)>,
}

impl Problem {
    pub(crate) fn new(status: StatusCode, error_type: ErrorType, message: impl Into<String>) -> Self {
        Self {
            status,
            error: Box::new(GraphqlError::new(error_type, message)),
            header: None,
        }
    }

    fn malformed(message: impl Into<String>) -> Self {
        Self::new(
            StatusCode::BAD_REQUEST,
            ErrorType::MalformedHttpRequestException,
            message,
        )
    }

    fn method(allow: &'static str, message: &str) -> Self {
        let mut problem = Self::new(StatusCode::METHOD_NOT_ALLOWED, ErrorType::BadRequest, message);
        problem.header = Some((ALLOW, HeaderValue::from_static(allow)));
        problem
    }

    fn subscription() -> Self {
        let message = "Subscriptions need a WebSocket: connect to this URL with the subprotocol graphql-transport-ws.";
        Self::new(StatusCode::BAD_REQUEST, ErrorType::UnsupportedOperation, message)
    }

    fn refused(refusal: Refusal) -> Self {
        let status = match refusal.is_temporary() {
            true => StatusCode::SERVICE_UNAVAILABLE,
            false => StatusCode::UNAUTHORIZED,
        };
        let mut problem = Self::new(status, refusal.error_type(), refusal.to_string());
        problem.header = refusal
            .is_temporary()
            .then(|| (RETRY_AFTER, HeaderValue::from_static("1")));
        problem
    }

    /// The API is not open yet.
    pub(crate) fn starting() -> Self {
        Self::later("The server is starting.")
    }

    /// The same request may be answered soon.
    fn later(message: &str) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, ErrorType::InternalFailure, message);
        problem.header = Some((RETRY_AFTER, HeaderValue::from_static("1")));
        problem
    }

    /// A document that is no GraphQL.
    fn unparsable(error: Box<GraphqlError>) -> Self {
        Self {
            status: StatusCode::BAD_REQUEST,
            error,
            header: None,
        }
    }

    /// Too many reads.
    fn throttled(TooOften { again_s }: TooOften) -> Self {
        let message = format!("Rate exceeded: ask again in {again_s} s.");
        let name = ErrorType::Other("ThrottlingException".to_owned());
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, name, message);
        problem.header = HeaderValue::from_str(&again_s.to_string())
            .ok()
            .map(|s| (RETRY_AFTER, s));
        problem
    }

    fn failed(failed: &Failed, request: &Request) -> Self {
        let mut error = failed.error();
        if !request.is_of_replica() {
            error.error_info = None;
        }
        let status = if failed.is_temporary() {
            StatusCode::SERVICE_UNAVAILABLE
        } else {
            StatusCode::INTERNAL_SERVER_ERROR
        };
        Self {
            status,
            error: Box::new(error),
            header: failed
                .is_temporary()
                .then_some((RETRY_AFTER, HeaderValue::from_static("1"))),
        }
    }

    pub(crate) fn into_response(self) -> Response {
        // AppSync's bodies of this kind hold no more.
        let mut error = json!({"errorType": self.error.error_type, "message": self.error.message});
        if let Some(info) = &self.error.error_info {
            error["errorInfo"] = info.clone();
        }
        let body = json!({"errors": [error]});
        let mut response = respond(self.status, Media::Json, body.to_string().into_bytes());
        let name = self.error.error_type.as_ref().map(ToString::to_string);
        if let Some(name) = name.and_then(|n| HeaderValue::from_str(&n).ok()) {
            response.headers_mut().insert(ERROR_TYPE_HEADER, name);
        }
        if let Some((header, value)) = self.header {
            response.headers_mut().insert(header, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_most_wanted_media_type_is_given() {
        let table = [
            (None, Some(Media::Json)),
            (Some(""), Some(Media::Json)),
            (Some("*/*"), Some(Media::Json)),
            (Some("application/json, text/plain, */*"), Some(Media::Json)),
            (Some("application/graphql-response+json"), Some(Media::GraphqlResponse)),
            (
                Some("application/graphql-response+json, application/json;q=0.9"),
                Some(Media::GraphqlResponse),
            ),
            (
                Some("application/graphql-response+json;q=0.5, application/json"),
                Some(Media::Json),
            ),
            (
                Some("application/graphql-response+json; charset=utf-8, application/json"),
                Some(Media::GraphqlResponse),
            ),
            (Some("application/json;q=0"), None),
            (Some("text/html"), None),
            (Some("text/html,application/xhtml+xml,*/*;q=0.8"), Some(Media::Json)),
        ];
        for (accept, expected) in table {
            let mut headers = HeaderMap::new();
            if let Some(accept) = accept {
                headers.insert(ACCEPT, HeaderValue::from_static(accept));
            }
            assert_eq!(Media::negotiate(&headers), expected, "{accept:?}");
        }
    }
}
