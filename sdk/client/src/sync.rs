//! One bounded round of synchronisation, for background jobs and command lines.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde::Serialize;
use tokio::sync::oneshot;
use tombolo_machine::{LastError, LinkStatus, Status};

use crate::Error;
use crate::hub::Totals;
use crate::inner::Inner;
use crate::writer::Command;

/// What a round of [`crate::Client::sync_once`] did, and how the replica stands after it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SyncReport {
    /// Mutations that the server applied or merged.
    pub pushed: u64,
    /// Mutations that the server refused.
    pub rejected: u64,
    /// Records that came or left.
    pub pulled: u64,
    /// Mutations still on their way.
    pub pending: u64,
    /// Everything that the server had, but of [`SyncReport::refused`], was here at the end.
    pub up_to_date: bool,
    /// The models whose scope the server refuses, each with its words: another schema, or rules that keep the user out. Nothing of
    /// them was pulled, and nothing is left to do about them here.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub refused: BTreeMap<String, String>,
    /// The newest trouble, in words for people, if the round did not get through.
    #[serde(skip)]
    pub trouble: Option<String>,
}

impl SyncReport {
    /// Whether nothing is left to do: up to date, with nothing pending.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.up_to_date && self.pending == 0
    }
}

fn is_complete(status: &Status) -> bool {
    status.up_to_date && status.pending == 0
}

/// Another process on the file has the link: once that one has sent everything there is nothing left to do here.
fn is_done_elsewhere(status: &Status) -> bool {
    status.link == LinkStatus::Elsewhere && status.pending == 0
}

pub(crate) async fn once(inner: &Inner, budget: Duration) -> Result<SyncReport, Error> {
    inner.needs_link()?;
    let before = inner.hub.totals();
    let mut status = inner.hub.status.subscribe();
    let borrowed = (!inner.online.load(Ordering::SeqCst)).then(|| BorrowedLink {
        inner,
        given_back: false,
    });
    // Opens a link where none is wanted, and cuts the back-off short where one is awaited.
    inner.call(Command::GoOnline).await?;
    // Where the app is being asked for a credential, the round goes on with the one that it gives.
    let is_refused = |status: &Status| status.link == LinkStatus::Paused && !inner.asks;
    let end = async {
        let settled = status
            .wait_for(|status| is_complete(status) || is_refused(status) || is_done_elsewhere(status))
            .await;
        settled.map(|status| status.clone()).map_err(|_| inner.gone())
    };
    let status = match tokio::time::timeout(budget, end).await {
        Ok(status) => status?,
        Err(_) => inner.hub.status.borrow().clone(),
    };
    let report = report(before, inner.hub.totals(), &status);
    if let Some(borrowed) = borrowed {
        borrowed.give_back().await?;
    }
    if status.link == LinkStatus::Paused {
        let words = status
            .last_error
            .map_or_else(|| "no reason given".to_owned(), |error| error.message);
        return Err(Error::Unauthorized(words));
    }
    Ok(report)
}

/// A link that the app does not want beyond this round: ended with it, also when the round's future is dropped.
struct BorrowedLink<'a> {
    inner: &'a Inner,
    given_back: bool,
}

impl BorrowedLink<'_> {
    async fn give_back(mut self) -> Result<(), Error> {
        // The app may have gone online meanwhile.
        if !self.inner.online.load(Ordering::SeqCst) {
            self.inner.set_online(false).await?;
        }
        self.given_back = true;
        Ok(())
    }
}

impl Drop for BorrowedLink<'_> {
    fn drop(&mut self) {
        if !self.given_back && !self.inner.online.load(Ordering::SeqCst) {
            let (reply, _) = oneshot::channel();
            // Full or closed: then the link stays until the app next says what it wants.
            drop(self.inner.calls.try_send(Command::SetOnline(false, reply)));
        }
    }
}

fn report(before: Totals, after: Totals, status: &Status) -> SyncReport {
    SyncReport {
        pushed: after.pushed - before.pushed,
        rejected: after.rejected - before.rejected,
        pulled: after.pulled - before.pulled,
        pending: status.pending,
        up_to_date: status.up_to_date,
        refused: status
            .scopes
            .iter()
            .filter_map(|scope| Some((scope.model.clone(), scope.refused.clone()?)))
            .collect(),
        trouble: status
            .last_error
            .as_ref()
            .map(|LastError { code, message, .. }| format!("{code}: {message}")),
    }
}
