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
