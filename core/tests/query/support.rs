//! A small schema, its tables in SQLite, and the driver that runs our statements there.

use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::types::ValueRef as SqlRef;
use serde_json::{Map, Value as Json};
use tombolo_core::access::{Access, Identity};
use tombolo_core::id::ModelId;
use tombolo_core::query::{Answer, Bound, Document, QueryLimits, RunStatement, Side, Statement, Supplied, answer};
use tombolo_core::schema::{FieldKind, Scalar, Schema};
use tombolo_core::value::{Row, Value, ValueRef};
use tombolo_core::wire::graphql::GraphqlError;

pub(crate) const SDL: &str = r#"
enum Status { DRAFT PUBLISHED ARCHIVED }
type Geo { lat: Float! lng: Float label: String kind: Status! }
type Place { name: String! geo: Geo! tags: [String!] near: [Geo] }
type Author @model {
  id: ID!
  name: String!
  age: Int
  score: Float
  active: Boolean!
  status: Status
  moods: [Status]
  nicknames: [String]
  place: Place
  places: [Place!]
  posts: [Post] @hasMany(indexName: "byAuthor", fields: ["id"])
  profile: Profile @hasOne
}
type Post @model {
  id: ID!
  authorID: ID @index(name: "byAuthor", queryField: "postsByAuthor", sortKeyFields: ["rating"])
  rating: Int!
  title: String!
  words: [String!]!
  seen: AWSTimestamp
  author: Author @belongsTo(fields: ["authorID"])
  comments: [Comment] @hasMany
}
type Comment @model {
  id: ID!
  content: String!
  likes: Int
}
type Profile @model {
  id: ID!
  bio: String!
}
type Item @model {
  orderId: ID! @primaryKey(sortKeyFields: ["status", "n"])
  status: String!
  n: Int!
  qty: Int
  price: Float!
}
"#;

pub(crate) fn schema() -> Arc<Schema> {
    Arc::new(Schema::parse(SDL, "schema.graphql").unwrap())
}

pub(crate) fn local(schema: &Schema) -> Access {
    Access::of(schema, &Identity::Local)
}

pub(crate) fn key_access(schema: &Schema) -> Access {
    Access::of(schema, &Identity::ApiKey { name: "test".into() })
}

/// A record as the tests write it: field values as JSON, in column order, then version, deleted, changed at, position.
#[derive(Clone, Debug)]
pub(crate) struct Stored {
    pub(crate) values: Vec<Value>,
    pub(crate) version: i64,
    pub(crate) deleted: bool,
    pub(crate) changed_at: i64,
    pub(crate) position: i64,
}

pub(crate) struct Db {
    pub(crate) schema: Arc<Schema>,
    pub(crate) connection: Connection,
    pub(crate) statements: Vec<String>,
    /// Rows that statements gave.
    pub(crate) rows_read: usize,
}

impl Db {
    pub(crate) fn new(schema: &Arc<Schema>) -> Self {
        let connection = Connection::open_in_memory().unwrap();
        for model in &schema.models {
            let mut columns: Vec<String> = model
                .fields
                .iter()
                .map(|field| {
                    let class = match (&field.ty.kind, field.ty.list) {
                        (FieldKind::Scalar(Scalar::Int | Scalar::AwsTimestamp | Scalar::Boolean), None) => "INTEGER",
                        (FieldKind::Scalar(Scalar::Float), None) => "REAL",
                        _ => "TEXT",
                    };
                    format!("\"{}\" {class}", field.name)
                })
                .collect();
            columns.push(
                "_version INTEGER, _deleted INTEGER, _lastChangedAt INTEGER, _position INTEGER UNIQUE, _fieldVersions TEXT"
                    .into(),
            );
            let key: Vec<String> = model
                .key
                .iter()
                .map(|f| format!("\"{}\"", model.fields[f.0].name))
                .collect();
            columns.push(format!("PRIMARY KEY ({})", key.join(", ")));
            let sql = format!("CREATE TABLE \"{}\" ({})", model.name, columns.join(", "));
            connection.execute_batch(&sql).unwrap();
        }
        Self {
            schema: Arc::clone(schema),
            connection,
            statements: Vec::new(),
            rows_read: 0,
        }
    }

    pub(crate) fn insert(&self, model: ModelId, stored: &Stored) {
        let model = self.schema.model(model);
        let mut names: Vec<String> = model.fields.iter().map(|f| format!("\"{}\"", f.name)).collect();
        for name in ["_version", "_deleted", "_lastChangedAt", "_position"] {
            names.push(name.into());
        }
        let marks = vec!["?"; names.len()].join(", ");
        let sql = format!(
            "INSERT OR REPLACE INTO \"{}\" ({}) VALUES ({marks})",
            model.name,
            names.join(", ")
        );
        let mut values = stored.values.clone();
        values.extend([
            Value::Int(stored.version),
            Value::Bool(stored.deleted),
            Value::Int(stored.changed_at),
            Value::Int(stored.position),
        ]);
        self.connection
            .prepare_cached(&sql)
            .unwrap()
            .execute(rusqlite::params_from_iter(values.iter().map(bound)))
            .unwrap();
    }

    /// Inserts records of `model` given as JSON objects; what is missing is null. Positions count up over the database.
    pub(crate) fn fill(&self, model: &str, records: Json) {
        let id = self.schema.model_named(model).unwrap();
        for record in records.as_array().unwrap() {
            let position: i64 = self
                .connection
                .query_row(&format!("SELECT 1 + count(*) FROM \"{model}\""), [], |r| r.get(0))
                .unwrap();
            let values = self
                .schema
                .model(id)
                .fields
                .iter()
                .map(|field| {
                    let json = record.get(&field.name).unwrap_or(&Json::Null);
                    field.ty.with_required(false).parse_json(&self.schema, json).unwrap()
                })
                .collect();
            let stored = Stored {
                values,
                version: record.get("_version").and_then(Json::as_i64).unwrap_or(1),
                deleted: record.get("_deleted").and_then(Json::as_bool).unwrap_or(false),
                changed_at: record
                    .get("_lastChangedAt")
                    .and_then(Json::as_i64)
                    .unwrap_or(1_000 + position),
                position,
            };
            self.insert(id, &stored);
        }
    }

    pub(crate) fn run(&mut self, bound: &Bound) -> Answer {
        answer(bound.execute(), self).unwrap()
    }

    /// The whole answer of `text` to an identity that may do all.
    pub(crate) fn ask(&mut self, text: &str, variables: Json) -> Json {
        let access = local(&self.schema);
        self.ask_as(text, variables, &access, Side::Server)
    }

    /// With the server's clock told to each root.
    pub(crate) fn ask_at(&mut self, now_ms: i64, text: &str, variables: Json) -> Json {
        let bound = bind(&self.schema, text, variables, &local(&self.schema), Side::Server).unwrap();
        let mut execution = bound.execute();
        for root in 0..bound.roots().len() {
            execution.supply(root, Supplied::Now(now_ms));
        }
        let answer = answer(execution, self).unwrap();
        serde_json::from_slice(&answer.into_bytes(None)).unwrap()
    }

    pub(crate) fn ask_as(&mut self, text: &str, variables: Json, access: &Access, side: Side) -> Json {
        let bound = bind(&self.schema, text, variables, access, side).unwrap();
        let answer = self.run(&bound);
        serde_json::from_slice(&answer.into_bytes(None)).unwrap()
    }
}

pub(crate) fn bind(
    schema: &Arc<Schema>,
    text: &str,
    variables: Json,
    access: &Access,
    side: Side,
) -> Result<Bound, Vec<GraphqlError>> {
    let limits = match side {
        Side::Server => QueryLimits::default(),
        Side::Replica => QueryLimits::replica(),
    };
    let variables = match variables {
        Json::Object(map) => map,
        _ => Map::new(),
    };
    Document::parse(schema, text, &limits)?.bind(None, &variables, access, side)
}

/// What is wrong with `text`, which must be wrong as a whole.
pub(crate) fn refused(text: &str, variables: Json) -> Vec<GraphqlError> {
    let schema = schema();
    let access = local(&schema);
    bind(&schema, text, variables, &access, Side::Server).unwrap_err()
}

impl RunStatement for Db {
    type Error = rusqlite::Error;

    fn run(&mut self, s: &Statement, row: &mut dyn FnMut(&dyn Row) -> bool) -> Result<(), rusqlite::Error> {
        self.statements.push(s.sql.clone());
        let mut statement = self.connection.prepare_cached(&s.sql)?;
        let mut rows = statement.query(rusqlite::params_from_iter(s.params.iter().map(bound)))?;
        while let Some(found) = rows.next()? {
            self.rows_read += 1;
            if !row(&Lent(found)) {
                break;
            }
        }
        Ok(())
    }
}

pub(crate) struct Lent<'a, 'b>(pub(crate) &'a rusqlite::Row<'b>);

impl Row for Lent<'_, '_> {
    fn get(&self, column: usize) -> ValueRef<'_> {
        match self.0.get_ref(column) {
            Ok(SqlRef::Integer(n)) => ValueRef::Int(n),
            Ok(SqlRef::Real(x)) => ValueRef::Float(x),
            Ok(SqlRef::Text(text)) => std::str::from_utf8(text).map_or(ValueRef::Null, ValueRef::Text),
            _ => ValueRef::Null,
        }
    }
}

pub(crate) fn bound(value: &Value) -> rusqlite::types::Value {
    use rusqlite::types::Value as Sql;
    match value {
        Value::Null => Sql::Null,
        Value::Bool(b) => Sql::Integer(i64::from(*b)),
        Value::Int(n) => Sql::Integer(*n),
        Value::Float(x) => Sql::Real(*x),
        Value::Text(text) | Value::Json(text) => Sql::Text(text.clone()),
    }
}
