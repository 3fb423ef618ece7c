//! Killed while the file follows a schema: at every point it opens as the old or as the new, with everything that was in it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use tombolo_core::id::ReplicaId;
use tombolo_core::schema::Schema;

use crate::{Options, Store, evolve};

const OLD: &str = "
    type Note @model { id: ID! body: String n: Int gone: String list: ID @index(name: \"byList\") }
    type Keyed @model { id: ID! code: ID! }";

const NEW: &str = "
    type Memo @model @renamed(from: [\"Note\"]) {
      id: ID! text: String @renamed(from: [\"body\"]) n: Float list: ID @index(name: \"byList\", sortKeyFields: [\"n\"])
      added: String sure: Int! @default(value: \"7\")
    }
    type Keyed @model { id: ID! code: ID! @primaryKey }
    type Fresh @model { id: ID! }";

const ROWS: i64 = 300;

fn schema(sdl: &str) -> Arc<Schema> {
    Arc::new(Schema::parse(sdl, "s.graphql").unwrap())
}

fn open(path: &Path, sdl: &str) -> Store {
    Store::open(path, schema(sdl), Options::new(ReplicaId("r".into()))).unwrap()
}

/// A file of the old schema: notes that hold what a newer server gave, a scope with a filter, an outbox.
fn old_file(folder: &Path) -> PathBuf {
    let path = folder.join("replica.db");
    drop(open(&path, OLD));
    let conn = Connection::open(&path).unwrap();
    for n in 0..ROWS {
        conn.execute(
            "INSERT INTO Note (id, body, n, gone, list, _version, _deleted, _lastChangedAt, _generation, _extra)
             VALUES (?1, 'text ' || ?1, ?2, 'g', 'l', 1, 0, 9, 1, json_object('added', 'a' || ?1))",
            (format!("n{n}"), n),
        )
        .unwrap();
    }
    conn.execute_batch(
        r#"INSERT INTO _base_Note (id, body, n, _version, _deleted, _lastChangedAt, _generation, _absent)
             VALUES ('n0', 'base', 1, 1, 0, 9, 1, 0);
           INSERT INTO Keyed (id, code, _version, _deleted, _lastChangedAt, _generation) VALUES ('k', 'c', 1, 0, 9, 1);
           INSERT INTO _scopes (model, filter, cursor, generation, base_sync, up_to_date)
             VALUES ('Note', '{"or":[{"body":{"eq":"x"}}]}', 'e.7', 1, 0, 1), ('Keyed', NULL, 'e.7', 1, 0, 1)"#,
    )
    .unwrap();
    path
}

fn text(conn: &Connection, sql: &str) -> String {
    conn.query_row(sql, [], |row| row.get(0)).unwrap()
}

/// What a new file holds, whichever way it came to be.
fn check(path: &Path) {
    drop(open(path, NEW));
    let conn = Connection::open(path).unwrap();
    let all = text(
        &conn,
        "SELECT json_array(count(*), count(DISTINCT text), sum(n), min(typeof(n)), min(sure), max(sure), min(added = 'a' || id),
                           min(_extra), max(_extra)) FROM Memo",
    );
    let sum = (0..ROWS).sum::<i64>();
    assert_eq!(
        all,
        format!(r#"[{ROWS},{ROWS},{sum}.0,"real",7,7,1,"{{\"gone\":\"g\"}}","{{\"gone\":\"g\"}}"]"#)
    );
    assert_eq!(
        text(&conn, "SELECT json_array(text, n, sure) FROM _base_Memo"),
        r#"["base",1.0,7]"#
    );
    assert_eq!(
        text(
            &conn,
            "SELECT json_array(filter, cursor, base_sync) FROM _scopes WHERE model = 'Memo'"
        ),
        r#"["{\"or\":[{\"text\":{\"eq\":\"x\"}}]}","e.7",0]"#
    );
    assert_eq!(
        text(
            &conn,
            "SELECT json_array(cursor, base_sync, (SELECT count(*) FROM Keyed)) FROM _scopes WHERE model = 'Keyed'"
        ),
        "[null,1,0]"
    );
    assert_eq!(
        text(
            &conn,
            "SELECT json_array(count(*)) FROM sqlite_master WHERE tbl_name LIKE '%Note'"
        ),
        "[0]"
    );
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

#[test]
fn killed_at_any_point_the_file_opens_as_the_old_or_as_the_new() {
    /// Steps of SQLite's machine between two looks: a few in each statement.
    const STEPS: std::ffi::c_int = 400;
    let folder = tempfile::tempdir().unwrap();
    let path = old_file(folder.path());
    let copies = folder.path().join("copies");
    let taken = Arc::new(AtomicU64::new(0));
    let mut conn = Connection::open(&path).unwrap();
    // Pages go to the disk long before the commit.
    conn.execute_batch("PRAGMA cache_size = 2; PRAGMA wal_autocheckpoint = 4")
        .unwrap();
    let (source, target, count) = (path.clone(), copies.clone(), Arc::clone(&taken));
    conn.progress_handler(
        STEPS,
        Some(move || {
            let folder = target.join(count.fetch_add(1, Ordering::SeqCst).to_string());
            std::fs::create_dir_all(&folder).unwrap();
            for suffix in ["", "-wal"] {
                let from = with_suffix(&source, suffix);
                if from.exists() {
                    std::fs::copy(&from, with_suffix(&folder.join("replica.db"), suffix)).unwrap();
                }
            }
            false
        }),
    )
    .unwrap();
    evolve::evolve(&mut conn, &schema(NEW)).unwrap();
    drop(conn);
    check(&path);
    let taken = taken.load(Ordering::SeqCst);
    assert!(taken > 50, "{taken} copies");
    for copy in 0..taken {
        let path = copies.join(copy.to_string()).join("replica.db");
        let conn = Connection::open(&path).unwrap();
        let models = text(&conn, "SELECT group_concat(model, ' ' ORDER BY model) FROM _models");
        drop(conn);
        assert!(
            ["Keyed Note", "Fresh Keyed Memo"].contains(&models.as_str()),
            "copy {copy}: {models}"
        );
        check(&path);
    }
}

#[test]
fn a_migration_that_fails_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = old_file(folder.path());
    let mut failed = 0;
    loop {
        let mut conn = Connection::open(&path).unwrap();
        let mut left = failed;
        conn.progress_handler(
            2_000,
            Some(move || {
                left -= 1;
                left < 0
            }),
        )
        .unwrap();
        failed += 1;
        if evolve::evolve(&mut conn, &schema(NEW)).is_ok() {
            break;
        }
        conn.progress_handler(0, None::<fn() -> bool>).unwrap();
        assert_eq!(
            text(&conn, "SELECT json_array(count(*), min(gone)) FROM Note"),
            format!("[{ROWS},\"g\"]")
        );
    }
    assert!(failed > 5, "{failed} failures");
    check(&path);
}
