//! The reference: the same query over records in memory, by apollo-compiler's executor and resolvers that look at every
//! record. Written from the description of the API, not from the code it checks.

use std::cmp::Ordering;

use apollo_compiler::resolvers::{Execution, FieldError, ObjectValue, ResolveInfo, ResolvedValue};
use apollo_compiler::response::{JsonMap, JsonValue};
use serde_json::{Map, Value as Json, json};
use tombolo_core::id::{FieldId, ModelId};
use tombolo_core::limits::{SYNC_MOMENT_MS, SYNC_OVERLAP_DEVICE_MS, SYNC_OVERLAP_MS, SYNC_STARTED_LAG_MS};
use tombolo_core::schema::{QueryRoot, RelationKind, Schema};

use crate::support::Stored;

/// What stands for a page token: the comparison takes any text for it.
pub(crate) const TOKEN: &str = "<token>";

pub(crate) struct World<'a> {
    schema: &'a Schema,
    models: Vec<Vec<Json>>,
}

impl<'a> World<'a> {
    pub(crate) fn new(schema: &'a Schema, data: &[(ModelId, Vec<Stored>)]) -> Self {
        let models = data
            .iter()
            .map(|(id, records)| {
                let model = schema.model(*id);
                records
                    .iter()
                    .map(|stored| {
                        let mut object = Map::new();
                        for (field, value) in model.fields.iter().zip(&stored.values) {
                            object.insert(field.name.clone(), value.to_json());
                        }
                        object.insert("_version".into(), json!(stored.version));
                        object.insert("_deleted".into(), if stored.deleted { json!(true) } else { Json::Null });
                        object.insert("_lastChangedAt".into(), json!(stored.changed_at));
                        object.insert("_position".into(), json!(stored.position));
                        Json::Object(object)
                    })
                    .collect()
            })
            .collect();
        Self { schema, models }
    }

    /// Data and the paths of errors.
    pub(crate) fn ask(&self, text: &str, variables: &Json) -> (Json, Vec<String>) {
        let document =
            apollo_compiler::ExecutableDocument::parse_and_validate(&self.schema.api, text, "q.graphql").unwrap();
        let variables: JsonMap = match JsonValue::from(variables.clone()) {
            JsonValue::Object(map) => map,
            _ => JsonMap::new(),
        };
        let response = Execution::new(&self.schema.api, &document)
            .raw_variable_values(&variables)
            .execute_sync(&Root { world: self })
            .unwrap();
        let data = serde_json::to_value(&response.data).unwrap();
        let mut paths: Vec<String> = response
            .errors
            .iter()
            .map(|e| serde_json::to_string(&e.path).unwrap())
            .collect();
        paths.sort();
        (data, paths)
    }

    fn page<'s>(&'s self, id: ModelId, mut records: Vec<&'s Json>, arguments: &Json, order: &[String]) -> Page<'s> {
        if let Some(filter) = arguments.get("filter").filter(|f| !f.is_null()) {
            records.retain(|record| matches(filter, record));
        }
        records.sort_by(|a, b| {
            order
                .iter()
                .map(|name| compare(&a[name], &b[name]))
                .find(|o| o.is_ne())
                .unwrap_or(Ordering::Equal)
        });
        if arguments["sortDirection"] == "DESC" {
            records.reverse();
        }
        // By the last step first, each time keeping what stands equal as it stands.
        for step in arguments["sort"].as_array().into_iter().flatten().rev() {
            let name = step["field"].as_str().unwrap();
            records.sort_by(|a, b| {
                let up = compare(&a[name], &b[name]);
                if step["direction"] == "DESC" { up.reverse() } else { up }
            });
        }
        let limit = arguments["limit"].as_u64().unwrap_or(100) as usize;
        let more = records.len() > limit;
        records.truncate(limit);
        Page {
            world: self,
            id,
            records,
            more,
            started_at: None,
        }
    }

    fn key(&self, id: ModelId) -> Vec<String> {
        self.names(id, &self.schema.model(id).key)
    }

    fn names(&self, id: ModelId, fields: &[FieldId]) -> Vec<String> {
        let model = self.schema.model(id);
        fields.iter().map(|f| model.field_at(*f).name.clone()).collect()
    }
}

/// Nulls first, as SQL has it here.
fn compare(a: &Json, b: &Json) -> Ordering {
    match (a, b) {
        (Json::Null, Json::Null) => Ordering::Equal,
        (Json::Null, _) => Ordering::Less,
        (_, Json::Null) => Ordering::Greater,
        (Json::Bool(a), Json::Bool(b)) => a.cmp(b),
        (Json::Number(a), Json::Number(b)) => a.as_f64().partial_cmp(&b.as_f64()).unwrap(),
        (Json::String(a), Json::String(b)) => a.as_bytes().cmp(b.as_bytes()),
        other => panic!("not comparable: {other:?}"),
    }
}

fn same_class(a: &Json, b: &Json) -> bool {
    matches!(
        (a, b),
        (Json::Bool(_), Json::Bool(_)) | (Json::Number(_), Json::Number(_)) | (Json::String(_), Json::String(_))
    )
}

/// A filter over a record, by the words of the API: absent equals nothing, negations hold for the absent.
pub(crate) fn matches(filter: &Json, record: &Json) -> bool {
    filter
        .as_object()
        .unwrap()
        .iter()
        .all(|(name, test)| match name.as_str() {
            _ if test.is_null() => true,
            "and" => test.as_array().unwrap().iter().all(|f| matches(f, record)),
            "or" => test.as_array().unwrap().iter().any(|f| matches(f, record)),
            "not" => !matches(test, record),
            name => {
                let value = &record[name];
                test.as_object()
                    .unwrap()
                    .iter()
                    .all(|(operator, operand)| holds(value, operator, operand))
            }
        })
}

fn holds(value: &Json, operator: &str, operand: &Json) -> bool {
    let ordered = |wanted: &[Ordering]| same_class(value, operand) && wanted.contains(&compare(value, operand));
    let equal = || match (value, operand) {
        (Json::Null, Json::Null) => true,
        (Json::Array(a), Json::Array(b)) => a == b,
        _ => ordered(&[Ordering::Equal]),
    };
    let contains = || match value {
        Json::String(text) => text.contains(operand.as_str().unwrap()),
        Json::Array(items) => items.contains(operand),
        _ => false,
    };
    match operator {
        "eq" => equal(),
        "ne" => !equal(),
        "lt" => ordered(&[Ordering::Less]),
        "le" => ordered(&[Ordering::Less, Ordering::Equal]),
        "gt" => ordered(&[Ordering::Greater]),
        "ge" => ordered(&[Ordering::Greater, Ordering::Equal]),
        "between" => holds(value, "ge", &operand[0]) && holds(value, "le", &operand[1]),
        "contains" => contains(),
        "notContains" => !contains(),
        "beginsWith" => value.as_str().is_some_and(|t| t.starts_with(operand.as_str().unwrap())),
        "attributeExists" => value.is_null() != operand.as_bool().unwrap(),
        "attributeType" => {
            let own = match value {
                Json::Null => "_null",
                Json::Bool(_) => "bool",
                Json::Number(_) => "number",
                Json::String(_) => "string",
                Json::Array(_) => "list",
                Json::Object(_) => "map",
            };
            operand == own
        }
        "size" => {
            let size = match value {
                Json::String(text) => json!(text.chars().count()),
                Json::Array(items) => json!(items.len()),
                _ => return false,
            };
            operand.as_object().unwrap().iter().all(|(o, v)| holds(&size, o, v))
        }
        other => panic!("{other}"),
    }
}

fn arguments(info: &ResolveInfo<'_>) -> Json {
    serde_json::to_value(info.arguments()).unwrap()
}

fn leaf<'s>(json: &Json) -> ResolvedValue<'s> {
    ResolvedValue::Leaf(JsonValue::from(json.clone()))
}

struct Root<'a> {
    world: &'a World<'a>,
}

impl ObjectValue for Root<'_> {
    fn type_name(&self) -> &str {
        "Query"
    }

    fn resolve_field<'s>(&'s self, info: &'s ResolveInfo<'s>) -> Result<ResolvedValue<'s>, FieldError> {
        let world = self.world;
        let arguments = arguments(info);
        let all = |id: ModelId| world.models[id.0].iter().collect::<Vec<_>>();
        let page = match &world.schema.roots.query[info.field_name()] {
            QueryRoot::Get(id) => {
                let key = world.key(*id);
                let found = all(*id)
                    .into_iter()
                    .find(|record| key.iter().all(|name| record[name] == arguments[name]));
                return Ok(match found {
                    None => ResolvedValue::null(),
                    Some(record) => ResolvedValue::object(Record { world, id: *id, record }),
                });
            }
            QueryRoot::List(id) => world.page(*id, all(*id), &arguments, &world.key(*id)),
            QueryRoot::Index(id, index) => {
                let names = world.names(*id, &world.schema.model(*id).indexes[*index].fields);
                let mut records = all(*id);
                records.retain(|r| r[&names[0]] == arguments[&names[0]]);
                keyed(&mut records, &names[1..], &arguments);
                let mut order = names;
                order.extend(world.key(*id));
                world.page(*id, records, &arguments, &order)
            }
            QueryRoot::Sync(id) => {
                let mut records = all(*id);
                let newest = records.iter().max_by_key(|r| r["_position"].as_i64());
                let newest = newest.map_or(0, |r| r["_lastChangedAt"].as_i64().unwrap());
                let started_at = newest / SYNC_MOMENT_MS * SYNC_MOMENT_MS;
                let last = arguments["lastSync"].as_i64().unwrap_or(0);
                let since = if last % SYNC_MOMENT_MS == 0 {
                    last - SYNC_OVERLAP_MS
                } else if last > started_at + SYNC_STARTED_LAG_MS + SYNC_MOMENT_MS {
                    0
                } else {
                    last.min(started_at) - SYNC_OVERLAP_DEVICE_MS
                };
                records.retain(|r| r["_lastChangedAt"].as_i64().unwrap() >= since);
                Page {
                    started_at: Some(json!(started_at)),
                    ..world.page(*id, records, &arguments, &["_position".to_owned()])
                }
            }
            other => panic!("{other:?}"),
        };
        Ok(ResolvedValue::object(page))
    }
}

/// A condition on the one sort field.
fn keyed(records: &mut Vec<&Json>, sort: &[String], arguments: &Json) {
    if let [name] = sort
        && let Some(condition) = arguments.get(name).and_then(Json::as_object)
    {
        records.retain(|r| condition.iter().all(|(o, v)| holds(&r[name], o, v)));
    }
}

struct Page<'a> {
    world: &'a World<'a>,
    id: ModelId,
    records: Vec<&'a Json>,
    more: bool,
    started_at: Option<Json>,
}

impl ObjectValue for Page<'_> {
    fn type_name(&self) -> &str {
        match self.world.schema.model(self.id).name.as_str() {
            "Author" => "ModelAuthorConnection",
            "Post" => "ModelPostConnection",
            "Comment" => "ModelCommentConnection",
            "Profile" => "ModelProfileConnection",
            _ => "ModelItemConnection",
        }
    }

    fn resolve_field<'s>(&'s self, info: &'s ResolveInfo<'s>) -> Result<ResolvedValue<'s>, FieldError> {
        Ok(match info.field_name() {
            "items" => ResolvedValue::list(self.records.iter().map(|record| {
                ResolvedValue::object(Record {
                    world: self.world,
                    id: self.id,
                    record,
                })
            })),
            "nextToken" if self.more => leaf(&json!(TOKEN)),
            "startedAt" => leaf(self.started_at.as_ref().unwrap_or(&Json::Null)),
            _ => ResolvedValue::null(),
        })
    }
}

struct Record<'a> {
    world: &'a World<'a>,
    id: ModelId,
    record: &'a Json,
}

impl ObjectValue for Record<'_> {
    fn type_name(&self) -> &str {
        &self.world.schema.model(self.id).name
    }

    fn resolve_field<'s>(&'s self, info: &'s ResolveInfo<'s>) -> Result<ResolvedValue<'s>, FieldError> {
        let world = self.world;
        let model = world.schema.model(self.id);
        let Some(relation) = model.relation(info.field_name()) else {
            return Ok(embedded(&self.record[info.field_name()], info));
        };
        let source = world.names(self.id, &relation.source_fields);
        let target = world.names(relation.target, &relation.target_fields);
        let mut records: Vec<&Json> = world.models[relation.target.0]
            .iter()
            .filter(|other| {
                source
                    .iter()
                    .zip(&target)
                    .all(|(mine, theirs)| !self.record[mine].is_null() && self.record[mine] == other[theirs])
            })
            .collect();
        if relation.kind != RelationKind::HasMany {
            return Ok(match records.first() {
                None => ResolvedValue::null(),
                Some(record) => ResolvedValue::object(Record {
                    world,
                    id: relation.target,
                    record,
                }),
            });
        }
        let arguments = arguments(info);
        let mut order = world.names(relation.target, &relation.sort_fields);
        keyed(&mut records, &order, &arguments);
        order.extend(world.key(relation.target));
        Ok(ResolvedValue::object(world.page(
            relation.target,
            records,
            &arguments,
            &order,
        )))
    }
}

/// A stored value: lists and embedded values unfolded as far as their type says.
fn embedded<'s>(json: &'s Json, info: &'s ResolveInfo<'s>) -> ResolvedValue<'s> {
    let type_name = info.field_definition().ty.inner_named_type().as_str();
    unfold(json, info.schema().get_object(type_name).map(|o| o.name.as_str()))
}

fn unfold<'s>(json: &'s Json, object: Option<&'s str>) -> ResolvedValue<'s> {
    match (json, object) {
        (Json::Array(items), object) => ResolvedValue::list(items.iter().map(move |item| unfold(item, object))),
        (Json::Object(_), Some(type_name)) => ResolvedValue::object(Inside { type_name, json }),
        (json, _) => leaf(json),
    }
}

struct Inside<'a> {
    type_name: &'a str,
    json: &'a Json,
}

impl ObjectValue for Inside<'_> {
    fn type_name(&self) -> &str {
        self.type_name
    }

    fn resolve_field<'s>(&'s self, info: &'s ResolveInfo<'s>) -> Result<ResolvedValue<'s>, FieldError> {
        Ok(embedded(&self.json[info.field_name()], info))
    }
}
