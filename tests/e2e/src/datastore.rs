//! Files as Amplify DataStore left them on phones, made from the tables that its adapters define: on iOS
//! (`MutationEvent`, `MutationSyncMetadata`, `ModelSyncMetadata`) and on Android (`PersistentRecord`, `ModelMetadata`,
//! `LastSyncMetadata`). Of the models of [`crate::SCHEMA`].

use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};
use serde_json::{Map, Value as Json, json};

/// Which adapter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Adapter {
    /// Amplify for Swift.
    Ios,
    /// Amplify for Android.
    Android,
}

impl Adapter {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Ios, Self::Android];
}

/// A column: its name, its type, whether it is required.
type Column = (&'static str, &'static str, bool);

/// The models with their columns.
const MODELS: &[(&str, &[Column])] = &[
    (
        "Flight",
        &[
            ("id", "text", true),
            ("carrier", "text", true),
            ("createdAt", "text", false),
            ("delay", "integer", false),
            ("dest", "text", false),
            ("updatedAt", "text", false),
        ],
    ),
    (
        "Note",
        &[
            ("id", "text", true),
            ("author", "text", false),
            ("createdAt", "text", false),
            ("done", "integer", false),
            ("flightId", "text", false),
            ("severity", "text", false),
            ("tags", "text", false),
            ("text", "text", true),
            ("updatedAt", "text", false),
        ],
    ),
    (
        "Seat",
        &[
            ("id", "text", true),
            ("createdAt", "text", false),
            ("passenger", "text", false),
            ("updatedAt", "text", false),
        ],
    ),
];

/// A moment within which the phone made everything: milliseconds since 1970.
const BEGIN_MS: i64 = 1_700_000_000_000;

/// A file in the making.
#[derive(Debug)]
pub struct OldFile {
    /// Where it stands.
    pub path: PathBuf,
    /// Open, and of rollback journals as the adapters leave it.
    pub conn: Connection,
    adapter: Adapter,
    queued: i64,
}

impl OldFile {
    /// A file with the tables and nothing in them.
    #[must_use]
    pub fn new(path: &Path, adapter: Adapter) -> Self {
        let conn = Connection::open(path).unwrap();
        for (model, columns) in MODELS {
            conn.execute_batch(&model_table(adapter, model, columns)).unwrap();
        }
        conn.execute_batch(match adapter {
            Adapter::Ios => {
                "create table \"MutationSyncMetadata\" (\"id\" text primary key not null, \"deleted\" integer not null, \
                 \"lastChangedAt\" integer not null, \"version\" integer not null);
                 create table \"ModelSyncMetadata\" (\"id\" text primary key not null, \"lastSync\" integer, \
                 \"syncPredicate\" text);
                 create table \"MutationEvent\" (\"id\" text primary key not null, \"createdAt\" text not null, \
                 \"graphQLFilterJSON\" text, \"inProcess\" integer not null, \"json\" text not null, \"modelId\" text not null, \
                 \"modelName\" text not null, \"mutationType\" text not null, \"version\" integer);"
            }
            Adapter::Android => {
                "CREATE TABLE android_metadata (locale TEXT);
                 CREATE TABLE `ModelMetadata` (`id` TEXT NOT NULL, `_deleted` INTEGER, `_lastChangedAt` INTEGER, \
                 `_version` INTEGER, PRIMARY KEY ( `id`));
                 CREATE TABLE `LastSyncMetadata` (`id` TEXT NOT NULL, `lastSyncTime` INTEGER NOT NULL, \
                 `lastSyncType` TEXT NOT NULL, `modelClassName` TEXT NOT NULL, `syncExpression` TEXT, PRIMARY KEY ( `id`));
                 CREATE TABLE `PersistentModelVersion` (`id` TEXT NOT NULL, `version` TEXT NOT NULL, PRIMARY KEY ( `id`));
                 CREATE TABLE `PersistentRecord` (`id` TEXT NOT NULL, `containedModelClassName` TEXT NOT NULL, \
                 `containedModelId` TEXT NOT NULL, `serializedMutationData` TEXT NOT NULL, PRIMARY KEY ( `id`));"
            }
        })
        .unwrap();
        Self {
            path: path.to_owned(),
            conn,
            adapter,
            queued: 0,
        }
    }

    /// A record as the phone shows it; `version`: what it was synced at.
    pub fn record(&self, model: &str, record: &Json, version: Option<i64>) {
        let map = record.as_object().unwrap();
        let names: Vec<String> = map.keys().map(|name| format!("\"{name}\"")).collect();
        let places: Vec<String> = (1..=map.len()).map(|place| format!("?{place}")).collect();
        let values: Vec<rusqlite::types::Value> = map.values().map(sql).collect();
        self.conn
            .prepare_cached(&format!(
                "INSERT OR REPLACE INTO \"{model}\" ({}) VALUES ({})",
                names.join(", "),
                places.join(", ")
            ))
            .unwrap()
            .execute(rusqlite::params_from_iter(values))
            .unwrap();
        if let Some(version) = version {
            self.synced(model, record["id"].as_str().unwrap(), version, false);
        }
    }

    /// What a record was synced at.
    pub fn synced(&self, model: &str, id: &str, version: i64, deleted: bool) {
        let sql = match self.adapter {
            Adapter::Ios => {
                "INSERT OR REPLACE INTO MutationSyncMetadata (id, deleted, lastChangedAt, version) VALUES (?1, ?2, ?3, ?4)"
            }
            Adapter::Android => {
                "INSERT OR REPLACE INTO ModelMetadata (id, _deleted, _lastChangedAt, _version) VALUES (?1, ?2, ?3, ?4)"
            }
        };
        self.conn
            .prepare_cached(sql)
            .unwrap()
            .execute(params![format!("{model}|{id}"), deleted, BEGIN_MS, version])
            .unwrap();
    }

    /// An unsent mutation behind those before it. `content` is what that adapter keeps: on iOS the whole record, on Android
    /// the fields that changed.
    pub fn queue(&mut self, model: &str, kind: &str, content: &Json) -> String {
        self.queue_with(model, kind, content, None, false)
    }

    /// The same with a condition on the title of one field (`eq`), and as one that iOS had begun to send.
    pub fn queue_with(
        &mut self,
        model: &str,
        kind: &str,
        content: &Json,
        condition: Option<(&str, &str)>,
        in_process: bool,
    ) -> String {
        self.queued += 1;
        let at = self.queued;
        let record = content["id"].as_str().unwrap_or_default().to_owned();
        match self.adapter {
            Adapter::Ios => {
                let id = format!("5E1F0000-0000-4000-8000-{:012}", 999_999 - at);
                let filter = condition.map(|(field, value)| json!({ field: { "eq": value } }).to_string());
                self.conn
                    .execute(
                        "INSERT INTO MutationEvent (id, modelId, modelName, json, mutationType, createdAt, version, inProcess, \
                         graphQLFilterJSON) VALUES (?1, ?2, ?3, ?4, ?5, ?6, NULL, ?7, ?8)",
                        params![id, record, model, content.to_string(), kind, iso(at), in_process, filter],
                    )
                    .unwrap();
                id
            }
            Adapter::Android => {
                let id = time_uuid(at);
                let predicate = match condition {
                    None => json!({ "_type": "ALL" }),
                    Some((field, value)) => json!({
                        "_type": "OPERATION", "field": field, "modelName": model,
                        "operator": { "type": "EQUAL", "value": value },
                    }),
                };
                let schema = json!({ "name": model, "fields": {}, "associations": {}, "indexes": {} });
                let mutation = json!({
                    "mutatedItem": { "id": record, "modelSchema": schema, "serializedData": content },
                    "modelSchema": schema,
                    "mutationType": kind.to_uppercase(),
                    "mutationId": id,
                    "predicate": predicate,
                });
                // The adapter writes its own id without quotes.
                let text = mutation.to_string().replace(&format!("\"{id}\""), &id);
                self.conn
                    .execute(
                        "INSERT INTO PersistentRecord (id, containedModelId, containedModelClassName, serializedMutationData) \
                         VALUES (?1, ?2, ?3, ?4)",
                        params![id, record, "com.amplifyframework.core.model.SerializedModel", text],
                    )
                    .unwrap();
                id
            }
        }
    }

    /// An update: the record as it is after it in the table, and in the queue what the adapter keeps of it.
    pub fn update(&mut self, model: &str, before: &Json, changes: &Json) -> String {
        let mut after = before.clone();
        for (name, value) in changes.as_object().unwrap() {
            after[name] = value.clone();
        }
        self.record(model, &after, None);
        let content = match self.adapter {
            Adapter::Ios => Json::Object(present(&after)),
            Adapter::Android => {
                let mut patch = changes.clone();
                patch["id"] = before["id"].clone();
                patch
            }
        };
        self.queue(model, "update", &content)
    }

    /// A creation: the record in the table and in the queue, never synced.
    pub fn create(&mut self, model: &str, record: &Json) -> String {
        self.record(model, record, None);
        self.queue(model, "create", &Json::Object(present(record)))
    }

    /// A deletion: the record is gone from the table, its metadata stays.
    pub fn delete(&mut self, model: &str, record: &Json) -> String {
        self.conn
            .execute(
                &format!("DELETE FROM \"{model}\" WHERE id = ?1"),
                [record["id"].as_str()],
            )
            .unwrap();
        self.queue(model, "delete", &Json::Object(present(record)))
    }
}

/// Without nulls.
fn present(record: &Json) -> Map<String, Json> {
    let members = record.as_object().unwrap().iter();
    members
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| (name.clone(), value.clone()))
        .collect()
}

fn model_table(adapter: Adapter, model: &str, columns: &[(&str, &str, bool)]) -> String {
    let column = |(name, ty, required): &(&str, &str, bool)| match adapter {
        Adapter::Ios => format!(
            "\"{name}\" {ty}{}{}",
            if *name == "id" { " primary key" } else { "" },
            if *required { " not null" } else { "" }
        ),
        Adapter::Android => format!(
            "`{name}` {}{}",
            ty.to_uppercase(),
            if *required { " NOT NULL" } else { "" }
        ),
    };
    let columns: Vec<String> = columns.iter().map(column).collect();
    match adapter {
        Adapter::Ios => format!(
            "create table if not exists \"{model}\" (\n  {}\n);",
            columns.join(",\n  ")
        ),
        Adapter::Android => format!(
            "CREATE TABLE IF NOT EXISTS `{model}` ({}, PRIMARY KEY ( `id`));",
            columns.join(", ")
        ),
    }
}

fn sql(value: &Json) -> rusqlite::types::Value {
    use rusqlite::types::Value;
    match value {
        Json::Null => Value::Null,
        Json::Bool(flag) => Value::Integer(i64::from(*flag)),
        Json::Number(number) => number
            .as_i64()
            .map_or_else(|| Value::Real(number.as_f64().unwrap()), Value::Integer),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Value::Text(value.to_string()),
    }
}

/// The moment of the mutation `at`, as iOS writes it.
fn iso(at: i64) -> String {
    let ms = at % 1_000;
    let s = at / 1_000;
    format!("2023-11-14T22:{:02}:{:02}.{ms:03}Z", 13 + s / 60, s % 60)
}

/// A time-based UUID of the mutation `at`.
fn time_uuid(at: i64) -> String {
    let time = (BEGIN_MS + at + 12_219_292_800_000) * 10_000;
    format!(
        "{:08x}-{:04x}-1{:03x}-8d3d-0242ac130003",
        time & 0xFFFF_FFFF,
        time >> 32 & 0xFFFF,
        time >> 48 & 0xFFF
    )
}
