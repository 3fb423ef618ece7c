//! What is watched: handles that are asked for the next item. Each ends with its client, by `stop`, and when it is dropped.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{Mutex, broadcast, watch};
use tokio_util::sync::CancellationToken;

use crate::{Answer, CancelHandle, Event, FoundRecords, RecordChange, Status, TomboloError, runtime};

/// Something that gives items, one after the other; a look that is given up loses none.
trait Source: Send + 'static {
    type Item: Send + 'static;

    fn next(&mut self) -> impl Future<Output = Result<Option<Self::Item>, TomboloError>> + Send;
}

/// A source that can be stopped. Two who ask at once take turns.
struct Stoppable<S> {
    /// `None` once it is over.
    source: Arc<Mutex<Option<S>>>,
    stopped: CancellationToken,
}

impl<S: Source> Stoppable<S> {
    fn new(source: S) -> Self {
        Self {
            source: Arc::new(Mutex::new(Some(source))),
            stopped: CancellationToken::new(),
        }
    }

    async fn next(&self, cancel: Option<Arc<CancelHandle>>) -> Result<Option<S::Item>, TomboloError> {
        let (source, stopped) = (Arc::clone(&self.source), self.stopped.clone());
        runtime::run(cancel, async move {
            let mut slot = tokio::select! {
                biased;
                () = stopped.cancelled() => return Ok(None),
                slot = source.lock() => slot,
            };
            let Some(source) = slot.as_mut() else { return Ok(None) };
            let item = tokio::select! {
                biased;
                () = stopped.cancelled() => Ok(None),
                item = source.next() => item,
            };
            if matches!(item, Ok(None)) {
                *slot = None;
            }
            item
        })
        .await
    }

    fn stop(&self) {
        self.stopped.cancel();
        // Whoever is looking just now lets go of it.
        if let Ok(mut slot) = self.source.try_lock() {
            *slot = None;
        }
    }
}

impl Source for tombolo::Watch {
    type Item = Answer;

    async fn next(&mut self) -> Result<Option<Answer>, TomboloError> {
        match tombolo::Watch::next(self).await {
            Some(Ok(response)) => Ok(Some(response.into())),
            Some(Err(error)) => Err(error.into()),
            None => Ok(None),
        }
    }
}

impl Source for tombolo::WatchFind {
    type Item = FoundRecords;

    async fn next(&mut self) -> Result<Option<FoundRecords>, TomboloError> {
        match tombolo::WatchFind::next(self).await {
            Some(Ok(records)) => Ok(Some(records.into())),
            Some(Err(error)) => Err(error.into()),
            None => Ok(None),
        }
    }
}

impl Source for tombolo::Observe {
    type Item = RecordChange;

    async fn next(&mut self) -> Result<Option<RecordChange>, TomboloError> {
        match tombolo::Observe::next(self).await {
            Some(Ok(observed)) => Ok(Some(observed.into())),
            Some(Err(error)) => Err(error.into()),
            None => Ok(None),
        }
    }
}

struct Statuses {
    status: watch::Receiver<tombolo::Status>,
    begun: bool,
}

impl Source for Statuses {
    type Item = Status;

    async fn next(&mut self) -> Result<Option<Status>, TomboloError> {
        if self.begun && self.status.changed().await.is_err() {
            return Ok(None);
        }
        self.begun = true;
        Ok(Some(Status::from(&*self.status.borrow_and_update())))
    }
}

impl Source for broadcast::Receiver<tombolo::Event> {
    type Item = Event;

    async fn next(&mut self) -> Result<Option<Event>, TomboloError> {
        match self.recv().await {
            Ok(event) => Ok(Some(event.into())),
            Err(RecvError::Lagged(count)) => Ok(Some(Event::Missed { count })),
            Err(RecvError::Closed) => Ok(None),
        }
    }
}

/// A live query: [`tombolo::Watch`]. Made by [`crate::Client::watch`].
#[derive(uniffi::Object)]
pub struct LiveQuery(Stoppable<tombolo::Watch>);

impl LiveQuery {
    pub(crate) fn new(watch: tombolo::Watch) -> Arc<Self> {
        Arc::new(Self(Stoppable::new(watch)))
    }
}

#[uniffi::export]
impl LiveQuery {
    /// The local answer at once; then, each time it has become another one, the newest. `None` once the query is stopped or
    /// the client closed. While the client is suspended it waits. Cancelling the call loses nothing.
    ///
    /// # Errors
    /// [`TomboloError::Store`] if the file cannot be read; the query may be asked again.
    #[uniffi::method(default(cancel = None))]
    pub async fn next(&self, cancel: Option<Arc<CancelHandle>>) -> Result<Option<Answer>, TomboloError> {
        self.0.next(cancel).await
    }

    /// Ends the query: whoever waits gets `None`. Twice is no error.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Records as they change: [`tombolo::WatchFind`]. Made by [`crate::Client::watch_find`].
#[derive(uniffi::Object)]
pub struct LiveRecords(Stoppable<tombolo::WatchFind>);

impl LiveRecords {
    pub(crate) fn new(watch: tombolo::WatchFind) -> Arc<Self> {
        Arc::new(Self(Stoppable::new(watch)))
    }
}

#[uniffi::export]
impl LiveRecords {
    /// As [`LiveQuery::next`].
    ///
    /// # Errors
    /// [`TomboloError::Store`] if the file cannot be read; it may be asked again.
    #[uniffi::method(default(cancel = None))]
    pub async fn next(&self, cancel: Option<Arc<CancelHandle>>) -> Result<Option<FoundRecords>, TomboloError> {
        self.0.next(cancel).await
    }

    /// Ends it: whoever waits gets `None`. Twice is no error.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// Each change of a model's records: [`tombolo::Observe`]. Made by [`crate::Client::observe`].
#[derive(uniffi::Object)]
pub struct RecordChanges(Stoppable<tombolo::Observe>);

impl RecordChanges {
    pub(crate) fn new(observe: tombolo::Observe) -> Arc<Self> {
        Arc::new(Self(Stoppable::new(observe)))
    }
}

#[uniffi::export]
impl RecordChanges {
    /// The next change. `None` once it is stopped or the client closed. While the client is suspended it waits. Cancelling the
    /// call loses nothing.
    ///
    /// # Errors
    /// [`TomboloError::Store`] if the file cannot be read; it may be asked again.
    #[uniffi::method(default(cancel = None))]
    pub async fn next(&self, cancel: Option<Arc<CancelHandle>>) -> Result<Option<RecordChange>, TomboloError> {
        self.0.next(cancel).await
    }

    /// Ends it: whoever waits gets `None`. Twice is no error.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// The replica's status as it changes. Made by [`crate::Client::watch_status`].
#[derive(uniffi::Object)]
pub struct StatusWatch(Stoppable<Statuses>);

impl StatusWatch {
    pub(crate) fn new(status: watch::Receiver<tombolo::Status>) -> Arc<Self> {
        Arc::new(Self(Stoppable::new(Statuses { status, begun: false })))
    }
}

#[uniffi::export]
impl StatusWatch {
    /// The status at once; then, each time it has changed, the newest. `None` once the watch is stopped or the client gone.
    ///
    /// # Errors
    /// [`TomboloError::Cancelled`] alone.
    #[uniffi::method(default(cancel = None))]
    pub async fn next(&self, cancel: Option<Arc<CancelHandle>>) -> Result<Option<Status>, TomboloError> {
        self.0.next(cancel).await
    }

    /// Ends the watch. Twice is no error.
    pub fn stop(&self) {
        self.0.stop();
    }
}

/// What happens from now on: [`tombolo::Client::events`]. Made by [`crate::Client::events`].
#[derive(uniffi::Object)]
pub struct EventStream(Stoppable<broadcast::Receiver<tombolo::Event>>);

impl EventStream {
    pub(crate) fn new(events: broadcast::Receiver<tombolo::Event>) -> Arc<Self> {
        Arc::new(Self(Stoppable::new(events)))
    }
}

#[uniffi::export]
impl EventStream {
    /// The next event. `None` once the stream is stopped or the client gone.
    ///
    /// # Errors
    /// [`TomboloError::Cancelled`] alone.
    #[uniffi::method(default(cancel = None))]
    pub async fn next(&self, cancel: Option<Arc<CancelHandle>>) -> Result<Option<Event>, TomboloError> {
        self.0.next(cancel).await
    }

    /// Ends the stream. Twice is no error.
    pub fn stop(&self) {
        self.0.stop();
    }
}
