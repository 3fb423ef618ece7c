//! A link by HTTP requests alone, where no socket gets through: mutations one request each, the change feed by looking
//! again and again.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tombolo_core::id::{MutationNumber, ReplicaId};
use tombolo_core::wire::graphql::Request;
use tombolo_machine::{FeedNumber, Input, ScopeCursor, messages};
use tombolo_transport::CloseReason;

use super::{Done, Line, page_input};
use crate::limits;
use crate::writer::{LinkNumber, Report};

pub(super) struct HttpLink {
    /// What the machine subscribed to, and where its scopes stand.
    feed: Option<(FeedNumber, ReplicaId, Vec<ScopeCursor>)>,
    polling: bool,
    /// Something has changed since the present round began.
    again: bool,
    poll_at: Duration,
    until: Duration,
    permits: Arc<Semaphore>,
}

impl HttpLink {
    pub(super) fn new(now: Duration) -> Self {
        Self {
            feed: None,
            polling: false,
            again: false,
            poll_at: now,
            until: now + limits::HTTP_LINK_MAX,
            permits: Arc::new(Semaphore::new(limits::HTTP_REQUESTS_MAX)),
        }
    }

    pub(super) fn subscribe(&mut self, feed: FeedNumber, replica: ReplicaId, scopes: Vec<ScopeCursor>, now: Duration) {
        self.feed = Some((feed, replica, scopes));
        self.look_again(now);
    }

    pub(super) fn unsubscribe(&mut self, feed: FeedNumber) {
        if self.feed.as_ref().is_some_and(|(open, ..)| *open == feed) {
            self.feed = None;
        }
    }

    /// There may be something new: the next look is due now.
    pub(super) fn look_again(&mut self, now: Duration) {
        self.again = true;
        self.poll_at = now;
    }

    /// When something is to be done.
    pub(super) fn due(&self) -> Duration {
        if self.polling || self.feed.is_none() {
            self.until
        } else {
            self.poll_at.min(self.until)
        }
    }

    /// A socket is to be tried again.
    pub(super) fn is_over(&self, now: Duration) -> bool {
        now >= self.until
    }

    /// Looks at every scope, page by page, until each is up to date.
    pub(super) fn poll(
        &mut self,
        line: &Line,
        link: LinkNumber,
        reports: mpsc::Sender<Report>,
        tasks: &mut JoinSet<Done>,
    ) {
        let Some((feed, replica, scopes)) = &self.feed else {
            return;
        };
        if self.polling {
            return;
        }
        (self.polling, self.again) = (true, false);
        let (feed, replica, scopes, line) = (*feed, replica.clone(), scopes.clone(), line.clone());
        tasks.spawn(async move {
            let result = round(&line, feed, &replica, scopes, (link, &reports)).await;
            Done::Polled { feed, result }
        });
    }

    pub(super) fn polled(&mut self, feed: FeedNumber, scopes: Vec<ScopeCursor>, now: Duration) {
        self.polling = false;
        self.poll_at = if self.again {
            now
        } else {
            now + limits::HTTP_POLL_INTERVAL
        };
        if let Some((open, _, known)) = &mut self.feed {
            if *open == feed {
                *known = scopes;
            } else {
                self.poll_at = now;
            }
        }
    }

    pub(super) fn mutate(&mut self, number: MutationNumber, request: Request, line: &Line, tasks: &mut JoinSet<Done>) {
        let (line, permits) = (line.clone(), Arc::clone(&self.permits));
        tasks.spawn(async move {
            // The semaphore is never closed, so there is always a permit in the end.
            let _permit = permits.acquire_owned().await;
            let result = line
                .request(request)
                .await
                .map(|payload| messages::read_answer(&payload));
            Done::Answered { number, result }
        });
    }
}

async fn round(
    line: &Line,
    feed: FeedNumber,
    replica: &ReplicaId,
    mut scopes: Vec<ScopeCursor>,
    (link, reports): (LinkNumber, &mpsc::Sender<Report>),
) -> Result<Vec<ScopeCursor>, CloseReason> {
    for scope in &mut scopes {
        loop {
            let input = page_input(
                feed,
                line.page(messages::page_of(replica, scope, limits::PAGE_ROWS)).await?,
            )?;
            let (ended, up_to_date) = match &input {
                Input::Batch { batch, .. } => {
                    scope.cursor = Some(batch.cursor.clone());
                    (false, batch.up_to_date)
                }
                _ => (true, false),
            };
            // Without a writer the driver is about to end, and this task with it.
            let report = Report {
                link,
                transport: None,
                input,
            };
            if reports.send(report).await.is_err() || ended || up_to_date {
                break;
            }
        }
    }
    Ok(scopes)
}
