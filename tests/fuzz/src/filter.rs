//! A filter: in SQL and in memory it must mean the same.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};
use tombolo_core::access::Access;
use tombolo_core::query::Filter;
use tombolo_core::value::Value;
use tombolo_core::wire::graphql::Request;

use crate::server::{Server, identity};
use crate::{schema, server};

const QUERY: &str = "query($s: TomboloScopeInput!) { tomboloChanges(scope: $s) { fields rows } }";

/// Compares the records that a scope with this filter gives with those that the filter holds for in memory.
pub fn run(data: &[u8]) {
    let Ok(json) = serde_json::from_slice::<Json>(data) else {
        return;
    };
    let todo = schema().model_named("Todo").expect("the model is there");
    let access = Access::of(schema(), &identity());
    let Ok(filter) = Filter::parse(schema(), todo, &json, &access) else {
        return;
    };
    let model = schema().model(todo);
    // Rows have the model's fields in order.
    let id = model.key[0];
    server::with(|server| {
        let in_memory: BTreeSet<&str> = server
            .records
            .iter()
            .filter(|record| filter.matches(model, record))
            .filter_map(|record| text(record.value(id)))
            .collect();
        let answers = ask(server, &json);
        let rows = answers
            .first()
            .and_then(|answer| answer.pointer("/data/tomboloChanges/rows")?.as_array());
        let rows = rows.unwrap_or_else(|| panic!("a scope with a good filter is refused: {answers:?}"));
        let in_sql: BTreeSet<&str> = rows.iter().filter_map(|row| row[id.0].as_str()).collect();
        assert_eq!(in_sql, in_memory, "SQL and memory differ on {json}");
    });
}

fn text(value: &Value) -> Option<&str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn ask(server: &Server, filter: &Json) -> Vec<Json> {
    server.ask(&Request {
        query: QUERY.to_owned(),
        variables: json!({ "s": { "model": "Todo", "filter": filter } })
            .as_object()
            .cloned(),
        ..Request::default()
    })
}
