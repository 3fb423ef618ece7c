//! Asking others over HTTP, with bounds: issuers for their keys, the authorizer function and the conflict resolver for their
//! answers. And what the configuration says of each of them: an address, a secret, a header.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{ClientBuilder, RequestBuilder, StatusCode, Url};
use serde::{Deserialize, Serialize};
use tombolo::transport::tls;

/// A text that is never printed.
#[derive(Clone, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("(redacted)")
    }
}

impl Serialize for Secret {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str("(redacted)")
    }
}

/// The address of something that is asked over HTTP; what is wrong with `text` if it is none.
pub(crate) fn web_url(text: &str) -> Result<Url, String> {
    match Url::parse(text) {
        Ok(url) if matches!(url.scheme(), "http" | "https") && url.host_str().is_some() => Ok(url),
        Ok(_) => Err("it is no http:// or https:// URL".to_owned()),
        Err(error) => Err(format!("it is no http:// or https:// URL: {error}")),
    }
}

/// A header written `Name: value`, whose value is never printed.
pub(crate) fn read_header(text: &str) -> Option<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':')?;
    let mut value = HeaderValue::from_str(value.trim()).ok()?;
    value.set_sensitive(true);
    Some((HeaderName::from_bytes(name.trim().as_bytes()).ok()?, value))
}

/// An error and its causes, the way people read them.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

/// What every HTTP client of ours begins with. Follows no redirect: what answers is what was named.
pub(crate) fn client(tls: tls::ClientConfig) -> ClientBuilder {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent(concat!("tombolo/", env!("CARGO_PKG_VERSION")))
        .tcp_nodelay(true)
}

/// Asks others.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher(reqwest::Client);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotFetched {
    /// Not reached, or not in time.
    #[error("no answer: {0}")]
    Unreachable(String),
    /// It answered something else than 200.
    #[error("it answered {0}")]
    Status(u16),
    /// An answer without an end.
    #[error("its answer has more than {0} bytes")]
    TooLong(usize),
}

impl Fetcher {
    /// One that also asks over TLS if `https`; says why there can be none.
    pub(crate) fn new(https: bool) -> Result<Self, String> {
        let tls = tls::client(https).map_err(|error| format!("no TLS: {error}"))?;
        let client = client(std::sync::Arc::unwrap_or_clone(tls)).build();
        client.map(Self).map_err(|error| chain(&error))
    }

    pub(crate) async fn get(&self, url: &Url, timeout: Duration, bytes_max: usize) -> Result<Vec<u8>, NotFetched> {
        answer(self.0.get(url.clone()).timeout(timeout), bytes_max).await
    }

    pub(crate) async fn post(
        &self,
        url: &Url,
        header: Option<&(HeaderName, HeaderValue)>,
        body: String,
        timeout: Duration,
        bytes_max: usize,
    ) -> Result<Vec<u8>, NotFetched> {
        let mut request = self
            .0
            .post(url.clone())
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .timeout(timeout)
            .body(body);
        if let Some((name, value)) = header {
            request = request.header(name.clone(), value.clone());
        }
        answer(request, bytes_max).await
    }
}

async fn answer(request: RequestBuilder, bytes_max: usize) -> Result<Vec<u8>, NotFetched> {
    let unreachable = |error: reqwest::Error| NotFetched::Unreachable(chain(&error.without_url()));
    let mut response = request.send().await.map_err(unreachable)?;
    if response.status() != StatusCode::OK {
        return Err(NotFetched::Status(response.status().as_u16()));
    }
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if bytes.len() + chunk.len() > bytes_max {
            return Err(NotFetched::TooLong(bytes_max));
        }
        bytes.extend_from_slice(&chunk);
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_web_urls() {
        for bad in ["", "localhost:8080", "ftp://x/graphql", "/graphql", "http://"] {
            assert!(web_url(bad).is_err(), "{bad}");
        }
        assert!(web_url("http://127.0.0.1:8080/graphql").is_ok());
    }

    #[test]
    fn a_headers_value_is_never_printed() {
        let (name, value) = read_header("X-Key: s3cret ").unwrap();
        assert_eq!((name.as_str(), value.as_bytes()), ("x-key", &b"s3cret"[..]));
        assert!(!format!("{value:?}").contains("s3cret"));
        assert_eq!(read_header("s3cret"), None);
    }
}
