//! Decisions of an import of a DataStore file, one test each: what an edit is based on, which record of two is taken, what
//! holds the old file, and what goes with it.

use rusqlite::params;
use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tombolo_core::id::FieldId;
use tombolo_core::record::Key;
use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_machine::{Base, Input, NewMutation, StoreTx};
use tombolo_store::datastore::{Claim, ImportReport, ImportState};

use crate::datastore::{IOS, NOW, POSTS, SDL, event, file, old, replica, take};
use crate::world::schema;

/// An edit is based on the newest version that the phone knew, whichever table says so; a creation on none.
#[test]
fn an_edit_is_based_on_the_newest_version_that_either_table_knows() {
    for (kind, of_event, of_record, base) in [
        ("update", Some(9), Some(7), Some(9)),
        ("update", Some(3), Some(7), Some(7)),
        ("update", Some(5), None, Some(5)),
        ("update", None, Some(7), Some(7)),
        ("update", Some(0), None, None),
        ("delete", Some(9), Some(7), Some(9)),
        ("create", Some(9), Some(7), None),
    ] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, &format!("{IOS}{POSTS}"));
        if let Some(version) = of_record {
            conn.execute(
                "INSERT INTO MutationSyncMetadata VALUES ('Post|p', 0, 5, ?1)",
                [version],
            )
            .unwrap();
        }
        conn.execute(
            "INSERT INTO MutationEvent VALUES ('e', '2023-11-14T22:00:00.001Z', NULL, 0, '{\"id\":\"p\",\"title\":\"x\"}', 'p', \
             'Post', ?1, ?2)",
            params![kind, of_event],
        )
        .unwrap();
        drop(conn);
        let known = take(&dir, SDL).outbox()[0].intent.base_version.map(|version| version.0);
        assert_eq!(known, base, "{kind} {of_event:?} {of_record:?}");
    }
}

/// A model that was renamed may have left two tables: one record of each name goes up, the other is counted.
#[test]
fn a_record_that_stands_in_two_tables_goes_up_once() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        r#"create table "Article" ("id" text primary key not null, "headline" text not null);
           insert into "Article" values ('p', 'before'); insert into "Post" (id, title) values ('p', 'after')"#,
    )
    .unwrap();
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(taken.queued(), ["create p"]);
    assert_eq!((taken.report.uploads, taken.report.records_left), (1, 1));
}

/// Edits behind a creation that was perhaps sent are made on what the creation made, and on nothing newer.
#[test]
fn an_edit_behind_a_creation_that_was_perhaps_sent_is_based_on_the_first_version() {
    for (goes_first, in_process, base) in [(true, 0, Some(1)), (false, 1, Some(1)), (false, 0, None)] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, &format!("{IOS}{POSTS}"));
        if !goes_first {
            let another = json!({ "id": "a", "name": "Ada" });
            event(&conn, "2023-11-14T22:00:00.000Z", "create", "Author", &another);
        }
        for (at, kind, in_process) in [(1, "create", in_process), (2, "update", 0)] {
            conn.execute(
                "INSERT INTO MutationEvent VALUES (?1, ?2, NULL, ?3, '{\"id\":\"p\",\"title\":\"x\"}', 'p', 'Post', ?4, NULL)",
                params![at.to_string(), format!("2023-11-14T22:00:00.00{at}Z"), in_process, kind],
            )
            .unwrap();
        }
        drop(conn);
        let outbox = take(&dir, SDL).outbox();
        let known = outbox.last().unwrap().intent.base_version.map(|version| version.0);
        assert_eq!(known, base, "the first: {goes_first}, in process: {in_process}");
    }
}

/// The old file may go when all is settled and it alone has nothing.
#[test]
fn the_old_file_may_go_when_all_is_settled_and_it_alone_has_nothing() {
    for state in [
        ImportState::Settled,
        ImportState::Unsettled,
        ImportState::Failed,
        ImportState::TakenBefore,
    ] {
        for (mutations_left, records_unversioned) in [(0, 0), (1, 0), (0, 1)] {
            let report = ImportReport {
                mutations_left,
                records_unversioned,
                ..ImportReport::without("old.db".into(), state)
            };
            let alone = mutations_left + records_unversioned > 0;
            assert_eq!(
                report.may_be_removed(),
                state == ImportState::Settled && !alone,
                "{report:?}"
            );
        }
    }
}

/// Its logs hold the same records: they go with it, and the mark behind all of them.
#[test]
fn the_logs_and_the_mark_go_with_the_old_file() {
    let dir = TempDir::new().unwrap();
    let claim = Claim::of(&old(&dir), &dir.path().join("replica.db"), None);
    claim.begin().unwrap();
    for name in ["old.db", "old.db-wal", "old.db-shm", "old.db-journal", "old.db.keep"] {
        std::fs::write(dir.path().join(name), "x").unwrap();
    }
    claim.remove_all(&old(&dir)).unwrap();
    let left: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name())
        .collect();
    assert_eq!(left, ["old.db.keep"]);
}

/// A row that was laid is older than any base sync: what the server does not confirm is swept by the first one.
#[test]
fn rows_that_were_laid_are_swept_by_the_first_base_sync() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        "insert into Post (id, title) values ('gone', 'x'); insert into MutationSyncMetadata values ('Post|gone', 0, 5, 4)",
    )
    .unwrap();
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(taken.view("Post", &[json!("gone")]).unwrap()["title"], Json::from("x"));
    let post = schema(SDL).model_named("Post").unwrap();
    let mut tx = taken.store.begin(false).unwrap();
    tx.sweep(post, 1).unwrap();
    tx.commit().unwrap();
    assert_eq!(taken.view("Post", &[json!("gone")]), None);
}

/// What stands below an edit is what the server knew: the record below its deletion, which a refusal brings back, and nothing
/// below a creation. A row that is there is shown, whatever was noted of another one under its id.
#[test]
fn below_a_deletion_stands_the_record_and_below_a_creation_nothing() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        "insert into Post (id, title) values ('made', 'x'), ('again', 'y');
         insert into MutationSyncMetadata values ('Post|gone', 0, 5, 4), ('Post|dead', 1, 5, 4), ('Post|again', 1, 5, 4)",
    )
    .unwrap();
    let at = "2023-11-14T22:00:00.001Z";
    for (kind, id) in [("delete", "gone"), ("delete", "dead"), ("create", "made")] {
        event(&conn, at, kind, "Post", &json!({ "id": id, "title": id }));
    }
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(taken.queued(), ["delete gone", "delete dead", "create made"]);
    assert_eq!(taken.view("Post", &[json!("again")]).unwrap()["_deleted"], false);
    assert_eq!(taken.view("Post", &[json!("gone")]).unwrap()["_deleted"], true);
    let schema = schema(SDL);
    let post = schema.model_named("Post").unwrap();
    let mut tx = taken.store.begin(false).unwrap();
    let mut below = |id: &str| match tx.base(post, &Key(vec![Value::Text(id.into())])).unwrap() {
        Base::Unsaved => "unsaved".to_owned(),
        Base::Saved(None) => "nothing".to_owned(),
        Base::Saved(Some(row)) => format!("{} {}", row.meta.version.0, row.meta.deleted),
    };
    assert_eq!(
        (below("gone"), below("dead"), below("made")),
        ("4 false".into(), "4 true".into(), "nothing".into())
    );
}

/// Who refers to a record that goes behind the queue goes there, too, however it stands in the file.
#[test]
fn uploads_that_refer_to_what_goes_behind_the_queue_go_behind_it_too() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, IOS);
    conn.execute_batch(
        r#"create table "Leaf" ("id" text primary key not null, "leafId" text, "rootId" text);
           insert into "Leaf" values ('third', 'second', null), ('second', 'first', null), ('first', null, 'r'), ('free', null, null)"#,
    )
    .unwrap();
    event(
        &conn,
        "2023-11-14T22:00:00.001Z",
        "create",
        "Root",
        &json!({ "id": "r" }),
    );
    drop(conn);
    let sdl = "
        type Root @model { id: ID! text: String }
        type Leaf @model { id: ID! leafId: ID leaf: Leaf @belongsTo(fields: [\"leafId\"]) rootId: ID
          root: Root @belongsTo(fields: [\"rootId\"]) }";
    assert_eq!(
        take(&dir, sdl).queued(),
        [
            "create free",
            "create r",
            "create first",
            "create second",
            "create third"
        ]
    );
}

/// What the app itself does later is not waited for.
#[test]
fn the_apps_own_mutations_are_none_of_the_old_file() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    event(
        &conn,
        "2023-11-14T22:00:00.001Z",
        "create",
        "Post",
        &json!({ "id": "p", "title": "x" }),
    );
    drop(conn);
    drop(take(&dir, SDL));
    let schema = schema(SDL);
    let (mut store, machine) = replica(&dir, &schema);
    let author = schema.model_named("Author").unwrap();
    let own = NewMutation {
        model: author,
        kind: MutationKind::Create,
        values: vec![
            (FieldId(0), Value::Text("a".into())),
            (FieldId(1), Value::Text("Ada".into())),
        ],
        operations: Vec::new(),
        base_version: None,
        read: None,
        condition: None,
        author: None,
    };
    let mut tx = store.begin(true).unwrap();
    drop(machine.step(&mut tx, Input::Enqueue(vec![own]), NOW).unwrap());
    assert_eq!(
        (tx.outbox(0, 10).unwrap().len(), tx.datastore_unsettled().unwrap()),
        (2, 1)
    );
    tx.commit().unwrap();
    assert_eq!(store.datastore_unsettled().unwrap(), 1);
}

/// Rows of a model that the schema has lost hold the old file only if no version of them is known, whatever their key is called.
#[test]
fn rows_of_a_lost_model_are_known_by_whichever_column_is_their_key() {
    for (key, first) in [
        ("\"id\" text primary key not null", "s"),
        ("\"code\" text primary key not null", "s"),
        (
            "\"code\" text not null, \"@@primaryKey\" text primary key not null",
            r##"code', '"s"#"1""##,
        ),
        ("\"id\" text not null", "s"),
    ] {
        for (known, unversioned) in [(true, 0), (false, 1)] {
            let dir = TempDir::new().unwrap();
            let conn = file(&dir, IOS);
            conn.execute_batch(&format!(
                "create table \"Lost\" ({key}, \"text\" text); insert into \"Lost\" values ('{first}', 'x')"
            ))
            .unwrap();
            if known {
                let id = first.rsplit('\'').next().unwrap();
                conn.execute(
                    "INSERT INTO MutationSyncMetadata VALUES (?1, 0, 5, 4)",
                    [format!("Lost|{id}")],
                )
                .unwrap();
            }
            drop(conn);
            let report = take(&dir, SDL).report;
            assert_eq!(
                (report.records_left, report.records_unversioned),
                (1, unversioned),
                "{key}, known: {known}"
            );
        }
    }
}

/// What the replica does not hold is not shown; what the user did to it is sent all the same.
#[test]
fn rows_outside_of_a_scope_are_not_shown_and_their_mutations_are_taken() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        "insert into Post (id, title, stars) values ('out', 'x', 1), ('in', 'y', 3), ('unsure', 'z', null);
         insert into MutationSyncMetadata values ('Post|out', 0, 5, 4), ('Post|in', 0, 5, 4), ('Post|unsure', 0, 5, 4)",
    )
    .unwrap();
    let at = "2023-11-14T22:00:00.001Z";
    event(
        &conn,
        at,
        "update",
        "Post",
        &json!({ "id": "out", "title": "edited", "stars": 1 }),
    );
    drop(conn);
    let (mut store, machine) = replica(&dir, &schema(SDL));
    let mut tx = store.begin(true).unwrap();
    let mut scopes = tx.scopes().unwrap();
    let scope = scopes.iter_mut().find(|row| row.model == "Post").unwrap();
    scope.filter = Some(json!({ "stars": { "gt": 2 } }));
    tx.put_scope(scope).unwrap();
    tx.commit().unwrap();
    drop((store, machine));
    let mut taken = take(&dir, SDL);
    let mut shown = |id: &str| taken.view("Post", &[json!(id)]).map(|row| row["title"].clone());
    assert_eq!(
        (shown("out"), shown("in"), shown("unsure")),
        (None, Some(json!("y")), None)
    );
    assert_eq!(taken.queued(), ["update out"]);
    assert_eq!(taken.outbox()[0].intent.base_version.unwrap().0, 4);
}
