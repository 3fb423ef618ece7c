//! Several ways to one server, in the app's order: where the first is blocked, the next.
//!
//! A network between a phone and its server may let HTTPS through and no WebSocket, or one port and not another; and it
//! may say so (a refused connection, a proxy's 405) or swallow what is sent. [`Fallback`] finds the way that is open:
//!
//! - One call of [`Transport::open`] tries each way at most once, each within its share of [`limits::FALLBACK_OPEN_MAX`].
//!   What makes it go on to the next is said by [`is_blocked`]: a server that refuses the credential, or this client's
//!   messages, would do so by every way, and is asked by one.
//! - It begins with the way that worked last. A link that was opened and brought nothing counts against its way, so that
//!   the next call begins with another.
//! - The app's first choice is tried again beside a link by another way every [`limits::FALLBACK_RETURN_AFTER`]; once
//!   it carries a question and its answer the present link ends, and the next is by it. Each time that this link then brings
//!   nothing the time is twice as long, up to [`limits::FALLBACK_RETURN_MAX`]. A suspension ([`Transport::rest`]) begins anew.
//!
//! When to try again after all of them have failed is the caller's affair, as with any transport.

mod link;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use link::FallbackLink;
use tokio::time::Instant;
use tombolo_core::wire::graphql::Request;

use crate::{BoxFuture, CloseReason, Credential, Link, Transport, limits};

/// Close codes that say nothing: the connection ended without a word of the server's (RFC 6455 section 7.1.5).
const WORDLESS: [u16; 2] = [1005, 1006];

/// Whether another way may do better than the one that ended with this.
///
/// No way to the host, an HTTP status that is not about the credential (a proxy's), a handshake in another protocol, or
/// silence: yes. A credential or a message that the server itself refuses, and a server that says it is going: no.
#[must_use]
pub fn is_blocked(reason: &CloseReason) -> bool {
    match reason {
        CloseReason::Unreachable { .. }
        | CloseReason::Refused { .. }
        | CloseReason::Protocol { .. }
        | CloseReason::TimedOut { .. } => true,
        CloseReason::Closed { code } => WORDLESS.contains(code),
        CloseReason::Unauthorized { .. }
        | CloseReason::Incompatible { .. }
        | CloseReason::TooLarge { .. }
        | CloseReason::Local => false,
    }
}

/// When a way is given up; the defaults are those of [`crate::limits`].
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    /// For opening a link by any of the ways.
    pub open: Duration,
    /// Until the first choice is tried again, at first.
    pub return_after: Duration,
    /// Without an answer, until a link counts as a silent one.
    pub silent_after: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            open: limits::FALLBACK_OPEN_MAX,
            return_after: limits::FALLBACK_RETURN_AFTER,
            silent_after: limits::FALLBACK_SILENT_AFTER,
        }
    }
}

/// Tries several transports in the order in which they were given. See the [module](self).
///
/// ```
/// use tombolo_transport::{Endpoint, Fallback, Network};
///
/// // The WebSocket; where that is blocked, the same server by another port.
/// let ways = Fallback::new(Network::new(Endpoint::parse("https://api.example.com/graphql")?))
///     .or(Network::new(Endpoint::parse("https://api.example.com:8443/graphql")?));
/// # Ok::<(), tombolo_transport::BadEndpoint>(())
/// ```
pub struct Fallback {
    ways: Vec<Arc<dyn Transport>>,
    timing: Timing,
    memory: Shared,
}

impl Fallback {
    /// The first choice.
    #[must_use]
    pub fn new(first: impl Transport) -> Self {
        Self::of(Arc::new(first))
    }

    /// The same, of a transport that is shared already.
    #[must_use]
    pub fn of(first: Arc<dyn Transport>) -> Self {
        Self {
            ways: vec![first],
            timing: Timing::default(),
            memory: Shared::default(),
        }
    }

    /// Another way, tried after those before it.
    #[must_use]
    pub fn or(self, next: impl Transport) -> Self {
        self.or_shared(Arc::new(next))
    }

    /// The same, of a transport that is shared already.
    #[must_use]
    pub fn or_shared(mut self, next: Arc<dyn Transport>) -> Self {
        self.ways.push(next);
        self
    }

    /// The same, with other times.
    #[must_use]
    pub fn with_timing(mut self, timing: Timing) -> Self {
        self.timing = timing;
        self
    }

    /// The ways by their numbers: the one to begin with, then the others in the app's order.
    fn order(&self) -> Vec<usize> {
        let begin = self.memory.lock().begin(self.timing.return_after);
        let others = (0..self.ways.len()).filter(|way| *way != begin);
        std::iter::once(begin).chain(others).collect()
    }

    async fn link(&self, credential: &Credential) -> Result<Box<dyn Link>, CloseReason> {
        let until = Instant::now() + self.timing.open;
        let order = self.order();
        let mut told: Option<CloseReason> = None;
        for (at, way) in order.iter().copied().enumerate() {
            let left = until.saturating_duration_since(Instant::now());
            let share = left / u32::try_from(order.len() - at).unwrap_or(u32::MAX);
            let reason = match tokio::time::timeout(share, self.ways[way].open(credential)).await {
                Ok(Ok(link)) => {
                    let due = self.memory.lock().works(way, self.timing.return_after);
                    return Ok(Box::new(FallbackLink::new(link, self.route(way, credential), due)));
                }
                Ok(Err(reason)) if !is_blocked(&reason) => return Err(reason),
                Ok(Err(reason)) => reason,
                Err(_) => CloseReason::TimedOut { what: "connecting" },
            };
            tracing::debug!(way, %reason, "no link by this way");
            // At once, so that a call which is given up midway is gone on with by the next one.
            let next = order.get(at + 1).copied().unwrap_or_default();
            self.memory.lock().failed(way, next);
            // What became of the first choice says most about the network.
            if told.is_none() || way == 0 {
                told = Some(reason);
            }
        }
        Err(told.unwrap_or(CloseReason::TimedOut { what: "connecting" }))
    }

    fn route(&self, way: usize, credential: &Credential) -> link::Route {
        link::Route {
            way,
            next: (way + 1) % self.ways.len(),
            transport: Arc::clone(&self.ways[way]),
            first: Arc::clone(&self.ways[0]),
            first_max: self.timing.open / u32::try_from(self.ways.len()).unwrap_or(u32::MAX),
            credential: credential.clone(),
            timing: self.timing,
            memory: self.memory.clone(),
        }
    }

    async fn answer(&self, credential: &Credential, request: Request) -> Result<Vec<u8>, CloseReason> {
        let again = is_repeatable(&request);
        let mut told: Option<CloseReason> = None;
        for way in self.order() {
            match self.ways[way].request(credential, request.clone()).await {
                Ok(answer) => return Ok(answer),
                // A line that is slow by one way is slow by the others.
                Err(reason @ CloseReason::TimedOut { .. }) => return Err(told.unwrap_or(reason)),
                Err(reason) if again && is_blocked(&reason) => drop(told.get_or_insert(reason)),
                Err(reason) => return Err(reason),
            }
        }
        Err(told.unwrap_or(CloseReason::TimedOut { what: "connecting" }))
    }
}

/// Whether sending it twice has one effect: what is no mutation, and a mutation with its replica's number. What the first
/// way did not answer it may still have carried.
fn is_repeatable(request: &Request) -> bool {
    let numbered = || {
        let ours = request.extensions.as_ref().and_then(|all| all.get("tombolo"));
        ours.and_then(|ours| ours.get("number")).is_some()
    };
    !request.query.contains("mutation") || numbered()
}

impl Transport for Fallback {
    fn open<'a>(&'a self, credential: &'a Credential) -> BoxFuture<'a, Result<Box<dyn Link>, CloseReason>> {
        Box::pin(self.link(credential))
    }

    /// By the way that worked last, and by the others in turn where that is blocked. A mutation without its replica's number
    /// goes by one way alone: sent by two it could take effect twice.
    fn request<'a>(
        &'a self,
        credential: &'a Credential,
        request: Request,
    ) -> BoxFuture<'a, Result<Vec<u8>, CloseReason>> {
        Box::pin(self.answer(credential, request))
    }

    fn rest(&self) {
        // The app may wake up in another network.
        *self.memory.lock() = Memory::default();
        self.ways.iter().for_each(|way| way.rest());
    }

    fn received(&self) -> u64 {
        self.ways.iter().map(|way| way.received()).sum()
    }
}

impl std::fmt::Debug for Fallback {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Fallback({} ways)", self.ways.len())
    }
}

/// What is known of the ways, shared with the links.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Memory>>);

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Memory> {
        // Nothing in it can be left half done by a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Default)]
struct Memory {
    /// The way to begin with.
    begin: usize,
    /// When the first choice was last found blocked; `None` while it is not.
    blocked_at: Option<Instant>,
    /// Links by the present way, one after the other, that ended owing an answer though they had brought something.
    owing: u32,
    /// Links by the first choice, one after the other, that were opened and did not carry.
    deceived: u32,
}

impl Memory {
    /// When the first choice is to be tried again, from when it was found blocked.
    fn return_after(&self, first: Duration) -> Duration {
        let factor = 1_u32.checked_shl(self.deceived.saturating_sub(1)).unwrap_or(u32::MAX);
        first.saturating_mul(factor).min(limits::FALLBACK_RETURN_MAX.max(first))
    }

    fn begin(&mut self, return_after: Duration) -> usize {
        let due = self.blocked_at.map(|at| at + self.return_after(return_after));
        if due.is_some_and(|due| due <= Instant::now()) {
            (self.begin, self.blocked_at, self.owing) = (0, None, 0);
        }
        self.begin
    }

    fn failed(&mut self, way: usize, next: usize) {
        (self.begin, self.owing) = (next, 0);
        if way == 0 {
            self.blocked_at = Some(Instant::now());
        }
    }

    /// Gives the moment when the first choice is to be tried again.
    fn works(&mut self, way: usize, return_after: Duration) -> Option<Instant> {
        self.begin = way;
        if way == 0 {
            self.blocked_at = None;
            return None;
        }
        Some(*self.blocked_at.get_or_insert_with(Instant::now) + self.return_after(return_after))
    }
}
