//! A record that the app read some time ago, and saves when others have changed it since.

use tombolo::testing::Resolution;
use tombolo::{MutationState, Scope};

use super::*;

const SCHEMA: &str = "
type Page @model {
  id: ID!
  title: String @merge(rule: REJECT)
  body: String @merge(rule: CUSTOM)
  note: String
}";

async fn phone(server: &Server, folder: &tempfile::TempDir) -> Client {
    let scope = Scope {
        model: "Page".into(),
        filter: None,
    };
    Client::builder()
        .schema(SCHEMA)
        .path(folder.path().join("stale.db"))
        .transport(server.phone("stale"))
        .scopes([scope])
        .open()
        .await
        .unwrap()
}

async fn page(client: &Client) -> Json {
    parsed(&client.get("Page", json!("p")).await.unwrap().unwrap())
}

/// Saves `p` as read in `before` with `field` changed; what became of it.
async fn save(client: &Client, before: &Json, field: &str, value: &str) -> MutationState {
    let mut mine = before.clone();
    mine[field] = json!(value);
    let saved = client.save(Save::changed("Page", before.clone(), mine)).await.unwrap();
    settled(client).await;
    client.mutation(saved.number.unwrap()).await.unwrap().unwrap().state
}

/// Makes a change elsewhere, and waits until the replica has it.
async fn elsewhere(server: &Server, client: &Client, field: &str, value: &str) {
    let text = format!("mutation($v: String) {{ updatePage(input: {{ id: \"p\", {field}: $v }}) {{ id }} }}");
    server.ask(&text, json!({ "v": value })).unwrap();
    let mut pages = client.watch_find(Find::of("Page")).unwrap();
    while !pages.next().await.unwrap().unwrap().json().contains(value) {}
}

/// The own save of one field and somebody else's of another, both since the app read the record.
#[tokio::test]
async fn ones_own_save_is_not_lost_to_what_others_changed_elsewhere() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start("type Page @model { id: ID! title: String note: String tags: [String] }").unwrap();
    let client = Client::builder()
        .schema("type Page @model { id: ID! title: String note: String tags: [String] }")
        .path(folder.path().join("own.db"))
        .transport(server.phone("own"))
        .open()
        .await
        .unwrap();
    let new = json!({ "id": "p", "title": "t1", "note": "n1", "tags": ["a"] });
    client.save(Save::record("Page", new)).await.unwrap();
    settled(&client).await;
    let opened = page(&client).await;
    assert_eq!(save(&client, &opened, "title", "t2").await, MutationState::Applied);
    let mut shown = opened.clone();
    shown["title"] = json!("t2");
    elsewhere(&server, &client, "note", "theirs").await;
    let mut mine = shown.clone();
    (mine["title"], mine["note"]) = (json!("t3"), json!("n2"));
    client.save(Save::changed("Page", shown, mine)).await.unwrap();
    settled(&client).await;
    let now = page(&client).await;
    assert_eq!((&now["title"], &now["note"]), (&json!("t3"), &json!("n2")));
    // What others have changed in the very field that is saved is merged by the model's rules.
    let opened = page(&client).await;
    server
        .ask(
            "mutation { updatePage(input: { id: \"p\", tags: [\"a\", \"theirs\"] }) { id } }",
            json!(null),
        )
        .unwrap();
    let mut pages = client.watch_find(Find::of("Page")).unwrap();
    while !pages.next().await.unwrap().unwrap().json().contains("theirs") {}
    let mut mine = opened.clone();
    mine["tags"] = json!(["a", "mine"]);
    client.save(Save::changed("Page", opened, mine)).await.unwrap();
    settled(&client).await;
    let tags = page(&client).await["tags"].to_string();
    assert!(tags.contains("theirs") && tags.contains("mine"), "{tags}");
    client.close().await;
}

#[tokio::test]
async fn what_came_in_since_the_app_read_it_is_in_conflict() {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start_with_resolver(SCHEMA, |conflict| {
        let saw = conflict.base.as_ref().unwrap()["body"].clone();
        let all = format!("{saw} {} {}", conflict.server["body"], conflict.incoming["body"]);
        Resolution::Resolve(json!({ "body": all.replace('"', "") }))
    })
    .unwrap();
    let client = phone(&server, &folder).await;
    let new = json!({ "id": "p", "title": "t1", "body": "b1", "note": "n1" });
    client.save(Save::record("Page", new)).await.unwrap();
    settled(&client).await;
    let opened = page(&client).await;
    // One's own is no conflict, however old the copy in the form.
    assert_eq!(save(&client, &opened, "title", "t2").await, MutationState::Applied);
    let mut shown = opened.clone();
    shown["title"] = json!("t2");
    assert_eq!(save(&client, &shown, "title", "t3").await, MutationState::Applied);
    // Nor to a form that keeps what it began with.
    assert_eq!(save(&client, &opened, "title", "t4").await, MutationState::Applied);
    assert_eq!(page(&client).await["title"], "t4");

    let opened = page(&client).await;
    elsewhere(&server, &client, "title", "theirs").await;
    assert_eq!(save(&client, &opened, "title", "mine").await, MutationState::Rejected);
    assert_eq!(page(&client).await["title"], "theirs");
    // Another field is no conflict, nor is what the app read just now.
    assert_eq!(save(&client, &opened, "note", "n2").await, MutationState::Applied);
    let now = page(&client).await;
    assert_eq!(save(&client, &now, "title", "mine").await, MutationState::Applied);
    // A copy without its version is taken for one of now.
    let mut bare = opened.clone();
    bare.as_object_mut().unwrap().remove("_version");
    assert_eq!(save(&client, &bare, "title", "bare").await, MutationState::Applied);

    let opened = page(&client).await;
    elsewhere(&server, &client, "body", "b2").await;
    save(&client, &opened, "body", "b3").await;
    assert_eq!(
        page(&client).await["body"],
        "b1 b2 b3",
        "a resolver is told what the user saw"
    );

    let mut wrong = opened.clone();
    wrong["_version"] = json!("new");
    let refused = client.save(Save::changed("Page", wrong, opened)).await.unwrap_err();
    assert!(refused.to_string().contains("`_version`"), "{refused}");
    client.close().await;
}
