//! What each fuzz target does with its bytes. A target fails by panicking: a panic of the product, an assertion of ours,
//! an input that takes longer than libFuzzer's time limit.
//!
//! | target | bytes are | must hold |
//! |---|---|---|
//! | [`sdl`] | a schema file | errors with places, or a schema that both stores can be opened with |
//! | [`schema_diff`] | two schema files | a replica's file of the one opens with the other, or says why not |
//! | [`document`] | a GraphQL document | errors, or an answer that is JSON, from server and replica |
//! | [`variables`] | JSON variables of a known document | the same; a database never refuses what was accepted |
//! | [`client_frames`] | frames that a server reads | errors or answers; a resent mutation is answered alike |
//! | [`server_frames`] | frames that a replica reads | a closed link, or steps that leave readable rows |
//! | [`batch`] | a page of the change feed | a typed error, or rows that queries can read |
//! | [`cursor`] | cursors and page tokens | errors, or a page |
//! | [`filter`] | a filter | SQL and memory agree on every record |
//! | [`local_file`] | damage to a replica's file | a typed error, or a replica that answers |
//! | [`mqtt`] | what clients of MQTT send, or a plan for some | well-formed packets, no panic that is caught either, nothing of others, bounded memory, connections that end |
//!
//! `cargo xtask fuzz` builds and runs them; see `docs/testing.md`.

pub mod batch;
pub mod client_frames;
pub mod cursor;
pub mod document;
pub mod filter;
pub mod local_file;
pub mod mqtt;
pub mod mutate;
pub mod replica;
pub mod schema_diff;
pub mod sdl;
pub mod server;
pub mod server_frames;
pub mod variables;

use std::sync::{Arc, OnceLock};

use tombolo_core::schema::Schema;

/// The schema of every target that has a fixed one: each kind of field, key, index and relation, and each strategy.
pub const SCHEMA: &str = r#"
enum Colour { RED GREEN BLUE }
type Spot { x: Int! y: Float name: String tags: [String] }
type Todo @model {
  id: ID!
  title: String!
  note: String
  done: Boolean
  rank: Int @default(value: "3")
  price: Float
  colour: Colour
  colours: [Colour]
  tags: [String]
  spot: Spot
  spots: [Spot!]
  meta: AWSJSON
  day: AWSDate
  hour: AWSTime
  at: AWSDateTime
  stamp: AWSTimestamp
  mail: AWSEmail
  link: AWSURL
  list: ID @index(name: "byList", queryField: "todosByList", sortKeyFields: ["rank"])
  lines: [Line] @hasMany(indexName: "byTodo", fields: ["id"])
}
type Line @model {
  order: ID! @primaryKey(sortKeyFields: ["number"])
  number: Int!
  todo: ID @index(name: "byTodo")
  text: String
  of: Todo @belongsTo(fields: ["todo"])
}
type Strict @model(conflict: OPTIMISTIC_CONCURRENCY) { id: ID! text: String }
type Newest @model(conflict: LAST_WRITER_WINS) { id: ID! text: String items: [Int] }
type Tally @model @renamed(from: ["Count"]) {
  id: ID!
  hits: Int @merge(rule: COUNTER)
  share: Float @merge(rule: COUNTER)
  marks: [String] @merge(rule: SET)
  best: Int @merge(rule: MAX) @renamed(from: ["top"])
  first: AWSDateTime @merge(rule: MIN)
  word: String @merge(rule: LAST_WRITER)
  fixed: String @merge(rule: REJECT)
}
type Own @model @auth(rules: [{ allow: owner }]) { id: ID! secret: String }
"#;

/// [`SCHEMA`], read once.
pub fn schema() -> &'static Arc<Schema> {
    static READ: OnceLock<Arc<Schema>> = OnceLock::new();
    READ.get_or_init(|| Arc::new(Schema::parse(SCHEMA, "fuzz.graphql").expect("the fixed schema is good")))
}

/// The bytes as text; `None` if they are none: nothing that reads text is ever given anything else.
pub(crate) fn text(data: &[u8]) -> Option<&str> {
    std::str::from_utf8(data).ok()
}

/// Fails if the bytes are not one JSON document.
pub(crate) fn check_json(bytes: &[u8]) -> serde_json::Value {
    serde_json::from_slice(bytes)
        .unwrap_or_else(|e| panic!("an answer is not JSON ({e}): {}", String::from_utf8_lossy(bytes)))
}
