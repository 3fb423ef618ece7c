//! How old things are, told by a clock that only counts what passed while the database was looked after.
//!
//! Wall clocks are wrong now and then: years ahead for an hour, at 1970 after a start, put back. *Kept time* takes from them
//! only how far they went from one prune to the next, at most [`STEP_MAX_MS`] (after a step back [`STEP_BACK_MAX_MS`]), and never
//! backwards. So a wrong clock makes things a day older at worst, and the days in which no server ran are nobody's silence. When a replica was heard of
//! is noted in kept time. How old a place in the feed is tells a small table: at each hour's prune, how far the feed went.

use std::time::Duration;

use rusqlite::{Connection, OptionalExtension};

use crate::write::meta;

/// The step that makes the table. What was noted by the wall clock until then is taken as it is: kept time begins after it.
pub(crate) const STEP: &str = "
    -- kept_ms in _meta: kept time at the last prune; kept_wall_ms: what the wall clock said then. last_seen_ms and cursor_ms
    -- of _replicas are in kept time.
    INSERT INTO _meta (key, value) VALUES ('kept_ms', max(
        coalesce((SELECT value FROM _meta WHERE key = 'last_changed_at'), 0),
        coalesce((SELECT max(last_seen_ms) FROM _replicas), 0), coalesce((SELECT max(cursor_ms) FROM _replicas), 0)));
    -- The clock may have been ahead for a time: nobody is silent but from now on.
    UPDATE _replicas SET last_seen_ms = (SELECT value FROM _meta WHERE key = 'kept_ms') WHERE stage < 2;
    UPDATE _replicas SET cursor_ms = (SELECT value FROM _meta WHERE key = 'kept_ms') WHERE cursor_ms IS NOT NULL;
    -- How far the feed and the traces went at a moment of kept time.
    CREATE TABLE _ages (at_ms INTEGER PRIMARY KEY, position INTEGER NOT NULL, trace INTEGER NOT NULL);
";

/// What kept time goes forward from one prune to the next, in milliseconds, at most: a server prunes hourly, so that a day
/// is a restart over night, and more is a server that stood still or a clock that jumped.
pub(crate) const STEP_MAX_MS: i64 = 24 * 3600 * 1000;

/// The same where the clock had just gone back, in milliseconds, which is how often a server prunes: a clock that goes back and
/// forth, at each start or between two sources, makes nothing older than the hours that passed, about.
pub(crate) const STEP_BACK_MAX_MS: i64 = 3600 * 1000;

/// From one row of `_ages` to the next, in milliseconds: ages are counted in days, and a year is some 9,000 rows.
const ROW_EVERY_MS: i64 = 3600 * 1000;

fn value(conn: &Connection, key: &str) -> rusqlite::Result<Option<i64>> {
    conn.prepare_cached("SELECT value FROM _meta WHERE key = ?1")?
        .query_row([key], |row| row.get(0))
        .optional()
}

/// Kept time at this moment of the wall clock.
pub(crate) fn now(conn: &Connection, wall_ms: i64) -> rusqlite::Result<i64> {
    let then = value(conn, "kept_wall_ms")?;
    let went_back = value(conn, "kept_went_back")?.is_some_and(|back| back != 0);
    let most = if went_back { STEP_BACK_MAX_MS } else { STEP_MAX_MS };
    let passed = then.map_or(0, |then| wall_ms.saturating_sub(then).clamp(0, most));
    Ok(meta(conn, "kept_ms")?.saturating_add(passed))
}

/// Counts on to this moment of the wall clock, and notes how far the feed went; gives kept time.
pub(crate) fn count_on(conn: &Connection, wall_ms: i64) -> rusqlite::Result<i64> {
    let then = value(conn, "kept_wall_ms")?;
    let kept_ms = now(conn, wall_ms)?;
    let mut put = conn.prepare_cached("INSERT OR REPLACE INTO _meta (key, value) VALUES (?1, ?2)")?;
    put.execute(("kept_ms", kept_ms))?;
    put.execute(("kept_wall_ms", wall_ms))?;
    put.execute(("kept_went_back", i64::from(then.is_some_and(|then| wall_ms < then))))?;
    conn.prepare_cached(
        "INSERT INTO _ages (at_ms, position, trace)
         SELECT ?1, (SELECT value FROM _meta WHERE key = 'position'), coalesce((SELECT max(id) FROM _traces), 0)
         WHERE NOT EXISTS (SELECT 1 FROM _ages WHERE at_ms > ?1 - ?2)",
    )?
    .execute((kept_ms, ROW_EVERY_MS))?;
    Ok(kept_ms)
}

/// How far the feed and the traces had gone before the last `age`: what stands there is older than that.
pub(crate) fn older_than(conn: &Connection, kept_ms: i64, age: Duration) -> rusqlite::Result<(i64, i64)> {
    if age.is_zero() {
        return conn
            .prepare_cached(
                "SELECT value, coalesce((SELECT max(id) FROM _traces), 0) FROM _meta WHERE key = 'position'",
            )?
            .query_row((), |row| Ok((row.get(0)?, row.get(1)?)));
    }
    let found = conn
        .prepare_cached("SELECT position, trace FROM _ages WHERE at_ms < ?1 ORDER BY at_ms DESC LIMIT 1")?
        .query_row([before(kept_ms, age)], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    Ok(found.unwrap_or_default())
}

/// Removes the rows that no age as short as this asks for any more; the newest of them is the one that is asked for.
pub(crate) fn forget(conn: &Connection, kept_ms: i64, longest: Duration) -> rusqlite::Result<()> {
    conn.prepare_cached("DELETE FROM _ages WHERE at_ms < (SELECT max(at_ms) FROM _ages WHERE at_ms < ?1)")?
        .execute([before(kept_ms, longest)])?;
    Ok(())
}

/// The moment `age` before `kept_ms`.
pub(crate) fn before(kept_ms: i64, age: Duration) -> i64 {
    kept_ms.saturating_sub(i64::try_from(age.as_millis()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::internal;

    const DAY_MS: i64 = 24 * 3600 * 1000;

    #[test]
    fn an_upgrade_makes_nobody_silent_though_the_clock_was_ahead_once() {
        let conn = Connection::open_in_memory().unwrap();
        let before = internal::STEPS.iter().position(|step| *step == STEP).unwrap();
        for step in &internal::STEPS[..before] {
            conn.execute_batch(step).unwrap();
        }
        conn.execute_batch(
            "INSERT INTO _meta (key, value) VALUES ('position', 7), ('last_changed_at', 9000000000000), ('low_watermark', 0);
             INSERT INTO _replicas (replica, settled_through, last_seen_ms, cursor, cursor_ms, stage)
             VALUES ('alive', 0, 1700000000000, 5, 1700000000000, 0), ('gone', 0, 1, NULL, NULL, 3);",
        )
        .unwrap();
        internal::upgrade(&conn, before as i64, "e").unwrap();
        let kept = count_on(&conn, 1_700_000_100_000).unwrap();
        let silent: Vec<String> = conn
            .prepare("SELECT replica FROM _replicas WHERE last_seen_ms < ?1 OR cursor_ms < ?1")
            .unwrap()
            .query_map([before_days(kept, 1)], |row| row.get(0))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert_eq!(silent, ["gone"]);
    }

    #[test]
    fn the_table_of_ages_grows_no_longer_than_the_longest_age() {
        let conn = Connection::open_in_memory().unwrap();
        internal::upgrade(&conn, 0, "e").unwrap();
        let longest = Duration::from_secs(30 * 24 * 3600);
        let mut most = 0;
        for hour in 0..100 * 24 {
            let kept = count_on(&conn, hour * 3600 * 1000).unwrap();
            forget(&conn, kept, longest).unwrap();
            let rows: i64 = conn
                .query_row("SELECT count(*) FROM _ages", (), |row| row.get(0))
                .unwrap();
            most = most.max(rows);
        }
        assert!((30 * 24..=30 * 24 + 3).contains(&most), "{most}");
    }

    fn before_days(kept_ms: i64, days: i64) -> i64 {
        kept_ms - days * DAY_MS
    }
}
