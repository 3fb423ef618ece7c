//! Restarts, credentials, and a network that lets only HTTP through.

use serde_json::json;
use tombolo::transport::Endpoint;
use tombolo::transport::http::Http;
use tombolo::{Client, LinkStatus};
use tombolo_e2e::{KEY, PATIENCE, Phone, SCHEMA, Site};

const TEXTS: &str = "{ listNotes { items { text } } }";

#[tokio::test]
async fn the_outbox_and_what_it_shows_survive_a_restart_of_the_client() {
    let site = Site::new().await;
    site.write("createNote", json!({ "id": "n", "text": "as found" })).await;
    let phone = site.offline_phone("p").await;
    phone.sync().await;
    let update = phone.write("updateNote", json!({ "id": "n", "text": "edited" })).await;
    let create = phone.write("createNote", json!({ "id": "m", "text": "made" })).await;
    let before = phone.outbox().await;
    let replica = site.replica("p");
    phone.close().await;
    assert!(replica.exists());

    let phone = site.offline_phone("p").await;
    assert_eq!(phone.outbox().await, before);
    assert_eq!(
        before.iter().map(|item| item.number).collect::<Vec<_>>(),
        [update, create]
    );
    let shown = phone.records("Note", "text").await;
    assert_eq!(
        (&shown["n"]["text"], &shown["m"]["text"]),
        (&json!("edited"), &json!("made"))
    );
    assert_eq!(phone.sync().await.pushed, 2);
    phone.close().await;
    // Numbers go on after a restart: a new mutation is not taken for an old one.
    let phone = site.offline_phone("p").await;
    assert!(
        phone
            .write("updateNote", json!({ "id": "n", "text": "edited again" }))
            .await
            > create
    );
    assert_eq!(phone.sync().await.pushed, 1);
    assert_eq!(site.records("Note", "text").await["n"]["text"], "edited again");
}

#[tokio::test]
async fn replicas_outlive_a_restart_of_the_server() {
    let mut site = Site::new().await;
    let (a, b) = (site.phone("a").await, site.phone("b").await);
    a.write("createNote", json!({ "id": "1", "text": "before" })).await;
    b.until_data(TEXTS, |data| data["listNotes"]["items"].as_array().unwrap().len() == 1)
        .await;
    site.stop().await;
    a.until(|status| matches!(status.link, LinkStatus::Waiting | LinkStatus::Opening))
        .await;
    // Local life goes on.
    a.write("createNote", json!({ "id": "2", "text": "meanwhile, A" }))
        .await;
    b.write("updateNote", json!({ "id": "1", "severity": "INFO" })).await;
    assert_eq!(a.ids("Note").await, ["1", "2"]);
    site.start().await;
    for phone in [&a, &b] {
        // As an app does when the system reports a network: the back-off is cut short.
        phone.client.set_online(true).await.unwrap();
        phone
            .until(|status| status.pending == 0 && status.link == LinkStatus::Live)
            .await;
    }
    let truth = site.records("Note", "text severity _version").await;
    assert_eq!(truth.len(), 2);
    assert_eq!(
        truth["1"],
        json!({ "id": "1", "text": "before", "severity": "INFO", "_version": 2 })
    );
    for phone in [&a, &b] {
        let all = "{ listNotes { items { id text severity _version } } }";
        phone
            .until_data(all, |data| {
                tombolo_e2e::phone::by_id(&data["listNotes"]["items"]) == truth
            })
            .await;
    }
}

#[tokio::test]
async fn a_replica_comes_back_by_itself_after_a_restart_of_the_server() {
    let mut site = Site::new().await;
    let phone = site.phone("p").await;
    phone.settled().await;
    site.stop().await;
    phone
        .write("createNote", json!({ "id": "1", "text": "meanwhile" }))
        .await;
    site.start().await;
    phone
        .until(|status| status.pending == 0 && status.link == LinkStatus::Live)
        .await;
    assert_eq!(site.records("Note", "").await.len(), 1);
}

#[tokio::test]
async fn a_wrong_key_pauses_the_link_and_a_new_one_goes_on() {
    let site = Site::new().await;
    let phone = Phone::open(site.builder("p").api_key("not that one"), site.replica("p")).await;
    let mut events = phone.client.events();
    let status = phone.until(|status| status.link == LinkStatus::Paused).await;
    assert_eq!(status.last_error.unwrap().code, "unauthorized");
    // Local life goes on, and nothing is given up.
    phone
        .write("createNote", json!({ "id": "n", "text": "still written" }))
        .await;
    assert_eq!(phone.ids("Note").await, ["n"]);
    let error = phone.client.sync_once(PATIENCE).await.unwrap_err();
    assert!(error.needs_sign_in() && error.code() == "unauthorized", "{error}");
    assert_eq!(phone.outbox().await.len(), 1);
    assert_eq!(site.records("Note", "").await.len(), 0);
    let told = tombolo_e2e::patiently(async { while events.recv().await.unwrap() != tombolo::Event::NeedToken {} });
    told.await;

    phone.client.set_api_key(KEY).await.unwrap();
    phone.settled().await;
    assert_eq!(site.records("Note", "text").await["n"]["text"], "still written");
}

#[tokio::test]
async fn a_key_that_is_withdrawn_pauses_at_the_next_link_and_keeps_the_queue() {
    let mut site = Site::new().await;
    let phone = site.phone("p").await;
    phone.settled().await;
    site.stop().await;
    phone.write("createNote", json!({ "id": "n", "text": "unsent" })).await;
    let other = tombolo_server::auth::ApiKey::from_clear("rotated", "another key for the tests");
    site.try_start_with(|config| config.api_keys = vec![other])
        .await
        .unwrap();
    phone.until(|status| status.link == LinkStatus::Paused).await;
    assert_eq!(phone.outbox().await.len(), 1);
    phone.client.set_api_key("another key for the tests").await.unwrap();
    phone.settled().await;
    assert!(phone.outbox().await.is_empty());
}

fn by_http(site: &Site, name: &str) -> tombolo::Builder {
    let endpoint = Endpoint::parse(&site.url()).unwrap();
    Client::builder()
        .schema(SCHEMA)
        .path(site.replica(name))
        .transport(Http::new(endpoint))
        .api_key(KEY)
        .offline(true)
}

#[tokio::test]
async fn where_only_http_gets_through_a_round_of_sync_does_all_the_same() {
    let site = Site::new().await;
    for i in 0..30 {
        site.write("createFlight", json!({ "id": format!("f{i:02}"), "carrier": "UA" }))
            .await;
    }
    let a = Phone::open(by_http(&site, "a"), site.replica("a")).await;
    let b = Phone::open(by_http(&site, "b"), site.replica("b")).await;
    a.write("createNote", json!({ "id": "n", "text": "over HTTP" })).await;
    let report = a.sync().await;
    assert_eq!(report.pushed, 1);
    assert_eq!(a.ids("Flight").await.len(), 30);
    b.sync().await;
    b.write("updateNote", json!({ "id": "n", "done": true })).await;
    b.sync().await;
    a.sync().await;
    assert_eq!(
        a.records("Note", "text done").await,
        site.records("Note", "text done").await
    );
    assert_eq!(a.records("Note", "done").await["n"]["done"], true);
    assert!(a.outbox().await.is_empty() && b.outbox().await.is_empty());
}

#[tokio::test]
async fn without_a_server_a_round_of_sync_says_what_is_left_and_is_no_error() {
    let mut site = Site::new().await;
    let phone = site.offline_phone("p").await;
    phone.write("createNote", json!({ "id": "n", "text": "patient" })).await;
    site.stop().await;
    let report = phone
        .client
        .sync_once(std::time::Duration::from_millis(300))
        .await
        .unwrap();
    assert_eq!((report.pushed, report.pending, report.up_to_date), (0, 1, false));
    assert!(report.trouble.is_some_and(|words| !words.is_empty()));
    site.start().await;
    assert_eq!(phone.sync().await.pushed, 1);
}
