//! Live queries.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use futures_core::Stream;
use tokio::sync::watch;
use tombolo_core::query::Bound;
use tombolo_transport::BoxFuture;

use crate::inner::Inner;
use crate::{Error, Response};

/// A live query: gives the local answer at once, and again whenever it has become another one. It is a [`Stream`] that ends
/// when the client is closed.
///
/// Changes that come quickly one after the other are taken together, a transaction is never seen half done, and the same
/// answer is never given twice in a row. While the client is suspended it waits. Dropping it ends the query; nothing of it
/// remains.
pub struct Watch {
    id: u64,
    inner: Arc<Inner>,
    turn: Turn,
}

enum Turn {
    /// The next answer is being looked for.
    Runs(BoxFuture<'static, (Query, Item)>),
    /// Nobody has asked for it yet.
    Rests(Box<Query>),
    /// There is none.
    Over,
}

type Item = Option<Result<Response, Error>>;

struct Query {
    inner: Arc<Inner>,
    bound: Arc<Bound>,
    changes: watch::Receiver<u64>,
    /// The number of changes that `last` takes in; `None` before the first answer.
    seen: Option<u64>,
    last: Option<Response>,
}

impl Watch {
    pub(crate) fn new(inner: Arc<Inner>, bound: Arc<Bound>) -> Self {
        let reads = bound
            .reads()
            .iter()
            .map(|model| inner.schema.model(*model).name.clone())
            .collect();
        let (id, changes) = inner.hub.add_watch(reads);
        let query = Query {
            inner: Arc::clone(&inner),
            bound,
            changes,
            seen: None,
            last: None,
        };
        Self {
            id,
            inner,
            turn: Turn::Rests(Box::new(query)),
        }
    }

    /// The first answer, then each next one that differs from the last given. `None` once the client is closed.
    ///
    /// Cancel safe: a future that is dropped before it is ready has lost nothing.
    pub async fn next(&mut self) -> Option<Result<Response, Error>> {
        poll_fn(|cx| Pin::new(&mut *self).poll_next(cx)).await
    }
}

impl Stream for Watch {
    type Item = Result<Response, Error>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Item> {
        let mut runs: BoxFuture<'static, (Query, Item)> = match std::mem::replace(&mut self.turn, Turn::Over) {
            Turn::Over => return Poll::Ready(None),
            Turn::Runs(runs) => runs,
            Turn::Rests(mut query) => Box::pin(async move {
                let item = query.next().await;
                (*query, item)
            }),
        };
        let Poll::Ready((query, item)) = runs.as_mut().poll(cx) else {
            self.turn = Turn::Runs(runs);
            return Poll::Pending;
        };
        if item.is_some() {
            self.turn = Turn::Rests(Box::new(query));
        }
        Poll::Ready(item)
    }
}

impl Query {
    async fn next(&mut self) -> Item {
        loop {
            let now = *self.changes.borrow_and_update();
            if self.seen == Some(now) {
                self.changes.changed().await.ok()?;
                continue;
            }
            let answer = match self.inner.read(Arc::clone(&self.bound), Vec::new()).await {
                Ok(answer) => answer,
                Err(Error::Closed | Error::SignedOut) => return None,
                // It goes on when the client does, which is told as a change.
                Err(Error::Suspended) => {
                    self.changes.changed().await.ok()?;
                    continue;
                }
                Err(error) => return Some(Err(error)),
            };
            self.seen = Some(now);
            if self.last.as_ref() != Some(&answer) {
                self.last = Some(answer.clone());
                return Some(Ok(answer));
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.inner.hub.remove_watch(self.id);
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Watch({})", self.id)
    }
}
