//! Input types of each model: mutations' inputs, filters, conditions, composite keys.

use std::collections::{BTreeMap, BTreeSet};

use crate::id::FieldId;

use crate::schema::draft::Draft;
use crate::schema::lookup::LAST_CHANGED_AT;
use crate::schema::model::{Field, FieldKind, FieldOrigin, MergeRule, Model, Scalar};
use crate::schema::names;
use crate::schema::relations::HIDDEN_INDEX;
use crate::schema::report::Report;

use super::{Pair, Writer, composite_name, is_filterable, pair, shared};

/// The scalar whose operator inputs serve `kind`: enums and most AWS scalars compare as strings.
fn operator_scalar(kind: &FieldKind) -> &'static str {
    match kind {
        FieldKind::Scalar(Scalar::Id) => "ID",
        FieldKind::Scalar(Scalar::Int | Scalar::AwsTimestamp) => "Int",
        FieldKind::Scalar(Scalar::Float) => "Float",
        FieldKind::Scalar(Scalar::Boolean) => "Boolean",
        FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_) => "String",
    }
}

/// The scalar of a sort key's condition input.
pub(super) fn key_condition_scalar(kind: &FieldKind) -> &'static str {
    operator_scalar(kind)
}

/// The input that filters and conditions use for a field.
fn filter_input(field: &Field) -> String {
    match (&field.ty.kind, field.ty.list) {
        (FieldKind::Enum(name), Some(_)) if !field.ty.required => format!("Model{name}ListInput"),
        // AppSync takes a list that cannot be null for a single value here.
        (FieldKind::Enum(name), _) => format!("Model{name}Input"),
        (kind, _) => format!("Model{}Input", operator_scalar(kind)),
    }
}

/// The input of one step of a list's order.
pub(super) fn sort_input(model: &Model) -> String {
    format!("Model{}SortInput", names::upper(&model.name))
}

/// The input of an embedded type.
fn embedded_input(name: &str) -> String {
    format!("{}Input", names::upper(name))
}

/// The input of the operation on a counter or a set.
fn operation_input(field: &Field) -> Option<String> {
    let scalar = field.ty.kind.name();
    match field.merge? {
        MergeRule::Counter => {
            let word = match field.ty.kind {
                FieldKind::Scalar(Scalar::AwsTimestamp) => "Timestamp",
                FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_) => scalar,
            };
            Some(format!("Tombolo{word}CounterInput"))
        }
        MergeRule::Set => Some(format!("Tombolo{scalar}SetInput")),
        MergeRule::LastWriter | MergeRule::Max | MergeRule::Min | MergeRule::Reject | MergeRule::Custom => None,
    }
}

impl Writer<'_> {
    /// `TomboloIntCounterInput`, `TomboloStringSetInput`: those that models use.
    pub(super) fn write_operation_inputs(&mut self, report: &mut Report) {
        let mut used: BTreeMap<String, Vec<Pair>> = BTreeMap::new();
        for field in self.input.drafts.iter().flat_map(|d| &d.model.fields) {
            let Some(name) = operation_input(field) else { continue };
            let scalar = field.ty.kind.name();
            let members = if field.ty.list.is_some() {
                vec![
                    pair("add", format!("[{scalar}!]")),
                    pair("remove", format!("[{scalar}!]")),
                ]
            } else {
                vec![pair("add", format!("{scalar}!"))]
            };
            used.insert(name, members);
        }
        for (name, members) in used {
            self.typed(report, "input", &name, &members, None);
        }
    }

    /// All inputs of one model.
    pub(super) fn write_inputs(&mut self, report: &mut Report, draft: &Draft) {
        self.write_mutation_inputs(report, draft);
        self.write_filters(report, draft);
        self.write_sort(report, draft);
        let model = &draft.model;
        if let [_, sort @ ..] = model.key.as_slice() {
            self.write_composite(report, draft, sort, "Primary");
        }
        for index in model.indexes.iter().filter(|i| !i.name.starts_with(HIDDEN_INDEX)) {
            // An index without a query serves lists.
            let listed = index.query_field.is_some() || self.is_listed_over(draft, &index.fields);
            if let ([_, sort @ ..], true) = (index.fields.as_slice(), listed) {
                self.write_composite(report, draft, sort, &index.name);
            }
        }
    }

    /// Whether a list relation of another model takes a condition on the sort key of this path.
    fn is_listed_over(&self, draft: &Draft, path: &[FieldId]) -> bool {
        self.input.drafts.iter().flat_map(|d| &d.model.relations).any(|r| {
            self.input
                .drafts
                .get(r.target.0)
                .is_some_and(|t| t.model.name == draft.model.name)
                && r.conditioned
                && path.starts_with(&r.target_fields)
                && path.ends_with(&r.sort_fields)
                && path.len() == r.target_fields.len() + r.sort_fields.len()
        })
    }

    fn write_mutation_inputs(&mut self, report: &mut Report, draft: &Draft) {
        let model = &*draft.shown();
        let name = names::upper(&model.name);
        let given = |field: &&Field| {
            matches!(
                field.origin,
                FieldOrigin::Declared | FieldOrigin::ImplicitId | FieldOrigin::ForeignKey
            )
        };
        let is_key = |field: &Field| model.key.iter().any(|k| model.fields[k.0].name == field.name);
        let automatic = |field: &Field| {
            let stamp = [model.created_at, model.updated_at].into_iter().flatten();
            let generated_id =
                field.name == "id" && matches!(field.ty.kind, FieldKind::Scalar(Scalar::Id | Scalar::String));
            let is_stamp = stamp.into_iter().any(|s| model.fields[s.0].name == field.name) && !is_key(field);
            generated_id || field.default.is_some() || is_stamp
        };
        let version = || pair("_version", "Int");
        let fields = || model.fields.iter().filter(given);
        if draft.operations.create.is_some() {
            let mut pairs: Vec<Pair> = fields()
                .map(|f| (f.name.clone(), self.input_type(f, f.ty.required && !automatic(f))))
                .collect();
            pairs.push(version());
            self.typed(report, "input", &format!("Create{name}Input"), &pairs, draft.place);
        }
        if draft.operations.update.is_some() {
            let mut pairs: Vec<Pair> = fields()
                .map(|f| (f.name.clone(), self.input_type(f, is_key(f))))
                .collect();
            let operated: Vec<Pair> = fields()
                .filter_map(|f| Some((f.name.clone(), operation_input(f)?)))
                .collect();
            if !operated.is_empty() {
                pairs.push(pair("_operations", format!("{name}OperationsInput")));
                self.typed(
                    report,
                    "input",
                    &format!("{name}OperationsInput"),
                    &operated,
                    draft.place,
                );
            }
            pairs.push(version());
            self.typed(report, "input", &format!("Update{name}Input"), &pairs, draft.place);
        }
        if draft.operations.delete.is_some() {
            let mut pairs: Vec<Pair> = model
                .key
                .iter()
                .map(|k| &draft.model.fields[k.0])
                .map(|f| (f.name.clone(), self.input_type(f, true)))
                .collect();
            pairs.push(version());
            self.typed(report, "input", &format!("Delete{name}Input"), &pairs, draft.place);
        }
    }

    fn input_type(&self, field: &Field, required: bool) -> String {
        let ty = field.ty.with_required(required);
        match &ty.kind {
            FieldKind::Embedded(name) => ty.to_string().replacen(name.as_str(), &embedded_input(name), 1),
            FieldKind::Scalar(_) | FieldKind::Enum(_) => ty.to_string(),
        }
    }

    fn write_filters(&mut self, report: &mut Report, draft: &Draft) {
        let model = &*draft.shown();
        let keyed = |field: &Field| model.key.iter().any(|k| model.fields[k.0].name == field.name);
        // AppSync takes key fields out of the condition, but for those of a model in lower case and an `id` that is a text.
        let conditional = |field: &Field| {
            let odd = model.name != names::upper(&model.name) && field.name != "id";
            !keyed(field) || odd || (draft.text_id && field.name == "id")
        };
        let fields = || model.fields.iter().filter(|f| is_filterable(&f.ty.kind));
        let stray_id = model.field("id").is_none();
        let name_upper = names::upper(&model.name);
        let tree = |name: &str, with_not: bool| {
            let mut pairs = vec![pair("and", format!("[{name}]")), pair("or", format!("[{name}]"))];
            if with_not {
                pairs.push(pair("not", name));
            }
            pairs.push(pair("_deleted", "ModelBooleanInput"));
            pairs
        };

        // Relations and index queries have a filter that begins as the model does.
        let mut filters = vec![format!("Model{}FilterInput", model.name)];
        if name_upper != model.name {
            filters.push(format!("Model{name_upper}FilterInput"));
        }
        for name in filters {
            let mut pairs: Vec<Pair> = fields().map(|f| (f.name.clone(), filter_input(f))).collect();
            if stray_id {
                pairs.push(pair("id", "ModelIDInput"));
            }
            pairs.extend(tree(&name, true));
            self.typed(report, "input", &name, &pairs, draft.place);
        }

        let ops = &draft.operations;
        if ops.create.is_some() || ops.update.is_some() || ops.delete.is_some() {
            let name = format!("Model{name_upper}ConditionInput");
            let mut pairs: Vec<Pair> = fields()
                .filter(|f| conditional(f))
                .map(|f| (f.name.clone(), filter_input(f)))
                .collect();
            // A key that holds the owner is a condition again, as a text.
            let owners = fields().filter(|f| !conditional(f) && draft.holds_owner(&f.name));
            pairs.extend(owners.map(|f| pair(&f.name, "ModelStringInput")));
            pairs.extend(tree(&name, true));
            self.typed(report, "input", &name, &pairs, draft.place);
        }
        let heard = [
            (&ops.on_create, &ops.create),
            (&ops.on_update, &ops.update),
            (&ops.on_delete, &ops.delete),
        ];
        if heard
            .iter()
            .any(|(names, source)| !names.is_empty() && source.is_some())
        {
            let name = format!("ModelSubscription{name_upper}FilterInput");
            let mut pairs: Vec<Pair> = fields()
                .map(|f| {
                    let ty = if f.origin == FieldOrigin::Owner || draft.holds_owner(&f.name) {
                        "ModelStringInput".to_owned()
                    } else {
                        format!("ModelSubscription{}Input", operator_scalar(&f.ty.kind))
                    };
                    (f.name.clone(), ty)
                })
                .collect();
            for (name, kind) in &model.absent {
                pairs.push(pair(name, format!("ModelSubscription{}Input", operator_scalar(kind))));
            }
            pairs.extend(tree(&name, false));
            self.typed(report, "input", &name, &pairs, draft.place);
        }
    }

    /// The two helper types of a list's order: ours.
    fn write_sort(&mut self, report: &mut Report, draft: &Draft) {
        let model = &draft.model;
        let (input, field) = (
            sort_input(model),
            format!("Model{}SortField", names::upper(&model.name)),
        );
        self.claim(report, &field, draft.place);
        let mut values: Vec<String> = model
            .fields
            .iter()
            .filter(|f| f.is_sortable())
            .map(|f| f.name.clone())
            .collect();
        values.push(LAST_CHANGED_AT.to_owned());
        self.block("enum", &field, &values);
        let pairs = [
            pair("field", format!("{field}!")),
            pair("direction", "ModelSortDirection"),
        ];
        self.typed(report, "input", &input, &pairs, draft.place);
    }

    /// The two helper types of a sort key of several fields.
    fn write_composite(&mut self, report: &mut Report, draft: &Draft, sort: &[FieldId], index: &str) {
        if sort.len() < 2 {
            return;
        }
        let model: &Model = &draft.model;
        let base = composite_name(model, index);
        let key = format!("{base}KeyInput");
        let mut pairs: Vec<Pair> = ["eq", "le", "lt", "ge", "gt"]
            .iter()
            .map(|op| pair(op, key.clone()))
            .collect();
        pairs.push(pair("between", format!("[{key}]")));
        pairs.push(pair("beginsWith", key.clone()));
        self.typed(
            report,
            "input",
            &format!("{base}KeyConditionInput"),
            &pairs,
            draft.place,
        );
        let pairs: Vec<Pair> = sort
            .iter()
            .map(|id| &model.fields[id.0])
            .enumerate()
            .map(|(i, f)| {
                // The last one may be given in part, so AppSync types it by what it is stored as.
                let ty = match &f.ty.kind {
                    FieldKind::Scalar(_) if i + 1 == sort.len() => operator_scalar(&f.ty.kind),
                    kind => kind.name(),
                };
                pair(&f.name, ty)
            })
            .collect();
        self.typed(report, "input", &key, &pairs, draft.place);
    }

    /// `ModelPostStatusInput` for enums that models use, and `…ListInput` for lists of them.
    pub(super) fn write_enum_inputs(&mut self, report: &mut Report) {
        let (mut single, mut listed, mut both) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        for field in self.input.drafts.iter().flat_map(|d| &d.model.fields) {
            if let FieldKind::Enum(name) = &field.ty.kind {
                match field.ty.list {
                    Some(_) if !field.ty.required => listed.insert(name.clone()),
                    Some(_) => {
                        both.insert(name.clone());
                        single.insert(name.clone())
                    }
                    None => single.insert(name.clone()),
                };
            }
        }
        let place_of = |name: &str| {
            let found = self.input.declared.enums.iter().find(|e| e.name == name);
            found.and_then(|e| e.name.location())
        };
        for name in single.iter().filter(|name| self.input.enums.contains_key(*name)) {
            let input = format!("Model{name}Input");
            if shared::names(shared::OPERATORS).any(|shared| shared == input) {
                // AppSync, too, has one type of that name, and it is not the enum's.
                report.warn(
                    place_of(name),
                    format!("filters cannot test fields of the enum `{name}`: `{input}` is the operators of a size"),
                    "rename the enum if you need to",
                );
                continue;
            }
            let mut pairs = vec![pair("eq", name.as_str()), pair("ne", name.as_str())];
            if both.contains(name) {
                // Ours: AppSync filters such lists by nothing that could hold.
                pairs.extend([pair("contains", name.as_str()), pair("notContains", name.as_str())]);
            }
            let place = place_of(name);
            self.typed(report, "input", &input, &pairs, place);
        }
        for name in &listed {
            let (list, one) = (format!("[{name}]"), name.clone());
            let pairs = [
                pair("eq", list.clone()),
                pair("ne", list),
                pair("contains", one.clone()),
                pair("notContains", one),
            ];
            let place = place_of(name);
            self.typed(report, "input", &format!("Model{name}ListInput"), &pairs, place);
        }
    }

    /// `LocationInput` for embedded types, unless the file declares it itself.
    pub(super) fn write_embedded_inputs(&mut self, report: &mut Report) {
        let embedded = self.input.embedded;
        for (name, fields) in embedded {
            let input = embedded_input(name);
            if self.input.declared.inputs.iter().any(|i| i.name == input.as_str()) {
                continue;
            }
            let pairs: Vec<Pair> = fields
                .iter()
                .map(|f| {
                    let text = f.ty.to_string();
                    let text = match &f.ty.kind {
                        FieldKind::Embedded(other) => text.replacen(other.as_str(), &embedded_input(other), 1),
                        FieldKind::Scalar(_) | FieldKind::Enum(_) => text,
                    };
                    (f.name.clone(), text)
                })
                .collect();
            let place = self
                .input
                .declared
                .objects
                .iter()
                .find(|o| o.name == name.as_str())
                .and_then(|o| o.name.location());
            self.typed(report, "input", &input, &pairs, place);
        }
    }
}
