//! GraphQL over HTTP as the bulk commands need it: one client, typed answers, and failures told apart by what to do next.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tombolo::transport::tls;
use tombolo_core::wire::envelope::MutationAnswer;
use tombolo_core::wire::graphql::GraphqlError;

use super::output::Failure;
use crate::auth::API_KEY_HEADER;
use crate::outbound::{self, chain};

/// Longest wait for one answer. The server gives a page or a batch in well under a second; a minute allows for a slow
/// link and a busy disk, and still ends.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest wait for a connection.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Most bytes of a foreign answer that an error message quotes.
const QUOTE_BYTES_MAX: usize = 300;

/// Where the server is and who is asking; the same options on every command that talks to one.
#[derive(Debug, clap::Args)]
pub struct ServerArgs {
    /// The server's GraphQL URL, for example http://127.0.0.1:4000/graphql
    #[arg(long, value_name = "URL")]
    pub url: String,
    /// The API key
    #[arg(long, value_name = "KEY", env = "TOMBOLO_API_KEY", hide_env_values = true)]
    pub api_key: Option<String>,
    /// A user's token, instead of a key
    #[arg(
        long,
        value_name = "TOKEN",
        env = "TOMBOLO_TOKEN",
        hide_env_values = true,
        conflicts_with = "api_key"
    )]
    pub token: Option<String>,
    /// Trust the certificates in this file (PEM) and no others
    #[arg(long, value_name = "FILE", env = "TOMBOLO_CA")]
    pub ca: Option<PathBuf>,
}

/// One server.
#[derive(Clone)]
pub struct Remote {
    http: reqwest::Client,
    url: Url,
    /// Who is asking.
    credential: Option<(HeaderName, HeaderValue)>,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// A request that got no GraphQL answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// No connection, or it broke, or no answer in time. Whether the server acted is unknown: send it again.
    #[error("{0}")]
    Unreachable(String),
    /// The server is overloaded or failing (429, 5xx): send it again later.
    #[error("the server answered {status}: {message}")]
    Busy {
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// The credential was refused (401, 403).
    #[error(
        "the server refused the credential ({status}): {message}; give --api-key or --token, or TOMBOLO_API_KEY or TOMBOLO_TOKEN"
    )]
    Refused {
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// The request is wrong as it stands (other 4xx): sending it again changes nothing.
    #[error("the server answered {status}: {message}")]
    Invalid {
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// What came is no GraphQL answer.
    #[error("this is no GraphQL endpoint ({0}); the URL of a Tombolo server ends in /graphql")]
    NotGraphql(String),
}

impl RemoteError {
    /// Whether the same request may succeed later.
    #[must_use]
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable(_) | Self::Busy { .. })
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self::network(error.to_string())
    }
}

/// A GraphQL answer whose `data` is read as `D`.
#[derive(Debug, Deserialize)]
pub struct Reply<D> {
    /// `data`, if any.
    #[serde(default = "none")]
    pub data: Option<D>,
    /// `errors`; empty if absent.
    #[serde(default)]
    pub errors: Vec<GraphqlError>,
    /// `extensions`.
    #[serde(default)]
    pub extensions: Option<ReplyExtensions>,
}

fn none<D>() -> Option<D> {
    None
}

/// `extensions` of an answer.
#[derive(Debug, Default, Deserialize)]
pub struct ReplyExtensions {
    /// Outcomes of a mutation with an envelope.
    #[serde(default)]
    pub tombolo: Option<MutationAnswer>,
}

impl<D> Reply<D> {
    /// All error messages in one line.
    #[must_use]
    pub fn error_text(&self) -> String {
        self.errors
            .iter()
            .map(|e| e.message.as_str())
            .collect::<Vec<_>>()
            .join("; ")
    }
}

impl Remote {
    /// A client for the server at `url`. Opens nothing yet.
    ///
    /// # Errors
    /// The URL is no http(s) URL, the key holds characters that no header can carry, or there are no certificates.
    pub fn new(args: &ServerArgs) -> Result<Self, Failure> {
        let url = parse_url(&args.url)?;
        let given = [
            ("--api-key", HeaderName::from_static(API_KEY_HEADER), &args.api_key),
            ("--token", AUTHORIZATION, &args.token),
        ];
        let mut credential = None;
        for (option, header, text) in given {
            let Some(text) = text else { continue };
            let mut value = HeaderValue::from_str(text)
                .map_err(|_| Failure::usage(format!("{option} holds characters that an HTTP header cannot carry")))?;
            value.set_sensitive(true);
            credential = Some((header, value));
        }
        let http = outbound::client(tls(url.scheme() == "https", args.ca.as_deref())?)
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(REQUEST_TIMEOUT)
            .build()
            .map_err(|e| Failure::network(format!("no HTTP client: {}", chain(&e))))?;
        Ok(Self { http, url, credential })
    }

    /// The URL, without a user and password if it had some.
    #[must_use]
    pub fn url(&self) -> &str {
        self.url.as_str()
    }

    /// Posts a request's JSON and reads the answer.
    ///
    /// # Errors
    /// There is no GraphQL answer; [`RemoteError`] says what that means.
    pub async fn post<D: DeserializeOwned>(&self, body: impl Into<reqwest::Body>) -> Result<Reply<D>, RemoteError> {
        let mut request = self
            .http
            .post(self.url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .body(body);
        if let Some((header, value)) = &self.credential {
            request = request.header(header.clone(), value.clone());
        }
        let response = request
            .send()
            .await
            .map_err(|e| RemoteError::Unreachable(format!("{}: {}", self.url, chain(&e.without_url()))))?;
        let status = response.status();
        let bytes = response
            .bytes()
            .await
            .map_err(|e| RemoteError::Unreachable(chain(&e.without_url())))?;
        if status.is_success() {
            return serde_json::from_slice(&bytes).map_err(|e| RemoteError::NotGraphql(e.to_string()));
        }
        let (code, message) = (status.as_u16(), quote(&bytes));
        Err(match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => RemoteError::Refused { status: code, message },
            StatusCode::TOO_MANY_REQUESTS | StatusCode::REQUEST_TIMEOUT => RemoteError::Busy { status: code, message },
            _ if status.is_server_error() => RemoteError::Busy { status: code, message },
            StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => {
                RemoteError::NotGraphql(format!("it answered {code}"))
            }
            _ if status.is_redirection() => RemoteError::NotGraphql(format!("it redirects, {code}")),
            _ => RemoteError::Invalid { status: code, message },
        })
    }
}

/// Checks a server's URL: http or https, with a host.
///
/// # Errors
/// It is none.
pub fn parse_url(text: &str) -> Result<Url, Failure> {
    outbound::web_url(text).map_err(|problem| Failure::usage(format!("--url `{text}`: {problem}")))
}

/// What a server said that did not answer: the messages of its GraphQL errors, or the beginning of the text.
fn quote(bytes: &[u8]) -> String {
    if let Ok(reply) = serde_json::from_slice::<Reply<serde_json::Value>>(bytes)
        && !reply.errors.is_empty()
    {
        return reply.error_text();
    }
    let cut = bytes.get(..QUOTE_BYTES_MAX).unwrap_or(bytes);
    String::from_utf8_lossy(cut).trim().to_owned()
}

/// The SDK's TLS settings. Without TLS in the URL no certificates are looked for; with a file of certificates none but those
/// are trusted.
pub(crate) fn tls(https: bool, ca: Option<&Path>) -> Result<tls::ClientConfig, Failure> {
    let settings = match ca.filter(|_| https) {
        None => tls::client(https).map_err(|e| Failure::network(format!("no TLS: {e}")))?,
        Some(file) => {
            let pem = std::fs::read(file).map_err(|e| Failure::file(file, e))?;
            tls::client_trusting(&pem).map_err(|e| Failure::file(file, e))?
        }
    };
    Ok(Arc::unwrap_or_clone(settings))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_quoted_by_its_messages() {
        assert_eq!(
            quote(br#"{"errors":[{"errorType":"UnauthorizedException","message":"no"}]}"#),
            "no"
        );
        assert_eq!(quote(b"<html>"), "<html>");
    }
}
