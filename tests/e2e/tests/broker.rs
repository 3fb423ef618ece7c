//! Replicas behind an outside broker (Debian's Mosquitto), beside replicas on the WebSocket.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::json;
use tombolo::LinkStatus;
use tombolo::transport::mqtt::{Mqtt, MqttVersion};
use tombolo_e2e::{KEY, Phone, SCHEMA, Site, patiently};
use tombolo_server::mqtt::broker::BrokerConfig;

/// A broker on a port of its own; ends with the test.
struct Broker {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Broker {
    async fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .unwrap()
            .port();
        let config = folder.path().join("mosquitto.conf");
        std::fs::write(&config, format!("listener {port} 127.0.0.1\nallow_anonymous true\n")).unwrap();
        // Debian has it where not everybody's PATH leads.
        let path = format!("{}:/usr/sbin", std::env::var("PATH").unwrap_or_default());
        let child = Command::new("mosquitto")
            .env("PATH", path)
            .arg("-c")
            .arg(&config)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("Debian's mosquitto is installed");
        let broker = Self {
            child,
            port,
            _folder: folder,
        };
        while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        broker
    }

    fn url(&self) -> String {
        format!("mqtt://127.0.0.1:{}", self.port)
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _reaped = self.child.wait();
    }
}

async fn site(broker: &Broker) -> Site {
    let url = broker.url();
    Site::with(SCHEMA, |config| config.mqtt.broker = Some(BrokerConfig::at(url))).await
}

async fn phone(site: &Site, broker: &Broker, name: &str, version: MqttVersion) -> Phone {
    let through = Mqtt::new(&broker.url())
        .unwrap()
        .with_version(version)
        .through_broker("fleet", "any");
    Phone::open(site.builder(name).transport(through), site.replica(name)).await
}

#[tokio::test]
async fn a_replica_behind_a_broker_and_one_on_the_websocket_come_together() {
    let broker = Broker::start().await;
    let site = site(&broker).await;
    for (at, version) in [MqttVersion::V3_1_1, MqttVersion::V5].into_iter().enumerate() {
        let a = phone(&site, &broker, &format!("here{at}"), version).await;
        let b = site.phone(&format!("there{at}")).await;
        let id = format!("n{at}");
        a.write("createNote", json!({ "id": id, "text": "through a broker" }))
            .await;
        b.until_data("{ listNotes(limit: 1000) { items { id text } } }", |data| {
            data.to_string()
                .contains(&format!(r#"{{"id":"{id}","text":"through a broker"}}"#))
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
        assert_eq!(a.ids("Note").await, b.ids("Note").await, "{version:?}");
    }
}

#[tokio::test]
async fn a_queue_goes_out_through_a_broker_in_order_and_once_though_the_server_ends_midway() {
    let broker = Broker::start().await;
    let mut site = site(&broker).await;
    let through = Mqtt::new(&broker.url()).unwrap().through_broker("fleet", "any");
    let builder = site.builder("queue").transport(through).offline(true);
    let phone = Phone::open(builder, site.replica("queue")).await;
    for i in 0..=300 {
        phone
            .write("createNote", json!({ "id": format!("q{i}"), "text": "x" }))
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
    assert_eq!((status.pending, status.rejected), (0, 0));
    let all = site
        .ask("{ listNotes(limit: 1000) { items { id _version } } }", json!({}))
        .await;
    let items = all["data"]["listNotes"]["items"].as_array().unwrap();
    assert_eq!(items.len(), 301);
    assert!(items.iter().all(|item| item["_version"] == 1));
    // It hears of others again, too.
    site.write("createNote", json!({ "id": "theirs", "text": "x" })).await;
    phone
        .until_data("{ getNote(id: \"theirs\") { id } }", |data| !data["getNote"].is_null())
        .await;
}

#[tokio::test]
async fn a_wrong_credential_is_the_servers_to_refuse() {
    let broker = Broker::start().await;
    let site = site(&broker).await;
    let through = Mqtt::new(&broker.url()).unwrap().through_broker("fleet", "any");
    let builder = site.builder("wrong").transport(through).api_key("wrong");
    let phone = Phone::open(builder, site.replica("wrong")).await;
    patiently(async {
        while phone.client.status().borrow().link != LinkStatus::Paused {
            tokio::task::yield_now().await;
        }
    })
    .await;
    phone.client.set_api_key(KEY).await.unwrap();
    phone.settled().await;
}
