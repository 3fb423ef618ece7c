//! The file: restarts, locks, schema changes, full disks, files that are not ours.

use std::sync::Arc;

use rusqlite::Connection;
use serde_json::value::RawValue;
use tempfile::TempDir;
use tombolo_core::id::ReplicaId;
use tombolo_core::schema::Schema;
use tombolo_core::wire::batch::ChangeBatch;
use tombolo_machine::{Input, StepError, StoreError};
use tombolo_store::{Durability, OpenError, Options, Store};

use crate::script::play_on;
use crate::world::{SDL, World, options, schema};

fn open(dir: &TempDir, schema: &Arc<Schema>) -> Result<Store, OpenError> {
    Store::open(&dir.path().join("replica.db"), schema.clone(), options())
}

#[test]
fn a_file_keeps_its_replica() {
    let dir = TempDir::new().unwrap();
    let schema = schema(SDL);
    let first = open(&dir, &schema).unwrap().replica().clone();
    let other = Options::new(ReplicaId("another".into()));
    let store = Store::open(&dir.path().join("replica.db"), schema, other).unwrap();
    assert_eq!(*store.replica(), first);
}

#[test]
fn a_file_of_a_newer_release_is_refused_and_left_alone() {
    let dir = TempDir::new().unwrap();
    let schema = schema(SDL);
    drop(open(&dir, &schema).unwrap());
    let path = dir.path().join("replica.db");
    Connection::open(&path)
        .unwrap()
        .pragma_update(None, "user_version", 99)
        .unwrap();
    assert!(matches!(open(&dir, &schema), Err(OpenError::Newer { found: 99, .. })));
    let version: i64 = Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "user_version", |r| r.get(0))
        .unwrap();
    assert_eq!(version, 99);
}

#[test]
fn a_foreign_or_broken_file_is_refused_and_left_alone() {
    let schema = schema(SDL);
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("replica.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a)")
        .unwrap();
    assert!(matches!(open(&dir, &schema), Err(OpenError::Foreign(_))));
    let kept: i64 = Connection::open(&path)
        .unwrap()
        .query_row("SELECT count(*) FROM theirs", [], |r| r.get(0))
        .unwrap();
    assert_eq!(kept, 0);

    let dir = TempDir::new().unwrap();
    let text = "this is no database, whatever its name says ".repeat(100);
    std::fs::write(dir.path().join("replica.db"), &text).unwrap();
    assert!(matches!(
        open(&dir, &schema),
        Err(OpenError::Store(StoreError::Corrupt(_)))
    ));
    assert_eq!(std::fs::read_to_string(dir.path().join("replica.db")).unwrap(), text);

    let nowhere = dir.path().join("no/such/folder/replica.db");
    assert!(matches!(
        Store::open(&nowhere, schema, options()),
        Err(OpenError::File { .. })
    ));
}

#[test]
fn a_full_disk_is_told_and_loses_nothing() {
    let dir = TempDir::new().unwrap();
    let schema = schema(SDL);
    drop(open(&dir, &schema).unwrap());
    let path = dir.path().join("replica.db");
    let pages: u32 = Connection::open(&path)
        .unwrap()
        .pragma_query_value(None, "page_count", |r| r.get(0))
        .unwrap();
    let tight = Options {
        pages_max: Some(pages + 8),
        ..options()
    };

    let mut world = World::new();
    world.store = None;
    world.dir = dir;
    world.store = Some(Store::open(&path, schema, tight).unwrap());
    world.machine = tombolo_machine::Machine::new(world.schema.clone(), world.settings.clone());
    world.step(Input::Start).unwrap();
    play_on(&mut world, "phone scope Todo all");
    let title = "x".repeat(3_000);
    let mut kept = 0;
    let refused = loop {
        let set = [("title".to_owned(), title.clone().into())].into();
        let create = world.mutation(
            tombolo_core::schema::MutationKind::Create,
            "Todo",
            &kept.to_string(),
            &set,
        );
        match world.step(Input::Enqueue(vec![create])) {
            Ok(()) => kept += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StepError::Store(StoreError::Full)), "{refused}");
    assert_eq!(world.outbox().len(), kept);
    // The next one that fits is taken: the store goes on.
    world.restart();
    play_on(&mut world, "phone create Todo/last title=\"fits\"");
    assert_eq!(world.outbox().len(), kept + 1);
    assert!(kept > 0 && world.row("Todo", "0").is_some());
}

/// What a world of the old schema becomes under a new one.
fn reopened(sdl: &str) -> World {
    let mut world = World::new();
    play_on(
        &mut world,
        r#"
        phone scope Todo all
        phone online
        link up
        server page Todo e.4 live; Todo/1 v1 title="a" rank=1; Todo/2 v1 title="b" rank=2
        phone offline
        phone edit Todo/1 title="mine"
        phone create Todo/3 title="new"
        "#,
    );
    world.schema = schema(sdl);
    world.restart();
    play_on(&mut world, "expect outbox 1=queued 2=queued");
    world
}

#[test]
fn the_same_schema_changes_nothing() {
    let mut world = reopened(SDL);
    play_on(
        &mut world,
        "expect cursor Todo e.4\nexpect Todo/1 title=\"mine\" rank=1\nexpect Todo/2 title=\"b\"",
    );
}

#[test]
fn a_new_field_keeps_the_rows_and_the_cursor() {
    let mut world = reopened(&SDL.replace("rank: Int", "rank: Int\n note: String"));
    play_on(
        &mut world,
        r#"
        expect cursor Todo e.4
        expect Todo/1 title="mine" rank=1 note=null
        expect Todo/2 title="b"
        phone online
        link up
        server page Todo e.5 live; Todo/2 v2 title="b" note="m"
        expect Todo/1 title="mine" note=null
        expect Todo/2 title="b" note="m"
        "#,
    );
}

#[test]
fn what_a_newer_server_gave_is_there_when_the_schema_comes() {
    let mut world = World::new();
    play_on(
        &mut world,
        "phone scope Todo all\nphone online\nlink up\nphone edit Todo/1 title=\"mine\"",
    );
    let fields = ["id", "title", "note", "rank", "_version", "_deleted", "_lastChangedAt"];
    world
        .step(Input::Batch {
            feed: world.feed,
            batch: ChangeBatch {
                model: "Todo".into(),
                cursor: "e.7".into(),
                up_to_date: true,
                reset: false,
                fields: fields.map(String::from).to_vec(),
                // One record has an unsettled mutation, so its base row is kept apart; a rank has become a fraction.
                rows: RawValue::from_string(r#"[["1","a","n",1,1,null,9],["2","b","m",2.5,1,null,9]]"#.into()).unwrap(),
                left: Vec::new(),
                landed: None,
            },
        })
        .unwrap();
    play_on(
        &mut world,
        "phone offline\nexpect Todo/1 rank=1\nexpect Todo/2 title=\"b\" rank=3",
    );
    world.schema = schema(&SDL.replace("rank: Int", "rank: Float\n remark: String @renamed(from: [\"note\"])"));
    world.restart();
    play_on(
        &mut world,
        r#"
        expect cursor Todo e.7
        expect Todo/1 title="mine" remark="n" rank=1.0
        expect Todo/2 title="b" remark="m" rank=2.5
        "#,
    );
    // And back again: an app of before, then this one.
    for fields in ["rank: Float", "rank: Float\n remark: String"] {
        world.schema = schema(&SDL.replace("rank: Int", fields));
        world.restart();
    }
    play_on(&mut world, "expect Todo/1 remark=\"n\"\nexpect Todo/2 remark=\"m\"");
}

#[test]
fn what_was_renamed_keeps_rows_queue_and_scope() {
    let renamed = SDL
        .replace("type Todo @model", "type Task @model @renamed(from: [\"Todo\"])")
        .replace("title: String", "name: String @renamed(from: [\"title\"])");
    let mut world = reopened(&renamed);
    play_on(
        &mut world,
        r#"
        expect cursor Task e.4
        expect Task/1 name="mine" rank=1
        expect Task/2 name="b"
        expect Task/3 name="new"
        phone edit Task/3 rank=9
        phone online
        link up
        expect sent 1 2
        "#,
    );
}

#[test]
fn a_field_that_is_gone_goes_and_the_rest_stays() {
    let mut world = reopened(&SDL.replace("rank: Int", ""));
    play_on(
        &mut world,
        "expect cursor Todo e.4\nexpect Todo/1 title=\"mine\"\nexpect Todo/2 title=\"b\"",
    );
}

#[test]
fn another_type_drops_the_cache_and_keeps_the_queue() {
    let mut world = reopened(&SDL.replace("rank: Int", "rank: String"));
    play_on(
        &mut world,
        r#"
        expect cursor Todo none
        expect Todo/1 gone
        expect Todo/2 gone
        expect Todo/3 title="new"
        phone online
        link up
        expect sent 1 2
        server page Todo e.4 live; Todo/1 v1 title="a" rank="one"
        expect Todo/1 title="mine" rank="one"
        "#,
    );
}

#[test]
fn a_model_that_is_gone_keeps_its_queue_and_can_come_back() {
    let only_comments = "type Comment @model { id: ID! todoId: ID! text: String }";
    let mut world = reopened(only_comments);
    play_on(&mut world, "phone online\nlink up\nexpect sent 1 2");
    world.schema = schema(SDL);
    world.restart();
    play_on(
        &mut world,
        "expect outbox 1=inflight 2=inflight\nexpect cursor Todo none\nexpect Todo/3 title=\"new\"",
    );
}

#[test]
fn readers_see_commits_whole_and_cannot_write() {
    let mut world = World::new();
    let mut reader = world.store.as_ref().unwrap().reader().unwrap().unwrap();
    play_on(
        &mut world,
        "phone scope Todo all\nphone create Todo/1 title=\"a\"\nphone create Todo/2 title=\"b\"",
    );
    assert_eq!(reader.outbox(0, 10).unwrap().len(), 2);
    assert_eq!(reader.outbox(1, 10).unwrap()[0].number.0, 2);
    assert_eq!(reader.scopes().unwrap()[0].model, "Todo");

    let limits = tombolo_core::query::QueryLimits::replica();
    let text = "{ listTodos(filter: {title: {eq: \"b\"}}) { items { id title comments { items { id } } } } }";
    let document = tombolo_core::query::Document::parse(&world.schema, text, &limits).unwrap();
    let access = tombolo_core::access::Access::of(&world.schema, &tombolo_core::access::Identity::Local);
    let bound = document
        .bind(
            None,
            &serde_json::Map::new(),
            &access,
            tombolo_core::query::Side::Replica,
        )
        .unwrap();
    let answer = reader.answer(bound.execute()).unwrap();
    assert_eq!(
        String::from_utf8(answer.data).unwrap(),
        r#"{"listTodos":{"items":[{"id":"2","title":"b","comments":{"items":[]}}]}}"#
    );
}

#[test]
fn durability_is_chosen_by_the_app() {
    let schema = schema(SDL);
    let dir = TempDir::new().unwrap();
    let options = Options {
        durability: Durability::Normal,
        ..options()
    };
    let mut store = Store::open(&dir.path().join("replica.db"), schema, options).unwrap();
    assert!(!store.durable_enqueue());
    for durable in [true, false, true] {
        store.begin(durable).unwrap().commit().unwrap();
    }
    store.checkpoint().unwrap();
}
