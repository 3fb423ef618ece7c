//! The moments that sync queries count from: what `startedAt` says, and from where on a delta brings changes.

use crate::limits::{SYNC_MOMENT_MS, SYNC_OVERLAP_DEVICE_MS, SYNC_OVERLAP_MS, SYNC_STARTED_LAG_MS};

/// The last moment up to `at` that a `startedAt` can be: a later `lastSync` that is none is not of our making.
pub(super) fn moment(at: i64) -> i64 {
    at - at.rem_euclid(SYNC_MOMENT_MS)
}

/// From when on the delta for `last_sync` has to bring changes, where the sync itself is of `started_at`; `None`: all there
/// are.
///
/// A moment of ours is by our clock, and everything before it was brought. Any other is by the clock of a device
/// (Amplify's Android client sends that), which may be wrong by hours, in either direction.
pub(super) fn delta_begins(last_sync: i64, started_at: i64) -> Option<i64> {
    if moment(last_sync) == last_sync {
        return Some(last_sync.saturating_sub(SYNC_OVERLAP_MS));
    }
    // `started_at` is at most so far behind our clock.
    let now_at_most = started_at.saturating_add(SYNC_STARTED_LAG_MS + SYNC_MOMENT_MS);
    match last_sync > now_at_most {
        // A clock that is ahead by nobody knows how much: it says nothing of when that was.
        true => None,
        false => Some(last_sync.min(started_at).saturating_sub(SYNC_OVERLAP_DEVICE_MS)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3_600_000;
    const NOW: i64 = 1_790_000_000_000;

    #[test]
    fn what_a_client_of_ours_or_of_its_own_clock_is_brought() {
        let ours = moment(NOW - 5 * HOUR);
        assert_eq!(delta_begins(ours, NOW), Some(ours - 2 * 60_000));
        // A moment of ours that is ahead: the clock was set back, and changes go on at the newest one's time.
        assert_eq!(
            delta_begins(moment(NOW + 5 * HOUR), NOW),
            Some(moment(NOW + 5 * HOUR) - 2 * 60_000)
        );
        // A device that synced `ago` with a clock that is `ahead`: everything since then comes, up to a day and more.
        for ahead in [-30 * HOUR, -1, 0, HOUR, 3 * HOUR, 23 * HOUR, 24 * HOUR, 500 * HOUR] {
            for ago in [0, 7, HOUR, 3 * HOUR, 30 * HOUR, 600 * HOUR] {
                let synced = NOW - ago;
                let last_sync = synced + ahead + 3;
                // What says when this sync began may be behind the clock.
                for started_at in [NOW, NOW - SYNC_STARTED_LAG_MS] {
                    let begins = delta_begins(last_sync, moment(started_at)).unwrap_or(0);
                    let lost = begins - synced;
                    assert!(
                        lost <= 0 || ahead > 25 * HOUR && last_sync <= NOW,
                        "{ahead} {ago}: {lost} ms are lost"
                    );
                }
            }
        }
        // Nor is who is right on a model that was quiet, though its newest change is behind the clock.
        let quiet = moment(NOW - SYNC_STARTED_LAG_MS);
        assert_eq!(delta_begins(NOW - 7, quiet), Some(quiet - 26 * HOUR));
        assert_eq!(delta_begins(NOW + 9_993, quiet), Some(quiet - 26 * HOUR));
        // And who is right is not brought everything.
        assert_eq!(delta_begins(NOW - HOUR + 1, NOW), Some(NOW - HOUR + 1 - 26 * HOUR));
        assert_eq!(
            (delta_begins(i64::MAX, NOW), delta_begins(1, NOW)),
            (None, Some(1 - 26 * HOUR))
        );
    }
}
