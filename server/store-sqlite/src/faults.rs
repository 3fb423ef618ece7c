//! What a disk may do, done to the writer's connection.

use std::sync::Arc;

use tombolo_core::query::MutationInput;
use tombolo_core::schema::{MutationKind, Schema};
use tombolo_core::value::Value;
use tombolo_engine::suite::{block_on, plain};
use tombolo_engine::{Store, StoreError, Verdict};

use crate::{Options, SqliteStore};

fn store(folder: &tempfile::TempDir) -> SqliteStore {
    let schema = Schema::parse("type Todo @model { id: ID! title: String }", "schema.graphql").unwrap();
    SqliteStore::open(folder.path().join("db.sqlite"), Arc::new(schema), &Options::default()).unwrap()
}

fn create(store: &SqliteStore, id: &str, title: &str) -> Result<Vec<Verdict>, StoreError> {
    let model = store.schema().model_named("Todo").unwrap();
    let field = |name: &str| store.schema()[model].field(name).unwrap();
    let values = vec![
        (field("id"), Value::Text(id.into())),
        (field("title"), Value::Text(title.into())),
    ];
    let kind = MutationKind::Create;
    let mutation = MutationInput {
        model,
        kind,
        values,
        operations: Vec::new(),
        base_version: None,
        condition: None,
        condition_json: None,
    };
    block_on(store.write([plain(mutation)].into(), 1))
}

fn pragma(store: &SqliteStore, sql: &'static str) {
    let run = |db: &mut crate::open::Db| db.conn.execute_batch(sql).map_err(crate::error::store_error);
    block_on(store.lanes.write(run)).unwrap();
}

fn head(store: &SqliteStore) -> i64 {
    block_on(store.head()).unwrap().position.0
}

#[test]
fn a_full_disk_loses_nothing_and_heals() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    create(&store, "before", "t").unwrap();
    // SQLite reports a database that has reached its page limit exactly as it reports a full disk.
    pragma(&store, "PRAGMA max_page_count = 1");
    let long = "x".repeat(100_000);
    assert_eq!(create(&store, "full", &long), Err(StoreError::Full));
    assert!(StoreError::Full.can_retry());
    assert_eq!(head(&store), 1);
    pragma(&store, "PRAGMA max_page_count = 1000000");
    create(&store, "full", &long).unwrap();
    assert_eq!(head(&store), 2);
}

#[test]
fn a_file_that_may_not_be_written_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    pragma(&store, "PRAGMA query_only = 1");
    assert_eq!(create(&store, "a", "t"), Err(StoreError::ReadOnly));
    assert_eq!(head(&store), 0);
    pragma(&store, "PRAGMA query_only = 0");
    create(&store, "a", "t").unwrap();
}

#[test]
fn a_job_that_panics_takes_nobody_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let store = store(&folder);
    let broken = block_on(
        store
            .lanes
            .write(|_| -> Result<(), StoreError> { panic!("a bug, on purpose") }),
    );
    assert!(matches!(broken, Err(StoreError::Backend(_))));
    create(&store, "a", "t").unwrap();
    assert_eq!(head(&store), 1);
}
