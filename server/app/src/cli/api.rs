//! What a server's API looks like, asked of the server itself by introspection: which mutation creates a model's
//! records, from which fields, and which query lists them. `import` and `export` need no schema file.

use std::collections::HashMap;

use serde::Deserialize;

use tombolo_core::schema::api_name;

use super::output::Failure;
use super::remote::{Remote, Reply};
use crate::cells::{CellKind, CreateField};

/// Everything the two commands need, in one request. Four levels of wrapping are the most a field can have (`[T!]!`).
const INTROSPECTION: &str = "query TomboloApi { __schema { \
    queryType { name } mutationType { name } \
    types { name \
      fields { name args { name type { ...T } } type { ...T } } \
      inputFields { name type { ...T } defaultValue } \
      enumValues { name } } } } \
  fragment T on __Type { kind name ofType { kind name ofType { kind name ofType { kind name } } } }";

/// The API of one server.
#[derive(Debug)]
pub(super) struct Api {
    types: HashMap<String, ApiType>,
    query: String,
    mutation: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Data {
    #[serde(rename = "__schema")]
    schema: ApiSchema,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiSchema {
    query_type: Named,
    mutation_type: Option<Named>,
    types: Vec<ApiType>,
}

#[derive(Debug, Deserialize)]
struct Named {
    name: String,
}

/// One type.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiType {
    name: String,
    #[serde(default)]
    fields: Option<Vec<ApiField>>,
    #[serde(default)]
    input_fields: Option<Vec<ApiInput>>,
    #[serde(default)]
    enum_values: Option<Vec<Named>>,
}

/// One field of an object type.
#[derive(Debug, Deserialize)]
struct ApiField {
    name: String,
    #[serde(default)]
    args: Vec<ApiInput>,
    #[serde(rename = "type")]
    ty: TypeRef,
}

/// One field of an input type, or one argument.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ApiInput {
    name: String,
    #[serde(rename = "type")]
    ty: TypeRef,
    #[serde(default)]
    default_value: Option<String>,
}

/// A type as introspection wraps it.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct TypeRef {
    kind: String,
    #[serde(default)]
    name: Option<String>,
    #[serde(default)]
    of_type: Option<Box<TypeRef>>,
}

impl TypeRef {
    fn required(&self) -> bool {
        self.kind == "NON_NULL"
    }

    fn nullable(&self) -> &Self {
        match &self.of_type {
            Some(inner) if self.required() => inner,
            _ => self,
        }
    }

    fn is_list(&self) -> bool {
        self.nullable().kind == "LIST"
    }

    /// The innermost name and its kind.
    fn element(&self) -> (&str, &str) {
        match &self.of_type {
            Some(inner) => inner.element(),
            None => (self.name.as_deref().unwrap_or_default(), &self.kind),
        }
    }
}

/// How records of one model are created.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CreateApi {
    /// The mutation's root field: `createFlight`, or what the schema renamed it to.
    pub mutation: String,
    /// The type of its `input`: `CreateFlightInput`.
    pub input: String,
    /// The fields of the input, `_version` left out.
    pub fields: Vec<CreateField>,
    /// The fields of the primary key; empty if the server tells no query that gets one record.
    pub key: Vec<String>,
}

/// How records of one model are listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListApi {
    /// The query's root field: `listFlights`.
    pub query: String,
    /// The type of its `filter`.
    pub filter: String,
    /// What to select of each record: its stored fields, in the order of the schema.
    pub fields: Vec<ListField>,
}

/// One stored field of a model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListField {
    /// Its name.
    pub name: String,
    /// Its selection: the name, with the members of an embedded value in braces.
    pub selection: String,
}

/// Deepest nesting of embedded types that an export follows.
const EMBEDDED_DEPTH_MAX: usize = 8;

impl Api {
    /// Asks `remote` for its API.
    ///
    /// # Errors
    /// No answer, or one without a schema.
    pub(super) async fn fetch(remote: &Remote) -> Result<Self, Failure> {
        let body = serde_json::json!({ "query": INTROSPECTION }).to_string();
        let reply: Reply<Data> = remote.post(body).await?;
        let text = reply.error_text();
        let data = reply
            .data
            .ok_or_else(|| Failure::network(format!("{} does not tell its API: {text}", remote.url())))?;
        Ok(Self::from_schema(data.schema))
    }

    fn from_schema(schema: ApiSchema) -> Self {
        Self {
            query: schema.query_type.name,
            mutation: schema.mutation_type.map(|m| m.name),
            types: schema.types.into_iter().map(|t| (t.name.clone(), t)).collect(),
        }
    }

    fn fields_of(&self, name: &str) -> &[ApiField] {
        self.types
            .get(name)
            .and_then(|t| t.fields.as_deref())
            .unwrap_or_default()
    }

    /// Whether `name` is a model: an object with a version.
    fn is_model(&self, name: &str) -> bool {
        self.fields_of(name).iter().any(|f| f.name == "_version")
    }

    /// The names of all models, sorted.
    fn models(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self
            .types
            .keys()
            .map(String::as_str)
            .filter(|n| self.is_model(n))
            .collect();
        names.sort_unstable();
        names
    }

    fn check_model(&self, model: &str) -> Result<(), Failure> {
        if self.is_model(model) {
            return Ok(());
        }
        Err(Failure::usage(format!(
            "--model {model}: the server has no such model; it has {}",
            self.models().join(", ")
        )))
    }

    /// How records of `model` are created.
    ///
    /// # Errors
    /// There is no such model, or its create mutation is switched off.
    pub(super) fn create(&self, model: &str) -> Result<CreateApi, Failure> {
        self.check_model(model)?;
        let input = format!("Create{model}Input");
        let mutation = self
            .mutation
            .as_deref()
            .map(|m| self.fields_of(m))
            .unwrap_or_default()
            .iter()
            .find(|f| f.args.iter().any(|a| a.name == "input" && a.ty.element().0 == input))
            .ok_or_else(|| Failure::usage(format!("--model {model}: its schema switches the create mutation off")))?;
        let fields = self
            .types
            .get(&input)
            .and_then(|t| t.input_fields.as_deref())
            .unwrap_or_default();
        let fields = fields
            .iter()
            .filter(|f| f.name != "_version")
            .map(|f| CreateField {
                name: f.name.clone(),
                kind: self.cell_kind(&f.ty),
                list: f.ty.is_list(),
                required: f.ty.required() && f.default_value.is_none(),
            })
            .collect();
        Ok(CreateApi {
            mutation: mutation.name.clone(),
            input,
            fields,
            key: self.key(model),
        })
    }

    /// The fields of a model's primary key, as the query that gets one record takes them.
    fn key(&self, model: &str) -> Vec<String> {
        let gets = |f: &&ApiField| {
            let required = !f.args.is_empty() && f.args.iter().all(|a| a.ty.required() && !a.ty.is_list());
            f.ty.element() == (model, "OBJECT") && !f.ty.is_list() && required
        };
        let found: Vec<&ApiField> = self.fields_of(&self.query).iter().filter(gets).collect();
        let usual = format!("get{model}");
        let get = found.iter().find(|f| f.name == usual).or(found.first());
        get.map(|f| f.args.iter().map(|a| a.name.clone()).collect())
            .unwrap_or_default()
    }

    fn cell_kind(&self, ty: &TypeRef) -> CellKind {
        let (name, kind) = ty.element();
        match (kind, name) {
            (_, "Int") => CellKind::Int,
            (_, "AWSTimestamp") => CellKind::Timestamp,
            (_, "Float") => CellKind::Float,
            (_, "Boolean") => CellKind::Boolean,
            ("INPUT_OBJECT", _) => CellKind::Object,
            ("ENUM", _) => {
                let values = self
                    .types
                    .get(name)
                    .and_then(|t| t.enum_values.as_deref())
                    .unwrap_or_default();
                CellKind::Enum(values.iter().map(|v| v.name.clone()).collect())
            }
            _ => CellKind::Text,
        }
    }

    /// How records of `model` are listed.
    ///
    /// # Errors
    /// There is no such model, or its list query is switched off.
    pub(super) fn list(&self, model: &str) -> Result<ListApi, Failure> {
        self.check_model(model)?;
        let connection = format!("Model{}Connection", api_name(model));
        let found = self.fields_of(&self.query).iter().find(|f| {
            f.ty.element().0 == connection
                && !f.args.iter().any(|a| a.ty.required() || a.name == "lastSync")
                && f.args.iter().any(|a| a.name == "nextToken")
        });
        let query =
            found.ok_or_else(|| Failure::usage(format!("--model {model}: its schema switches the list query off")))?;
        let filter = query
            .args
            .iter()
            .find(|a| a.name == "filter")
            .map_or("", |a| a.ty.element().0)
            .to_owned();
        let fields = self
            .fields_of(model)
            .iter()
            .filter(|f| !f.name.starts_with('_'))
            .filter_map(|f| {
                let selection = self.selection(f, 0)?;
                Some(ListField {
                    name: f.name.clone(),
                    selection,
                })
            })
            .collect();
        Ok(ListApi {
            query: query.name.clone(),
            filter,
            fields,
        })
    }

    /// What selects the whole of `field`; `None` for relations, which are records of their own.
    fn selection(&self, field: &ApiField, depth: usize) -> Option<String> {
        let (name, kind) = field.ty.element();
        if kind != "OBJECT" {
            return Some(field.name.clone());
        }
        if self.is_model(name) || self.is_connection(name) || depth >= EMBEDDED_DEPTH_MAX {
            return None;
        }
        let members: Vec<String> = self
            .fields_of(name)
            .iter()
            .filter_map(|member| self.selection(member, depth + 1))
            .collect();
        (!members.is_empty()).then(|| format!("{} {{ {} }}", field.name, members.join(" ")))
    }

    fn is_connection(&self, name: &str) -> bool {
        name.starts_with("Model") && name.ends_with("Connection")
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A small API by hand: `Thing` with one field of each kind, a relation and an embedded value.
    pub(in super::super) fn things() -> Api {
        let named = |kind: &str, name: &str| serde_json::json!({ "kind": kind, "name": name });
        let some = |inner: serde_json::Value| serde_json::json!({ "kind": "NON_NULL", "ofType": inner });
        let list = |inner: serde_json::Value| serde_json::json!({ "kind": "LIST", "ofType": inner });
        let scalar = |name: &str| named("SCALAR", name);
        let field = |name: &str, ty: serde_json::Value| serde_json::json!({ "name": name, "type": ty, "args": [] });
        let stored = |embedded: &str, of: &str| {
            vec![
                field("id", scalar("ID")),
                field("name", some(scalar("String"))),
                field("count", scalar("Int")),
                field("weight", scalar("Float")),
                field("ok", scalar("Boolean")),
                field("at", scalar("AWSTimestamp")),
                field("colour", named("ENUM", "Colour")),
                field("tags", list(scalar("String"))),
                field("place", named(embedded, of)),
            ]
        };
        let mut object = stored("OBJECT", "Place");
        object.push(field("_version", some(scalar("Int"))));
        object.push(field("friends", named("OBJECT", "ModelThingConnection")));
        object.push(field("best", named("OBJECT", "Thing")));
        let mut input = stored("INPUT_OBJECT", "PlaceInput");
        input.push(field("_version", scalar("Int")));
        let arg = |name: &str, ty: serde_json::Value| serde_json::json!({ "name": name, "type": ty });
        let connection = || named("OBJECT", "ModelThingConnection");
        let schema = serde_json::json!({
            "queryType": { "name": "Query" },
            "mutationType": { "name": "Mutation" },
            "types": [
                { "kind": "OBJECT", "name": "Query", "fields": [
                    { "name": "syncThings", "type": connection(), "args": [
                        arg("nextToken", scalar("String")), arg("lastSync", scalar("AWSTimestamp"))] },
                    { "name": "thingsByName", "type": connection(), "args": [
                        arg("name", some(scalar("String"))), arg("nextToken", scalar("String"))] },
                    { "name": "getThing", "type": named("OBJECT", "Thing"), "args": [
                        arg("id", some(scalar("ID")))] },
                    { "name": "listThings", "type": connection(), "args": [
                        arg("filter", named("INPUT_OBJECT", "ModelThingFilterInput")),
                        arg("nextToken", scalar("String"))] },
                ] },
                { "kind": "OBJECT", "name": "Mutation", "fields": [
                    { "name": "addThing", "type": named("OBJECT", "Thing"), "args": [
                        arg("input", some(named("INPUT_OBJECT", "CreateThingInput")))] },
                ] },
                { "kind": "OBJECT", "name": "Thing", "fields": object },
                { "kind": "OBJECT", "name": "Place", "fields": [
                    field("lat", scalar("Float")), field("lon", scalar("Float"))] },
                { "kind": "ENUM", "name": "Colour", "enumValues": [{ "name": "RED" }, { "name": "BLUE" }] },
                { "kind": "INPUT_OBJECT", "name": "CreateThingInput", "inputFields": input },
            ],
        });
        Api::from_schema(serde_json::from_value(schema).unwrap())
    }

    #[test]
    fn the_create_mutation_is_found_under_any_name() {
        let create = things().create("Thing").unwrap();
        assert_eq!(create.mutation, "addThing");
        assert_eq!(create.input, "CreateThingInput");
        assert!(create.fields.iter().all(|f| f.name != "_version"));
        let name = create.fields.iter().find(|f| f.name == "name").unwrap();
        assert!(name.required && name.kind == CellKind::Text);
        let tags = create.fields.iter().find(|f| f.name == "tags").unwrap();
        assert!(tags.list && !tags.required);
        assert_eq!(create.key, ["id"]);
    }

    #[test]
    fn the_list_query_is_neither_sync_nor_an_index() {
        let list = things().list("Thing").unwrap();
        assert_eq!(list.query, "listThings");
        let selections: Vec<&str> = list.fields.iter().map(|f| f.selection.as_str()).collect();
        assert_eq!(
            selections,
            [
                "id",
                "name",
                "count",
                "weight",
                "ok",
                "at",
                "colour",
                "tags",
                "place { lat lon }"
            ],
            "relations are left out, embedded values selected whole"
        );
    }

    #[test]
    fn a_model_that_is_not_there_is_answered_with_those_that_are() {
        let failure = things().create("Thin").unwrap_err();
        assert_eq!(
            failure.message,
            "--model Thin: the server has no such model; it has Thing"
        );
    }
}
