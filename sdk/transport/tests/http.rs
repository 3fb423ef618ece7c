//! The HTTP transport against a real local peer that a test plays byte by byte.
#![allow(clippy::unwrap_used)]

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tombolo_core::wire::graphql::Request;
use tombolo_transport::http::Http;
use tombolo_transport::{CloseReason, Credential, Endpoint, Transport};

/// Sends one request to a peer that answers with `answer`; gives the result and what the peer read.
async fn exchange(answer: Vec<u8>) -> (Result<Vec<u8>, CloseReason>, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/graphql", listener.local_addr().unwrap());
    let transport = Http::new(Endpoint::parse(&url).unwrap());
    let server = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut heard = Vec::new();
        while !heard.ends_with(b"}") {
            let mut buffer = [0; 2048];
            let read = tcp.read(&mut buffer).await.unwrap();
            assert!(read > 0);
            heard.extend_from_slice(&buffer[..read]);
        }
        tcp.write_all(&answer).await.unwrap();
        tcp.shutdown().await.unwrap();
        String::from_utf8(heard).unwrap()
    };
    let credential = Credential::ApiKey("dev-key".into());
    let request = Request {
        query: "{ a }".into(),
        ..Request::default()
    };
    let (heard, result) = tokio::join!(server, transport.request(&credential, request));
    (result, heard)
}

fn answer(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn a_request_is_posted_with_the_key_and_asks_for_gzip() {
    let (result, heard) = exchange(answer("200 OK", r#"{"data":{"a":1}}"#)).await;
    assert_eq!(result.unwrap(), br#"{"data":{"a":1}}"#);
    let heard = heard.to_lowercase();
    assert!(heard.starts_with("post /graphql http/1.1\r\n"), "{heard}");
    for header in [
        "content-type: application/json\r\n",
        "x-api-key: dev-key\r\n",
        "accept-encoding: gzip\r\n",
    ] {
        assert!(heard.contains(header), "{header} in {heard}");
    }
    assert!(heard.ends_with(r#"{"query":"{ a }"}"#), "{heard}");
}

#[tokio::test]
async fn statuses_are_told_apart() {
    let refused = r#"{"errors":[{"message":"no","errorType":"UnauthorizedException"}]}"#;
    for (status, reason) in [
        ("401 Unauthorized", CloseReason::Unauthorized { code: 401 }),
        ("403 Forbidden", CloseReason::Unauthorized { code: 403 }),
        ("404 Not Found", CloseReason::Refused { status: 404 }),
        (
            "302 Found\r\nlocation: http://elsewhere/",
            CloseReason::Refused { status: 302 },
        ),
        ("500 Internal Server Error", CloseReason::Refused { status: 500 }),
        ("503 Service Unavailable", CloseReason::Refused { status: 503 }),
    ] {
        assert_eq!(exchange(answer(status, refused)).await.0, Err(reason));
    }
    // A request that the server could not read has an answer in words.
    assert_eq!(
        exchange(answer("400 Bad Request", refused)).await.0,
        Ok(refused.as_bytes().to_vec())
    );
    let no_graphql = exchange(answer("400 Bad Request", "<html>")).await.0;
    assert_eq!(no_graphql, Err(CloseReason::Refused { status: 400 }));
}

#[tokio::test]
async fn a_torn_answer_is_no_answer() {
    let (result, _) = exchange(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"data\"".to_vec()).await;
    assert!(result.is_err(), "{result:?}");
    let (result, _) = exchange(b"SSH-2.0-OpenSSH\r\n".to_vec()).await;
    assert!(matches!(result, Err(CloseReason::Unreachable { .. })), "{result:?}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/graphql", listener.local_addr().unwrap());
    drop(listener);
    let transport = Http::new(Endpoint::parse(&url).unwrap());
    let result = transport.request(&Credential::None, Request::default()).await;
    assert!(matches!(result, Err(CloseReason::Unreachable { .. })), "{result:?}");
}
