//! Records of a DataStore file that the server may never have heard of: no version is known of them, and no mutation waits.

use serde_json::{Value as Json, json};
use tempfile::TempDir;
use tombolo_core::schema::MutationKind;
use tombolo_machine::Imported;
use tombolo_machine::limits::OUTBOX_ENTRIES_MAX;

use crate::datastore::{ANDROID, IOS, NOW, POSTS, SDL, event, file, take, take_within};

/// An app without a cloud: whatever the metadata's tables are, absent or empty, each record is a creation, those behind which
/// others refer to it first.
#[test]
fn records_without_metadata_and_mutation_become_creations_parents_first() {
    // The reverse of what the tables' names would give: a parent whose table comes last.
    let sdl = "
        type Alpha @model { id: ID! zetaId: ID zeta: Zeta @belongsTo(fields: [\"zetaId\"]) parentId: ID
          parent: Alpha @belongsTo(fields: [\"parentId\"]) text: String }
        type Zeta @model { id: ID! text: String }
        type Mid @model { id: ID! text: String createdAt: AWSDateTime }";
    let only_queue = r#"create table "MutationEvent" ("id" text primary key not null, "createdAt" text not null,
        "json" text not null, "modelId" text not null, "modelName" text not null, "mutationType" text not null);"#;
    for tables in [IOS, ANDROID, only_queue] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, tables);
        conn.execute_batch(
            r#"create table "Alpha" ("id" text primary key not null, "zetaId" text, "parentId" text, "text" text, "createdAt" text,
                 "updatedAt" text);
               create table "Mid" ("id" text primary key not null, "text" text, "createdAt" text);
               create table "Zeta" ("id" text primary key not null, "text" text);
               insert into "Alpha" values ('child', 'z2', 'root', 'one', null, null), ('root', null, null, null, null, null),
                 ('ring1', null, 'ring2', null, null, null), ('ring2', null, 'ring1', null, null, null),
                 ('own', null, 'own', null, null, null), ('lost', 'nowhere', null, null, null, null);
               insert into "Mid" values ('m', 'two', null);
               insert into "Zeta" values ('z1', 'three'), ('z2', 'four');"#,
        )
        .unwrap();
        drop(conn);
        let mut taken = take(&dir, sdl);
        assert_eq!(
            taken.queued(),
            [
                "create z2",
                "create root",
                "create child",
                "create ring2",
                "create ring1",
                "create own",
                "create lost",
                "create m",
                "create z1"
            ]
        );
        let report = taken.report.clone();
        assert_eq!(
            (
                report.records,
                report.uploads,
                report.unsettled,
                report.mutations,
                report.mutations_may_be_sent
            ),
            (9, 9, 9, 0, 0),
            "{report:?}"
        );
        assert_eq!(
            (report.records_unversioned, report.records_left, report.problems.len()),
            (0, 0, 0)
        );
        let entries = taken.outbox();
        assert!(entries.iter().all(|entry| entry.intent.kind == MutationKind::Create));
        assert!(
            entries.iter().all(|entry| entry.imported == Some(Imported::MaySent)),
            "the server may have them"
        );
        assert_eq!(
            Json::Object(entries[2].intent.values.clone()),
            json!({ "id": "child", "zetaId": "z2", "parentId": "root", "text": "one" })
        );
        assert_eq!(entries[2].depends_on, [entries[0].number, entries[1].number]);
        assert_eq!(entries[2].created_at_ms, NOW.wall_ms, "when it was made nobody knows");
        assert_eq!(taken.view("Zeta", &[json!("z1")]).unwrap()["text"], "three");
    }
}

/// What the queue refers to goes before it, what refers to the queue's creations behind it; and what has metadata or a mutation
/// is none of them.
#[test]
fn uploads_go_before_the_queue_but_for_those_that_refer_to_it() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        r#"insert into "Author" values ('known', 'A'), ('queued', 'B'), ('alone', 'C');
           insert into "Post" (id, title, "authorId") values ('of-queued', 'x', 'queued'), ('of-alone', 'y', 'alone'),
             ('edited', 'z', null), ('made', 'q', 'alone');
           insert into MutationSyncMetadata values ('Author|known', 0, 5, 1);"#,
    )
    .unwrap();
    let at = "2023-11-14T22:00:00.001Z";
    event(&conn, at, "create", "Author", &json!({ "id": "queued", "name": "B" }));
    event(
        &conn,
        at,
        "create",
        "Post",
        &json!({ "id": "made", "title": "q", "author": { "id": "alone" } }),
    );
    event(&conn, at, "update", "Post", &json!({ "id": "edited", "title": "z" }));
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(
        taken.queued(),
        [
            "create alone",
            "create of-alone",
            "create queued",
            "create made",
            "update edited",
            "create of-queued"
        ]
    );
    let entries = taken.outbox();
    assert_eq!(entries[3].depends_on, [entries[0].number]);
    assert_eq!(entries[5].depends_on, [entries[2].number]);
    let report = &taken.report;
    assert_eq!(
        (report.uploads, report.mutations, report.unsettled),
        (3, 3, 6),
        "{report:?}"
    );
    assert_eq!(
        (report.first_number, report.last_number),
        (entries[2].number.0, entries[4].number.0)
    );
}

/// The outbox's limit holds for what is made of records. What is beyond it is shown and told, and the old file stays.
#[test]
fn uploads_beyond_the_outbox_are_told_and_hold_the_file() {
    for (most, uploads) in [(0, 0), (1, 0), (3, 2), (4, 3), (OUTBOX_ENTRIES_MAX, 3)] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, &format!("{IOS}{POSTS}"));
        conn.execute_batch("insert into Post (id, title) values ('a', 'x'), ('b', 'y'), ('c', 'z')")
            .unwrap();
        event(
            &conn,
            "2023-11-14T22:00:00.001Z",
            "create",
            "Post",
            &json!({ "id": "q", "title": "of the queue" }),
        );
        drop(conn);
        let mut taken = take_within(&dir, SDL, most).unwrap();
        let report = taken.report.clone();
        assert_eq!(
            (
                report.mutations,
                report.uploads,
                report.records_unversioned,
                report.records
            ),
            (1, uploads, 3 - uploads, 3),
            "{most}: {report:?}"
        );
        assert_eq!(report.problems.len(), usize::from(uploads < 3), "{:?}", report.problems);
        assert_eq!(taken.view("Post", &[json!("c")]).unwrap()["title"], "z", "it is shown");
        let mut settled = report;
        settled.state = tombolo_store::datastore::ImportState::Settled;
        assert_eq!(settled.may_be_removed(), uploads == 3);
    }
}

/// A value that does not fit, a row without a key, a model or a column that is gone: the old file alone has them.
#[test]
fn what_the_schema_cannot_say_of_an_upload_holds_the_file() {
    for (name, sql, expected) in [
        (
            "a value",
            "insert into Post (id, title, stars) values ('a', 'x', 'many')",
            (1, 1, 0),
        ),
        (
            "a required one",
            "insert into Post (id, title) values ('a', x'00ff')",
            (0, 1, 1),
        ),
        (
            "a model",
            "create table Gone (id text); insert into Gone values ('a'), ('b')",
            (0, 2, 2),
        ),
        (
            "a column",
            "alter table Post add column gone text; insert into Post (id, title, gone) values ('a', 'x', 'y'), ('b', 'x', null)",
            (2, 1, 0),
        ),
        (
            "nothing",
            "create table Gone (id text); insert into Gone values ('a'); insert into MutationSyncMetadata values ('Gone|a', 0, 5, 1)",
            (0, 0, 1),
        ),
    ] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, &format!("{IOS}{POSTS}"));
        conn.execute_batch(sql).unwrap();
        drop(conn);
        let report = take(&dir, SDL).report;
        assert_eq!(
            (report.uploads, report.records_unversioned, report.records_left),
            expected,
            "{name}: {report:?}"
        );
    }
}

/// Where a replica has synced a model or has no scope of it, no row is laid; what the server may not have goes up all the same.
#[test]
fn a_replica_that_has_synced_uploads_what_the_server_may_not_have() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{IOS}{POSTS}"));
    conn.execute_batch(
        "insert into Post (id, title) values ('known', 'x'), ('alone', 'y');
         insert into MutationSyncMetadata values ('Post|known', 0, 5, 4)",
    )
    .unwrap();
    drop(conn);
    crate::datastore::sync_before(&dir);
    let mut taken = take(&dir, SDL);
    assert_eq!(taken.queued(), ["create alone"]);
    let report = &taken.report;
    assert_eq!(
        (report.records, report.uploads, report.records_left),
        (1, 1, 1),
        "{report:?}"
    );
    assert_eq!(report.problems.len(), 1);
}
