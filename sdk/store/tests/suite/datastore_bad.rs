//! Files of Amplify DataStore that are damaged, locked, of another layout or none, values that do not fit, and imports that end
//! in the middle.

use std::path::Path;

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use tombolo_store::datastore::{Claim, DatastoreFile, ImportError, PROBLEMS_MAX};

use crate::datastore::{IOS, NOW, POSTS, SDL, event, file, old, replica, take, try_take};
use crate::world::schema;

#[test]
fn what_cannot_be_taken_is_told_by_its_place_and_the_rest_is_taken() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        r#"create table "Notice" ("id" text primary key not null, "text" text);
           insert into "Notice" values ('n', 'of no model'), ('m', 'of no model');
           insert into "Post" (id, title, stars, kind, tags) values ('good', 'One', 1, 'BLOG', '[]'),
             ('odd', 'Two', 'many', 'BLOG', 'no list'), ('bad', x'00ff', 1, 'BLOG', null);
           insert into MutationSyncMetadata values ('Post|good', 0, 5, 4), ('Post|odd', 0, 5, 4), ('Post|bad', 0, 5, 4);"#,
    )
    .unwrap();
    let at = "2023-11-14T22:00:00.001Z";
    event(&conn, at, "create", "Notice", &json!({ "id": "x", "text": "kept" }));
    event(&conn, at, "create", "Post", &json!({ "id": "y", "title": 5 }));
    event(
        &conn,
        at,
        "create",
        "Post",
        &json!({ "id": "z", "title": "fine", "unknown": 1 }),
    );
    event(&conn, at, "upsert", "Post", &json!({ "id": "y", "title": "odd kind" }));
    conn.execute(
        "INSERT INTO MutationEvent VALUES ('torn', ?1, NULL, 0, '{\"id\":\"w\",\"title', 'w', 'Post', 'create', NULL)",
        [at],
    )
    .unwrap();
    drop(conn);
    let mut taken = take(&dir, SDL);
    let report = taken.report.clone();
    assert_eq!(
        (
            report.records,
            report.records_left,
            report.mutations,
            report.mutations_left
        ),
        (2, 3, 1, 4),
        "{report:?}"
    );
    let told: Vec<String> = report
        .problems
        .iter()
        .map(|problem| {
            let part = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".into());
            let content = problem.content.as_deref().unwrap_or("-");
            format!(
                "{} {} {} {content}",
                problem.table,
                part(&problem.row),
                part(&problem.column)
            )
        })
        .collect();
    assert_eq!(
        told,
        [
            r#"MutationEvent E-0 - {"id":"x","text":"kept"}"#,
            r#"MutationEvent E-1 title {"id":"y","title":5}"#,
            "Post E-2 unknown -",
            r#"MutationEvent E-3 - {"id":"y","title":"odd kind"}"#,
            r#"MutationEvent torn - {"id":"w","title"#,
            "Notice - - -",
            "Post odd stars -",
            "Post odd tags -",
            "Post bad title -",
        ]
    );
    assert!(!format!("{report:?}").contains("kept"), "Debug shows nobody's words");
    assert_eq!(taken.queued(), ["create z"]);
    assert!(taken.view("Post", &[json!("odd")]).unwrap().get("stars").is_none());
    assert_eq!(taken.view("Post", &[json!("bad")]), None);
}

#[test]
fn problems_with_rows_are_told_up_to_a_bound_and_counted_beyond() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    for i in 0..PROBLEMS_MAX + 7 {
        conn.execute(
            "INSERT INTO Post (id, title, stars) VALUES (?1, 'x', 'many')",
            [format!("p{i}")],
        )
        .unwrap();
        conn.execute(
            "INSERT INTO MutationEvent VALUES (?1, 'x', NULL, 0, '{', 'w', 'Post', 'create', NULL)",
            [format!("e{i}")],
        )
        .unwrap();
    }
    drop(conn);
    let report = take(&dir, SDL).report;
    assert_eq!(report.mutations_left as usize, PROBLEMS_MAX + 7);
    let (mutations, rows): (Vec<_>, Vec<_>) = report.problems.iter().partition(|problem| problem.is_mutation);
    assert_eq!(
        (mutations.len(), rows.len(), report.problems_untold),
        (PROBLEMS_MAX + 7, PROBLEMS_MAX, 7)
    );
}

#[test]
fn files_that_are_none_are_refused_and_left_as_they_are() {
    let is = |name: &str, error: &ImportError| {
        let kind = match error {
            ImportError::File { .. } => "file",
            ImportError::InUse(_) => "in use",
            ImportError::Foreign(_) => "foreign",
            ImportError::JavaScript(_) => "javascript",
            ImportError::Damaged { .. } => "damaged",
            ImportError::Layout { .. } => "layout",
            ImportError::Store(_) => "store",
        };
        assert_eq!(kind, name, "{error}");
    };
    let refused = |name: &str, make: &dyn Fn(&Path)| {
        let dir = TempDir::new().unwrap();
        make(&old(&dir));
        let bytes = std::fs::read(old(&dir)).ok();
        match try_take(&dir, SDL) {
            Err(error) => is(name, &error),
            Ok(_) => panic!("{name} was taken"),
        }
        assert_eq!(std::fs::read(old(&dir)).ok(), bytes);
    };
    let with = |sql: &'static str| move |path: &Path| Connection::open(path).unwrap().execute_batch(sql).unwrap();
    refused("foreign", &|path| {
        std::fs::write(path, "a text, and a long one at that; ".repeat(100)).unwrap()
    });
    refused("foreign", &|path| std::fs::write(path, "").unwrap());
    refused("foreign", &with("create table theirs (a)"));
    refused("layout", &with("create table MutationEvent (id, payload)"));
    refused("layout", &with("create table PersistentRecord (id, serialised)"));
    refused(
        "layout",
        &with("create table MutationEvent (id, modelName, json, mutationType); create table ModelMetadata (id)"),
    );
    refused(
        "layout",
        &with(
            "create table MutationEvent (id, modelName, json, mutationType); create table PersistentRecord (id, serializedMutationData)",
        ),
    );
    refused(
        "javascript",
        &with(
            "create table MutationEvent (id, model, data, modelId, operation, condition); create table ModelMetadata (id, lastSync)",
        ),
    );
    refused("file", &|path| std::fs::create_dir(path).unwrap());
    for cut in [5_000, 9_000] {
        refused("damaged", &|path| {
            let conn = Connection::open(path).unwrap();
            conn.execute_batch(&format!("{IOS}{POSTS}")).unwrap();
            for i in 0..200 {
                event(
                    &conn,
                    "2023-11-14T22:00:00.001Z",
                    "create",
                    "Post",
                    &json!({ "id": i.to_string(), "title": "x" }),
                );
            }
            drop(conn);
            let bytes = std::fs::read(path).unwrap();
            std::fs::write(path, &bytes[..cut]).unwrap();
        });
    }
    let dir = TempDir::new().unwrap();
    assert!(
        DatastoreFile::open(&old(&dir), &dir.path().join("replica.db"))
            .unwrap()
            .is_none(),
        "no file is none"
    );
}

#[test]
fn a_log_beside_the_file_is_read_and_so_is_a_file_that_somebody_holds_locked() {
    for (mode, lock) in [("WAL", "BEGIN IMMEDIATE"), ("DELETE", "BEGIN EXCLUSIVE")] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, &format!("{IOS}{POSTS}"));
        conn.pragma_update_and_check(None, "journal_mode", mode, |_| Ok(()))
            .unwrap();
        event(
            &conn,
            "2023-11-14T22:00:00.001Z",
            "create",
            "Post",
            &json!({ "id": "p", "title": "committed" }),
        );
        // DataStore was killed in the middle of another one.
        conn.execute_batch(lock).unwrap();
        event(
            &conn,
            "2023-11-14T22:00:00.002Z",
            "create",
            "Post",
            &json!({ "id": "q", "title": "not committed" }),
        );
        let log = dir.path().join("old.db-wal");
        let before = std::fs::read(&log).ok();
        assert_eq!(before.is_some(), mode == "WAL");
        assert_eq!(take(&dir, SDL).queued(), ["create p"], "{mode}");
        assert_eq!(std::fs::read(&log).ok(), before);
        conn.execute_batch("ROLLBACK").unwrap();
    }
}

/// Given up at any step before the commit there is nothing of it; done again it is all there, once.
#[test]
fn an_import_that_ends_anywhere_has_happened_or_has_not() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch("insert into Post (id, title) values ('r', 'a record'); insert into MutationSyncMetadata values ('Post|r', 0, 5, 4)")
        .unwrap();
    event(
        &conn,
        "2023-11-14T22:00:00.001Z",
        "create",
        "Post",
        &json!({ "id": "p", "title": "One" }),
    );
    drop(conn);
    let schema = schema(SDL);
    let path = dir.path().join("replica.db");
    let claim = Claim::of(&old(&dir), &path, None);
    for stop in 0..4 {
        let (mut store, machine) = replica(&dir, &schema);
        assert!(claim.is_free().unwrap());
        let file = DatastoreFile::open(&old(&dir), &path).unwrap().unwrap();
        let mut tx = store.begin(true).unwrap();
        assert_eq!(tx.datastore_report().unwrap(), None, "stopped at {stop}");
        assert!(tx.outbox(0, 10).unwrap().is_empty());
        let (mut report, mut queue) = tx.lay_datastore(&file, None, machine.import_room()).unwrap();
        if stop == 0 {
            continue;
        }
        let (step, taken) = machine
            .import(&mut tx, std::mem::take(&mut queue.mutations), NOW)
            .unwrap();
        drop(step);
        if stop == 1 {
            continue;
        }
        tx.datastore_taken(&mut report, queue, &taken).unwrap();
        if stop == 2 {
            continue;
        }
        claim.begin().unwrap();
        assert!(claim.is_free().unwrap(), "to this replica");
        assert!(
            !Claim::of(&old(&dir), &dir.path().join("another.db"), None)
                .is_free()
                .unwrap()
        );
    }
    let mut taken = take(&dir, SDL);
    claim.finish().unwrap();
    assert!(!claim.is_free().unwrap());
    assert_eq!(taken.queued(), ["create p"]);
    assert_eq!(taken.view("Post", &[json!("r")]).unwrap()["_version"], 4);
    let report = taken.store.begin(false).unwrap().datastore_report().unwrap();
    assert_eq!(report, Some(taken.report));
}

/// Each account's file may have the same name, in a folder of its own.
#[test]
fn what_one_account_has_begun_to_take_no_other_takes() {
    let dir = tempfile::tempdir().unwrap();
    let claim = |folder: &str, account| Claim::of(&old(&dir), &dir.path().join(folder).join("replica.db"), account);
    claim("ada", Some("ada")).begin().unwrap();
    assert!(!claim("bea", Some("bea")).is_free().unwrap());
    assert!(claim("ada", Some("ada")).is_free().unwrap());
    // Moved by an update of the app; opened as a file that is nobody's.
    assert!(claim("elsewhere", Some("ada")).is_free().unwrap());
    assert!(claim("ada", None).is_free().unwrap());
}
