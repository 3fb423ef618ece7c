//! The floor of a local write: one bare transaction that writes the rows that the replica wrote: the view row anew, the
//! base row, the outbox entry.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::tables::{Synchronous, columns, open_read, open_write, quoted};
use crate::error::{Error, expect_count};

/// Tables that hold what a write leaves beside the view row, until it is settled.
const BESIDE: [&str; 2] = ["_base", "_outbox"];

/// The rows of the writes that `after`, a closed replica, made on the flights `ids`, one transaction each on `before`, a
/// copy of its file from before the writes.
pub(crate) fn repeat(
    before: &Path,
    after: &Path,
    ids: &[String],
    synchronous: Synchronous,
) -> Result<Vec<Duration>, Error> {
    let made = open_read(after)?;
    let view_columns = columns(&made, "Flight")?;
    let set: Vec<_> = view_columns.iter().map(|c| format!("{c} = ?")).collect();
    let update = format!("UPDATE \"Flight\" SET {} WHERE \"id\" = ?", set.join(", "));
    let mut views = Vec::with_capacity(ids.len());
    let mut read = made.prepare(&format!("SELECT {} FROM \"Flight\" WHERE \"id\" = ?1", view_columns.join(", ")))?;
    for id in ids {
        let mut row: Vec<Value> = read.query_row([id], |row| (0..view_columns.len()).map(|c| row.get(c)).collect())?;
        row.push(Value::Text(id.clone()));
        views.push(row);
    }
    let mut beside = Vec::new();
    for table in BESIDE {
        let (insert, rows) = rows_of(&made, table)?;
        expect_count(&format!("rows in {table}"), ids.len() as u64, rows.len() as u64)?;
        beside.push((insert, rows));
    }

    let mut connection = open_write(before, synchronous)?;
    let mut times = Vec::with_capacity(ids.len());
    for (place, view) in views.iter().enumerate() {
        let start = Instant::now();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.prepare_cached(&update)?.execute(params_from_iter(view))?;
        for (insert, rows) in &beside {
            if let Some(row) = rows.get(place) {
                transaction.prepare_cached(insert)?.execute(params_from_iter(row))?;
            }
        }
        transaction.commit()?;
        times.push(start.elapsed());
    }
    Ok(times)
}

fn rows_of(connection: &Connection, table: &str) -> Result<(String, Vec<Vec<Value>>), Error> {
    let columns = columns(connection, table)?;
    let (list, marks) = (columns.join(", "), vec!["?"; columns.len()].join(", "));
    let mut statement = connection.prepare(&format!("SELECT {list} FROM {}", quoted(table)))?;
    let rows = statement.query_map([], |row| (0..columns.len()).map(|c| row.get(c)).collect())?;
    let rows = rows.collect::<Result<_, _>>()?;
    Ok((format!("INSERT INTO {} ({list}) VALUES ({marks})", quoted(table)), rows))
}
