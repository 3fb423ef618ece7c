//! Carries messages between a replica and its server: one trait, and behind it a WebSocket, MQTT, HTTP and an in-process
//! loopback.
//!
//! A transport never retries, never sleeps to try again and never queues without bound. When something is wrong it says
//! so once, with a [`CloseReason`] that a policy can branch on, and is done. Back-off, windows and resending are the
//! sync machine's. [`fallback`], which is made of others, tries each of them once.
//!
//! - [`websocket`]: `graphql-transport-ws`, every operation on one socket;
//! - `mqtt`, with the feature of that name: the same over MQTT;
//! - [`http`]: one request, one answer: catch-up pages, and everything where no socket gets through;
//! - [`Network`]: socket and HTTP together for one [`Endpoint`], which is what an app uses;
//! - [`fallback`]: several of these in the app's order, where one may be blocked;
//! - [`loopback`]: no network at all, for tests and examples;
//! - [`tls`]: the TLS settings of all of these.

mod close;
mod counted;
mod credential;
mod endpoint;
pub mod fallback;
mod frame;
pub mod http;
pub mod limits;
pub mod loopback;
#[cfg(feature = "mqtt")]
pub mod mqtt;
mod network;
pub mod tls;
pub mod websocket;

use std::future::Future;
use std::pin::Pin;

pub use close::{CloseReason, SendError};
pub use credential::Credential;
pub use endpoint::{BadEndpoint, Endpoint};
pub use fallback::Fallback;
pub use network::Network;
pub use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};

/// A boxed future that may move between threads.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A way to a server. Cheap to keep; holds no connection until [`Transport::open`].
pub trait Transport: Send + Sync + 'static {
    /// Opens a link: connects, presents the credential and waits until the server has accepted it. One attempt.
    ///
    /// # Errors
    /// The reason why there is no link. Only the caller decides whether and when to try again.
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>>;

    /// Sends one request outside any link and gives the bytes of its answer, a GraphQL response object. One attempt.
    ///
    /// # Errors
    /// The reason why there is no answer. A GraphQL error is an answer.
    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>>;

    /// Lets go of connections that are kept for later requests: the app is being suspended. Those in use are not touched.
    fn rest(&self) {}

    /// How many bytes have come so far, over all its links and requests, whole messages or not. For telling a slow line
    /// from a silent one; a transport that cannot say keeps to 0, and is judged by whole messages.
    fn received(&self) -> u64 {
        0
    }
}

/// An open link: operations out, their results in. Dropping it closes the connection at once.
pub trait Link: Send {
    /// Hands over a message. It goes out while [`Link::receive`] is awaited.
    ///
    /// # Errors
    /// [`SendError::Full`] when [`limits::OUTGOING_MESSAGES_MAX`] messages wait already: receive first, then send
    /// again. [`SendError::Closed`] when the link is over.
    fn send(&mut self, message: Outgoing) -> Result<(), SendError>;

    /// Sends what waits and gives the next message. After [`Incoming::Closed`] it gives that same reason for ever.
    ///
    /// Cancel safe: a future that is dropped before it is ready has lost nothing.
    fn receive(&mut self) -> BoxFuture<'_, Incoming>;

    /// Says goodbye to the server in the manner of the protocol and ends the link.
    fn close(&mut self) -> BoxFuture<'_, ()>;

    /// What the link goes by, in a stable word for the app's status: `websocket`, `mqtt`, `mqtts`, `mqtt-websocket`,
    /// `loopback`, `testing`; `custom` where an implementation says nothing else.
    fn transport(&self) -> &'static str {
        "custom"
    }
}

/// The caller's name for an operation, unique among the open operations of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OperationId(pub u64);

/// A message to the server.
#[derive(Clone, PartialEq)]
pub enum Outgoing {
    /// Starts an operation of any kind.
    Start {
        /// Its name.
        id: OperationId,
        /// The operation.
        request: Request,
    },
    /// Ends an operation; results already under way may still come.
    Stop {
        /// Its name.
        id: OperationId,
    },
}

impl std::fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Start { id, .. } => write!(f, "Start({})", id.0),
            Self::Stop { id } => write!(f, "Stop({})", id.0),
        }
    }
}

/// A message from the server, or the end of the link.
#[derive(Clone, PartialEq)]
pub enum Incoming {
    /// A result of an operation: a GraphQL response object, as the server wrote it.
    Next {
        /// Which operation.
        id: OperationId,
        /// The response object's JSON.
        payload: Vec<u8>,
    },
    /// The operation could not start; it is over.
    Failed {
        /// Which operation.
        id: OperationId,
        /// Why.
        errors: Vec<GraphqlError>,
    },
    /// The operation is over.
    Complete {
        /// Which operation.
        id: OperationId,
    },
    /// The link is over.
    Closed(CloseReason),
}

impl std::fmt::Debug for Incoming {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Next { id, payload } => write!(f, "Next({}, {} B)", id.0, payload.len()),
            Self::Failed { id, errors } => write!(f, "Failed({}, {} errors)", id.0, errors.len()),
            Self::Complete { id } => write!(f, "Complete({})", id.0),
            Self::Closed(reason) => write!(f, "Closed({reason:?})"),
        }
    }
}
