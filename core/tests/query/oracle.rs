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

    /// However a list is sorted, its pages are those of the whole list, each record once.
    #[test]
    fn sorted_pages_together_are_the_sorted_list(data in bytes(900), text in bytes(60)) {
        let schema = schema();
        let records = generate::data(&mut Choices::new(&data), &schema);
        let mut db = Db::new(&schema);
        for (model, stored) in &records {
            for one in stored {
                db.insert(*model, one);
            }
        }
        let mut c = Choices::new(&text);
        let model = &schema.models[c.pick(schema.models.len())];
        let list = format!("list{}", model.plural);
        let keys: Vec<&str> = model.key.iter().map(|f| model.field_at(*f).name.as_str()).collect();
        let sort = generate::unmarked(&generate::sort(&mut c, model));
        let ask = format!(
            "query ($s: [Model{}SortInput!], $l: Int, $t: String) {{ {list}(sort: $s, limit: $l, nextToken: $t) \
             {{ items {{ {} }} nextToken }} }}",
            model.name,
            keys.join(" ")
        );
        let whole = db.ask(&ask, serde_json::json!({ "s": sort, "l": 100 }));
        let limit = 1 + c.pick(3);
        let (mut paged, mut token) = (Vec::new(), Json::Null);
        loop {
            let page = db.ask(&ask, serde_json::json!({ "s": sort, "l": limit, "t": token }));
            prop_assert!(page.get("errors").is_none(), "{page}");
            let page = &page["data"][&list];
            paged.extend(page["items"].as_array().unwrap().iter().cloned());
            token = page["nextToken"].clone();
            if token.is_null() {
                break;
            }
            prop_assert!(paged.len() < 20, "no end");
        }
        prop_assert_eq!(&whole["data"][&list]["items"], &Json::Array(paged), "{}\n{:#?}", sort, db.statements);
    }

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

#[test]
fn the_generator_reaches_what_the_oracle_is_for() {
    let schema = schema();
    let (mut errors, mut tokens, mut nested, mut fragments, mut propagated, mut sorted) = (0, 0, 0, 0, 0, 0);
    let mut state = 7_u64;
    let mut random = move |n: usize| -> Vec<u8> {
        (0..n)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                (state >> 33) as u8
            })
            .collect()
    };
    for _ in 0..200 {
        let (data, text) = (random(900), random(300));
        let records = generate::data(&mut Choices::new(&data), &schema);
        let query = generate::query(&mut Choices::new(&text), &schema);
        let mut db = Db::new(&schema);
        for (model, stored) in &records {
            for one in stored {
                db.insert(*model, one);
            }
        }
        let answer = db.ask(&query.text, query.variables.clone());
        let (data, _) = World::new(&schema, &records).ask(&query.text, &query.variables);
        errors += usize::from(answer.get("errors").is_some());
        tokens += usize::from(data.to_string().contains(TOKEN));
        nested += usize::from(db.statements.iter().any(|s| s.contains("json_each(?1) AS p")));
        sorted += usize::from(query.text.contains("sort: ["));
        fragments += usize::from(query.text.contains("\nfragment"));
        propagated +=
            usize::from(answer["data"].to_string().contains("[null") || answer["data"].to_string().contains(",null]"));
    }
    for (what, count) in [
        ("errors", errors),
        ("page tokens", tokens),
        ("nested lists", nested),
        ("fragments", fragments),
        ("orders", sorted),
        ("records nulled in a list", propagated),
    ] {
        assert!(count >= 5, "{what}: {count} of 200");
    }
}
