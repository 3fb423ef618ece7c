//! One page of a model's change feed, columnar: field names once, then rows.
//!
//! The server writes the bytes with [`write_row`] and [`write_batch`] straight from SQL columns; the replica reads them with
//! [`ChangeBatch`], whose rows stay raw JSON until the store binds them, one row at a time.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::id::{FieldId, MutationNumber, Position, ReplicaId};
use crate::record::{Meta, Record};
use crate::schema::Model;
use crate::value::{Row, ValueRef};

/// A page as the replica reads it: the `tomboloChanges` field of an answer, all of its fields selected.
#[derive(Debug, Deserialize, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ChangeBatch {
    /// The model.
    pub model: String,
    /// The cursor once this page is applied.
    pub cursor: String,
    /// Everything up to the feed's head at the time of reading is in: the scope is complete here.
    pub up_to_date: bool,
    /// The cursor sent was of another epoch or below the low watermark: a base sync begins with this page.
    pub reset: bool,
    /// Names of the columns of `rows`: stored fields, then `_version`, `_deleted`, `_lastChangedAt`.
    pub fields: Vec<String>,
    /// `[[…], …]`, each row's values in the order of `fields`, in their GraphQL JSON form, by ascending position.
    pub rows: Box<RawValue>,
    /// Keys of records that left the scope, each an array of the key's values.
    pub left: Vec<Vec<serde_json::Value>>,
    /// What of the replica's own mutations has landed with this page; from the answer's `extensions.tombolo`. `None`: the
    /// server does not say (an older one), or has nothing to say.
    #[serde(skip)]
    pub landed: Option<Landed>,
}

/// A replica's mutations that have landed in the part of the feed that a page covers, told with the page, in
/// `extensions.tombolo.landed`: rows of this page and of later ones contain their effects, whether they were answered or
/// not. No field of the page, so that a client can be newer than its server, and a server newer than its client.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Landed {
    /// Whose: the replica that the request named. A page that was asked for before the replica took another identity tells
    /// nothing about the present one's numbers.
    pub replica: ReplicaId,
    /// Which, by ascending position.
    pub mutations: Vec<LandedMutation>,
}

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct LandedMutation {
    /// Its number.
    pub number: MutationNumber,
    /// Where its effect stands in the feed, in the epoch of the page's cursor.
    pub position: Position,
}

/// The names of the three meta columns, in the order in which a batch's `fields` ends.
pub const META_FIELDS: [&str; 3] = ["_version", "_deleted", "_lastChangedAt"];

/// The selection that a replica makes of a batch: all of it.
pub const SELECTION: &str = "{ model cursor upToDate reset fields rows left }";

/// A page as the server writes it: everything but the two parts that are bytes already.
#[derive(Clone, Copy, Debug)]
pub struct BatchHead<'a> {
    /// See [`ChangeBatch::model`].
    pub model: &'a str,
    /// See [`ChangeBatch::cursor`].
    pub cursor: &'a str,
    /// See [`ChangeBatch::up_to_date`].
    pub up_to_date: bool,
    /// See [`ChangeBatch::reset`].
    pub reset: bool,
    /// See [`ChangeBatch::fields`]; names only, which need no escapes.
    pub fields: &'a [String],
}

/// Writes a whole batch; `rows` and `left` are JSON arrays.
#[must_use]
pub fn write_batch(head: &BatchHead<'_>, rows: &[u8], left: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(rows.len() + left.len() + 256);
    out.extend_from_slice(b"{\"model\":\"");
    out.extend_from_slice(head.model.as_bytes());
    out.extend_from_slice(b"\",\"cursor\":\"");
    out.extend_from_slice(head.cursor.as_bytes());
    out.extend_from_slice(if head.up_to_date {
        b"\",\"upToDate\":true"
    } else {
        b"\",\"upToDate\":false"
    });
    out.extend_from_slice(if head.reset {
        b",\"reset\":true"
    } else {
        b",\"reset\":false"
    });
    out.extend_from_slice(b",\"fields\":[");
    for (place, field) in head.fields.iter().enumerate() {
        out.extend_from_slice(if place == 0 { b"\"" } else { b",\"" });
        out.extend_from_slice(field.as_bytes());
        out.push(b'"');
    }
    out.extend_from_slice(b"],\"rows\":");
    out.extend_from_slice(rows);
    out.extend_from_slice(b",\"left\":");
    out.extend_from_slice(left);
    out.push(b'}');
    out
}

/// Writes one row: `fields` of `model` from the columns of `row` in that order, then the three meta columns, which
/// follow them there as `_version`, `_deleted` (0 or 1), `_lastChangedAt`.
pub fn write_row(model: &Model, fields: &[FieldId], row: &dyn Row, out: &mut Vec<u8>) {
    out.push(b'[');
    for (column, field) in fields.iter().enumerate() {
        model.field_at(*field).ty.write_json(row.get(column), out);
        out.push(b',');
    }
    write_meta_int(row.get(fields.len()), out);
    out.extend_from_slice(match row.get(fields.len() + 1) {
        ValueRef::Int(deleted) if deleted != 0 => b",true,",
        _ => b",null,",
    });
    write_meta_int(row.get(fields.len() + 2), out);
    out.push(b']');
}

/// The same from a record in memory.
pub fn write_record(model: &Model, fields: &[FieldId], record: &Record, out: &mut Vec<u8>) {
    let Meta {
        version,
        deleted,
        last_changed_at,
    } = record.meta;
    out.push(b'[');
    for field in fields {
        model.field_at(*field).ty.write_json(record.value(*field).as_ref(), out);
        out.push(b',');
    }
    write_meta_int(ValueRef::Int(version.0), out);
    out.extend_from_slice(if deleted { b",true," } else { b",null," });
    write_meta_int(ValueRef::Int(last_changed_at), out);
    out.push(b']');
}

fn write_meta_int(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Int(int) => out.extend_from_slice(int.to_string().as_bytes()),
        ValueRef::Null | ValueRef::Float(_) | ValueRef::Text(_) => out.extend_from_slice(b"null"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_batch_survives_its_text() {
        let fields = ["id".to_owned(), "_version".to_owned()];
        let head = BatchHead {
            model: "Todo",
            cursor: "e.7",
            up_to_date: true,
            reset: false,
            fields: &fields,
        };
        let bytes = write_batch(&head, br#"[["a",1]]"#, br#"[["b"]]"#);
        let batch: ChangeBatch = serde_json::from_slice(&bytes).unwrap();
        assert_eq!((batch.model.as_str(), batch.cursor.as_str()), ("Todo", "e.7"));
        assert_eq!((batch.up_to_date, batch.reset), (true, false));
        assert_eq!(batch.fields, fields);
        assert_eq!(batch.rows.get(), r#"[["a",1]]"#);
        assert_eq!(batch.left, [[serde_json::json!("b")]]);
    }
}
