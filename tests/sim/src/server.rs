//! The server of a world: the real engine over the real store, without listeners.

use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::json;
use tombolo_core::access::Identity;
use tombolo_core::id::Position;
use tombolo_core::query::Answer;
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};
use tombolo_engine::{Engine, EngineError, Prepared, Retention, Settings, Submission, Subscriber, Verdict};
use tombolo_machine::{FeedNumber, ScopeCursor};
use tombolo_store_sqlite::{Options, SqliteStore};

use crate::disk::{Disk, Troubles};
use crate::template;
use crate::wire::ToServer;

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
    models: Vec<String>,
}

/// What the server sends to a session.
#[derive(Clone, Debug)]
pub(crate) enum Sent {
    /// A response to a mutation request.
    Answer { number: u64, response: Vec<u8> },
    /// A payload of the feed, or a page.
    Batch { feed: FeedNumber, response: Vec<u8> },
    /// The feed ended.
    FeedRefused {
        feed: FeedNumber,
        errors: Vec<GraphqlError>,
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
    engine: Engine<Disk>,
    /// What the disk does wrong.
    pub(crate) troubles: Arc<Troubles>,
    waiting: Vec<Waiting>,
    feeds: BTreeMap<(u64, FeedNumber), Feed>,
    /// Models whose scopes are refused.
    pub(crate) revoked: BTreeSet<&'static str>,
    /// What the clock on the wall is wrong by, in milliseconds.
    pub(crate) clock_error_ms: i64,
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
        template::server(&path, &schema)?;
        let troubles = Arc::default();
        let store = Arc::new(open_store(&path, &schema)?);
        let engine = start(&schema, Disk::new(store, Arc::clone(&troubles)));
        Ok(Self {
            path,
            schema,
            engine,
            troubles,
            waiting: Vec::new(),
            feeds: BTreeMap::new(),
            revoked: BTreeSet::new(),
            clock_error_ms: 0,
            identity: Identity::ApiKey { name: "sim".into() },
        })
    }

    /// Dies and comes back: the database stays (with `reopen` over a new connection), everything else is gone.
    pub(crate) fn restart(mut self, reopen: bool) -> Result<Self, String> {
        self.feeds.clear();
        self.waiting.clear();
        let store = self.engine.store().shared();
        drop(self.engine);
        let store = if reopen {
            drop(store);
            Arc::new(open_store(&self.path, &self.schema)?)
        } else {
            store
        };
        let engine = start(&self.schema, Disk::new(store, Arc::clone(&self.troubles)));
        Ok(Self { engine, ..self })
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

    fn refused(&self, scopes: &[ScopeCursor]) -> Option<Vec<GraphqlError>> {
        let model = scopes
            .iter()
            .find(|scope| self.revoked.contains(scope.model.as_str()))?;
        let message = format!("the scope of {} is not yours to read", model.model);
        let mut error = GraphqlError::new(ErrorType::Unauthorized, message);
        error.error_info = Some(json!({ "model": model.model }));
        Some(vec![error])
    }

    /// A subscription to the feed arrives.
    pub(crate) fn receive_subscribe(
        &mut self,
        session: u64,
        feed: FeedNumber,
        scopes: &[ScopeCursor],
        request: &Request,
    ) -> Result<(), Sent> {
        if let Some(errors) = self.refused(scopes) {
            return Err(Sent::FeedRefused { feed, errors });
        }
        let subscriber = self
            .engine
            .prepare(&self.identity, request)
            .map_err(EngineError::Request)
            .and_then(|prepared| self.engine.subscribe(&prepared))
            .map_err(|error| Sent::FeedRefused {
                feed,
                errors: error.to_graphql(),
            })?;
        let woken = Arc::new(AtomicBool::new(true));
        let flag = Arc::clone(&woken);
        subscriber.set_waker(Arc::new(move || flag.store(true, Ordering::SeqCst)));
        let models = scopes.iter().map(|scope| scope.model.clone()).collect();
        let running = Feed {
            subscriber,
            woken,
            models,
        };
        self.feeds.insert((session, feed), running);
        Ok(())
    }

    pub(crate) fn receive_unsubscribe(&mut self, session: u64, feed: FeedNumber) {
        self.feeds.remove(&(session, feed));
    }

    /// A page is asked for.
    pub(crate) fn receive_page(&self, feed: FeedNumber, scope: &ScopeCursor, request: &Request) -> Sent {
        if let Some(errors) = self.refused(std::slice::from_ref(scope)) {
            return Sent::FeedRefused { feed, errors };
        }
        let answer = self
            .engine
            .prepare(&self.identity, request)
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

    /// Scopes of this model are refused from now on: feeds that hold one end.
    pub(crate) fn revoke(&mut self, model: &'static str) -> Vec<ToSession> {
        self.revoked.insert(model);
        let ending: Vec<(u64, FeedNumber)> = self
            .feeds
            .iter()
            .filter(|(_, feed)| feed.models.iter().any(|m| m == model))
            .map(|(key, _)| *key)
            .collect();
        let mut error = GraphqlError::new(ErrorType::Unauthorized, format!("the scope of {model} was withdrawn"));
        error.error_info = Some(json!({ "model": model }));
        let mut sent = Vec::new();
        for (session, feed) in ending {
            self.feeds.remove(&(session, feed));
            let errors = vec![error.clone()];
            sent.push((session, Sent::FeedRefused { feed, errors }));
        }
        sent
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
        let answer = |w: &Waiting, response| {
            let number = w.number;
            (w.session, Sent::Answer { number, response })
        };
        let verdicts = match ready(self.engine.commit(batch, now_ms)) {
            Ok(verdicts) => verdicts,
            Err(error) => {
                let response = Answer::refused(vec![error.to_graphql()]).into_bytes(None);
                let sent = waiting.iter().map(|w| answer(w, response.clone())).collect();
                return (Vec::new(), sent);
            }
        };
        let respond = |(w, verdict): (&Waiting, &Verdict)| {
            let response = ready(self.engine.respond(&w.prepared, verdict));
            answer(
                w,
                response.unwrap_or_else(|error| Answer::refused(error.to_graphql()).into_bytes(None)),
            )
        };
        let sent = waiting.iter().zip(&verdicts).map(respond).collect();
        (waiting.into_iter().map(|w| w.submission).zip(verdicts).collect(), sent)
    }

    /// Drops what only replicas that were away still need, and gives the low watermark.
    pub(crate) fn compact(&mut self, now_ms: i64, silence: Duration) -> Result<Position, String> {
        let retention = Retention {
            tombstones: Duration::ZERO,
            replica_silence: silence,
            traces: Duration::ZERO,
        };
        loop {
            let pruned = ready(self.engine.prune(now_ms, &retention)).map_err(|error| error.to_string())?;
            if !pruned.more {
                return Ok(pruned.low_watermark);
            }
        }
    }

    /// Sessions' feeds that were woken.
    pub(crate) fn woken(&self) -> impl Iterator<Item = (u64, FeedNumber)> {
        self.feeds
            .iter()
            .filter(|(_, feed)| feed.woken.load(Ordering::SeqCst))
            .map(|(key, _)| *key)
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

    /// What the server answers to a message whose credential it does not take.
    pub(crate) fn unauthorized(message: &ToServer) -> Option<Sent> {
        let error = GraphqlError::new(ErrorType::UnauthorizedException, "the credential has expired");
        match message {
            ToServer::Subscribe { feed, .. } | ToServer::FetchPage { feed, .. } => Some(Sent::FeedRefused {
                feed: *feed,
                errors: vec![error],
            }),
            ToServer::Mutation { number, .. } => Some(Sent::Answer {
                number: number.0,
                response: Answer::refused(vec![error]).into_bytes(None),
            }),
            ToServer::Unsubscribe { .. } => None,
        }
    }
}

fn start(schema: &Arc<Schema>, store: Disk) -> Engine<Disk> {
    // Small pages and a short ring, so that paging and falling behind happen in small worlds.
    let settings = Settings {
        ring_changes_max: 16,
        feed_rows_live: 3,
        ..Settings::default()
    };
    Engine::new(Arc::clone(schema), store, settings)
}

pub(crate) fn open_store(path: &std::path::Path, schema: &Arc<Schema>) -> Result<SqliteStore, String> {
    let options = Options {
        epoch: Some("sim".into()),
        ..Options::default()
    };
    SqliteStore::open_inline(Some(path), Arc::clone(schema), &options).map_err(|error| error.to_string())
}
