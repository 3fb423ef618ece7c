//! Root fields: what each asks for.

use apollo_compiler::Node as Ast;
use apollo_compiler::executable::{Field, OperationType, SelectionSet};
use serde_json::Value as Json;

use super::coerce;
use super::conflicts::{self, Projection};
use super::document::over;
use super::filter::{Filter, FilterColumn, Test};
use super::filter_parse::{bad, not_authorized};
use super::list::{Wanted, argument};
use super::plan::{BatchSlot, Column, RootAnswer, Source, Tree, lead, quoted};
use super::request::{MutationInput, RootField, ScopeInput, Side, SubscriptionInput};
use super::select::Planner;
use crate::access::Grant;
use crate::id::{FieldId, ModelId, Version};
use crate::limits::RECORD_BYTES_MAX;
use crate::merge::Operation;
use crate::schema::{AuthOperation, MutationKind, MutationRoot, OPERATIONS, QueryRoot, SubscriptionRoot};
use crate::wire::graphql::{ErrorType, GraphqlError, PathSegment};

/// The keys of a change batch in the order in which the feed writes them ([`crate::wire::batch::SELECTION`]).
const BATCH_KEYS: [&str; 7] = ["model", "cursor", "upToDate", "reset", "fields", "rows", "left"];

/// Why a root field has no plan.
enum Stop {
    /// The whole operation fails.
    Whole(GraphqlError),
    /// This root field is null with the error.
    Root(GraphqlError),
}

impl Stop {
    /// Names the scope that is refused, so that a replica can leave it out and go on with the others.
    fn of_scope(self, scope: &Json) -> Self {
        let name = |mut error: GraphqlError| {
            error.error_info = scope.get("model").map(|model| serde_json::json!({ "model": model }));
            error
        };
        match self {
            Self::Whole(error) => Self::Whole(name(error)),
            Self::Root(error) => Self::Root(name(error)),
        }
    }
}

type Planned = Result<(RootField, RootAnswer), Stop>;

impl<'a> Planner<'a> {
    /// Plans one root field. What concerns the field alone makes it a refusal; an error fails the operation.
    pub(super) fn root(
        &mut self,
        kind: OperationType,
        parent: &str,
        key: &str,
        fields: &[&'a Ast<Field>],
    ) -> Result<(RootField, RootAnswer), GraphqlError> {
        let field = fields[0];
        let name = field.name.as_str();
        if name != "__typename" && !self.access.may_call(parent, name) {
            return Ok(self.refusal(not_authorized(name, parent), key, field));
        }
        if name == "__typename" {
            return Ok((RootField::Fixed, RootAnswer::Const(quoted(parent).into())));
        }
        let sets: Vec<&SelectionSet> = fields.iter().map(|f| &f.selection_set).collect();
        let roots = &self.parsed.schema.roots;
        let planned = coerce::arguments(&self.schema.api, self.variables, field)
            .map_err(Stop::Root)
            .and_then(|arguments| match kind {
                OperationType::Query => self.query(roots.query.get(name), parent, name, &arguments, &sets),
                OperationType::Mutation => match roots.mutation.get(name) {
                    Some(MutationRoot::Model(model, kind)) => {
                        self.mutation(*model, *kind, parent, name, &arguments, &sets)
                    }
                    Some(MutationRoot::Custom) | None => Err(self.unsupported(parent, name)),
                },
                OperationType::Subscription => {
                    self.subscription(roots.subscription.get(name), parent, name, &arguments, &sets)
                }
            });
        match planned {
            Ok(planned) => Ok(planned),
            Err(Stop::Whole(error)) => Err(error),
            Err(Stop::Root(error)) => Ok(self.refusal(error, key, field)),
        }
    }

    fn refusal(&self, error: GraphqlError, key: &str, field: &Ast<Field>) -> (RootField, RootAnswer) {
        let error = GraphqlError {
            locations: super::document::location(&self.parsed.executable.sources, field.name.location()),
            ..error.at(vec![PathSegment::Key(key.to_owned())])
        };
        (RootField::Fixed, RootAnswer::Refused(Box::new(error)))
    }

    fn unsupported(&self, parent: &str, name: &str) -> Stop {
        Stop::Root(GraphqlError::new(
            ErrorType::UnsupportedOperation,
            match self.side {
                Side::Server => format!(
                    "`{name}` of {parent} is declared in the schema, but has no resolver on this server; only what is \
                     generated from models is answered"
                ),
                Side::Replica => {
                    format!("`{name}` of {parent} needs the network: a replica cannot answer it from its file")
                }
            },
        ))
    }

    /// The rows for which the operation is granted; `None`: all of them.
    fn granted(
        &self,
        model: ModelId,
        operation: AuthOperation,
        parent: &str,
        name: &str,
    ) -> Result<Option<Filter>, Stop> {
        match self.access.grant(model, operation) {
            Grant::Nothing => Err(Stop::Root(not_authorized(name, parent))),
            Grant::All => Ok(None),
            Grant::Rows(rows) => Ok(Some((**rows).clone())),
        }
    }

    fn query(
        &mut self,
        root: Option<&QueryRoot>,
        parent: &str,
        name: &str,
        arguments: &[(String, Json)],
        sets: &[&'a SelectionSet],
    ) -> Planned {
        let (source, id) = match root {
            Some(QueryRoot::Get(id)) => {
                let rows = self.granted(*id, AuthOperation::Get, parent, name)?;
                let model = self.schema.model(*id);
                let mut all = Vec::new();
                for field in &model.key {
                    let key = &model.field_at(*field).name;
                    let json =
                        argument(arguments, key).ok_or_else(|| Stop::Root(bad(format!("`{key}` is required"))))?;
                    all.push(Filter::equality(self.schema, *id, *field, json, self.access).map_err(Stop::Root)?);
                }
                all.extend(rows);
                (Source::Key(Filter::All(all)), *id)
            }
            Some(QueryRoot::List(id)) => {
                let rows = self.granted(*id, AuthOperation::List, parent, name)?;
                let model = self.schema.model(*id);
                let mut fixed = Vec::new();
                let (partition, sort) = model.key.split_first().map_or((None, &[][..]), |(p, s)| (Some(*p), s));
                if let Some(partition) = partition {
                    let key = &model.field_at(partition).name;
                    let given = argument(arguments, key);
                    if let Some(json) = given {
                        fixed.push(
                            Filter::equality(self.schema, *id, partition, json, self.access).map_err(Stop::Root)?,
                        );
                    }
                    if let (None, Some(sort)) = (given, model.sort_key_argument(sort))
                        && argument(arguments, &sort).is_some()
                    {
                        return Err(Stop::Root(bad(format!(
                            "`{sort}` is taken together with `{key}` only: give both"
                        ))));
                    }
                }
                let order = super::sql::key(model);
                fixed.extend(rows);
                (
                    self.list_source(*id, parent, name, fixed, sort, Some(order), arguments, false)?,
                    *id,
                )
            }
            Some(QueryRoot::Index(id, index)) => {
                let rows = self.granted(*id, AuthOperation::List, parent, name)?;
                let model = self.schema.model(*id);
                let Some((partition, sort)) = model.indexes.get(*index).and_then(|i| i.fields.split_first()) else {
                    return Err(self.unsupported(parent, name));
                };
                let key = &model.field_at(*partition).name;
                let json = argument(arguments, key).ok_or_else(|| Stop::Root(bad(format!("`{key}` is required"))))?;
                let mut fixed =
                    vec![Filter::equality(self.schema, *id, *partition, json, self.access).map_err(Stop::Root)?];
                fixed.extend(rows);
                (
                    self.list_source(*id, parent, name, fixed, sort, None, arguments, false)?,
                    *id,
                )
            }
            Some(QueryRoot::Sync(id)) => {
                if self.side == Side::Replica {
                    return Err(self.unsupported(parent, name));
                }
                let rows = self.granted(*id, AuthOperation::Sync, parent, name)?;
                let order = vec![Column::Position];
                let fixed = rows.into_iter().collect();
                (
                    self.list_source(*id, parent, name, fixed, &[], Some(order), arguments, true)?,
                    *id,
                )
            }
            Some(QueryRoot::Changes) => {
                let scope = argument(arguments, "scope").unwrap_or(&Json::Null);
                let limit = match argument(arguments, "limit") {
                    None => None,
                    Some(json) => Some(
                        json.as_u64()
                            .and_then(|n| usize::try_from(n).ok())
                            .filter(|n| *n > 0)
                            .ok_or_else(|| Stop::Root(bad("`limit` is a number of rows from 1 up")))?,
                    ),
                };
                return self.changes(std::slice::from_ref(scope), limit, parent, name, sets);
            }
            Some(QueryRoot::Conflicts) => {
                if self.side == Side::Replica {
                    return Err(self.unsupported(parent, name));
                }
                let input = conflicts::read(arguments).map_err(Stop::Root)?;
                let projection = Projection::plan(self, sets).map_err(Stop::Whole)?;
                return Ok((RootField::Conflicts(input), RootAnswer::Json(projection)));
            }
            Some(QueryRoot::Custom) | None => return Err(self.unsupported(parent, name)),
        };
        let mut tree = Tree::default();
        let many = matches!(source, Source::List(_));
        self.node(&mut tree, id, source, many, sets, 1).map_err(Stop::Whole)?;
        Ok((RootField::Read, RootAnswer::Read(tree)))
    }

    #[expect(clippy::too_many_arguments, reason = "each is one part of a list, named at the call")]
    fn list_source(
        &self,
        model: ModelId,
        of: &str,
        field: &str,
        fixed: Vec<Filter>,
        sort: &[crate::id::FieldId],
        order: Option<Vec<Column>>,
        arguments: &[(String, Json)],
        sync: bool,
    ) -> Result<Source, Stop> {
        let (list, _) = self
            .list(&Wanted {
                model,
                of,
                field,
                fixed,
                sort,
                order,
                arguments,
                sync,
            })
            .map_err(Stop::Root)?;
        Ok(Source::List(list))
    }

    fn mutation(
        &mut self,
        id: ModelId,
        kind: MutationKind,
        parent: &str,
        name: &str,
        arguments: &[(String, Json)],
        sets: &[&'a SelectionSet],
    ) -> Planned {
        let operation = match kind {
            MutationKind::Create => AuthOperation::Create,
            MutationKind::Update => AuthOperation::Update,
            MutationKind::Delete => AuthOperation::Delete,
        };
        self.granted(id, operation, parent, name)?;
        let model = self.schema.model(id);
        let Some(Json::Object(input)) = argument(arguments, "input") else {
            return Err(Stop::Root(bad(format!("`input` of `{name}` is required"))));
        };
        let (mut values, mut base_version, mut refused, mut bytes) = (Vec::new(), None, Vec::new(), 0);
        let mut operations = Vec::new();
        for (key, json) in input {
            if key == OPERATIONS && kind == MutationKind::Update {
                for (key, json) in json
                    .as_object()
                    .into_iter()
                    .flatten()
                    .filter(|(_, json)| !json.is_null())
                {
                    let Some(field) = model.field(key) else {
                        return Err(Stop::Root(bad(format!("`{key}` is no stored field of {}", model.name))));
                    };
                    if !self.access.can_write(id, field, kind) {
                        refused.push(key.as_str());
                        continue;
                    }
                    if input.contains_key(key) {
                        return Err(Stop::Root(bad(format!(
                            "`{key}` of `{name}` is given a value and an operation: give one of them"
                        ))));
                    }
                    let operation = Operation::from_json(self.schema, model.field_at(field), json)
                        .map_err(|error| Stop::Root(bad(format!("`{OPERATIONS}` of `{name}`: {error}"))))?;
                    bytes += json.to_string().len();
                    operations.push((field, operation));
                }
                continue;
            }
            if key == "_version" {
                base_version = match json {
                    Json::Null => None,
                    json => Some(Version(json.as_i64().ok_or_else(|| {
                        Stop::Root(bad("`_version` is the whole number that came with the record"))
                    })?)),
                };
                continue;
            }
            let Some(field) = model.field(key) else {
                return Err(Stop::Root(bad(format!("`{key}` is no stored field of {}", model.name))));
            };
            let grant = self.access.write(id, field, kind, json.is_null());
            if !model.key.contains(&field) && !grant.is_anything() {
                refused.push(key.as_str());
                continue;
            }
            // A key that is null in a create is one to be made up.
            let absent = json.is_null() && kind == MutationKind::Create && model.key.contains(&field);
            if absent {
                continue;
            }
            let value = model
                .field_at(field)
                .ty
                .parse_json(self.schema, json)
                .map_err(|error| Stop::Root(bad(format!("`{key}` of `{name}`: {error}"))))?;
            bytes += match &value {
                crate::value::Value::Text(text) | crate::value::Value::Json(text) => text.len(),
                _ => 8,
            };
            values.push((field, value));
        }
        if !refused.is_empty() {
            return Err(Stop::Root(GraphqlError::new(
                ErrorType::Unauthorized,
                format!("Unauthorized on [{}]", refused.join(", ")),
            )));
        }
        if bytes > RECORD_BYTES_MAX {
            return Err(Stop::Root(over(format!(
                "the input of `{name}` has {bytes} bytes; the most is {RECORD_BYTES_MAX} (RECORD_BYTES_MAX): keep large \
                 things in files and their addresses in the record"
            ))));
        }
        let condition_json = argument(arguments, "condition").cloned();
        let condition = condition_json
            .as_ref()
            .map(|json| Filter::parse(self.schema, id, json, self.access))
            .transpose()
            .map_err(Stop::Root)?;
        let input = MutationInput {
            model: id,
            kind,
            values,
            operations,
            base_version,
            condition,
            condition_json,
        };
        let tree = self.given(id, sets)?;
        Ok((RootField::Mutation(input), RootAnswer::Given(tree)))
    }

    fn given(&mut self, model: ModelId, sets: &[&'a SelectionSet]) -> Result<Tree, Stop> {
        let mut tree = Tree::default();
        self.node(&mut tree, model, Source::Given, false, sets, 1)
            .map_err(Stop::Whole)?;
        Ok(tree)
    }

    fn subscription(
        &mut self,
        root: Option<&SubscriptionRoot>,
        parent: &str,
        name: &str,
        arguments: &[(String, Json)],
        sets: &[&'a SelectionSet],
    ) -> Planned {
        if self.side == Side::Replica {
            return Err(self.unsupported(parent, name));
        }
        match root {
            Some(SubscriptionRoot::Model(id, kind)) => {
                let rows = self.granted(*id, AuthOperation::Listen, parent, name)?;
                let model = self.schema.model(*id);
                let mut filters: Vec<Filter> = rows.iter().cloned().collect();
                for (argument, json) in arguments {
                    let parsed = match (argument.as_str(), model.field(argument)) {
                        (_, _) if json.is_null() => continue,
                        ("filter", _) => Filter::parse(self.schema, *id, json, self.access),
                        (_, Some(field)) if model.is_owner(field) || !self.access.names(*id, field).is_empty() => self
                            .owner_argument(*id, field, json, rows.is_some())
                            .ok_or_else(|| not_authorized(name, parent)),
                        (_, Some(field)) => Filter::equality(self.schema, *id, field, json, self.access),
                        (argument, None) => Err(bad(format!("`{argument}` is no stored field of {}", model.name))),
                    };
                    filters.push(parsed.map_err(Stop::Root)?);
                }
                let input = SubscriptionInput {
                    kind: *kind,
                    model: *id,
                    filter: match filters.len() {
                        0 => None,
                        1 => filters.pop(),
                        _ => Some(Filter::All(filters)),
                    },
                };
                let tree = self.given(*id, sets)?;
                Ok((RootField::Subscription(input), RootAnswer::Given(tree)))
            }
            Some(SubscriptionRoot::Changes) => match argument(arguments, "scopes") {
                Some(Json::Array(scopes)) => self.changes(scopes, None, parent, name, sets),
                _ => Err(Stop::Root(bad("`scopes` is a list of scopes"))),
            },
            Some(SubscriptionRoot::Custom) | None => Err(self.unsupported(parent, name)),
        }
    }

    /// The argument `owner` of a subscription: the caller's own name where rules bind it to its own rows, anybody's where they
    /// do not. Owners are kept as `sub::username` and known by the name alone.
    fn owner_argument(&self, id: ModelId, field: FieldId, json: &Json, bound: bool) -> Option<Filter> {
        let column = FilterColumn::Field(field);
        let name = json.as_str()?;
        let own = self.access.names(id, field);
        if own.iter().any(|own| own == name) {
            let own = own.iter().cloned().map(crate::value::Value::Text).collect();
            return Some(Filter::test(column, Test::In(own)));
        }
        let text = || name.to_owned();
        (!bound).then(|| {
            Filter::Any(vec![
                Filter::test(column, Test::Eq(crate::value::Value::Text(text()))),
                Filter::test(column, Test::EndsWith(format!("::{name}"))),
            ])
        })
    }

    fn changes(
        &mut self,
        scopes: &[Json],
        limit: Option<usize>,
        parent: &str,
        name: &str,
        sets: &[&'a SelectionSet],
    ) -> Planned {
        if self.side == Side::Replica {
            return Err(self.unsupported(parent, name));
        }
        let scopes = scopes
            .iter()
            .map(|json| self.scope(json, parent, name).map_err(|stop| stop.of_scope(json)))
            .collect::<Result<Vec<_>, _>>()?;
        let type_name = sets.first().map_or("", |set| set.ty.as_str());
        let groups = self.collect(type_name, sets).map_err(Stop::Whole)?;
        let plain = groups.len() == BATCH_KEYS.len()
            && groups
                .iter()
                .zip(BATCH_KEYS)
                .all(|((key, fields), name)| *key == name && fields[0].name == name);
        let slots = (!plain).then(|| {
            groups
                .iter()
                .enumerate()
                .map(|(i, (key, fields))| BatchSlot {
                    lead: lead(i == 0, key),
                    key: match fields[0].name.as_str() {
                        "__typename" => Err(quoted(type_name)),
                        name => Ok(name.to_owned()),
                    },
                })
                .collect()
        });
        Ok((RootField::Changes(scopes, limit), RootAnswer::Batch(slots)))
    }

    fn scope(&self, json: &Json, parent: &str, name: &str) -> Result<ScopeInput, Stop> {
        let text = |key: &str| json.get(key).and_then(Json::as_str);
        let model_name = text("model").unwrap_or_default();
        let Some(model) = self.schema.model_named(model_name) else {
            return Err(Stop::Root(bad(format!(
                "a scope names a model; the schema has no model `{model_name}`"
            ))));
        };
        self.granted(model, AuthOperation::Sync, parent, name)?;
        let filter_json = match json.get("filter") {
            None | Some(Json::Null) => None,
            Some(Json::String(text)) => Some(
                serde_json::from_str(text)
                    .map_err(|error| Stop::Root(bad(format!("the scope's filter is not JSON: {error}"))))?,
            ),
            Some(json) => Some(json.clone()),
        };
        let filter_json = filter_json.filter(|json: &Json| !json.is_null());
        let filter = filter_json
            .as_ref()
            .map(|json| Filter::parse(self.schema, model, json, self.access))
            .transpose()
            .map_err(Stop::Root)?;
        Ok(ScopeInput {
            model,
            filter,
            filter_json,
            cursor: text("cursor").map(str::to_owned),
        })
    }
}
