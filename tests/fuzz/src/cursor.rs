//! Cursors and page tokens: opaque to those who hold them, and so sent back in any shape.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use tombolo_core::id::Cursor;
use tombolo_core::wire::graphql::Request;

use crate::server::{self, Server};
use crate::text;

/// Lists that give page tokens, and where in their answers.
const LISTS: &[(&str, &str)] = &[
    (
        "query($t: String) { listTodos(limit: 2, nextToken: $t) { items { id } nextToken } }",
        "/data/listTodos/nextToken",
    ),
    (
        "query($t: String) { todosByList(list: \"l\", limit: 1, nextToken: $t) { items { id } nextToken } }",
        "/data/todosByList/nextToken",
    ),
    (
        "query($t: String) { listLines(order: \"o\", limit: 1, sortDirection: DESC, nextToken: $t) { items { text } nextToken } }",
        "/data/listLines/nextToken",
    ),
    (
        "query($t: String) { syncTodos(limit: 2, nextToken: $t) { items { id } nextToken } }",
        "/data/syncTodos/nextToken",
    ),
    (
        "query($t: String) { getTodo(id: \"a\") { lines(limit: 1, nextToken: $t) { items { text } nextToken } } }",
        "/data/getTodo/lines/nextToken",
    ),
];

/// The first byte chooses what the others are: a cursor, a token, the inside of a token, or what a token carries.
pub fn run(data: &[u8]) {
    let Some((which, data)) = data.split_first() else {
        return;
    };
    let Some(text) = text(data) else { return };
    let (query, place) = LISTS[usize::from(*which >> 2) % LISTS.len()];
    server::with(|server| match which & 3 {
        0 => changes(server, text),
        1 => list(server, query, text),
        2 => list(server, query, &URL_SAFE_NO_PAD.encode(text)),
        _ => {
            if let Some(token) = carrying(server, query, place, text) {
                list(server, query, &token);
            }
        }
    });
}

fn changes(server: &Server, text: &str) {
    if let Ok(cursor) = text.parse::<Cursor>() {
        assert_eq!(
            cursor.to_string().parse(),
            Ok(cursor),
            "a cursor does not survive its text"
        );
    }
    for query in [
        "query($s: TomboloScopeInput!) { tomboloChanges(scope: $s) { cursor reset rows left } }",
        "subscription($s: TomboloScopeInput!) { tomboloChanges(scopes: [$s]) { cursor reset rows left } }",
    ] {
        ask(server, query, json!({ "s": { "model": "Todo", "cursor": text } }));
    }
}

fn list(server: &Server, query: &str, token: &str) {
    ask(server, query, json!({ "t": token }));
}

fn ask(server: &Server, query: &str, variables: Json) -> Vec<Json> {
    server.ask(&Request {
        query: query.to_owned(),
        variables: variables.as_object().cloned(),
        ..Request::default()
    })
}

/// A token of that very list that carries what the fuzzer wants: `[values, parent, startedAt]`.
fn carrying(server: &Server, query: &str, place: &str, text: &str) -> Option<String> {
    let Json::Array(wanted) = serde_json::from_str(text).ok()? else {
        return None;
    };
    let answer = ask(server, query, json!({})).into_iter().next()?;
    let good = URL_SAFE_NO_PAD
        .decode(answer.pointer(place)?.as_str()?)
        .expect("our own token");
    let Json::Array(mut parts) = serde_json::from_slice(&good).expect("our own token") else {
        panic!("our own token is no array")
    };
    for (part, wanted) in parts.iter_mut().skip(1).zip(wanted) {
        *part = wanted;
    }
    Some(URL_SAFE_NO_PAD.encode(Json::Array(parts).to_string()))
}
