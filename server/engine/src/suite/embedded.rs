//! Embedded values that an app of an earlier schema writes whole.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tombolo_core::schema::Schema;

use super::Place;
use super::sessions::Server;
use crate::service::{Engine, Settings};

const FIRST: &str = "
type Spot { x: Int gone: Int }
type Other { a: Int }
type Todo @model @auth(rules: [{ allow: public }]) { id: ID! spot: Spot spots: [Spot] other: Other }";

const SECOND: &str = "
type Spot { x: Int name: String }
type Other { a: Int must: Int! }
type Todo @model @auth(rules: [{ allow: public }]) { id: ID! spot: Spot spots: [Spot] other: Other }";

/// Law: a write by an app of an earlier schema takes nothing from an embedded value that the app does not know, makes no
/// conflict of it, and what it gives for members that are gone is told.
pub fn an_older_apps_embedded_value_keeps_what_the_app_does_not_know(place: &impl Place) {
    let [first, second] = [FIRST, SECOND].map(|sdl| Arc::new(Schema::parse(sdl, "suite.graphql").unwrap()));
    let Some(store) = place.reopen(place.fresh(&first), &second) else {
        return;
    };
    let server = Server(Engine::new(Arc::clone(&second), store, Settings::default()));
    let all = "{ getTodo(id: \"a\") { spot { x name } spots { x name } other { a must } _version } }";
    let shown = || server.ask(all, json!({}), Json::Null)["data"]["getTodo"].clone();
    let create = "mutation ($input: CreateTodoInput!) { createTodo(input: $input) { id } }";
    let update = "mutation ($input: UpdateTodoInput!) { updateTodo(input: $input) { id } }";
    let item = |x: i64, name: &str| json!({ "x": x, "name": name });
    let spots = json!([item(1, "a"), item(2, "b")]);
    let made = json!({ "id": "a", "spot": item(1, "n"), "spots": spots, "other": { "a": 1, "must": 2 } });
    server.ask(create, json!({ "input": made }), Json::Null);

    let old = |number: u64, query: &str, input: Json| {
        let extension = json!({ "replica": "old", "number": number, "schema": first.hash });
        server.ask(query, json!({ "input": input }), extension)["extensions"]["tombolo"]["outcomes"][0].clone()
    };
    let given = json!({
        "id": "a", "_version": 1, "spot": { "x": 5, "gone": 7 }, "spots": [{ "x": 2 }, { "x": 9 }, { "x": 1 }],
        "other": { "a": 3 },
    });
    let outcome = old(1, update, given);
    assert_eq!(outcome["outcome"], "applied", "{outcome}");
    let told = &outcome["conflict"]["fields"];
    assert_eq!(
        (&told[0]["field"], &told[0]["rule"], &told[0]["incoming"], &told[1]),
        (&json!("spot.gone"), &json!("FIELD_REMOVED"), &json!(7), &Json::Null)
    );
    let want = json!({
        "spot": item(5, "n"), "spots": [item(2, "b"), { "x": 9, "name": null }, item(1, "a")],
        "other": { "a": 3, "must": 2 }, "_version": 2,
    });
    assert_eq!(shown(), want);

    // Somebody changes what the old app does not know: to it nothing has changed.
    server.ask(
        update,
        json!({ "input": { "id": "a", "spot": item(5, "m") } }),
        Json::Null,
    );
    let same = old(2, update, json!({ "id": "a", "_version": 2, "spot": { "x": 5 } }));
    assert_eq!(
        (&same["outcome"], &shown()["spot"]),
        (&json!("applied"), &item(5, "m")),
        "{same}"
    );
    // And a conflict about what it does know is settled as ever, without the rest.
    server.ask(
        update,
        json!({ "input": { "id": "a", "spot": item(6, "k") } }),
        Json::Null,
    );
    let stale = old(3, update, json!({ "id": "a", "_version": 2, "spot": { "x": 8 } }));
    assert_eq!(
        (&stale["outcome"], &shown()["spot"]),
        (&json!("merged"), &item(6, "k")),
        "{stale}"
    );

    let lacking = old(4, create, json!({ "id": "b", "other": { "a": 1 } }));
    assert_eq!(lacking["reason"]["code"], "SchemaChanged", "{lacking}");
    assert_eq!(
        lacking["conflict"]["payload"]["values"]["other"],
        json!({ "a": 1 }),
        "{lacking}"
    );
}
