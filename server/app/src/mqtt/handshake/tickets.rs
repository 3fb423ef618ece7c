//! What hand-shakes leave behind until their clients connect: bounded in number and time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use ring::rand::{SecureRandom as _, SystemRandom};
use sha2::{Digest as _, Sha256};
use tokio::sync::Notify;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tombolo_engine::Subscriber;

use super::{TICKETS_MAX, TICKETS_PER_IDENTITY_MAX};

/// Random bytes of a token, from the operating system.
const TOKEN_BYTES: usize = 32;

/// The member of the URL's query that carries a token.
const PARAMETER: &str = "token";

/// What a URL shows: whoever has it may take the ticket.
#[derive(Clone, PartialEq, Eq)]
pub(in crate::mqtt) struct Token(String);

/// It is a secret.
impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Token")
    }
}

impl Token {
    /// A new one; `None` if the system has no random bytes.
    pub(super) fn make() -> Option<Self> {
        let mut bytes = [0; TOKEN_BYTES];
        SystemRandom::new().fill(&mut bytes).ok()?;
        Some(Self(BASE64_URL_SAFE_NO_PAD.encode(bytes)))
    }

    /// That of a URL's query, if it has one: then the connection is that of a hand-shake, whatever the token is worth.
    pub(in crate::mqtt) fn of(query: Option<&str>) -> Option<Self> {
        let mut pairs = query?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
        let (_, token) = pairs.find(|(name, _)| *name == PARAMETER)?;
        Some(Self(token.to_owned()))
    }

    /// As it stands in a URL's query.
    pub(super) fn parameter(&self) -> String {
        format!("{PARAMETER}={}", self.0)
    }

    /// Under which it is kept: looking it up tells nothing of others that are nearly it.
    fn digest(&self) -> Digest {
        Sha256::digest(self.0.as_bytes()).into()
    }
}

type Digest = [u8; 32];

/// A subscription that waits for its client.
#[derive(Debug)]
pub(super) struct Ticket {
    /// The id under which the client is to connect.
    pub(super) client_id: String,
    /// The topic to which it is to subscribe.
    pub(super) topic: String,
    pub(super) subscriber: Subscriber,
    /// Called when the subscription may have something.
    pub(super) wake: Arc<Notify>,
    /// From then on the credential of who asked for it is refused.
    pub(super) expires: Option<Timestamp>,
}

/// Why there is no place for another ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Full {
    /// The identity has too many.
    Identity,
    /// All together have.
    All,
}

/// The tickets that wait. Of their tokens only digests are kept.
pub struct Tickets {
    state: Mutex<State>,
    all_max: usize,
    identity_max: usize,
    hold: Duration,
}

#[derive(Default)]
struct State {
    waiting: HashMap<Digest, Waiting>,
    of_identity: HashMap<String, usize>,
}

struct Waiting {
    ticket: Ticket,
    identity: String,
    until: Instant,
    /// Releases it when nobody came.
    release: AbortHandle,
}

impl std::fmt::Debug for Tickets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tickets")
            .field("waiting", &self.len())
            .finish_non_exhaustive()
    }
}

impl Tickets {
    /// Tickets that wait for so long.
    #[must_use]
    pub fn new(hold: Duration) -> Self {
        Self::bounded(hold, TICKETS_MAX, TICKETS_PER_IDENTITY_MAX)
    }

    fn bounded(hold: Duration, all_max: usize, identity_max: usize) -> Self {
        Self {
            state: Mutex::default(),
            all_max,
            identity_max,
            hold,
        }
    }

    /// Nothing that runs under the lock can panic halfway through a change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().waiting.len()
    }

    /// Whether none waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Keeps a ticket of `identity` until somebody takes it by its token, or nobody has for long enough.
    pub(super) fn keep(self: &Arc<Self>, token: &Token, identity: String, ticket: Ticket) -> Result<(), Full> {
        let digest = token.digest();
        let until = Instant::now() + self.hold;
        let mut state = self.state();
        if state.waiting.len() >= self.all_max {
            return Err(Full::All);
        }
        if state.of_identity.get(&identity).copied().unwrap_or_default() >= self.identity_max {
            return Err(Full::Identity);
        }
        let tickets = Arc::downgrade(self);
        let release = tokio::spawn(release(tickets, digest, until)).abort_handle();
        *state.of_identity.entry(identity.clone()).or_default() += 1;
        let waiting = Waiting {
            ticket,
            identity,
            until,
            release,
        };
        state.waiting.insert(digest, waiting);
        Ok(())
    }

    /// Takes the ticket of this token for who connects as `client_id`: once. Another id leaves it where it is.
    pub(super) fn take(&self, token: &Token, client_id: &str) -> Option<Ticket> {
        let digest = token.digest();
        let now = Instant::now();
        let mut state = self.state();
        let waiting = state.waiting.get(&digest)?;
        if waiting.ticket.client_id != client_id || waiting.until <= now {
            return None;
        }
        let waiting = state.remove(&digest)?;
        drop(state);
        waiting.release.abort();
        Some(waiting.ticket)
    }
}

impl State {
    fn remove(&mut self, digest: &Digest) -> Option<Waiting> {
        let waiting = self.waiting.remove(digest)?;
        if let Some(count) = self.of_identity.get_mut(&waiting.identity) {
            *count -= 1;
            if *count == 0 {
                self.of_identity.remove(&waiting.identity);
            }
        }
        Some(waiting)
    }
}

/// Ends a ticket's subscription at `until`.
async fn release(tickets: Weak<Tickets>, digest: Digest, until: Instant) {
    tokio::time::sleep_until(until).await;
    if let Some(tickets) = tickets.upgrade() {
        // Its subscription ends when it is dropped, which is to be under no lock of ours.
        let released = tickets.state().remove(&digest);
        drop(released);
    }
}

#[cfg(test)]
mod tests {
    use tombolo_core::access::Identity;
    use tombolo_core::schema::Schema;
    use tombolo_core::wire::graphql::Request;
    use tombolo_engine::{Engine, Settings};
    use tombolo_store_sqlite::SqliteStore;

    use super::*;
    use crate::Config;

    const HOLD: Duration = Duration::from_secs(60);

    /// An engine, to count whose subscriptions live.
    async fn engine() -> Engine<SqliteStore> {
        let sdl = "type Note @model { id: ID! body: String }";
        let (config, schema) = (Config::in_memory(sdl, "key"), Schema::parse(sdl, "s.graphql"));
        let schema = Arc::new(schema.unwrap());
        let store = crate::server::open(&config, &schema).await.unwrap();
        Engine::new(schema, store, Settings::default())
    }

    fn ticket(engine: &Engine<SqliteStore>, client_id: &str) -> Ticket {
        let identity = Identity::ApiKey { name: "test".into() };
        let request = Request {
            query: "subscription { onCreateNote { id } }".to_owned(),
            operation_name: None,
            variables: None,
            extensions: None,
        };
        let prepared = engine.prepare(&identity, &request).unwrap();
        Ticket {
            client_id: client_id.to_owned(),
            topic: format!("appsync/{client_id}"),
            subscriber: engine.subscribe(&prepared).unwrap(),
            wake: Arc::default(),
            expires: None,
        }
    }

    fn token() -> Token {
        Token::make().unwrap()
    }

    #[test]
    fn tokens_are_long_and_differ_and_are_not_printed() {
        let (one, other) = (token(), token());
        assert_ne!(one, other);
        assert_eq!(one.0.len(), 43);
        assert_eq!(format!("{one:?}"), "Token");
        let query = one.parameter();
        assert_eq!(Token::of(Some(&format!("a=b&{query}&c"))), Some(one));
        for (query, expected) in [
            ("token=", Some("")),
            ("token", Some("")),
            ("tokens=x", None),
            ("", None),
        ] {
            assert_eq!(Token::of(Some(query)), expected.map(|t| Token(t.to_owned())), "{query}");
        }
        assert_eq!(Token::of(None), None);
    }

    #[tokio::test]
    async fn a_token_is_for_one_connection_under_its_id() {
        let engine = engine().await;
        let tickets = Arc::new(Tickets::new(HOLD));
        let (ann, bob) = (token(), token());
        tickets.keep(&ann, "x".into(), ticket(&engine, "ann")).unwrap();
        tickets.keep(&bob, "x".into(), ticket(&engine, "bob")).unwrap();
        assert!(tickets.take(&ann, "bob").is_none(), "another's id");
        assert!(tickets.take(&token(), "ann").is_none(), "no token of ours");
        let taken = tickets.take(&ann, "ann").unwrap();
        assert_eq!(taken.topic, "appsync/ann");
        assert!(tickets.take(&ann, "ann").is_none(), "once");
        assert_eq!((tickets.len(), engine.hub().subscribers()), (1, 2));
        drop(taken);
        assert_eq!(engine.hub().subscribers(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn what_nobody_comes_for_is_released() {
        let engine = engine().await;
        let tickets = Arc::new(Tickets::new(HOLD));
        let token = token();
        tickets.keep(&token, "x".into(), ticket(&engine, "ann")).unwrap();
        tokio::time::sleep(HOLD - Duration::from_secs(1)).await;
        assert_eq!((tickets.len(), engine.hub().subscribers()), (1, 1));
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert_eq!((tickets.len(), engine.hub().subscribers()), (0, 0));
        assert!(tickets.state().of_identity.is_empty());
        assert!(tickets.take(&token, "ann").is_none());
    }

    #[tokio::test]
    async fn they_are_bounded_for_each_identity_and_in_all() {
        let engine = engine().await;
        let tickets = Arc::new(Tickets::bounded(HOLD, 3, 2));
        let keep = |identity: &str, token: &Token| tickets.keep(token, identity.into(), ticket(&engine, "c"));
        let first = token();
        assert_eq!(keep("ann", &first), Ok(()));
        assert_eq!(keep("ann", &token()), Ok(()));
        assert_eq!(keep("ann", &token()), Err(Full::Identity));
        assert_eq!(keep("bob", &token()), Ok(()), "others have their own");
        assert_eq!(keep("zoe", &token()), Err(Full::All));
        assert_eq!(engine.hub().subscribers(), 3, "what is refused leaves nothing");
        assert!(tickets.take(&first, "c").is_some());
        assert_eq!(keep("ann", &token()), Ok(()), "who connects makes room");
    }
}
