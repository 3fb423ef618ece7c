//! The server of a world: the real engine over the real store, without listeners.

use std::collections::BTreeMap;
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};

use serde_json::{Map, Value as Json, json};
use tombolo_core::access::Identity;
use tombolo_core::schema::Schema;
use tombolo_core::wire::batch::SELECTION;
use tombolo_core::wire::graphql::Request;
use tombolo_engine::{Engine, EngineError, Prepared, Settings, Submission, Subscriber, Verdict};
use tombolo_machine::{FeedNumber, ScopeCursor};
use tombolo_store_sqlite::{Options, SqliteStore};

/// A mutation that waits for the writer.
struct Waiting {
    prepared: Prepared,
    submission: Submission,
    session: u64,
    /// What the replica calls the request.
    number: u64,
}

struct Feed {
    subscriber: Subscriber,
    woken: Arc<AtomicBool>,
}

/// What the server sends to a session.
#[derive(Debug)]
pub(crate) enum Sent {
    /// A response to a mutation request.
    Answer { number: u64, response: Vec<u8> },
    /// A payload of the feed, or a page.
    Batch { feed: FeedNumber, response: Vec<u8> },
    /// The feed ended.
    FeedRefused {
        feed: FeedNumber,
        errors: Vec<tombolo_core::wire::graphql::GraphqlError>,
    },
}

impl std::fmt::Display for Sent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Answer { number, response } => write!(f, "answer {number} {}", String::from_utf8_lossy(response)),
            Self::Batch { feed, response } => write!(f, "feed {} {}", feed.0, String::from_utf8_lossy(response)),
            Self::FeedRefused { feed, errors } => write!(f, "feed {} refused {errors:?}", feed.0),
        }
    }
}

pub(crate) struct Server {
    path: PathBuf,
    schema: Arc<Schema>,
    engine: Engine<SqliteStore>,
    waiting: Vec<Waiting>,
    feeds: BTreeMap<(u64, FeedNumber), Feed>,
    /// The next transaction fails.
    pub(crate) fail_next: bool,
    identity: Identity,
}

/// A submission and what became of it.
pub(crate) type Committed = (Submission, Verdict);

/// A message and the session that it goes to.
pub(crate) type ToSession = (u64, Sent);

/// Runs a future of the inline store, which is ready at once.
pub(crate) fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => unreachable!("the inline store answers at once"),
    }
}

impl Server {
    pub(crate) fn open(path: PathBuf, schema: Arc<Schema>) -> Result<Self, String> {
        let engine = start(&path, &schema)?;
        Ok(Self {
            path,
            schema,
            engine,
            waiting: Vec::new(),
            feeds: BTreeMap::new(),
            fail_next: false,
            identity: Identity::ApiKey { name: "sim".into() },
        })
    }

    /// Dies and comes back: the database stays, everything else is gone.
    pub(crate) fn restart(self) -> Result<Self, String> {
        let Self {
            path,
            schema,
            engine,
            waiting,
            feeds,
            ..
        } = self;
        drop(feeds);
        drop(waiting);
        drop(engine);
        Self::open(path, schema)
    }

    /// A mutation arrives.
    pub(crate) fn receive_mutation(&mut self, session: u64, number: u64, request: &Request) -> Result<(), String> {
        let prepared = self
            .engine
            .prepare(&self.identity, request)
            .map_err(|errors| format!("{errors:?}"))?;
        let submission = self.engine.submission(&prepared, Vec::new());
        self.waiting.push(Waiting {
            prepared,
            submission,
            session,
            number,
        });
        Ok(())
    }

    /// A subscription to the feed arrives.
    pub(crate) fn receive_subscribe(
        &mut self,
        session: u64,
        replica: &str,
        feed: FeedNumber,
        scopes: &[ScopeCursor],
    ) -> Result<(), Sent> {
        let scopes: Vec<Json> = scopes.iter().map(ScopeCursor::to_json).collect();
        let request = Request {
            query: format!(
                "subscription ($scopes: [TomboloScopeInput!]!) {{ tomboloChanges(scopes: $scopes) {SELECTION} }}"
            ),
            variables: Some(object(json!({ "scopes": scopes }))),
            extensions: Some(object(json!({ "tombolo": { "replica": replica } }))),
            ..Request::default()
        };
        let subscriber = self
            .engine
            .prepare(&self.identity, &request)
            .map_err(EngineError::Request)
            .and_then(|prepared| self.engine.subscribe(&prepared))
            .map_err(|error| Sent::FeedRefused {
                feed,
                errors: error.to_graphql(),
            })?;
        let woken = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&woken);
        subscriber.set_waker(Arc::new(move || flag.store(true, Ordering::SeqCst)));
        self.feeds.insert((session, feed), Feed { subscriber, woken });
        Ok(())
    }

    pub(crate) fn receive_unsubscribe(&mut self, session: u64, feed: FeedNumber) {
        self.feeds.remove(&(session, feed));
    }

    /// A page is asked for.
    pub(crate) fn receive_page(&self, feed: FeedNumber, scope: &ScopeCursor) -> Sent {
        let request = Request {
            query: format!(
                "query ($scope: TomboloScopeInput!) {{ tomboloChanges(scope: $scope, limit: 3) {SELECTION} }}"
            ),
            variables: Some(object(json!({ "scope": scope.to_json() }))),
            ..Request::default()
        };
        let answer = self
            .engine
            .prepare(&self.identity, &request)
            .map_err(EngineError::Request)
            .and_then(|prepared| ready(self.engine.query(&prepared)));
        match answer {
            Ok(answer) => Sent::Batch {
                feed,
                response: answer.into_bytes(None),
            },
            Err(error) => Sent::FeedRefused {
                feed,
                errors: error.to_graphql(),
            },
        }
    }

    pub(crate) fn close(&mut self, session: u64) {
        self.feeds.retain(|(s, _), _| *s != session);
    }

    pub(crate) fn has_waiting(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// Commits what is waiting; gives back the verdicts and what is to be sent to whom.
    pub(crate) fn commit(&mut self, now_ms: i64) -> (Vec<Committed>, Vec<ToSession>) {
        let waiting = std::mem::take(&mut self.waiting);
        let batch: Vec<Submission> = waiting.iter().map(|w| w.submission.clone()).collect();
        let verdicts = if std::mem::take(&mut self.fail_next) {
            let full = tombolo_engine::StoreError::Full;
            batch
                .iter()
                .map(|_| Verdict {
                    undecided: Some((&full).into()),
                    ..Verdict::default()
                })
                .collect()
        } else {
            ready(self.engine.commit(batch, now_ms)).unwrap_or_default()
        };
        let sent = waiting
            .iter()
            .zip(&verdicts)
            .filter_map(|(w, verdict)| {
                let response = ready(self.engine.respond(&w.prepared, verdict)).ok()?;
                Some((
                    w.session,
                    Sent::Answer {
                        number: w.number,
                        response,
                    },
                ))
            })
            .collect();
        (waiting.into_iter().map(|w| w.submission).zip(verdicts).collect(), sent)
    }

    /// Sessions' feeds that were woken.
    pub(crate) fn woken(&self) -> Vec<(u64, FeedNumber)> {
        self.feeds
            .iter()
            .filter(|(_, feed)| feed.woken.load(Ordering::SeqCst))
            .map(|(key, _)| *key)
            .collect()
    }

    /// The next payload of a woken feed.
    pub(crate) fn pump(&mut self, session: u64, feed: FeedNumber) -> Option<Sent> {
        let running = self.feeds.get_mut(&(session, feed))?;
        running.woken.store(false, Ordering::SeqCst);
        match ready(self.engine.next(&mut running.subscriber)) {
            Ok(Some(response)) => {
                running.woken.store(true, Ordering::SeqCst);
                Some(Sent::Batch { feed, response })
            }
            Ok(None) => None,
            Err(error) => {
                self.feeds.remove(&(session, feed));
                Some(Sent::FeedRefused {
                    feed,
                    errors: error.to_graphql(),
                })
            }
        }
    }
}

fn start(path: &std::path::Path, schema: &Arc<Schema>) -> Result<Engine<SqliteStore>, String> {
    let options = Options {
        epoch: Some("sim".into()),
        ..Options::default()
    };
    let store =
        SqliteStore::open_inline(Some(path), Arc::clone(schema), &options).map_err(|error| error.to_string())?;
    // Small pages and a short ring, so that paging and falling behind happen in small worlds.
    let settings = Settings {
        ring_changes_max: 16,
        feed_rows_live: 3,
        ..Settings::default()
    };
    Ok(Engine::new(Arc::clone(schema), store, settings))
}

fn object(json: Json) -> Map<String, Json> {
    match json {
        Json::Object(map) => map,
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => Map::new(),
    }
}
