//! What the handles of a client share, and how its calls reach the writer and the readers.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError};

use serde_json::{Map, Value as Json};
use tokio::sync::{mpsc, oneshot};
use tombolo_core::access::Access;
use tombolo_core::id::MutationNumber;
use tombolo_core::query::{Bound, Cache, OperationKind, QueryLimits, Side, Supplied};
use tombolo_core::schema::Schema;
use tombolo_machine::Input;
use tombolo_store::Salvage;

use crate::driver::SharedCredential;
use crate::hub::{Hub, Standing};
use crate::mishap::Mishaps;
use crate::mutation::{self, Prepared};
use crate::readers::{Question, Questions};
use crate::records::Documents;
use crate::writer::{Command, Queued, Work};
use crate::{Error, Mutated, Response, Transacted, Watch};

pub(crate) struct Inner {
    pub schema: Arc<Schema>,
    pub access: Access,
    pub query_limits: QueryLimits,
    pub documents: Cache,
    pub record_documents: Documents,
    pub calls: mpsc::Sender<Command>,
    pub questions: Questions,
    pub hub: Arc<Hub>,
    pub credential: SharedCredential,
    /// What the app last said.
    pub online: AtomicBool,
    /// There is a way to the server.
    pub can_link: AtomicBool,
    /// What was saved when the file was made out of a damaged one.
    pub salvage: Option<Salvage>,
    pub author: Option<String>,
    pub account: Option<String>,
    /// The app is asked for a credential where one is needed.
    pub asks: bool,
    /// Suspending, resuming and signing out, one at a time.
    pub turns: tokio::sync::Mutex<()>,
    /// Who is told of panics.
    pub mishaps: Mishaps,
}

impl Inner {
    /// Parses (or finds again) and binds a document.
    pub(crate) fn bind(
        &self,
        text: &str,
        operation: Option<&str>,
        variables: Map<String, Json>,
    ) -> Result<Bound, Error> {
        self.bind_on(text, operation, variables, Side::Replica)
    }

    /// The same, on either side: the server's sees tombstones.
    pub(crate) fn bind_on(
        &self,
        text: &str,
        operation: Option<&str>,
        variables: Map<String, Json>,
        side: Side,
    ) -> Result<Bound, Error> {
        let document = self
            .documents
            .parse(&self.schema, text, &self.query_limits)
            .map_err(Error::Request)?;
        document
            .bind(operation, &variables, &self.access, side)
            .map_err(Error::Request)
    }

    /// Binds a document of whole records: their embedded values stand in the answer whole.
    pub(crate) fn bind_records(&self, text: &str, variables: Map<String, Json>, side: Side) -> Result<Bound, Error> {
        let mut bound = self.bind_on(text, None, variables, side)?;
        bound.show_whole();
        Ok(bound)
    }

    pub(crate) async fn query(&self, bound: Bound) -> Result<Response, Error> {
        check_query(&bound)?;
        self.read(Arc::new(bound), Vec::new()).await
    }

    pub(crate) fn watch(self: &Arc<Self>, bound: Bound) -> Result<Watch, Error> {
        check_query(&bound)?;
        Ok(Watch::new(Arc::clone(self), Arc::new(bound)))
    }

    pub(crate) async fn mutate(&self, bound: Bound) -> Result<Mutated, Error> {
        let prepared = mutation::prepare(&self.schema, bound, self.author.as_deref())?;
        let Transacted { mut responses, numbers } = self.transact(vec![prepared]).await?;
        let response = responses.pop().unwrap_or_else(|| Response::unread(&Error::Closed));
        Ok(Mutated { response, numbers })
    }

    pub(crate) async fn transact(&self, documents: Vec<Prepared>) -> Result<Transacted, Error> {
        let mutations = documents
            .iter()
            .flat_map(|d| d.mutations.iter().map(|(_, m)| m.clone()))
            .collect();
        let work = Work::Mutations(mutations);
        let Queued { numbers, records, .. } = self.call(|reply| Command::Mutate(work, reply)).await?;
        let mut records = records.into_iter();
        let mut responses = Vec::with_capacity(documents.len());
        for document in documents {
            let supplied = document
                .mutations
                .iter()
                .map(|(root, _)| (*root, records.next().flatten().map_or(Supplied::Null, Supplied::Record)))
                .collect();
            // Committed: from here on nothing may be told as an error of the call, or the app would do it again.
            let read = self.read(document.bound, supplied).await;
            responses.push(read.unwrap_or_else(|error| Response::unread(&error)));
        }
        Ok(Transacted { responses, numbers })
    }

    /// Has a reader answer an operation.
    pub(crate) async fn read(&self, bound: Arc<Bound>, supplied: Vec<(usize, Supplied)>) -> Result<Response, Error> {
        self.ask(|reply| Question::Answer { bound, supplied, reply })
            .await
            .map(Response::new)
    }

    pub(crate) async fn ask<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Question,
    ) -> Result<T, Error> {
        if self.hub.standing() != Standing::Open {
            return Err(self.gone());
        }
        let (reply, answer) = oneshot::channel();
        let questions = self.questions.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let questions = questions.ok_or_else(|| self.gone())?;
        questions.send(make(reply)).await.map_err(|_| self.gone())?;
        drop(questions);
        answer.await.map_err(|_| self.gone())?
    }

    /// A call to the writer, whose answer comes through the channel that `make` puts into it.
    pub(crate) async fn call<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        if self.hub.standing() != Standing::Open {
            return Err(self.gone());
        }
        self.call_anyway(make).await
    }

    /// The same, for calls that concern a suspended client too.
    pub(crate) async fn call_anyway<T>(
        &self,
        make: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Command,
    ) -> Result<T, Error> {
        let (reply, answer) = oneshot::channel();
        self.calls.send(make(reply)).await.map_err(|_| self.gone())?;
        answer.await.map_err(|_| self.gone())?
    }

    /// Why nobody answers.
    pub(crate) fn gone(&self) -> Error {
        self.hub.standing().refusal()
    }

    pub(crate) async fn set_online(&self, online: bool) -> Result<(), Error> {
        self.call_anyway(|reply| Command::SetOnline(online, reply)).await
    }

    pub(crate) async fn redo(&self, input: Input) -> Result<Vec<MutationNumber>, Error> {
        self.call(|reply| Command::Redo(input, reply)).await
    }

    pub(crate) async fn step(&self, input: Input) -> Result<(), Error> {
        self.call(|reply| Command::Step(input, reply)).await
    }

    pub(crate) fn needs_link(&self) -> Result<(), Error> {
        if self.can_link.load(Ordering::SeqCst) {
            Ok(())
        } else {
            Err(Error::Incomplete(
                "the client was opened without a URL: call `url`, or `set_transport` on the open client",
            ))
        }
    }
}

fn check_query(bound: &Bound) -> Result<(), Error> {
    match bound.kind() {
        OperationKind::Query => mutation::refusals(bound),
        OperationKind::Mutation => Err(mutation::wrong_kind("this is a mutation; carry it out with `mutate`")),
        OperationKind::Subscription => Err(mutation::wrong_kind(
            "this is a subscription; a live query of local data is a `watch`",
        )),
    }
}

/// The variables of a typed operation.
pub(crate) fn typed_variables(variables: &impl serde::Serialize) -> Result<Map<String, Json>, Error> {
    match serde_json::to_value(variables) {
        Ok(variables) => mutation::variables(variables),
        Err(error) => Err(Error::Shape(error.to_string())),
    }
}
