//! Which records this replica holds, and how far it has come.

use serde_json::Value as Json;
use tombolo_core::id::Cursor;
use tombolo_core::schema::Schema;

/// A model and an optional filter over it: one scope a model.
#[derive(Clone, Debug, PartialEq)]
pub struct Scope {
    /// The model's name.
    pub model: String,
    /// The JSON of the model's filter input; `None` = every record.
    pub filter: Option<Json>,
}

/// A scope and where the replica stands in its feed: what a subscription sends.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeCursor {
    /// The model's name.
    pub model: String,
    /// The filter.
    pub filter: Option<Json>,
    /// Exactly as the server gave it; `None` for a base sync.
    pub cursor: Option<String>,
    /// Hash of the schema whose names these are.
    pub schema: String,
}

impl ScopeCursor {
    /// The variable of type `TomboloScopeInput`.
    #[must_use]
    pub fn to_json(&self) -> Json {
        let mut map = serde_json::Map::new();
        map.insert("model".into(), Json::String(self.model.clone()));
        if let Some(filter) = &self.filter {
            map.insert("filter".into(), filter.clone());
        }
        if let Some(cursor) = &self.cursor {
            map.insert("cursor".into(), Json::String(cursor.clone()));
        }
        Json::Object(map)
    }
}

/// A scope as the store keeps it.
#[derive(Clone, Debug, PartialEq)]
pub struct ScopeRow {
    /// The model's name.
    pub model: String,
    /// The filter.
    pub filter: Option<Json>,
    /// The position durably applied; `None` if a base sync is to begin.
    pub cursor: Option<String>,
    /// Grows with each base sync; rows carry the generation in which they were last seen.
    pub generation: i64,
    /// A base sync is under way: rows of older generations are swept when it completes.
    pub base_sync: bool,
    /// Complete up to the head as of the newest batch.
    pub up_to_date: bool,
}

impl ScopeRow {
    /// A scope that holds nothing yet.
    #[must_use]
    pub fn new(scope: Scope, generation: i64) -> Self {
        Self {
            model: scope.model,
            filter: scope.filter,
            cursor: None,
            generation,
            base_sync: true,
            up_to_date: false,
        }
    }

    /// The cursor, if there is one that can be read.
    #[must_use]
    pub fn parsed_cursor(&self) -> Option<Cursor> {
        self.cursor.as_deref().and_then(|text| text.parse().ok())
    }

    /// What a subscription sends.
    #[must_use]
    pub fn to_send(&self, schema: &Schema) -> ScopeCursor {
        ScopeCursor {
            model: self.model.clone(),
            filter: self.filter.clone(),
            cursor: self.cursor.clone(),
            schema: schema.hash.clone(),
        }
    }
}
