//! The cells of a CSV file as the JSON of their fields: for `import`, which knows a model by a server's introspection, and
//! for the example data of `dev`, which knows it by the schema.

use serde_json::Value as Json;
use tombolo_core::schema::{Field, FieldKind, Scalar, Schema};

/// One field of a model's create input.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CreateField {
    /// Its name.
    pub name: String,
    /// What a value of it is.
    pub kind: CellKind,
    /// A list of such values.
    pub list: bool,
    /// It must be given.
    pub required: bool,
}

/// What the text of a CSV cell is turned into, and what an NDJSON value must be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum CellKind {
    /// `Int`.
    Int,
    /// `AWSTimestamp`.
    Timestamp,
    /// `Float`.
    Float,
    /// `Boolean`.
    Boolean,
    /// Any scalar that travels as a string; the server checks its form.
    Text,
    /// One of these.
    Enum(Vec<String>),
    /// An embedded value: a JSON object.
    Object,
}

impl CreateField {
    /// A stored field as the schema has it.
    pub(crate) fn of(schema: &Schema, field: &Field) -> Self {
        Self {
            name: field.name.clone(),
            kind: CellKind::of(schema, &field.ty.kind),
            list: field.ty.list.is_some(),
            required: field.ty.required,
        }
    }
}

impl CellKind {
    fn of(schema: &Schema, kind: &FieldKind) -> Self {
        match kind {
            FieldKind::Scalar(Scalar::Int) => Self::Int,
            FieldKind::Scalar(Scalar::AwsTimestamp) => Self::Timestamp,
            FieldKind::Scalar(Scalar::Float) => Self::Float,
            FieldKind::Scalar(Scalar::Boolean) => Self::Boolean,
            FieldKind::Scalar(
                Scalar::Id
                | Scalar::String
                | Scalar::AwsDate
                | Scalar::AwsTime
                | Scalar::AwsDateTime
                | Scalar::AwsEmail
                | Scalar::AwsJson
                | Scalar::AwsUrl
                | Scalar::AwsPhone
                | Scalar::AwsIpAddress,
            ) => Self::Text,
            FieldKind::Enum(name) => Self::Enum(schema.enums.get(name).cloned().unwrap_or_default()),
            FieldKind::Embedded(_) => Self::Object,
        }
    }
}

/// The value of a CSV cell that is not empty.
pub(crate) fn value(field: &CreateField, text: &str) -> Result<Json, String> {
    if field.list || field.kind == CellKind::Object {
        let shape = if field.list { "a JSON array" } else { "a JSON object" };
        let value: Json = serde_json::from_str(text).map_err(|e| format!("the cell must hold {shape}: {e}"))?;
        if value.is_array() != field.list {
            return Err(format!("the cell must hold {shape}"));
        }
        check(field, &value)?;
        return Ok(value);
    }
    match &field.kind {
        CellKind::Int => {
            let number = whole(text).ok_or_else(|| format!("`{}` is no whole number", short(text)))?;
            let number = i32::try_from(number).map_err(|_| format!("`{}` does not fit in 32 bits", short(text)))?;
            Ok(Json::from(number))
        }
        CellKind::Timestamp => whole(text)
            .map(Json::from)
            .ok_or_else(|| format!("`{}` is no number of seconds", short(text))),
        CellKind::Float => match text.trim().parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(Json::from(number)),
            _ => Err(format!("`{}` is no number", short(text))),
        },
        CellKind::Boolean => match text.trim().to_ascii_lowercase().as_str() {
            "true" | "1" => Ok(Json::Bool(true)),
            "false" | "0" => Ok(Json::Bool(false)),
            _ => Err(format!("`{}` is neither true nor false", short(text))),
        },
        CellKind::Enum(_) | CellKind::Text | CellKind::Object => {
            let value = Json::String(text.to_owned());
            check(field, &value)?;
            Ok(value)
        }
    }
}

/// A whole number, also as spreadsheets and data frames write one: `517.0`.
fn whole(text: &str) -> Option<i64> {
    let text = text.trim();
    let digits = match text.split_once('.') {
        Some((whole, fraction)) if fraction.bytes().all(|b| b == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    digits.parse().ok()
}

/// Whether a JSON value can be the field's, as far as its kind says.
pub(crate) fn check(field: &CreateField, value: &Json) -> Result<(), String> {
    match value {
        Json::Null if field.required => Err("null, but the model requires it".to_owned()),
        Json::Null => Ok(()),
        Json::Array(items) if field.list => items.iter().try_for_each(|item| check_element(&field.kind, item)),
        value => check_element(&field.kind, value),
    }
}

fn check_element(kind: &CellKind, value: &Json) -> Result<(), String> {
    let fits = match (kind, value) {
        (_, Json::Null) => true,
        (CellKind::Int, Json::Number(n)) => n.as_i64().is_some_and(|n| i32::try_from(n).is_ok()),
        (CellKind::Timestamp, Json::Number(n)) => n.as_i64().is_some(),
        (CellKind::Float, Json::Number(_)) | (CellKind::Boolean, Json::Bool(_)) | (CellKind::Text, Json::String(_)) => {
            true
        }
        // An ID may be given as an integer; whether this is one is the server's to say.
        (CellKind::Text, Json::Number(n)) => n.is_i64() || n.is_u64(),
        (CellKind::Enum(values), Json::String(text)) => {
            if !values.contains(text) {
                return Err(format!("`{}` is none of {}", short(text), values.join(", ")));
            }
            true
        }
        (CellKind::Object, Json::Object(_)) => true,
        _ => false,
    };
    if fits {
        Ok(())
    } else {
        Err(format!("{} is no {}", short(&value.to_string()), kind_name(kind)))
    }
}

fn kind_name(kind: &CellKind) -> &'static str {
    match kind {
        CellKind::Int => "32-bit whole number",
        CellKind::Timestamp => "number of seconds",
        CellKind::Float => "number",
        CellKind::Boolean => "true or false",
        CellKind::Text => "text",
        CellKind::Enum(_) => "enum value",
        CellKind::Object => "JSON object",
    }
}

/// The beginning of a text, for a message.
pub(crate) fn short(text: &str) -> String {
    const CHARS_MAX: usize = 60;
    match text.char_indices().nth(CHARS_MAX) {
        Some((cut, _)) => format!("{}…", text.get(..cut).unwrap_or_default()),
        None => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_schema_says_what_a_cell_is() {
        let sdl = "enum Colour { RED }
                   type Place { lat: Float }
                   type Thing @model { id: ID! count: Int at: AWSTimestamp weight: Float ok: Boolean colour: Colour
                                       place: Place tags: [String] day: AWSDate }";
        let schema = Schema::parse(sdl, "s.graphql").unwrap();
        let model = schema.models.first().unwrap();
        let cell = |name: &str, text: &str| {
            let field = model.fields.iter().find(|field| field.name == name).unwrap();
            value(&CreateField::of(&schema, field), text)
        };
        for (name, text, wanted) in [
            ("id", "7", json!("7")),
            ("count", "517.0", json!(517)),
            ("at", "1700000000", json!(1_700_000_000)),
            ("weight", "2", json!(2.0)),
            ("ok", "TRUE", json!(true)),
            ("colour", "RED", json!("RED")),
            ("place", "{\"lat\":1}", json!({ "lat": 1 })),
            ("tags", "[\"x\"]", json!(["x"])),
            ("day", "2013-01-01", json!("2013-01-01")),
        ] {
            assert_eq!(cell(name, text), Ok(wanted), "{name}");
        }
        assert_eq!(cell("colour", "BLUE").unwrap_err(), "`BLUE` is none of RED");
        assert_eq!(cell("count", "x").unwrap_err(), "`x` is no whole number");
    }
}
