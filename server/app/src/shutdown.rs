//! Ending in good order.
//!
//! 1. [`Phase::Ending`] is entered: `/readyz` says 503, no connection is accepted, WebSockets read no further frame.
//! 2. What was accepted is finished: HTTP requests in work get their answers, mutations in the writer's queue are
//!    committed and answered, sockets close with 1012 (AppSync's with 1011) so that their clients come back.
//! 3. The store is closed and the process ends, at the latest after
//!    [`SHUTDOWN_TIMEOUT`](crate::limits::SHUTDOWN_TIMEOUT).

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Where a server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Listening; the store is being opened.
    Starting,
    /// Serving.
    Ready,
    /// Finishing what was accepted.
    Ending,
}

/// The server's phase, the signal to end, and the count of what is still at work.
#[derive(Clone, Debug, Default)]
pub struct Lifecycle {
    serving: CancellationToken,
    ending: CancellationToken,
    /// Connections and sessions at work.
    pub tasks: TaskTracker,
}

impl Lifecycle {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        if self.ending.is_cancelled() {
            return Phase::Ending;
        }
        if self.serving.is_cancelled() {
            Phase::Ready
        } else {
            Phase::Starting
        }
    }

    /// From [`Phase::Starting`] to [`Phase::Ready`].
    pub fn ready(&self) {
        self.serving.cancel();
    }

    /// To [`Phase::Ending`].
    pub fn end(&self) {
        self.ending.cancel();
        self.tasks.close();
    }

    /// Completes when the server is no longer starting.
    pub async fn started(&self) {
        tokio::select! {
            () = self.serving.cancelled() => {}
            () = self.ending.cancelled() => {}
        }
    }

    /// Completes when [`Lifecycle::end`] has been called.
    pub async fn ended(&self) {
        self.ending.cancelled().await;
    }
}

/// The signals that ask the process to end: SIGTERM and SIGINT (ctrl-c elsewhere), from the moment this is made.
#[derive(Debug)]
pub struct Signals {
    #[cfg(unix)]
    term: tokio::signal::unix::Signal,
    #[cfg(unix)]
    int: tokio::signal::unix::Signal,
}

impl Signals {
    /// Begins to listen.
    ///
    /// # Errors
    /// The system refuses.
    pub fn listen() -> std::io::Result<Self> {
        #[cfg(unix)]
        {
            use tokio::signal::unix::{SignalKind, signal};
            Ok(Self {
                term: signal(SignalKind::terminate())?,
                int: signal(SignalKind::interrupt())?,
            })
        }
        #[cfg(not(unix))]
        Ok(Self {})
    }

    /// Completes at the next signal; gives its name.
    pub async fn next(&mut self) -> &'static str {
        #[cfg(unix)]
        {
            tokio::select! {
                _ = self.term.recv() => "SIGTERM",
                _ = self.int.recv() => "SIGINT",
            }
        }
        #[cfg(not(unix))]
        {
            if tokio::signal::ctrl_c().await.is_err() {
                std::future::pending::<()>().await;
            }
            "ctrl-c"
        }
    }
}
