//! Models: records, keys, relations, filters, and the inputs of their mutations.

use std::collections::BTreeSet;

use serde::Serialize;
use tombolo_core::id::{FieldId, ModelId};
use tombolo_core::schema::{
    ConflictStrategy, Field as Stored, FieldOrigin, Model as Checked, Relation as CheckedRelation, RelationKind,
};

use super::inputs::{Input, input, operation};
use super::root::{Roots, roots};
use super::whole::{Whole, whole};
use crate::names::{self, Given};
use crate::types::{TypeRef, Types};

/// A model.
#[derive(Debug, Serialize)]
pub(crate) struct Model {
    pub(crate) name: String,
    pub(crate) doc: Option<String>,
    /// `Flights`.
    pub(crate) plural: String,
    pub(crate) names: ModelNames,
    /// Own fields of a record in the order of the API's type: scalars, enums, embedded values. Foreign keys, timestamps and
    /// `owner` are here; relations and `_version` and its like are not.
    pub(crate) fields: Vec<Field>,
    /// Those of the primary key: partition field, then sort key fields.
    pub(crate) key: Vec<Field>,
    pub(crate) relations: Vec<Relation>,
    pub(crate) operations: Roots,
    /// `ModelFlightFilterInput`, and what each field can be tested for.
    pub(crate) filter: Filter,
    /// `ModelFlightSortInput`, and what lists can be sorted by; null if lists take no order (a key field is called `sort`).
    pub(crate) sort: Option<Sort>,
    /// `ModelFlightConditionInput`; null if nothing can be written.
    pub(crate) condition: Option<String>,
    /// The inputs of its mutations; null for those that `@model` switches off.
    pub(crate) create: Option<Input>,
    pub(crate) update: Option<Input>,
    pub(crate) delete: Option<Input>,
    /// What selects all of `fields`, embedded ones with theirs: `id date carrier …`.
    pub(crate) selection: String,
    /// Whether an embedded value may nest deeper than that: the document of a fetch or a write gives such a record in part.
    pub(crate) nests: bool,
    /// `AUTOMERGE`, `OPTIMISTIC_CONCURRENCY`, `LAST_WRITER_WINS` or `CUSTOM`.
    pub(crate) conflict: &'static str,
    /// Whether a field takes operations: counters and sets.
    pub(crate) has_operations: bool,
}

/// Names in the language of the types that stand for a model; unique among all generated types.
#[derive(Debug, Serialize)]
pub(crate) struct ModelNames {
    /// The record: `Flight`.
    pub(crate) record: String,
    /// A file's name without ending.
    pub(crate) file: String,
    /// As a variable or function: `flight`.
    pub(crate) local: String,
    /// As a variable or function for many: `flights`.
    pub(crate) local_plural: String,
    /// `Flights`: the collection, where queries begin.
    pub(crate) collection: String,
    /// `FlightKey`.
    pub(crate) key: String,
    /// `FlightFilter`: a typed predicate.
    pub(crate) filter: String,
    /// `FlightFields`: what a predicate is built from.
    pub(crate) fields: String,
    /// `FlightSort`.
    pub(crate) sort: String,
    /// `FlightQuery`: a query that is being put together.
    pub(crate) query: String,
    /// `FlightPage`: items and `nextToken`.
    pub(crate) page: String,
    /// `CreateFlight`, `UpdateFlight`, `DeleteFlight`: builders of inputs.
    pub(crate) create: String,
    pub(crate) update: String,
    pub(crate) delete: String,
}

/// A field of a record.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Field {
    pub(crate) name: String,
    /// As a member, escaped.
    pub(crate) ident: String,
    /// As a variable, parameter or function, escaped.
    pub(crate) local: String,
    pub(crate) doc: Option<String>,
    pub(crate) deprecated: Option<String>,
    #[serde(rename = "type")]
    pub(crate) ty: TypeRef,
    pub(crate) is_key: bool,
    /// `declared`, `implicit_id`, `foreign_key`, `timestamp` or `owner`.
    pub(crate) origin: &'static str,
    /// `@default(value:)` as JSON; null without one.
    pub(crate) default: Option<serde_json::Value>,
    /// Whether a create without it is filled in: `id`, timestamps, the owner, defaults.
    pub(crate) auto: bool,
    /// Whether no input has it.
    pub(crate) read_only: bool,
    /// Whether the create's, the update's input has it.
    pub(crate) in_create: bool,
    pub(crate) in_update: bool,
    /// `@merge(rule:)`: `COUNTER`, `SET`, `MAX`…; null without one.
    pub(crate) merge: Option<&'static str>,
    /// `counter` or `set` if updates take an operation.
    pub(crate) operation: Option<&'static str>,
    /// The belongsTo relation whose key it is part of; null for others.
    pub(crate) relation: Option<String>,
    /// Whether lists can be sorted by it: a single scalar or enum that has an order.
    pub(crate) sortable: bool,
    /// What it can be tested for; empty for embedded values.
    pub(crate) operators: Vec<Operator>,
}

/// One test of a filter.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Operator {
    /// `eq`, `beginsWith`…
    pub(crate) name: String,
    /// As a function, escaped: Kotlin `` `in` ``, Python `in_`.
    pub(crate) ident: String,
    /// `value`, `range` (`between`: a list of two), `list` (`in`), `exists` (Boolean), `attribute_type`, `size` (an object of
    /// comparisons).
    pub(crate) operand: &'static str,
    /// The operand's type. Of `value`, `range` and `list` the element is the field's own (an enum, an AWSDate) rather than the
    /// operator input's (String).
    #[serde(rename = "type")]
    pub(crate) ty: TypeRef,
}

/// The filter of a model.
#[derive(Debug, Serialize)]
pub(crate) struct Filter {
    /// `ModelFlightFilterInput`; takes `and`, `or`, `not` beside the fields.
    pub(crate) input: String,
    /// Names of fields that can be tested.
    pub(crate) fields: Vec<String>,
}

/// The order of a model's lists.
#[derive(Debug, Serialize)]
pub(crate) struct Sort {
    /// One step: `{ field, direction }`.
    pub(crate) input: String,
    /// The enum of the fields.
    #[serde(rename = "enum")]
    pub(crate) of: String,
    /// Its values: names of fields, and `_lastChangedAt` last.
    pub(crate) fields: Vec<String>,
}

/// A relation: loaded when it is asked for, no part of a record.
#[derive(Debug, Serialize)]
pub(crate) struct Relation {
    pub(crate) name: String,
    pub(crate) ident: String,
    pub(crate) local: String,
    pub(crate) doc: Option<String>,
    /// `belongs_to`, `has_one` or `has_many`.
    pub(crate) kind: &'static str,
    /// Whether it leads to many records.
    pub(crate) many: bool,
    pub(crate) required: bool,
    /// The other model: name, and its record's type.
    pub(crate) target: String,
    pub(crate) target_type: String,
    /// Equal pairs: the target's records are those whose `target` field equals this record's `source` field.
    pub(crate) keys: Vec<RelationKey>,
    /// Whether `keys` are the target's whole primary key, so that its `get` answers.
    pub(crate) by_key: bool,
    /// The index query of the target that serves it: the root field's name; null without one.
    pub(crate) index_query: Option<String>,
    /// The target's fields by which a list is ordered unless asked otherwise.
    pub(crate) sort_fields: Vec<String>,
}

/// One pair of fields that a relation goes by.
#[derive(Debug, Serialize)]
pub(crate) struct RelationKey {
    pub(crate) source: String,
    pub(crate) source_ident: String,
    /// Without a value there is no related record.
    pub(crate) source_nullable: bool,
    pub(crate) target: String,
    pub(crate) target_ident: String,
    /// The target field's type.
    #[serde(rename = "type")]
    pub(crate) ty: TypeRef,
}

/// The fields of every model's records, in the order of the schema's models.
pub(crate) fn all_fields(types: &Types<'_>) -> Vec<Vec<Field>> {
    let models = types.schema.models.iter();
    models
        .map(|model| fields(types, model, &filter_input(types, model)))
        .collect()
}

/// The model at `id`; `all` are the fields of every model.
pub(crate) fn model(types: &mut Types<'_>, id: ModelId, all: &[Vec<Field>]) -> Model {
    let schema = types.schema;
    let model = schema.model(id);
    let names = model_names(types, model);
    let types = &*types;
    let filter = filter_input(types, model);
    let fields = fields_of(all, id).to_vec();
    let key = model.key.iter();
    let key = key.filter_map(|id| fields.iter().find(|it| it.name == model.field_at(*id).name).cloned());
    let Whole { text: selection, nests } = whole(types.schema, &fields);
    let upper = names::upper_first(&model.name);
    let none = BTreeSet::new();
    let written = |word: &str| input(types, &format!("{word}{upper}Input"), &none);
    let condition = format!("Model{upper}ConditionInput");
    let condition = types.schema.api.get_input_object(&condition).map(|_| condition);
    let tested = |field: &&Field| !field.operators.is_empty();
    Model {
        name: model.name.clone(),
        doc: types.docs.of(&model.name),
        plural: model.plural.clone(),
        names,
        key: key.collect(),
        relations: relations(types, id, all),
        operations: roots(types, model, &selection),
        filter: Filter {
            input: filter,
            fields: fields.iter().filter(tested).map(|field| field.name.clone()).collect(),
        },
        sort: sort(types, model),
        condition,
        create: written("Create"),
        update: written("Update"),
        delete: written("Delete"),
        selection,
        nests,
        conflict: match model.conflict {
            ConflictStrategy::Automerge => "AUTOMERGE",
            ConflictStrategy::OptimisticConcurrency => "OPTIMISTIC_CONCURRENCY",
            ConflictStrategy::LastWriterWins => "LAST_WRITER_WINS",
            ConflictStrategy::Custom => "CUSTOM",
        },
        has_operations: model.fields.iter().any(|field| operation(field.merge).is_some()),
        fields,
    }
}

fn model_names(types: &mut Types<'_>, model: &Checked) -> ModelNames {
    let record = types.native(&model.name);
    let bare = record.trim_end_matches('_').to_owned();
    let mut of = |before: &str, behind: &str| types.give(&format!("{before}{bare}{behind}"));
    let (key, filter, fields) = (of("", "Key"), of("", "Filter"), of("", "Fields"));
    let (sort, query, page) = (of("", "Sort"), of("", "Query"), of("", "Page"));
    let (create, update, delete) = (of("Create", ""), of("Update", ""), of("Delete", ""));
    let collection = if model.plural == model.name {
        types.give(&format!("{}Collection", model.plural))
    } else {
        types.give(&model.plural)
    };
    let language = types.language;
    ModelNames {
        file: names::file_name(language, &record),
        local: names::local(language, &names::lower_first(&model.name)),
        local_plural: names::local(language, &names::lower_first(&model.plural)),
        record,
        collection,
        key,
        filter,
        fields,
        sort,
        query,
        page,
        create,
        update,
        delete,
    }
}

fn sort(types: &Types<'_>, model: &Checked) -> Option<Sort> {
    let upper = names::upper_first(&model.name);
    let (input, of) = (format!("Model{upper}SortInput"), format!("Model{upper}SortField"));
    let by_sort = model.key.first().is_some_and(|id| model.field_at(*id).name == "sort");
    let by_sort = by_sort
        || model
            .sort_key_argument(model.key.get(1..).unwrap_or_default())
            .as_deref()
            == Some("sort");
    let found = types.schema.api.get_enum(&of).filter(|_| !by_sort)?;
    Some(Sort {
        input,
        fields: found.values.keys().map(ToString::to_string).collect(),
        of,
    })
}

/// The filter of list queries.
fn filter_input(types: &Types<'_>, model: &Checked) -> String {
    let upper = format!("Model{}FilterInput", names::upper_first(&model.name));
    if types.schema.api.get_input_object(&upper).is_some() {
        upper
    } else {
        format!("Model{}FilterInput", model.name)
    }
}

fn fields(types: &Types<'_>, model: &Checked, filter: &str) -> Vec<Field> {
    let Some(object) = types.schema.api.get_object(&model.name) else {
        return Vec::new();
    };
    let upper = names::upper_first(&model.name);
    let has = |input: &str, name: &str| {
        let found = types.schema.api.get_input_object(&format!("{input}{upper}Input"));
        found.is_some_and(|input| input.fields.contains_key(name))
    };
    let (mut given, mut given_local) = (Given::default(), Given::default());
    let mut out = Vec::new();
    for (name, definition) in &object.fields {
        let Some(id) = model.field(name) else { continue };
        let stored = model.field_at(id);
        let (in_create, in_update) = (has("Create", name), has("Update", name));
        let belongs = model
            .relations
            .iter()
            .find(|relation| relation.kind == RelationKind::BelongsTo && relation.source_fields.contains(&id));
        let whole = format!("{}.{name}", model.name);
        out.push(Field {
            name: name.to_string(),
            ident: given.give(names::member(types.language, name)),
            local: given_local.give(names::local(types.language, name)),
            doc: types.docs.of(&whole),
            deprecated: types.docs.deprecation(&whole),
            ty: types.of(&definition.ty, None),
            is_key: model.key.contains(&id),
            origin: origin(stored.origin),
            default: stored.default.as_ref().map(tombolo_core::value::Value::to_json),
            auto: is_auto(model, id, stored),
            read_only: !in_create && !in_update,
            in_create,
            in_update,
            merge: stored.merge.map(tombolo_core::schema::MergeRule::name),
            operation: operation(stored.merge),
            relation: belongs.map(|relation| relation.name.clone()),
            sortable: stored.is_sortable(),
            operators: operators(types, filter, name, stored),
        });
    }
    out
}

fn origin(origin: FieldOrigin) -> &'static str {
    match origin {
        FieldOrigin::Declared => "declared",
        FieldOrigin::ImplicitId => "implicit_id",
        FieldOrigin::ForeignKey => "foreign_key",
        FieldOrigin::Timestamp => "timestamp",
        FieldOrigin::Owner => "owner",
    }
}

fn is_auto(model: &Checked, id: FieldId, stored: &Stored) -> bool {
    let is_stamp = [model.created_at, model.updated_at].contains(&Some(id));
    let is_id = stored.name == "id" && matches!(stored.ty.kind.name(), "ID" | "String");
    is_stamp || is_id || stored.default.is_some() || stored.origin == FieldOrigin::Owner
}

fn operators(types: &Types<'_>, filter: &str, name: &str, stored: &Stored) -> Vec<Operator> {
    let api = &types.schema.api;
    let field = api.get_input_object(filter).and_then(|filter| filter.fields.get(name));
    let input = field.and_then(|field| api.get_input_object(field.ty.inner_named_type()));
    let Some(input) = input else { return Vec::new() };
    let own = types.native(stored.ty.kind.name());
    let operators = input.fields.iter().map(|(operator, definition)| {
        let operand = match operator.as_str() {
            "between" => "range",
            "in" | "notIn" => "list",
            "attributeExists" => "exists",
            "attributeType" => "attribute_type",
            "size" => "size",
            _ => "value",
        };
        // Texts in part are texts, whatever the field.
        let partial = matches!(operator.as_str(), "contains" | "notContains" | "beginsWith")
            && stored.ty.list.is_none()
            && types.kind(stored.ty.kind.name()) == "enum";
        let typed = matches!(operand, "value" | "range" | "list") && !partial;
        Operator {
            name: operator.to_string(),
            ident: names::local(types.language, operator),
            operand,
            ty: types.of(&definition.ty, typed.then_some(own.as_str())),
        }
    });
    operators.collect()
}

fn fields_of(all: &[Vec<Field>], id: ModelId) -> &[Field] {
    all.get(id.0).map_or(&[], Vec::as_slice)
}

fn relations(types: &Types<'_>, id: ModelId, all: &[Vec<Field>]) -> Vec<Relation> {
    let model = types.schema.model(id);
    // A member of the record too in some languages.
    let (mut given, mut given_local) = (Given::default(), Given::default());
    for field in fields_of(all, id) {
        given.give(field.ident.clone());
        given_local.give(field.local.clone());
    }
    let find = |of: ModelId, name: &str| fields_of(all, of).iter().find(|field| field.name == name);
    let relations = model.relations.iter().map(|relation| {
        let target = types.schema.model(relation.target);
        let keys = relation.source_fields.iter().zip(&relation.target_fields);
        let keys = keys.filter_map(|(source, to)| {
            // By the names that were given: two fields may differ in the schema alone.
            let source = find(id, &model.field_at(*source).name)?;
            let to = find(relation.target, &target.field_at(*to).name)?;
            Some(RelationKey {
                source: source.name.clone(),
                source_ident: source.ident.clone(),
                source_nullable: source.ty.nullable,
                target: to.name.clone(),
                target_ident: to.ident.clone(),
                ty: to.ty.clone(),
            })
        });
        Relation {
            name: relation.name.clone(),
            ident: given.give(names::member(types.language, &relation.name)),
            local: given_local.give(names::local(types.language, &relation.name)),
            doc: types.docs.of(&format!("{}.{}", model.name, relation.name)),
            kind: match relation.kind {
                RelationKind::BelongsTo => "belongs_to",
                RelationKind::HasOne => "has_one",
                RelationKind::HasMany => "has_many",
            },
            many: relation.kind == RelationKind::HasMany,
            required: relation.required,
            target: target.name.clone(),
            target_type: types.native(&target.name),
            keys: keys.collect(),
            by_key: relation.target_fields == target.key,
            index_query: index_query(target, relation),
            sort_fields: relation
                .sort_fields
                .iter()
                .map(|id| target.field_at(*id).name.clone())
                .collect(),
        }
    });
    relations.collect()
}

fn index_query(target: &Checked, relation: &CheckedRelation) -> Option<String> {
    let [partition] = relation.target_fields.as_slice() else {
        return None;
    };
    let serves = |index: &&tombolo_core::schema::Index| index.fields.first() == Some(partition);
    let mut found = target.indexes.iter().filter(serves);
    found.find_map(|index| index.query_field.clone())
}
