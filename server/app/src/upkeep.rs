//! What a server does about its database while it serves: hourly it removes what nobody needs any more.
//!
//! In steps of some milliseconds with pauses between them, so that writers hardly notice; the moments are shifted at
//! random, so that servers started together do not all do it at once.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};
use tombolo_engine::{Engine, Pruned, Retention, Store, StoreError};

use crate::shutdown::Lifecycle;

/// From one pruning to the next. What is pruned is weeks old, so an hour more is nothing, and each is small.
pub const PRUNE_INTERVAL: Duration = Duration::from_secs(3600);

/// From the start to the first pruning, so that servers that are often restarted prune too, and a start is not slowed.
pub const PRUNE_FIRST: Duration = Duration::from_secs(120);

/// Pause between two steps: four times what a step takes, so that the writer is free for most of the time.
pub const PRUNE_PAUSE: Duration = Duration::from_millis(40);

/// `[retention]` of the configuration, in days.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RetentionDays {
    /// See [`Retention::tombstones`].
    pub tombstones_days: u32,
    /// See [`Retention::replica_silence`].
    pub replica_silence_days: u32,
    /// See [`Retention::traces`].
    pub traces_days: u32,
}

const DAY: Duration = Duration::from_secs(24 * 3600);

impl Default for RetentionDays {
    fn default() -> Self {
        let days = |span: Duration| u32::try_from(span.as_secs() / DAY.as_secs()).unwrap_or(u32::MAX);
        let retention = Retention::default();
        Self {
            tombstones_days: days(retention.tombstones),
            replica_silence_days: days(retention.replica_silence),
            traces_days: days(retention.traces),
        }
    }
}

impl RetentionDays {
    /// As the engine takes it.
    #[must_use]
    pub fn retention(self) -> Retention {
        Retention {
            tombstones: DAY.saturating_mul(self.tombstones_days),
            replica_silence: DAY.saturating_mul(self.replica_silence_days),
            traces: DAY.saturating_mul(self.traces_days),
        }
    }
}

/// Prunes until there is no more.
///
/// # Errors
/// The store's. What was removed until then is gone for good, and what was not is still there.
pub async fn prune<S: Store>(engine: &Engine<S>, retention: &Retention) -> Result<Pruned, StoreError> {
    let mut all = Pruned::default();
    loop {
        all = all.and(engine.prune(now_ms(), retention).await?);
        if !all.more {
            return Ok(all);
        }
        tokio::time::sleep(PRUNE_PAUSE).await;
    }
}

/// Prunes now and then until the server ends.
pub(crate) async fn run<S: Store>(engine: Arc<Engine<S>>, retention: Retention, life: Lifecycle) {
    let mut wait = PRUNE_FIRST;
    loop {
        tokio::select! {
            () = life.ended() => break,
            () = tokio::time::sleep(jittered(wait, random())) => {}
        }
        wait = PRUNE_INTERVAL;
        let pruned = tokio::select! {
            () = life.ended() => break,
            pruned = prune(&engine, &retention) => pruned,
        };
        match pruned {
            Ok(pruned) if pruned.is_nothing() => tracing::debug!("nothing to prune"),
            Ok(pruned) => tracing::info!(
                tombstones = pruned.tombstones,
                departures = pruned.departures,
                outcomes = pruned.outcomes,
                traces = pruned.traces,
                replicas_written_off = pruned.written_off,
                low_watermark = pruned.low_watermark.0,
                "pruned"
            ),
            Err(error) => tracing::warn!(%error, "pruning failed; it is tried again in an hour"),
        }
    }
    if let Err(error) = engine.note_replicas(now_ms()).await {
        tracing::debug!(%error, "which replicas were heard of was not written down");
    }
}

pub(crate) fn now_ms() -> i64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}

fn random() -> u64 {
    uuid::Uuid::new_v4().as_u64_pair().0
}

/// `span`, and up to a quarter of it more or less.
fn jittered(span: Duration, random: u64) -> Duration {
    let part = span / 4;
    let shift = part.mul_f64((random % 2_001) as f64 / 1_000.0);
    span - part + shift
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_shifted_by_a_quarter_at_most() {
        let span = Duration::from_secs(100);
        assert_eq!(jittered(span, 0), Duration::from_secs(75));
        assert_eq!(jittered(span, 1_000), Duration::from_secs(100));
        assert_eq!(jittered(span, 2_000), Duration::from_secs(125));
    }

    #[test]
    fn the_defaults_are_the_engines() {
        assert_eq!(RetentionDays::default().retention(), Retention::default());
    }
}
