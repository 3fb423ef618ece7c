//! `_operations` of an update: bound beside the values, checked like them.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tombolo_core::merge::Operation;
use tombolo_core::query::{MutationInput, RootField, Side};
use tombolo_core::schema::Schema;
use tombolo_core::value::Value;

use crate::support::{bind, key_access, local};

const SDL: &str = "type Todo @model {
  id: ID!
  title: String
  likes: Int @merge(rule: COUNTER)
  labels: [String] @merge(rule: SET)
  hidden: Int @merge(rule: COUNTER) @auth(rules: [{ allow: owner }])
}";

fn schema() -> Arc<Schema> {
    Arc::new(Schema::parse(SDL, "schema.graphql").unwrap())
}

/// What an update with `input` is bound to, or why it is refused.
fn update(input: &Json) -> Result<MutationInput, String> {
    let schema = schema();
    let text = "mutation ($i: UpdateTodoInput!) { updateTodo(input: $i) { id } }";
    let bound = bind(&schema, text, json!({ "i": input }), &local(&schema), Side::Server)
        .map_err(|errors| format!("{errors:?}"))?;
    if let Some(error) = bound.refusal(0) {
        return Err(error.message.clone());
    }
    match &bound.roots()[0].field {
        RootField::Mutation(input) => Ok(input.clone()),
        other => panic!("{other:?}"),
    }
}

#[test]
fn operations_are_bound_by_field_in_the_order_given() {
    let got = update(&json!({
        "id": "1", "title": "t", "_operations": { "labels": { "add": ["a", "b"], "remove": ["c"] }, "likes": { "add": -2 } }
    }))
    .unwrap();
    let model = &schema().models[0];
    let field = |name: &str| model.field(name).unwrap();
    assert_eq!(got.values.len(), 2);
    let set = Operation::Set {
        add: vec![json!("a"), json!("b")],
        remove: vec![json!("c")],
    };
    let add = Operation::Add(Value::Int(-2));
    assert_eq!(got.operations, [(field("labels"), set), (field("likes"), add)]);
    for nothing in [json!(null), json!({}), json!({ "likes": null })] {
        let got = update(&json!({ "id": "1", "_operations": nothing })).unwrap();
        assert!(got.operations.is_empty());
    }
}

#[test]
fn operations_are_literals_too() {
    let schema = schema();
    let text = "mutation ($n: Int!) { updateTodo(input: { id: \"1\", _operations: { likes: { add: $n }, labels: { add: \"a\" } } }) { id } }";
    let bound = bind(&schema, text, json!({ "n": 3 }), &local(&schema), Side::Replica).unwrap();
    let RootField::Mutation(input) = &bound.roots()[0].field else {
        panic!("{:?}", bound.refusal(0))
    };
    assert_eq!(input.operations.len(), 2);
    assert_eq!(input.operations[0].1, Operation::Add(Value::Int(3)));
}

#[test]
fn an_operation_that_cannot_be_meant_is_refused() {
    for (operations, beside, why) in [
        (
            json!({ "likes": { "add": 1 } }),
            json!({ "likes": 4 }),
            "a value and an operation",
        ),
        (
            json!({ "labels": { "add": ["a"] } }),
            json!({ "labels": null }),
            "a value and an operation",
        ),
        (json!({ "likes": {} }), json!({}), "add"),
        (json!({ "likes": { "add": 1, "remove": 1 } }), json!({}), "remove"),
        (json!({ "labels": { "add": [null] } }), json!({}), "null"),
        (json!({ "title": { "add": "x" } }), json!({}), "title"),
    ] {
        let mut input = json!({ "id": "1", "_operations": operations });
        input
            .as_object_mut()
            .unwrap()
            .extend(beside.as_object().unwrap().clone());
        let error = update(&input).unwrap_err();
        assert!(error.contains(why), "{input}: {error}");
    }
}

#[test]
fn an_operation_on_a_field_that_may_not_be_written_is_refused() {
    let schema = schema();
    let text = "mutation { updateTodo(input: { id: \"1\", _operations: { hidden: { add: 1 } } }) { id } }";
    let bound = bind(&schema, text, json!({}), &key_access(&schema), Side::Server).unwrap();
    assert_eq!(bound.refusal(0).unwrap().message, "Unauthorized on [hidden]");
}
