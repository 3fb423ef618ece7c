//! Each kind of root field: what it becomes, and what its answer looks like.

use std::sync::Arc;

use serde_json::{Value as Json, json};
use tombolo_core::id::Version;
use tombolo_core::query::{Bound, MutationInput, OperationKind, RootField, Side, Supplied, answer};
use tombolo_core::record::{Meta, Record};
use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};

use crate::support::{Db, bind, local, schema};

fn bound(db: &Db, text: &str, variables: Json) -> Bound {
    bind(&db.schema, text, variables, &local(&db.schema), Side::Server).unwrap()
}

fn finish(db: &mut Db, bound: &Bound, supplied: Vec<Supplied>) -> Json {
    let mut execution = bound.execute();
    for (i, one) in supplied.into_iter().enumerate() {
        execution.supply(i, one);
    }
    let got = answer(execution, db).unwrap();
    serde_json::from_slice(&got.into_bytes(None)).unwrap()
}

fn comment(db: &Db, id: &str, post: Option<&str>) -> Arc<Record> {
    let model = db.schema.model(db.schema.model_named("Comment").unwrap());
    let mut values = vec![Value::Null; model.fields.len()];
    values[0] = Value::Text(id.into());
    values[1] = Value::Text("c".into());
    if let (Some(post), Some(at)) = (post, model.field("postCommentsId")) {
        values[at.0] = Value::Text(post.into());
    }
    Arc::new(Record {
        values,
        meta: Meta {
            version: Version(3),
            deleted: false,
            last_changed_at: 9,
        },
    })
}

#[test]
fn a_mutation_is_data() {
    let db = Db::new(&schema());
    let text = "mutation ($input: UpdatePostInput!) { up: updatePost(input: $input, condition: {rating: {gt: 1}}) { id } \
                deleteComment(input: {id: \"c\", _version: null}, condition: null) { id } createComment(input: {content: \"x\"}) { id } }";
    let variables = json!({"input": {"id": "p", "title": "t", "seen": null, "words": ["a", "b"], "_version": 4}});
    let bound = bound(&db, text, variables);
    assert_eq!(bound.kind(), OperationKind::Mutation);
    let post = db.schema.model_named("Post").unwrap();
    let model = db.schema.model(post);
    let RootField::Mutation(input) = &bound.roots()[0].field else {
        panic!()
    };
    assert_eq!(bound.roots()[0].response_key, "up");
    assert_eq!(
        (input.model, input.kind, input.base_version),
        (post, MutationKind::Update, Some(Version(4)))
    );
    let f = |name: &str| model.field(name).unwrap();
    assert_eq!(
        input.values,
        [
            (f("id"), Value::Text("p".into())),
            (f("title"), Value::Text("t".into())),
            (f("seen"), Value::Null),
            (f("words"), Value::Json("[\"a\",\"b\"]".into())),
        ]
    );
    assert_eq!(input.condition_json, Some(json!({"rating": {"gt": 1}})));
    assert!(input.condition.is_some());
    assert_eq!(input.key(model).unwrap().to_text(), "[\"p\"]");
    let RootField::Mutation(MutationInput {
        kind,
        base_version,
        condition,
        ..
    }) = &bound.roots()[1].field
    else {
        panic!()
    };
    assert_eq!(
        (*kind, *base_version, condition.is_none()),
        (MutationKind::Delete, None, true)
    );
    let RootField::Mutation(input) = &bound.roots()[2].field else {
        panic!()
    };
    assert_eq!(input.key(db.schema.model(input.model)), None);
}

#[test]
fn a_mutation_that_is_wrong_is_refused_and_the_others_stand() {
    let db = Db::new(&schema());
    let text = "mutation { a: updateComment(input: {id: \"c\", content: null}) { id } b: deleteComment(input: {id: \"c\"}) { id } }";
    let bound = bound(&db, text, json!({}));
    let error = bound.refusal(0).unwrap();
    assert_eq!(error.error_type, Some(ErrorType::BadRequest));
    assert!(error.message.contains("`content`"), "{}", error.message);
    assert!(bound.refusal(1).is_none());
}

#[test]
fn the_result_of_a_mutation_is_projected_with_what_is_nested_in_it() {
    let mut db = Db::new(&schema());
    db.fill(
        "Post",
        json!([{"id": "p", "authorID": "a", "rating": 1, "title": "t", "words": []}]),
    );
    db.fill("Author", json!([{"id": "a", "name": "n", "active": true}]));
    let model = db.schema.model_named("Post").unwrap();
    let bound = bound(
        &db,
        "mutation { updatePost(input: {id: \"p\"}) { _version id author { name } _deleted _lastChangedAt t: __typename } }",
        json!({}),
    );
    let mut values = vec![Value::Null; db.schema.model(model).fields.len()];
    values[0] = Value::Text("p".into());
    values[1] = Value::Text("a".into());
    let record = Arc::new(Record {
        values,
        meta: Meta {
            version: Version(2),
            deleted: true,
            last_changed_at: 1_700_000_000_000,
        },
    });
    let expected = json!({
        "_version": 2, "id": "p", "author": {"name": "n"}, "_deleted": true,
        "_lastChangedAt": 1_700_000_000_000_i64, "t": "Post",
    });
    let got = finish(&mut db, &bound, vec![Supplied::Record(Arc::clone(&record))]);
    assert_eq!(got, json!({"data": {"updatePost": expected}}));
    let conflict = GraphqlError::new(ErrorType::ConflictUnhandled, "Conflict resolver rejects mutation.");
    let got = finish(&mut db, &bound, vec![Supplied::Conflict(conflict, record)]);
    assert_eq!(got["data"], json!({"updatePost": null}));
    assert_eq!(got["errors"][0]["data"], expected);
    assert_eq!(got["errors"][0]["errorType"], "ConflictUnhandled");
    assert_eq!(got["errors"][0]["path"], json!(["updatePost"]));
    assert_eq!(
        finish(&mut db, &bound, vec![Supplied::Null]),
        json!({"data": {"updatePost": null}})
    );
}

#[test]
fn a_subscription_carries_its_filter() {
    let mut db = Db::new(&schema());
    let bound = bound(
        &db,
        "subscription { onUpdateComment(filter: {likes: {in: [1, 2]}}) { id content } }",
        json!({}),
    );
    let RootField::Subscription(input) = &bound.roots()[0].field else {
        panic!()
    };
    assert_eq!(input.kind, MutationKind::Update);
    let model = db.schema.model(input.model);
    assert!(!input.filter.as_ref().unwrap().matches(model, &comment(&db, "c", None)));
    let event = comment(&db, "c", None);
    let got = finish(&mut db, &bound, vec![Supplied::Record(event)]);
    assert_eq!(got, json!({"data": {"onUpdateComment": {"id": "c", "content": "c"}}}));
}

#[test]
fn the_change_feed_is_data_and_its_batches_are_projected() {
    let mut db = Db::new(&schema());
    let batch =
        br#"{"model":"Post","cursor":"e.1","upToDate":true,"reset":false,"fields":["id"],"rows":[["p"]],"left":[]}"#;
    let whole = bound(
        &db,
        "query ($f: TomboloJSON) { tomboloChanges(scope: {model: \"Post\", filter: $f, cursor: \"e.0\"}, limit: 5) \
         { model cursor upToDate reset fields rows left } }",
        json!({"f": "{\"rating\":{\"gt\":1}}"}),
    );
    let RootField::Changes(scopes, Some(5)) = &whole.roots()[0].field else {
        panic!("{:?}", whole.roots())
    };
    assert_eq!(scopes[0].cursor.as_deref(), Some("e.0"));
    assert_eq!(scopes[0].filter_json, Some(json!({"rating": {"gt": 1}})));
    assert!(scopes[0].filter.is_some());
    let got = finish(&mut db, &whole, vec![Supplied::Raw(batch.to_vec())]);
    assert_eq!(
        got["data"]["tomboloChanges"],
        serde_json::from_slice::<Json>(batch).unwrap()
    );
    let part = bound(
        &db,
        "subscription { tomboloChanges(scopes: [{model: \"Post\"}, {model: \"Item\"}]) { c: cursor rows __typename } }",
        json!({}),
    );
    let RootField::Changes(scopes, None) = &part.roots()[0].field else {
        panic!()
    };
    assert_eq!(scopes.len(), 2);
    let got = finish(&mut db, &part, vec![Supplied::Raw(batch.to_vec())]);
    assert_eq!(
        got["data"]["tomboloChanges"],
        json!({"c": "e.1", "rows": [["p"]], "__typename": "TomboloChangeBatch"})
    );
    // The field is non-null: its error is the null of all.
    let wrong = bound(
        &db,
        "{ tomboloChanges(scope: {model: \"Nope\"}) { cursor } }",
        json!({}),
    );
    let got = finish(&mut db, &wrong, vec![]);
    assert_eq!(got["data"], Json::Null);
    assert!(got["errors"][0]["message"].as_str().unwrap().contains("`Nope`"));
}

#[test]
fn introspection_answers_beside_data() {
    let mut db = Db::new(&schema());
    let got = db.ask(
        "query ($n: String!) { __typename t: __type(name: $n) { name kind fields { name } } __schema { queryType { name } } \
         listPosts { items { id } startedAt nextToken __typename } }",
        json!({"n": "Geo"}),
    );
    assert_eq!(
        got,
        json!({"data": {
            "__typename": "Query",
            "t": {"name": "Geo", "kind": "OBJECT", "fields": [{"name": "lat"}, {"name": "lng"}, {"name": "label"}, {"name": "kind"}]},
            "__schema": {"queryType": {"name": "Query"}},
            "listPosts": {"items": [], "startedAt": null, "nextToken": null, "__typename": "ModelPostConnection"},
        }})
    );
}

#[test]
fn a_replica_says_what_needs_the_network() {
    let db = Db::new(&schema());
    for text in [
        "{ syncPosts { nextToken } }",
        "{ tomboloChanges(scope: {model: \"Post\"}) { cursor } }",
        "subscription { onCreatePost { id } }",
    ] {
        let bound = bind(&db.schema, text, json!({}), &local(&db.schema), Side::Replica).unwrap();
        let error = bound.refusal(0).unwrap();
        assert_eq!(error.error_type, Some(ErrorType::UnsupportedOperation));
        assert!(error.message.contains("needs the network"));
    }
}

#[test]
fn composite_keys_are_compared_as_tuples() {
    let mut db = Db::new(&schema());
    let items: Vec<Json> = ["a", "ab", "b"]
        .iter()
        .flat_map(|s| (0..3).map(move |n| json!({"orderId": "o", "status": s, "n": n, "price": 1.0})))
        .collect();
    db.fill("Item", json!(items));
    for (condition, expected) in [
        ("{eq: {status: \"a\", n: 1}}", "a1"),
        ("{eq: {status: \"a\"}}", "a0 a1 a2"),
        ("{beginsWith: {status: \"a\"}}", "a0 a1 a2 ab0 ab1 ab2"),
        ("{gt: {status: \"a\", n: 1}}", "a2 ab0 ab1 ab2 b0 b1 b2"),
        ("{le: {status: \"ab\", n: 0}}", "a0 a1 a2 ab0"),
        (
            "{between: [{status: \"a\", n: 2}, {status: \"b\", n: 0}]}",
            "a2 ab0 ab1 ab2 b0",
        ),
    ] {
        let got = db.ask(
            &format!("{{ listItems(orderId: \"o\", statusN: {condition}) {{ items {{ status n }} }} }}"),
            json!({}),
        );
        let items = got["data"]["listItems"]["items"]
            .as_array()
            .unwrap_or_else(|| panic!("{got}"));
        let found: Vec<String> = items
            .iter()
            .map(|i| format!("{}{}", i["status"].as_str().unwrap(), i["n"]))
            .collect();
        assert_eq!(found.join(" "), expected, "{condition}");
    }
    for wrong in [
        "listItems(statusN: {eq: {status: \"a\"}})",
        "listItems(orderId: \"o\", statusN: {eq: {n: 1}})",
    ] {
        let got = db.ask(&format!("{{ {wrong} {{ nextToken }} }}"), json!({}));
        assert_eq!(got["errors"][0]["errorType"], "BadRequest", "{got}");
    }
    let down = db.ask(
        "{ listItems(orderId: \"o\", sortDirection: DESC, limit: 2) { items { status n } } }",
        json!({}),
    );
    assert_eq!(
        down["data"]["listItems"]["items"],
        json!([{"status": "b", "n": 2}, {"status": "b", "n": 1}])
    );
}

#[test]
fn what_is_read_is_named() {
    let db = Db::new(&schema());
    let bound = bound(&db, "{ listAuthors { items { posts { items { id } } } } }", json!({}));
    let names: Vec<&str> = bound
        .reads()
        .iter()
        .map(|id| db.schema.model(*id).name.as_str())
        .collect();
    assert_eq!(names, ["Author", "Post"]);
}
