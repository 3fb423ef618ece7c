//! Random data, filters and documents, made from a string of bytes: each choice takes one byte, and when there are none
//! left every choice is the plainest, so that shorter strings make simpler cases and a failure shrinks well.

use std::fmt::Write as _;

use serde_json::{Map, Value as Json, json};
use tombolo_core::id::ModelId;
use tombolo_core::limits::{SYNC_OVERLAP_DEVICE_MS, SYNC_OVERLAP_MS};
use tombolo_core::schema::{FieldKind, FieldType, Model, RelationKind, Scalar, Schema};
use tombolo_core::value::Value;

use crate::support::Stored;

pub(crate) struct Choices<'b> {
    bytes: std::slice::Iter<'b, u8>,
    count: usize,
}

impl<'b> Choices<'b> {
    pub(crate) fn new(bytes: &'b [u8]) -> Self {
        Self {
            bytes: bytes.iter(),
            count: 0,
        }
    }

    /// A number below `n`.
    pub(crate) fn pick(&mut self, n: usize) -> usize {
        usize::from(self.bytes.next().copied().unwrap_or(0)) % n
    }

    /// True once in `n` times; never when the bytes have run out.
    pub(crate) fn one_in(&mut self, n: usize) -> bool {
        self.pick(n) == n - 1
    }

    pub(crate) fn of<'t, T: ?Sized>(&mut self, items: &[&'t T]) -> &'t T {
        items[self.pick(items.len())]
    }

    fn fresh(&mut self) -> usize {
        self.count += 1;
        self.count
    }
}

const TEXTS: [&str; 9] = [
    "a",
    "",
    "b",
    "ab",
    "ä\u{10FFFF}",
    "a\"b\\",
    "A",
    "line\nbreak",
    "\u{D7FF}z",
];

/// A JSON value of the type. Small ranges, so that equal values meet.
pub(crate) fn value(c: &mut Choices<'_>, schema: &Schema, ty: &FieldType) -> Json {
    if let Some(items_required) = ty.list {
        let item = FieldType {
            kind: ty.kind.clone(),
            list: None,
            required: items_required,
        };
        let n = c.pick(4);
        return Json::Array((0..n).map(|_| maybe(c, schema, &item)).collect());
    }
    match &ty.kind {
        FieldKind::Scalar(Scalar::Int) => json!(c.pick(5) as i64 - 2),
        FieldKind::Scalar(Scalar::AwsTimestamp) => json!(c.pick(3) as i64 * 1_000_000_000),
        FieldKind::Scalar(Scalar::Float) => json!(c.pick(5) as f64 / 2.0 - 1.0),
        FieldKind::Scalar(Scalar::Boolean) => json!(c.one_in(2)),
        FieldKind::Scalar(Scalar::Id) => json!(format!("k{}", c.pick(6))),
        FieldKind::Scalar(Scalar::AwsDateTime) => json!(format!("2024-01-0{}T00:00:00.000Z", 1 + c.pick(3))),
        FieldKind::Scalar(_) => json!(c.of(&TEXTS)),
        FieldKind::Enum(name) => {
            let values: Vec<&str> = schema.enums[name].iter().map(String::as_str).collect();
            json!(c.of(&values))
        }
        FieldKind::Embedded(name) => {
            let mut object = Map::new();
            for field in schema.embedded_fields(name) {
                object.insert(field.name.clone(), maybe(c, schema, &field.ty));
            }
            Json::Object(object)
        }
    }
}

/// The same, sometimes null: often where it may be, seldom where it may not.
pub(crate) fn maybe(c: &mut Choices<'_>, schema: &Schema, ty: &FieldType) -> Json {
    if c.one_in(if ty.required { 12 } else { 4 }) {
        Json::Null
    } else {
        value(c, schema, ty)
    }
}

fn stored_value(json: &Json, ty: &FieldType) -> Value {
    match json {
        Json::Null => Value::Null,
        json if ty.list.is_some() || matches!(ty.kind, FieldKind::Embedded(_)) => Value::Json(json.to_string()),
        Json::Bool(b) => Value::Bool(*b),
        Json::String(text) => Value::Text(text.clone()),
        Json::Number(n) if ty.kind == FieldKind::Scalar(Scalar::Float) => Value::Float(n.as_f64().unwrap()),
        Json::Number(n) => Value::Int(n.as_i64().unwrap()),
        json => Value::Json(json.to_string()),
    }
}

/// When the first record of a model changed, and how much later the second two did, and so on: days, of which a delta has some.
const BEGAN_MS: i64 = 200 * 3_600_000;
const STEP_MS: i64 = 20 * 3_600_000;

/// Records of every model; keys and the fields of indexes are never null.
pub(crate) fn data(c: &mut Choices<'_>, schema: &Schema) -> Vec<(ModelId, Vec<Stored>)> {
    let mut all = Vec::new();
    for (i, model) in schema.models.iter().enumerate() {
        let count = c.pick(9);
        let mut records: Vec<Stored> = Vec::new();
        for n in 0..count {
            let values: Vec<Value> = model
                .fields
                .iter()
                .map(|field| {
                    let id = tombolo_core::id::FieldId(model.fields.iter().position(|f| f.name == field.name).unwrap());
                    let in_key = model.key.contains(&id) || field.name == "rating";
                    let json = if in_key {
                        value(c, schema, &field.ty)
                    } else {
                        maybe(c, schema, &field.ty)
                    };
                    stored_value(&json, &field.ty)
                })
                .collect();
            let key = |s: &Stored| {
                model
                    .key
                    .iter()
                    .map(|f| s.values[f.0].to_json().to_string())
                    .collect::<Vec<_>>()
            };
            let stored = Stored {
                values,
                version: 1 + n as i64,
                deleted: c.one_in(5),
                changed_at: BEGAN_MS + STEP_MS * (n as i64 / 2),
                position: 1 + n as i64,
            };
            if records.iter().all(|other| key(other) != key(&stored)) {
                records.push(stored);
            }
        }
        all.push((ModelId(i), records));
    }
    all
}

/// A filter input of the model. Enum values are marked, to be written without quotes in a document.
pub(crate) fn filter(c: &mut Choices<'_>, schema: &Schema, model: &Model, depth: usize) -> Json {
    let mut object = Map::new();
    for _ in 0..1 + c.pick(2) {
        let connective = if depth == 0 { 0 } else { c.pick(6) };
        match connective {
            3 | 4 => {
                let name = if connective == 3 { "and" } else { "or" };
                let n = c.pick(3);
                let list = (0..n).map(|_| filter(c, schema, model, depth - 1)).collect();
                object.insert(name.into(), Json::Array(list));
            }
            5 => {
                object.insert("not".into(), filter(c, schema, model, depth - 1));
            }
            _ => {
                let fields: Vec<_> = model
                    .fields
                    .iter()
                    .filter(|f| !matches!(f.ty.kind, FieldKind::Embedded(_)))
                    .filter(|f| matches!(f.origin, tombolo_core::schema::FieldOrigin::Declared))
                    .collect();
                let at = c.pick(fields.len() + 1);
                let (name, test) = match fields.get(at) {
                    Some(field) => (field.name.clone(), tests(c, schema, &field.ty)),
                    None => ("_deleted".into(), {
                        let wanted = c.one_in(2);
                        match c.pick(3) {
                            0 => json!({"ne": wanted}),
                            1 => json!({"eq": wanted}),
                            _ => json!({"attributeExists": wanted}),
                        }
                    }),
                };
                object.insert(name, test);
            }
        }
    }
    Json::Object(object)
}

/// Steps of an order: up to three fields, no one twice.
pub(crate) fn sort(c: &mut Choices<'_>, model: &Model) -> Json {
    let mut names: Vec<&str> = model
        .fields
        .iter()
        .filter(|f| !matches!(f.ty.kind, FieldKind::Embedded(_)) && f.ty.list.is_none())
        .map(|f| f.name.as_str())
        .collect();
    names.push("_lastChangedAt");
    let steps = (0..c.pick(4)).map(|_| {
        let name = names.remove(c.pick(names.len()));
        match c.pick(3) {
            0 => json!({"field": format!("ENUM:{name}")}),
            1 => json!({"field": format!("ENUM:{name}"), "direction": "ENUM:ASC"}),
            _ => json!({"field": format!("ENUM:{name}"), "direction": "ENUM:DESC"}),
        }
    });
    steps.collect()
}

fn mark(ty: &FieldType, json: Json) -> Json {
    match (&ty.kind, json) {
        (FieldKind::Enum(_), Json::String(name)) => json!(format!("ENUM:{name}")),
        (FieldKind::Enum(_), Json::Array(items)) => items.into_iter().map(|item| mark(ty, item)).collect(),
        (_, json) => json,
    }
}

fn tests(c: &mut Choices<'_>, schema: &Schema, ty: &FieldType) -> Json {
    let one = FieldType::single(ty.kind.clone());
    let is_enum = matches!(ty.kind, FieldKind::Enum(_));
    let text = matches!(
        ty.kind,
        FieldKind::Scalar(s) if !matches!(s, Scalar::Int | Scalar::Float | Scalar::Boolean | Scalar::AwsTimestamp)
    );
    let mut operators = vec!["eq", "ne"];
    if is_enum && ty.list.is_some() {
        operators.extend(["contains", "notContains"]);
    }
    if !is_enum {
        operators.extend(["attributeExists", "attributeType"]);
        if ty.kind != FieldKind::Scalar(Scalar::Boolean) {
            operators.extend(["lt", "le", "gt", "ge", "between"]);
        }
        if text {
            operators.extend(["contains", "notContains", "beginsWith", "size"]);
        }
    }
    let mut object = Map::new();
    for _ in 0..1 + c.pick(2) {
        let operator = c.of(&operators);
        let operand = |c: &mut Choices<'_>| mark(ty, value(c, schema, &one));
        let json = match operator {
            "between" => json!([operand(c), operand(c)]),
            "attributeExists" => json!(c.one_in(2)),
            "attributeType" => json!(format!(
                "ENUM:{}",
                c.of(&["string", "number", "bool", "list", "map", "_null", "binary"])
            )),
            "size" => {
                let n = c.pick(4);
                match c.pick(4) {
                    0 => json!({"eq": n}),
                    1 => json!({"ne": n}),
                    2 => json!({"ge": n}),
                    _ => json!({"between": [n, n + 1]}),
                }
            }
            "beginsWith" => json!(c.of(&TEXTS)),
            // An enum list is compared as a whole.
            "eq" | "ne" if is_enum && ty.list.is_some() => {
                let n = c.pick(3);
                Json::Array((0..n).map(|_| mark(ty, value(c, schema, &one))).collect())
            }
            "eq" | "ne" if c.one_in(8) => Json::Null,
            _ => operand(c),
        };
        object.insert(operator.into(), json);
    }
    Json::Object(object)
}

/// JSON as a GraphQL literal.
pub(crate) fn literal(json: &Json) -> String {
    match json {
        Json::String(text) => match text.strip_prefix("ENUM:") {
            Some(name) => name.to_owned(),
            None => json!(text).to_string(),
        },
        Json::Array(items) => format!("[{}]", items.iter().map(literal).collect::<Vec<_>>().join(", ")),
        Json::Object(map) => {
            let entries: Vec<String> = map.iter().map(|(k, v)| format!("{k}: {}", literal(v))).collect();
            format!("{{{}}}", entries.join(", "))
        }
        other => other.to_string(),
    }
}

/// JSON without the marks on enum values.
pub(crate) fn unmarked(json: &Json) -> Json {
    match json {
        Json::String(text) => json!(text.strip_prefix("ENUM:").unwrap_or(text)),
        Json::Array(items) => items.iter().map(unmarked).collect(),
        Json::Object(map) => map.iter().map(|(k, v)| (k.clone(), unmarked(v))).collect(),
        other => other.clone(),
    }
}

/// A random query with its variables.
pub(crate) struct Query {
    pub(crate) text: String,
    pub(crate) variables: Json,
}

struct Writing<'a, 'c, 'b> {
    c: &'c mut Choices<'b>,
    schema: &'a Schema,
    definitions: Vec<String>,
    variables: Map<String, Json>,
    fragments: String,
}

pub(crate) fn query(c: &mut Choices<'_>, schema: &Schema) -> Query {
    let mut w = Writing {
        c,
        schema,
        definitions: vec!["$yes: Boolean!".into(), "$no: Boolean = false".into()],
        variables: Map::from_iter([("yes".to_owned(), json!(true))]),
        fragments: String::new(),
    };
    let mut body = String::new();
    for _ in 0..1 + w.c.pick(3) {
        w.root(&mut body);
    }
    // Both variables are used: validation asks for it.
    body.push_str(" __typename @include(if: $yes) @skip(if: $no)");
    Query {
        text: format!("query Q({}) {{{body}}}\n{}", w.definitions.join(", "), w.fragments),
        variables: Json::Object(w.variables),
    }
}

impl Writing<'_, '_, '_> {
    fn root(&mut self, out: &mut String) {
        let at = self.c.pick(self.schema.models.len());
        let model = &self.schema.models[at];
        let alias = format!("r{}", self.c.fresh());
        match self.c.pick(if model.name == "Post" { 4 } else { 3 }) {
            0 => {
                let arguments = self.list_arguments(model, None);
                let _ = write!(out, " {alias}: list{}{arguments}{}", model.plural, self.directive());
                self.connection(model, 3, out);
            }
            1 => {
                let mut arguments = Vec::new();
                for field in &model.key {
                    let field = model.field_at(*field);
                    let json = value(self.c, self.schema, &field.ty);
                    arguments.push(self.argument(&field.name, &field.ty.to_string(), &json));
                }
                let _ = write!(out, " {alias}: get{}({})", model.name, arguments.join(", "));
                self.object(model, 3, out);
            }
            2 => {
                let arguments = self.list_arguments(model, Some("sync"));
                let _ = write!(out, " {alias}: sync{}{arguments}", model.plural);
                self.connection(model, 2, out);
            }
            _ => {
                let json = json!(format!("k{}", self.c.pick(6)));
                let author = self.argument("authorID", "ID!", &json);
                let rest = self.list_arguments(model, Some("rating"));
                let rest = rest.trim_matches(['(', ')']).to_owned();
                let _ = write!(out, " {alias}: postsByAuthor({author}, {rest})");
                self.connection(model, 3, out);
            }
        }
    }

    /// `name: value`, sometimes through a variable.
    fn argument(&mut self, name: &str, ty: &str, json: &Json) -> String {
        if self.c.one_in(3) {
            let variable = format!("v{}", self.c.fresh());
            self.definitions.push(format!("${variable}: {ty}"));
            self.variables.insert(variable.clone(), unmarked(json));
            format!("{name}: ${variable}")
        } else {
            format!("{name}: {}", literal(json))
        }
    }

    fn list_arguments(&mut self, model: &Model, kind: Option<&str>) -> String {
        let mut arguments = Vec::new();
        if self.c.one_in(2) {
            let json = filter(self.c, self.schema, model, 2);
            arguments.push(self.argument("filter", &format!("Model{}FilterInput", model.name), &json));
        }
        let limit = json!(1 + self.c.pick(4));
        if kind == Some("rating") || self.c.one_in(2) {
            arguments.push(self.argument("limit", "Int", &limit));
        }
        match kind {
            Some("sync") if self.c.one_in(2) => {
                // A moment of the server's, or one of a device's clock, at, behind or before a record's.
                let at = BEGAN_MS + STEP_MS * self.c.pick(6) as i64;
                let at = match self.c.pick(4) {
                    0 => at + SYNC_OVERLAP_MS,
                    1 => at + SYNC_OVERLAP_MS + 10_000,
                    2 => at + SYNC_OVERLAP_DEVICE_MS + 1,
                    _ => at + SYNC_OVERLAP_DEVICE_MS - 1,
                };
                arguments.push(self.argument("lastSync", "AWSTimestamp", &json!(at)));
            }
            Some("rating") => {
                if self.c.one_in(2) {
                    let operator = self.c.of(&["eq", "le", "lt", "ge", "gt"]);
                    let json = json!({operator: self.c.pick(5) as i64 - 2});
                    arguments.push(self.argument("rating", "ModelIntKeyConditionInput", &json));
                }
                if self.c.one_in(2) {
                    arguments.push(self.argument("sortDirection", "ModelSortDirection", &json!("ENUM:DESC")));
                }
            }
            _ => {}
        }
        if kind != Some("sync") && self.c.one_in(3) {
            let json = sort(self.c, model);
            arguments.push(self.argument("sort", &format!("[Model{}SortInput!]", model.name), &json));
        }
        if arguments.is_empty() {
            String::new()
        } else {
            format!("({})", arguments.join(", "))
        }
    }

    fn directive(&mut self) -> &'static str {
        if !self.c.one_in(5) {
            return "";
        }
        self.c.of(&[
            "@include(if: true)",
            "@include(if: $yes)",
            "@skip(if: $no)",
            "@skip(if: true)",
            "@include(if: $no)",
        ])
    }

    fn connection(&mut self, model: &Model, depth: usize, out: &mut String) {
        out.push_str(" {");
        for _ in 0..1 + self.c.pick(3) {
            match self.c.pick(6) {
                0..=2 => {
                    out.push_str(" items");
                    self.object(model, depth - 1, out);
                }
                3 => out.push_str(" nextToken"),
                4 => {
                    let _ = write!(out, " i{}: items", self.c.fresh());
                    self.object(model, depth - 1, out);
                }
                _ => out.push_str(" __typename startedAt"),
            }
        }
        out.push_str(" }");
    }

    fn object(&mut self, model: &Model, depth: usize, out: &mut String) {
        out.push_str(" {");
        for _ in 0..1 + self.c.pick(4) {
            match self.c.pick(8) {
                6 => {
                    let _ = write!(out, " ... on {} {}", model.name, self.directive());
                    if depth > 0 {
                        self.object(model, depth - 1, out);
                    } else {
                        out.push_str(" { kind: __typename }");
                    }
                }
                7 if depth > 0 => {
                    let name = format!("F{}", self.c.fresh());
                    let mut body = String::new();
                    self.object(model, depth - 1, &mut body);
                    let _ = writeln!(self.fragments, "fragment {name} on {}{body}", model.name);
                    let _ = write!(out, " ...{name} {}", self.directive());
                }
                _ => self.field(model, depth, out),
            }
        }
        out.push_str(" }");
    }

    fn field(&mut self, model: &Model, depth: usize, out: &mut String) {
        let api = self.schema.api.get_object(&model.name).unwrap();
        let names: Vec<&str> = api
            .fields
            .keys()
            .map(|n| n.as_str())
            .filter(|name| depth > 0 || model.relation(name).is_none())
            .collect();
        let name = self.c.of(&names);
        let relation = model.relation(name);
        let alias = if relation.is_some() || self.c.one_in(4) {
            format!("x{}: ", self.c.fresh())
        } else {
            String::new()
        };
        let arguments = match relation {
            Some(relation) if relation.kind == RelationKind::HasMany => {
                let target = self.schema.model(relation.target);
                let kind = (target.name == "Post").then_some("rating");
                self.list_arguments(target, kind)
            }
            _ => String::new(),
        };
        let _ = write!(out, " {alias}{name}{arguments} {}", self.directive());
        match relation {
            Some(relation) => {
                let target = self.schema.model(relation.target);
                if relation.kind == RelationKind::HasMany {
                    self.connection(target, depth, out);
                } else {
                    self.object(target, depth - 1, out);
                }
            }
            None => {
                if let Some(field) = model.field(name)
                    && let FieldKind::Embedded(name) = &model.field_at(field).ty.kind
                {
                    self.embedded(name, out);
                }
            }
        }
    }

    fn embedded(&mut self, name: &str, out: &mut String) {
        out.push_str(" {");
        let schema = self.schema;
        for _ in 0..1 + self.c.pick(3) {
            let fields = schema.embedded_fields(name);
            let at = self.c.pick(fields.len() + 1);
            match fields.get(at) {
                None => out.push_str(" __typename"),
                Some(field) => {
                    let _ = write!(out, " {}", field.name);
                    if let FieldKind::Embedded(inner) = &field.ty.kind {
                        self.embedded(inner, out);
                    }
                }
            }
        }
        out.push_str(" }");
    }
}
