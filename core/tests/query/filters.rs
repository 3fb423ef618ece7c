//! A filter means the same in SQL, on a record in memory, and to the reference.

use proptest::prelude::*;
use serde_json::{Map, json};
use tombolo_core::id::Version;
use tombolo_core::query::{Filter, FilterColumn, Test};
use tombolo_core::record::{Meta, Record};
use tombolo_core::wire::graphql::ErrorType;

use crate::generate::{self, Choices};
use crate::naive;
use crate::oracle::config;
use crate::support::{Db, bound, key_access, local, schema};

proptest! {
    #![proptest_config(config())]

    #[test]
    fn sql_and_memory_and_reference_agree(data in prop::collection::vec(any::<u8>(), 0..900), text in prop::collection::vec(any::<u8>(), 0..60)) {
        let schema = schema();
        let mut c = Choices::new(&text);
        let records = generate::data(&mut Choices::new(&data), &schema);
        let db = Db::new(&schema);
        for (id, stored) in &records {
            let model = schema.model(*id);
            let json = generate::unmarked(&generate::filter(&mut c, &schema, model, 3));
            let filter = Filter::parse(&schema, *id, &json, &local(&schema)).unwrap();
            let mut params = Vec::new();
            let sql = filter.sql(model, "t", &mut params);
            for one in stored {
                db.connection.execute(&format!("DELETE FROM \"{}\"", model.name), []).unwrap();
                db.insert(*id, one);
                let in_sql: i64 = db.connection.query_row(
                    &format!("SELECT count(*) FROM \"{}\" AS t WHERE {sql}", model.name),
                    rusqlite::params_from_iter(params.iter().map(bound)),
                    |r| r.get(0),
                ).unwrap();
                let record = Record {
                    values: one.values.clone(),
                    meta: Meta { version: Version(one.version), deleted: one.deleted, last_changed_at: one.changed_at },
                };
                let mut object = Map::new();
                for (field, value) in model.fields.iter().zip(&one.values) {
                    object.insert(field.name.clone(), value.to_json());
                }
                object.insert("_deleted".into(), if one.deleted { json!(true) } else { json!(null) });
                let in_memory = filter.matches(model, &record);
                prop_assert_eq!(in_sql == 1, in_memory, "{}\n{}\n{:?}", json, sql, one);
                prop_assert_eq!(in_memory, naive::matches(&json, &object.into()), "{}\n{:?}", json, one);
            }
        }
    }
}

#[test]
fn a_filter_is_read_into_tests() {
    let schema = schema();
    let id = schema.model_named("Author").unwrap();
    let filter = Filter::parse(
        &schema,
        id,
        &json!({"age": {"gt": 3, "lt": 9}, "or": []}),
        &local(&schema),
    )
    .unwrap();
    let age = FilterColumn::Field(schema.model(id).field("age").unwrap());
    let test = |test| Filter::Test { column: age, test };
    assert_eq!(
        filter,
        Filter::All(vec![
            Filter::All(vec![
                test(Test::Gt(tombolo_core::value::Value::Int(3))),
                test(Test::Lt(tombolo_core::value::Value::Int(9)))
            ]),
            Filter::Any(vec![]),
        ])
    );
    assert_eq!(filter.columns().into_iter().collect::<Vec<_>>(), [age]);
}

#[test]
fn what_is_no_filter_is_refused_with_the_reason() {
    let schema = schema();
    let id = schema.model_named("Author").unwrap();
    for (json, part) in [
        (json!([]), "is an object"),
        (json!({"nope": {"eq": 1}}), "no stored field `nope`"),
        (json!({"age": 3}), "object of operators"),
        (json!({"age": {"eq": "x"}}), "the filter on `age`"),
        (json!({"age": {"contains": 1}}), "no filter operator `contains`"),
        (json!({"age": {"between": [1]}}), "exactly two"),
        (json!({"age": {"lt": null}}), "needs a value"),
        (json!({"and": 3}), "list of filters"),
        (json!({"place": {"eq": {}}}), "embedded"),
        (json!({"name": {"attributeType": "x"}}), "takes one of"),
        (json!({"name": {"size": {"eq": 1, "ne": 2}}}), "exactly one of"),
    ] {
        let error = Filter::parse(&schema, id, &json, &local(&schema)).unwrap_err();
        assert!(error.message.contains(part), "{json}: {}", error.message);
        assert_eq!(error.error_type, Some(ErrorType::BadRequest));
    }
    let many: Vec<_> = (0..600).map(|i| json!({"age": {"eq": i}})).collect();
    let error = Filter::parse(&schema, id, &json!({ "or": many }), &key_access(&schema)).unwrap_err();
    assert_eq!(error.error_type, Some(ErrorType::LimitExceeded));
    assert!(error.message.contains("FILTER_NODES_MAX"));
}

#[test]
fn a_test_of_a_name_that_no_record_has_is_a_test_of_an_absent_value() {
    let schema = schema();
    let id = schema.model_named("Post").unwrap();
    let record = |schema: &tombolo_core::schema::Schema| Record {
        values: schema
            .model(id)
            .fields
            .iter()
            .map(|_| tombolo_core::value::Value::Null)
            .collect(),
        meta: Meta {
            version: Version(1),
            deleted: false,
            last_changed_at: 1,
        },
    };
    for (filter, holds) in [
        (json!({"postCommentsId": {"eq": "c1"}}), false),
        (json!({"postCommentsId": {"ne": "c1"}}), true),
        (json!({"postCommentsId": {"eq": null}}), true),
        (json!({"postCommentsId": {"attributeExists": false}}), true),
        (json!({"postCommentsId": {"ne": "c1", "beginsWith": "c"}}), false),
        (json!({"not": {"postCommentsId": {"eq": "c1"}}}), true),
        (
            json!({"or": [{"postCommentsId": {"eq": "c1"}}, {"postCommentsId": {"notContains": "c"}}]}),
            true,
        ),
    ] {
        let parsed = Filter::parse(&schema, id, &filter, &local(&schema)).unwrap();
        let mut params = Vec::new();
        let sql = parsed.sql(schema.model(id), "t", &mut params);
        let db = Db::new(&schema);
        let in_sql: bool = db
            .connection
            .query_row(
                &format!("SELECT {sql}"),
                rusqlite::params_from_iter(params.iter().map(bound)),
                |r| r.get(0),
            )
            .unwrap();
        assert_eq!(
            (parsed.matches(schema.model(id), &record(&schema)), in_sql),
            (holds, holds),
            "{filter}"
        );
    }
    let wrong = Filter::parse(&schema, id, &json!({"postCommentsId": {"near": "c1"}}), &local(&schema)).unwrap_err();
    assert!(wrong.message.contains("no filter operator `near`"), "{}", wrong.message);
}
