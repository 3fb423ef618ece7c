//! What is particular to one of the adapters of Amplify DataStore: which mutation it may have sent, in which order it sends, how
//! it writes times, relations and predicates.

use rusqlite::Connection;
use serde_json::json;
use tempfile::TempDir;
use tombolo_machine::Imported;

use crate::datastore::{ANDROID, IOS, POSTS, SDL, event, file, pending, take};

const SERIALIZED: &str = "com.amplifyframework.core.model.SerializedModel";

/// A pending mutation of a post, in Android's queue under this id of its own.
fn pending_post(conn: &Connection, id: &str, kind: &str, post: &str) {
    let mutation = json!({
        "mutatedItem": { "id": post, "modelSchema": { "name": "Post" }, "serializedData": { "id": post, "title": "x" } },
        "modelSchema": { "name": "Post" }, "mutationId": id, "mutationType": kind, "predicate": { "_type": "ALL" },
    });
    pending(conn, id, SERIALIZED, post, &mutation.to_string());
}

/// iOS takes the marks of what it was sending away with each start, before any network: the first bears none and was sent.
#[test]
fn the_first_of_either_queue_may_have_been_sent() {
    for adapter in [IOS, ANDROID] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, &format!("{adapter}{POSTS}"));
        for id in ["one", "two", "three"] {
            if adapter == IOS {
                let post = json!({ "id": id, "title": "x" });
                event(&conn, "2023-11-14T22:00:00.001Z", "create", "Post", &post);
            } else {
                pending_post(&conn, id, "CREATE", id);
            }
        }
        drop(conn);
        let mut taken = take(&dir, SDL);
        let sent: Vec<_> = taken
            .outbox()
            .into_iter()
            .map(|entry| entry.imported.unwrap())
            .collect();
        assert_eq!(
            sent,
            [Imported::MaySent, Imported::Unsent, Imported::Unsent],
            "{adapter}"
        );
        assert_eq!(taken.report.mutations_may_be_sent, 1);
    }
}

/// Android takes its rows as they stand: a clock that was set back between two of them changes nothing.
#[test]
fn androids_order_is_that_of_its_rows_whatever_the_clock_said() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, &format!("{ANDROID}{POSTS}"));
    // The time of a UUID is in its first three parts: the last row's is the first.
    let ids = [
        "20000000-39d3-11ec-8d3d-0242ac130003",
        "30000000-39d3-11ec-8d3d-0242ac130003",
        "10000000-39d3-11ec-8d3d-0242ac130003",
    ];
    for (id, kind, post) in [
        (ids[0], "CREATE", "p"),
        (ids[1], "CREATE", "q"),
        (ids[2], "UPDATE", "r"),
    ] {
        pending_post(&conn, id, kind, post);
    }
    drop(conn);
    let mut taken = take(&dir, SDL);
    assert_eq!(taken.queued(), ["create p", "create q", "update r"]);
    let sent: Vec<_> = taken
        .outbox()
        .into_iter()
        .map(|entry| entry.imported.unwrap())
        .collect();
    assert_eq!(sent[0], Imported::MaySent, "the first row");
    // When each was made is told by its id all the same.
    let made: Vec<i64> = taken.outbox().iter().map(|entry| entry.created_at_ms).collect();
    assert!(made[2] < made[0] && made[0] < made[1], "{made:?}");
}

/// In columns Android fills the fraction up to nine digits. What it sends, and so what the server may hold, has no such zeros.
#[test]
fn androids_times_are_read_as_it_sends_them() {
    let dir = TempDir::new().unwrap();
    let conn = file(&dir, ANDROID);
    conn.execute_batch(
        r#"create table "Slot" ("id" text primary key not null, "at" text, "clock" text, "word" text, "createdAt" text);
           insert into "Slot" values ('s', '2023-11-14T22:13:20.000000000Z', '10:00:00.120000000Z', '1.500', '2023-11-14T22:13:20.123000000Z');
           insert into ModelMetadata values ('Slot|s', 0, 5, 7);"#,
    )
    .unwrap();
    drop(conn);
    let sdl = "type Slot @model { id: ID! at: AWSDateTime clock: AWSTime word: String }";
    let shown = take(&dir, sdl).view("Slot", &[json!("s")]).unwrap();
    assert_eq!(
        (&shown["at"], &shown["clock"], &shown["word"], &shown["createdAt"]),
        (
            &json!("2023-11-14T22:13:20Z"),
            &json!("10:00:00.12Z"),
            &json!("1.500"),
            &json!("2023-11-14T22:13:20.123Z")
        )
    );
}
