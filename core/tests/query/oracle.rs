//! The oracle: our plans over SQLite give what apollo-compiler's executor gives over the same records in memory, nulls and
//! the paths of errors included.

use proptest::prelude::*;
use serde_json::Value as Json;

use crate::generate::{self, Choices};
use crate::naive::{TOKEN, World};
use crate::support::{Db, schema};

/// Cases when `PROPTEST_CASES` does not say otherwise.
const CASES: u32 = 300;

pub(crate) fn config() -> ProptestConfig {
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|n| n.parse().ok());
    ProptestConfig {
        cases: cases.unwrap_or(CASES),
        failure_persistence: None,
        max_shrink_iters: 1_500,
        ..ProptestConfig::default()
    }
}

fn bytes(most: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..most)
}

/// Equal, where any text of ours stands for the reference's token.
fn equal(ours: &Json, reference: &Json) -> bool {
    match (ours, reference) {
        (Json::String(_), Json::String(token)) if token == TOKEN => true,
        (Json::Array(a), Json::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| equal(a, b)),
        // The order of members counts too.
        (Json::Object(a), Json::Object(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|((ka, a), (kb, b))| ka == kb && equal(a, b))
        }
        (a, b) => a == b,
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn answers_are_those_of_the_reference_executor(data in bytes(900), text in bytes(300)) {
        let schema = schema();
        let records = generate::data(&mut Choices::new(&data), &schema);
        let query = generate::query(&mut Choices::new(&text), &schema);
        let mut db = Db::new(&schema);
        for (model, stored) in &records {
            for one in stored {
                db.insert(*model, one);
            }
        }
        let answer = db.ask(&query.text, query.variables.clone());
        let mut paths: Vec<String> = answer
            .get("errors")
            .and_then(Json::as_array)
            .into_iter()
            .flatten()
            .map(|e| e["path"].to_string())
            .collect();
        paths.sort();
        let (data, reference_paths) = World::new(&schema, &records).ask(&query.text, &query.variables);
        prop_assert!(
            equal(&answer["data"], &data),
            "{}\nvariables {}\nours      {}\nreference {}\nstatements {:#?}",
            query.text, query.variables, answer["data"], data, db.statements
        );
        prop_assert_eq!(paths, reference_paths, "{}\n{}", query.text, answer);
    }
}
