//! What is watched: handles that are asked for the next item. Each ends with its client, by `stop`, and when it is dropped.

use std::collections::VecDeque;
use std::future::Future;
use std::sync::{Arc, PoisonError};

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
struct Stoppable<S: Source> {
    /// `None` once it is over.
    source: Arc<Mutex<Option<S>>>,
    returned: Returned<S::Item>,
    stopped: CancellationToken,
}

/// Items that were found for callers who had gone by then, for whoever asks next.
type Returned<T> = Arc<std::sync::Mutex<VecDeque<T>>>;

/// An item on its way from our thread to its caller; if that one has gone, it goes back.
struct OnItsWay<T> {
    item: Option<T>,
    returned: Returned<T>,
}

impl<T> Drop for OnItsWay<T> {
    fn drop(&mut self) {
        let item = self.item.take();
        self.returned
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .extend(item);
    }
}

impl<S: Source> Stoppable<S> {
    fn new(source: S) -> Self {
        Self {
            source: Arc::new(Mutex::new(Some(source))),
            returned: Returned::default(),
            stopped: CancellationToken::new(),
        }
    }

    async fn next(&self, cancel: Option<Arc<CancelHandle>>) -> Result<Option<S::Item>, TomboloError> {
        let (source, stopped) = (Arc::clone(&self.source), self.stopped.clone());
        let returned = Arc::clone(&self.returned);
        let found = runtime::run(cancel, async move {
            let mut slot = tokio::select! {
                biased;
                () = stopped.cancelled() => return Ok(None),
                slot = source.lock() => slot,
            };
            let Some(source) = slot.as_mut() else { return Ok(None) };
            let back = returned.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
            let item = match back {
                Some(item) => Ok(Some(item)),
                None => tokio::select! {
                    biased;
                    () = stopped.cancelled() => Ok(None),
                    item = source.next() => item,
                },
            };
            if matches!(item, Ok(None)) {
                *slot = None;
            }
            let item = item?;
            Ok(item.map(|item| OnItsWay {
                item: Some(item),
                returned,
            }))
        })
        .await?;
        Ok(found.and_then(|mut found| found.item.take()))
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
    /// The client is shut down. Its own end of the channel lives as long as any handle that somebody holds.
    ended: CancellationToken,
}

impl Source for Statuses {
    type Item = Status;

    async fn next(&mut self) -> Result<Option<Status>, TomboloError> {
        if self.begun {
            tokio::select! {
                biased;
                changed = self.status.changed() => if changed.is_err() {
                    return Ok(None);
                },
                () = self.ended.cancelled() => return Ok(None),
            }
        }
        self.begun = true;
        Ok(Some(Status::from(&*self.status.borrow_and_update())))
    }
}

struct Events {
    events: broadcast::Receiver<tombolo::Event>,
    /// As in [`Statuses`].
    ended: CancellationToken,
}

impl Source for Events {
    type Item = Event;

    async fn next(&mut self) -> Result<Option<Event>, TomboloError> {
        let event = tokio::select! {
            biased;
            event = self.events.recv() => event,
            () = self.ended.cancelled() => return Ok(None),
        };
        match event {
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
    pub(crate) fn new(status: watch::Receiver<tombolo::Status>, ended: CancellationToken) -> Arc<Self> {
        let begun = false;
        Arc::new(Self(Stoppable::new(Statuses { status, begun, ended })))
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
pub struct EventStream(Stoppable<Events>);

impl EventStream {
    pub(crate) fn new(events: broadcast::Receiver<tombolo::Event>, ended: CancellationToken) -> Arc<Self> {
        Arc::new(Self(Stoppable::new(Events { events, ended })))
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    struct Numbers(u32);

    impl Source for Numbers {
        type Item = u32;

        async fn next(&mut self) -> Result<Option<u32>, TomboloError> {
            self.0 += 1;
            Ok(Some(self.0))
        }
    }

    /// The item is found, and its caller cancelled before he has taken it.
    #[tokio::test]
    async fn what_was_found_for_a_caller_who_has_gone_is_the_next_ones() {
        let numbers = Stoppable::new(Numbers(0));
        let mut taken = 0;
        loop {
            let mut call = Box::pin(numbers.next(None));
            let first = std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx).is_ready())).await;
            if first {
                taken += 1;
                continue;
            }
            // It comes to its end, and nobody has looked.
            while numbers.source.lock().await.as_ref().unwrap().0 == taken {
                tokio::task::yield_now().await;
            }
            break;
        }
        let back = async {
            while numbers.returned.lock().unwrap().is_empty() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(std::time::Duration::from_secs(20), back)
            .await
            .unwrap();
        for number in [taken + 1, taken + 2] {
            assert_eq!(numbers.next(None).await.unwrap(), Some(number));
        }
    }
}
