//! Bad input: each mistake has a message that says what is wrong, and a place.

use serde_json::{Value as Json, json};
use tombolo_core::query::{Answer, Side};
use tombolo_core::value::Value;

use crate::support::{Db, Stored, local, refused, schema};

#[test]
fn documents_that_cannot_be_answered() {
    for (text, variables, part, place) in [
        ("{ listPosts", json!({}), "syntax error", Some((1, 12))),
        ("{ listPost { nextToken } }", json!({}), "`listPost`", Some((1, 3))),
        ("{ getPost(id: 1) { nope } }", json!({}), "`nope`", Some((1, 20))),
        ("{ getPost { id } }", json!({}), "id", Some((1, 3))),
        ("{ getPost(id: 1) }", json!({}), "subselection", None),
        ("query ($a: Nope) { getPost(id: $a) { id } }", json!({}), "Nope", None),
        ("{ getPost(id: $x) { id } }", json!({}), "`$x`", Some((1, 15))),
        (
            "{ listPosts(limit: \"x\") { nextToken } }",
            json!({}),
            "Int",
            Some((1, 20)),
        ),
        (
            "{ listPosts(filter: {nope: {eq: 1}}) { nextToken } }",
            json!({}),
            "nope",
            None,
        ),
        (
            "query A { __typename } query B { __typename }",
            json!({}),
            "operationName",
            None,
        ),
        (
            "query ($id: ID!) { getPost(id: $id) { id } }",
            json!({}),
            "Variable 'id' has coerced Null value for NonNull type 'ID!'",
            Some((1, 8)),
        ),
        (
            "query ($id: ID!) { getPost(id: $id) { id } }",
            json!({"id": null}),
            "has coerced Null value",
            None,
        ),
        (
            "query ($id: ID!) { getPost(id: $id) { id } }",
            json!({"id": {}}),
            "could not coerce variable id",
            None,
        ),
        (
            "query ($n: Int) { listPosts(limit: $n) { nextToken } }",
            json!({"n": 1e12}),
            "could not coerce variable n",
            None,
        ),
        (
            "mutation ($input: CreateCommentInput!) { createComment(input: $input) { id } }",
            json!({"input": {"content": "c", "x": 1}}),
            "The variables input contains a field name 'x' that is not defined for input object type 'CreateCommentInput'",
            None,
        ),
        (
            "subscription { onCreatePost { id } onDeletePost { id } }",
            json!({}),
            "subscription",
            None,
        ),
        ("", json!({}), "", None),
    ] {
        let errors = refused(text, variables);
        let all = errors
            .iter()
            .map(|e| e.message.as_str())
            .collect::<Vec<_>>()
            .join(" | ");
        assert!(all.to_lowercase().contains(&part.to_lowercase()), "{text}: {all}");
        if let Some((line, column)) = place {
            let at = errors[0].locations.as_ref().map(|l| (l[0].line, l[0].column));
            assert_eq!(at, Some((line, column)), "{text}: {all}");
        }
        let whole: Json = serde_json::from_slice(&Answer::refused(errors).into_bytes(None)).unwrap();
        assert_eq!(whole["data"], Json::Null);
        assert_eq!(whole["errors"][0]["errorType"], "BadRequest", "{text}");
    }
}

#[test]
fn stored_values_of_the_wrong_class_are_null_with_a_path() {
    let schema = schema();
    let mut db = Db::new(&schema);
    let id = schema.model_named("Author").unwrap();
    let model = schema.model(id);
    let mut values = vec![Value::Null; model.fields.len()];
    for (name, value) in [
        ("id", Value::Text("1".into())),
        ("name", Value::Text("n".into())),
        ("age", Value::Text("old".into())),
        ("active", Value::Int(7)),
        ("status", Value::Text("LOST".into())),
        ("nicknames", Value::Text("[not json".into())),
        ("place", Value::Text("[1]".into())),
    ] {
        values[model.field(name).unwrap().0] = value;
    }
    let stored = Stored {
        values,
        version: 1,
        deleted: false,
        changed_at: 1,
        position: 1,
    };
    db.insert(id, &stored);
    let answer = db.ask(
        "{ getAuthor(id: 1) { name age status nicknames place { name } } }",
        json!({}),
    );
    assert_eq!(
        answer["data"]["getAuthor"],
        json!({"name": "n", "age": null, "status": null, "nicknames": null, "place": null})
    );
    let paths: Vec<&Json> = answer["errors"]
        .as_array()
        .unwrap()
        .iter()
        .map(|e| &e["path"][1])
        .collect();
    assert_eq!(paths, ["age", "status", "nicknames", "place"]);
    // A non-null field takes its record with it; in a list the others stay.
    let answer = db.ask("{ listAuthors { items { name active } } }", json!({}));
    assert_eq!(answer["data"]["listAuthors"]["items"], json!([null]));
    assert_eq!(
        answer["errors"][0]["path"],
        json!(["listAuthors", "items", 0, "active"])
    );
    let answer = db.ask_as(
        "{ listAuthors { items { createdAt } } }",
        json!({}),
        &local(&schema),
        Side::Server,
    );
    assert_eq!(
        answer["errors"][0]["message"],
        "Cannot return null for non-nullable type: 'AWSDateTime' within parent 'Author' (/listAuthors/items[0]/createdAt)"
    );
}
