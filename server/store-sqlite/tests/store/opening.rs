//! Opening: what fits is fitted, what would lose data is refused, and what goes wrong is told apart.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use serde_json::json;
use tombolo_core::schema::Schema;
use tombolo_engine::suite::{block_on, plain};
use tombolo_engine::{PageRequest, Store, StoreError};
use tombolo_store_sqlite::{Misfit, OpenError, Options, SqliteStore};

const FIRST: &str = "type Todo @model { id: ID! title: String list: ID @index(name: \"byList\") n: Int day: AWSDate }
                     type Tag @model { id: ID! }";

fn schema(sdl: &str) -> Arc<Schema> {
    Arc::new(Schema::parse(sdl, "schema.graphql").unwrap())
}

fn open(path: &Path, sdl: &str) -> Result<SqliteStore, OpenError> {
    SqliteStore::open(path, schema(sdl), &super::options())
}

/// Creates a record; values by field name.
fn create(store: &SqliteStore, model: &str, values: &serde_json::Value) -> Result<(), StoreError> {
    let schema = store.schema();
    let model = schema.model_named(model).unwrap();
    let value = |(name, json): (&String, &serde_json::Value)| {
        let field = schema[model].field(name).unwrap();
        (
            field,
            schema[model].field_at(field).ty.parse_json(schema, json).unwrap(),
        )
    };
    let mutation = tombolo_core::query::MutationInput {
        model,
        kind: tombolo_core::schema::MutationKind::Create,
        values: values.as_object().unwrap().iter().map(value).collect(),
        operations: Vec::new(),
        base_version: None,
        condition: None,
        condition_json: None,
    };
    block_on(store.write([plain(mutation)].into(), 1)).map(|verdicts| assert!(verdicts[0].results[0].change.is_some()))
}

fn count(store: &SqliteStore, model: &str) -> usize {
    let page = PageRequest {
        model: store.schema().model_named(model).unwrap(),
        filter: None,
        after: None,
        rows_max: 100,
        bytes_max: 1 << 20,
        fields: vec![],
        masks: Vec::new(),
        replica: None,
    };
    block_on(store.changes(page)).unwrap().count
}

#[test]
fn a_second_server_is_refused_and_a_reader_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sqlite");
    let store = open(&path, FIRST).unwrap();
    create(&store, "Todo", &json!({ "id": "a" })).unwrap();
    assert!(matches!(open(&path, FIRST), Err(OpenError::InUse { .. })));
    let read: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM Todo", (), |r| r.get(0))
        .unwrap();
    assert_eq!(read, 1);
    drop(store);
    open(&path, FIRST).unwrap();
}

#[test]
fn what_is_new_is_added_and_what_is_gone_goes_if_it_is_empty() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sqlite");
    let store = open(&path, FIRST).unwrap();
    create(&store, "Todo", &json!({ "id": "a", "list": "l" })).unwrap();
    drop(store);
    let second = "type Todo @model { id: ID! list: ID n: Int day: String note: String @index(name: \"byNote\") }
                  type Line @model { id: ID! }";
    let store = open(&path, second).unwrap();
    assert_eq!(count(&store, "Todo"), 1);
    create(&store, "Todo", &json!({ "id": "b", "note": "n" })).unwrap();
    create(&store, "Line", &json!({ "id": "b" })).unwrap();
    let conn = Connection::open(&path).unwrap();
    let mut names = conn
        .prepare("SELECT name FROM sqlite_schema WHERE type = 'index' AND tbl_name = 'Todo'")
        .unwrap();
    let mut names: Vec<String> = names.query_map((), |r| r.get(0)).unwrap().map(Result::unwrap).collect();
    names.sort();
    assert_eq!(names, ["Todo.0.byNote", "Todo.key"]);
    drop(store);
    let third = second.replace("n: Int", "n: Int title: String");
    let store = open(&path, &third).unwrap();
    assert_eq!(count(&store, "Todo"), 2, "what was gone may come back");
}

#[test]
fn what_would_lose_data_is_refused_with_every_place() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sqlite");
    let store = open(&path, FIRST).unwrap();
    for model in ["Todo", "Tag"] {
        create(&store, model, &json!({ "id": "a" })).unwrap();
    }
    drop(store);
    let misfit = "type Todo @model { id: ID! title: Int list: [ID] n: AWSTimestamp }";
    let Err(OpenError::Schema { misfits }) = open(&path, misfit) else {
        panic!("it was opened")
    };
    let places: Vec<&str> = misfits.iter().map(|misfit| misfit.place.as_str()).collect();
    assert_eq!(places, ["Tag", "Todo.title", "Todo.list"]);
    let Misfit { problem, mend, .. } = &misfits[1];
    assert_eq!(problem, "its type was String and would be Int");
    assert!(mend.contains("another name"));
    let key = FIRST.replace("id: ID! title: String", "id: ID! title: ID! @primaryKey");
    let Err(OpenError::Schema { misfits }) = open(&path, &key) else {
        panic!("it was opened")
    };
    assert_eq!(misfits[0].place, "Todo");
    assert_eq!(count(&open(&path, FIRST).unwrap(), "Todo"), 1, "nothing was changed");
}

#[test]
fn an_empty_model_takes_any_shape() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sqlite");
    drop(open(&path, FIRST).unwrap());
    let store = open(&path, "type Todo @model { key: ID! @primaryKey title: Int }").unwrap();
    create(&store, "Todo", &json!({ "key": "a", "title": 7 })).unwrap();
}

#[test]
fn a_newer_format_and_a_foreign_file_are_refused_untouched() {
    let folder = tempfile::tempdir().unwrap();
    let newer = folder.path().join("newer.sqlite");
    drop(open(&newer, FIRST).unwrap());
    Connection::open(&newer)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert!(matches!(open(&newer, FIRST), Err(OpenError::Newer { found: 99, .. })));
    let foreign = folder.path().join("foreign.sqlite");
    Connection::open(&foreign)
        .unwrap()
        .execute_batch("CREATE TABLE Todo (x)")
        .unwrap();
    assert!(matches!(open(&foreign, FIRST), Err(OpenError::Foreign { .. })));
    let text = folder.path().join("text.sqlite");
    std::fs::write(
        &text,
        "type Todo @model { id: ID! } and enough text to be longer than a header of a hundred bytes ......",
    )
    .unwrap();
    assert!(matches!(
        open(&text, FIRST),
        Err(OpenError::Store {
            source: StoreError::Corrupt(_),
            ..
        })
    ));
    assert!(matches!(
        open(&folder.path().join("none/db.sqlite"), FIRST),
        Err(OpenError::Lock { .. })
    ));
}

#[test]
fn another_process_that_holds_the_file_is_waited_for_and_then_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("db.sqlite");
    let options = Options {
        busy_timeout: std::time::Duration::from_millis(20),
        ..super::options()
    };
    let store = SqliteStore::open(&path, schema(FIRST), &options).unwrap();
    let other = Connection::open(&path).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = create(&store, "Todo", &json!({ "id": "a" }));
    assert_eq!(refused, Err(StoreError::Busy));
    assert!(StoreError::Busy.can_retry());
    other.execute_batch("ROLLBACK").unwrap();
    create(&store, "Todo", &json!({ "id": "a" })).unwrap();
    assert_eq!(count(&store, "Todo"), 1);
}
