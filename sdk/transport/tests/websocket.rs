//! The WebSocket transport against a real local peer that a test plays frame by frame.
#![allow(clippy::unwrap_used)]

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value as Json, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::handshake::server::{Request as UpgradeRequest, Response};
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tombolo_core::wire::graphql::Request;
use tombolo_transport::websocket::{Timing, WebSocket};
use tombolo_transport::{CloseReason, Credential, Endpoint, Incoming, Link, OperationId, Outgoing, Transport, limits};

type Peer = WebSocketStream<TcpStream>;

async fn listener() -> (TcpListener, WebSocket) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/graphql", listener.local_addr().unwrap());
    (listener, WebSocket::new(Endpoint::parse(&url).unwrap()))
}

/// Accepts a socket and checks what a server may rely on.
async fn accept(listener: &TcpListener) -> Peer {
    let (tcp, _) = listener.accept().await.unwrap();
    #[allow(clippy::result_large_err)]
    let check = |request: &UpgradeRequest, mut response: Response| {
        assert_eq!(request.uri().path(), "/graphql");
        assert_eq!(request.headers()["sec-websocket-protocol"], "graphql-transport-ws");
        assert_eq!(request.headers()["x-api-key"], "dev-key");
        response.headers_mut().insert(
            "sec-websocket-protocol",
            HeaderValue::from_static("graphql-transport-ws"),
        );
        Ok(response)
    };
    tokio_tungstenite::accept_hdr_async(tcp, check).await.unwrap()
}

async fn read(peer: &mut Peer) -> Json {
    loop {
        match peer.next().await.unwrap().unwrap() {
            Message::Text(text) => return serde_json::from_str(&text).unwrap(),
            Message::Ping(_) | Message::Pong(_) => {}
            other => panic!("{other:?}"),
        }
    }
}

async fn write(peer: &mut Peer, frame: Json) {
    peer.send(Message::text(frame.to_string())).await.unwrap();
}

/// A peer that has acknowledged, and the link to it.
async fn open(timing: Timing) -> (Peer, Box<dyn Link>) {
    let (listener, transport) = listener().await;
    let transport = transport.with_timing(timing);
    let server = async {
        let mut peer = accept(&listener).await;
        assert_eq!(
            read(&mut peer).await,
            json!({"type": "connection_init", "payload": {"x-api-key": "dev-key"}})
        );
        write(&mut peer, json!({"type": "connection_ack"})).await;
        peer
    };
    let credential = key();
    let (peer, link) = tokio::join!(server, transport.open(&credential));
    (peer, link.unwrap())
}

fn key() -> Credential {
    Credential::ApiKey("dev-key".into())
}

fn ask(id: u64, query: &str) -> Outgoing {
    Outgoing::Start {
        id: OperationId(id),
        request: Request {
            query: query.into(),
            ..Request::default()
        },
    }
}

#[tokio::test]
async fn operations_go_out_and_results_come_back() {
    let (mut peer, mut link) = open(Timing::default()).await;
    link.send(ask(1, "{ a }")).unwrap();
    link.send(ask(2, "subscription { b }")).unwrap();
    let server = async {
        assert_eq!(
            read(&mut peer).await,
            json!({"id": "1", "type": "subscribe", "payload": {"query": "{ a }"}})
        );
        assert_eq!(read(&mut peer).await["id"], "2");
        write(
            &mut peer,
            json!({"id": "1", "type": "next", "payload": {"data": {"a": 1}}}),
        )
        .await;
        write(&mut peer, json!({"type": "ping"})).await;
        write(&mut peer, json!({"id": "1", "type": "complete"})).await;
        write(
            &mut peer,
            json!({"id": "2", "type": "error", "payload": [{"message": "no"}]}),
        )
        .await;
        assert_eq!(read(&mut peer).await, json!({"type": "pong"}));
    };
    let client = async {
        let payload = br#"{"data":{"a":1}}"#.to_vec();
        assert_eq!(
            link.receive().await,
            Incoming::Next {
                id: OperationId(1),
                payload
            }
        );
        assert_eq!(link.receive().await, Incoming::Complete { id: OperationId(1) });
        let Incoming::Failed { id, errors } = link.receive().await else {
            panic!()
        };
        assert_eq!((id, errors[0].message.as_str()), (OperationId(2), "no"));
        // The pong goes out while the next message is awaited.
        link.receive().await
    };
    tokio::select! {
        () = server => {}
        message = client => panic!("{message:?}"),
    }
}

#[tokio::test]
async fn stop_becomes_complete_and_close_says_goodbye() {
    let (mut peer, mut link) = open(Timing::default()).await;
    link.send(Outgoing::Stop { id: OperationId(9) }).unwrap();
    let client = async {
        let waiting = tokio::time::timeout(Duration::from_millis(50), link.receive()).await;
        assert!(waiting.is_err());
        link.close().await;
        assert_eq!(link.receive().await, Incoming::Closed(CloseReason::Local));
    };
    let server = async {
        assert_eq!(read(&mut peer).await, json!({"id": "9", "type": "complete"}));
        let Some(Ok(Message::Close(Some(frame)))) = peer.next().await else {
            panic!()
        };
        assert_eq!(u16::from(frame.code), 1000);
    };
    tokio::join!(client, server);
}

#[tokio::test]
async fn a_status_instead_of_a_socket_is_told_apart() {
    for (status, reason) in [
        ("401 Unauthorized", CloseReason::Unauthorized { code: 401 }),
        ("403 Forbidden", CloseReason::Unauthorized { code: 403 }),
        ("503 Service Unavailable", CloseReason::Refused { status: 503 }),
        ("200 OK", CloseReason::Refused { status: 200 }),
    ] {
        let (listener, transport) = listener().await;
        let server = async {
            let (mut tcp, _) = listener.accept().await.unwrap();
            let mut buffer = [0; 2048];
            assert!(tcp.read(&mut buffer).await.unwrap() > 0);
            tcp.write_all(format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n").as_bytes())
                .await
                .unwrap();
        };
        let credential = key();
        let ((), link) = tokio::join!(server, transport.open(&credential));
        assert_eq!(link.err(), Some(reason));
    }
}

#[tokio::test]
async fn a_server_of_another_subprotocol_is_refused() {
    let (listener, transport) = listener().await;
    let server = async {
        let (tcp, _) = listener.accept().await.unwrap();
        // Accepts the socket and chooses nothing.
        tokio_tungstenite::accept_async(tcp).await
    };
    let credential = key();
    let (_peer, link) = tokio::join!(server, transport.open(&credential));
    assert!(matches!(link.err(), Some(CloseReason::Protocol { .. })));
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let (listener, transport) = listener().await;
    drop(listener);
    assert!(matches!(
        transport.open(&key()).await.err(),
        Some(CloseReason::Unreachable { .. })
    ));
}

#[tokio::test]
async fn a_refused_key_and_a_missing_ack_are_told_apart() {
    let refuse = |code: u16| async move {
        let (listener, transport) = listener().await;
        let server = async {
            let mut peer = accept(&listener).await;
            read(&mut peer).await;
            peer.close(Some(CloseFrame {
                code: code.into(),
                reason: "".into(),
            }))
            .await
            .unwrap();
        };
        let credential = key();
        tokio::join!(server, transport.open(&credential)).1.err()
    };
    assert_eq!(refuse(4403).await, Some(CloseReason::Unauthorized { code: 4403 }));
    assert_eq!(refuse(4401).await, Some(CloseReason::Unauthorized { code: 4401 }));
    assert_eq!(refuse(1013).await, Some(CloseReason::Closed { code: 1013 }));

    let (listener, transport) = listener().await;
    let transport = transport.with_timing(Timing {
        ack: Duration::from_millis(30),
        ..Timing::default()
    });
    let credential = key();
    let server = async {
        let mut peer = accept(&listener).await;
        while let Some(Ok(_)) = peer.next().await {}
    };
    tokio::select! {
        () = server => panic!("the client went away without a word"),
        link = transport.open(&credential) => {
            assert_eq!(link.err(), Some(CloseReason::TimedOut { what: "connection_ack" }));
        }
    }
}

#[tokio::test]
async fn frames_out_of_protocol_end_the_link_for_good() {
    for message in [
        Message::text("not json"),
        Message::text(r#"{"type":"data"}"#),
        Message::text(r#"{"type":"next","id":"one","payload":{}}"#),
        Message::text(r#"{"type":"connection_ack"}"#),
        Message::binary(vec![1, 2, 3]),
    ] {
        let (mut peer, mut link) = open(Timing::default()).await;
        peer.send(message).await.unwrap();
        let Incoming::Closed(reason) = link.receive().await else {
            panic!()
        };
        assert!(matches!(reason, CloseReason::Protocol { .. }), "{reason:?}");
        assert_eq!(link.receive().await, Incoming::Closed(reason.clone()));
        assert!(link.send(ask(1, "{ a }")).is_err());
    }
}

#[tokio::test]
async fn a_cut_connection_is_unreachable() {
    let (peer, mut link) = open(Timing::default()).await;
    drop(peer);
    let message = link.receive().await;
    assert!(
        matches!(message, Incoming::Closed(CloseReason::Unreachable { .. })),
        "{message:?}"
    );
}

#[tokio::test]
async fn silence_is_pinged_and_then_given_up() {
    let timing = Timing {
        ping_after: Duration::from_millis(20),
        silent_after: Duration::from_millis(60),
        ..Timing::default()
    };
    let (mut peer, mut link) = open(timing).await;
    let server = async {
        assert_eq!(read(&mut peer).await, json!({"type": "ping"}));
        write(&mut peer, json!({"type": "pong"})).await;
        assert_eq!(read(&mut peer).await, json!({"type": "ping"}));
    };
    let ((), message) = tokio::join!(server, link.receive());
    assert_eq!(
        message,
        Incoming::Closed(CloseReason::TimedOut {
            what: "any word from the server"
        })
    );
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let (_peer, mut link) = open(Timing::default()).await;
    for number in 0..limits::OUTGOING_MESSAGES_MAX as u64 {
        link.send(ask(number, "{ a }")).unwrap();
    }
    assert_eq!(link.send(ask(1, "{ a }")), Err(tombolo_transport::SendError::Full));
}

#[tokio::test]
async fn both_sides_may_talk_at_once() {
    // Neither side reads before it has written more than the kernel's buffers hold: the link must do both.
    let (mut peer, mut link) = open(Timing::default()).await;
    let big = "x".repeat(400 * 1024);
    for number in 0..64 {
        link.send(ask(number, &big)).unwrap();
    }
    let server = tokio::spawn(async move {
        let payload = "y".repeat(400 * 1024);
        for _ in 0..64 {
            write(
                &mut peer,
                json!({"id": "1", "type": "next", "payload": {"data": payload}}),
            )
            .await;
        }
        for _ in 0..64 {
            read(&mut peer).await;
        }
        write(&mut peer, json!({"id": "1", "type": "complete"})).await;
        peer
    });
    let mut results = 0;
    while link.receive().await != (Incoming::Complete { id: OperationId(1) }) {
        results += 1;
    }
    assert_eq!(results, 64);
    drop(server.await.unwrap());
}
