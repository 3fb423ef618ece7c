//! How often one identity may read and connect.
//!
//! A token bucket for each identity, kept as the one moment at which it would be full again (GCRA). Mutations have none: who
//! writes waits in the writer's queue, and is never sent away.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use tombolo_core::access::Identity;

use crate::guards::Guards;
use crate::limits::RATED_IDENTITIES_MAX;

/// The identity has asked too often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("asked too often; ask again in {again_s} s")]
pub struct TooOften {
    /// Whole seconds after which asking again is of use, at least 1.
    pub again_s: u64,
}

/// The rates in force.
#[derive(Debug, Default)]
pub struct Rates {
    reads: Option<Rate>,
    connections: Option<Rate>,
}

impl Rates {
    /// As the guards say.
    #[must_use]
    pub fn new(guards: &Guards) -> Self {
        let second = Duration::from_secs(1);
        Self {
            reads: Rate::new(guards.reads_per_second, second, guards.reads_burst),
            connections: Rate::new(guards.connections_per_minute, second * 60, guards.connections_burst),
        }
    }

    /// Counts a query.
    ///
    /// # Errors
    /// There were too many.
    pub fn read(&self, identity: &Identity) -> Result<(), TooOften> {
        check(self.reads.as_ref(), identity)
    }

    /// Counts a WebSocket.
    ///
    /// # Errors
    /// There were too many.
    pub fn connect(&self, identity: &Identity) -> Result<(), TooOften> {
        check(self.connections.as_ref(), identity)
    }
}

fn check(rate: Option<&Rate>, identity: &Identity) -> Result<(), TooOften> {
    match (rate, identity.author()) {
        (Some(rate), Some(name)) => rate.take(name, Instant::now()),
        (None, _) | (_, None) => Ok(()),
    }
}

#[derive(Debug)]
struct Rate {
    /// What one token takes to come back.
    token: Duration,
    /// What a whole bucket takes.
    bucket: Duration,
    /// When the bucket will be full; identities whose bucket is full are not here.
    full: Mutex<HashMap<String, Instant>>,
}

impl Rate {
    /// `None` without a limit.
    fn new(tokens: u32, per: Duration, burst: u32) -> Option<Self> {
        let token = per.checked_div(tokens)?;
        Some(Self {
            token,
            bucket: token.saturating_mul(burst.max(1)),
            full: Mutex::default(),
        })
    }

    fn take(&self, name: String, now: Instant) -> Result<(), TooOften> {
        // Nothing under the lock can panic halfway through a change.
        let mut full = self.full.lock().unwrap_or_else(PoisonError::into_inner);
        let at = full.get(&name).copied().unwrap_or(now).max(now) + self.token;
        let missing = at.saturating_duration_since(now).saturating_sub(self.bucket);
        if !missing.is_zero() {
            let again_s = missing.as_secs() + u64::from(missing.subsec_nanos() > 0);
            return Err(TooOften { again_s });
        }
        if full.len() >= RATED_IDENTITIES_MAX && !full.contains_key(&name) {
            full.retain(|_, at| *at > now);
            if full.len() >= RATED_IDENTITIES_MAX {
                full.clear();
            }
        }
        full.insert(name, at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_at_once_and_then_one_at_each_interval() {
        let rate = Rate::new(10, Duration::from_secs(1), 3).unwrap();
        let start = Instant::now();
        let take = |ms: u64| rate.take("a".to_owned(), start + Duration::from_millis(ms)).is_ok();
        assert_eq!([take(0), take(0), take(0), take(0)], [true, true, true, false]);
        assert_eq!([take(99), take(100), take(101)], [false, true, false]);
        // What was refused has cost nothing; a bucket is never more than full.
        assert_eq!(
            [take(9_000), take(9_000), take(9_000), take(9_000)],
            [true, true, true, false]
        );
        // Others have buckets of their own.
        assert_eq!(rate.take("b".to_owned(), start), Ok(()));
    }

    #[test]
    fn who_is_refused_is_told_when_to_come_back() {
        let rate = Rate::new(2, Duration::from_secs(60), 1).unwrap();
        let start = Instant::now();
        assert_eq!(rate.take("a".to_owned(), start), Ok(()));
        assert_eq!(rate.take("a".to_owned(), start), Err(TooOften { again_s: 30 }));
        let later = start + Duration::from_millis(29_500);
        assert_eq!(rate.take("a".to_owned(), later), Err(TooOften { again_s: 1 }));
    }

    #[test]
    fn without_a_rate_nobody_is_refused() {
        assert!(Rate::new(0, Duration::from_secs(1), 5).is_none());
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let rate = Rate::new(1, Duration::from_secs(1), 1).unwrap();
        let start = Instant::now();
        for i in 0..=RATED_IDENTITIES_MAX {
            assert_eq!(rate.take(i.to_string(), start), Ok(()));
        }
        assert!(rate.full.lock().unwrap().len() <= RATED_IDENTITIES_MAX);
    }
}
