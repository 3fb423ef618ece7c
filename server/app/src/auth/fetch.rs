//! Asking others over HTTP, with bounds: issuers for their keys, the authorizer function for its answer.

use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use reqwest::{RequestBuilder, StatusCode, Url};

use super::AuthError;
use crate::cli::remote;

/// Asks others. Follows no redirect: what answers is what was configured.
#[derive(Clone, Debug)]
pub(crate) struct Fetcher(reqwest::Client);

/// Why there is no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotFetched {
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
    pub(crate) fn new(https: bool) -> Result<Self, AuthError> {
        let tls = remote::tls(https, None).map_err(|failure| AuthError::Client(failure.message))?;
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls)
            .redirect(reqwest::redirect::Policy::none())
            .user_agent(concat!("tombolo/", env!("CARGO_PKG_VERSION")))
            .tcp_nodelay(true)
            .build()
            .map_err(|error| AuthError::Client(error.to_string()))?;
        Ok(Self(client))
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
    let unreachable = |error: reqwest::Error| NotFetched::Unreachable(remote::chain(&error.without_url()));
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
