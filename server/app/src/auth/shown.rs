//! What a caller shows.

use axum::http::HeaderMap;
use axum::http::request::Parts;

use super::API_KEY_HEADER;
use super::sigv4::ALGORITHM;

/// What a caller shows: headers, and the request that a signature would be of.
#[derive(Clone, Default)]
pub struct Shown {
    /// Names in lower case, values as they came, in order.
    headers: Vec<(String, String)>,
    /// What a signature would be of; `None` where there is no request, as in the first message of a socket.
    pub target: Option<Target>,
}

/// Headers and body hold secrets.
impl std::fmt::Debug for Shown {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<&str> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("Shown").field("headers", &names).finish_non_exhaustive()
    }
}

/// The request that a signature is of.
#[derive(Clone, Default)]
pub struct Target {
    /// `POST`, `GET`.
    pub method: String,
    /// The path as it stands in the request line.
    pub path: String,
    /// The query as it stands in the request line, without `?`.
    pub query: String,
    /// The body.
    pub body: Vec<u8>,
}

impl Target {
    /// A request's, without its body.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        Self {
            method: parts.method.to_string(),
            path: parts.uri.path().to_owned(),
            query: parts.uri.query().unwrap_or_default().to_owned(),
            body: Vec::new(),
        }
    }
}

impl Shown {
    /// What the headers of an HTTP request show. A value that is not visible ASCII is shown as an empty one.
    #[must_use]
    pub fn headers(headers: &HeaderMap) -> Self {
        let pair = |(name, value): (&axum::http::HeaderName, &axum::http::HeaderValue)| {
            (name.as_str().to_owned(), value.to_str().unwrap_or_default().to_owned())
        };
        Self {
            headers: headers.iter().map(pair).collect(),
            target: None,
        }
    }

    /// What an object of headers shows, as AppSync's real-time protocol and `connection_init` carry it. Members that are no
    /// texts are passed over.
    #[must_use]
    pub fn object(object: &serde_json::Map<String, serde_json::Value>) -> Self {
        let pair = |(name, value): (&String, &serde_json::Value)| {
            Some((name.to_ascii_lowercase(), value.as_str()?.to_owned()))
        };
        Self {
            headers: object.iter().filter_map(pair).collect(),
            target: None,
        }
    }

    /// The same, for a signature of this request.
    #[must_use]
    pub fn of(mut self, target: Target) -> Self {
        self.target = Some(target);
        self
    }

    /// The first header called `name` (in lower case).
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(of, _)| of == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// The value of the header called `name` (in lower case) as a signature takes it: all of its values with commas between, runs
    /// of spaces as one.
    #[must_use]
    pub fn whole_header(&self, name: &str) -> Option<String> {
        let tidy = |value: &str| {
            value
                .split(' ')
                .filter(|word| !word.is_empty())
                .collect::<Vec<_>>()
                .join(" ")
        };
        let values = self.headers.iter().filter(|(of, _)| of == name);
        let values: Vec<String> = values.map(|(_, value)| tidy(value)).collect();
        (!values.is_empty()).then(|| values.join(","))
    }

    /// Whether it shows any credential at all.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        self.header(API_KEY_HEADER).is_some() || self.header("authorization").is_some()
    }

    /// Whether it is a signature of the request, so that the request counts.
    #[must_use]
    pub fn is_signed(&self) -> bool {
        self.header("authorization")
            .is_some_and(|value| value.starts_with(ALGORITHM))
    }
}
