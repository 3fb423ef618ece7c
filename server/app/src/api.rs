//! The engine, its store and the writer's queue, as the listeners use them.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::time::Instant;
use tombolo_core::access::Identity;
use tombolo_core::query::{Answer, OperationKind, appsync_errors};
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};
use tombolo_engine::{Bookmark, Engine, EngineError, Prepared, StoreError, Submission, Subscriber, Verdict};
use tombolo_store_sqlite::SqliteStore;

use crate::limits::HoldPauses;
use crate::resolver::{RESOLVING_MAX, Resolver};
use crate::resolving;
use crate::writer::{self, Writer};

/// What listeners call.
#[derive(Debug)]
pub struct Api {
    engine: Arc<Engine<SqliteStore>>,
    writer: Writer,
    resolver: Option<Resolver>,
}

/// A request, read and checked, by what is to be done with it.
#[derive(Debug)]
pub enum Work {
    /// For [`Api::query`].
    Query(Prepared),
    /// For [`Api::enqueue`].
    Mutation(Prepared),
    /// For [`Api::subscribe`].
    Subscription(Prepared),
}

/// A mutation in the writer's queue.
#[derive(Debug)]
pub struct Pending {
    prepared: Prepared,
    answer: writer::Answer,
    /// For a resolver's answer, if one may be asked.
    again: Option<Submission>,
}

/// The store could not do it. A mutation may or may not have been decided: its replica sends it again.
#[derive(Clone, Debug, thiserror::Error)]
#[error(transparent)]
pub struct Failed(#[from] pub StoreError);

impl Failed {
    /// For the caller.
    #[must_use]
    pub fn error(&self) -> GraphqlError {
        self.0.to_graphql()
    }

    /// Whether the same request may succeed soon, here or at the next server behind the same address.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        self.0.is_temporary()
    }
}

impl Api {
    /// The API over an engine and the writer that was started for it.
    #[must_use]
    pub fn new(engine: Arc<Engine<SqliteStore>>, writer: Writer) -> Self {
        Self {
            engine,
            writer,
            resolver: None,
        }
    }

    /// The same with somebody to ask about conflicts.
    #[must_use]
    pub fn with_resolver(mut self, resolver: Option<Resolver>) -> Self {
        self.resolver = resolver;
        self
    }

    /// The schema.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        self.engine.schema()
    }

    /// The engine.
    #[must_use]
    pub fn engine(&self) -> &Arc<Engine<SqliteStore>> {
        &self.engine
    }

    /// The writer's queue.
    #[must_use]
    pub fn writer(&self) -> &Writer {
        &self.writer
    }

    /// Whether the store can be read, and could be written last time.
    ///
    /// # Errors
    /// Why not.
    pub async fn can_write(&self) -> Result<(), StoreError> {
        self.writer.can_write()?;
        tombolo_engine::Store::head(self.engine.store()).await.map(drop)
    }

    /// Reads and checks a request.
    ///
    /// # Errors
    /// It is no operation of the schema, or one that `identity` may not ask for.
    pub fn prepare(&self, identity: &Identity, request: &Request) -> Result<Work, Vec<GraphqlError>> {
        let prepared = self.engine.prepare(identity, request)?;
        Ok(match prepared.kind() {
            OperationKind::Query => Work::Query(prepared),
            OperationKind::Mutation => Work::Mutation(prepared),
            OperationKind::Subscription => Work::Subscription(prepared),
        })
    }

    /// What `request` was refused with, in AppSync's words.
    ///
    /// # Errors
    /// Its document cannot even be parsed: AppSync's words for that, with what the parser says beside them, for people.
    pub fn appsync_errors(
        &self,
        request: &Request,
        errors: Vec<GraphqlError>,
    ) -> Result<Vec<GraphqlError>, Box<GraphqlError>> {
        let parser = errors.first().map(|error| error.message.clone());
        appsync_errors(&request.query, self.engine.query_limits(), errors).ok_or_else(|| {
            let message = "Unable to parse GraphQL query.";
            let mut error = GraphqlError::new(ErrorType::MalformedHttpRequestException, message);
            error.error_info = parser.map(serde_json::Value::String);
            Box::new(error)
        })
    }

    /// Answers a query: the whole response object.
    ///
    /// # Errors
    /// The store failed.
    pub async fn query(&self, prepared: Prepared) -> Result<Vec<u8>, Failed> {
        respond(
            self.engine
                .query_at(&prepared, Some(Timestamp::now().as_millisecond()))
                .await
                .map(|answer| answer.into_bytes(None)),
        )
    }

    /// Puts a mutation into the writer's queue, waiting for room. When this returns it will be carried out, also if the
    /// caller goes away, unless a resolver is to be asked about it.
    ///
    /// # Errors
    /// The server is ending; nothing was or will be done.
    pub async fn enqueue(&self, prepared: Prepared) -> Result<Pending, Failed> {
        let fresh = (0..prepared.fresh_ids_needed())
            .map(|_| uuid::Uuid::new_v4().to_string())
            .collect();
        let submission = self.engine.submission(&prepared, fresh);
        let again = self.resolver.is_some().then(|| submission.clone());
        let answer = self.writer.submit(submission).await?;
        Ok(Pending {
            prepared,
            answer,
            again,
        })
    }

    /// Waits for a mutation's end: the whole response object.
    ///
    /// # Errors
    /// The store failed.
    pub async fn settle(&self, mut pending: Pending) -> Result<Vec<u8>, Failed> {
        let verdict = (&mut pending.answer).await.map_err(|_| StoreError::Closed)??;
        let verdict = self
            .ask(pending.again.take(), verdict, Instant::now() + RESOLVING_MAX)
            .await?;
        self.conclude(pending, verdict).await
    }

    /// Carries out a mutation of a client that would throw it away if it were refused for now: one that the store cannot take
    /// at the moment is tried again until `deadline` or `ended`. Only what has certainly not been written is tried again.
    ///
    /// # Errors
    /// The store failed to the end.
    pub async fn hold(
        &self,
        prepared: Prepared,
        deadline: Instant,
        ended: impl Future<Output = ()>,
    ) -> Result<Vec<u8>, Failed> {
        let mut ended = std::pin::pin!(ended);
        let mut pauses = HoldPauses::default();
        // Asked once it has the time that it has for everybody, however long the request has been on its way.
        let mut asking_until = Instant::now() + RESOLVING_MAX;
        loop {
            let mut pending = self.enqueue(prepared.clone()).await?;
            let (verdict, again) = self.attempt(&mut pending, asking_until).await;
            // What it is asked again has what is left.
            asking_until = deadline;
            let pause = pauses.next();
            if !again || Instant::now() + pause > deadline {
                return self.conclude(pending, verdict?).await;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = &mut ended => return self.conclude(pending, verdict?).await,
            }
        }
    }

    /// What came of a mutation, and whether it has certainly not been written and may be if it is tried again.
    async fn attempt(&self, pending: &mut Pending, deadline: Instant) -> (Result<Verdict, StoreError>, bool) {
        let verdict = match (&mut pending.answer).await {
            Ok(Ok(verdict)) => verdict,
            Ok(Err(error)) => {
                let again = error.can_retry();
                return (Err(error), again);
            }
            Err(_) => return (Err(StoreError::Closed), false),
        };
        if verdict.ask.is_empty() {
            let again = verdict.undecided.as_ref().is_some_and(|why| why.retry);
            return (Ok(verdict), again);
        }
        match self.ask(pending.again.take(), verdict, deadline).await {
            // The resolver did not answer, and nothing was decided.
            Ok(verdict) => {
                let again = verdict.undecided.is_some();
                (Ok(verdict), again)
            }
            // Nothing was written of it: it was alone in its submission.
            Err(error) => {
                let again = error.can_retry();
                (Err(error), again)
            }
        }
    }

    /// Asks the resolver about what a verdict leaves open, if there is one, until `deadline`.
    async fn ask(
        &self,
        submission: Option<Submission>,
        verdict: Verdict,
        deadline: Instant,
    ) -> Result<Verdict, StoreError> {
        match (verdict.ask.is_empty(), submission, &self.resolver) {
            (false, Some(submission), Some(resolver)) => {
                let deadline = deadline.min(Instant::now() + RESOLVING_MAX);
                resolving::resolve(deadline, self.schema(), &self.writer, resolver, submission, verdict.ask).await
            }
            _ => Ok(verdict),
        }
    }

    async fn conclude(&self, pending: Pending, verdict: Verdict) -> Result<Vec<u8>, Failed> {
        respond(self.engine.respond(&pending.prepared, &verdict).await)
    }

    /// Begins a subscription; `waker` is called when [`Api::next`] may have something new.
    ///
    /// # Errors
    /// It is refused.
    pub fn subscribe(
        &self,
        prepared: &Prepared,
        waker: Arc<dyn Fn() + Send + Sync>,
    ) -> Result<Subscriber, Vec<GraphqlError>> {
        let subscriber = self.engine.subscribe(prepared).map_err(|e| e.to_graphql())?;
        subscriber.set_waker(waker);
        Ok(subscriber)
    }

    /// The same for a subscription that can be gone on with, `from` a bookmark if there is one; gives where it stands, too.
    ///
    /// # Errors
    /// It is refused, or the store failed.
    pub async fn subscribe_from(
        &self,
        prepared: &Prepared,
        waker: Arc<dyn Fn() + Send + Sync>,
        from: Option<&Bookmark>,
    ) -> Result<(Subscriber, Bookmark), Vec<GraphqlError>> {
        let begun = async {
            let subscriber = self.engine.subscribe_from(prepared, from).await?;
            let bookmark = self.engine.bookmark(&subscriber).await?;
            Ok((subscriber, bookmark))
        };
        let (subscriber, bookmark) = begun.await.map_err(|e: EngineError| e.to_graphql())?;
        subscriber.set_waker(waker);
        Ok((subscriber, bookmark))
    }

    /// Where a subscription stands.
    ///
    /// # Errors
    /// The store failed.
    pub async fn bookmark(&self, subscriber: &Subscriber) -> Result<Bookmark, EngineError> {
        self.engine.bookmark(subscriber).await
    }

    /// The next payload of a subscription; `None`: wait for the waker.
    ///
    /// # Errors
    /// The subscription is over, or the store failed.
    pub async fn next(&self, subscriber: &mut Subscriber) -> Result<Option<Vec<u8>>, EngineError> {
        self.engine.next(subscriber).await
    }
}

fn respond(answer: Result<Vec<u8>, impl Into<EngineError>>) -> Result<Vec<u8>, Failed> {
    match answer.map_err(Into::into) {
        Ok(bytes) => Ok(bytes),
        Err(EngineError::Store(error)) => Err(error.into()),
        Err(EngineError::Request(errors)) => Ok(Answer::refused(errors).into_bytes(None)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failure_that_will_pass_is_marked_as_such_on_the_wire() {
        for (error, temporary) in [
            (StoreError::Busy, true),
            (StoreError::Full, true),
            (StoreError::Closed, true),
            (StoreError::ReadOnly, false),
            (StoreError::Corrupt("page 7".into()), false),
            (StoreError::Backend("no such table".into()), false),
        ] {
            let expected = if temporary {
                serde_json::json!({"retry": true})
            } else {
                serde_json::Value::Null
            };
            let told = Failed(error.clone()).error();
            let wire = serde_json::to_value(&told).unwrap();
            assert_eq!(wire["errorType"], "InternalFailure");
            assert_eq!(wire["errorInfo"], expected, "{error}");
            assert_eq!(Failed(error.clone()).is_temporary(), temporary);
            // A subscription that fails says the same.
            assert_eq!(EngineError::from(error).to_graphql(), [told]);
        }
    }
}
