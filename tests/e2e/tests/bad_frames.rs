//! Frames out of protocol close their own socket with the protocol's code; what was accepted before stands, and other
//! sockets do not notice.

use serde_json::{Value as Json, json};
use tokio_tungstenite::tungstenite::Message;
use tombolo_e2e::wire::{Heard, Socket};
use tombolo_e2e::{KEY, Site};

#[tokio::test]
async fn each_frame_out_of_protocol_closes_its_socket_with_a_code_and_nothing_else() {
    let site = Site::new().await;
    let phone = site.phone("p").await;
    phone.settled().await;
    let mut other = Socket::open(site.address()).await;

    let table: Vec<(&str, Message, u16)> = vec![
        ("no JSON", Message::text("hello"), 4400),
        ("JSON of another kind", Message::text("[]"), 4400),
        ("no type", Message::text("{}"), 4400),
        (
            "a type of another protocol",
            Message::text(r#"{"type":"start","id":"1"}"#),
            4400,
        ),
        (
            "a server's frame",
            Message::text(r#"{"type":"next","id":"1","payload":{}}"#),
            4400,
        ),
        (
            "a subscribe without a query",
            Message::text(r#"{"type":"subscribe","id":"1","payload":{}}"#),
            4400,
        ),
        ("binary", Message::binary(vec![0xff, 0x00]), 4400),
        ("a second init", Message::text(r#"{"type":"connection_init"}"#), 4429),
    ];
    for (i, (name, frame, code)) in table.into_iter().enumerate() {
        let mut socket = Socket::open(site.address()).await;
        // Accepted before the mistake: carried out all the same.
        let create = format!("mutation {{ createNote(input: {{ id: \"{i}\", text: \"t\" }}) {{ id }} }}");
        socket.subscribe("m", &create, Json::Null).await;
        socket.say(frame).await;
        loop {
            match socket.hear().await {
                Heard::Frame(frame) => assert_eq!(frame["id"], "m", "{name}: {frame}"),
                Heard::Closed(got) => break assert_eq!(got, code, "{name}"),
                Heard::Gone => panic!("{name}: closed without a word"),
            }
        }
        let id = i.to_string();
        phone
            .until_data("{ listNotes { items { id } } }", |data| {
                data.to_string().contains(&format!("\"{id}\""))
            })
            .await;
    }
    assert_eq!(
        other.run("q", "{ __typename }", Json::Null).await["data"]["__typename"],
        "Query"
    );
    assert_eq!(
        phone.client.status().borrow().link,
        tombolo::LinkStatus::Live,
        "the replica did not notice"
    );
}

#[tokio::test]
async fn an_operation_before_the_init_and_a_wrong_key_are_closed_by_code() {
    let site = Site::new().await;
    let mut socket = Socket::connect(site.address()).await;
    socket
        .subscribe(
            "1",
            "mutation { createNote(input: { text: \"t\" }) { id } }",
            Json::Null,
        )
        .await;
    assert_eq!(socket.hear().await, Heard::Closed(4401));
    let mut socket = Socket::connect(site.address()).await;
    socket
        .send(&json!({ "type": "connection_init", "payload": { "x-api-key": format!("{KEY}!") } }))
        .await;
    assert_eq!(socket.hear().await, Heard::Closed(4403));
    assert!(site.records("Note", "").await.is_empty());
}

#[tokio::test]
async fn a_frame_that_is_too_large_ends_the_socket_and_not_the_server() {
    let site = Site::new().await;
    let mut socket = Socket::open(site.address()).await;
    let huge = "x".repeat(6 << 20);
    let query = "mutation($i: CreateNoteInput!) { createNote(input: $i) { id } }";
    let payload = json!({ "query": query, "variables": { "i": { "text": huge } } });
    // The server may have closed before it has taken everything.
    let _cut = socket
        .try_say(Message::text(
            json!({ "type": "subscribe", "id": "m", "payload": payload }).to_string(),
        ))
        .await;
    assert!(matches!(socket.hear().await, Heard::Closed(_) | Heard::Gone));
    assert!(site.records("Note", "").await.is_empty());
    let mut socket = Socket::open(site.address()).await;
    assert_eq!(
        socket.run("q", "{ __typename }", Json::Null).await["data"]["__typename"],
        "Query"
    );
}

#[tokio::test]
async fn an_operation_that_is_wrong_is_answered_and_its_socket_lives() {
    let site = Site::new().await;
    let mut socket = Socket::open(site.address()).await;
    for (query, part) in [
        ("{ listNotes { items {", "expected"),
        ("{ listTrains { items { id } } }", "listTrains"),
        ("subscription { onCreateNote { colour } }", "colour"),
        ("subscription { onCreateTrain { id } }", "onCreateTrain"),
    ] {
        socket.subscribe("1", query, Json::Null).await;
        let frame = socket.frame().await;
        assert_eq!(
            (&frame["type"], &frame["id"]),
            (&json!("error"), &json!("1")),
            "{frame}"
        );
        let words = frame["payload"][0]["message"].as_str().unwrap();
        assert!(words.contains(part), "{words}");
    }
    assert_eq!(
        socket.run("1", "{ __typename }", Json::Null).await["data"]["__typename"],
        "Query"
    );
}
