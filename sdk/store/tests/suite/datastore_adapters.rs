//! What is particular to one of the adapters of Amplify DataStore: which mutation it may have sent, in which order it sends, how
//! it writes times, relations and predicates.

use rusqlite::Connection;
use serde_json::{Value as Json, json};
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

/// The key of another record stands under many names, in a column of the table or a member of a mutation.
#[test]
fn a_record_of_another_model_is_found_by_each_name_that_the_adapters_give_its_key() {
    let sdl = r#"
        type Team @model { name: ID! @primaryKey(sortKeyFields: ["n"]) n: Int! }
        type Card @model { id: ID! }
        type Badge @model { id: ID! }
        type Author @model { id: ID! cardCode: ID card: Card @hasOne(fields: ["cardCode"]) badge: Badge @hasOne(fields: ["id"])
          books: [Book] @hasMany(indexName: "byWriter", fields: ["id"]) }
        type Book @model { id: ID! writerKey: ID @index(name: "byWriter") writer: Author @belongsTo(fields: ["writerKey"])
          teamName: ID teamN: Int team: Team @belongsTo(fields: ["teamName", "teamN"]) }"#;
    let of_two = r##""red"#"7""##;
    let (writer, team) = (json!({ "writerKey": "x" }), json!({ "teamName": "red", "teamN": 7 }));
    let (card, nothing) = (json!({ "cardCode": "x" }), json!({}));
    for (model, name, text, fields, told) in [
        ("Book", "writerKey", "x", &writer, false),
        ("Book", "writer", "x", &writer, false),
        // Older releases on iOS, where the schema named no field.
        ("Book", "writerId", "x", &writer, false),
        ("Book", "@@writerForeignKey", "x", &writer, false),
        ("Book", "team", of_two, &team, false),
        ("Book", "@@teamForeignKey", of_two, &team, false),
        ("Author", "card", "x", &card, false),
        ("Author", "cardId", "x", &card, false),
        ("Author", "@@cardForeignKey", "x", &card, false),
        // The other side has the key: nothing is stored here.
        ("Author", "badge", "x", &nothing, false),
        ("Author", "books", "x", &nothing, false),
        ("Author", "editorId", "x", &nothing, true),
    ] {
        let dir = TempDir::new().unwrap();
        let conn = file(&dir, IOS);
        // In front of the key, which a name that means nothing must not give.
        conn.execute_batch(&format!(
            r#"create table "{model}" ("{name}" text, "id" text primary key not null)"#
        ))
        .unwrap();
        conn.execute(&format!(r#"insert into "{model}" values (?1, 'r')"#), [text])
            .unwrap();
        conn.execute(
            "INSERT INTO MutationSyncMetadata VALUES (?1, 0, 5, 4)",
            [format!("{model}|r")],
        )
        .unwrap();
        let made = json!({ "id": "m", name: text });
        event(&conn, "2023-11-14T22:00:00.001Z", "create", model, &made);
        drop(conn);
        let mut taken = take(&dir, sdl);
        let relations = |shown: Json| {
            let names = ["cardCode", "writerKey", "teamName", "teamN"];
            let given = names.iter().filter_map(|name| Some((*name, shown.get(*name)?.clone())));
            Json::from_iter(given)
        };
        let row = taken.view(model, &[json!("r")]).expect(name);
        assert_eq!(relations(row), *fields, "the column {name}");
        let mutation = taken.outbox()[0].intent.values.clone();
        assert_eq!(relations(mutation.into()), *fields, "the member {name}");
        assert_eq!(
            taken.report.problems.len(),
            2 * usize::from(told),
            "{:?}",
            taken.report.problems
        );
    }
}
