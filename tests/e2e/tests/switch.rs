//! A network that lets no WebSocket through, then does again; and an app that changes the transport of an open client.

use std::time::Duration;

use serde_json::json;
use tombolo::LinkStatus;
use tombolo::transport::mqtt::{Mqtt, MqttVersion};
use tombolo::transport::{Endpoint, Fallback, Network, fallback};
use tombolo_e2e::gate::{Gate, Passage};
use tombolo_e2e::{KEY, Phone, SCHEMA, Site};

async fn site() -> Site {
    Site::with(SCHEMA, |config| config.mqtt.listen = Some("127.0.0.1:0".to_owned())).await
}

fn mqtt(address: &str) -> Mqtt {
    Mqtt::new(&format!("mqtt://{address}")).unwrap()
}

fn network(url: &str) -> Network {
    Network::new(Endpoint::parse(url).unwrap())
}

async fn write_many(phone: &Phone, name: &str, many: std::ops::Range<usize>) {
    for i in many {
        phone
            .write("createNote", json!({ "id": format!("{name}{i:04}"), "text": "x" }))
            .await;
    }
}

/// Waits until all is settled, and says by what.
async fn settles_by(phone: &Phone, name: &str) {
    phone
        .until(|status| status.up_to_date && status.pending == 0 && status.transport == Some(name))
        .await;
}

/// The server has `made` notes, each changed once, and nothing was refused.
async fn all_once(site: &Site, phone: &Phone, made: usize) {
    let notes = site.records("Note", "_version").await;
    assert_eq!(notes.len(), made, "lost");
    assert!(notes.values().all(|note| note["_version"] == 1), "twice: {notes:?}");
    let status = phone.client.status().borrow().clone();
    assert_eq!((status.pending, status.rejected, status.wedged), (0, 0, 0));
    assert_eq!(phone.ids("Note").await.len(), made);
}

#[tokio::test]
async fn where_the_websocket_is_blocked_the_queue_goes_over_mqtt() {
    for (at, passage) in [
        Passage::Shut,
        Passage::NoUpgrade(405),
        Passage::NoUpgrade(407),
        Passage::NoUpgrade(503),
        Passage::CutUpgrade,
        Passage::CutFrames,
    ]
    .into_iter()
    .enumerate()
    {
        let site = site().await;
        let gate = Gate::start(site.address()).await;
        gate.set(passage);
        let name = format!("blocked{at}");
        let builder = site
            .builder(&name)
            .url(gate.url())
            .fallback(mqtt(site.mqtt_address()))
            .offline(true);
        let phone = Phone::open(builder, site.replica(&name)).await;
        write_many(&phone, "n", 0..120).await;
        phone.client.set_online(true).await.unwrap();
        settles_by(&phone, "mqtt").await;
        all_once(&site, &phone, 120).await;
        // What others write comes live.
        site.write("createNote", json!({ "id": "theirs", "text": "t" })).await;
        phone
            .until_data("{ getNote(id: \"theirs\") { text } }", |data| {
                !data["getNote"].is_null()
            })
            .await;
        assert_eq!(phone.client.status().borrow().transport, Some("mqtt"), "{passage:?}");
        phone.close().await;
    }
}

#[tokio::test]
async fn blocked_and_opened_again_in_mid_queue_it_goes_back_to_the_first_choice_each_time() {
    let site = site().await;
    let gate = Gate::start(site.address()).await;
    let timing = fallback::Timing {
        return_after: Duration::from_millis(200),
        ..fallback::Timing::default()
    };
    let ways = Fallback::new(network(&gate.url()))
        .or(mqtt(site.mqtt_address()))
        .with_timing(timing);
    let phone = Phone::open(site.builder("wanders").transport(ways), site.replica("wanders")).await;
    settles_by(&phone, "websocket").await;
    let mut made = 0;
    for round in 0..5 {
        write_many(&phone, "n", made..made + 40).await;
        gate.set(if round % 2 == 0 {
            Passage::NoUpgrade(400)
        } else {
            Passage::CutUpgrade
        });
        write_many(&phone, "n", made + 40..made + 80).await;
        settles_by(&phone, "mqtt").await;
        write_many(&phone, "n", made + 80..made + 120).await;
        gate.set(Passage::Open);
        write_many(&phone, "n", made + 120..made + 160).await;
        made += 160;
        settles_by(&phone, "websocket").await;
        all_once(&site, &phone, made).await;
    }
    phone.close().await;
}

#[tokio::test]
async fn a_refused_key_is_shown_to_the_first_way_alone() {
    let site = site().await;
    let (socket, other) = (
        Gate::start(site.address()).await,
        Gate::start(site.mqtt_address()).await,
    );
    let builder = site
        .builder("wrong")
        .url(socket.url())
        .fallback(mqtt(other.address()))
        .api_key("wrong");
    let phone = Phone::open(builder, site.replica("wrong")).await;
    write_many(&phone, "n", 0..1).await;
    phone.until(|status| status.link == LinkStatus::Paused).await;
    assert_eq!((socket.connections(), other.connections()), (1, 0));
    phone.client.set_api_key(KEY).await.unwrap();
    settles_by(&phone, "websocket").await;
    assert_eq!(other.connections(), 0);
    all_once(&site, &phone, 1).await;
}

#[tokio::test]
async fn the_app_changes_the_transport_of_an_open_client_in_mid_queue() {
    let site = site().await;
    let through_http = format!("ws://{}/mqtt", site.address());
    let phone = site.phone("changes").await;
    let mut made = 0;
    for round in 0..16 {
        write_many(&phone, "n", made..made + 30).await;
        made += 30;
        if round % 5 == 4 {
            phone.settled().await;
        }
        // The queue is on its way by the one when the other is chosen.
        match round % 4 {
            0 => phone.client.set_transport(mqtt(site.mqtt_address())).await,
            1 => phone.client.set_transport(network(&site.url())).await,
            2 => {
                let old = mqtt(site.mqtt_address()).with_version(MqttVersion::V3_1_1);
                phone.client.set_transport(old).await
            }
            _ => phone.client.set_transport(Mqtt::new(&through_http).unwrap()).await,
        }
        .unwrap();
    }
    settles_by(&phone, "mqtt-websocket").await;
    all_once(&site, &phone, made).await;
    // One that comes new sees the same.
    let fresh = site.phone("fresh").await;
    settles_by(&fresh, "websocket").await;
    assert_eq!(
        fresh.records("Note", "_version").await,
        phone.records("Note", "_version").await
    );
}

#[tokio::test]
async fn a_transport_that_carries_nothing_is_changed_for_one_that_does_with_the_queue_in_flight() {
    let site = site().await;
    let gate = Gate::start(site.address()).await;
    let phone = Phone::open(site.builder("stuck").url(gate.url()), site.replica("stuck")).await;
    settles_by(&phone, "websocket").await;
    gate.set(Passage::Shut);
    write_many(&phone, "n", 0..50).await;
    phone.until(|status| status.link == LinkStatus::Waiting).await;
    assert_eq!(phone.client.status().borrow().transport, None);
    phone.client.set_transport(mqtt(site.mqtt_address())).await.unwrap();
    settles_by(&phone, "mqtt").await;
    all_once(&site, &phone, 50).await;
}

#[tokio::test]
async fn a_server_that_restarts_finds_the_replica_again_by_either_way() {
    let mut site = site().await;
    let gate = Gate::start(site.address()).await;
    gate.set(Passage::NoUpgrade(405));
    let builder = site
        .builder("restart")
        .url(gate.url())
        .fallback(mqtt(site.mqtt_address()));
    let phone = Phone::open(builder, site.replica("restart")).await;
    let mut made = 0;
    for round in 0..3 {
        write_many(&phone, "n", made..made + 60).await;
        made += 60;
        site.stop().await;
        write_many(&phone, "n", made..made + 20).await;
        made += 20;
        gate.set(if round == 1 {
            Passage::Open
        } else {
            Passage::NoUpgrade(405)
        });
        site.start().await;
        phone.settled().await;
        all_once(&site, &phone, made).await;
    }
}
