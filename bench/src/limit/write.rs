//! The floor of a local write: one bare transaction that writes the rows that the replica wrote: the view row anew, the
//! base row, the outbox entry.

use std::path::Path;
use std::time::{Duration, Instant};

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use super::tables::{Synchronous, columns, open_read, open_write, quoted};
use crate::error::{Error, expect_count, failed};

/// Tables that hold what a write leaves beside the view row, until it is settled.
const BESIDE: [&str; 2] = ["_base_Flight", "_outbox"];

/// The rows of the writes that `after`, a closed replica, made on the flights `ids`, one transaction each on `before`, a
/// copy of its file from before the writes.
pub(crate) fn repeat(
    before: &Path,
    after: &Path,
    ids: &[String],
    synchronous: Synchronous,
) -> Result<Vec<Duration>, Error> {
    let made = open_read(after)?;
    let mut connection = open_write(before, synchronous)?;
    let mut views = Vec::with_capacity(ids.len());
    for id in ids {
        views.push(update(&connection, &made, id)?);
    }
    let mut beside = Vec::new();
    for table in BESIDE {
        let (insert, rows) = rows_of(&made, table)?;
        expect_count(&format!("rows in {table}"), ids.len() as u64, rows.len() as u64)?;
        beside.push((insert, rows));
    }

    let mut times = Vec::with_capacity(ids.len());
    for (place, (update, values)) in views.iter().enumerate() {
        let start = Instant::now();
        let transaction = connection.transaction_with_behavior(rusqlite::TransactionBehavior::Immediate)?;
        transaction.prepare_cached(update)?.execute(params_from_iter(values))?;
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

/// What makes the flight `id` of `before` that of `after`: the columns that differ, no others, since SQLite writes the
/// index of each column that an update names.
fn update(before: &Connection, after: &Connection, id: &str) -> Result<(String, Vec<Value>), Error> {
    let names = columns(after, "Flight")?;
    let select = format!("SELECT {} FROM \"Flight\" WHERE \"id\" = ?1", names.join(", "));
    let read = |connection: &Connection| -> Result<Vec<Value>, Error> {
        let mut statement = connection.prepare_cached(&select)?;
        Ok(statement.query_row([id], |row| (0..names.len()).map(|c| row.get(c)).collect())?)
    };
    let (mut set, mut values) = (Vec::new(), Vec::new());
    for ((name, old), new) in names.iter().zip(read(before)?).zip(read(after)?) {
        if old != new {
            set.push(format!("{name} = ?"));
            values.push(new);
        }
    }
    if set.is_empty() {
        return Err(failed(format!("the write of {id} left no trace")));
    }
    values.push(Value::Text(id.to_owned()));
    Ok((
        format!("UPDATE \"Flight\" SET {} WHERE \"id\" = ?", set.join(", ")),
        values,
    ))
}

fn rows_of(connection: &Connection, table: &str) -> Result<(String, Vec<Vec<Value>>), Error> {
    let columns = columns(connection, table)?;
    let (list, marks) = (columns.join(", "), vec!["?"; columns.len()].join(", "));
    let mut statement = connection.prepare(&format!("SELECT {list} FROM {}", quoted(table)))?;
    let rows = statement.query_map([], |row| (0..columns.len()).map(|c| row.get(c)).collect())?;
    let rows = rows.collect::<Result<_, _>>()?;
    Ok((format!("INSERT INTO {} ({list}) VALUES ({marks})", quoted(table)), rows))
}
