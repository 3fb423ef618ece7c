//! What an identity may not see is null with `Unauthorized`, wherever it is asked for: never a row, never a value.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tombolo_core::query::{RootField, Side};
use tombolo_core::schema::Schema;

use crate::support::{Db, bind, key_access};

const SDL: &str = r#"
type Open @model @auth(rules: [{ allow: public }]) {
  id: ID!
  secret: String @auth(rules: [{ allow: private, provider: userPools }])
  must: String! @auth(rules: [{ allow: private, provider: userPools }])
  shown: String
  closedId: ID
  closed: Closed @hasOne(fields: ["closedId"])
}
type Closed @model @auth(rules: [{ allow: owner }]) { id: ID! name: String }
type ReadOnly @model @auth(rules: [{ allow: public, operations: [read] }]) { id: ID! name: String }
"#;

fn db() -> Db {
    let schema = Arc::new(Schema::parse(SDL, "s.graphql").unwrap());
    let db = Db::new(&schema);
    db.fill(
        "Open",
        json!([{"id": "1", "secret": "s", "must": "m", "shown": "x", "closedId": "1"}]),
    );
    db.fill("Closed", json!([{"id": "1", "name": "n"}]));
    db.fill("ReadOnly", json!([{"id": "1", "name": "n"}]));
    db
}

#[test]
fn refusals() {
    let mut db = db();
    let access = key_access(&db.schema);
    for (text, data, message, path) in [
        (
            "{ listCloseds { items { id } } ok: getReadOnly(id: 1) { name } }",
            json!({"listCloseds": null, "ok": {"name": "n"}}),
            "Not Authorized to access listCloseds on type Query",
            json!(["listCloseds"]),
        ),
        (
            "{ getClosed(id: 1) { id } }",
            json!({"getClosed": null}),
            "Not Authorized to access getClosed on type Query",
            json!(["getClosed"]),
        ),
        (
            "{ listOpens { items { shown secret } } }",
            json!({"listOpens": {"items": [{"shown": "x", "secret": null}]}}),
            "Not Authorized to access secret on type Open",
            json!(["listOpens", "items", 0, "secret"]),
        ),
        (
            "{ listOpens(sort: [{field: shown}, {field: secret}]) { items { shown } } }",
            json!({"listOpens": null}),
            "Not Authorized to access secret on type Open",
            json!(["listOpens"]),
        ),
        (
            "{ getOpen(id: 1) { shown must } }",
            json!({"getOpen": null}),
            "Not Authorized to access must on type Open",
            json!(["getOpen", "must"]),
        ),
        (
            "{ getOpen(id: 1) { shown closed { name } } }",
            json!({"getOpen": {"shown": "x", "closed": null}}),
            "Not Authorized to access closed on type Open",
            json!(["getOpen", "closed"]),
        ),
        (
            "{ listOpens(filter: {or: [{secret: {eq: \"s\"}}]}) { items { id } } }",
            json!({"listOpens": null}),
            "Not Authorized to access secret on type Open",
            json!(["listOpens"]),
        ),
        (
            "mutation { createReadOnly(input: {name: \"n\"}) { id } }",
            json!({"createReadOnly": null}),
            "Not Authorized to access createReadOnly on type Mutation",
            json!(["createReadOnly"]),
        ),
        (
            "mutation { updateOpen(input: {id: 1, secret: \"t\"}) { id } }",
            json!({"updateOpen": null}),
            "Unauthorized on [secret]",
            json!(["updateOpen"]),
        ),
        (
            "mutation { updateOpen(input: {id: 1, shown: \"t\"}, condition: {secret: {eq: \"t\"}}) { id } }",
            json!({"updateOpen": null}),
            "Not Authorized to access secret on type Open",
            json!(["updateOpen"]),
        ),
        (
            "subscription { onCreateOpen(filter: {secret: {eq: \"t\"}}) { id } }",
            json!({"onCreateOpen": null}),
            "Not Authorized to access secret on type Open",
            json!(["onCreateOpen"]),
        ),
        (
            "subscription { onCreateClosed { id } }",
            json!({"onCreateClosed": null}),
            "Not Authorized to access onCreateClosed on type Subscription",
            json!(["onCreateClosed"]),
        ),
    ] {
        let answer = db.ask_as(text, json!({}), &access, Side::Server);
        assert_eq!(answer["data"], data, "{text}");
        assert_eq!(answer["errors"].as_array().unwrap().len(), 1, "{answer}");
        assert_eq!(answer["errors"][0]["message"], message);
        assert_eq!(answer["errors"][0]["errorType"], "Unauthorized");
        assert_eq!(answer["errors"][0]["path"], path);
        assert_ne!(answer["errors"][0]["locations"], Json::Null);
    }
}

#[test]
fn a_refused_mutation_is_no_mutation() {
    let db = db();
    let access = key_access(&db.schema);
    let text = "mutation { createReadOnly(input: {name: \"n\"}) { id } }";
    let bound = bind(&db.schema, text, json!({}), &access, Side::Server).unwrap();
    assert_eq!(bound.roots()[0].field, RootField::Fixed);
    assert!(bound.refusal(0).is_some());
}

#[test]
fn a_field_is_written_only_by_the_kinds_of_mutation_that_its_rules_grant() {
    let sdl = "type Flight @model @auth(rules: [{ allow: public }]) {
        id: ID!
        born: String @auth(rules: [{ allow: public, operations: [create, read] }])
        later: String @auth(rules: [{ allow: public, operations: [update, read] }])
        never: String @auth(rules: [{ allow: public, operations: [read] }])
    }";
    let schema = Arc::new(Schema::parse(sdl, "s.graphql").unwrap());
    let access = key_access(&schema);
    for (field, create, update) in [("born", true, false), ("later", false, true), ("never", false, false)] {
        for (root, granted) in [("createFlight", create), ("updateFlight", update)] {
            let text = format!("mutation {{ {root}(input: {{ id: 1, {field}: \"x\" }}) {{ id }} }}");
            let bound = bind(&schema, &text, json!({}), &access, Side::Server).unwrap();
            let refusal = bound.refusal(0).map(|error| error.message.as_str());
            let expected = format!("Unauthorized on [{field}]");
            assert_eq!(refusal, (!granted).then_some(expected.as_str()), "{text}");
        }
    }
    // A delete gives nothing but the key, and stays what the model's rules say.
    let text = "mutation { deleteFlight(input: { id: 1 }) { id } }";
    let bound = bind(&schema, text, json!({}), &access, Side::Server).unwrap();
    assert!(bound.refusal(0).is_none());
}
