//! What the documentation's examples stand on.
#![allow(clippy::unwrap_used)]

/// The typed examples are generated from the API of the schema that they open.
#[test]
fn the_api_of_the_examples_is_the_generated_one() {
    let schema = tombolo::Schema::parse("type Note @model { id: ID! text: String! }", "schema.graphql").unwrap();
    assert_eq!(
        schema.api_sdl,
        include_str!("../doc/api.graphql"),
        "write the left side into sdk/client/doc/api.graphql"
    );
}
