//! Corners of AppSync's API that need more than a name: what its odd types and fields mean here.

use tombolo_core::schema::{FieldKind, Scalar, Schema};

fn parse(sdl: &str) -> Schema {
    Schema::parse(sdl, "s.graphql").unwrap_or_else(|e| panic!("{e}"))
}

/// The lines of one type of the API.
fn block(schema: &Schema, name: &str) -> String {
    let start = schema
        .api_sdl
        .find(&format!(" {name} {{"))
        .unwrap_or_else(|| panic!("{name}\n{}", schema.api_sdl));
    let lines = schema.api_sdl[start..].lines().skip(1).take_while(|line| *line != "}");
    lines.map(str::trim).collect::<Vec<_>>().join(", ")
}

#[test]
fn an_id_that_is_a_text_is_an_id_that_is_shown_as_a_text() {
    let schema = parse("type Device @model { id: String! kids: [Kid] @hasMany } type Kid @model { id: ID! }");
    let device = &schema.models[0];
    assert_eq!(device.field_at(device.key[0]).ty.kind, FieldKind::Scalar(Scalar::Id));
    assert!(block(&schema, "Device").starts_with("id: String!, "));
    assert!(block(&schema, "CreateDeviceInput").starts_with("id: String, "));
    assert!(block(&schema, "UpdateDeviceInput").starts_with("id: String!, "));
    assert_eq!(block(&schema, "DeleteDeviceInput"), "id: ID!, _version: Int");
    assert!(block(&schema, "Query").contains("getDevice(id: ID!): Device"));
    // A key that is named keeps its type.
    let schema = parse("type Device @model { id: String! @primaryKey }");
    assert!(block(&schema, "Query").contains("getDevice(id: String!): Device"));
}

#[test]
fn filters_know_names_that_no_record_has() {
    let schema = parse(
        "type Shop @model { code: ID! @primaryKey orders: [Order] @hasMany }
         type Order @model { id: ID! }",
    );
    let kind = FieldKind::Scalar(Scalar::Id);
    assert_eq!(
        schema.models[0].absent,
        [("shopOrdersCode".to_owned(), kind.clone()), ("id".to_owned(), kind)]
    );
    assert_eq!(schema.models[1].absent, []);
}

#[test]
fn a_list_of_an_enum_can_be_searched_however_it_is_declared() {
    let schema = parse("enum Mood { A B } type T @model { some: [Mood] all: [Mood!]! }");
    assert!(block(&schema, "ModelTFilterInput").contains("some: ModelMoodListInput, all: ModelMoodInput"));
    assert_eq!(
        block(&schema, "ModelMoodInput"),
        "eq: Mood, ne: Mood, contains: Mood, notContains: Mood"
    );
    assert_eq!(
        block(&parse("enum Mood { A } type T @model { m: Mood }"), "ModelMoodInput"),
        "eq: Mood, ne: Mood"
    );
}

#[test]
fn an_enum_whose_filter_would_be_a_shared_input_is_warned_about() {
    let schema = parse("enum Size { S M }\ntype T @model { size: Size }");
    assert!(block(&schema, "ModelSizeInput").contains("eq: Int"));
    let told: Vec<String> = schema.warnings.iter().map(ToString::to_string).collect();
    assert!(
        matches!(&*told, [one] if one.starts_with("s.graphql:1:6: filters cannot test fields of the enum `Size`")),
        "{told:?}"
    );
}

#[test]
fn a_list_that_makes_its_keys_is_sorted_and_conditioned_by_the_targets_sort_key() {
    let schema = parse(
        "type Shop @model { id: ID! orders: [Order] @hasMany }
         type Order @model { id: ID! @primaryKey(sortKeyFields: [\"at\"]) at: AWSDateTime! }",
    );
    let (shop, order) = (&schema.models[0], &schema.models[1]);
    let relation = shop.relation("orders").unwrap();
    assert!(relation.conditioned);
    assert_eq!(relation.sort_fields, [order.field("at").unwrap()]);
    let path: Vec<&str> = order.indexes[0]
        .fields
        .iter()
        .map(|f| order.field_at(*f).name.as_str())
        .collect();
    assert_eq!(path, ["shopOrdersId", "at"]);
    assert!(block(&schema, "Shop").contains("orders(at: ModelStringKeyConditionInput, filter:"));
}
