//! Replicas over MQTT: both versions, over TCP and WebSocket, beside replicas on the WebSocket of old.

use serde_json::json;
use tombolo::transport::mqtt::{Mqtt, MqttVersion};
use tombolo::{Builder, LinkStatus};
use tombolo_e2e::{KEY, Phone, SCHEMA, Site, patiently};

const VERSIONS: [MqttVersion; 2] = [MqttVersion::V3_1_1, MqttVersion::V5];

async fn site() -> Site {
    Site::with(SCHEMA, |config| config.mqtt.listen = Some("127.0.0.1:0".to_owned())).await
}

/// Every way there is.
fn ways(site: &Site) -> Vec<(String, MqttVersion)> {
    let urls = [
        format!("mqtt://{}", site.mqtt_address()),
        format!("ws://{}/mqtt", site.address()),
    ];
    VERSIONS
        .into_iter()
        .flat_map(|version| urls.clone().map(|url| (url, version)))
        .collect()
}

fn over(site: &Site, name: &str, (url, version): &(String, MqttVersion)) -> Builder {
    site.builder(name)
        .transport(Mqtt::new(url).unwrap().with_version(*version))
}

#[tokio::test]
async fn a_replica_over_mqtt_and_one_over_the_websocket_come_together() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let (here, there) = (format!("here{at}"), format!("there{at}"));
        let a = Phone::open(over(&site, &here, way), site.replica(&here)).await;
        let b = site.phone(&there).await;
        a.settled().await;
        b.settled().await;
        let id = format!("n{at}");
        a.write("createNote", json!({ "id": id, "text": "from MQTT" })).await;
        b.until_data("{ listNotes(limit: 1000) { items { id text } } }", |data| {
            data.to_string()
                .contains(&format!(r#"{{"id":"{id}","text":"from MQTT"}}"#))
        })
        .await;
        b.write("updateNote", json!({ "id": id, "text": "from the socket" }))
            .await;
        a.until_data("{ listNotes(limit: 1000) { items { id text } } }", |data| {
            data.to_string()
                .contains(&format!(r#"{{"id":"{id}","text":"from the socket"}}"#))
        })
        .await;
        a.settled().await;
        b.settled().await;
        assert_eq!(a.ids("Note").await, b.ids("Note").await, "{way:?}");
    }
}

#[tokio::test]
async fn a_queue_goes_out_over_mqtt_in_order_and_once_though_the_server_ends_midway() {
    let mut site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let name = format!("queue{at}");
        let phone = Phone::open(over(&site, &name, way).offline(true), site.replica(&name)).await;
        phone.write("createNote", json!({ "id": name, "text": "0" })).await;
        for i in 1..=300 {
            phone
                .write("createNote", json!({ "id": format!("{name}-{i}"), "text": "x" }))
                .await;
        }
        phone.client.set_online(true).await.unwrap();
        patiently(async {
            while phone.client.status().borrow().pending > 200 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        site.stop().await;
        site.start().await;
        phone.settled().await;
        let status = phone.client.status().borrow().clone();
        assert_eq!((status.pending, status.rejected), (0, 0), "{way:?}");
        let own = format!(
            "{{ listNotes(limit: 1000, filter: {{ id: {{ beginsWith: \"{name}\" }} }}) {{ items {{ id _version }} }} }}"
        );
        let all = site.ask(&own, json!({})).await;
        let items = all["data"]["listNotes"]["items"].as_array().unwrap();
        assert_eq!(items.len(), 301, "{way:?}");
        assert!(items.iter().all(|item| item["_version"] == 1), "{way:?}");
    }
}

#[tokio::test]
async fn the_way_may_change_in_mid_queue() {
    let site = site().await;
    let ways = ways(&site);
    // The same file, now by one way and now by another, with mutations pending at each change.
    let mut made = 0;
    for round in 0..6 {
        let builder = match round % 3 {
            0 => over(&site, "wanders", &ways[0]),
            1 => site.builder("wanders"),
            _ => over(&site, "wanders", &ways[3]),
        };
        let phone = Phone::open(builder.offline(true), site.replica("wanders")).await;
        for _ in 0..50 {
            phone
                .write("createNote", json!({ "id": format!("w{made:03}"), "text": "x" }))
                .await;
            made += 1;
        }
        phone.client.set_online(true).await.unwrap();
        patiently(async {
            while phone.client.status().borrow().pending > 40 {
                tokio::task::yield_now().await;
            }
        })
        .await;
        phone.client.close().await;
    }
    let phone = Phone::open(over(&site, "wanders", &ways[2]), site.replica("wanders")).await;
    phone.settled().await;
    let all = site
        .ask("{ listNotes(limit: 1000) { items { id _version } } }", json!({}))
        .await;
    let items = all["data"]["listNotes"]["items"].as_array().unwrap();
    assert_eq!(items.len(), made);
    assert!(items.iter().all(|item| item["_version"] == 1));
    assert_eq!(phone.client.status().borrow().rejected, 0);
}

#[tokio::test]
async fn a_wrong_key_over_mqtt_asks_for_another_and_goes_on_with_it() {
    let site = site().await;
    for (at, way) in ways(&site).iter().enumerate() {
        let name = format!("wrong{at}");
        let phone = Phone::open(over(&site, &name, way).api_key("wrong"), site.replica(&name)).await;
        phone.write("createNote", json!({ "id": name, "text": "x" })).await;
        patiently(async {
            while phone.client.status().borrow().link != LinkStatus::Paused {
                tokio::task::yield_now().await;
            }
        })
        .await;
        phone.client.set_api_key(KEY).await.unwrap();
        phone.settled().await;
        let note = site
            .ask(&format!("{{ getNote(id: \"{name}\") {{ text }} }}"), json!({}))
            .await;
        assert_eq!(note["data"]["getNote"]["text"], "x", "{way:?}");
    }
}

#[tokio::test]
async fn what_the_server_does_not_take_for_its_size_is_told_and_kept() {
    let site = Site::with(SCHEMA, |config| {
        config.mqtt.listen = Some("127.0.0.1:0".to_owned());
        config.limits.body_bytes_max = 20_000;
    })
    .await;
    let way = (format!("mqtt://{}", site.mqtt_address()), MqttVersion::V5);
    let phone = Phone::open(over(&site, "large", &way), site.replica("large")).await;
    phone
        .write("createNote", json!({ "id": "large", "text": "x".repeat(30_000) }))
        .await;
    patiently(async {
        loop {
            let status = phone.client.status().borrow().clone();
            if let Some(error) = status.last_error {
                assert_eq!(error.code, "protocol");
                assert!(error.message.contains("20000"), "{}", error.message);
                assert_eq!(status.pending, 1);
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
}
