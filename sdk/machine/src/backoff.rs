//! How long to wait before trying again: exponential, with full jitter, so that many replicas of a restarted server do
//! not come back at once.

use std::time::Duration;

use crate::limits::{BACKOFF_MAX, BACKOFF_MIN};

/// The jitter's source: a seed given at construction, so that one seed replays one history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    seed: u64,
}

impl Backoff {
    /// A back-off whose jitter follows from `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// The ceiling after `attempt` failures (0 = after the first): doubles from [`BACKOFF_MIN`] up to [`BACKOFF_MAX`].
    #[must_use]
    pub fn ceiling(attempt: u32) -> Duration {
        BACKOFF_MIN
            .saturating_mul(1_u32.checked_shl(attempt.min(16)).unwrap_or(u32::MAX))
            .min(BACKOFF_MAX)
    }

    /// The next delay: anything up to the ceiling, evenly.
    pub fn next(&mut self, attempt: u32) -> Duration {
        let ceiling = u64::try_from(Self::ceiling(attempt).as_micros()).unwrap_or(u64::MAX);
        // The high bits of the product are an even draw from 0..=ceiling.
        let drawn = (u128::from(self.draw()) * (u128::from(ceiling) + 1)) >> 64;
        Duration::from_micros(u64::try_from(drawn).unwrap_or(ceiling))
    }

    /// A Weyl sequence through a 64-bit mixing function: plenty for jitter, and the same everywhere.
    fn draw(&mut self) -> u64 {
        self.seed = self.seed.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.seed;
        x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        x = (x ^ (x >> 32)).wrapping_mul(0xD6E8_FEB8_6659_FD93);
        x ^ (x >> 32)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ceiling_doubles_up_to_its_limit() {
        let cases = [
            (0, 250),
            (1, 500),
            (2, 1_000),
            (6, 16_000),
            (7, 30_000),
            (8, 30_000),
            (40, 30_000),
            (u32::MAX, 30_000),
        ];
        for (attempt, ms) in cases {
            assert_eq!(
                Backoff::ceiling(attempt),
                Duration::from_millis(ms),
                "attempt {attempt}"
            );
        }
    }

    #[test]
    fn delays_stay_below_the_ceiling_and_spread_over_it() {
        let mut backoff = Backoff::new(7);
        let delays: Vec<u64> = (0..2_000).map(|_| backoff.next(2).as_millis() as u64).collect();
        assert!(delays.iter().all(|d| *d <= 1_000));
        for quarter in 0..4 {
            let inside = delays.iter().filter(|d| **d / 250 == quarter).count();
            assert!((400..600).contains(&inside), "quarter {quarter} has {inside} of 2000");
        }
    }

    #[test]
    fn one_seed_gives_one_history() {
        let draw = |seed: u64| (0_u64..20).map(|n| Backoff::new(seed + n).next(5)).collect::<Vec<_>>();
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(100));
    }
}
