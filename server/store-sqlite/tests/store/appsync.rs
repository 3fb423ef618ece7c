//! Conflicts as a client without an envelope sees them on the wire: AppSync's words and shapes, and what DataStore for
//! JavaScript makes of them (its handler of conflicts sends all fields again with the version that the error brought).

use serde_json::{Value as Json, json};

use super::sync::Server;

const SDL: &str = r#"
type Auto @model @auth(rules: [{ allow: public }]) {
  id: ID!
  title: String
  note: String
  tags: [String]
  meta: AWSJSON
  place: Place
  places: [Place]
}
type Place { x: Int list: [Int] inner: Inner }
type Inner { y: Int z: Int }
type Strict @model(conflict: OPTIMISTIC_CONCURRENCY) @auth(rules: [{ allow: public }]) { id: ID! title: String note: String }
"#;

const SELECT: &str = "__typename id title note _version _deleted";

fn mutate(server: &Server, verb: &str, model: &str, input: Json, condition: Json) -> Json {
    let upper = verb[..1].to_uppercase() + &verb[1..];
    let query = format!(
        "mutation operation($input: {upper}{model}Input!, $condition: Model{model}ConditionInput) {{ \
         {verb}{model}(input: $input, condition: $condition) {{ {SELECT} }} }}"
    );
    server.ask(&query, json!({ "input": input, "condition": condition }))
}

/// The record that a success gives, or the one error: its type and its data.
fn outcome(answer: &Json) -> (Option<String>, Json) {
    let (_, data) = answer["data"].as_object().unwrap().iter().next().unwrap();
    match answer["errors"].as_array() {
        None => (None, data.clone()),
        Some(errors) => {
            assert_eq!((errors.len(), data), (1, &Json::Null), "{answer}");
            let error = &errors[0];
            assert!(error["message"].is_string() && error["path"].is_array(), "{answer}");
            let kind = error["errorType"].as_str().unwrap().to_owned();
            (Some(kind), error["data"].clone())
        }
    }
}

fn ok(answer: &Json) -> Json {
    let (error, record) = outcome(answer);
    assert_eq!(error, None, "{answer}");
    record
}

fn refused(answer: &Json, kind: &str) -> Json {
    let (error, data) = outcome(answer);
    assert_eq!(error.as_deref(), Some(kind), "{answer}");
    data
}

/// `a` at version 2, `title` changed by somebody.
fn moved_on(model: &str) -> Server {
    let server = Server::of(SDL);
    ok(&mutate(
        &server,
        "create",
        model,
        json!({ "id": "a", "title": "one", "note": "n" }),
        Json::Null,
    ));
    ok(&mutate(
        &server,
        "update",
        model,
        json!({ "id": "a", "title": "two", "_version": 1 }),
        Json::Null,
    ));
    server
}

#[test]
fn a_conflict_brings_the_servers_item_by_the_selection() {
    let server = moved_on("Strict");
    let answer = mutate(
        &server,
        "update",
        "Strict",
        json!({ "id": "a", "title": "mine", "_version": 1 }),
        Json::Null,
    );
    assert_eq!(answer["errors"][0]["message"], "Conflict resolver rejects mutation.");
    assert_eq!(
        refused(&answer, "ConflictUnhandled"),
        json!({ "__typename": "Strict", "id": "a", "title": "two", "note": "n", "_version": 2, "_deleted": null })
    );
    // The handler of DataStore sends everything again with that version, and that is the end of it.
    let again = json!({ "id": "a", "title": "mine", "note": "n", "_version": 2 });
    assert_eq!(
        ok(&mutate(&server, "update", "Strict", again, Json::Null))["_version"],
        3
    );
}

#[test]
fn every_inequality_of_versions_is_a_conflict_and_comes_before_the_condition() {
    let server = moved_on("Strict");
    let never = json!({ "title": { "eq": "nothing" } });
    for version in [0, 1, 3, 99] {
        for verb in ["update", "delete"] {
            let input = match verb {
                "update" => json!({ "id": "a", "note": "m", "_version": version }),
                _ => json!({ "id": "a", "_version": version }),
            };
            let answer = mutate(&server, verb, "Strict", input, never.clone());
            refused(&answer, "ConflictUnhandled");
        }
    }
    let update = json!({ "id": "a", "note": "m", "_version": 2 });
    let answer = mutate(&server, "update", "Strict", update.clone(), never);
    refused(&answer, "ConditionalCheckFailedException");
    // Under AUTOMERGE a version above the record's is merged as one that knows nothing; a delete of one is refused.
    let server = moved_on("Auto");
    let answer = mutate(
        &server,
        "update",
        "Auto",
        json!({ "id": "a", "title": "mine", "_version": 9 }),
        Json::Null,
    );
    let record = ok(&answer);
    assert_eq!((&record["title"], &record["_version"]), (&json!("two"), &json!(3)));
    let answer = mutate(
        &server,
        "delete",
        "Auto",
        json!({ "id": "a", "_version": 9 }),
        Json::Null,
    );
    refused(&answer, "ConflictUnhandled");
}

#[test]
fn creations_of_an_id_that_was_fail_their_condition() {
    let server = moved_on("Auto");
    let create = || {
        mutate(
            &server,
            "create",
            "Auto",
            json!({ "id": "a", "title": "new" }),
            Json::Null,
        )
    };
    refused(&create(), "ConditionalCheckFailedException");
    ok(&mutate(
        &server,
        "delete",
        "Auto",
        json!({ "id": "a", "_version": 2 }),
        Json::Null,
    ));
    refused(&create(), "ConditionalCheckFailedException");
    for verb in ["update", "delete"] {
        let answer = mutate(
            &server,
            verb,
            "Auto",
            json!({ "id": "never", "_version": 1 }),
            Json::Null,
        );
        refused(&answer, "ConditionalCheckFailedException");
    }
}

#[test]
fn a_delete_answers_with_the_whole_item_and_a_stale_one_is_a_conflict() {
    let server = moved_on("Auto");
    let stale = mutate(
        &server,
        "delete",
        "Auto",
        json!({ "id": "a", "_version": 1 }),
        Json::Null,
    );
    assert_eq!(refused(&stale, "ConflictUnhandled")["_version"], 2);
    let gone = ok(&mutate(
        &server,
        "delete",
        "Auto",
        json!({ "id": "a", "_version": 2 }),
        Json::Null,
    ));
    assert_eq!(
        gone,
        json!({ "__typename": "Auto", "id": "a", "title": "two", "note": "n", "_version": 3, "_deleted": true })
    );
}

#[test]
fn automerge_keeps_scalars_joins_lists_and_goes_into_maps() {
    let server = Server::of(SDL);
    let select = "title tags meta place { x list inner { y z } } places { x } _version";
    let ask = |verb: &str, input: Json| {
        let upper = verb[..1].to_uppercase() + &verb[1..];
        let query = format!("mutation ($input: {upper}AutoInput!) {{ {verb}Auto(input: $input) {{ {select} }} }}");
        ok(&server.ask(&query, json!({ "input": input })))
    };
    let place = |x: i64, list: Json, y: Json, z: Json| json!({ "x": x, "list": list, "inner": { "y": y, "z": z } });
    ask("create", json!({ "id": "a" }));
    let theirs = place(1, json!([1, 2]), json!(1), Json::Null);
    ask(
        "update",
        json!({ "id": "a", "title": "theirs", "tags": ["a", "b"], "meta": "{\"a\":1}", "place": theirs, "places": [{ "x": 1 }], "_version": 1 }),
    );
    let ours = place(2, json!([2, 3]), json!(2), json!(2));
    let merged = ask(
        "update",
        json!({ "id": "a", "title": "mine", "tags": ["b", "c"], "meta": "{\"b\":1}", "place": ours, "places": [{ "x": 1 }, { "x": 2 }], "_version": 1 }),
    );
    assert_eq!(
        merged,
        json!({
            "title": "theirs",
            "tags": ["a", "b", "b", "c"],
            // A text, not a map: a scalar.
            "meta": "{\"a\":1}",
            "place": place(1, json!([1, 2, 2, 3]), json!(1), json!(2)),
            "places": [{ "x": 1 }, { "x": 1 }, { "x": 2 }],
            "_version": 3,
        })
    );
    // What takes nothing is a write all the same; a null does not take the server's value away.
    let again = ask("update", json!({ "id": "a", "title": null, "_version": 1 }));
    assert_eq!((&again["title"], &again["_version"]), (&json!("theirs"), &json!(4)));
    // Ours: what is equal is no conflict, where AppSync joins a list with itself.
    let equal = ask(
        "update",
        json!({ "id": "a", "tags": ["a", "b", "b", "c"], "_version": 1 }),
    );
    assert_eq!(
        (&equal["tags"], &equal["_version"]),
        (&json!(["a", "b", "b", "c"]), &json!(5))
    );
}

/// An edit of a record that somebody else has deleted. DataStore's handler sends it again with the tombstone's version; in
/// AppSync that is no conflict any more.
#[test]
fn an_edit_of_a_tombstone_is_a_conflict_that_shows_the_tombstone() {
    for model in ["Auto", "Strict"] {
        let server = moved_on(model);
        ok(&mutate(
            &server,
            "delete",
            model,
            json!({ "id": "a", "_version": 2 }),
            Json::Null,
        ));
        for verb in ["update", "delete"] {
            let input = |version: i64| match verb {
                "update" => json!({ "id": "a", "title": "mine", "_version": version }),
                _ => json!({ "id": "a", "_version": version }),
            };
            let stale = mutate(&server, verb, model, input(2), Json::Null);
            let tombstone = refused(&stale, "ConflictUnhandled");
            assert_eq!(
                (&tombstone["_version"], &tombstone["_deleted"]),
                (&json!(3), &json!(true))
            );
            // With the very version that the error brought it is refused again, without end for a client that retries.
            let again = mutate(&server, verb, model, input(3), Json::Null);
            refused(&again, "ConflictUnhandled");
        }
    }
}
