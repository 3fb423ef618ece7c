//! The resolver of a test answers as the endpoint of a server in the world does.
#![allow(clippy::unwrap_used)]

use std::sync::Mutex;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value as Json, json};
use tombolo_testing::{Conflict, Resolution, Server, StartError};

const SCHEMA: &str = "type Note @model(conflict: CUSTOM) { id: ID! text: String! pages: Int }";

const UPDATE: &str =
    "mutation($text: String) { updateNote(input: { id: \"1\", text: $text, _version: 1 }) { text _version } }";

/// A note at version 2, and a resolver for what is still made on version 1.
fn server(resolve: impl Fn(&Conflict) -> Resolution + Send + Sync + 'static) -> Server {
    let server = Server::start_with_resolver(SCHEMA, resolve).unwrap();
    let create = "mutation { createNote(input: { id: \"1\", text: \"one\", pages: 7 }) { id } }";
    server.ask(create, Json::Null).unwrap();
    server.ask(UPDATE, json!({ "text": "two" })).unwrap();
    server
}

fn update(server: &Server) -> Result<Json, String> {
    server
        .ask(UPDATE, json!({ "text": "three" }))
        .map_err(|refused| refused.to_string())
}

fn note(server: &Server) -> Json {
    let data = server.ask("{ getNote(id: \"1\") { text pages _deleted } }", Json::Null);
    data.unwrap()["getNote"].clone()
}

#[test]
fn a_resolver_is_told_the_conflict_and_its_answer_stands() {
    let told = std::sync::Arc::new(Mutex::new(Vec::new()));
    let seen = std::sync::Arc::clone(&told);
    let server = server(move |conflict| {
        seen.lock().unwrap().push(conflict.clone());
        Resolution::Resolve(json!({ "text": "both", "pages": 8 }))
    });
    let answer = update(&server).unwrap();
    assert_eq!(answer["updateNote"], json!({ "text": "both", "_version": 3 }));
    assert_eq!(note(&server)["pages"], 8);
    let told = told.lock().unwrap();
    let [conflict] = told.as_slice() else {
        panic!("{told:?}")
    };
    assert_eq!(
        (conflict.model.as_str(), conflict.key.as_slice()),
        ("Note", [json!("1")].as_slice())
    );
    assert_eq!(
        (&conflict.server["text"], &conflict.incoming["text"]),
        (&json!("two"), &json!("three"))
    );
    assert_eq!(conflict.server["_version"], 2);
}

#[test]
fn reject_remove_and_silence_are_the_endpoints_too() {
    let rejecting = server(|_| Resolution::Reject("not on Sundays".into()));
    assert_eq!(update(&rejecting).unwrap_err(), "not on Sundays");
    assert_eq!(note(&rejecting)["text"], "two");

    let removing = server(|_| Resolution::Remove);
    update(&removing).unwrap();
    assert_eq!(note(&removing)["_deleted"], true);

    let calls = std::sync::Arc::new(AtomicU32::new(0));
    let counted = std::sync::Arc::clone(&calls);
    let silent = server(move |_| match counted.fetch_add(1, Ordering::SeqCst) {
        0 => Resolution::Silence,
        _ => Resolution::Resolve(json!({ "text": "late" })),
    });
    let undecided = update(&silent).unwrap_err();
    assert!(undecided.contains("nothing was decided"), "{undecided}");
    assert_eq!(note(&silent)["text"], "two");
    update(&silent).unwrap();
    assert_eq!(note(&silent)["text"], "late");
}

#[test]
fn an_answer_that_the_schema_does_not_take_rejects_the_mutation() {
    let server = server(|_| Resolution::Resolve(json!({ "colour": "red" })));
    let words = update(&server).unwrap_err();
    assert!(
        words.contains("`item` has `colour`, which is no stored field of Note"),
        "{words}"
    );
    assert_eq!(note(&server)["text"], "two");
}

#[test]
fn a_server_does_not_start_without_the_resolver_that_its_schema_asks_for() {
    let error = Server::start(SCHEMA).unwrap_err();
    assert!(
        matches!(&error, StartError::Resolver { places } if places == "Note"),
        "{error}"
    );
}
