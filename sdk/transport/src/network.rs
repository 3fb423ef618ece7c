//! The transport of an app: the socket for what is live, HTTP for the rest, one address.

use tombolo_core::wire::graphql::Request;

use crate::http::Http;
use crate::websocket::WebSocket;
use crate::{BoxFuture, CloseReason, Credential, Endpoint, Link, Transport};

/// WebSocket links and HTTP requests to one [`Endpoint`].
#[derive(Debug)]
pub struct Network {
    socket: WebSocket,
    http: Http,
}

impl Network {
    /// A way to `endpoint`. Nothing is connected yet, and nothing can fail yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            socket: WebSocket::new(endpoint.clone()),
            http: Http::new(endpoint),
        }
    }

    /// The same, with TLS settings of the caller's own (a private certificate authority, for example).
    #[must_use]
    pub fn with_tls(endpoint: Endpoint, tls: std::sync::Arc<rustls::ClientConfig>) -> Self {
        Self {
            socket: WebSocket::new(endpoint.clone()).with_tls(std::sync::Arc::clone(&tls)),
            http: Http::new(endpoint).with_tls(tls),
        }
    }
}

impl Transport for Network {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        self.socket.open(credential)
    }

    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        self.http.request(credential, request)
    }

    fn rest(&self) {
        self.http.rest();
    }

    fn received(&self) -> u64 {
        self.socket.received() + self.http.received()
    }
}
