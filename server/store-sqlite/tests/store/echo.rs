//! What a mutation is given comes back as it was given: in its answer, from a query, in a sync, and after another field
//! changed. DataStore compares what it sent with what it gets, and learns the new version only if the two are equal.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Value as Json, json};
use tombolo_core::access::Identity;
use tombolo_core::query::OperationKind;
use tombolo_core::schema::Schema;
use tombolo_core::wire::graphql::Request;
use tombolo_engine::suite::block_on;
use tombolo_engine::{Engine, Settings};
use tombolo_store_sqlite::SqliteStore;

const SDL: &str = r#"
enum Mood { GOOD BAD }
type Deep { n: Float at: AWSDateTime json: AWSJSON moods: [Mood] }
type Spot { z: Int a: String deep: Deep list: [Float] stamp: AWSTimestamp deeps: [Deep] }
type All @model @auth(rules: [{ allow: public }]) {
  id: ID!
  other: String
  ref: ID
  string: String
  int: Int
  float: Float
  boolean: Boolean
  mood: Mood
  date: AWSDate
  time: AWSTime
  dateTime: AWSDateTime
  timestamp: AWSTimestamp
  email: AWSEmail
  json: AWSJSON
  url: AWSURL
  phone: AWSPhone
  ip: AWSIPAddress
  spot: Spot
  refs: [ID]
  strings: [String]
  ints: [Int]
  floats: [Float]
  booleans: [Boolean]
  moods: [Mood]
  dates: [AWSDate]
  times: [AWSTime]
  dateTimes: [AWSDateTime]
  timestamps: [AWSTimestamp]
  jsons: [AWSJSON]
  spots: [Spot]
}
"#;

/// Field, and its value as JSON text, which must come back to the byte.
const VALUES: &[(&str, &str)] = &[
    ("ref", r#""00012""#),
    ("ref", r#""""#),
    ("string", r#""""#),
    ("string", r#""a \"quote\", a \\, a / and\n\ta line, é, 漢, 🏝""#),
    ("string", r#"" spaces  stay ""#),
    ("string", r#""2024-01-01T00:00:00.000Z""#),
    ("string", r#""1.0""#),
    ("int", "-2147483648"),
    ("int", "0"),
    ("float", "0.1"),
    ("float", "-1.5"),
    ("float", "1.7976931348623157e+308"),
    // A reader that is not exact to the last digit gives a neighbour of these.
    ("float", "123456789.12345679"),
    ("float", "10928588.983213553"),
    ("float", "0.1399601630397701"),
    ("float", "-254584582181.7703"),
    (
        "floats",
        "[0.3146575865605324,26.586098094205056,5e-324,2.2250738585072014e-308]",
    ),
    ("boolean", "false"),
    ("mood", r#""BAD""#),
    ("date", r#""2024-02-29""#),
    ("date", r#""2024-02-29Z""#),
    ("date", r#""2024-02-29+01:00""#),
    ("time", r#""12:30:00""#),
    ("time", r#""12:30:00.100""#),
    ("time", r#""12:30:00.123456789-05:30""#),
    ("dateTime", r#""2024-02-29T12:30:00Z""#),
    ("dateTime", r#""2024-02-29T12:30:00.000Z""#),
    ("dateTime", r#""2024-02-29T12:30:00.120+05:30:15""#),
    ("timestamp", "0"),
    ("timestamp", "-62135596800"),
    ("timestamp", "1700000000123"),
    ("timestamp", "9007199254740993"),
    ("timestamp", "9223372036854775807"),
    ("timestamp", "-9223372036854775808"),
    ("email", r#""Ann.O'Neil+x@Example.COM""#),
    ("json", r#""{\"b\": 1 ,\"a\":[1.0,1e3, 1E3]}""#),
    ("json", r#""{\"a\":1,\"a\":2}""#),
    ("json", r#""null""#),
    ("json", r#""\"text\"""#),
    ("json", r#""[ ]""#),
    ("json", r#"" 12345678901234567890.10 ""#),
    ("url", r#""HTTPS://Example.com:443/%7euser/../x?q=ü#f""#),
    ("phone", r#""+41 44 668-18-00""#),
    ("ip", r#""2001:0DB8:0000::0001/64""#),
    ("ip", r#""127.0.0.1""#),
    ("refs", r#"["b","a","b",null]"#),
    ("strings", r#"["z","a","z","",null]"#),
    ("strings", "[]"),
    ("ints", "[3,1,2,1,-1,null]"),
    ("floats", "[0.1,-2.5,1e+300]"),
    ("booleans", "[true,false,null,true]"),
    ("moods", r#"["BAD","GOOD","BAD"]"#),
    ("dates", r#"["2024-02-29Z","2024-01-01"]"#),
    ("times", r#"["12:30:00.000","00:00:00Z"]"#),
    ("dateTimes", r#"["2024-02-29T12:30:00.000Z","2024-02-29T12:30:00Z"]"#),
    ("timestamps", "[1700000000123,-1,9007199254740993]"),
    ("jsons", r#"["{\"b\": 1 }","[1.0]",null]"#),
    (
        "spot",
        r#"{"z":1,"a":"x","deep":{"n":0.5,"at":"2024-02-29T12:30:00.000+00:00","json":"{ }","moods":["BAD","GOOD"]},"list":[2.5,1.5],"stamp":1700000000123,"deeps":[]}"#,
    ),
    (
        "spot",
        r#"{"z":null,"a":null,"deep":null,"list":null,"stamp":null,"deeps":[null,{"n":null,"at":null,"json":"1.0","moods":null}]}"#,
    ),
    (
        "spots",
        r#"[{"z":2,"a":"b","deep":null,"list":[],"stamp":-1,"deeps":null},null,{"z":1,"a":"a","deep":null,"list":[0.1],"stamp":9007199254740993,"deeps":null}]"#,
    ),
];

/// What comes back otherwise: field, sent, returned. GraphQL has it so, and clients find the two equal: numbers are those of
/// JavaScript, which never writes `0.10`.
const COERCED: &[(&str, &str, &str)] = &[
    ("ref", "12", r#""12""#),
    ("float", "5", "5.0"),
    ("float", "1e3", "1000.0"),
    ("float", "0.10", "0.1"),
    ("float", "-0.0", "0.0"),
    ("float", "1e300", "1e+300"),
    ("floats", "[1,2.50]", "[1,2.5]"),
    ("timestamp", "5.0", "5"),
    ("strings", r#""one""#, r#"["one"]"#),
];

struct Server(Engine<SqliteStore>);

impl Server {
    fn new() -> Self {
        let schema = Arc::new(Schema::parse(SDL, "echo.graphql").unwrap_or_else(|e| panic!("{e}")));
        let store = SqliteStore::open_in_memory(Arc::clone(&schema), &super::options()).unwrap();
        Self(Engine::new(schema, store, Settings::default()))
    }

    /// The bytes of the answer; `variables` as JSON text, as a client sends it.
    fn ask(&self, query: &str, variables: &str) -> String {
        let Self(engine) = self;
        let request = Request {
            query: query.to_owned(),
            operation_name: None,
            variables: serde_json::from_str(variables).unwrap(),
            extensions: None,
        };
        let identity = Identity::ApiKey { name: "test".into() };
        let prepared = engine.prepare(&identity, &request).unwrap();
        let bytes = block_on(async {
            if prepared.kind() == OperationKind::Query {
                return engine.query(&prepared).await.unwrap().into_bytes(None);
            }
            let submission = engine.submission(&prepared, vec!["fresh".into()]);
            let verdicts = engine.commit(vec![submission], 1_704_067_200_123).await.unwrap();
            engine.respond(&prepared, &verdicts[0]).await.unwrap()
        });
        String::from_utf8(bytes).unwrap()
    }
}

/// The text of `answer.data.root.field`, or of the first of its `items`.
fn text(answer: &str, root: &str, field: &str) -> String {
    type Members<'a> = BTreeMap<String, &'a RawValue>;
    let members = |text| serde_json::from_str::<Members<'_>>(text).unwrap_or_else(|e| panic!("{e}: {answer}"));
    let data = members(members(answer)["data"].get());
    let mut found = members(data[root].get());
    if let Some(items) = found.get("items") {
        found = serde_json::from_str::<Vec<Members<'_>>>(items.get()).unwrap().remove(0);
    }
    found[field].get().to_owned()
}

fn selection(field: &str) -> String {
    let deep = "{ n at json moods }";
    match field {
        "spot" | "spots" => format!("{field} {{ z a deep {deep} list stamp deeps {deep} }}"),
        _ => field.to_owned(),
    }
}

/// Where `field`, sent as `sent`, does not come back as `want`.
fn wrong(field: &str, sent: &str, want: &str) -> Vec<String> {
    let server = Server::new();
    let select = selection(field);
    let create = format!("mutation ($input: CreateAllInput!) {{ createAll(input: $input) {{ id {select} }} }}");
    let update = format!("mutation ($input: UpdateAllInput!) {{ updateAll(input: $input) {{ id {select} }} }}");
    let (get, list) = (
        format!("{{ getAll(id: \"1\") {{ {select} }} }}"),
        format!("items {{ {select} }}"),
    );
    let steps = [
        (
            "createAll",
            &create,
            format!(r#"{{"input":{{"id":"1","{field}":{sent}}}}}"#),
            want,
        ),
        // An update of another field leaves it alone, one of this field gives it back.
        (
            "updateAll",
            &update,
            r#"{"input":{"id":"1","other":"x","_version":1}}"#.to_owned(),
            want,
        ),
        (
            "updateAll",
            &update,
            format!(r#"{{"input":{{"id":"1","{field}":{sent},"_version":2}}}}"#),
            want,
        ),
        ("getAll", &get, "{}".to_owned(), want),
        (
            "listAlls",
            &format!("{{ listAlls {{ {list} }} }}"),
            "{}".to_owned(),
            want,
        ),
        (
            "syncAlls",
            &format!("{{ syncAlls {{ {list} }} }}"),
            "{}".to_owned(),
            want,
        ),
        // A null takes it away, and is there.
        (
            "updateAll",
            &update,
            format!(r#"{{"input":{{"id":"1","{field}":null,"_version":3}}}}"#),
            "null",
        ),
    ];
    let mut out = Vec::new();
    for (step, (root, query, variables, want)) in steps.iter().enumerate() {
        let got = text(&server.ask(query, variables), root, field);
        if got != *want {
            out.push(format!(
                "step {step}, {root}: {field} sent as {sent} is {got} instead of {want}"
            ));
        }
    }
    out
}

#[test]
fn values_come_back_to_the_byte() {
    let wrong: Vec<String> = VALUES
        .iter()
        .flat_map(|(field, value)| wrong(field, value, value))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn what_graphql_coerces_comes_back_coerced() {
    let wrong: Vec<String> = COERCED
        .iter()
        .flat_map(|(field, sent, want)| wrong(field, sent, want))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn long_timestamps_are_taken_in_the_document_too_and_longer_ones_refused() {
    let server = Server::new();
    let answer = server.ask(
        "mutation { createAll(input: { id: \"1\", timestamp: 1700000000123, timestamps: [-1700000000123] }) { timestamp timestamps } }",
        "{}",
    );
    assert_eq!(text(&answer, "createAll", "timestamp"), "1700000000123");
    assert_eq!(text(&answer, "createAll", "timestamps"), "[-1700000000123]");
    let create = "mutation ($input: CreateAllInput!) { createAll(input: $input) { id } }";
    for wrong in ["9223372036854775808", "1.5", "\"1700000000\"", "true"] {
        let answer = server.ask(create, &format!(r#"{{"input":{{"id":"2","timestamp":{wrong}}}}}"#));
        let answer: Json = serde_json::from_str(&answer).unwrap();
        assert_eq!(answer["data"]["createAll"], json!(null), "{wrong}: {answer}");
        assert!(!answer["errors"].as_array().unwrap().is_empty(), "{wrong}");
    }
}

#[test]
fn every_selected_field_is_there_null_or_not() {
    let server = Server::new();
    let select = "id other ref string int float boolean mood date time dateTime timestamp email json url phone ip spot { z } refs \
                  strings spots { z } createdAt updatedAt _version _lastChangedAt _deleted __typename";
    let answer = server.ask(
        &format!("mutation ($input: CreateAllInput!) {{ createAll(input: $input) {{ {select} }} }}"),
        r#"{"input":{"id":"1"}}"#,
    );
    let answer: Json = serde_json::from_str(&answer).unwrap();
    let record = answer["data"]["createAll"].as_object().unwrap();
    assert_eq!(record.len(), 27, "{answer}");
    let present: Vec<&String> = record.iter().filter(|(_, v)| !v.is_null()).map(|(k, _)| k).collect();
    assert_eq!(
        present,
        [
            "id",
            "createdAt",
            "updatedAt",
            "_version",
            "_lastChangedAt",
            "__typename"
        ]
    );
    assert_eq!(record["createdAt"], "2024-01-01T00:00:00.123Z");
    assert_eq!(record["_lastChangedAt"], 1_704_067_200_123_i64);
}
