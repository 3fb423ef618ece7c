//! A client that knows MQTT and GraphQL and nothing of ours: `rumqttc` with the frames and the envelope of the pages
//! `docs/mqtt.md` and `docs/protocol.md`, 3.1.1 and 5, over TCP, WebSocket and TLS.

mod client;

use client::{Carrier, Client, Heard, Version, Way};
use serde_json::{Value as Json, json};
use tombolo_e2e::{SCHEMA, Site};

const CREATE: &str = "mutation($input: CreateNoteInput!) { createNote(input: $input) { id _version } }";
const UPDATE: &str = "mutation($input: UpdateNoteInput!) { updateNote(input: $input) { id text _version } }";
const REPLICA: &str = "6f1c2f0e-4d57-4c1c-9d0a-0c7a5a1f4b11";

async fn site() -> Site {
    Site::with(SCHEMA, |config| config.mqtt.listen = Some("127.0.0.1:0".to_owned())).await
}

/// Both versions over TCP and over the WebSocket.
fn ways(site: &Site) -> Vec<Way> {
    [Version::V4, Version::V5]
        .into_iter()
        .flat_map(|version| {
            [
                Way::new(version, Carrier::Tcp, site.mqtt_address()),
                Way::new(version, Carrier::WebSocket, site.address()),
            ]
        })
        .collect()
}

fn create(id: &str) -> Json {
    json!({ "query": CREATE, "variables": { "input": { "id": id, "text": "t" } } })
}

fn update(id: &str, text: &str) -> Json {
    json!({ "query": UPDATE, "variables": { "input": { "id": id, "text": text } } })
}

fn query(text: &str) -> Json {
    json!({ "query": text })
}

/// The request under a number of [`REPLICA`]'s.
fn numbered(mut request: Json, number: u64) -> Json {
    request["extensions"] = json!({ "tombolo": { "replica": REPLICA, "number": number } });
    request
}

fn outcomes(answer: &Json) -> &Json {
    &answer["extensions"]["tombolo"]["outcomes"]
}

async fn version_of(site: &Site, id: &str) -> Json {
    let note = site
        .ask(&format!("{{ getNote(id: \"{id}\") {{ text _version }} }}"), json!({}))
        .await;
    note["data"]["getNote"]["_version"].clone()
}

#[tokio::test]
async fn a_query_and_a_mutation_are_answered_and_completed() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let id = format!("n{at}");
        let mut client = Client::open(way, &format!("phone{at}")).await;
        let made = client.answer("a", &create(&id)).await;
        assert_eq!(made, json!({ "data": { "createNote": { "id": id, "_version": 1 } } }));
        let read = client
            .answer("b", &query(&format!("{{ getNote(id: \"{id}\") {{ text }} }}")))
            .await;
        assert_eq!(read, json!({ "data": { "getNote": { "text": "t" } } }), "{way:?}");
    }
}

#[tokio::test]
async fn the_envelope_sent_twice_has_one_effect_and_one_outcome() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let (id, number) = (format!("n{at}"), 10 * at as u64 + 1);
        let mut client = Client::open(way, &format!("phone{at}")).await;
        client.answer("a", &numbered(create(&id), number)).await;
        let first = client.answer("b", &numbered(update(&id, "once"), number + 1)).await;
        let again = client.answer("c", &numbered(update(&id, "once"), number + 1)).await;
        assert_eq!(outcomes(&first)[0]["outcome"], "applied", "{first}");
        assert_eq!(outcomes(&first), outcomes(&again), "{way:?}");
        assert_eq!(version_of(&site, &id).await, 2, "{way:?}");
    }
}

#[tokio::test]
async fn without_an_envelope_what_is_sent_twice_takes_effect_twice() {
    let site = site().await;
    let way = &ways(&site)[0];
    let mut client = Client::open(way, "phone").await;
    client.answer("a", &create("n")).await;
    client.answer("b", &update("n", "x")).await;
    client.answer("c", &update("n", "x")).await;
    assert_eq!(version_of(&site, "n").await, 3);
}

#[tokio::test]
async fn a_mutation_whose_connection_was_cut_before_its_answer_is_sent_again_and_counts_once() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let device = format!("phone{at}");
        for round in 0..8 {
            let (id, number) = (format!("n{at}-{round}"), 1000 * at as u64 + round + 1);
            let mut cut = Client::open(way, &device).await;
            cut.ask("a", &numbered(create(&id), number));
            if round % 2 == 0 {
                // It is in the server's queue; the answer is lost with the connection.
                cut.until_acked().await;
            }
            cut.cut().await;
            let mut client = Client::open(way, &device).await;
            let answer = client.answer("a", &numbered(create(&id), number)).await;
            assert_eq!(outcomes(&answer)[0]["outcome"], "applied", "{answer}");
            assert_eq!(version_of(&site, &id).await, 1, "{way:?}");
        }
    }
}

#[tokio::test]
async fn one_envelope_from_two_connections_at_once_has_one_effect() {
    let site = site().await;
    let ways = ways(&site);
    let mut clients = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        clients.push(Client::open(way, &format!("phone{at}")).await);
    }
    clients[0].answer("a", &numbered(create("n"), 1)).await;
    for number in 2..30 {
        for client in &mut clients {
            client.ask("u", &numbered(update("n", &format!("{number}")), number));
        }
        let mut said = Vec::new();
        for client in &mut clients {
            said.push(outcomes(&client.next("u").await).clone());
            client.complete("u").await;
        }
        assert!(said.iter().all(|outcome| *outcome == said[0]), "{said:?}");
        assert_eq!(version_of(&site, "n").await, number);
    }
}

#[tokio::test]
async fn many_numbered_mutations_in_flight_are_answered_each_and_stand_in_order() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let mut client = Client::open(way, &format!("phone{at}")).await;
        let (id, base) = (format!("n{at}"), 1000 * (at as u64 + 1));
        client.answer("make", &numbered(create(&id), base)).await;
        for i in 1..=200 {
            client.ask(&format!("u{i}"), &numbered(update(&id, &format!("text {i}")), base + i));
        }
        for i in 1..=200 {
            let answer = client.next(&format!("u{i}")).await;
            assert_eq!(outcomes(&answer)[0]["number"], base + i);
            client.complete(&format!("u{i}")).await;
        }
        let note = site
            .ask(&format!("{{ getNote(id: \"{id}\") {{ text _version }} }}"), json!({}))
            .await;
        let expected = json!({ "text": "text 200", "_version": 201 });
        assert_eq!(note["data"]["getNote"], expected, "{way:?}");
    }
}

#[tokio::test]
async fn a_transaction_applies_whole_or_not_at_all_and_once() {
    let site = site().await;
    let both = "mutation($a: CreateNoteInput!, $b: CreateNoteInput!) { a: createNote(input: $a) { id } b: createNote(input: $b) { id } }";
    for (at, way) in ways(&site).iter().enumerate() {
        let mut client = Client::open(way, &format!("phone{at}")).await;
        let base = 100 * (at as u64 + 1);
        let request = |a: &str, b: &str, number: u64| {
            json!({ "query": both,
                "variables": { "a": { "id": a, "text": "t" }, "b": { "id": b, "text": "t" } },
                "extensions": { "tombolo": { "replica": REPLICA, "number": number, "atomic": true } } })
        };
        let (one, two, three) = (format!("one{at}"), format!("two{at}"), format!("three{at}"));
        let done = client.answer("a", &request(&one, &two, base)).await;
        let again = client.answer("b", &request(&one, &two, base)).await;
        assert_eq!(outcomes(&done), outcomes(&again));
        assert_eq!(outcomes(&done)[1]["number"], base + 1, "{done}");
        // The second of these exists.
        let refused = client.answer("c", &request(&three, &two, base + 10)).await;
        assert!(
            outcomes(&refused)
                .as_array()
                .unwrap()
                .iter()
                .all(|o| o["outcome"] == "rejected")
        );
        assert_eq!(version_of(&site, &three).await, Json::Null, "{way:?}");
        assert_eq!(version_of(&site, &two).await, 1);
    }
}

#[tokio::test]
async fn what_depends_on_a_rejected_mutation_is_rejected() {
    let site = site().await;
    let mut client = Client::open(&ways(&site)[1], "phone").await;
    let refused = client.answer("a", &numbered(update("missing", "x"), 1)).await;
    assert_eq!(outcomes(&refused)[0]["outcome"], "rejected");
    let mut dependent = numbered(create("n"), 2);
    dependent["extensions"]["tombolo"]["dependsOn"] = json!([1]);
    let answer = client.answer("b", &dependent).await;
    assert_eq!(outcomes(&answer)[0]["reason"]["code"], "DependencyRejected", "{answer}");
    assert_eq!(version_of(&site, "n").await, Json::Null);
}

#[tokio::test]
async fn a_live_subscription_hears_what_others_write_until_it_is_completed() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let mut listens = Client::open(way, &format!("listens{at}")).await;
        let mut writes = Client::open(way, &format!("writes{at}")).await;
        listens.ask("s", &query("subscription { onCreateNote { id text } }"));
        // Answered in order: when this is, the subscription stands.
        listens.answer("q", &query("{ __typename }")).await;
        for i in 0..3 {
            let id = format!("n{at}-{i}");
            writes.answer("c", &create(&id)).await;
            let heard = listens.next("s").await;
            assert_eq!(
                heard["data"]["onCreateNote"],
                json!({ "id": id, "text": "t" }),
                "{way:?}"
            );
        }
        listens.stop("s");
        listens.answer("q", &query("{ __typename }")).await;
        writes.answer("c", &create(&format!("n{at}-late"))).await;
        listens.answer("q", &query("{ __typename }")).await;
        assert_eq!(listens.waiting("s"), 0, "nothing after `complete`");
    }
}

/// What a client knows of a model that it follows: rows by id, and how far it is.
#[derive(Default)]
struct Followed {
    rows: std::collections::BTreeMap<String, (u64, bool)>,
    cursor: Option<String>,
}

impl Followed {
    fn scope(&self) -> Json {
        match &self.cursor {
            Some(cursor) => json!({ "model": "Note", "cursor": cursor }),
            None => json!({ "model": "Note" }),
        }
    }

    /// Takes in a batch; whether it was the newest word.
    fn take(&mut self, batch: &Json) -> bool {
        let fields: Vec<&str> = batch["fields"]
            .as_array()
            .unwrap()
            .iter()
            .map(|f| f.as_str().unwrap())
            .collect();
        let at = |name: &str| fields.iter().position(|field| *field == name).unwrap();
        for row in batch["rows"].as_array().unwrap() {
            let id = row[at("id")].as_str().unwrap().to_owned();
            let (version, deleted) = (row[at("_version")].as_u64().unwrap(), row[at("_deleted")] == true);
            let before = self.rows.insert(id, (version, deleted));
            assert!(before.is_none_or(|(old, _)| old <= version), "goes backwards: {row}");
        }
        self.cursor = Some(batch["cursor"].as_str().unwrap().to_owned());
        batch["upToDate"] == true
    }

    fn live(&self) -> Vec<&str> {
        self.rows
            .iter()
            .filter(|(_, (_, deleted))| !deleted)
            .map(|(id, _)| id.as_str())
            .collect()
    }
}

const BATCH: &str = "{ model cursor upToDate reset fields rows left }";

fn page(scope: &Json, rows: u64) -> Json {
    json!({ "query": format!("query($scope: TomboloScopeInput!, $n: Int) {{ tomboloChanges(scope: $scope, limit: $n) {BATCH} }}"),
        "variables": { "scope": scope, "n": rows } })
}

fn follow(scope: &Json) -> Json {
    json!({ "query": format!("subscription($scopes: [TomboloScopeInput!]!) {{ tomboloChanges(scopes: $scopes) {BATCH} }}"),
        "variables": { "scopes": [scope] },
        "extensions": { "tombolo": { "replica": REPLICA } } })
}

#[tokio::test]
async fn the_feed_is_followed_by_pages_and_live_over_lost_connections_without_a_gap() {
    let site = site().await;
    for i in 0..25 {
        site.write("createNote", json!({ "id": format!("n{i:02}"), "text": "t" }))
            .await;
    }
    for (at, way) in ways(&site).iter().enumerate() {
        let device = format!("follows{at}");
        let mut followed = Followed::default();
        let mut client = Client::open(way, &device).await;
        loop {
            let answer = client.answer("p", &page(&followed.scope(), 7)).await;
            assert!(answer["data"]["tomboloChanges"]["rows"].as_array().unwrap().len() <= 7);
            if followed.take(&answer["data"]["tomboloChanges"]) {
                break;
            }
        }
        for round in 0..4 {
            client.ask("feed", &follow(&followed.scope()));
            // Live: somebody writes and somebody deletes.
            let id = format!("w{at}-{round}");
            site.write("createNote", json!({ "id": id, "text": "live" })).await;
            while !followed.live().contains(&id.as_str()) {
                followed.take(&client.next("feed").await["data"]["tomboloChanges"]);
            }
            client.cut().await;
            // While nobody listens.
            site.write("createNote", json!({ "id": format!("a{at}-{round}"), "text": "away" }))
                .await;
            site.write("deleteNote", json!({ "id": id, "_version": 1 })).await;
            client = Client::open(way, &device).await;
        }
        client.ask("feed", &follow(&followed.scope()));
        let expected: Vec<String> = site.records("Note", "").await.into_keys().collect();
        while followed.live() != expected {
            followed.take(&client.next("feed").await["data"]["tomboloChanges"]);
        }
        assert_eq!(
            followed.rows.values().filter(|(_, deleted)| *deleted).count(),
            4 * (at + 1),
            "{way:?}"
        );
    }
}

#[tokio::test]
async fn the_feed_tells_a_replica_which_of_its_mutations_have_landed() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let mut client = Client::open(way, &format!("phone{at}")).await;
        let number = at as u64 + 1;
        client.ask("feed", &follow(&json!({ "model": "Note" })));
        client.answer("m", &numbered(create(&format!("n{at}")), number)).await;
        loop {
            let batch = client.next("feed").await;
            let landed = batch["extensions"]["tombolo"]["landed"].clone();
            let ours = landed["mutations"].as_array().cloned().unwrap_or_default();
            if ours.iter().any(|one| one["number"] == number) {
                assert_eq!(landed["replica"], REPLICA, "{way:?}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn after_a_restart_of_the_server_the_client_connects_again_and_goes_on() {
    let mut site = site().await;
    let ways = ways(&site);
    let mut clients = Vec::new();
    for (at, way) in ways.iter().enumerate() {
        let mut client = Client::reconnecting(way, &format!("phone{at}")).await;
        client
            .answer("m", &numbered(create(&format!("n{at}")), at as u64 + 1))
            .await;
        clients.push(client);
    }
    site.stop().await;
    site.start().await;
    for (at, client) in clients.iter_mut().enumerate() {
        // The server keeps no sessions: the library connects anew, and the client subscribes anew.
        assert_eq!(client.until_connected().await, Heard::Connected { session: false });
        client.subscribe().await;
        let answer = client
            .answer("again", &numbered(create(&format!("n{at}")), at as u64 + 1))
            .await;
        assert_eq!(outcomes(&answer)[0]["outcome"], "applied");
        assert_eq!(version_of(&site, &format!("n{at}")).await, 1);
    }
}

#[tokio::test]
async fn a_connection_that_only_publishes_is_answered_where_the_device_listens() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let mut listens = Client::open(way, &format!("phone{at}")).await;
        let publishes = Client::connect(way, &format!("phone{at}:pub")).await;
        publishes.ask("a", &create(&format!("n{at}")));
        let heard = listens.next("a").await;
        assert_eq!(heard["data"]["createNote"]["_version"], 1, "{way:?}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_told_in_the_connack() {
    let site = site().await;
    for way in ways(&site) {
        let refused = Client::try_connect(&way, "phone", "wrong").await.map(drop).unwrap_err();
        assert!(refused.contains("BadUserNamePassword"), "{way:?}: {refused}");
    }
}

#[tokio::test]
async fn another_devices_topics_are_refused() {
    let site = site().await;
    for way in ways(&site) {
        let mut client = Client::connect(&way, "mine").await;
        for topic in [
            "tombolo/theirs/response",
            "tombolo/+/response",
            "#",
            "$share/g/tombolo/mine/response",
        ] {
            assert!(!client.try_subscribe(topic).await, "{way:?}: {topic}");
        }
        assert!(client.try_subscribe("tombolo/mine/response").await);
        client.publish(
            "tombolo/theirs/request",
            br#"{"id":"1","type":"subscribe","payload":{"query":"{ __typename }"}}"#,
        );
        let said = client.until_refused().await;
        match way.version {
            Version::V4 => assert!(said.starts_with("ended"), "{said}"),
            Version::V5 => assert!(said.contains("NotAuthorized"), "{said}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_frame_is_told_and_the_connection_goes_on_where_that_is_allowed() {
    let site = site().await;
    for way in ways(&site) {
        let mut client = Client::open(&way, "phone").await;
        client.publish("tombolo/phone/request", b"hello");
        let frame = client.frame(|frame| frame["type"] == "error").await;
        assert_eq!(frame["id"], "", "{frame}");
        let answer = client.answer("q", &query("{ nonsense }")).await;
        assert!(answer["errors"][0]["message"].is_string(), "{answer}");
    }
}

#[tokio::test]
async fn over_tls_on_both_ports() {
    let folder = tempfile::tempdir().unwrap();
    let own = tombolo_server::dev_tls::open(folder.path(), &[], jiff::Timestamp::now()).unwrap();
    let site = Site::with(SCHEMA, |config| {
        config.listen = "127.0.0.1:0".to_owned();
        config.tls = Some(own.files.clone());
        config.mqtt.tls_listen = Some("127.0.0.1:0".to_owned());
    })
    .await;
    let trust = tombolo::transport::tls::client_trusting(&std::fs::read(&own.root).unwrap()).unwrap();
    for (at, version) in [Version::V4, Version::V5].into_iter().enumerate() {
        for (carrier, address) in [
            (Carrier::Tls(trust.clone()), site.mqtts_address()),
            (Carrier::TlsWebSocket(trust.clone()), site.address()),
        ] {
            let way = Way::new(version, carrier, address);
            let mut client = Client::open(&way, "phone").await;
            let number = at as u64 + 1;
            let first = client.answer("a", &numbered(create(&format!("n{at}")), number)).await;
            assert_eq!(outcomes(&first)[0]["outcome"], "applied", "{way:?}: {first}");
            let read = client.answer("b", &query("{ listNotes { items { _version } } }")).await;
            let notes = read["data"]["listNotes"]["items"].as_array().unwrap().clone();
            assert_eq!(notes, vec![json!({ "_version": 1 }); at + 1]);
        }
    }
}
