//! What a server refuses to be asked, and how often: `[guards]`.

use axum::http::HeaderValue;
use tombolo_core::limits::{DOCUMENT_DEPTH_MAX, RESOLVERS_MAX, ROOT_FIELDS_MAX};
use tombolo_core::query::QueryLimits;
use tower_http::cors::AllowOrigin;

/// Deepest nesting that can be configured: AppSync's own highest.
pub const QUERY_DEPTH_CEILING: usize = 75;

/// Any origin.
const ANY: &str = "*";

/// The guards in force.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Guards {
    /// Whether `__schema` and `__type` are answered.
    pub introspection: bool,
    /// Deepest nesting of an operation, in levels; [`DOCUMENT_DEPTH_MAX`].
    pub query_depth_max: usize,
    /// Most reads that one operation may lead to; [`RESOLVERS_MAX`].
    pub resolvers_max: usize,
    /// Most root fields of one operation; [`ROOT_FIELDS_MAX`].
    pub root_fields_max: usize,
    /// Queries of one identity in a second over HTTP and sockets; 0: as many as it likes.
    pub reads_per_second: u32,
    /// Queries that it may ask at once.
    pub reads_burst: u32,
    /// WebSockets of one identity in a minute; 0: as many as it likes.
    pub connections_per_minute: u32,
    /// WebSockets that it may open at once.
    pub connections_burst: u32,
    /// Origins whose pages may call, `https://app.example`; `*` is any.
    pub cors_origins: Vec<String>,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            introspection: true,
            query_depth_max: DOCUMENT_DEPTH_MAX,
            resolvers_max: RESOLVERS_MAX,
            root_fields_max: ROOT_FIELDS_MAX,
            reads_per_second: 0,
            reads_burst: 100,
            connections_per_minute: 0,
            connections_burst: 20,
            cors_origins: vec![ANY.to_owned()],
        }
    }
}

impl Guards {
    /// What is wrong with them, by key.
    #[must_use]
    pub fn problems(&self) -> Vec<(&'static str, String)> {
        let mut problems = Vec::new();
        let counts = [
            ("query_depth_max", self.query_depth_max),
            ("resolvers_max", self.resolvers_max),
            ("root_fields_max", self.root_fields_max),
            ("reads_burst", self.reads_burst as usize),
            ("connections_burst", self.connections_burst as usize),
        ];
        for (key, _) in counts.into_iter().filter(|(_, count)| *count == 0) {
            problems.push((key, "is 0; leave it out for the default".to_owned()));
        }
        if self.query_depth_max > QUERY_DEPTH_CEILING {
            let message = format!("is {}; the most is {QUERY_DEPTH_CEILING}", self.query_depth_max);
            problems.push(("query_depth_max", message));
        }
        for origin in self.cors_origins.iter().filter(|origin| !is_origin(origin)) {
            let message = format!("{origin:?} is no origin; write https://app.example, without a path, or \"*\"");
            problems.push(("cors_origins", message));
        }
        problems
    }

    /// The limits of one operation under these guards.
    #[must_use]
    pub fn query_limits(&self) -> QueryLimits {
        QueryLimits {
            introspection: self.introspection,
            document_depth_max: self.query_depth_max,
            resolvers_max: self.resolvers_max,
            root_fields_max: self.root_fields_max,
            ..QueryLimits::default()
        }
    }

    /// Whose pages may call.
    pub(crate) fn origins(&self) -> AllowOrigin {
        if self.cors_origins.iter().any(|origin| origin == ANY) {
            return AllowOrigin::any();
        }
        let origins = self.cors_origins.iter().filter_map(|o| HeaderValue::from_str(o).ok());
        AllowOrigin::list(origins)
    }
}

/// Whether it is what a browser sends as `origin`, or any.
fn is_origin(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    let host = |rest: &str| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_graphic() && !"/?#*,".contains(c));
    text == ANY || rest.is_some_and(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_what_browsers_send() {
        for origin in ["*", "https://app.example", "http://localhost:5173", "http://[::1]:80"] {
            assert!(is_origin(origin), "{origin}");
        }
        for none in [
            "",
            "app.example",
            "https://",
            "https://app.example/",
            "https://*.example",
            "null",
        ] {
            assert!(!is_origin(none), "{none}");
        }
        assert_eq!(Guards::default().problems(), []);
    }
}
