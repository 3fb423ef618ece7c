//! A server's address, and the two URLs that follow from it.

use reqwest::Url;

/// Where a server's GraphQL stands. The user gives one URL, `http(s)://host/graphql`; the socket's is derived from it
/// (`ws` for `http`, `wss` for `https`, all else equal). `ws` and `wss` URLs are taken too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    http: Url,
    ws: Url,
}

/// An address that cannot be a server's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is not a server's address: {problem} (write it as http://host:4000/graphql or https://host/graphql)")]
pub struct BadEndpoint {
    /// What was given, without user name and password.
    pub url: String,
    /// What is wrong with it.
    pub problem: String,
}

impl Endpoint {
    /// Reads an address.
    ///
    /// # Errors
    /// [`BadEndpoint`] says what is wrong with it and how to write one.
    pub fn parse(url: &str) -> Result<Self, BadEndpoint> {
        let bad = |problem: String| BadEndpoint {
            url: without_user(url),
            problem,
        };
        let parsed = Url::parse(url.trim()).map_err(|e| bad(e.to_string()))?;
        let (plain, http_scheme, ws_scheme) = match parsed.scheme() {
            "http" | "ws" => (true, "http", "ws"),
            "https" | "wss" => (false, "https", "wss"),
            other => return Err(bad(format!("`{other}` is not http, https, ws or wss"))),
        };
        if !parsed.username().is_empty() || parsed.password().is_some() {
            return Err(bad(
                "a user name in it would end up in logs; pass the credential on its own".into(),
            ));
        }
        if parsed.host_str().is_none_or(str::is_empty) {
            return Err(bad("it names no host".into()));
        }
        let mut http = parsed;
        http.set_fragment(None);
        let mut ws = http.clone();
        // Both pairs are "special" schemes with equal default ports, so the change cannot fail.
        if http.set_scheme(http_scheme).is_err() || ws.set_scheme(ws_scheme).is_err() {
            return Err(bad("its scheme cannot be changed".into()));
        }
        debug_assert_eq!(plain, ws.scheme() == "ws");
        Ok(Self { http, ws })
    }

    /// The URL of HTTP requests.
    #[must_use]
    pub fn http(&self) -> &str {
        self.http.as_str()
    }

    /// The URL of the socket.
    #[must_use]
    pub fn ws(&self) -> &str {
        self.ws.as_str()
    }

    /// Whether the connection is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        self.http.scheme() == "https"
    }

    /// Host as a resolver takes it (IPv6 without brackets), and port.
    pub(crate) fn host_and_port(&self) -> (String, u16) {
        let host = self.http.host_str().unwrap_or_default();
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        (
            host.to_owned(),
            self.http
                .port_or_known_default()
                .unwrap_or(if self.is_encrypted() { 443 } else { 80 }),
        )
    }

    pub(crate) fn http_url(&self) -> Url {
        self.http.clone()
    }
}

impl std::fmt::Display for Endpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.http())
    }
}

pub(crate) fn without_user(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => format!("{}://…{}", &url[..scheme], &url[at..]),
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_socket_follows_from_the_address() {
        for (given, http, ws) in [
            (
                "http://127.0.0.1:4000/graphql",
                "http://127.0.0.1:4000/graphql",
                "ws://127.0.0.1:4000/graphql",
            ),
            (
                "https://api.example.com/graphql",
                "https://api.example.com/graphql",
                "wss://api.example.com/graphql",
            ),
            (
                "wss://api.example.com/graphql",
                "https://api.example.com/graphql",
                "wss://api.example.com/graphql",
            ),
            (
                "http://[::1]:4000/graphql#x",
                "http://[::1]:4000/graphql",
                "ws://[::1]:4000/graphql",
            ),
        ] {
            let endpoint = Endpoint::parse(given).unwrap();
            assert_eq!((endpoint.http(), endpoint.ws()), (http, ws));
        }
        assert_eq!(
            Endpoint::parse("http://[::1]:4000/").unwrap().host_and_port(),
            ("::1".into(), 4000)
        );
        assert_eq!(
            Endpoint::parse("https://a/").unwrap().host_and_port(),
            ("a".into(), 443)
        );
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for given in ["", "127.0.0.1:4000", "ftp://a/b", "http://", "mailto:a@b"] {
            assert!(Endpoint::parse(given).is_err(), "{given}");
        }
        let error = Endpoint::parse("http://me:hunter2@host/graphql")
            .unwrap_err()
            .to_string();
        assert!(!error.contains("hunter2"), "{error}");
    }
}
