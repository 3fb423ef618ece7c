//! Medians and percentiles.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// A latency's middle and its tail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Spread {
    /// Median, in seconds.
    pub(crate) p50: f64,
    /// 99th percentile, in seconds.
    pub(crate) p99: f64,
}

impl Spread {
    /// The spread of `times`; zero if there are none.
    pub(crate) fn of(times: &[Duration]) -> Self {
        let mut seconds: Vec<f64> = times.iter().map(Duration::as_secs_f64).collect();
        seconds.sort_by(f64::total_cmp);
        Self {
            p50: percentile(&seconds, 50),
            p99: percentile(&seconds, 99),
        }
    }

    /// The median of each part over several runs.
    pub(crate) fn median(runs: &[Self]) -> Self {
        Self {
            p50: median(&runs.iter().map(|r| r.p50).collect::<Vec<_>>()),
            p99: median(&runs.iter().map(|r| r.p99).collect::<Vec<_>>()),
        }
    }
}

/// The nearest-rank percentile of sorted values; zero if there are none.
fn percentile(sorted: &[f64], percent: usize) -> f64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0.0)
}

/// The median; zero if there are no values.
pub(crate) fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    percentile(&sorted, 50)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_occurred() {
        let times: Vec<_> = (1..=200).map(Duration::from_secs).collect();
        assert_eq!(Spread::of(&times), Spread { p50: 100.0, p99: 198.0 });
        assert_eq!(Spread::of(&[Duration::from_secs(7)]), Spread { p50: 7.0, p99: 7.0 });
        assert_eq!(Spread::of(&[]), Spread::default());
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
    }
}
