//! The client: [`tombolo::Client`], call by call.

use std::sync::{Arc, Mutex, PoisonError};

use tokio_util::sync::CancellationToken;
use tombolo::MutationNumber;
use tombolo::transport::{Endpoint, Network};

use crate::config::{milliseconds, mqtt};
use crate::credential::ask;
use crate::runtime::{at_once, run, run_to_end};
use crate::{
    Answer, CancelHandle, ClientConfig, Credential, CredentialProvider, DeletedRecord, EventStream, FindQuery,
    FoundRecords, ImportReport, LiveQuery, LiveRecords, Mutated, Mutation, MutationFilter, Operation, Outcome,
    RecordChanges, Salvage, SavedRecord, ScopeStatus, SignOut, SignedOut, Status, StatusWatch, SyncReport,
    TomboloError, Transacted, Transport, convert, records,
};

/// A replica: one SQLite file, one schema, one account, and a link to its server. See [`tombolo::Client`], whose methods these
/// are.
///
/// It may be called from any thread, from several at once, and from within callbacks. When the last handle is dropped the
/// file is released soon after; [`Client::shut_down`] waits for it.
#[derive(uniffi::Object)]
pub struct Client {
    /// `None` after [`Client::shut_down`].
    inner: Mutex<Option<tombolo::Client>>,
    /// Cancelled when it is shut down.
    ended: CancellationToken,
}

impl Client {
    fn client(&self) -> Result<tombolo::Client, TomboloError> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.clone().ok_or(TomboloError::Closed)
    }
}

#[uniffi::export]
impl Client {
    /// Opens a replica: [`tombolo::Builder::open`]. Returns as soon as the file is open; the link comes up by itself.
    ///
    /// `credentials` is asked whenever the server wants another credential than the one it has.
    ///
    /// # Errors
    /// [`TomboloError::Incomplete`], [`TomboloError::Schema`], [`TomboloError::Endpoint`], [`TomboloError::UnknownModel`],
    /// [`TomboloError::Json`] and [`TomboloError::Request`] (a scope's filter) are mistakes in the configuration;
    /// [`TomboloError::Open`] and [`TomboloError::WrongAccount`] say why the file cannot be used.
    #[uniffi::constructor(default(credentials = None))]
    pub async fn open(
        config: ClientConfig,
        credentials: Option<Arc<dyn CredentialProvider>>,
    ) -> Result<Arc<Self>, TomboloError> {
        run_to_end(async move {
            let mut builder = config.builder()?;
            if let Some(provider) = credentials {
                builder = builder.credentials(move || ask(Arc::clone(&provider)));
            }
            let builder = builder.on_panic(|words| crate::report::report("panic", words.to_owned()));
            let client = builder.open().await?;
            Ok(Arc::new(Self {
                inner: Mutex::new(Some(client)),
                ended: CancellationToken::new(),
            }))
        })
        .await
    }

    /// What was saved out of a damaged file when this one was made: [`tombolo::Client::salvage`].
    ///
    /// # Errors
    /// [`TomboloError::Closed`].
    pub fn salvage(&self) -> Result<Option<Salvage>, TomboloError> {
        Ok(self.client()?.salvage().map(Salvage::from))
    }

    /// What was taken over of a file of Amplify DataStore: [`tombolo::Client::datastore_import`].
    ///
    /// # Errors
    /// [`TomboloError::Closed`].
    pub fn datastore_import(&self) -> Result<Option<ImportReport>, TomboloError> {
        Ok(self.client()?.datastore_import().map(ImportReport::from))
    }

    /// Answers a query from the local file: [`tombolo::Client::query`]. `variables` is a JSON object.
    ///
    /// # Errors
    /// [`TomboloError::Request`], [`TomboloError::NeedsNetwork`], [`TomboloError::Json`], [`TomboloError::Store`].
    #[uniffi::method(default(variables = None, cancel = None))]
    pub async fn query(
        &self,
        document: String,
        variables: Option<String>,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Answer, TomboloError> {
        let client = self.client()?;
        run(cancel, async move {
            let variables = variables_of(variables.as_deref())?;
            Ok(client.query(&document, variables).await?.into())
        })
        .await
    }

    /// Carries out a mutation on the local rows and queues it, in one transaction: [`tombolo::Client::mutate`]. It is brief
    /// and cannot be cancelled: once called it is carried out, also if nobody waits for it.
    ///
    /// # Errors
    /// Nothing has been queued then: [`TomboloError::Request`], [`TomboloError::Json`], [`TomboloError::UnknownRecord`],
    /// [`TomboloError::Refused`], [`TomboloError::RequestTooLarge`], [`TomboloError::OutboxFull`],
    /// [`TomboloError::DiskFull`], [`TomboloError::Busy`], [`TomboloError::Store`].
    #[uniffi::method(default(variables = None))]
    pub async fn mutate(&self, document: String, variables: Option<String>) -> Result<Mutated, TomboloError> {
        let client = self.client()?;
        run_to_end(async move {
            let variables = variables_of(variables.as_deref())?;
            Ok(client.mutate(&document, variables).await?.into())
        })
        .await
    }

    /// Carries out several mutations together or not at all, here and on the server: [`tombolo::Client::transaction`].
    ///
    /// # Errors
    /// As [`Client::mutate`]; nothing has been queued then.
    pub async fn transaction(&self, operations: Vec<Operation>) -> Result<Transacted, TomboloError> {
        let client = self.client()?;
        run_to_end(async move {
            let mut read = Vec::with_capacity(operations.len());
            for operation in operations {
                read.push((operation.document, variables_of(operation.variables.as_deref())?));
            }
            let transacted = client
                .transaction(|transaction| {
                    read.into_iter()
                        .try_for_each(|(document, variables)| transaction.mutate(&document, variables))
                })
                .await?;
            Ok(transacted.into())
        })
        .await
    }

    /// Watches a query: [`tombolo::Client::watch`].
    ///
    /// # Errors
    /// As [`Client::query`], for the document and its variables.
    #[uniffi::method(default(variables = None))]
    pub fn watch(&self, document: String, variables: Option<String>) -> Result<Arc<LiveQuery>, TomboloError> {
        let client = self.client()?;
        at_once(|| {
            let variables = variables_of(variables.as_deref())?;
            Ok(LiveQuery::new(client.watch(&document, variables)?))
        })
    }

    /// Saves a record as the app has it: a create, an update of what differs, or nothing: [`tombolo::Client::save`]. `record`
    /// is a JSON object; `before`, the same record as the app read it, has only what the app changed sent. As brief as
    /// [`Client::mutate`], and as certain.
    ///
    /// # Errors
    /// As [`Client::mutate`]; nothing has been queued then. [`TomboloError::UnknownModel`].
    #[uniffi::method(default(before = None, condition = None))]
    pub async fn save(
        &self,
        model: String,
        record: String,
        before: Option<String>,
        condition: Option<String>,
    ) -> Result<SavedRecord, TomboloError> {
        let client = self.client()?;
        run_to_end(async move {
            let save = records::save(model, &record, before.as_deref(), condition.as_deref())?;
            Ok(client.save(save).await?.into())
        })
        .await
    }

    /// Deletes a record: [`tombolo::Client::delete`]. `key` is a JSON object by field, or the whole record.
    ///
    /// # Errors
    /// As [`Client::save`].
    #[uniffi::method(default(condition = None))]
    pub async fn delete(
        &self,
        model: String,
        key: String,
        condition: Option<String>,
    ) -> Result<DeletedRecord, TomboloError> {
        let client = self.client()?;
        run_to_end(async move {
            let key = convert::json("key", &key)?;
            let condition = convert::optional_json("condition", condition.as_deref())?;
            Ok(client.delete(&model, key, condition).await?.into())
        })
        .await
    }

    /// One record as JSON, or `None`: [`tombolo::Client::get`]. `key` is a JSON object by field.
    ///
    /// # Errors
    /// [`TomboloError::UnknownModel`], [`TomboloError::Request`], [`TomboloError::Json`], [`TomboloError::Store`].
    #[uniffi::method(default(cancel = None))]
    pub async fn get(
        &self,
        model: String,
        key: String,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Option<String>, TomboloError> {
        let client = self.client()?;
        run(cancel, async move {
            Ok(client.get(&model, convert::json("key", &key)?).await?)
        })
        .await
    }

    /// Records by filter and order: [`tombolo::Client::find`].
    ///
    /// # Errors
    /// As [`Client::get`].
    #[uniffi::method(default(cancel = None))]
    pub async fn find(
        &self,
        query: FindQuery,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<FoundRecords, TomboloError> {
        let client = self.client()?;
        run(cancel, async move { Ok(client.find(query.read()?).await?.into()) }).await
    }

    /// The same as they change: [`tombolo::Client::watch_find`].
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn watch_find(&self, query: FindQuery) -> Result<Arc<LiveRecords>, TomboloError> {
        let client = self.client()?;
        at_once(|| Ok(LiveRecords::new(client.watch_find(query.read()?)?)))
    }

    /// Each change of a model's records from now on: [`tombolo::Client::observe`]. `filter` is the JSON of the model's filter
    /// input; `with_existing` tells of the records that are there already, too, as created.
    ///
    /// # Errors
    /// As [`Client::get`].
    #[uniffi::method(default(filter = None, with_existing = false))]
    pub async fn observe(
        &self,
        model: String,
        filter: Option<String>,
        with_existing: bool,
    ) -> Result<Arc<RecordChanges>, TomboloError> {
        let client = self.client()?;
        run(None, async move {
            let options = records::observe_options(filter.as_deref(), with_existing)?;
            Ok(RecordChanges::new(client.observe(&model, options).await?))
        })
        .await
    }

    /// How the replica stands: [`tombolo::Client::status`].
    ///
    /// # Errors
    /// [`TomboloError::Closed`].
    pub fn status(&self) -> Result<Status, TomboloError> {
        let client = self.client()?;
        at_once(|| Ok(Status::from(&*client.status().borrow())))
    }

    /// The same as it changes.
    ///
    /// # Errors
    /// [`TomboloError::Closed`].
    pub fn watch_status(&self) -> Result<Arc<StatusWatch>, TomboloError> {
        let client = self.client()?;
        at_once(|| Ok(StatusWatch::new(client.status(), self.ended.clone())))
    }

    /// What happens from now on: [`tombolo::Client::events`].
    ///
    /// # Errors
    /// [`TomboloError::Closed`].
    pub fn events(&self) -> Result<Arc<EventStream>, TomboloError> {
        let client = self.client()?;
        at_once(|| Ok(EventStream::new(client.events(), self.ended.clone())))
    }

    /// The mutations that are not settled, and those refused that the app has not taken note of. One that the server has
    /// carried out, and whose effect the feed is about to bring, stands as [`crate::MutationState::Applied`], merged or not:
    /// [`tombolo::Client::outbox`].
    ///
    /// # Errors
    /// [`TomboloError::Store`].
    #[uniffi::method(default(cancel = None))]
    pub async fn outbox(&self, cancel: Option<Arc<CancelHandle>>) -> Result<Vec<Mutation>, TomboloError> {
        let client = self.client()?;
        run(cancel, async move {
            let items = client.outbox().await?;
            Ok(items.into_iter().map(Mutation::from).collect())
        })
        .await
    }

    /// Mutations on their way and ended: [`tombolo::Client::mutations`].
    ///
    /// # Errors
    /// [`TomboloError::Store`]; [`TomboloError::Json`] for the filter's key.
    #[uniffi::method(default(cancel = None))]
    pub async fn mutations(
        &self,
        filter: MutationFilter,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<Vec<Mutation>, TomboloError> {
        let client = self.client()?;
        run(cancel, async move {
            let mutations = client.mutations(filter.read()?).await?;
            Ok(mutations.into_iter().map(Mutation::from).collect())
        })
        .await
    }

    /// One mutation, on its way or ended: [`tombolo::Client::mutation`].
    ///
    /// # Errors
    /// [`TomboloError::Store`].
    pub async fn mutation(&self, number: u64) -> Result<Option<Mutation>, TomboloError> {
        let client = self.client()?;
        run(None, async move {
            Ok(client.mutation(MutationNumber(number)).await?.map(Mutation::from))
        })
        .await
    }

    /// Waits for a mutation's final state: [`tombolo::Client::outcome`].
    ///
    /// # Errors
    /// [`TomboloError::UnknownMutation`], [`TomboloError::Closed`].
    #[uniffi::method(default(cancel = None))]
    pub async fn outcome(&self, number: u64, cancel: Option<Arc<CancelHandle>>) -> Result<Outcome, TomboloError> {
        let client = self.client()?;
        run(cancel, async move {
            Ok(client.outcome(MutationNumber(number)).await?.into())
        })
        .await
    }

    /// Tries a rejected or wedged mutation again: [`tombolo::Client::retry`].
    ///
    /// # Errors
    /// [`TomboloError::UnknownMutation`], [`TomboloError::WrongState`], [`TomboloError::Refused`].
    pub async fn retry(&self, number: u64) -> Result<Vec<u64>, TomboloError> {
        let client = self.client()?;
        run_to_end(async move { Ok(convert::numbers(client.retry(MutationNumber(number)).await?)) }).await
    }

    /// Tries a rejected or wedged mutation again with other values: [`tombolo::Client::edit_and_retry`]. `values` is a JSON
    /// object from field to value.
    ///
    /// # Errors
    /// As [`Client::retry`]; [`TomboloError::Request`] or [`TomboloError::Json`] if a field or its value is wrong.
    pub async fn edit_and_retry(&self, number: u64, values: String) -> Result<Vec<u64>, TomboloError> {
        let client = self.client()?;
        run_to_end(async move {
            let values = convert::json("values", &values)?;
            let numbers = client.edit_and_retry(MutationNumber(number), values).await?;
            Ok(convert::numbers(numbers))
        })
        .await
    }

    /// Gives up a queued or wedged mutation, or takes note of a refused one: [`tombolo::Client::discard`].
    ///
    /// # Errors
    /// [`TomboloError::UnknownMutation`], [`TomboloError::WrongState`].
    pub async fn discard(&self, number: u64) -> Result<(), TomboloError> {
        let client = self.client()?;
        run_to_end(async move { Ok(client.discard(MutationNumber(number)).await?) }).await
    }

    /// Wants a link, or none: [`tombolo::Client::set_online`].
    ///
    /// # Errors
    /// [`TomboloError::Incomplete`] without a URL.
    pub async fn set_online(&self, online: bool) -> Result<(), TomboloError> {
        let client = self.client()?;
        run_to_end(async move { Ok(client.set_online(online).await?) }).await
    }

    /// Gives another credential: [`tombolo::Client::set_token`], [`tombolo::Client::set_api_key`].
    ///
    /// # Errors
    /// [`TomboloError::Closed`], [`TomboloError::Suspended`].
    pub async fn set_credential(&self, credential: Credential) -> Result<(), TomboloError> {
        let client = self.client()?;
        run_to_end(async move {
            match credential {
                Credential::ApiKey { key } => client.set_api_key(key).await?,
                Credential::Token { token } => client.set_token(token).await?,
            }
            Ok(())
        })
        .await
    }

    /// Goes by another way to the same server: [`tombolo::Client::set_transport`].
    ///
    /// # Errors
    /// [`TomboloError::Endpoint`].
    pub async fn set_transport(&self, transport: Transport) -> Result<(), TomboloError> {
        let client = self.client()?;
        run_to_end(async move {
            match transport {
                Transport::Network { url } => {
                    let endpoint = Endpoint::parse(&url).map_err(tombolo::Error::from)?;
                    client.set_transport(Network::new(endpoint)).await?;
                }
                Transport::Mqtt { url } => {
                    client.set_transport(mqtt(&url)?).await?;
                }
            }
            Ok(())
        })
        .await
    }

    /// Pushes and pulls until nothing is left to do or the budget is spent: [`tombolo::Client::sync_once`].
    ///
    /// # Errors
    /// [`TomboloError::Unauthorized`], [`TomboloError::Incomplete`]. No network is not an error.
    #[uniffi::method(default(cancel = None))]
    pub async fn sync_once(
        &self,
        budget_ms: u64,
        cancel: Option<Arc<CancelHandle>>,
    ) -> Result<SyncReport, TomboloError> {
        let client = self.client()?;
        run(cancel, async move {
            Ok(client.sync_once(milliseconds(budget_ms)).await?.into())
        })
        .await
    }

    /// What this replica holds: [`tombolo::Client::scopes`].
    ///
    /// # Errors
    /// [`TomboloError::Closed`].
    pub fn scopes(&self) -> Result<Vec<ScopeStatus>, TomboloError> {
        let client = self.client()?;
        at_once(|| Ok(client.scopes().iter().map(ScopeStatus::from).collect()))
    }

    /// Holds the records of a model that match a filter (its JSON), or all of them: [`tombolo::Client::set_scope`].
    ///
    /// # Errors
    /// [`TomboloError::UnknownModel`], [`TomboloError::Request`], [`TomboloError::Json`].
    #[uniffi::method(default(filter = None))]
    pub async fn set_scope(&self, model: String, filter: Option<String>) -> Result<(), TomboloError> {
        let client = self.client()?;
        run_to_end(async move {
            let filter = convert::optional_json("filter", filter.as_deref())?;
            Ok(client.set_scope(&model, filter).await?)
        })
        .await
    }

    /// Holds nothing of a model any more: [`tombolo::Client::remove_scope`].
    ///
    /// # Errors
    /// [`TomboloError::UnknownModel`].
    pub async fn remove_scope(&self, model: String) -> Result<(), TomboloError> {
        let client = self.client()?;
        run_to_end(async move { Ok(client.remove_scope(&model).await?) }).await
    }

    /// Lets go of file and link, before the system suspends the app: [`tombolo::Client::suspend`].
    ///
    /// # Errors
    /// [`TomboloError::Closed`], [`TomboloError::SignedOut`].
    pub async fn suspend(&self) -> Result<(), TomboloError> {
        let client = self.client()?;
        run_to_end(async move { Ok(client.suspend().await?) }).await
    }

    /// Takes them up again: [`tombolo::Client::resume`].
    ///
    /// # Errors
    /// [`TomboloError::Open`]; [`TomboloError::SignedOut`].
    pub async fn resume(&self) -> Result<(), TomboloError> {
        let client = self.client()?;
        run_to_end(async move { Ok(client.resume().await?) }).await
    }

    /// Whether the client is suspended.
    ///
    /// # Errors
    /// [`TomboloError::Closed`].
    pub fn is_suspended(&self) -> Result<bool, TomboloError> {
        Ok(self.client()?.is_suspended())
    }

    /// Signs the account out: [`tombolo::Client::sign_out`]. Cancelled while it sends it has not happened; what was cancelled later
    /// happens all the same, and the next call says [`TomboloError::SignedOut`].
    ///
    /// # Errors
    /// [`TomboloError::Incomplete`], [`TomboloError::Suspended`], [`TomboloError::Store`]: the account is still signed in.
    #[uniffi::method(default(cancel = None))]
    pub async fn sign_out(&self, how: SignOut, cancel: Option<Arc<CancelHandle>>) -> Result<SignedOut, TomboloError> {
        let client = self.client()?;
        run(cancel, async move { Ok(client.sign_out(how.into()).await?.into()) }).await
    }

    /// Carries out what was called before, ends the link and releases the file: [`tombolo::Client::close`]. Twice is no error.
    pub async fn shut_down(&self) -> Result<(), TomboloError> {
        let client = self.inner.lock().unwrap_or_else(PoisonError::into_inner).take();
        let ended = self.ended.clone();
        let Some(client) = client else {
            // Another call is about it.
            ended.cancelled().await;
            return Ok(());
        };
        // Also if closing should panic.
        let ending = ended.drop_guard();
        run_to_end(async move {
            client.close().await;
            drop(ending);
            Ok(())
        })
        .await
    }
}

fn variables_of(given: Option<&str>) -> Result<serde_json::Value, TomboloError> {
    Ok(convert::optional_json("variables", given)?.unwrap_or_default())
}
