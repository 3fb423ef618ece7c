//! Requests made under schemas that this server served before: read under those, carried over to the present one.
//!
//! A replica names its schema by hash, in a mutation's envelope and in the extensions of a feed request. The store keeps
//! every schema that it has served; what was made under one of them is bound against that schema's own API and then
//! carried over by a [`Lens`]. Who may do what is asked of the present schema alone.

#![expect(
    clippy::result_large_err,
    reason = "an error ends its request: it is on no hot path, and its keys are public API"
)]

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use tombolo_core::access::{Access, Identity};
use tombolo_core::id::ModelId;
use tombolo_core::query::{
    Bound, Cache, Filter, FilterColumn, MutationInput, OperationKind, QueryLimits, RootField, ScopeInput, Side,
};
use tombolo_core::record::Record;
use tombolo_core::schema::{
    AuthOperation, Carried, Lens, MutationKind, PartWritten, RemovedField, Schema, SchemaChange,
};
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};

/// A schema that a store was opened with before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServedSchema {
    /// [`Schema::hash`] as it was then.
    pub hash: String,
    /// Its SDL.
    pub sdl: String,
}

/// Every earlier schema, each read when it is first asked for.
#[derive(Default)]
pub(crate) struct Formers(BTreeMap<String, Slot>);

struct Slot {
    sdl: String,
    read: OnceLock<Option<Arc<Former>>>,
}

/// One earlier schema.
pub(crate) struct Former {
    pub(crate) lens: Lens,
    documents: Cache,
    /// Everything: the rules are the present schema's.
    access: Access,
}

/// What a request made under an earlier schema is under the present one.
pub(crate) struct Formerly {
    pub(crate) former: Arc<Former>,
    /// One for each root field that is a mutation.
    pub(crate) mutations: Vec<MutationInput>,
    /// For each of them what was given for fields that are gone.
    pub(crate) removed: Vec<Vec<RemovedField>>,
    /// For each of them the embedded values that are completed from the record.
    pub(crate) parts: Vec<Vec<PartWritten>>,
    /// The scopes of a feed request.
    pub(crate) scopes: Vec<ScopeInput>,
}

impl std::fmt::Debug for Formerly {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Formerly")
            .field("mutations", &self.mutations.len())
            .finish_non_exhaustive()
    }
}

/// A request as its own schema reads it, and what became of it.
pub(crate) enum Read {
    /// It has a meaning under the present schema.
    Carried(Arc<Bound>, Formerly),
    /// It has none, for these reasons.
    Refused(Vec<GraphqlError>),
    /// It is not one that an earlier schema matters to, or not one of that schema at all: it is read under the present one.
    Present,
}

impl Formers {
    pub(crate) fn new(served: Vec<ServedSchema>) -> Self {
        let slot = |served: ServedSchema| {
            let slot = Slot {
                sdl: served.sdl,
                read: OnceLock::new(),
            };
            (served.hash, slot)
        };
        Self(served.into_iter().map(slot).collect())
    }

    /// The earlier schema with this hash.
    pub(crate) fn find(&self, hash: &str, present: &Arc<Schema>) -> Option<Arc<Former>> {
        if hash == present.hash {
            return None;
        }
        let slot = self.0.get(hash)?;
        slot.read
            .get_or_init(|| Former::read(&slot.sdl, present).map(Arc::new))
            .clone()
    }
}

impl Former {
    /// `None` if this release no longer takes the schema.
    fn read(sdl: &str, present: &Arc<Schema>) -> Option<Self> {
        let old = Arc::new(Schema::parse(sdl, "an earlier schema").ok()?);
        Some(Self {
            access: Access::of(&old, &Identity::Local),
            lens: Lens::between(&old, present),
            documents: Cache::default(),
        })
    }

    /// Reads `request`, for an identity that may do what `access` (of the present schema) says.
    pub(crate) fn request(
        self: &Arc<Self>,
        request: &Request,
        limits: &QueryLimits,
        access: &Access,
        is_replicas: bool,
    ) -> Read {
        let none = serde_json::Map::new();
        let variables = request.variables.as_ref().unwrap_or(&none);
        let Ok(document) = self.documents.parse(self.lens.earlier(), &request.query, limits) else {
            return Read::Present;
        };
        let name = request.operation_name.as_deref();
        let Ok(bound) = document.bind(name, variables, &self.access, Side::Server) else {
            return Read::Present;
        };
        let mutates = bound.kind() == OperationKind::Mutation;
        let feeds = bound
            .roots()
            .iter()
            .any(|root| matches!(root.field, RootField::Changes(..)));
        if !(feeds || (mutates && is_replicas)) {
            return Read::Present;
        }
        let mut formerly = Formerly {
            former: Arc::clone(self),
            mutations: Vec::new(),
            removed: Vec::new(),
            parts: Vec::new(),
            scopes: Vec::new(),
        };
        let mut errors = Vec::new();
        for root in bound.roots() {
            let carried = match &root.field {
                RootField::Mutation(input) => self.mutation(&mut formerly, input, access),
                RootField::Changes(scopes, _) => scopes.iter().try_for_each(|scope| {
                    let carried = self.scope(scope, access);
                    formerly
                        .scopes
                        .push(carried.map_err(|error| of_model(error, &self.lens.earlier()[scope.model].name))?);
                    Ok(())
                }),
                RootField::Read | RootField::Fixed | RootField::Subscription(_) | RootField::Conflicts(_) => Ok(()),
            };
            errors.extend(carried.err());
        }
        if errors.is_empty() {
            Read::Carried(Arc::new(bound), formerly)
        } else {
            Read::Refused(errors)
        }
    }

    fn mutation(&self, formerly: &mut Formerly, input: &MutationInput, access: &Access) -> Result<(), GraphqlError> {
        let carried = self.lens.mutation(input).map_err(|change| changed(&change))?;
        granted(self.lens.later(), access, &carried.input)?;
        completable(self.lens.later(), access, &carried)?;
        formerly.mutations.push(carried.input);
        formerly.removed.push(carried.removed);
        formerly.parts.push(carried.parts);
        Ok(())
    }

    fn scope(&self, scope: &ScopeInput, access: &Access) -> Result<ScopeInput, GraphqlError> {
        let model = self.lens.model(scope.model).map_err(|change| changed(&change))?;
        let filter = match &scope.filter {
            Some(filter) => Some(
                self.lens
                    .filter(scope.model, filter)
                    .map_err(|change| changed(&change))?,
            ),
            None => None,
        };
        if let Some(filter) = &filter {
            readable(self.lens.later(), access, model, filter)?;
        }
        Ok(ScopeInput {
            model,
            filter,
            filter_json: scope.filter_json.clone(),
            cursor: scope.cursor.clone(),
        })
    }

    /// `record`, of the present schema, as the earlier one's `model` has it: without what `access` refuses.
    pub(crate) fn record(&self, model: ModelId, record: &Record, access: &Access) -> Record {
        let shown = match self.lens.model(model) {
            Ok(present) => access.shown(self.lens.later(), present, record),
            Err(_) => record.clone(),
        };
        self.lens.record_back(model, &shown)
    }
}

fn changed(change: &SchemaChange) -> GraphqlError {
    GraphqlError::new(
        ErrorType::SchemaChanged,
        format!("made under an earlier schema. {change}"),
    )
}

fn of_model(mut error: GraphqlError, model: &str) -> GraphqlError {
    error.error_info = Some(serde_json::json!({ "model": model }));
    error
}

/// What binding against the present schema would have asked of the rules.
fn granted(schema: &Schema, access: &Access, input: &MutationInput) -> Result<(), GraphqlError> {
    let (operation, verb) = match input.kind {
        MutationKind::Create => (AuthOperation::Create, "create"),
        MutationKind::Update => (AuthOperation::Update, "update"),
        MutationKind::Delete => (AuthOperation::Delete, "delete"),
    };
    let model = &schema[input.model];
    if !access.model(input.model, operation) {
        return Err(unauthorized(format!("Not Authorized to {verb} {}", model.name)));
    }
    let given = input.values.iter().map(|(field, _)| *field);
    let refused: Vec<&str> = given
        .chain(input.operations.iter().map(|(field, _)| *field))
        .filter(|field| !model.key.contains(field) && !access.can_write(input.model, *field, input.kind))
        .map(|field| model.field_at(field).name.as_str())
        .collect();
    if !refused.is_empty() {
        return Err(unauthorized(format!("Unauthorized on [{}]", refused.join(", "))));
    }
    match &input.condition {
        Some(condition) => readable(schema, access, input.model, condition),
        None => Ok(()),
    }
}

/// A filter tells what it looks at.
fn readable(schema: &Schema, access: &Access, model: ModelId, filter: &Filter) -> Result<(), GraphqlError> {
    for column in filter.columns() {
        if let FilterColumn::Field(field) = column
            && !access.can_read(model, field)
        {
            let (field, of) = (&schema[model].field_at(field).name, &schema[model].name);
            return Err(unauthorized(format!("Not Authorized to access {field} on type {of}")));
        }
    }
    Ok(())
}

/// So does a value that is taken only if the record has what it lacks. A creation takes nothing from a record.
fn completable(schema: &Schema, access: &Access, carried: &Carried) -> Result<(), GraphqlError> {
    let input = &carried.input;
    if input.kind != MutationKind::Update {
        return Ok(());
    }
    let model = &schema[input.model];
    let hidden = |part: &&PartWritten| !access.can_read(input.model, part.field);
    for part in carried.parts.iter().filter(hidden) {
        let field = model.field_at(part.field);
        let mut given = input.values.iter().filter(|(of, _)| *of == part.field);
        if given.any(|(_, value)| PartWritten::lacks(schema, &field.ty, value)) {
            return Err(unauthorized(format!(
                "Not Authorized to access {} on type {}: made under an earlier schema, the value lacks what its type requires \
                 now, and that would have to be taken over from the record",
                field.name, model.name
            )));
        }
    }
    Ok(())
}

fn unauthorized(message: String) -> GraphqlError {
    GraphqlError::new(ErrorType::Unauthorized, message)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    const KEY: &str = "{ allow: public, operations: ";

    /// What becomes of a mutation under the schema whose `Spot` is `was`, now that it is `is`, by a key that may do
    /// `operations` with the field. Nothing here has ever seen a record.
    fn read([was, is]: [&str; 2], operations: &str, document: &str, spots: Json) -> Result<usize, String> {
        let sdl = |spot: &str| {
            format!(
                "type Spot {{ {spot} }} type Todo @model @auth(rules: [{{ allow: public }}])
                 {{ id: ID! spots: [Spot] @auth(rules: [{KEY}[{operations}] }}]) }}"
            )
        };
        let present = Arc::new(Schema::parse(&sdl(is), "present.graphql").unwrap());
        let access = Access::of(&present, &Identity::ApiKey { name: "k".into() });
        let variables = json!({ "input": { "id": "a", "spots": spots } });
        let request = Request {
            query: document.to_owned(),
            operation_name: None,
            variables: variables.as_object().cloned(),
            extensions: None,
        };
        let former = Arc::new(Former::read(&sdl(was), &present).unwrap());
        match former.request(&request, &QueryLimits::default(), &access, true) {
            Read::Carried(_, formerly) => Ok(formerly.parts[0].len()),
            Read::Refused(errors) => {
                let told = (errors.len(), &errors[0].error_type);
                assert_eq!(told, (1, &Some(ErrorType::Unauthorized)));
                Err(errors[0].message.clone())
            }
            Read::Present => panic!("it was not read under its own schema"),
        }
    }

    const CREATE: &str = "mutation ($input: CreateTodoInput!) { createTodo(input: $input) { id } }";
    const UPDATE: &str = "mutation ($input: UpdateTodoInput!) { updateTodo(input: $input) { id } }";

    #[test]
    fn a_value_that_only_a_record_that_may_not_be_read_can_complete_is_refused_whatever_is_held() {
        let refusal = "Not Authorized to access spots on type Todo: made under an earlier schema, the value lacks \
                       what its type requires now, and that would have to be taken over from the record";
        let (required, optional) = (["x: Int", "x: Int must: Int!"], ["x: Int", "x: Int more: Int"]);
        let (narrowed, deeper) = (["x: Int", "x: Int!"], ["x: Int", "x: Int at: At } type At { y: Int!"]);
        let (writer, reader) = ("create, update", "create, update, read");
        let (one, full) = (json!([{ "x": 1 }]), json!([{ "x": 1 }, null]));
        let rows = [
            // Whether such an item is held would show in whether the write is taken.
            (required, writer, UPDATE, one.clone(), Err(refusal)),
            (required, writer, UPDATE, full, Err(refusal)),
            (narrowed, writer, UPDATE, json!([{}]), Err(refusal)),
            // Who may read it learns nothing.
            (required, reader, UPDATE, one.clone(), Ok(1)),
            // Nothing is lacking: it is taken whatever is held.
            (optional, writer, UPDATE, one.clone(), Ok(1)),
            (deeper, writer, UPDATE, one.clone(), Ok(1)),
            (narrowed, writer, UPDATE, one.clone(), Ok(1)),
            (required, writer, UPDATE, json!([]), Ok(1)),
            (required, writer, UPDATE, Json::Null, Ok(0)),
            // A creation takes nothing over.
            (required, writer, CREATE, one, Ok(1)),
        ];
        for (spots, operations, document, given, want) in rows {
            let told = format!("{spots:?} {operations} {document} {given}");
            assert_eq!(
                read(spots, operations, document, given),
                want.map_err(str::to_owned),
                "{told}"
            );
        }
    }
}
