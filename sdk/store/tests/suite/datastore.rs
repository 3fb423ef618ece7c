//! Files of Amplify DataStore, made from the tables that its adapters define: what is read of them, in what order, and what
//! becomes of what cannot be read.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use rusqlite::{Connection, params};
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tombolo_core::record::Key;
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_machine::limits::OUTBOX_ENTRIES_MAX;
use tombolo_machine::{Imported, Input, Machine, Now, OutboxEntry, Scope, ScopeRow, Settings, StoreTx};
use tombolo_store::Store;
use tombolo_store::datastore::{DatastoreFile, ImportError, ImportFormat, ImportReport};

use crate::world::{options, schema};

pub(crate) const SDL: &str = "
enum Kind { BLOG PAPER }
type Place { lat: Float! name: String }
type Author @model { id: ID! name: String! posts: [Post] @hasMany(indexName: \"byAuthor\", fields: [\"id\"]) }
type Post @model @renamed(from: \"Article\") {
  id: ID!
  title: String! @renamed(from: \"headline\")
  stars: Int
  rating: Float
  draft: Boolean
  kind: Kind
  at: AWSDateTime
  stamp: AWSTimestamp
  tags: [String]
  place: Place
  authorId: ID @index(name: \"byAuthor\")
  author: Author @belongsTo(fields: [\"authorId\"])
}
type Line @model { order: ID! @primaryKey(sortKeyFields: [\"n\"]) n: Int! text: String }
";

pub(crate) const NOW: Now = Now {
    monotonic: Duration::ZERO,
    wall_ms: 1_800_000_000_000,
};

pub(crate) struct Taken {
    pub store: Store,
    pub report: ImportReport,
    schema: Arc<Schema>,
}

impl Taken {
    pub(crate) fn outbox(&mut self) -> Vec<OutboxEntry> {
        self.store.begin(false).unwrap().outbox(0, 10_000).unwrap()
    }

    /// Ids and kinds in order.
    pub(crate) fn queued(&mut self) -> Vec<String> {
        let kind = |entry: &OutboxEntry| match entry.intent.kind {
            MutationKind::Create => "create",
            MutationKind::Update => "update",
            MutationKind::Delete => "delete",
        };
        let entries = self.outbox();
        entries
            .iter()
            .map(|entry| format!("{} {}", kind(entry), entry.intent.key[0].as_str().unwrap()))
            .collect()
    }

    pub(crate) fn view(&mut self, model: &str, key: &[Json]) -> Option<Json> {
        let schema = self.schema.clone();
        let id = schema.model_named(model).unwrap();
        let shape = schema.model(id);
        let key = Key::from_json(shape, key).unwrap();
        let row = self.store.begin(false).unwrap().view(id, &key).unwrap()?;
        let mut shown = json!({ "_version": row.meta.version.0, "_deleted": row.meta.deleted });
        for (field, value) in shape.fields.iter().zip(&row.values) {
            if *value != Value::Null {
                shown[&field.name] = value.to_json();
            }
        }
        Some(shown)
    }
}

/// Whole scopes of a new replica, as a client notes them before it takes anything.
pub(crate) fn replica(dir: &TempDir, schema: &Arc<Schema>) -> (Store, Machine) {
    replica_within(dir, schema, OUTBOX_ENTRIES_MAX)
}

fn replica_within(dir: &TempDir, schema: &Arc<Schema>, most: u64) -> (Store, Machine) {
    let mut store = Store::open(&dir.path().join("replica.db"), schema.clone(), options()).unwrap();
    let mut tx = store.begin(false).unwrap();
    if tx.scopes().unwrap().is_empty() {
        for model in &schema.models {
            let scope = Scope {
                model: model.name.clone(),
                filter: None,
            };
            tx.put_scope(&ScopeRow::new(scope, 1)).unwrap();
        }
    }
    tx.commit().unwrap();
    let settings = Settings {
        outbox_entries_max: most,
        ..Settings::default()
    };
    let mut machine = Machine::new(schema.clone(), settings);
    let mut tx = store.begin(false).unwrap();
    let step = machine.step(&mut tx, Input::Start, NOW).unwrap();
    tx.commit().unwrap();
    drop(machine.install(step));
    (store, machine)
}

pub(crate) fn old(dir: &TempDir) -> PathBuf {
    dir.path().join("old.db")
}

pub(crate) fn try_take(dir: &TempDir, sdl: &str) -> Result<Taken, ImportError> {
    take_within(dir, sdl, OUTBOX_ENTRIES_MAX)
}

/// With an outbox of so many entries.
pub(crate) fn take_within(dir: &TempDir, sdl: &str, most: u64) -> Result<Taken, ImportError> {
    let schema = schema(sdl);
    let (mut store, mut machine) = replica_within(dir, &schema, most);
    let room = machine.import_room();
    let file = DatastoreFile::open(&old(dir), &dir.path().join("replica.db"))?.expect("there is a file");
    let mut tx = store.begin(true)?;
    let (mut report, mut queue) = tx.lay_datastore(&file, None, room)?;
    let mutations = std::mem::take(&mut queue.mutations);
    let (step, taken) = machine.import(&mut tx, mutations, NOW).unwrap();
    tx.datastore_taken(&mut report, queue, &taken)?;
    tx.commit()?;
    drop(machine.install(step));
    Ok(Taken { store, report, schema })
}

pub(crate) fn take(dir: &TempDir, sdl: &str) -> Taken {
    let before = std::fs::read(old(dir)).unwrap();
    let taken = try_take(dir, sdl).unwrap();
    assert_eq!(std::fs::read(old(dir)).unwrap(), before, "the old file is as it was");
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().contains(".datastore")),
        "{left:?}"
    );
    taken
}

pub(crate) fn file(dir: &TempDir, sql: &str) -> Connection {
    let conn = Connection::open(old(dir)).unwrap();
    conn.execute_batch(sql).unwrap();
    conn
}

pub(crate) const IOS: &str = r#"
create table "MutationSyncMetadata" ("id" text primary key not null, "deleted" integer not null,
  "lastChangedAt" integer not null, "version" integer not null);
create table "MutationEvent" ("id" text primary key not null, "createdAt" text not null, "graphQLFilterJSON" text,
  "inProcess" integer not null, "json" text not null, "modelId" text not null, "modelName" text not null,
  "mutationType" text not null, "version" integer);
create table "ModelSyncMetadata" ("id" text primary key not null, "lastSync" integer);
"#;

pub(crate) const ANDROID: &str = r"
CREATE TABLE android_metadata (locale TEXT);
CREATE TABLE `ModelMetadata` (`id` TEXT NOT NULL, `_deleted` INTEGER, `_lastChangedAt` INTEGER, `_version` INTEGER, PRIMARY KEY ( `id`));
CREATE TABLE `PersistentRecord` (`id` TEXT NOT NULL, `containedModelClassName` TEXT NOT NULL, `containedModelId` TEXT NOT NULL,
  `serializedMutationData` TEXT NOT NULL, PRIMARY KEY ( `id`));
";

pub(crate) const POSTS: &str = r#"
create table "Author" ("id" text primary key not null, "name" text not null);
create table "Post" ("id" text primary key not null, "title" text not null, "stars" integer, "rating" real, "draft" integer,
  "kind" text, "at" text, "stamp" integer, "tags" text, "place" text, "authorId" text,
  foreign key("authorId") references "Author"("id") on delete cascade);
"#;

pub(crate) fn event(conn: &Connection, at: &str, kind: &str, model: &str, item: &Json) {
    let id: i64 = conn
        .query_row("SELECT count(*) FROM MutationEvent", [], |row| row.get(0))
        .unwrap();
    conn.execute(
        "INSERT INTO MutationEvent (id, createdAt, inProcess, json, modelId, modelName, mutationType) \
         VALUES (?1, ?2, 0, ?3, ?4, ?5, ?6)",
        params![
            format!("E-{id}"),
            at,
            item.to_string(),
            item["id"].as_str().unwrap_or(""),
            model,
            kind
        ],
    )
    .unwrap();
}

pub(crate) fn pending(conn: &Connection, id: &str, class: &str, record: &str, mutation: &str) {
    conn.execute(
        "INSERT INTO PersistentRecord VALUES (?1, ?2, ?3, ?4)",
        params![id, class, record, mutation],
    )
    .unwrap();
}

#[test]
fn every_type_of_value_is_read_on_ios() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        r#"insert into "Author" values ('a', 'Ada');
           insert into "Post" values ('p', 'One', 3, 4, 1, 'BLOG', '2023-11-14T22:13:20.123+02:00', 1700000000, '["x","y"]',
             '{"lat":1.5,"name":"here"}', 'a');
           insert into MutationSyncMetadata values ('Post|p', 0, 1700000000123, 7), ('Author|a', 0, 5, 1), ('Post|q', 1, 6, 3);"#,
    )
    .unwrap();
    // The record as Swift encodes it: no nulls, the other record whole, a list that was not loaded.
    let edited = json!({ "id": "p", "title": "Two", "stars": 4, "rating": 4.5, "draft": false, "kind": "PAPER",
        "at": "2023-11-14T22:13:20.123Z", "stamp": 1_700_000_001, "place": { "lat": 2.5 },
        "author": { "id": "a", "name": "Ada", "posts": [] } });
    event(&conn, "2023-11-14T22:00:00.001Z", "update", "Post", &edited);
    let by_reference = json!({ "id": "r", "title": "Three", "author": { "identifiers": [{ "name": "id", "value": "a" }], "source": "DataStore" } });
    event(&conn, "2023-11-14T22:00:00.002Z", "create", "Post", &by_reference);
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(taken.report.format, Some(ImportFormat::Ios));
    assert_eq!(
        (taken.report.records, taken.report.tombstones, taken.report.mutations),
        (2, 1, 2),
        "{:?}",
        taken.report
    );
    assert_eq!(taken.report.problems, []);
    assert_eq!(
        taken.view("Post", &[json!("p")]).unwrap(),
        json!({ "_version": 7, "_deleted": false, "id": "p", "title": "Two", "stars": 4, "rating": 4.5, "draft": false,
            "kind": "PAPER", "at": "2023-11-14T22:13:20.123Z", "stamp": 1_700_000_001, "place": { "lat": 2.5 },
            "authorId": "a", "createdAt": "2023-11-14T22:13:20.123Z", "updatedAt": "2023-11-14T22:00:00.001Z" })
    );
    assert_eq!(taken.view("Post", &[json!("q")]).unwrap()["_deleted"], true);
    let entries = taken.outbox();
    let update = &entries[0].intent;
    // The list was not there: it was null.
    assert_eq!(
        (&update.values["tags"], &update.values["authorId"]),
        (&Json::Null, &json!("a"))
    );
    assert_eq!(update.base_version.unwrap().0, 7);
    assert_eq!(entries[0].created_at_ms, 1_699_999_200_001);
    assert_eq!(
        (entries[0].imported, entries[1].imported),
        (Some(Imported::MaySent), Some(Imported::Unsent))
    );
    assert_eq!(
        entries[1].intent.values,
        *json!({ "id": "r", "title": "Three", "authorId": "a" })
            .as_object()
            .unwrap()
    );
}

#[test]
fn both_forms_of_androids_mutations_are_read() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{ANDROID}{POSTS}"));
    conn.execute_batch(
        r#"insert into "Author" values ('a', 'Ada');
           insert into "Post" values ('p', 'Two', 3, 4.5, 1, 'BLOG', '2023-11-14T22:13:20.000000000Z', 1700000000, '["x"]',
             '{"lat":1.5}', 'a');
           insert into ModelMetadata values ('Post|p', 0, 1700000000123, 7), ('Author|a', 0, 5, 1);"#,
    )
    .unwrap();
    let (first, second, third) = (
        "a4a70b30-39d2-11ec-8d3d-0242ac130003",
        "a4a70b31-39d2-11ec-8d3d-0242ac130003",
        "00000000-39d3-11ec-8d3d-0242ac130003",
    );
    // What changed, with an embedded value and another record as the adapter wraps them; its own id without quotes.
    let patch = format!(
        r#"{{"mutatedItem":{{"id":"p","modelSchema":{{"name":"Post"}},"serializedData":{{"id":"p","title":"Two","stars":3.0,
            "place":{{"customTypeSchema":{{"name":"Place"}},"serializedData":{{"lat":1.5}}}},"author":{{"id":"a"}}}}}},
            "modelSchema":{{"name":"Post","fields":{{}}}},"mutationId":{first},"mutationType":"UPDATE",
            "predicate":{{"type":"AND","predicates":[{{"field":"stars","operator":{{"value":2,"type":"LESS_THAN"}},"_type":"OPERATION"}},
              {{"field":"title","operator":{{"start":"a","end":"b","type":"BETWEEN"}},"_type":"OPERATION"}}],"_type":"GROUP"}}}}"#
    );
    // The whole record, of an app's own class, nulls written, and the key once more as such classes keep one of several fields.
    let whole = format!(
        r#"{{"mutatedItem":{{"id":"q","title":"New","stars":null,"tags":["x"],"author":null,"createdAt":null,
            "postIdentifier":{{"key":"q","sortedKeys":["x"]}}}},
            "mutationId":{second},"mutationType":"CREATE","predicate":{{"_type":"ALL"}}}}"#
    );
    let update = format!(
        r#"{{"mutatedItem":{{"id":"q","title":"Newer","stars":null,"tags":null,"author":null,
            "partIdentifier":{{"key":"q","list":[]}}}},
            "mutationId":{third},"mutationType":"UPDATE","predicate":{{"_type":"ALL"}}}}"#
    );
    let class = "com.amplifyframework.datastore.generated.model.Post";
    pending(
        &conn,
        first,
        "com.amplifyframework.core.model.SerializedModel",
        "p",
        &patch,
    );
    pending(&conn, second, class, "q", &whole);
    pending(&conn, third, class, "q", &update);
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(taken.report.format, Some(ImportFormat::Android));
    assert_eq!(
        (taken.report.mutations, taken.report.mutations_may_be_sent),
        (3, 1),
        "{:?}",
        taken.report
    );
    let told: Vec<_> = taken
        .report
        .problems
        .iter()
        .map(|problem| problem.column.as_deref())
        .collect();
    assert_eq!(
        told,
        [Some("partIdentifier")],
        "what looks like a key and is none is told"
    );
    assert_eq!(taken.queued(), ["update p", "create q", "update q"]);
    assert_eq!(taken.view("Post", &[json!("p")]).unwrap()["at"], "2023-11-14T22:13:20Z");
    let entries = taken.outbox();
    assert_eq!(
        Json::Object(entries[0].intent.values.clone()),
        json!({ "id": "p", "title": "Two", "stars": 3, "place": { "lat": 1.5 }, "authorId": "a" })
    );
    assert_eq!(
        entries[0].intent.condition,
        Some(json!({ "and": [{ "stars": { "lt": 2 } }, { "title": { "between": ["a", "b"] } }] }))
    );
    assert_eq!(
        (entries[0].imported, entries[1].imported),
        (Some(Imported::MaySent), Some(Imported::Unsent))
    );
    assert_eq!(entries[0].intent.base_version.unwrap().0, 7);
    assert_eq!(entries[0].created_at_ms, 1_635_633_740_996);
    assert_eq!(
        Json::Object(entries[1].intent.values.clone()),
        json!({ "id": "q", "title": "New", "tags": ["x"] })
    );
    assert_eq!(entries[2].intent.values["tags"], Json::Null);
    assert_eq!(
        (&entries[2].depends_on, &entries[2].seen),
        (&vec![entries[1].number], &vec![entries[1].number])
    );
}

#[test]
fn names_from_before_and_composite_keys_are_found() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, IOS);
    conn.execute_batch(
        r##"create table "Article" ("id" text primary key not null, "headline" text not null, "subtitle" text);
           create table "Line" ("@@primaryKey" text primary key not null, "order" text not null, "n" integer not null, "text" text);
           insert into "Article" values ('p', 'One', 'of no use any more');
           insert into "Line" values ('"o1"#"2"', 'o1', 2, 'two'), ('"o1"#"3"', 'o1', 3, 'three');
           insert into MutationSyncMetadata values ('Article|p', 0, 5, 4), ('Line|"o1"#"2"', 0, 6, 2), ('Line|"o1"#"3"', 0, 6, 9),
             ('Line|"o1"#"4"', 1, 6, 3);"##,
    )
    .unwrap();
    event(
        &conn,
        "2023-11-14T22:00:00.001Z",
        "update",
        "Article",
        &json!({ "id": "p", "headline": "Two" }),
    );
    conn.execute(
        "INSERT INTO MutationEvent (id, createdAt, inProcess, json, modelId, modelName, mutationType, graphQLFilterJSON) VALUES \
         ('x', '2023-11-14T22:00:00.002Z', 1, ?1, ?2, 'Line', 'delete', '{\"text\":{\"eq\":\"three\"}}')",
        params![r#"{"order":"o1","n":3,"text":"three"}"#, r##""o1"#"3""##],
    )
    .unwrap();
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(
        (taken.report.records, taken.report.tombstones, taken.report.mutations),
        (3, 1, 2),
        "{:?}",
        taken.report
    );
    assert_eq!(taken.report.problems.len(), 1);
    assert_eq!(taken.report.problems[0].column.as_deref(), Some("subtitle"));
    assert_eq!(taken.view("Post", &[json!("p")]).unwrap()["title"], "Two");
    assert_eq!(taken.view("Line", &[json!("o1"), json!(2)]).unwrap()["_version"], 2);
    let deleted = taken.view("Line", &[json!("o1"), json!(3)]).unwrap();
    assert_eq!((&deleted["_deleted"], &deleted["_version"]), (&json!(true), &json!(9)));
    let entries = taken.outbox();
    assert_eq!(entries[0].intent.base_version.unwrap().0, 4);
    let delete = &entries[1];
    assert_eq!(
        (delete.intent.base_version.unwrap().0, delete.imported),
        (9, Some(Imported::MaySent))
    );
    assert_eq!(delete.intent.condition, Some(json!({ "text": { "eq": "three" } })));
}

#[test]
fn identifiers_without_a_models_name_are_of_the_one_record_that_has_them() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        r#"insert into "Post" (id, title) values ('p', 'One'), ('both', 'Two');
           insert into "Author" values ('both', 'Ada');
           insert into MutationSyncMetadata values ('p', 0, 5, 4), ('both', 0, 6, 2);"#,
    )
    .unwrap();
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(taken.view("Post", &[json!("p")]).unwrap()["_version"], 4);
    assert_eq!(taken.view("Post", &[json!("both")]).unwrap()["_version"], 0);
    // Nobody knows whose version the other is: both are uploaded.
    assert_eq!((taken.report.records, taken.report.uploads), (3, 2));
    assert_eq!(taken.queued(), ["create both", "create both"]);
}

#[test]
fn the_order_is_that_of_the_times_unless_a_clock_was_set_back() {
    for (created, updated, expected) in [
        (
            "2023-11-14T22:00:00.001Z",
            "2023-11-14T22:00:00.002Z",
            ["create a", "create p", "update p"],
        ),
        // By its time the change would come before the record.
        (
            "2023-11-14T22:00:00.002Z",
            "2023-11-14T22:00:00.001Z",
            ["create p", "update p", "create a"],
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, &format!("{IOS}{POSTS}"));
        event(
            &conn,
            created,
            "create",
            "Post",
            &json!({ "id": "p", "title": "One", "author": { "id": "a" } }),
        );
        event(&conn, updated, "update", "Post", &json!({ "id": "p", "title": "Two" }));
        event(
            &conn,
            "2023-11-14T21:59:00.000Z",
            "create",
            "Author",
            &json!({ "id": "a", "name": "Ada" }),
        );
        drop(conn);
        assert_eq!(take(&dir, SDL).queued(), expected);
    }
}

/// The replica has synced posts before.
pub(crate) fn sync_before(dir: &TempDir) {
    let schema = schema(SDL);
    let (mut store, machine) = replica(dir, &schema);
    let mut tx = store.begin(true).unwrap();
    let mut scope = tx
        .scopes()
        .unwrap()
        .into_iter()
        .find(|scope| scope.model == "Post")
        .unwrap();
    scope.cursor = Some("e:9".into());
    tx.put_scope(&scope).unwrap();
    tx.commit().unwrap();
    drop((store, machine));
}

/// A replica that has rows of the server already keeps them; the queue is taken all the same.
#[test]
fn a_replica_that_has_synced_takes_the_queue_alone() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        "insert into Post (id, title) values ('r', 'old'); insert into MutationSyncMetadata values ('Post|r', 0, 5, 4)",
    )
    .unwrap();
    event(
        &conn,
        "2023-11-14T22:00:00.001Z",
        "update",
        "Post",
        &json!({ "id": "r", "title": "edited" }),
    );
    drop(conn);
    sync_before(&dir);
    let mut taken = take(&dir, SDL);
    assert_eq!(
        (taken.report.records, taken.report.records_left, taken.report.mutations),
        (0, 1, 1)
    );
    assert_eq!(taken.outbox()[0].intent.base_version.unwrap().0, 4);
    assert_eq!(taken.view("Post", &[json!("r")]), None);
}
