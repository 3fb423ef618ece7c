//! The server of a world: the real engine over the real store, without listeners.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::future::Future;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use serde_json::json;
use tombolo_core::access::Identity;
use tombolo_core::id::{Epoch, Position};
use tombolo_core::query::Answer;
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};
use tombolo_engine::decide::ask::Question;
use tombolo_engine::{
    Engine, EngineError, Prepared, Retention, Settings, Store as _, Submission, Subscriber, Undecided, Verdict,
};
use tombolo_machine::{FeedNumber, ScopeCursor};
use tombolo_store_sqlite::{Options, SqliteStore};

use crate::backup::Kept;
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
    /// How often a resolver was asked about it.
    rounds: u32,
}

/// A mutation about which a conflict resolver is asked.
struct Asking {
    waiting: Waiting,
    /// What the resolver has not answered yet.
    questions: VecDeque<Question>,
}

/// A request of an ended connection: its session, what the replica calls it, and what it says.
type Straggler = (u64, u64, Box<Request>);

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
    /// Mutations that a conflict resolver is asked about.
    asking: Vec<Asking>,
    feeds: BTreeMap<(u64, FeedNumber), Feed>,
    /// What connections over MQTT had brought before they ended and is yet to reach the queue: of each in its order.
    stragglers: Vec<VecDeque<Straggler>>,
    /// Models whose scopes are refused.
    pub(crate) revoked: BTreeSet<&'static str>,
    /// What the clock on the wall is wrong by, in milliseconds.
    pub(crate) clock_error_ms: i64,
    identity: Identity,
    /// How often the database was put back.
    restores: u32,
}

/// A submission, the session that it came from, and what became of it.
pub(crate) type Committed = (u64, Submission, Verdict);

/// The identity of the first history.
pub(crate) const EPOCH: &str = "sim";

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
        let store = Arc::new(open_store(&path, &schema, EPOCH)?);
        let engine = start(&schema, Disk::new(store, Arc::clone(&troubles)));
        Ok(Self {
            path,
            schema,
            engine,
            troubles,
            waiting: Vec::new(),
            asking: Vec::new(),
            feeds: BTreeMap::new(),
            stragglers: Vec::new(),
            revoked: BTreeSet::new(),
            clock_error_ms: 0,
            identity: Identity::ApiKey { name: "sim".into() },
            restores: 0,
        })
    }

    /// A backup of the database.
    pub(crate) fn copy(&self) -> Result<Kept, String> {
        Kept::of(&self.path).map_err(|error| error.to_string())
    }

    /// The database is put back from a backup, its history gets a new identity, and the server starts.
    pub(crate) fn restore(mut self, kept: &Kept) -> Result<(Self, Epoch), String> {
        self.restores += 1;
        let epoch = format!("sim{}", self.restores);
        let new = self.restart(|path, schema| {
            kept.put_back(path).map_err(|error| error.to_string())?;
            let store = Arc::new(open_store(path, schema, &epoch)?);
            ready(start(schema, Disk::new(Arc::clone(&store), Arc::default())).renew_epoch(None))
                .map_err(|error| error.to_string())?;
            Ok(store)
        })?;
        let head = ready(new.engine.store().head()).map_err(|error| error.to_string())?;
        Ok((new, head.epoch))
    }

    /// Dies and comes back over a new connection; the database stays.
    pub(crate) fn reopen(self) -> Result<Self, String> {
        self.restart(|path, schema| open_store(path, schema, EPOCH).map(Arc::new))
    }

    /// Dies and comes back: its connection and the database stay, everything else is gone.
    pub(crate) fn revive(mut self) -> Result<Self, String> {
        let store = self.engine.store().shared();
        self.forget();
        let engine = start(&self.schema, Disk::new(store, Arc::clone(&self.troubles)));
        Ok(Self { engine, ..self })
    }

    fn forget(&mut self) {
        self.feeds.clear();
        self.stragglers.clear();
        self.waiting.clear();
        self.asking.clear();
    }

    fn restart(
        mut self,
        open: impl FnOnce(&Path, &Arc<Schema>) -> Result<Arc<SqliteStore>, String>,
    ) -> Result<Self, String> {
        self.forget();
        drop(self.engine);
        let store = open(&self.path, &self.schema)?;
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
            rounds: 0,
        });
        Ok(())
    }

    /// A connection over MQTT has ended; this it had brought.
    pub(crate) fn read_before_the_end(&mut self, session: u64, messages: impl Iterator<Item = ToServer>) {
        let requests: VecDeque<Straggler> = messages
            .filter_map(|message| match message {
                ToServer::Mutation { number, request } => Some((session, number.0, request)),
                // Nobody is there to be answered.
                ToServer::Subscribe { .. } | ToServer::Unsubscribe { .. } | ToServer::FetchPage { .. } => None,
            })
            .collect();
        if !requests.is_empty() {
            self.stragglers.push(requests);
        }
    }

    /// How many ended connections have left something.
    pub(crate) fn stragglers(&self) -> usize {
        self.stragglers.len()
    }

    /// The next request of one of them arrives.
    pub(crate) fn receive_straggler(&mut self, place: usize) -> Result<(), String> {
        let Some(requests) = self.stragglers.get_mut(place) else {
            return Ok(());
        };
        let next = requests.pop_front();
        if requests.is_empty() {
            self.stragglers.remove(place);
        }
        match next {
            Some((session, number, request)) => self.receive_mutation(session, number, &request),
            None => Ok(()),
        }
    }

    /// The process died with what it had read.
    pub(crate) fn forget_stragglers(&mut self) {
        self.stragglers.clear();
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
        let mut sent = Vec::with_capacity(waiting.len());
        let mut committed = Vec::with_capacity(waiting.len());
        let mut asking = Vec::new();
        for (waiting, mut verdict) in waiting.into_iter().zip(verdicts) {
            if !verdict.ask.is_empty() {
                if waiting.rounds < RESOLVER_ROUNDS_MAX {
                    let questions = std::mem::take(&mut verdict.ask).into();
                    asking.push(Asking { waiting, questions });
                    continue;
                }
                verdict = unresolved(true);
            }
            sent.push(respond((&waiting, &verdict)));
            committed.push((waiting.session, waiting.submission, verdict));
        }
        self.asking.extend(asking);
        (committed, sent)
    }

    /// How many mutations wait for a conflict resolver.
    pub(crate) fn asking(&self) -> usize {
        self.asking.len()
    }

    /// The question about the mutation at `place`, as it is posted.
    pub(crate) fn question(&self, place: usize) -> Option<serde_json::Value> {
        let question = self.asking.get(place)?.questions.front()?;
        Some(question.to_json(&self.schema))
    }

    /// The resolver's answer about the mutation at `place`, which is submitted again when all that is asked about it is answered;
    /// without an answer its sender is told to send it again.
    pub(crate) fn resolved(&mut self, place: usize, answer: Option<&[u8]>) -> Option<ToSession> {
        match answer {
            Some(answer) => {
                let asking = self.asking.get_mut(place)?;
                if let Some(question) = asking.questions.pop_front() {
                    let resolution = question.resolution(&self.schema, answer);
                    asking.waiting.submission.context.resolve(resolution);
                }
                if asking.questions.is_empty() {
                    let mut waiting = self.asking.remove(place).waiting;
                    waiting.rounds += 1;
                    self.waiting.push(waiting);
                }
                None
            }
            None if place >= self.asking.len() => None,
            None => {
                let Asking { waiting, .. } = self.asking.remove(place);
                let response = ready(self.engine.respond(&waiting.prepared, &unresolved(false)));
                let response = response.unwrap_or_else(|error| Answer::refused(error.to_graphql()).into_bytes(None));
                let number = waiting.number;
                Some((waiting.session, Sent::Answer { number, response }))
            }
        }
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

/// Most rounds of questions about one request, as the listeners have it.
const RESOLVER_ROUNDS_MAX: u32 = 3;

/// Nothing was decided: the resolver did not answer, or the record moved on too often (`restless`).
fn unresolved(restless: bool) -> Verdict {
    Verdict {
        undecided: Some(Undecided {
            code: ErrorType::InternalFailure,
            message: "the conflict resolver did not answer; nothing was decided, send it again later".into(),
            retry: restless,
        }),
        ..Verdict::default()
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

/// `epoch` is the identity of a new database's history; that of an old one it renames only with a new identity.
pub(crate) fn open_store(path: &Path, schema: &Arc<Schema>, epoch: &str) -> Result<SqliteStore, String> {
    let options = Options {
        epoch: Some(epoch.to_owned()),
        ..Options::default()
    };
    SqliteStore::open_inline(Some(path), Arc::clone(schema), &options).map_err(|error| error.to_string())
}
