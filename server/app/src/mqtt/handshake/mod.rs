//! AppSync's older way to subscriptions, by a hand-shake: `aws-appsync` up to 3.0.1.
//!
//! A subscription is POSTed like a query. It is admitted and prepared like every other one, begins there and then, and is
//! answered with a URL to connect to by MQTT, a client id and a topic (`begin`). What the answer promises is a *ticket*
//! (`tickets`): the subscription, which keeps its place in the ring of recent changes and no bodies, under the digest of the
//! token in the URL. A connection that shows the token and the id takes the ticket, subscribes to the topic, and is told from
//! that place on (`session`): nothing between the answer and SUBACK is lost.
//!
//! Each hand-shake has a client id, a token and a topic of its own, and so a connection. The client opens one for each
//! anyway, under the id that it is given; an id that came twice would make it take its own place, and end what it had. As no
//! two share anything, there is nothing to keep apart by rules on topics.
//!
//! A token is good for one connection, for [`TICKET_HOLD`](crate::limits::TICKET_HOLD) or until its caller's credential ends.
//! So a URL that stands in somebody's log shows nothing, and cannot take the place of who was there first. Why it is so:
//! `docs/decisions/0024-a-hand-shake-leaves-a-ticket.md`.

mod begin;
mod session;
mod tickets;

pub(crate) use begin::{Refused, begin, is_asked};
pub(super) use session::serve;
pub use tickets::Tickets;
pub(super) use tickets::Token;

/// Tickets that wait for their connections, of all callers: as many as there may be connections by default. One holds a
/// subscription, some 7 kB.
pub const TICKETS_MAX: usize = 10_000;

/// The same of one identity: what an app that opens a hundred subscriptions on ten devices at once leaves for a moment, and a
/// tenth of all, so that nobody can take the others' places. All who show the same API key are one identity.
pub const TICKETS_PER_IDENTITY_MAX: usize = 1_000;
