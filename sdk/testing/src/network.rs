//! What happens to the messages of one phone: a script that the test writes while it runs.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tombolo_transport::CloseReason;

/// The network between one phone and the [`crate::Server`]. Clones are the same network; all methods take effect at once.
#[derive(Clone, Debug, Default)]
pub struct Network(Arc<Line>);

#[derive(Debug, Default)]
struct Line {
    state: Mutex<State>,
    changed: Notify,
}

#[derive(Clone, Debug, Default)]
struct State {
    offline: bool,
    unauthorized: bool,
    /// Grows when open links are to end.
    cuts: u64,
    answers_to_lose: u32,
    delay: Duration,
    answers_lost: u64,
}

impl Network {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state());
        self.0.changed.notify_waiters();
    }

    /// No route to the server: the open link ends, and none can be opened.
    pub fn go_offline(&self) {
        self.change(|state| {
            state.offline = true;
            state.cuts += 1;
        });
    }

    /// There is a route again. The replica finds out when it next tries (its back-off), or at once through
    /// `Client::set_online(true)`, as an app does that hears of it from the system.
    pub fn go_online(&self) {
        self.change(|state| state.offline = false);
    }

    /// The open link ends; the next one can be opened.
    pub fn cut(&self) {
        self.change(|state| state.cuts += 1);
    }

    /// The server carries out the next `count` mutations of this phone, and the answers are lost with the link: the phone
    /// cannot know whether they took effect.
    pub fn lose_answers(&self, count: u32) {
        self.change(|state| state.answers_to_lose = count);
    }

    /// How many answers have been lost.
    #[must_use]
    pub fn answers_lost(&self) -> u64 {
        self.state().answers_lost
    }

    /// Each message to the phone takes this long (tokio's time).
    pub fn set_delay(&self, delay: Duration) {
        self.change(|state| state.delay = delay);
    }

    /// The credential is refused from now on (`true`): the open link ends, and the app is asked for another.
    pub fn refuse_credential(&self, refuse: bool) {
        self.change(|state| {
            state.unauthorized = refuse;
            state.cuts += u64::from(refuse);
        });
    }

    /// Why no link can be opened now.
    pub(crate) fn closed(&self) -> Option<CloseReason> {
        let state = self.state();
        if state.offline {
            Some(CloseReason::Unreachable {
                detail: "the test has no network for this phone".into(),
            })
        } else if state.unauthorized {
            Some(CloseReason::Unauthorized { code: 401 })
        } else {
            None
        }
    }

    pub(crate) fn cuts(&self) -> u64 {
        self.state().cuts
    }

    pub(crate) fn delay(&self) -> Duration {
        self.state().delay
    }

    /// Whether the answer to a mutation is to be lost; if so the link ends too.
    pub(crate) fn loses_answer(&self) -> bool {
        let mut state = self.state();
        if state.answers_to_lose == 0 {
            return false;
        }
        state.answers_to_lose -= 1;
        state.answers_lost += 1;
        state.cuts += 1;
        drop(state);
        self.0.changed.notify_waiters();
        true
    }

    /// Ready when something was changed after the call.
    pub(crate) fn changed(&self) -> impl Future<Output = ()> + '_ {
        self.0.changed.notified()
    }

    /// Wakes everybody who waits for this network.
    pub(crate) fn wake(&self) {
        self.0.changed.notify_waiters();
    }
}
