//! DynamoDB's JSON of one item (`{"id":{"S":"…"},"n":{"N":"1"}}`) as a record of a model: every value checked against its
//! field, AppSync's own attributes read as the record's meta, and nothing guessed where something is missing.

use serde_json::{Map, Value as Json};
use tombolo_core::id::Version;
use tombolo_core::record::{Meta, Record};
use tombolo_core::schema::{FieldKind, FieldOrigin, Model, Scalar, Schema};
use tombolo_core::value::Value;

use crate::cells;

/// Attributes of AppSync's that are no fields: read for the meta, or of no use here.
const OF_APPSYNC: [&str; 5] = ["_version", "_deleted", "_lastChangedAt", "_ttl", "__typename"];

/// One line of an export: the item in it, and what of it is not in the schema.
pub(super) struct Item {
    pub record: Record,
    /// Attributes that no field takes.
    pub unknown: Vec<String>,
}

/// Reads one line: `{"Item":{…}}` as table exports have it, `{"NewImage":{…}}` as incremental ones, or the item itself.
///
/// # Errors
/// What is wrong, and what to do about it.
pub(super) fn item(schema: &Schema, model: &Model, line: &str) -> Result<Item, String> {
    let mut json: Map<String, Json> = serde_json::from_str(line)
        .map_err(|e| format!("no JSON object ({e}): export the table as DynamoDB JSON, one item a line"))?;
    let wrapped = ["Item", "NewImage"].into_iter().find_map(|name| json.remove(name));
    let attributes = match wrapped {
        Some(Json::Object(item)) => item,
        Some(_) => return Err("`Item` is no object: export the table as DynamoDB JSON".to_owned()),
        None if json.contains_key("Items") => {
            return Err(
                "the answer of a scan, not an export: write each of its `Items` on a line of its own".to_owned(),
            );
        }
        None => json,
    };
    if attributes.contains_key("ds_pk") {
        return Err("an entry of AppSync's delta table: export the model's own table instead".to_owned());
    }
    let mut values = Map::new();
    for (name, attribute) in &attributes {
        let value = plain(attribute).map_err(|why| format!("`{name}`: {why}"))?;
        values.insert(name.clone(), value);
    }
    if let Some(other) = values.get("__typename").and_then(Json::as_str)
        && other != model.name
        && !model.former.iter().any(|former| former == other)
    {
        return Err(format!(
            "an item of `{other}`: this import is of `{}` (--model)",
            model.name
        ));
    }
    record(schema, model, &values)
}

fn record(schema: &Schema, model: &Model, values: &Map<String, Json>) -> Result<Item, String> {
    let mut taken: Vec<&str> = OF_APPSYNC.to_vec();
    let mut fields = Vec::with_capacity(model.fields.len());
    for field in &model.fields {
        let names = std::iter::once(&field.name).chain(&field.former);
        let found = names.clone().find(|name| values.contains_key(*name));
        taken.extend(names.map(String::as_str));
        let json = found.and_then(|name| values.get(name)).unwrap_or(&Json::Null);
        let json = match &field.ty.kind {
            FieldKind::Scalar(Scalar::AwsJson) => stored_json(json, field.ty.list.is_some()),
            FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_) => json.clone(),
        };
        if json.is_null() {
            // The time of the last change stands in for a time of AppSync's own.
            if field.ty.required && field.origin != FieldOrigin::Timestamp {
                return Err(format!(
                    "`{}` is missing: make the field optional in the schema, or give it a value in the table",
                    field.name
                ));
            }
            fields.push(Value::Null);
            continue;
        }
        let value = field.ty.parse_json(schema, &json).map_err(|e| {
            format!(
                "`{}`: {e} (change the field's type in the schema, or the value in the table)",
                field.name
            )
        })?;
        fields.push(value);
    }
    let whole = |name: &str| match values.get(name) {
        None | Some(Json::Null) => Ok(None),
        Some(json) => match json.as_i64() {
            Some(number) if number >= 0 => Ok(Some(number)),
            _ => Err(format!("`{name}` is no whole number: {json}")),
        },
    };
    // A table without conflict detection knows neither version nor time; `updatedAt` tells the time as well.
    let version = whole("_version")?.unwrap_or(1).max(1);
    let changed = whole("_lastChangedAt")?.or_else(|| updated_at(model, &fields));
    let last_changed_at = changed.ok_or(
        "neither `_lastChangedAt` nor `updatedAt` tells when it was changed: give one of them a value in the table",
    )?;
    for field in [model.created_at, model.updated_at].into_iter().flatten() {
        let own = model.field_at(field).origin == FieldOrigin::Timestamp;
        if let Some(value) = fields.get_mut(field.0).filter(|value| own && value.is_null()) {
            *value = Value::date_time(last_changed_at);
        }
    }
    let deleted = match values.get("_deleted") {
        None | Some(Json::Null) => false,
        Some(Json::Bool(deleted)) => *deleted,
        Some(other) => return Err(format!("`_deleted` is neither true nor false: {other}")),
    };
    // Sort keys of several fields stand in an attribute of their own, joined by `#` (`status#n`).
    let unknown = values
        .keys()
        .filter(|name| !taken.contains(&name.as_str()) && !name.contains('#'));
    Ok(Item {
        unknown: unknown.cloned().collect(),
        record: Record {
            values: fields,
            meta: Meta {
                version: Version(version),
                deleted,
                last_changed_at,
            },
        },
    })
}

fn updated_at(model: &Model, fields: &[Value]) -> Option<i64> {
    match fields.get(model.updated_at?.0)? {
        Value::Text(text) => Some(text.parse::<jiff::Timestamp>().ok()?.as_millisecond()),
        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Json(_) => None,
    }
}

/// AppSync keeps `AWSJSON` as the value that the text means, not as the text.
fn stored_json(json: &Json, list: bool) -> Json {
    match json {
        Json::Null => Json::Null,
        Json::Array(items) if list => Json::Array(items.iter().map(|item| stored_json(item, false)).collect()),
        // A text that is a document by itself was kept as text.
        Json::String(text) if matches!(text.trim_start().as_bytes().first(), Some(b'{' | b'[')) && is_json(text) => {
            json.clone()
        }
        Json::String(_) | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            Json::String(json.to_string())
        }
    }
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

/// `{"S":"a"}` as `"a"`, and so on; lists and maps deep.
fn plain(attribute: &Json) -> Result<Json, String> {
    let typed = attribute.as_object().filter(|object| object.len() == 1);
    let Some((kind, value)) = typed.and_then(|object| object.iter().next()) else {
        return Err(format!(
            "{} is no DynamoDB value such as {{\"S\":\"text\"}}: export the table as DynamoDB JSON",
            short(attribute)
        ));
    };
    let bad = || format!("{} is no value of type `{kind}`", short(value));
    let all = |each: fn(&Json) -> Result<Json, String>| {
        let items = value.as_array().ok_or_else(bad)?;
        items.iter().map(each).collect::<Result<Vec<_>, _>>().map(Json::Array)
    };
    match kind.as_str() {
        "S" => value.as_str().map(Json::from).ok_or_else(bad),
        "N" => number(value),
        "BOOL" => value.as_bool().map(Json::from).ok_or_else(bad),
        "NULL" => Ok(Json::Null),
        "L" => all(plain),
        "SS" => all(|text| {
            text.as_str()
                .map(Json::from)
                .ok_or_else(|| format!("{text} is no text"))
        }),
        "NS" => all(number),
        "M" => {
            let members = value.as_object().ok_or_else(bad)?;
            let members = members.iter().map(|(name, one)| Ok((name.clone(), plain(one)?)));
            members.collect::<Result<Map<_, _>, String>>().map(Json::Object)
        }
        "B" | "BS" => {
            Err("binary values have no place in a GraphQL schema: leave the attribute out of the table".to_owned())
        }
        other => Err(format!(
            "`{other}` is no type of DynamoDB's: export the table as DynamoDB JSON"
        )),
    }
}

fn number(value: &Json) -> Result<Json, String> {
    let bad = || format!("{} is no number", short(value));
    let text = value.as_str().ok_or_else(bad)?;
    if let Ok(whole) = text.parse::<i64>() {
        return Ok(Json::from(whole));
    }
    let number = text.parse::<f64>().ok().filter(|number| number.is_finite());
    number.map(Json::from).ok_or_else(bad)
}

fn short(value: &Json) -> String {
    cells::short(&value.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCHEMA: &str = "type Place { lat: Float! }
        type Note @model { id: ID! text: String! n: Int tags: [String] meta: AWSJSON place: Place }";

    fn read(line: &str) -> Result<Item, String> {
        let schema = Schema::parse(SCHEMA, "schema.graphql").unwrap();
        let model = schema.model_named("Note").unwrap();
        item(&schema, &schema[model], line)
    }

    const LINE: &str = r##"{"Item":{"id":{"S":"a"},"text":{"S":"t"},"n":{"N":"7"},"tags":{"L":[{"S":"x"},{"NULL":true}]},
        "meta":{"M":{"deep":{"L":[{"N":"1.5"}]}}},"place":{"M":{"lat":{"N":"-1"}}},"a#b":{"S":"1#2"},"old":{"S":"x"},
        "createdAt":{"S":"2024-01-01T00:00:00.000Z"},"updatedAt":{"S":"2024-01-02T00:00:00.000Z"},
        "_version":{"N":"3"},"_deleted":{"BOOL":true},"_lastChangedAt":{"N":"1704153600123"},"_ttl":{"N":"1"},
        "__typename":{"S":"Note"}}}"##;

    #[test]
    fn an_item_is_read_with_all_that_appsync_knows_of_it() {
        let item = read(LINE).unwrap();
        let json: Vec<Json> = item.record.values.iter().map(Value::to_json).collect();
        assert_eq!(json[..3], [Json::from("a"), Json::from("t"), Json::from(7)]);
        assert_eq!(json[3], serde_json::json!(["x", null]));
        assert_eq!(json[4], serde_json::json!(r#"{"deep":[1.5]}"#), "AWSJSON is a text");
        assert_eq!(json[5], serde_json::json!({ "lat": -1 }));
        let meta = item.record.meta;
        assert_eq!(
            (meta.version.0, meta.deleted, meta.last_changed_at),
            (3, true, 1_704_153_600_123)
        );
        assert_eq!(item.unknown, ["old"]);
    }

    #[test]
    fn what_is_wrong_is_told_with_its_mend() {
        for (from, to, told) in [
            (r#""text":{"S":"t"},"#, "", "`text` is missing: make the field optional"),
            (r#"{"N":"7"}"#, r#"{"S":"seven"}"#, "`n`: "),
            (r#"{"N":"7"}"#, r#"{"N":"9999999999"}"#, "`n`: "),
            (r#"{"N":"7"}"#, r#""7""#, "`n`: \"7\" is no DynamoDB value"),
            (r#"{"S":"Note"}"#, r#"{"S":"Post"}"#, "an item of `Post`"),
            (r#"{"N":"3"}"#, r#"{"N":"x"}"#, "`_version`: \"x\" is no number"),
            (r#""old":"#, r#""ds_pk":"#, "delta table"),
            ("{\"Item\":", "", "no JSON object"),
        ] {
            assert!(LINE.contains(from), "{from}");
            let why = read(&LINE.replacen(from, to, 1)).err().unwrap();
            assert!(why.contains(told), "{why}");
        }
    }

    #[test]
    fn a_table_without_conflict_detection_begins_at_version_one() {
        let line = r#"{"id":{"S":"a"},"text":{"S":"t"},"updatedAt":{"S":"2024-01-02T00:00:00.000Z"}}"#;
        let meta = read(line).unwrap().record.meta;
        assert_eq!(
            (meta.version.0, meta.deleted, meta.last_changed_at),
            (1, false, 1_704_153_600_000)
        );
    }

    #[test]
    fn json_that_was_kept_as_text_stays_that_text() {
        for (kept, text) in [
            (r#"{"S":"{\"a\": 1}"}"#, r#"{"a": 1}"#),
            (r#"{"S":"plain"}"#, r#""plain""#),
            (r#"{"BOOL":false}"#, "false"),
        ] {
            let line = format!(r#"{{"id":{{"S":"a"}},"text":{{"S":"t"}},"meta":{kept},"_lastChangedAt":{{"N":"1"}}}}"#);
            assert_eq!(read(&line).unwrap().record.values[4].to_json(), Json::from(text));
        }
    }
}
