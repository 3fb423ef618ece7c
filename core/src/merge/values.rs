//! Settling one field that is in conflict.

use serde_json::{Map, Value as Json};

use crate::value::Value;

/// Settles `ours` (the server's) and `theirs` (the incoming value), which differ. `None`: the server's stands.
pub(super) fn combine(ours: &Value, theirs: &Value) -> Option<Value> {
    match (ours, theirs) {
        (_, Value::Null) => None,
        (Value::Null, theirs) => Some(theirs.clone()),
        (Value::Json(ours), Value::Json(theirs)) => {
            let (ours, theirs) = (parse(ours)?, parse(theirs)?);
            let combined = combine_json(&ours, theirs);
            (combined != ours).then(|| Value::Json(combined.to_string()))
        }
        _ => None,
    }
}

fn parse(text: &str) -> Option<Json> {
    serde_json::from_str(text).ok()
}

fn combine_json(ours: &Json, theirs: Json) -> Json {
    match (ours, theirs) {
        (Json::Null, theirs) => theirs,
        (Json::Array(ours), Json::Array(theirs)) => Json::Array(ours.iter().cloned().chain(theirs).collect()),
        (Json::Object(ours), Json::Object(theirs)) => Json::Object(combine_objects(ours, theirs)),
        (ours, _) => ours.clone(),
    }
}

/// Recursion ends with the objects' own depth, which the JSON parser bounds.
fn combine_objects(ours: &Map<String, Json>, theirs: Map<String, Json>) -> Map<String, Json> {
    let mut all = ours.clone();
    for (key, theirs) in theirs {
        match all.get_mut(&key) {
            Some(ours) if *ours == theirs => {}
            Some(ours) => *ours = combine_json(ours, theirs),
            None => {
                all.insert(key, theirs);
            }
        }
    }
    all
}
