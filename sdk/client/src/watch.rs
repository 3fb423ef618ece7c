//! Live queries.

use std::sync::Arc;

use tokio::sync::watch;
use tombolo_core::query::Bound;

use crate::client::Inner;
use crate::{Error, Response};

/// A live query: gives the local answer at once, and again whenever it has become another one.
///
/// Changes that come quickly one after the other are taken together, a transaction is never seen half done, and the same
/// answer is never given twice in a row. Dropping it ends the query; nothing of it remains.
pub struct Watch {
    inner: Arc<Inner>,
    id: u64,
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
        Self {
            inner,
            id,
            bound,
            changes,
            seen: None,
            last: None,
        }
    }

    /// The first answer, then each next one that differs from the last given. `None` once the client is closed.
    ///
    /// Cancel safe: a future that is dropped before it is ready has lost nothing.
    pub async fn next(&mut self) -> Option<Result<Response, Error>> {
        loop {
            let now = *self.changes.borrow_and_update();
            if self.seen == Some(now) {
                self.changes.changed().await.ok()?;
                continue;
            }
            let answer = match self.inner.read(Arc::clone(&self.bound), Vec::new()).await {
                Ok(answer) => answer,
                Err(Error::Closed) => return None,
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
