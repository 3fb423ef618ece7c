//! Whole records: saved, deleted, found; in its rooms: observed, and saved from an old copy.
#![allow(clippy::unwrap_used)]

mod observe;
mod stale;

use std::time::Duration;

use futures_util::StreamExt;
use serde_json::{Value as Json, json};
use tombolo::testing::Server;
use tombolo::{Client, Find, LinkStatus, Save, SavedAs, Scope, SortBy, Status};

const SCHEMA: &str = r#"
enum Mood { CALM ROUGH }
type Spot { name: String! place: Place inner: Spot }
type Place { lat: Float lon: Float }
type Rule { name: String! is: Rule and: [Rule!]! or: [Rule!] }
type Report @model { id: ID! rule: Rule }
type Note @model {
  id: ID!
  text: String!
  mood: Mood @default(value: "CALM")
  stars: Int @merge(rule: COUNTER)
  tags: [String] @merge(rule: SET)
  words: [String]
  spot: Spot
  folderId: ID
  folder: Folder @belongsTo(fields: ["folderId"])
}
type Folder @model { id: ID! name: String! }
type Line @model { order: ID! @primaryKey(sortKeyFields: ["number"]) number: Int! text: String }
type Silent @model(queries: { list: null }, mutations: { create: null }) { id: ID! text: String }
"#;

/// How long a test waits for what must come; far beyond what it takes.
const PATIENCE: Duration = Duration::from_secs(20);

async fn phone(server: &Server, name: &str, folder: &tempfile::TempDir) -> Client {
    let scope = |model: &str| Scope {
        model: model.into(),
        filter: None,
    };
    Client::builder()
        .schema(SCHEMA)
        .path(folder.path().join(format!("{name}.db")))
        .transport(server.phone(name))
        .scopes(["Note", "Folder", "Line"].map(scope))
        .open()
        .await
        .unwrap()
}

/// A client without a network.
async fn alone(folder: &tempfile::TempDir) -> Client {
    let server = Server::start(SCHEMA).unwrap();
    server.network("alone").go_offline();
    phone(&server, "alone", folder).await
}

async fn until(client: &Client, reached: impl FnMut(&Status) -> bool) {
    let mut status = client.status();
    tokio::time::timeout(PATIENCE, status.wait_for(reached))
        .await
        .unwrap()
        .unwrap();
}

async fn settled(client: &Client) {
    until(client, |s| s.link == LinkStatus::Live && s.pending == 0 && s.up_to_date).await;
}

fn parsed(text: &str) -> Json {
    serde_json::from_str(text).unwrap()
}

async fn get(client: &Client, id: &str) -> Json {
    client
        .get("Note", json!(id))
        .await
        .unwrap()
        .map_or(Json::Null, |text| parsed(&text))
}

#[tokio::test]
async fn a_save_creates_then_updates_what_differs_then_does_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    let spot = json!({ "name": "quay", "place": { "lat": 1, "lon": null } });
    let made = client
        .save(Save::record(
            "Note",
            json!({ "text": "wet", "spot": spot, "words": ["a", "b"], "stars": 2 }),
        ))
        .await
        .unwrap();
    assert_eq!((made.saved_as, made.number.is_some()), (SavedAs::Created, true));
    let note = parsed(&made.record.unwrap());
    assert_eq!((&note["mood"], &note["_version"]), (&json!("CALM"), &json!(0)));
    // As it was read, members that were absent among it.
    assert_eq!(note["spot"]["place"], json!({ "lat": 1.0, "lon": null }));
    let again = client.save(Save::record("Note", note.clone())).await.unwrap();
    assert_eq!((again.saved_as, again.number), (SavedAs::Unchanged, None));
    assert_eq!(parsed(&again.record.unwrap()), note);

    let mut other = note.clone();
    other["text"] = json!("dry");
    other["spot"]["place"]["lon"] = json!(2.5);
    let changed = client.save(Save::record("Note", other.clone())).await.unwrap();
    assert_eq!(changed.saved_as, SavedAs::Updated);
    let changed = parsed(&changed.record.unwrap());
    assert_eq!((&changed["text"], &changed["spot"]), (&other["text"], &other["spot"]));
    // What is left out stays; null empties.
    let id = note["id"].as_str().unwrap();
    client
        .save(Save::record("Note", json!({ "id": id, "words": null })))
        .await
        .unwrap();
    let now = get(&client, id).await;
    assert_eq!(
        (&now["words"], &now["text"], &now["stars"]),
        (&Json::Null, &json!("dry"), &json!(2))
    );
    client.close().await;
}

/// The mutation has what differs, and nothing else.
#[tokio::test]
async fn only_what_the_app_changed_is_sent() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(SCHEMA).unwrap();
    let anna = phone(&server, "anna", &folder).await;
    anna.save(Save::record(
        "Note",
        json!({ "id": "n1", "text": "wet", "mood": "CALM", "stars": 5, "tags": ["x"] }),
    ))
    .await
    .unwrap();
    settled(&anna).await;
    let before = get(&anna, "n1").await;
    // Meanwhile, elsewhere.
    server
        .ask(
            "mutation { updateNote(input: { id: \"n1\", mood: ROUGH, _operations: { stars: { add: 2 }, tags: { add: [\"y\"] } } }) { id } }",
            json!(null),
        )
        .unwrap();
    until(&anna, |s| s.up_to_date && s.pending == 0).await;
    let mut notes = anna.watch_find(Find::of("Note")).unwrap();
    while !notes.next().await.unwrap().unwrap().json().contains("ROUGH") {}
    let mut mine = before.clone();
    mine["text"] = json!("dry");
    mine["stars"] = json!(6);
    mine["tags"] = json!(["x", "z"]);
    let saved = anna
        .save(Save::changed("Note", before.clone(), mine.clone()))
        .await
        .unwrap();
    let shown = parsed(&saved.record.unwrap());
    assert_eq!(
        (&shown["text"], &shown["mood"], &shown["stars"], &shown["tags"]),
        (&json!("dry"), &json!("ROUGH"), &json!(8), &json!(["x", "y", "z"]))
    );
    settled(&anna).await;
    let server_has = server
        .ask("{ getNote(id: \"n1\") { text mood stars tags } }", json!(null))
        .unwrap();
    assert_eq!(
        server_has["getNote"],
        json!({ "text": "dry", "mood": "ROUGH", "stars": 8, "tags": ["x", "y", "z"] })
    );
    // Without what was read nobody knows what 6 means.
    let refused = anna.save(Save::record("Note", mine.clone())).await.unwrap_err();
    assert!(refused.to_string().contains("`before`"), "{refused}");
    let mut lacking = before.clone();
    lacking.as_object_mut().unwrap().remove("stars");
    let refused = anna.save(Save::changed("Note", lacking, mine)).await.unwrap_err();
    assert!(refused.to_string().contains("`stars`"), "{refused}");
    assert!(anna.outbox().await.unwrap().is_empty());
    // A record is not turned into another one.
    let mut another = before.clone();
    another["id"] = json!("n2");
    let refused = anna
        .save(Save::changed("Note", another, before.clone()))
        .await
        .unwrap_err();
    assert!(refused.to_string().contains("a key cannot be changed"), "{refused}");
    // The same edit twice changes nothing twice.
    let unchanged = anna.save(Save::changed("Note", before.clone(), before)).await.unwrap();
    assert_eq!(unchanged.saved_as, SavedAs::Unchanged);
    anna.close().await;
}

#[tokio::test]
async fn saves_of_many_at_once_are_one_create_and_then_updates() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    let saves = (0..50).map(|i| {
        let client = client.clone();
        tokio::spawn(async move {
            let record = json!({ "id": "one", "text": format!("t{i}") });
            client.save(Save::record("Note", record)).await.unwrap().saved_as
        })
    });
    let done = futures_util::future::join_all(saves.collect::<Vec<_>>()).await;
    let created = done.iter().filter(|saved| *saved.as_ref().unwrap() == SavedAs::Created);
    assert_eq!(created.count(), 1);
    client.close().await;
}

#[tokio::test]
async fn what_cannot_be_saved_is_refused_with_its_reason() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    for (save, code, part) in [
        (Save::record("Nope", json!({})), "unknown_model", "Nope"),
        (Save::record("Note", json!("text")), "request", "JSON object"),
        (Save::record("Note", json!({ "id": "a" })), "request", "text"),
        (Save::record("Note", json!({ "text": 7 })), "request", "text"),
        (
            Save::record("Note", json!({ "id": ["a"], "text": "x" })),
            "request",
            "id",
        ),
        (
            Save::record("Note", json!({ "text": "x", "colour": 1 })),
            "request",
            "no field `colour`",
        ),
        (
            Save::record("Note", json!({ "text": "x", "folder": {} })),
            "request",
            "is a relation",
        ),
        (
            Save::record("Silent", json!({ "text": "x" })),
            "request",
            "no create of Silent",
        ),
        (
            Save::changed("Note", json!({}), json!({ "id": "gone", "text": "x" })),
            "unknown_record",
            "Note",
        ),
        (
            Save {
                condition: Some(json!({ "nothing": { "eq": 1 } })),
                ..Save::record("Note", json!({ "text": "x" }))
            },
            "request",
            "nothing",
        ),
    ] {
        let error = client.save(save.clone()).await.unwrap_err();
        assert_eq!(error.code(), code, "{save:?}: {error}");
        assert!(error.to_string().contains(part), "{save:?}: {error}");
    }
    for (key, code) in [
        (json!("none"), "unknown_record"),
        (json!({}), "request"),
        (json!([1]), "request"),
    ] {
        assert_eq!(client.delete("Note", key, None).await.unwrap_err().code(), code);
    }
    assert!(client.outbox().await.unwrap().is_empty());
    assert_eq!(
        client.get("Note", json!({ "no": 1 })).await.unwrap_err().code(),
        "request"
    );
    assert_eq!(client.find(Find::of("Silent")).await.unwrap_err().code(), "request");
    assert_eq!(client.find(Find::of("Nope")).await.unwrap_err().code(), "unknown_model");
    let both = Find {
        offset: 1,
        token: Some("x".into()),
        ..Find::of("Note")
    };
    assert!(client.find(both).await.unwrap_err().to_string().contains("`offset`"));
    let sorted = Find {
        sort: vec![SortBy::ascending("spot")],
        ..Find::of("Note")
    };
    assert_eq!(client.find(sorted).await.unwrap_err().code(), "request");
    client.close().await;
}

#[tokio::test]
async fn found_records_come_sorted_by_pages_and_by_offset() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    for i in 0..10 {
        let mood = if i % 2 == 0 { json!("ROUGH") } else { Json::Null };
        client
            .save(Save::record(
                "Note",
                json!({ "id": format!("n{i}"), "text": "t", "mood": mood }),
            ))
            .await
            .unwrap();
    }
    client
        .save(Save::record("Line", json!({ "order": "o", "number": 1 })))
        .await
        .unwrap();
    let ids = |records: &tombolo::Records| -> Vec<String> {
        let json = parsed(records.json());
        let items = json["items"].as_array().unwrap().iter();
        items.map(|item| item["id"].as_str().unwrap().to_owned()).collect()
    };
    let find = || Find {
        sort: vec![SortBy::descending("mood"), SortBy::descending("id")],
        filter: Some(json!({ "id": { "ne": "n4" } })),
        ..Find::of("Note")
    };
    let all = client.find(find()).await.unwrap();
    assert_eq!(ids(&all), ["n8", "n6", "n2", "n0", "n9", "n7", "n5", "n3", "n1"]);
    assert_eq!(all.next_token(), None);
    let (mut paged, mut token) = (Vec::new(), None);
    loop {
        let page = client
            .find(Find {
                limit: Some(2),
                token,
                ..find()
            })
            .await
            .unwrap();
        paged.extend(ids(&page));
        token = page.next_token().map(str::to_owned);
        if token.is_none() {
            break;
        }
    }
    assert_eq!(paged, ids(&all));
    let middle = client
        .find(Find {
            limit: Some(3),
            offset: 3,
            ..find()
        })
        .await
        .unwrap();
    assert_eq!(ids(&middle), ["n0", "n9", "n7"]);
    assert!(
        ids(&client
            .find(Find {
                offset: u64::MAX,
                ..find()
            })
            .await
            .unwrap())
        .is_empty()
    );
    let line = client
        .get("Line", json!({ "order": "o", "number": 1 }))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(parsed(&line)["order"], "o");
    client.close().await;
}

/// No document could select all of it: two branches and thirty levels.
#[tokio::test]
async fn an_embedded_value_is_whole_however_deep_it_nests() {
    let folder = tempfile::tempdir().unwrap();
    let client = alone(&folder).await;
    let rule = (0..30).fold(
        json!({ "name": "leaf", "is": null, "and": [], "or": null }),
        |inner, n| {
            let list = json!([inner]);
            let none = json!([]);
            let (and, or) = if n % 2 == 0 { (list, none) } else { (none, list) };
            json!({ "name": format!("{n}"), "is": null, "and": and, "or": or })
        },
    );
    let rule_in = |record: &str| serde_json::from_str::<Json>(record).unwrap()["rule"].clone();
    let saved = client
        .save(Save::record("Report", json!({ "id": "r", "rule": rule })))
        .await
        .unwrap();
    assert_eq!(rule_in(&saved.record.unwrap()), rule);
    assert_eq!(rule_in(&client.get("Report", json!("r")).await.unwrap().unwrap()), rule);
    let found: Json = serde_json::from_str(client.find(Find::of("Report")).await.unwrap().json()).unwrap();
    assert_eq!(found["items"][0]["rule"], rule);
    let update = "mutation($rule: RuleInput) { updateReport(input: { id: \"r\", rule: $rule }) { rule { name } } }";
    let variables = json!({ "rule": rule });
    let narrow = client.mutate(update, variables.clone()).await.unwrap();
    assert_eq!(narrow.response.data(), r#"{"updateReport":{"rule":{"name":"29"}}}"#);
    let whole = client.mutate_whole(update, variables).await.unwrap();
    let whole: Json = serde_json::from_str(whole.response.data()).unwrap();
    assert_eq!(whole["updateReport"]["rule"], rule);
    let deleted = client.delete("Report", json!("r"), None).await.unwrap();
    assert_eq!(rule_in(&deleted.record.unwrap()), rule);
    client.close().await;
}
