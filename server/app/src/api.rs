//! The engine, its store and the writer's queue, as the listeners use them.

use std::sync::Arc;

use tombolo_core::access::Identity;
use tombolo_core::query::{Answer, OperationKind};
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::{GraphqlError, Request};
use tombolo_engine::{Engine, EngineError, Prepared, StoreError, Submission, Subscriber};
use tombolo_store_sqlite::SqliteStore;

use crate::resolver::Resolver;
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
    pub fn can_retry(&self) -> bool {
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

    /// Answers a query: the whole response object.
    ///
    /// # Errors
    /// The store failed.
    pub async fn query(&self, prepared: Prepared) -> Result<Vec<u8>, Failed> {
        respond(self.engine.query(&prepared).await.map(|answer| answer.into_bytes(None)))
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
    pub async fn settle(&self, pending: Pending) -> Result<Vec<u8>, Failed> {
        let mut verdict = pending.answer.await.map_err(|_| StoreError::Closed)??;
        if let (false, Some(submission), Some(resolver)) = (verdict.ask.is_empty(), pending.again, &self.resolver) {
            verdict = resolving::resolve(self.schema(), &self.writer, resolver, submission, verdict.ask).await?;
        }
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
            let expected = serde_json::json!({"retry": true});
            let told = Failed(error.clone()).error();
            let wire = serde_json::to_value(&told).unwrap();
            assert_eq!(wire["errorType"], "InternalFailure");
            assert_eq!(wire.get("errorInfo"), temporary.then_some(&expected), "{error}");
            assert_eq!(Failed(error.clone()).can_retry(), temporary);
            // A subscription that fails says the same.
            assert_eq!(EngineError::from(error).to_graphql(), [told]);
        }
    }
}
