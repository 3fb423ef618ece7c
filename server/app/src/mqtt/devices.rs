//! Who is connected: one connection under a client id, and the connections of one device among themselves.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mqtt_protocol_core::mqtt::packet::Qos;
use tokio::sync::{mpsc, oneshot};
use tokio_util::sync::CancellationToken;
use tombolo_core::wire::ws::ClientFrame;

use crate::auth::Admitted;

/// What a connection granted of the response topic: nothing, or a QoS.
#[derive(Debug)]
pub(super) struct Granted(AtomicU8);

const NOTHING: u8 = u8::MAX;

impl Default for Granted {
    fn default() -> Self {
        Self(AtomicU8::new(NOTHING))
    }
}

impl Granted {
    pub(super) fn get(&self) -> Option<Qos> {
        match self.0.load(Ordering::Acquire) {
            0 => Some(Qos::AtMostOnce),
            1 => Some(Qos::AtLeastOnce),
            _ => None,
        }
    }

    pub(super) fn set(&self, qos: Option<Qos>) {
        let value = match qos {
            None => NOTHING,
            Some(Qos::AtMostOnce) => 0,
            Some(Qos::AtLeastOnce | Qos::ExactlyOnce) => 1,
        };
        self.0.store(value, Ordering::Release);
    }
}

/// A request that another connection of a device has brought: with its own rights, and it is told when the request is in.
#[derive(Debug)]
pub(super) struct HandedOver {
    pub(super) frame: Slot,
    /// It may have come before.
    pub(super) again: bool,
    pub(super) caller: Admitted,
    /// Sent when the request is where its acknowledgement promises it to be.
    pub(super) done: oneshot::Sender<()>,
}

/// A frame that whoever comes first takes: the connection that is to carry it out, or the one that has brought it, once the
/// other has ended.
#[derive(Clone, Debug)]
pub(super) struct Slot(Arc<Mutex<Option<ClientFrame>>>);

impl Slot {
    pub(super) fn new(frame: ClientFrame) -> Self {
        Self(Arc::new(Mutex::new(Some(frame))))
    }

    pub(super) fn take(&self) -> Option<ClientFrame> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// One connection, as others see it.
#[derive(Clone, Debug)]
struct Seat {
    serial: u64,
    /// Another connection has taken its client id.
    taken_over: CancellationToken,
    granted: Arc<Granted>,
    frames: mpsc::Sender<HandedOver>,
}

/// Whose device: an identity's name and the device's.
type Owner = (String, String);

/// All connections. No identity sees another's.
#[derive(Debug, Default)]
pub struct Devices(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    serial: u64,
    seats: HashMap<Owner, BTreeMap<String, Seat>>,
}

/// A connection's own hold on its seat; the seat is free when this is dropped.
#[derive(Debug)]
pub(super) struct Held {
    devices: Arc<Devices>,
    owner: Owner,
    client_id: String,
    /// Grows from seat to seat.
    pub(super) serial: u64,
    /// Cancelled when another connection takes the client id.
    pub(super) taken_over: CancellationToken,
    /// What this connection is told of its device's responses.
    pub(super) granted: Arc<Granted>,
}

impl Devices {
    /// Nothing that runs under the lock can panic halfway through a change.
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes the client id for a connection, from whichever had it; `frames` is where it takes requests that its device makes by
    /// another connection.
    pub(super) fn seat(
        self: &Arc<Self>,
        author: String,
        device: String,
        client_id: String,
        frames: mpsc::Sender<HandedOver>,
    ) -> Held {
        let owner = (author, device);
        let (taken_over, granted) = (CancellationToken::new(), Arc::new(Granted::default()));
        let mut state = self.state();
        let seated = state.seats.get(&owner).and_then(|seats| seats.get(&client_id));
        // What others bring until its session is known waits for it, if it was listened to before.
        granted.set(seated.and_then(|seat| seat.granted.get()));
        state.serial += 1;
        let serial = state.serial;
        let seat = Seat {
            serial,
            taken_over: taken_over.clone(),
            granted: Arc::clone(&granted),
            frames,
        };
        let before = state
            .seats
            .entry(owner.clone())
            .or_default()
            .insert(client_id.clone(), seat);
        drop(state);
        if let Some(before) = before {
            before.taken_over.cancel();
        }
        Held {
            devices: Arc::clone(self),
            owner,
            client_id,
            serial,
            taken_over,
            granted,
        }
    }

    /// How many connections there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.state().seats.values().map(BTreeMap::len).sum()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Held {
    /// Another connection of the device that listens to its responses, if this one does not.
    pub(super) fn listener(&self) -> Option<mpsc::Sender<HandedOver>> {
        if self.granted.get().is_some() {
            return None;
        }
        let state = self.devices.state();
        let others = state.seats.get(&self.owner)?.values();
        let mut listening = others.filter(|seat| seat.serial != self.serial && seat.granted.get().is_some());
        listening.next().map(|seat| seat.frames.clone())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.devices.state();
        let Some(seats) = state.seats.get_mut(&self.owner) else {
            return;
        };
        if seats
            .get(&self.client_id)
            .is_some_and(|seat| seat.serial == self.serial)
        {
            seats.remove(&self.client_id);
        }
        if seats.is_empty() {
            state.seats.remove(&self.owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_one_connections_and_an_identitys_own() {
        let devices = Arc::new(Devices::default());
        let seat = |author: &str, device: &str, id: &str| {
            let (frames, _) = mpsc::channel(1);
            devices.seat(author.to_owned(), device.to_owned(), id.to_owned(), frames)
        };
        let first = seat("ann", "phone", "phone");
        let other = seat("bob", "phone", "phone");
        let second = seat("ann", "phone", "phone");
        assert!(first.taken_over.is_cancelled());
        assert!(!other.taken_over.is_cancelled() && !second.taken_over.is_cancelled());
        // The one that was taken over frees nothing when it goes.
        drop(first);
        assert_eq!(devices.len(), 2);
        let publisher = seat("ann", "phone", "phone:pub");
        assert!(publisher.listener().is_none(), "nobody listens");
        other.granted.set(Some(Qos::AtLeastOnce));
        assert!(publisher.listener().is_none(), "another identity's does not count");
        second.granted.set(Some(Qos::AtMostOnce));
        assert!(publisher.listener().is_some());
        assert!(second.listener().is_none(), "it listens itself");
        drop((other, second, publisher));
        assert!(devices.is_empty());
    }
}
