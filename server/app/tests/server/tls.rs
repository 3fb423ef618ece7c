//! https and wss on the server's own port.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;
use tombolo::transport::tls::client_trusting;
use tombolo_server::dev_tls::{self, OwnCertificate};
use tombolo_server::tls::Certificate;
use tombolo_server::{Config, Running, Server};

use crate::harness::{KEY, SCHEMA, exchange, patiently, request};

async fn secure(own: &OwnCertificate) -> Running {
    let config = Config {
        tls: Some(own.files.clone()),
        ..Config::in_memory(SCHEMA, KEY)
    };
    Server::start(config).await.unwrap()
}

fn trusting(own: &OwnCertificate) -> Arc<ClientConfig> {
    client_trusting(&std::fs::read(&own.root).unwrap()).unwrap()
}

async fn connect(
    server: &Running,
    trust: &Arc<ClientConfig>,
    name: &'static str,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(server.addr).await.unwrap();
    let connector = TlsConnector::from(Arc::clone(trust));
    patiently(connector.connect(ServerName::try_from(name).unwrap(), stream)).await
}

#[tokio::test]
async fn https_and_wss_are_spoken_under_each_of_this_machines_names() {
    let dir = tempfile::tempdir().unwrap();
    let own = dev_tls::open(dir.path(), &[], Timestamp::now()).unwrap();
    let server = secure(&own).await;
    assert!(server.url().starts_with("https://") && server.ws_url().starts_with("wss://"));
    let trust = trusting(&own);
    for name in ["localhost", "127.0.0.1", "::1"] {
        let mut stream = connect(&server, &trust, name).await.unwrap();
        stream.write_all(&request("GET", "/readyz", &[], "")).await.unwrap();
        let mut reply = String::new();
        let _no_close_notify = stream.read_to_string(&mut reply).await;
        assert!(
            reply.starts_with("HTTP/1.1 200") && reply.contains("ready"),
            "{name}: {reply}"
        );
    }
    assert!(
        connect(&server, &trust, "example.com").await.is_err(),
        "a name that is not its own"
    );

    let stream = connect(&server, &trust, "localhost").await.unwrap();
    let mut upgrade = "wss://localhost/graphql/realtime".into_client_request().unwrap();
    let headers = upgrade.headers_mut();
    headers.insert("sec-websocket-protocol", "graphql-ws".parse().unwrap());
    headers.insert("x-api-key", KEY.parse().unwrap());
    let (mut socket, _) = tokio_tungstenite::client_async(upgrade, stream).await.unwrap();
    futures_util::SinkExt::send(&mut socket, Message::text(r#"{"type":"connection_init"}"#))
        .await
        .unwrap();
    let answer = patiently(futures_util::StreamExt::next(&mut socket))
        .await
        .unwrap()
        .unwrap();
    let answer: serde_json::Value = serde_json::from_str(answer.to_text().unwrap()).unwrap();
    assert_eq!(answer["type"], json!("connection_ack"));
}

#[tokio::test]
async fn an_older_sdks_hand_shake_leads_to_wss() {
    let dir = tempfile::tempdir().unwrap();
    let own = dev_tls::open(dir.path(), &[], Timestamp::now()).unwrap();
    let server = secure(&own).await;
    for (proxy, expected) in [(None, "wss://test/mqtt?"), (Some("http"), "ws://test/mqtt?")] {
        let mut headers = vec![
            ("x-api-key", KEY),
            ("content-type", "application/json"),
            ("x-amz-user-agent", "aws-amplify/2.0.1"),
        ];
        headers.extend(proxy.map(|scheme| ("x-forwarded-proto", scheme)));
        let body = json!({"query": "subscription { onCreateTodo { id } }"}).to_string();
        let mut stream = connect(&server, &trusting(&own), "localhost").await.unwrap();
        let asked = request("POST", "/graphql", &headers, &body);
        stream.write_all(&asked).await.unwrap();
        let mut reply = String::new();
        let _no_close_notify = stream.read_to_string(&mut reply).await;
        assert!(reply.contains(&format!("\"url\":\"{expected}")), "{reply}");
    }
}

#[tokio::test]
async fn who_speaks_http_to_it_is_told_what_is_spoken() {
    let dir = tempfile::tempdir().unwrap();
    let own = dev_tls::open(dir.path(), &[], Timestamp::now()).unwrap();
    let server = secure(&own).await;
    let reply = exchange(server.addr, &request("GET", "/readyz", &[], "")).await;
    assert_eq!(reply.status, 400);
    assert!(String::from_utf8_lossy(&reply.body).contains("https://"), "{reply:?}");
    assert_eq!(
        reply.header("content-length"),
        Some(reply.body.len().to_string().as_str())
    );
}

#[tokio::test]
async fn another_certificate_is_in_force_when_its_files_have_come() {
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let own = dev_tls::open(&old, &[], Timestamp::now()).unwrap();
    let next = dev_tls::open(&new, &[], Timestamp::now()).unwrap();
    let certificate = Certificate::open(own.files.clone()).unwrap();
    assert!(!certificate.reload(false).unwrap(), "nothing has changed");

    // Half of it: the one in force stays, and the rest is waited for.
    let text = std::fs::read_to_string(&next.files.cert).unwrap();
    std::fs::write(&own.files.cert, format!("{text}\n")).unwrap();
    assert!(certificate.reload(false).is_err());
    std::fs::write(
        &own.files.key,
        format!("{}\n", std::fs::read_to_string(&next.files.key).unwrap()),
    )
    .unwrap();
    assert!(certificate.reload(false).unwrap());
    assert!(!certificate.reload(false).unwrap());
}

#[cfg(unix)]
#[tokio::test]
async fn a_hangup_brings_another_certificate_without_a_restart() {
    use tokio::signal::unix::{SignalKind, signal};

    // From here on the signal ends nobody, whether the server listens to it already or not.
    let _mine = signal(SignalKind::hangup()).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (old, new) = (dir.path().join("old"), dir.path().join("new"));
    let own = dev_tls::open(&old, &[], Timestamp::now()).unwrap();
    let next = dev_tls::open(&new, &[], Timestamp::now()).unwrap();
    let server = secure(&own).await;
    let (old_trust, new_trust) = (trusting(&own), trusting(&next));
    let mut open = connect(&server, &old_trust, "localhost").await.unwrap();
    assert!(connect(&server, &new_trust, "localhost").await.is_err());
    for (from, to) in [(&next.files.key, &own.files.key), (&next.files.cert, &own.files.cert)] {
        std::fs::copy(from, to).unwrap();
    }
    let hang_up = || {
        let pid = std::process::id().to_string();
        let told = std::process::Command::new("kill")
            .args(["-HUP", &pid])
            .status()
            .unwrap();
        assert!(told.success());
    };
    patiently(async {
        loop {
            hang_up();
            if connect(&server, &new_trust, "localhost").await.is_ok() {
                return;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert!(connect(&server, &old_trust, "localhost").await.is_err());
    // What was open stays open.
    open.write_all(&request("GET", "/healthz", &[], "")).await.unwrap();
    let mut reply = String::new();
    let _no_close_notify = open.read_to_string(&mut reply).await;
    assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
}

#[tokio::test]
async fn a_certificate_that_cannot_be_used_is_refused_by_its_file() {
    let dir = tempfile::tempdir().unwrap();
    let own = dev_tls::open(&dir.path().join("a"), &[], Timestamp::now()).unwrap();
    let other = dev_tls::open(&dir.path().join("b"), &[], Timestamp::now()).unwrap();
    let empty = dir.path().join("empty.pem");
    std::fs::write(&empty, "nothing").unwrap();
    let missing = dir.path().join("missing.pem");
    for (name, cert, key, says) in [
        ("no file", &missing, &own.files.key, "missing.pem"),
        ("no key's file", &own.files.cert, &missing, "missing.pem"),
        ("no certificate in it", &empty, &own.files.key, "certificate"),
        ("no key in it", &own.files.cert, &empty, "private key"),
        ("the key of another", &own.files.cert, &other.files.key, "key"),
    ] {
        let files = tombolo_server::tls::TlsFiles {
            cert: cert.clone(),
            key: key.clone(),
        };
        let error = Certificate::open(files).unwrap_err().to_string();
        assert!(error.contains(says), "{name}: {error}");
    }
}

#[tokio::test]
async fn mqtt_is_spoken_over_tls_on_its_own_port() {
    let dir = tempfile::tempdir().unwrap();
    let own = dev_tls::open(dir.path(), &[], Timestamp::now()).unwrap();
    let mut config = Config::in_memory(SCHEMA, KEY);
    config.tls = Some(own.files.clone());
    config.mqtt.listen = Some("127.0.0.1:0".to_owned());
    config.mqtt.tls_listen = Some("127.0.0.1:0".to_owned());
    let server = Server::start(config).await.unwrap();
    let [plain, secured] = *server.mqtt.as_slice() else {
        panic!("{:?}", server.mqtt)
    };
    // CONNECT of MQTT 3.1.1: clean session, user name and password.
    let mut body = b"\x00\x04MQTT\x04\xc2\x00\x3c\x00\x01d\x00\x09x-api-key".to_vec();
    body.extend_from_slice(&u16::try_from(KEY.len()).unwrap().to_be_bytes());
    body.extend_from_slice(KEY.as_bytes());
    let connect = [&[0x10, u8::try_from(body.len()).unwrap()], body.as_slice()].concat();
    let mut connack = [0; 4];

    let mut stream = TcpStream::connect(plain).await.unwrap();
    stream.write_all(&connect).await.unwrap();
    patiently(stream.read_exact(&mut connack)).await.unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);

    let connector = TlsConnector::from(trusting(&own));
    let stream = TcpStream::connect(secured).await.unwrap();
    let mut stream = connector
        .connect(ServerName::try_from("localhost").unwrap(), stream)
        .await
        .unwrap();
    stream.write_all(&connect).await.unwrap();
    connack = [9; 4];
    patiently(stream.read_exact(&mut connack)).await.unwrap();
    assert_eq!(connack, [0x20, 2, 0, 0]);

    // Who speaks plainly there is closed, and is told nothing in another protocol's words.
    let mut stream = TcpStream::connect(secured).await.unwrap();
    stream.write_all(&connect).await.unwrap();
    let mut said = Vec::new();
    let _reset = patiently(stream.read_to_end(&mut said)).await;
    assert!(said.is_empty(), "{said:?}");
    server.shutdown().await;
}
