//! Mutations and filters, carried from the old schema to the new.

use serde_json::Value as Json;

use crate::id::{FieldId, ModelId};
use crate::merge::Operation;
use crate::query::{Filter, FilterColumn, MutationInput, Test};
use crate::schema::{FieldKind, FieldOrigin, FieldType, MergeRule, MutationKind};
use crate::value::Value;

use super::{FieldPair, Lens, PartWritten, SchemaChange};

/// A mutation as the new schema has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Carried {
    /// The mutation.
    pub input: MutationInput,
    /// What was given for fields that are gone, and goes with them.
    pub removed: Vec<RemovedField>,
    /// The embedded values among the mutation's that are to be completed from the record before they are written.
    pub parts: Vec<PartWritten>,
}

/// Something given for a field, or a member of an embedded value, that the new schema does not have.
#[derive(Clone, Debug, PartialEq)]
pub struct RemovedField {
    /// The field's name in the old schema; `field.member`, `field[].member` for a member.
    pub field: String,
    /// The value, or the operation.
    pub given: Json,
}

impl Lens {
    /// The mutation `input` of the old schema as one of the new schema.
    ///
    /// # Errors
    /// The change that took its meaning.
    pub fn mutation(&self, input: &MutationInput) -> Result<Carried, SchemaChange> {
        let (to, pairs) = self.pairs(input.model)?;
        let (was, is) = (&self.old[input.model], &self.new[to]);
        let place = |field: FieldId| format!("{}.{}", was.name, was.field_at(field).name);
        let (mut removed, mut parts) = (Vec::new(), Vec::new());
        let gone = |field: FieldId, given: Json| RemovedField {
            field: was.field_at(field).name.clone(),
            given,
        };
        let mut values = Vec::with_capacity(input.values.len());
        for (field, value) in &input.values {
            match pairs.get(field.0).copied().flatten() {
                Some(pair) => {
                    values.push((pair.to, self.value(&place(*field), input.model, *field, pair, value)?));
                    if !pair.as_it_stands && !value.is_null() {
                        let (old, new) = (was.field_at(*field), &is.field_at(pair.to).ty);
                        removed.extend(self.removed_members(&old.name, &old.ty, new, value));
                        parts.extend(self.part_written(&place(*field), &old.ty, (pair.to, new)));
                    }
                }
                None => removed.push(gone(*field, value.to_json())),
            }
        }
        let mut operations = Vec::with_capacity(input.operations.len());
        for (field, operation) in &input.operations {
            match pairs.get(field.0).copied().flatten() {
                Some(pair) => operations.push((pair.to, self.operation(&place(*field), to, pair, operation)?)),
                None => removed.push(gone(*field, operation.to_json())),
            }
        }
        if input.kind == MutationKind::Create {
            for (at, field) in is.fields.iter().enumerate() {
                let at = FieldId(at);
                let by_the_caller = matches!(field.origin, FieldOrigin::Declared | FieldOrigin::ForeignKey);
                let asked = field.ty.required && field.default.is_none() && by_the_caller && !is.key.contains(&at);
                if asked && values.iter().all(|(given, _)| *given != at) {
                    return Err(SchemaChange::new(
                        format!("{}.{}", was.name, field.name),
                        "the field is required now and has no default, so a record without it cannot be made",
                    ));
                }
            }
        }
        let condition = match &input.condition {
            Some(condition) => Some(self.filter(input.model, condition)?),
            None => None,
        };
        Ok(Carried {
            input: MutationInput {
                model: to,
                kind: input.kind,
                values,
                operations,
                base_version: input.base_version,
                condition,
                condition_json: input.condition_json.clone(),
            },
            removed,
            parts,
        })
    }

    /// One value; `null` for a field that has become required becomes its default.
    fn value(
        &self,
        place: &str,
        model: ModelId,
        field: FieldId,
        pair: FieldPair,
        value: &Value,
    ) -> Result<Value, SchemaChange> {
        let to = self.model(model)?;
        let is = self.new[to].field_at(pair.to);
        if value.is_null() {
            let was_required = self.old[model].field_at(field).ty.required;
            return match (&is.default, is.ty.required && !was_required) {
                (Some(default), true) => Ok(default.clone()),
                (None, true) => Err(SchemaChange::new(
                    place,
                    "the field is required now and has no default, so it cannot be emptied",
                )),
                (_, false) => Ok(Value::Null),
            };
        }
        if pair.as_it_stands {
            return Ok(value.clone());
        }
        self.fit(place, &is.ty, &value.to_json())
    }

    fn fit(&self, place: &str, ty: &FieldType, json: &Json) -> Result<Value, SchemaChange> {
        ty.fit_under(&self.new, &self.partial, json)
            .map_err(|problem| match (&ty.kind, json) {
                (FieldKind::Enum(name), Json::String(text)) => SchemaChange::new(
                    format!("{name}.{text}"),
                    format!("the enum's value was removed, so {place} cannot be set to it"),
                ),
                (FieldKind::Enum(_) | FieldKind::Scalar(_) | FieldKind::Embedded(_), _) => {
                    SchemaChange::new(place, format!("the type changed to {ty}, and {problem}"))
                }
            })
    }

    fn operation(
        &self,
        place: &str,
        model: ModelId,
        pair: FieldPair,
        operation: &Operation,
    ) -> Result<Operation, SchemaChange> {
        let is = self.new[model].field_at(pair.to);
        let lost = |rule: &str| {
            Err(SchemaChange::new(
                place,
                format!("the field is no {rule} any more, so nothing can be added to it; give it a value"),
            ))
        };
        let element = FieldType::single(is.ty.kind.clone());
        match operation {
            Operation::Add(_) if is.merge != Some(MergeRule::Counter) => lost("counter"),
            Operation::Set { .. } if is.merge != Some(MergeRule::Set) => lost("set"),
            Operation::Add(number) => Ok(Operation::Add(self.fit(place, &element, &number.to_json())?)),
            Operation::Set { add, remove } => {
                let one = |json: &Json| Ok(self.fit(place, &element, json)?.to_json());
                Ok(Operation::Set {
                    add: add.iter().map(one).collect::<Result<_, SchemaChange>>()?,
                    // What cannot be in the list any more need not be taken out of it.
                    remove: remove.iter().filter_map(|json| one(json).ok()).collect(),
                })
            }
        }
    }

    /// The filter over the old schema's `model` as one over the new schema's.
    ///
    /// # Errors
    /// The change that took its meaning.
    pub fn filter(&self, model: ModelId, filter: &Filter) -> Result<Filter, SchemaChange> {
        let all = |filters: &[Filter]| {
            filters
                .iter()
                .map(|f| self.filter(model, f))
                .collect::<Result<Vec<_>, _>>()
        };
        let (column, test) = match filter {
            Filter::All(filters) => return Ok(Filter::All(all(filters)?)),
            Filter::Any(filters) => return Ok(Filter::Any(all(filters)?)),
            Filter::Not(inner) => return Ok(Filter::Not(Box::new(self.filter(model, inner)?))),
            Filter::Test { column, test } => (column, test),
        };
        let (to, pairs) = self.pairs(model)?;
        let field = match column {
            FilterColumn::Deleted => return Ok(Filter::test(FilterColumn::Deleted, test.clone())),
            FilterColumn::Field(field) => *field,
        };
        let was = &self.old[model];
        let place = format!("{}.{}", was.name, was.field_at(field).name);
        let Some(pair) = pairs.get(field.0).copied().flatten() else {
            return Err(SchemaChange::new(
                place,
                "the field was removed from the schema, so a condition on it cannot be checked",
            ));
        };
        let column = FilterColumn::Field(pair.to);
        if pair.as_it_stands {
            return Ok(Filter::test(column, test.clone()));
        }
        let is = &self.new[to].field_at(pair.to).ty;
        let whole = is.with_required(false);
        let element = FieldType::single(is.kind.clone());
        let fit = |ty: &FieldType, value: &Value| match value {
            Value::Null => Ok(Value::Null),
            value => self.fit(&place, ty, &value.to_json()),
        };
        let list = |values: &[Value]| values.iter().map(|v| fit(&whole, v)).collect::<Result<Vec<_>, _>>();
        let test = match test {
            Test::Eq(value) => Test::Eq(fit(&whole, value)?),
            Test::Ne(value) => Test::Ne(fit(&whole, value)?),
            Test::Lt(value) => Test::Lt(fit(&whole, value)?),
            Test::Le(value) => Test::Le(fit(&whole, value)?),
            Test::Gt(value) => Test::Gt(fit(&whole, value)?),
            Test::Ge(value) => Test::Ge(fit(&whole, value)?),
            Test::Between(from, through) => Test::Between(fit(&whole, from)?, fit(&whole, through)?),
            // A piece of a text, or a member of a list: either way not a value of the whole field.
            Test::Contains(value) if is.list.is_some() => Test::Contains(fit(&element, value)?),
            Test::NotContains(value) if is.list.is_some() => Test::NotContains(fit(&element, value)?),
            Test::In(values) => Test::In(list(values)?),
            Test::NotIn(values) => Test::NotIn(list(values)?),
            Test::Contains(_)
            | Test::NotContains(_)
            | Test::BeginsWith(_)
            | Test::EndsWith(_)
            | Test::Exists(_)
            | Test::Type(_)
            | Test::Size(_) => test.clone(),
        };
        Ok(Filter::test(column, test))
    }
}
