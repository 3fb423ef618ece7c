//! One request, one answer, over HTTP: `POST` of the GraphQL request as JSON, gzip on the way back.

use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use tombolo_core::wire::graphql::Request;

use crate::counted::Received;
use crate::{BoxFuture, CloseReason, Credential, Endpoint, Link, Transport, limits, tls};

/// HTTP requests to one [`Endpoint`]. Connections are kept between requests; redirects are not followed, since the
/// credential would follow them.
#[derive(Debug)]
pub struct Http {
    endpoint: Endpoint,
    tls: Option<Arc<rustls::ClientConfig>>,
    /// With the connections that it keeps.
    client: Mutex<Option<reqwest::Client>>,
    received: Received,
}

impl Http {
    /// A way to `endpoint`. Nothing is connected yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tls: None,
            client: Mutex::default(),
            received: Received::default(),
        }
    }

    /// The same, with TLS settings of the caller's own.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<rustls::ClientConfig>) -> Self {
        self.tls = Some(tls);
        self
    }

    fn client(&self) -> Result<reqwest::Client, CloseReason> {
        let mut kept = self.client.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = &*kept {
            return Ok(client.clone());
        }
        let config = match &self.tls {
            Some(config) => Arc::clone(config),
            None => tls::client(self.endpoint.is_encrypted()).map_err(CloseReason::unreachable)?,
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured((*config).clone())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(limits::CONNECT_TIMEOUT)
            .read_timeout(limits::ANSWER_SILENCE_MAX)
            .timeout(limits::REQUEST_TIMEOUT)
            .user_agent(concat!("tombolo/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| CloseReason::unreachable(words(&e)))?;
        Ok(kept.insert(client).clone())
    }

    async fn post(&self, credential: &Credential, request: Request) -> Result<Vec<u8>, CloseReason> {
        let body = serde_json::to_vec(&request).map_err(|e| CloseReason::protocol(e.to_string()))?;
        let mut builder = self
            .client()?
            .post(self.endpoint.http_url())
            .header(CONTENT_TYPE, "application/json")
            .header(ACCEPT, "application/graphql-response+json, application/json;q=0.9")
            .body(body);
        if let Some((name, value)) = credential.header() {
            let mut value = HeaderValue::from_str(value).map_err(|_| CloseReason::Unauthorized { code: 401 })?;
            value.set_sensitive(true);
            builder = builder.header(name, value);
        }
        let mut answer = builder.send().await.map_err(|e| reason(&e))?;
        let status = answer.status().as_u16();
        let limit_bytes = if status == 200 {
            limits::ANSWER_BYTES_MAX
        } else {
            limits::REFUSAL_BYTES_MAX
        };
        let mut bytes = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(|e| reason(&e))? {
            if bytes.len() + chunk.len() > limit_bytes {
                return Err(if status == 200 {
                    CloseReason::TooLarge { limit_bytes }
                } else {
                    CloseReason::of_status(status)
                });
            }
            self.received.add(chunk.len());
            bytes.extend_from_slice(&chunk);
        }
        match status {
            200 => Ok(bytes),
            // A server may give a GraphQL answer with a status of its own (400 for a request that cannot be read); the
            // answer says more than the status. Not so where the status is about the credential or the server.
            400 | 405 | 413 | 415 | 422 if is_response(&bytes) => Ok(bytes),
            _ => Err(CloseReason::of_status(status)),
        }
    }
}

impl Transport for Http {
    /// Always refuses: plain HTTP holds no link.
    fn open<'a>(&'a self, _credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        Box::pin(std::future::ready(Err(CloseReason::protocol(
            "plain HTTP holds no link",
        ))))
    }

    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        Box::pin(self.post(credential, request))
    }

    fn rest(&self) {
        *self.client.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn received(&self) -> u64 {
        self.received.total()
    }
}

/// Whether the bytes are a GraphQL response object.
fn is_response(bytes: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Response {
        #[serde(rename = "data")]
        _data: Option<serde::de::IgnoredAny>,
        errors: Option<Vec<serde::de::IgnoredAny>>,
    }
    serde_json::from_slice::<Response>(bytes).is_ok_and(|r| r.errors.is_some_and(|e| !e.is_empty()))
}

fn reason(error: &reqwest::Error) -> CloseReason {
    if error.is_timeout() {
        CloseReason::TimedOut {
            what: "the answer to an HTTP request",
        }
    } else if error.is_decode() {
        CloseReason::protocol(words(error))
    } else {
        CloseReason::unreachable(words(error))
    }
}

/// The error and its causes in one line; reqwest's own text names only the outermost.
fn words(error: &reqwest::Error) -> String {
    let mut text = String::new();
    let mut cause: Option<&dyn std::error::Error> = Some(error);
    while let Some(error) = cause {
        let words = error.to_string();
        if !text.ends_with(&words) {
            if !text.is_empty() {
                text.push_str(": ");
            }
            text.push_str(&words);
        }
        cause = error.source();
    }
    text
}
