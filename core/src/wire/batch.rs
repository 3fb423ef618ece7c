//! One page of a model's change feed, columnar: field names once, then rows.
//!
//! The server writes the bytes with [`BatchWriter`] straight from SQL columns; the replica reads them with
//! [`ChangeBatch`], whose rows stay raw JSON until the store binds them, one row at a time.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

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
}

/// The names of the three meta columns, in the order in which a batch's `fields` ends.
pub const META_FIELDS: [&str; 3] = ["_version", "_deleted", "_lastChangedAt"];

/// The selection that a replica makes of a batch: all of it.
pub const SELECTION: &str = "{ model cursor upToDate reset fields rows left }";
