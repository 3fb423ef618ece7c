//! What is refused for its size, each with the limit's name and what to do.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use tombolo_core::query::{Cache, Document, QueryLimits, Side, answer};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use crate::support::{Db, local, refused, schema};

fn over(errors: &[GraphqlError], name: &str) {
    assert_eq!(errors[0].error_type, Some(ErrorType::LimitExceeded), "{errors:?}");
    assert!(errors[0].message.contains(name), "{}", errors[0].message);
    assert!(errors[0].message.contains(':'), "no mend: {}", errors[0].message);
}

#[test]
fn over_large_documents() {
    over(
        &refused(&format!("{{ __typename }} #{}", " ".repeat(1 << 20)), json!({})),
        "DOCUMENT_BYTES_MAX",
    );
    over(
        &refused(&format!("{{ {} }}", "__typename ".repeat(40_000)), json!({})),
        "DOCUMENT_TOKENS_MAX",
    );
}

#[test]
fn over_deep_documents() {
    let deep = |n: usize| {
        let open = "author { posts { items { ".repeat(n);
        format!("{{ getPost(id: 1) {{ {open} id {} }} }}", "} } } ".repeat(n))
    };
    over(&refused(&deep(20), json!({})), "DOCUMENT_DEPTH_MAX");
    // Depth through fragments, each of them shallow.
    let mut text = String::from("{ getPost(id: 1) { ...F0 } }");
    for i in 0..20 {
        text.push_str(&format!(
            " fragment F{i} on Post {{ author {{ posts(limit: 1) {{ items {{ ...F{} }} }} }} }}",
            i + 1
        ));
    }
    text.push_str(" fragment F20 on Post { id }");
    over(&refused(&text, json!({})), "DOCUMENT_DEPTH_MAX");
}

#[test]
fn too_many_roots_fields_statements_rows() {
    let roots: String = (0..300).map(|i| format!("a{i}: __typename ")).collect();
    over(&refused(&format!("{{ {roots} }}"), json!({})), "ROOT_FIELDS_MAX");
    // Fragments that double at each level.
    let mut text = String::from("{ getPost(id: 1) { ...F0 } }");
    for i in 0..14 {
        let next = i + 1;
        text.push_str(&format!(
            " fragment F{i} on Post {{ a{i}: author {{ p: profile {{ id }} }} x{i}: __typename y{i}: author {{ ...G{next} }} z{i}: author {{ ...G{next} }} }} fragment G{next} on Author {{ posts(limit: 1) {{ items {{ ...F{next} }} }} }}"
        ));
    }
    text.push_str(" fragment F14 on Post { id }");
    let errors = refused(&text, json!({}));
    assert_eq!(errors[0].error_type, Some(ErrorType::LimitExceeded), "{errors:?}");
    let many: String = (0..300)
        .map(|i| format!("a{i}: author {{ id }} b{i}: comments {{ nextToken }} "))
        .collect();
    over(
        &refused(&format!("{{ getPost(id: 1) {{ {many} }} }}"), json!({})),
        "QUERY_NODES_MAX",
    );
    over(
        &refused(
            "{ listAuthors(limit: 1000) { items { posts(limit: 1000) { items { comments(limit: 1000) { items { id } } } } } } }",
            json!({}),
        ),
        "PLANNED_ROWS_MAX",
    );
}

#[test]
fn a_limit_is_a_positive_number_and_at_most_the_page_limit() {
    let mut db = Db::new(&schema());
    for wrong in ["0", "-3"] {
        let answer = db.ask(&format!("{{ listPosts(limit: {wrong}) {{ nextToken }} }}"), json!({}));
        assert_eq!(answer["errors"][0]["errorType"], "BadRequest");
    }
    let items: Vec<_> = (0..1005)
        .map(|i| json!({"orderId": "o", "status": "s", "n": i, "price": 1.0}))
        .collect();
    db.fill("Item", json!(items));
    let answer = db.ask("{ listItems(limit: 5000) { items { n } nextToken } }", json!({}));
    assert_eq!(answer["data"]["listItems"]["items"].as_array().unwrap().len(), 1000);
    assert!(answer["data"]["listItems"]["nextToken"].is_string());
    let answer = db.ask("{ listItems { items { n } } }", json!({}));
    assert_eq!(answer["data"]["listItems"]["items"].as_array().unwrap().len(), 100);
}

#[test]
fn an_answer_that_grows_too_large_is_null_with_the_limit() {
    let mut db = Db::new(&schema());
    let items: Vec<_> = (0..100)
        .map(|i| json!({"orderId": "o".repeat(100), "status": "s", "n": i, "price": 1.0}))
        .collect();
    db.fill("Item", json!(items));
    let limits = QueryLimits {
        answer_bytes_max: 2_000,
        ..QueryLimits::default()
    };
    let schema = Arc::clone(&db.schema);
    let document = Document::parse(&schema, "{ listItems { items { orderId } } ok: __typename }", &limits).unwrap();
    let bound = document.bind(None, &Map::new(), &local(&schema), Side::Server).unwrap();
    let got = answer(bound.execute(), &mut db).unwrap();
    assert_eq!(
        String::from_utf8(got.data).unwrap(),
        r#"{"listItems":null,"ok":"Query"}"#
    );
    over(&got.errors, "ANSWER_BYTES_MAX");
}

/// Every page of `root` until there is no token: what `of` says of each item, by page.
fn pages(db: &mut Db, limits: &QueryLimits, root: &str, selected: &str) -> Vec<Vec<i64>> {
    let schema = Arc::clone(&db.schema);
    let text = format!(
        "query ($token: String) {{ out: {root}(limit: 50, nextToken: $token) {{ items {{ {selected} }} nextToken }} }}"
    );
    let document = Document::parse(&schema, &text, limits).unwrap();
    let (mut pages, mut token) = (Vec::new(), Json::Null);
    loop {
        let variables = Map::from_iter([("token".to_owned(), token)]);
        let bound = document.bind(None, &variables, &local(&schema), Side::Server).unwrap();
        let got = answer(bound.execute(), db).unwrap();
        assert!(got.errors.is_empty(), "{:?}", got.errors);
        let data: Json = serde_json::from_slice(&got.data).unwrap();
        let items = data["out"]["items"].as_array().unwrap();
        pages.push(items.iter().map(|item| item["n"].as_i64().unwrap()).collect());
        token = data["out"]["nextToken"].clone();
        if token.is_null() {
            return pages;
        }
    }
}

#[test]
fn a_page_of_large_records_ends_early_and_the_next_goes_on() {
    let mut db = Db::new(&schema());
    // The last two of a page of ten are large.
    let title = |i: usize| if i % 10 < 8 { "o".to_owned() } else { "p".repeat(3_000) };
    let posts: Vec<_> = (0..40)
        .map(|i| json!({"id": format!("{i:02}"), "rating": i, "title": title(i), "words": [], "authorID": "a"}))
        .collect();
    db.fill("Author", json!([{"id": "a", "name": "Ann", "active": true}]));
    db.fill("Post", json!(posts));
    let limits = QueryLimits {
        page_bytes_max: 4_000,
        answer_bytes_max: 20_000,
        ..QueryLimits::default()
    };
    // Streamed, and with a relation in it.
    for selected in ["n: rating title", "n: rating title author { name }"] {
        for root in ["listPosts", "syncPosts"] {
            let pages = pages(&mut db, &limits, root, selected);
            let all: Vec<i64> = pages.concat();
            let mut sorted = all.clone();
            sorted.sort_unstable();
            sorted.dedup();
            assert_eq!((all.len(), sorted.len()), (40, 40), "{root} {selected}: {pages:?}");
            assert!(
                pages.len() > 2 && pages.iter().all(|page| !page.is_empty()),
                "{root} {selected}: {pages:?}"
            );
        }
    }
    // A page that is full by its limit and by its bytes at the same row has no more than its limit.
    let exact = QueryLimits {
        page_bytes_max: 4_000,
        ..QueryLimits::default()
    };
    let schema = Arc::clone(&db.schema);
    for limit in [9, 10] {
        let text = format!("{{ listPosts(limit: {limit}) {{ items {{ id title author {{ name }} }} nextToken }} }}");
        let document = Document::parse(&schema, &text, &exact).unwrap();
        let bound = document.bind(None, &Map::new(), &local(&schema), Side::Server).unwrap();
        let got: Json = serde_json::from_slice(&answer(bound.execute(), &mut db).unwrap().data).unwrap();
        assert_eq!(got["listPosts"]["items"].as_array().unwrap().len(), limit, "{got}");
        assert!(got["listPosts"]["nextToken"].is_string());
    }
    // What is read of the table is the page and one row.
    db.rows_read = 0;
    let page = &pages(&mut db, &limits, "listPosts", "n: rating title")[0];
    assert!(
        page.len() < 40 && db.rows_read < 50,
        "{} of {}",
        db.rows_read,
        page.len()
    );
    // One record that is larger than a page; and without a token to lead on, nothing is left out.
    let limits = QueryLimits {
        page_bytes_max: 10,
        ..QueryLimits::default()
    };
    assert_eq!(pages(&mut db, &limits, "listPosts", "n: rating title").len(), 40);
    let schema = Arc::clone(&db.schema);
    for selected in ["id", "id author { name }"] {
        let text = format!("{{ listPosts(limit: 50) {{ items {{ {selected} }} }} }}");
        let document = Document::parse(&schema, &text, &limits).unwrap();
        let bound = document.bind(None, &Map::new(), &local(&schema), Side::Server).unwrap();
        let got: Json = serde_json::from_slice(&answer(bound.execute(), &mut db).unwrap().data).unwrap();
        assert_eq!(got["listPosts"]["items"].as_array().unwrap().len(), 40, "{selected}");
    }
    // The app's own file has no such pages.
    assert_eq!(
        pages(&mut db, &QueryLimits::replica(), "listPosts", "n: rating title").len(),
        1
    );
}

#[test]
fn the_cache_keeps_what_was_used_last() {
    let schema = schema();
    let cache = Cache::new(2, 1_000);
    let limits = QueryLimits::default();
    let parse = |text: &str| cache.parse(&schema, text, &limits);
    let first = parse("{ a: __typename }").unwrap();
    parse("{ b: __typename }").unwrap();
    assert!(Arc::ptr_eq(&first, &parse("{ a: __typename }").unwrap()));
    parse("{ c: __typename }").unwrap();
    assert_eq!(cache.len(), 2);
    assert!(Arc::ptr_eq(&first, &parse("{ a: __typename }").unwrap()));
    assert!(parse("{ nope }").is_err());
    assert_eq!(cache.len(), 2);
}
