//! Records that another server kept, taken over with the version, times and tombstones that they had there.
//!
//! Nothing is decided here: a record comes whole. What holds for every change holds for these, too: each gets the next
//! position, and within a model the time of change never goes back, or a delta would miss them.

use rusqlite::{Connection, OptionalExtension, TransactionBehavior};
use tombolo_core::id::{ModelId, Position};
use tombolo_core::record::{FieldVersions, Key, Record, StoredRecord};
use tombolo_core::schema::Model;
use tombolo_engine::StoreError;
use tombolo_engine::decide::RowWrite;

use crate::error::store_error;
use crate::open::Db;
use crate::tables::{self, Table, quoted};
use crate::write::meta;

/// What became of records that were to be taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Adopted {
    /// Written.
    pub added: u64,
    /// There already, at this version or a later one.
    pub standing: u64,
}

/// Why none of the records was taken over.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AdoptError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record is here at an earlier version than it comes with.
    #[error("the record {key} is in the database at version {here}, and comes at version {coming}")]
    Earlier {
        /// The key, as [`Key::to_text`] writes it.
        key: String,
        /// The version here.
        here: i64,
        /// The version that comes.
        coming: i64,
    },
    /// A record changed before what the model holds already did.
    #[error("the record {key} was changed at {at}, before the newest change that the database holds ({newest})")]
    Late {
        /// The key, as [`Key::to_text`] writes it.
        key: String,
        /// Its time of change, in epoch milliseconds.
        at: i64,
        /// The newest one of the model here.
        newest: i64,
    },
}

/// Takes over `records`, all of them or none.
pub(crate) fn adopt(
    db: &mut Db,
    model: ModelId,
    records: &[Record],
) -> Result<Result<Adopted, AdoptError>, StoreError> {
    let Db { conn, schema, tables } = db;
    let (definition, table) = (&schema[model], tables.of(model));
    let mut run = || -> rusqlite::Result<Result<Adopted, AdoptError>> {
        let tx = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        let mut head = meta(&tx, "position")?;
        let mut newest = newest_change(&tx, definition)?;
        let mut adopted = Adopted::default();
        for record in records {
            let key = record.key(&definition.key);
            match fit(&tx, table, definition, &key, record, newest)? {
                Ok(Fit::Stands) => adopted.standing += 1,
                Ok(Fit::New) => {
                    (head, newest) = (head + 1, record.meta.last_changed_at);
                    tables::write(&tx, table, definition, &row(model, definition, key, record, head))?;
                    adopted.added += 1;
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        let mut put = tx.prepare_cached("UPDATE _meta SET value = MAX(value, ?2) WHERE key = ?1")?;
        put.execute(("position", head))?;
        put.execute(("last_changed_at", newest))?;
        drop(put);
        tx.commit()?;
        Ok(Ok(adopted))
    };
    run().map_err(store_error)
}

/// Looks whether `records` could be taken over behind those that changed up to `newest`; writes nothing. Gives the time of
/// the newest change after them.
pub(crate) fn try_adopt(
    db: &Db,
    model: ModelId,
    records: &[Record],
    newest: i64,
) -> Result<Result<i64, AdoptError>, StoreError> {
    let (definition, table) = (&db.schema[model], db.tables.of(model));
    let run = || -> rusqlite::Result<Result<i64, AdoptError>> {
        let mut newest = newest_change(&db.conn, definition)?.max(newest);
        for record in records {
            let key = record.key(&definition.key);
            match fit(&db.conn, table, definition, &key, record, newest)? {
                Ok(Fit::Stands) => {}
                Ok(Fit::New) => newest = record.meta.last_changed_at,
                Err(error) => return Ok(Err(error)),
            }
        }
        Ok(Ok(newest))
    };
    run().map_err(store_error)
}

enum Fit {
    New,
    Stands,
}

fn fit(
    conn: &Connection,
    table: &Table,
    definition: &Model,
    key: &Key,
    record: &Record,
    newest: i64,
) -> rusqlite::Result<Result<Fit, AdoptError>> {
    if let Some(found) = tables::load(conn, table, definition, key)? {
        let (here, coming) = (found.record.meta.version, record.meta.version);
        return Ok(match here < coming {
            false => Ok(Fit::Stands),
            true => Err(AdoptError::Earlier {
                key: key.to_text(),
                here: here.0,
                coming: coming.0,
            }),
        });
    }
    let at = record.meta.last_changed_at;
    Ok(match at < newest {
        false => Ok(Fit::New),
        true => Err(AdoptError::Late {
            key: key.to_text(),
            at,
            newest,
        }),
    })
}

/// When each field last changed is not known: at the newest version, says this, so that an edit made on an earlier one
/// is a conflict and not taken for the only one.
fn row(model: ModelId, definition: &Model, key: Key, record: &Record, position: i64) -> RowWrite {
    let mut field_versions = FieldVersions::default();
    for field in 0..definition.fields.len() {
        let field = tombolo_core::id::FieldId(field);
        if !definition.key.contains(&field) && record.meta.version.0 > 1 {
            field_versions.set(field, record.meta.version);
        }
    }
    RowWrite {
        model,
        key,
        stored: StoredRecord {
            record: record.clone(),
            position: Position(position),
            field_versions,
        },
        new: true,
    }
}

fn newest_change(conn: &Connection, model: &Model) -> rusqlite::Result<i64> {
    let table = quoted(&model.name);
    let newest = conn
        .prepare_cached(&format!(
            "SELECT _lastChangedAt FROM {table} ORDER BY _position DESC LIMIT 1"
        ))?
        .query_row([], |row| row.get(0))
        .optional()?;
    Ok(newest.unwrap_or(0))
}
