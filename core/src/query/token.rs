//! Page tokens: where a list goes on.
//!
//! A token is opaque to callers. Inside: the values of the columns that the list is ordered by in the last record given, and
//! a hash of everything that makes the list what it is (field, arguments, but not `limit`), so that a token cannot silently
//! be used with another list. It grants nothing: rules and filters apply to every page anew.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::filter_parse::bad;
use super::plan::{By, Column};
use crate::schema::{FieldKind, FieldType, Model, Scalar, Schema};
use crate::value::Value;
use crate::wire::graphql::GraphqlError;

/// Longest token that is made and read, in bytes: 1 MiB, as a document. A list may be sorted by any text of its records, which
/// have 400 KiB at most, and a third more in base64; only a long text that is mostly control characters does not fit.
const TOKEN_BYTES_MAX: usize = 1 << 20;

/// What a token carries.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Token {
    /// The values of the order's columns.
    pub(super) after: Vec<Value>,
    /// For a nested list, the parent's key as JSON text.
    pub(super) parent: Option<String>,
    /// For sync, the first page's `startedAt`.
    pub(super) started_at: Option<i64>,
}

impl Token {
    /// The token as text; `None` if it would be too long to be read.
    pub(super) fn encode(&self, list: &str) -> Option<String> {
        let values: Vec<Json> = self.after.iter().map(Value::to_json).collect();
        let json = serde_json::json!([list, values, self.parent, self.started_at]);
        let text = URL_SAFE_NO_PAD.encode(json.to_string());
        (text.len() <= TOKEN_BYTES_MAX).then_some(text)
    }

    /// Reads a token of the list `list`, ordered by `order`.
    pub(super) fn decode(
        text: &str,
        list: &str,
        schema: &Schema,
        model: &Model,
        order: &[By],
    ) -> Result<Self, GraphqlError> {
        let broken = || bad("`nextToken` cannot be read: send it exactly as it was given, or none for the first page");
        if text.len() > TOKEN_BYTES_MAX {
            return Err(broken());
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| broken())?;
        let (its_list, values, parent, started_at): (String, Vec<Json>, Option<String>, Option<i64>) =
            serde_json::from_slice(&bytes).map_err(|_| broken())?;
        if its_list != list {
            return Err(bad(
                "`nextToken` belongs to a list with other arguments: send the same arguments for each page (`limit` may \
                 differ), or no token for the first page",
            ));
        }
        if values.len() != order.len() {
            return Err(broken());
        }
        let after = order
            .iter()
            .zip(&values)
            .map(|(by, json)| column_type(model, by.column).parse_json(schema, json))
            .collect::<Result<_, _>>()
            .map_err(|_| broken())?;
        Ok(Self {
            after,
            parent,
            started_at,
        })
    }
}

/// The nullable type by which a column's values are read from a token: its storage class. What a text must be beside a text
/// is not asked again: a record may hold what its enum no longer has.
pub(super) fn column_type(model: &Model, column: Column) -> FieldType {
    match column {
        Column::Field(field) => FieldType::single(match &model.field_at(field).ty.kind {
            kind @ FieldKind::Scalar(
                Scalar::Id | Scalar::Int | Scalar::Float | Scalar::Boolean | Scalar::AwsTimestamp,
            ) => kind.clone(),
            FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_) => FieldKind::Scalar(Scalar::String),
        }),
        Column::Deleted => FieldType::single(FieldKind::Scalar(Scalar::Boolean)),
        Column::Version | Column::LastChangedAt | Column::Position | Column::Rule(_) => {
            FieldType::single(FieldKind::Scalar(Scalar::AwsTimestamp))
        }
    }
}

/// What binds a token to its list: a hash of the list's name and arguments.
pub(super) fn list_hash(of: &str, field: &str, arguments: &[(String, Json)]) -> String {
    let mut hash = Sha256::new();
    hash.update(of);
    hash.update([0]);
    hash.update(field);
    for (name, value) in arguments {
        if matches!(name.as_str(), "limit" | "nextToken") || value.is_null() {
            continue;
        }
        hash.update([0]);
        hash.update(name);
        hash.update([0]);
        hash.update(value.to_string());
    }
    URL_SAFE_NO_PAD.encode(&hash.finalize()[..9])
}
