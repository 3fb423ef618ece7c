//! What templates see, and what CONTEXT.md says of it.

#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use serde_json::Value as Json;
use tombolo_codegen::{Language, Options, context_json};
use tombolo_core::schema::Schema;

const SMALL: &str = include_str!("schemas/small.graphql");
const OPERATIONS: &str = include_str!("schemas/small.operations.graphql");
const PAGE: &str = include_str!("../CONTEXT.md");

fn context(language: Language) -> Json {
    let schema = Schema::parse(SMALL, "small.graphql").unwrap();
    let operations = [("small.operations.graphql".to_owned(), OPERATIONS.to_owned())];
    serde_json::from_str(&context_json(&schema, &operations, &Options::new(language)).unwrap()).unwrap()
}

fn keys(json: &Json, out: &mut BTreeSet<String>) {
    match json {
        Json::Object(members) => {
            for (key, value) in members {
                // A default is the schema's own JSON.
                out.insert(key.clone());
                if key != "default" {
                    keys(value, out);
                }
            }
        }
        Json::Array(items) => items.iter().for_each(|item| keys(item, out)),
        _ => {}
    }
}

#[test]
fn the_page_names_every_key_of_the_context() {
    let mut all = BTreeSet::new();
    keys(&context(Language::Kotlin), &mut all);
    let unnamed: Vec<&String> = all.iter().filter(|key| !PAGE.contains(&format!("`{key}`"))).collect();
    assert!(
        unnamed.is_empty(),
        "CONTEXT.md does not say what these are: {unnamed:?}"
    );
    assert!(all.len() > 80, "{all:?}");
}
