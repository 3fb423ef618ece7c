//! `graphql-transport-ws` over a WebSocket: all operations on one socket.
//!
//! Source: the protocol text of the npm package `graphql-ws`, "GraphQL over WebSocket Protocol"; RFC 6455.
//!
//! A link is one object that its owner drives by awaiting [`Link::receive`]: that sends what waits, answers pings, sends
//! pings of its own when it is quiet, and gives the next message. There is no task behind it, so dropping it ends
//! everything.

mod link;

use std::sync::{Arc, OnceLock};

use link::SocketLink;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::http::header::SEC_WEBSOCKET_PROTOCOL;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tombolo_core::wire::graphql::Request;
use tombolo_core::wire::ws::SUBPROTOCOL;

use crate::counted::{Counted, Received};
use crate::frame;
use crate::{
    BoxFuture, CloseReason, Credential, Endpoint, Incoming, Link, OperationId, Outgoing, Transport, limits, tls,
};

/// WebSocket links to one [`Endpoint`].
#[derive(Debug)]
pub struct WebSocket {
    endpoint: Endpoint,
    tls: OnceLock<Arc<rustls::ClientConfig>>,
    timing: Timing,
    received: Received,
}

/// When a link pings and when it gives up; the defaults are those of [`crate::limits`].
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// To connect and finish the handshakes.
    pub connect: std::time::Duration,
    /// From `connection_init` to `connection_ack`.
    pub ack: std::time::Duration,
    /// Quiet time before a ping.
    pub ping_after: std::time::Duration,
    /// Quiet time before the link is given up.
    pub silent_after: std::time::Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            connect: limits::CONNECT_TIMEOUT,
            ack: limits::ACK_TIMEOUT,
            ping_after: limits::KEEP_ALIVE_INTERVAL,
            silent_after: limits::KEEP_ALIVE_TIMEOUT,
        }
    }
}

/// Reads one text message of a server as a link does; `None` for what a link keeps to itself. For tests that have bytes
/// and no socket.
///
/// # Errors
/// A message that closes the link.
#[doc(hidden)]
pub fn read_message(text: &str) -> Result<Option<Incoming>, CloseReason> {
    match frame::read(text)? {
        frame::Frame::Message(message) => Ok(Some(message)),
        frame::Frame::Ack | frame::Frame::Ping | frame::Frame::Pong => Ok(None),
    }
}

/// What a link runs over.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl WebSocket {
    /// A way to `endpoint`. Nothing is connected yet.
    #[must_use]
    pub fn new(endpoint: Endpoint) -> Self {
        Self {
            endpoint,
            tls: OnceLock::new(),
            timing: Timing::default(),
            received: Received::default(),
        }
    }

    /// The same, with TLS settings of the caller's own.
    #[must_use]
    pub fn with_tls(mut self, tls: Arc<rustls::ClientConfig>) -> Self {
        self.tls = OnceLock::from(tls);
        self
    }

    /// The same, with other timeouts.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    async fn connect(&self, credential: &Credential) -> Result<SocketLink, CloseReason> {
        let received = Received::default();
        let handshake = async {
            let stream = self.stream(received.clone()).await?;
            self.upgrade(stream, credential).await
        };
        let socket = tokio::time::timeout(self.timing.connect, handshake)
            .await
            .map_err(|_| CloseReason::TimedOut { what: "connecting" })??;
        let mut link = SocketLink::new(socket, self.timing, received);
        tokio::time::timeout(self.timing.ack, link.initialise(credential.init_payload()))
            .await
            .map_err(|_| CloseReason::TimedOut { what: "connection_ack" })??;
        Ok(link)
    }

    async fn stream(&self, received: Received) -> Result<Box<dyn Stream>, CloseReason> {
        let (host, port) = self.endpoint.host_and_port();
        let tcp = TcpStream::connect((host.as_str(), port))
            .await
            .map_err(CloseReason::unreachable)?;
        // Mutations are small and latency is what people feel.
        tcp.set_nodelay(true).map_err(CloseReason::unreachable)?;
        let tcp = Counted::new(tcp, [received, self.received.clone()]);
        if !self.endpoint.is_encrypted() {
            return Ok(Box::new(tcp));
        }
        let config = match self.tls.get() {
            Some(config) => Arc::clone(config),
            None => {
                let config = tls::client(true).map_err(CloseReason::unreachable)?;
                Arc::clone(self.tls.get_or_init(|| config))
            }
        };
        let name = rustls::pki_types::ServerName::try_from(host).map_err(CloseReason::unreachable)?;
        let stream = tokio_rustls::TlsConnector::from(config)
            .connect(name, tcp)
            .await
            .map_err(CloseReason::unreachable)?;
        Ok(Box::new(stream))
    }

    async fn upgrade(&self, stream: Box<dyn Stream>, credential: &Credential) -> Result<link::Socket, CloseReason> {
        let mut request = self
            .endpoint
            .ws()
            .into_client_request()
            .map_err(|e| CloseReason::protocol(e.to_string()))?;
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        if let Some((name, value)) = credential.header() {
            let mut value = HeaderValue::from_str(value).map_err(|_| CloseReason::Unauthorized { code: 401 })?;
            value.set_sensitive(true);
            request.headers_mut().insert(name, value);
        }
        let config = WebSocketConfig::default()
            .read_buffer_size(limits::SOCKET_BUFFER_BYTES)
            .write_buffer_size(limits::SOCKET_BUFFER_BYTES)
            .max_write_buffer_size(limits::WRITE_BUFFER_BYTES_MAX)
            .max_message_size(Some(limits::MESSAGE_BYTES_MAX))
            .max_frame_size(Some(limits::FRAME_BYTES_MAX));
        let (socket, response) = tokio_tungstenite::client_async_with_config(request, stream, Some(config))
            .await
            .map_err(link::reason)?;
        let chosen = response
            .headers()
            .get(SEC_WEBSOCKET_PROTOCOL)
            .and_then(|v| v.to_str().ok());
        if chosen != Some(SUBPROTOCOL) {
            return Err(CloseReason::protocol("the server does not speak graphql-transport-ws"));
        }
        Ok(socket)
    }

    async fn once(&self, credential: &Credential, request: Request) -> Result<Vec<u8>, CloseReason> {
        let mut link = self.connect(credential).await?;
        let id = OperationId(1);
        link.send(Outgoing::Start { id, request })
            .map_err(|e| CloseReason::protocol(e.to_string()))?;
        let answer = match link.receive().await {
            Incoming::Next { payload, .. } => Ok(payload),
            Incoming::Failed { errors, .. } => {
                serde_json::to_vec(&serde_json::json!({ "data": null, "errors": errors }))
                    .map_err(|e| CloseReason::protocol(e.to_string()))
            }
            Incoming::Complete { .. } => Err(CloseReason::protocol("complete without an answer")),
            Incoming::Closed(reason) => Err(reason),
        };
        link.close().await;
        answer
    }
}

impl Transport for WebSocket {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        Box::pin(async { Ok(Box::new(self.connect(credential).await?) as Box<dyn Link>) })
    }

    /// Opens a socket for this one request.
    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        Box::pin(self.once(credential, request))
    }

    fn received(&self) -> u64 {
        self.received.total()
    }
}
