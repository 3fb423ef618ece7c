//! Rows of the queues, of either adapter, as they say what they are.

use serde_json::{Map, Value as Json, json};
use tombolo_core::schema::MutationKind;

use super::file::DatastoreFile;
use super::report::ImportError;
use super::text;
use crate::sql::quote;

/// Tables of the queues.
pub(super) const EVENTS: &str = "MutationEvent";
pub(super) const RECORDS: &str = "PersistentRecord";

/// A mutation as its row says it.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) id: String,
    /// The old app's name of the model, if it could be read.
    pub(super) model: Option<String>,
    /// The record's identifier.
    pub(super) record: String,
    pub(super) kind: Option<MutationKind>,
    /// The content, or why it cannot be read.
    pub(super) item: Result<Map<String, Json>, String>,
    /// The content is the whole record, not what changed of it.
    pub(super) whole: bool,
    pub(super) version: Option<i64>,
    pub(super) condition: Result<Option<Json>, String>,
    /// What it is sorted by, and the same in milliseconds since 1970.
    pub(super) time: Option<(i128, i64)>,
    pub(super) may_be_sent: bool,
    pub(super) content: String,
}

fn kind(text: &str) -> Option<MutationKind> {
    match text.to_ascii_lowercase().as_str() {
        "create" => Some(MutationKind::Create),
        "update" => Some(MutationKind::Update),
        "delete" => Some(MutationKind::Delete),
        _ => None,
    }
}

/// The rows of a queue's table, by row: texts and numbers as they stand, by column; empty without the table.
fn select(
    file: &DatastoreFile,
    table: &str,
    needed: &[&str],
    wanted: &[&str],
) -> Result<Vec<Vec<Option<String>>>, ImportError> {
    let Some(columns) = file.own_columns(table, needed)? else {
        return Ok(Vec::new());
    };
    let list: Vec<String> = wanted
        .iter()
        .map(|name| match columns.iter().any(|column| column == name) {
            true => format!("CAST({} AS TEXT)", quote(name)),
            false => "NULL".to_owned(),
        })
        .collect();
    let sql = format!("SELECT {} FROM {} ORDER BY rowid", list.join(", "), quote(table));
    let read = |row: &rusqlite::Row<'_>| {
        (0..wanted.len())
            .map(|at| {
                let value = row.get_ref(at)?;
                Ok(value
                    .as_bytes()
                    .ok()
                    .map(|bytes| String::from_utf8_lossy(bytes).into_owned()))
            })
            .collect::<rusqlite::Result<Vec<_>>>()
    };
    file.conn()
        .prepare(&sql)
        .and_then(|mut statement| statement.query_map([], read)?.collect())
        .map_err(|error| file.failed(&error))
}

/// iOS.
pub(super) fn events(file: &DatastoreFile) -> Result<Vec<Raw>, ImportError> {
    let needed = ["id", "modelName", "json", "mutationType"];
    let wanted = [
        "id",
        "modelName",
        "json",
        "mutationType",
        "modelId",
        "createdAt",
        "version",
        "inProcess",
        "graphQLFilterJSON",
    ];
    let rows = select(file, EVENTS, &needed, &wanted)?;
    let raw = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let mut next = || row.next().flatten();
        let (id, model, content) = (next().unwrap_or_default(), next(), next().unwrap_or_default());
        let kind = next().as_deref().and_then(kind);
        let (record, created, version) = (next().unwrap_or_default(), next(), next());
        let (in_process, filter) = (next(), next());
        Raw {
            item: text::json(&content).and_then(object),
            whole: true,
            version: version.and_then(|text| text.parse().ok()),
            condition: filter.map_or(Ok(None), |text| {
                let json = text::json(&text)?;
                Ok((json != json!({}) && !json.is_null()).then_some(json))
            }),
            time: created
                .and_then(|text| file.moment(&text))
                .map(|ms| (i128::from(ms), ms)),
            may_be_sent: in_process.is_some_and(|text| text != "0"),
            id,
            model,
            record,
            kind,
            content,
        }
    };
    Ok(rows.into_iter().map(raw).collect())
}

/// Android.
pub(super) fn records(file: &DatastoreFile) -> Result<Vec<Raw>, ImportError> {
    let needed = ["id", "serializedMutationData"];
    let wanted = [
        "id",
        "serializedMutationData",
        "containedModelId",
        "containedModelClassName",
    ];
    let rows = select(file, RECORDS, &needed, &wanted)?;
    let raw = |row: Vec<Option<String>>| {
        let mut row = row.into_iter();
        let mut next = || row.next().flatten();
        let (id, content) = (next().unwrap_or_default(), next().unwrap_or_default());
        let (record, class) = (next().unwrap_or_default(), next());
        let mutation = text::json(&content).and_then(object);
        let member = |name: &str| mutation.as_ref().ok().and_then(|map| map.get(name));
        let item = match member("mutatedItem") {
            Some(item) => object(item.clone()),
            None => Err(mutation
                .as_ref()
                .err()
                .cloned()
                .unwrap_or_else(|| "it has no mutatedItem".to_owned())),
        };
        let named = |json: Option<&Json>| json.and_then(|schema| schema.get("name")?.as_str().map(str::to_owned));
        let by_item = item.as_ref().ok().and_then(|item| named(item.get("modelSchema")));
        let by_class = || {
            let name = class.as_deref()?.rsplit(['.', '$']).next()?;
            (name != "SerializedModel").then(|| name.to_owned())
        };
        let model = named(member("modelSchema")).or(by_item).or_else(by_class);
        let kind = member("mutationType").and_then(Json::as_str).and_then(kind);
        let condition = member("predicate").map_or(Ok(None), condition);
        let (item, whole) = match item {
            Ok(mut map) if map.contains_key("serializedData") => {
                (object(map.remove("serializedData").unwrap_or(Json::Null)), false)
            }
            other => (other, true),
        };
        Raw {
            model,
            record,
            kind,
            item,
            whole,
            version: None,
            condition,
            time: text::uuid_time(&id).map(|time| (i128::from(time), text::uuid_ms(time))),
            may_be_sent: false,
            content,
            id,
        }
    };
    Ok(rows.into_iter().map(raw).collect())
}

/// The record; Flutter on iOS puts it into a list.
fn object(json: Json) -> Result<Map<String, Json>, String> {
    match json {
        Json::Object(map) => Ok(map),
        Json::Array(mut items) if items.len() == 1 => object(items.remove(0)),
        other => Err(format!("it is no record but {}", kind_of(&other))),
    }
}

pub(super) fn kind_of(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

/// A predicate of Android's as the filter that means the same.
fn condition(predicate: &Json) -> Result<Option<Json>, String> {
    let word = |name: &str| predicate.get(name).and_then(Json::as_str);
    let unknown = || format!("its predicate is not known here: {predicate}");
    if predicate.is_null() || word("_type") == Some("ALL") || *predicate == json!({}) {
        return Ok(None);
    }
    if let Some(parts) = predicate.get("predicates").and_then(Json::as_array) {
        let parts: Vec<Option<Json>> = parts.iter().map(condition).collect::<Result<_, _>>()?;
        // A part that is always true.
        let is_any = parts.iter().any(Option::is_none);
        let tests: Vec<Json> = parts.into_iter().flatten().collect();
        return match (word("type"), tests.as_slice(), is_any) {
            (Some("AND"), [], true) | (Some("OR"), _, true) => Ok(None),
            (Some("AND"), [_, ..], _) => Ok(Some(json!({ "and": tests }))),
            (Some("OR"), [_, ..], false) => Ok(Some(json!({ "or": tests }))),
            (Some("NOT"), [one], false) => Ok(Some(json!({ "not": one }))),
            _ => Err(unknown()),
        };
    }
    let (Some(field), Some(operator)) = (word("field"), predicate.get("operator")) else {
        return Err(unknown());
    };
    let name = match operator.get("type").and_then(Json::as_str) {
        Some("EQUAL") => "eq",
        Some("NOT_EQUAL") => "ne",
        Some("LESS_OR_EQUAL") => "le",
        Some("LESS_THAN") => "lt",
        Some("GREATER_OR_EQUAL") => "ge",
        Some("GREATER_THAN") => "gt",
        Some("CONTAINS") => "contains",
        Some("NOT_CONTAINS") => "notContains",
        Some("BEGINS_WITH") => "beginsWith",
        Some("BETWEEN") => {
            let (start, end) = (operator.get("start"), operator.get("end"));
            return match (start, end) {
                (Some(start), Some(end)) => Ok(Some(json!({ field: { "between": [start, end] } }))),
                _ => Err(unknown()),
            };
        }
        Some(_) | None => return Err(unknown()),
    };
    let value = operator.get("value").unwrap_or(&Json::Null);
    Ok(Some(json!({ field: { name: value } })))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn test(field: &str, operator: Json) -> Json {
        json!({ "field": field, "operator": operator, "_type": "OPERATION" })
    }

    fn group(of: &str, predicates: &[&Json]) -> Json {
        json!({ "type": of, "predicates": predicates, "_type": "GROUP" })
    }

    #[test]
    fn each_predicate_of_androids_is_the_filter_that_means_the_same() {
        for (operator, name) in [
            ("EQUAL", "eq"),
            ("NOT_EQUAL", "ne"),
            ("LESS_OR_EQUAL", "le"),
            ("LESS_THAN", "lt"),
            ("GREATER_OR_EQUAL", "ge"),
            ("GREATER_THAN", "gt"),
            ("CONTAINS", "contains"),
            ("NOT_CONTAINS", "notContains"),
            ("BEGINS_WITH", "beginsWith"),
        ] {
            let predicate = test("f", json!({ "value": "x", "type": operator }));
            assert_eq!(
                condition(&predicate),
                Ok(Some(json!({ "f": { name: "x" } }))),
                "{operator}"
            );
        }
        let between = test("f", json!({ "start": 1, "end": 2, "type": "BETWEEN" }));
        assert_eq!(condition(&between), Ok(Some(json!({ "f": { "between": [1, 2] } }))));
        let null = test("f", json!({ "type": "EQUAL" }));
        assert_eq!(condition(&null), Ok(Some(json!({ "f": { "eq": null } }))));

        let (one, two) = (
            test("a", json!({ "value": 1, "type": "EQUAL" })),
            test("b", json!({ "value": 2, "type": "LESS_THAN" })),
        );
        let (a, b) = (json!({ "a": { "eq": 1 } }), json!({ "b": { "lt": 2 } }));
        let (all, none) = (json!({ "_type": "ALL" }), json!({ "_type": "NONE" }));
        for (predicate, filter) in [
            (group("AND", &[&one, &two]), Some(json!({ "and": [a, b] }))),
            (group("OR", &[&one, &two]), Some(json!({ "or": [a, b] }))),
            (group("NOT", &[&one]), Some(json!({ "not": a }))),
            (
                group("NOT", &[&group("OR", &[&one, &two])]),
                Some(json!({ "not": { "or": [a, b] } })),
            ),
            (all.clone(), None),
            (Json::Null, None),
            (json!({}), None),
            (group("AND", &[&all, &one]), Some(json!({ "and": [a] }))),
            (group("AND", &[&all]), None),
            (group("OR", &[&all, &one]), None),
        ] {
            assert_eq!(condition(&predicate), Ok(filter), "{predicate}");
        }
        // What never holds, or is not known here, must not become a mutation without a condition.
        for unknown in [
            none.clone(),
            group("NOT", &[&all]),
            group("NOT", &[&one, &two]),
            group("OR", &[&one, &none]),
            group("AND", &[]),
            group("XOR", &[&one, &two]),
            test("f", json!({ "value": "x", "type": "SOUNDS_LIKE" })),
            test("f", json!({ "value": "x" })),
            test("f", json!({ "start": 1, "type": "BETWEEN" })),
            json!({ "operator": { "value": 1, "type": "EQUAL" } }),
            json!("x"),
        ] {
            assert!(condition(&unknown).is_err(), "{unknown}");
        }
    }
}
