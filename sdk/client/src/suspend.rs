//! Letting go and taking up again: the file and the link while the app sleeps, the link alone while another process on the
//! same file has it, and both for good when the account signs out.

use tokio::sync::oneshot;
use tombolo_machine::{Input, LinkStatus, OutboxCounts, StoreError};
use tombolo_store::{Options, Reader, Seal, Store};

use crate::client::Client;
use crate::hub::Standing;
use crate::writer::{Command, Order, Place, Writer};
use crate::{Error, limits, readers};

/// How the writer is to seal the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sealing {
    /// It stays.
    Keep,
    /// It goes if there is nothing in it that the server lacks.
    KeepUnsent,
    /// It goes.
    Discard,
}

/// A file that has been sealed.
pub(crate) struct Sealed {
    pub counts: OutboxCounts,
    /// It is to be removed.
    pub remove: bool,
}

/// Mutations that only this file knows: not decided by the server, or refused and not taken note of by the app.
pub(crate) fn unsent(counts: &OutboxCounts) -> u64 {
    // One that was given up may have been carried out, until the server has said that it is void.
    counts.queued + counts.in_flight + counts.wedged + counts.rejected + counts.given_up
}

impl Client {
    /// Lets go of everything: ends the link, closes the file and gives its locks back. Call it when the system is about to
    /// suspend the app: a system may kill a suspended app that holds a lock on a file which other processes share. When it
    /// returns the process may be frozen or killed, and nothing is lost. HTTP connections that were kept for later requests
    /// are let go of too; they close by themselves in the moment after.
    ///
    /// What was called before is carried out first. Until [`Client::resume`] calls give [`Error::Suspended`]; live queries
    /// wait. Another process on the same file may take the link meanwhile. Suspending twice is no error.
    ///
    /// ```
    #[doc = include_str!("../doc/open.rs")]
    /// # use serde_json::json;
    /// client.suspend().await?;
    /// let refused = client.query("{ listNotes { items { text } } }", json!(null)).await;
    /// assert_eq!(refused.unwrap_err().code(), "suspended");
    /// client.resume().await?;
    /// client.query("{ listNotes { items { text } } }", json!(null)).await?;
    #[doc = include_str!("../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`], or [`Error::SignedOut`].
    pub async fn suspend(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let _turn = inner.turns.lock().await;
        match inner.hub.standing() {
            Standing::Suspended => return Ok(()),
            standing @ (Standing::SignedOut | Standing::Closed) => return Err(standing.refusal()),
            Standing::Open => inner.hub.set_standing(Standing::Suspended),
        }
        // The readers first: the connection that closes last tidies the file.
        readers::end(&inner.questions).await;
        let (parked, parking) = oneshot::channel();
        let sent = inner.calls.send(Command::Suspend(parked)).await;
        sent.map_err(|_| inner.gone())?;
        // An error means that the driver has ended by itself: nothing is open then.
        drop(parking.await);
        match inner.hub.standing() {
            Standing::Open | Standing::Suspended => Ok(()),
            standing @ (Standing::SignedOut | Standing::Closed) => Err(standing.refusal()),
        }
    }

    /// Takes up again what [`Client::suspend`] let go of: opens the file, and the link if the app wants one. Live queries
    /// look again: what another process has written meanwhile is seen. Without a suspension it does nothing.
    ///
    /// # Errors
    /// [`Error::Open`] if the file cannot be opened now; the client stays suspended and may be asked again.
    /// [`Error::SignedOut`] if the account has signed out meanwhile; the client has ended then.
    pub async fn resume(&self) -> Result<(), Error> {
        let inner = &self.inner;
        let _turn = inner.turns.lock().await;
        match inner.hub.standing() {
            Standing::Open => return Ok(()),
            standing @ (Standing::SignedOut | Standing::Closed) => return Err(standing.refusal()),
            Standing::Suspended => {}
        }
        let readers = inner.call_anyway(Command::Resume).await?;
        readers::start(readers, &inner.questions, &inner.mishaps).map_err(Error::Thread)?;
        inner.hub.set_standing(Standing::Open);
        inner.hub.all_changed();
        Ok(())
    }

    /// Whether the client is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.inner.hub.standing() == Standing::Suspended
    }
}

impl Writer {
    /// The app wants a link, or none. A link needs the right to it, which one process on the file has at a time.
    pub(crate) fn set_online(&mut self, online: bool) -> Result<(), Error> {
        self.wants_link = online;
        if online {
            return self.take_link();
        }
        let done = self.step(Input::SetOnline(false)).map_err(Error::from);
        if let Some(file) = self.file.as_mut().filter(|_| done.is_ok()) {
            file.stop_draining();
        }
        self.tell_status();
        done
    }

    /// Opens the link if this process may, and otherwise waits for its turn ([`Writer::look_at_others`]).
    fn take_link(&mut self) -> Result<(), Error> {
        let file = self.file.as_mut().ok_or(Error::Suspended)?;
        let had = file.drains();
        if !had && !file.try_drain()? {
            self.tell_status();
            return Ok(());
        }
        let mut linked = Ok(());
        if !had {
            // The one before may have died with mutations in flight.
            linked = self.step(Input::Refresh);
        }
        let linked = linked.and_then(|()| self.step(Input::SetOnline(true)));
        if let Some(file) = self.file.as_mut().filter(|_| linked.is_err() && !had) {
            file.stop_draining();
        }
        self.tell_status();
        linked.map_err(Error::from)
    }

    /// Whether others have written, and whether the link is free now. Asked every [`limits::OTHERS_POLL`].
    pub(crate) fn look_at_others(&mut self) {
        let Some(file) = &self.file else { return };
        let written = match file.data_version() {
            Ok(now) => now != self.machine.data_version(),
            Err(error) => {
                tracing::warn!(%error, "the file cannot be asked whether others have written to it");
                false
            }
        };
        let waits = self.wants_link && !file.drains();
        if written && let Err(error) = self.step(Input::Refresh) {
            tracing::warn!(%error, "what others have written could not be taken in; tried again soon");
            return;
        }
        if waits && let Err(error) = self.take_link() {
            tracing::warn!(%error, "the link could not be taken over; tried again soon");
        }
    }

    /// Tells how the replica stands, if it is not what was told last.
    pub(crate) fn tell_status(&self) {
        let mut status = self.machine.status().clone();
        status.transport = match status.link {
            LinkStatus::CatchingUp | LinkStatus::Live => self.transport,
            LinkStatus::Offline
            | LinkStatus::Waiting
            | LinkStatus::Opening
            | LinkStatus::Paused
            | LinkStatus::Elsewhere => None,
        };
        if self.wants_link && self.file.as_ref().is_some_and(|file| !file.drains()) {
            status.link = LinkStatus::Elsewhere;
        }
        self.ends.hub.status.send_if_modified(|told| {
            let differs = *told != status;
            *told = status;
            differs
        });
    }

    /// Lets go of the link and the file.
    pub(crate) fn suspend(&mut self, parked: oneshot::Sender<()>) {
        if self.file.is_some() && self.step(Input::SetOnline(false)).is_err() {
            // The file cannot be asked, and need not be.
            let effects = self.machine.link_broken("suspended", (self.ends.clock)());
            self.carry_out(effects);
        }
        self.file = None;
        self.tell_status();
        self.order(Order::Park(parked));
    }

    /// Takes up the file, and the link if it is wanted.
    pub(crate) fn resume(&mut self) -> Result<Vec<Reader>, Error> {
        if self.file.is_none() {
            let options = Options {
                again: true,
                ..self.place.options.clone()
            };
            let store = Store::open(&self.place.path, self.schema.clone(), options).map_err(Error::from);
            self.signed_out |= matches!(store, Err(Error::SignedOut));
            self.file = Some(store?);
        }
        let taken = match &self.file {
            Some(file) => readers::connect(file).and_then(|readers| {
                self.step(Input::Refresh)?;
                Ok(readers)
            }),
            None => Err(Error::Suspended),
        };
        if taken.is_err() {
            self.file = None;
        } else if self.wants_link
            && let Err(error) = self.take_link()
        {
            tracing::warn!(%error, "the link could not be taken up; tried again soon");
        }
        taken
    }

    /// Seals the file for every process and counts what is in its outbox.
    pub(crate) fn seal(&mut self, sealing: Sealing) -> Result<Sealed, Error> {
        let file = self.file.as_mut().ok_or(Error::Suspended)?;
        let how = |counts: &OutboxCounts| match sealing {
            Sealing::Keep => Seal::Kept,
            Sealing::KeepUnsent if unsent(counts) > 0 => Seal::Kept,
            Sealing::KeepUnsent | Sealing::Discard => Seal::Discarded,
        };
        let (counts, seal) = file.seal(how).inspect_err(|error| {
            if matches!(error, StoreError::SignedOut) {
                tracing::info!("another process has signed out first");
            }
        })?;
        Ok(Sealed {
            counts,
            remove: seal == Seal::Discarded,
        })
    }
}

/// Removes a file that was given up. If another process still has it open it stays, marked, and goes when it is next
/// opened.
pub(crate) fn remove(place: &Place) {
    match tombolo_store::discard(&place.path, limits::SIGN_OUT_WAIT) {
        Ok(true) => {}
        Ok(false) => {
            tracing::warn!("a file that was signed out of is still open elsewhere; it goes when it is next opened")
        }
        Err(error) => {
            tracing::warn!(%error, "a file that was signed out of could not be removed; it goes when it is next opened")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each kind alone keeps the file; only what the server has taken does not.
    #[test]
    fn a_file_with_anything_undecided_in_it_is_not_thrown_away() {
        let none = OutboxCounts::default();
        let undecided = [
            OutboxCounts { queued: 1, ..none },
            OutboxCounts { in_flight: 1, ..none },
            OutboxCounts { wedged: 1, ..none },
            OutboxCounts { rejected: 1, ..none },
            OutboxCounts { given_up: 1, ..none },
        ];
        assert_eq!(undecided.map(|counts| unsent(&counts)), [1; 5]);
        assert_eq!(unsent(&OutboxCounts { acked: 1, ..none }), 0);
    }
}
