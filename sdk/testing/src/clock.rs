//! A clock that only the test moves.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::Duration;

use tombolo_machine::Now;

/// 2024-01-01T00:00:00Z: where the clocks of tests begin.
pub(crate) const START_MS: i64 = 1_704_067_200_000;

/// A clock that stands until the test moves it, for `Builder::clock`. Clones show the same time.
///
/// It is what the replica *reads*: the times of records that it makes, and when it tries again. The driver's own timers
/// sleep in real time until a moment of this clock; after [`TestClock::advance`] bring something about (a message, a call)
/// or let tokio's paused time run.
///
/// ```
/// use std::time::Duration;
/// use tombolo_testing::TestClock;
///
/// let clock = TestClock::new();
/// let before = clock.now();
/// clock.advance(Duration::from_secs(60));
/// assert_eq!(clock.now().monotonic - before.monotonic, Duration::from_secs(60));
/// clock.set_wall_ms(0); // somebody sets the phone's date; the monotonic clock does not notice
/// assert_eq!(clock.now().wall_ms, 0);
/// ```
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Times>);

#[derive(Debug)]
struct Times {
    monotonic_us: AtomicU64,
    wall_ms: AtomicI64,
}

impl Default for TestClock {
    fn default() -> Self {
        Self::new()
    }
}

impl TestClock {
    /// A clock that shows the first second of 2024.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(Times {
            monotonic_us: AtomicU64::new(0),
            wall_ms: AtomicI64::new(START_MS),
        }))
    }

    /// The time it shows.
    #[must_use]
    pub fn now(&self) -> Now {
        Now {
            monotonic: Duration::from_micros(self.0.monotonic_us.load(Ordering::SeqCst)),
            wall_ms: self.0.wall_ms.load(Ordering::SeqCst),
        }
    }

    /// Moves both times on.
    pub fn advance(&self, by: Duration) {
        let micros = u64::try_from(by.as_micros()).unwrap_or(u64::MAX);
        self.0.monotonic_us.fetch_add(micros, Ordering::SeqCst);
        let ms = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.0.wall_ms.fetch_add(ms, Ordering::SeqCst);
    }

    /// Sets the wall clock, in milliseconds since 1970, as a person does who changes the date.
    pub fn set_wall_ms(&self, ms: i64) {
        self.0.wall_ms.store(ms, Ordering::SeqCst);
    }

    /// The clock as `Builder::clock` takes it.
    pub fn reader(&self) -> impl Fn() -> Now + Send + Sync + 'static {
        let clock = self.clone();
        move || clock.now()
    }
}
