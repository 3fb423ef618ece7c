//! The writing transaction: rows here, the outbox in `outbox`, feed pages in `bulk`.

use std::collections::BTreeSet;

use rusqlite::{Connection, OptionalExtension, params_from_iter};
use serde_json::Value as Json;
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::{ModelId, MutationNumber, Position, ReplicaId, Version};
use tombolo_core::query::{Answer, Execution, Filter};
use tombolo_core::record::{Key, Meta, Record};
use tombolo_core::schema::{Field, Model, Schema, Storage};
use tombolo_core::value::Value;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_machine::{Applied, Base, Ended, OutboxCounts, OutboxEntry, Renumbered, ScopeRow, StoreError, StoreTx};

use crate::ended::Kept;
use crate::error::failure;
use crate::reader::{Param, Runner};
use crate::sql::{ModelSql, quote};
use crate::{bulk, ended, identity, outbox};

type Result<T> = std::result::Result<T, StoreError>;

/// An open writing transaction. [`Tx::commit`] makes it stand; dropping it undoes it.
#[derive(Debug)]
pub struct Tx<'a> {
    pub(crate) conn: &'a Connection,
    schema: &'a Schema,
    sql: &'a [ModelSql],
    replica: ReplicaId,
    /// To be taken if the identity is renewed.
    fresh_replica: &'a ReplicaId,
    data_version: i64,
    open: bool,
}

impl<'a> Tx<'a> {
    /// A transaction that has been begun on `conn`.
    pub(crate) fn begun(
        conn: &'a Connection,
        schema: &'a Schema,
        sql: &'a [ModelSql],
        fresh_replica: &'a ReplicaId,
        data_version: i64,
    ) -> Self {
        Self {
            conn,
            schema,
            sql,
            replica: ReplicaId(String::new()),
            fresh_replica,
            data_version,
            open: true,
        }
    }

    /// To be asked at the beginning: a transaction before this one may have renewed it, here or in another process.
    pub(crate) fn read_replica(&mut self) -> Result<()> {
        self.replica = identity::read(self.conn)?;
        Ok(())
    }

    pub(crate) fn schema(&self) -> &'a Schema {
        self.schema
    }

    /// Makes everything stand.
    ///
    /// # Errors
    /// The store's; nothing stands then.
    pub fn commit(mut self) -> Result<()> {
        self.conn.execute_batch("COMMIT").map_err(failure)?;
        self.open = false;
        Ok(())
    }

    /// Runs a query's statements within this transaction.
    ///
    /// # Errors
    /// The store's.
    pub fn answer(&self, execution: Execution<'_>) -> Result<Answer> {
        tombolo_core::query::answer(execution, &mut Runner(self.conn))
    }

    /// Entries of the outbox after `after`, in order, at most `limit`.
    ///
    /// # Errors
    /// The store's.
    pub fn outbox(&self, after: u64, limit: usize) -> Result<Vec<OutboxEntry>> {
        outbox::list(self.conn, after, limit)
    }

    /// A mark within the transaction: [`Tx::undo_to_mark`] goes back to it, [`Tx::forget_mark`] lets what came after it
    /// stand with the rest. For several inputs in one commit, each of which may fail alone.
    ///
    /// # Errors
    /// The store's.
    pub fn mark(&mut self) -> Result<()> {
        self.conn.execute_batch("SAVEPOINT mark").map_err(failure)
    }

    /// Forgets the mark.
    ///
    /// # Errors
    /// The store's.
    pub fn forget_mark(&mut self) -> Result<()> {
        self.conn.execute_batch("RELEASE mark").map_err(failure)
    }

    /// Undoes what was written since the mark, and forgets it.
    ///
    /// # Errors
    /// The store's; after some failures (a full disk) SQLite has undone the whole transaction, and none of it stands.
    pub fn undo_to_mark(&mut self) -> Result<()> {
        self.conn
            .execute_batch("ROLLBACK TO mark; RELEASE mark")
            .map_err(failure)?;
        self.replica = identity::read(self.conn)?;
        Ok(())
    }

    /// The mutation under this number, on its way or ended, under whatever number it goes on.
    ///
    /// # Errors
    /// The store's.
    pub fn find(&self, number: MutationNumber) -> Result<Option<Kept>> {
        ended::find(self.conn, number)
    }

    fn model(&self, model: ModelId) -> Result<(&'a Model, &'a ModelSql)> {
        self.schema
            .models
            .get(model.0)
            .zip(self.sql.get(model.0))
            .ok_or_else(|| StoreError::Other(format!("the schema has no model number {}", model.0)))
    }

    fn execute(&self, sql: &str, key: &Key) -> Result<()> {
        self.conn
            .prepare_cached(sql)
            .and_then(|mut s| s.execute(params_from_iter(key.0.iter().map(Param))))
            .map_err(failure)?;
        Ok(())
    }
}

impl Drop for Tx<'_> {
    fn drop(&mut self) {
        // After some failures (a full disk) SQLite has rolled back already, and says so: nothing is left to do then.
        if self.open
            && !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a transaction could not be rolled back");
        }
    }
}

impl StoreTx for Tx<'_> {
    fn replica(&self) -> ReplicaId {
        self.replica.clone()
    }

    fn data_version(&mut self) -> Result<i64> {
        Ok(self.data_version)
    }

    fn take_numbers(&mut self, count: u64) -> Result<MutationNumber> {
        let last = self.last_number()?;
        outbox::set_meta_number(self.conn, "last_number", last.saturating_add(count))?;
        Ok(MutationNumber(last + 1))
    }

    fn last_number(&mut self) -> Result<u64> {
        outbox::meta_number(self.conn, "last_number")
    }

    fn settled_through(&mut self) -> Result<u64> {
        outbox::meta_number(self.conn, "settled_through")
    }

    fn set_settled_through(&mut self, number: u64) -> Result<()> {
        outbox::set_meta_number(self.conn, "settled_through", number)
    }

    fn oldest_needed(&mut self) -> Result<Option<u64>> {
        outbox::oldest_needed(self.conn)
    }

    fn entry(&mut self, number: MutationNumber) -> Result<Option<OutboxEntry>> {
        outbox::entry(self.conn, number)
    }

    fn group(&mut self, first: MutationNumber) -> Result<Vec<OutboxEntry>> {
        outbox::group(self.conn, first)
    }

    fn entries_of(&mut self, model: &str, key: &str) -> Result<Vec<OutboxEntry>> {
        outbox::of_record(self.conn, model, key)
    }

    fn sendable(&mut self, author: Option<&str>, limit: usize) -> Result<Vec<MutationNumber>> {
        outbox::sendable(self.conn, author, limit)
    }

    fn in_flight(&mut self) -> Result<Vec<MutationNumber>> {
        outbox::in_flight(self.conn)
    }

    fn acked(&mut self, model: &str, epoch: &str, through: Position, others: bool) -> Result<Vec<OutboxEntry>> {
        outbox::acked(self.conn, model, epoch, through, others)
    }

    fn dependents(&mut self, number: MutationNumber) -> Result<Vec<OutboxEntry>> {
        outbox::dependents(self.conn, number)
    }

    fn waiting_for(&mut self, number: MutationNumber) -> Result<Vec<OutboxEntry>> {
        outbox::waiting_for(self.conn, number)
    }

    fn set_state(&mut self, entry: &OutboxEntry) -> Result<()> {
        outbox::set_state(self.conn, entry)
    }

    fn set_links(&mut self, entry: &OutboxEntry) -> Result<()> {
        outbox::set_links(self.conn, entry)
    }

    fn queued_after(&mut self, number: MutationNumber, replica: &ReplicaId) -> Result<Vec<OutboxEntry>> {
        outbox::queued_after(self.conn, number, replica)
    }

    fn linked_after(&mut self, number: MutationNumber) -> Result<Vec<OutboxEntry>> {
        outbox::linked_after(self.conn, number)
    }

    fn keep_replica(&mut self, replica: &ReplicaId) -> Result<()> {
        outbox::keep_replica(self.conn, replica)
    }

    fn renew_replica(&mut self) -> Result<ReplicaId> {
        let last = self.last_number()?;
        self.replica = identity::renew(self.conn, &self.replica, self.fresh_replica, last)?;
        Ok(self.replica.clone())
    }

    fn replica_since(&mut self) -> Result<u64> {
        outbox::meta_number(self.conn, identity::SINCE)
    }

    fn put_renumbered(&mut self, renumbered: &Renumbered) -> Result<()> {
        ended::put_renumbered(self.conn, renumbered)
    }

    fn put_ended(&mut self, ended: &Ended) -> Result<()> {
        ended::put(self.conn, ended)
    }

    fn ended(&mut self, number: MutationNumber) -> Result<Option<Ended>> {
        ended::get(self.conn, number)
    }

    fn took_effect_after(&mut self, model: &str, key: &str, number: MutationNumber) -> Result<Vec<MutationNumber>> {
        ended::took_effect_after(self.conn, model, key, number)
    }

    fn trim_ended(&mut self, keep: u64, recent_ms: i64, most: u64, before_ms: i64) -> Result<()> {
        ended::trim(self.conn, keep, recent_ms, most, before_ms)
    }

    fn put_entry(&mut self, entry: &OutboxEntry) -> Result<()> {
        outbox::put(self.conn, entry)
    }

    fn remove_entry(&mut self, number: MutationNumber) -> Result<()> {
        outbox::remove(self.conn, number)
    }

    fn take_dropped(&mut self) -> Result<Vec<String>> {
        outbox::take_dropped(self.conn)
    }

    fn counts(&mut self) -> Result<OutboxCounts> {
        outbox::counts(self.conn)
    }

    fn unsettled_keys(&mut self, model: &str) -> Result<BTreeSet<String>> {
        Ok(outbox::unsettled_keys(self.conn, model)?.into_iter().collect())
    }

    fn view(&mut self, model: ModelId, key: &Key) -> Result<Option<Record>> {
        let (shape, sql) = self.model(model)?;
        self.conn
            .prepare_cached(&sql.select_view)
            .and_then(|mut s| {
                s.query_row(params_from_iter(key.0.iter().map(Param)), |row| record(shape, row, 0))
                    .optional()
            })
            .map_err(failure)
    }

    fn put_view(&mut self, model: ModelId, record: &Record, generation: i64) -> Result<()> {
        let (shape, sql) = self.model(model)?;
        let mut values = columns(shape, Some(record));
        values.push(Value::Int(generation));
        self.conn
            .prepare_cached(&sql.put_view)
            .and_then(|mut s| s.execute(params_from_iter(values.iter().map(Param))))
            .map_err(failure)?;
        Ok(())
    }

    fn remove_view(&mut self, model: ModelId, key: &Key) -> Result<()> {
        let (_, sql) = self.model(model)?;
        self.execute(&sql.remove_view, key)
    }

    fn base(&mut self, model: ModelId, key: &Key) -> Result<Base> {
        let (shape, sql) = self.model(model)?;
        let found = self
            .conn
            .prepare_cached(&sql.select_base)
            .and_then(|mut s| {
                s.query_row(params_from_iter(key.0.iter().map(Param)), |row| {
                    if row.get(0)? {
                        Ok(None)
                    } else {
                        record(shape, row, 1).map(Some)
                    }
                })
                .optional()
            })
            .map_err(failure)?;
        Ok(found.map_or(Base::Unsaved, Base::Saved))
    }

    fn put_base(&mut self, model: ModelId, key: &Key, row: Option<&Record>, generation: Option<i64>) -> Result<()> {
        let (shape, sql) = self.model(model)?;
        let generation = match generation {
            Some(generation) => generation,
            None => self
                .conn
                .prepare_cached(&sql.view_generation)
                .and_then(|mut s| {
                    s.query_row(params_from_iter(key.0.iter().map(Param)), |r| r.get(0))
                        .optional()
                })
                .map_err(failure)?
                .unwrap_or(0),
        };
        let mut values = columns(shape, row);
        for (field, value) in shape.key.iter().zip(&key.0) {
            if let Some(slot) = values.get_mut(field.0) {
                slot.clone_from(value);
            }
        }
        values.extend([Value::Int(generation), Value::Bool(row.is_none())]);
        self.conn
            .prepare_cached(&sql.put_base)
            .and_then(|mut s| s.execute(params_from_iter(values.iter().map(Param))))
            .map_err(failure)?;
        Ok(())
    }

    fn adopt_base(&mut self, model: ModelId, key: &Key) -> Result<()> {
        let (_, sql) = self.model(model)?;
        let absent: Option<bool> = self
            .conn
            .prepare_cached(&sql.has_base)
            .and_then(|mut s| {
                s.query_row(params_from_iter(key.0.iter().map(Param)), |row| row.get(0))
                    .optional()
            })
            .map_err(failure)?;
        match absent {
            None => return Ok(()),
            Some(true) => self.remove_view(model, key)?,
            Some(false) => self.execute(&sql.adopt_copy, key)?,
        }
        self.execute(&sql.adopt_clear, key)
    }

    fn apply_rows(&mut self, model: ModelId, batch: &ChangeBatch, generation: i64) -> Result<Applied> {
        let (shape, sql) = self.model(model)?;
        bulk::apply(self.conn, shape, sql, batch, generation)
    }

    fn sweep(&mut self, model: ModelId, generation: i64) -> Result<Vec<Key>> {
        let (shape, sql) = self.model(model)?;
        self.conn
            .prepare_cached(&sql.sweep)
            .and_then(|mut s| s.execute([generation]))
            .map_err(failure)?;
        let fields: Vec<&Field> = shape.key.iter().filter_map(|f| shape.fields.get(f.0)).collect();
        self.conn
            .prepare_cached(&sql.sweep_keys)
            .and_then(|mut s| {
                s.query_map([generation], |row| {
                    fields
                        .iter()
                        .enumerate()
                        .map(|(i, field)| value(field, row, i))
                        .collect::<rusqlite::Result<_>>()
                        .map(Key)
                })?
                .collect()
            })
            .map_err(failure)
    }

    fn keep_only(&mut self, model: ModelId, filter: &Json) -> Result<()> {
        let (shape, sql) = self.model(model)?;
        let access = Access::of(self.schema, &Identity::Local);
        let filter =
            Filter::parse(self.schema, model, filter, &access).map_err(|error| StoreError::BadFilter(error.message))?;
        let mut params = Vec::new();
        let holds = filter.sql(shape, "t", &mut params);
        let statement = format!(
            "DELETE FROM {} AS t WHERE NOT coalesce(({holds}), 0) AND {}",
            quote(&shape.name),
            sql.unkept
        );
        self.conn
            .execute(&statement, params_from_iter(params.iter().map(Param)))
            .map_err(failure)?;
        Ok(())
    }

    fn scopes(&mut self) -> Result<Vec<ScopeRow>> {
        outbox::scopes(self.conn)
    }

    fn put_scope(&mut self, scope: &ScopeRow) -> Result<()> {
        outbox::put_scope(self.conn, scope)
    }

    fn remove_scope(&mut self, model: &str) -> Result<()> {
        self.conn
            .execute("DELETE FROM _scopes WHERE model = ?1", [model])
            .map_err(failure)?;
        Ok(())
    }
}

/// Fields and meta in the order of the statements; all null for an absent record.
fn columns(model: &Model, record: Option<&Record>) -> Vec<Value> {
    let mut values: Vec<Value> = (0..model.fields.len())
        .map(|i| record.and_then(|r| r.values.get(i)).cloned().unwrap_or(Value::Null))
        .collect();
    match record.map(|r| r.meta) {
        Some(meta) => values.extend([
            Value::Int(meta.version.0),
            Value::Bool(meta.deleted),
            Value::Int(meta.last_changed_at),
        ]),
        None => values.extend([Value::Null, Value::Null, Value::Null]),
    }
    values
}

/// A record from columns `from`, `from + 1`, …
fn record(model: &Model, row: &rusqlite::Row<'_>, from: usize) -> rusqlite::Result<Record> {
    let values = model
        .fields
        .iter()
        .enumerate()
        .map(|(i, field)| value(field, row, from + i))
        .collect::<rusqlite::Result<_>>()?;
    let meta = from + model.fields.len();
    Ok(Record {
        values,
        meta: Meta {
            version: Version(row.get(meta)?),
            deleted: row.get(meta + 1)?,
            last_changed_at: row.get(meta + 2)?,
        },
    })
}

fn value(field: &Field, row: &rusqlite::Row<'_>, column: usize) -> rusqlite::Result<Value> {
    Ok(match field.ty.storage() {
        Storage::Bool => row.get::<_, Option<bool>>(column)?.map_or(Value::Null, Value::Bool),
        Storage::Int => row.get::<_, Option<i64>>(column)?.map_or(Value::Null, Value::Int),
        Storage::Float => row.get::<_, Option<f64>>(column)?.map_or(Value::Null, Value::Float),
        Storage::Text => row.get::<_, Option<String>>(column)?.map_or(Value::Null, Value::Text),
        Storage::Json => row.get::<_, Option<String>>(column)?.map_or(Value::Null, Value::Json),
    })
}
