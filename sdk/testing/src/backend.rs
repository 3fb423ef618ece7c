//! The server of a test: the real engine over the real store in memory, asked by function call. Every call is answered at
//! once, on the caller's thread.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};

use tombolo_core::access::Identity;
use tombolo_core::query::OperationKind;
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};
use tombolo_engine::decide::ask::Question;
use tombolo_engine::{Engine, EngineError, Settings, StoreError, Submission, Subscriber, Verdict};
use tombolo_store_sqlite::{Options, SqliteStore};

use crate::StartError;
use crate::limits::RESOLVER_ROUNDS_MAX;
use crate::resolver::{Resolver, asking, unresolved};

/// What a request comes to.
pub(crate) enum Reply {
    /// One response object, as JSON.
    Once {
        response: Vec<u8>,
        /// It is a mutation's.
        mutation: bool,
    },
    /// A subscription.
    Stream(Box<Subscriber>),
}

pub(crate) struct Backend {
    engine: Engine<SqliteStore>,
    now_ms: AtomicI64,
    ids: AtomicU64,
    /// So many of the next mutations are not decided: the server is in trouble.
    pub(crate) failing: AtomicU32,
    resolver: Resolver,
}

/// What runs on the inline store is ready when it is first asked.
fn ready<T>(future: impl Future<Output = T>) -> Option<T> {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => Some(value),
        Poll::Pending => None,
    }
}

fn late() -> Vec<GraphqlError> {
    vec![GraphqlError::new(
        ErrorType::InternalFailure,
        "the server of the test did not answer at once",
    )]
}

impl Backend {
    pub(crate) fn start(schema: &Arc<Schema>, resolver: Resolver) -> Result<Self, StartError> {
        let places = asking(schema);
        if !places.is_empty() && !resolver.is_there() {
            return Err(StartError::Resolver { places });
        }
        let options = Options {
            epoch: Some("test".into()),
            ..Options::default()
        };
        let store = SqliteStore::open_inline(None, Arc::clone(schema), &options)
            .map_err(|error| StartError::Store(error.to_string()))?;
        Ok(Self {
            engine: Engine::new(Arc::clone(schema), store, Settings::default()),
            now_ms: AtomicI64::new(crate::clock::START_MS),
            ids: AtomicU64::new(1),
            failing: AtomicU32::new(0),
            resolver,
        })
    }

    /// Answers a request of any kind, as an identity that may do what an API key may.
    pub(crate) fn ask(&self, request: &Request) -> Result<Reply, Vec<GraphqlError>> {
        let identity = Identity::ApiKey { name: "test".into() };
        let prepared = self.engine.prepare(&identity, request)?;
        let errors = |error: EngineError| error.to_graphql();
        match prepared.kind() {
            OperationKind::Query => {
                let answer = ready(self.engine.query(&prepared)).ok_or_else(late)?.map_err(errors)?;
                Ok(Reply::Once {
                    response: answer.into_bytes(None),
                    mutation: false,
                })
            }
            OperationKind::Subscription => {
                let subscriber = self.engine.subscribe(&prepared).map_err(errors)?;
                Ok(Reply::Stream(Box::new(subscriber)))
            }
            OperationKind::Mutation => {
                let failing = &self.failing;
                if failing
                    .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1))
                    .is_ok()
                {
                    return Err(vec![StoreError::Busy.to_graphql()]);
                }
                let fresh = |_| format!("server-{}", self.ids.fetch_add(1, Ordering::SeqCst));
                let fresh_ids = (0..prepared.fresh_ids_needed()).map(fresh).collect();
                let submission = self.engine.submission(&prepared, fresh_ids);
                let again = self.resolver.is_there().then(|| submission.clone());
                let mut verdict = self.commit(submission)?;
                if let (false, Some(submission)) = (verdict.ask.is_empty(), again) {
                    verdict = self.resolve(submission, std::mem::take(&mut verdict.ask))?;
                }
                let response = ready(self.engine.respond(&prepared, &verdict)).ok_or_else(late)?;
                let response = response.map_err(errors)?;
                Ok(Reply::Once {
                    response,
                    mutation: true,
                })
            }
        }
    }

    /// Decides and writes one submission.
    fn commit(&self, submission: Submission) -> Result<Verdict, Vec<GraphqlError>> {
        // Each commit at a time of its own, so that "last" means something.
        let now = self.now_ms.fetch_add(1, Ordering::SeqCst);
        let verdicts = ready(self.engine.commit(vec![submission], now))
            .ok_or_else(late)?
            .map_err(|error| vec![error.to_graphql()])?;
        Ok(verdicts.into_iter().next().unwrap_or_default())
    }

    /// Asks the resolver until the submission is decided: once for each of its mutations, unless the record moves on.
    fn resolve(&self, mut submission: Submission, mut questions: Vec<Question>) -> Result<Verdict, Vec<GraphqlError>> {
        let mut rounds: BTreeMap<usize, u32> = BTreeMap::new();
        loop {
            for question in &questions {
                let round = rounds.entry(question.place).or_default();
                *round += 1;
                if *round > RESOLVER_ROUNDS_MAX {
                    return Ok(unresolved(
                        "the record changed while the conflict resolver was asked",
                        true,
                    ));
                }
                match self.resolver.answer(question, self.engine.schema()) {
                    Ok(resolution) => submission.context.resolve(resolution),
                    Err(verdict) => return Ok(verdict),
                }
            }
            let verdict = self.commit(submission.clone())?;
            if verdict.ask.is_empty() {
                return Ok(verdict);
            }
            questions = verdict.ask;
        }
    }

    /// The next payload of a subscription; `None`: nothing more for now.
    pub(crate) fn next(&self, subscriber: &mut Subscriber) -> Result<Option<Vec<u8>>, Vec<GraphqlError>> {
        ready(self.engine.next(subscriber))
            .ok_or_else(late)?
            .map_err(|error| error.to_graphql())
    }

    /// Moves the server's clock on.
    pub(crate) fn advance(&self, ms: i64) {
        self.now_ms.fetch_add(ms.max(0), Ordering::SeqCst);
    }
}
