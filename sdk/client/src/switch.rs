//! The transport while the client is open: another one.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tombolo_machine::Input;
use tombolo_transport::Transport;

use crate::Error;
use crate::client::Client;
use crate::writer::{Command, Order, Writer};

/// What the writer is to change to.
pub(crate) struct Switch {
    transport: Arc<dyn Transport>,
    /// The client has had no way to the server before, and was opened to be online.
    go_online: bool,
}

impl Client {
    /// Goes by another transport from now on. An open link is closed in order and the next is opened by the new transport;
    /// one that is waited for, or was refused, is tried at once.
    ///
    /// Nothing is lost or doubled by it: what was on its way is sent again under its number. Offline and while suspended the
    /// change holds for the next link; in a process that has no link because another one on the same file has it
    /// ([`LinkStatus::Elsewhere`](crate::LinkStatus)), for when it gets the link. A client that was opened without a way to a
    /// server has one then, and goes online unless it was opened [`offline`](crate::Builder::offline).
    /// [`Status::transport`](crate::Status) tells what the link goes by. The last of several calls holds.
    ///
    /// Several transports in the app's order, of which each is tried where those before it are blocked, are one transport:
    /// [`Fallback`](crate::transport::Fallback).
    ///
    /// ```
    #[doc = include_str!("../doc/open.rs")]
    /// use tombolo::transport::{Endpoint, Fallback, Network};
    ///
    /// let port_443 = Network::new(Endpoint::parse("https://api.example.com/graphql")?);
    /// let port_8443 = Network::new(Endpoint::parse("https://api.example.com:8443/graphql")?);
    /// client.set_transport(Fallback::new(port_443).or(port_8443)).await?;
    #[doc = include_str!("../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::Closed`], or [`Error::SignedOut`].
    pub async fn set_transport(&self, transport: impl Transport) -> Result<(), Error> {
        let inner = &self.inner;
        let switch = Switch {
            transport: Arc::new(transport),
            go_online: !inner.can_link.load(Ordering::SeqCst) && inner.online.load(Ordering::SeqCst),
        };
        inner.call_anyway(|reply| Command::SetTransport(switch, reply)).await?;
        inner.can_link.store(true, Ordering::SeqCst);
        Ok(())
    }
}

impl Writer {
    pub(crate) fn switch(&mut self, to: Switch) -> Result<(), Error> {
        // First, so that the driver has it before it is told to open a link.
        self.order(Order::Go(to.transport));
        self.wants_link |= to.go_online;
        if self.file.is_none() {
            return Ok(());
        }
        if to.go_online {
            return self.set_online(true);
        }
        if let Err(error) = self.step(Input::TransportChanged) {
            tracing::warn!(%error, "the link is opened anew without asking the file");
            let effects = self.machine.link_broken("another transport", (self.ends.clock)());
            self.carry_out(effects);
        }
        Ok(())
    }
}
