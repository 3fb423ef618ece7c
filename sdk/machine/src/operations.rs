//! Operations on counters and sets in the outbox: made of plain values, laid over rows, and folded.
//!
//! An app that reads 5 and writes 6 means one more, not six: an update's plain value on a counter or a set becomes the
//! operation that leads there from what the view shows. So two phones that both add one make two more.

use serde_json::{Map, Value as Json};
use tombolo_core::id::FieldId;
use tombolo_core::merge::{Operation, monotone};
use tombolo_core::record::Record;
use tombolo_core::schema::{ConflictStrategy, Field, FieldType, MergeRule, Model, MutationKind};
use tombolo_core::value::Value;

use crate::former::member;
use crate::input::NewMutation;
use crate::outbox::Intent;

/// The mutation's values and operations by the names of their fields; `view` is what the app saw.
pub(crate) fn split(
    model: &Model,
    mutation: &NewMutation,
    view: Option<&Record>,
) -> (Map<String, Json>, Map<String, Json>) {
    let view = view.filter(|row| !row.meta.deleted && mutation.kind == MutationKind::Update);
    let (mut values, mut operations) = (Map::new(), Map::new());
    for (id, operation) in &mutation.operations {
        if let Some(field) = model.fields.get(id.0) {
            operations.insert(field.name.clone(), operation.to_json());
        }
    }
    for (id, value) in &mutation.values {
        let Some(field) = model.fields.get(id.0) else {
            continue;
        };
        match view.and_then(|row| Operation::between(field, row.value(*id), value)) {
            Some(operation) if operation.is_nothing() => {}
            Some(operation) => {
                operations.insert(field.name.clone(), operation.to_json());
            }
            None => {
                values.insert(field.name.clone(), value.to_json());
            }
        }
    }
    (values, operations)
}

/// The operation that [`Operation::to_json`] gave, by its own form: the field's rule may have changed since.
pub(crate) fn kept(ty: &FieldType, json: &Json) -> Option<Operation> {
    let list = |name: &str| json.get(name).and_then(Json::as_array).cloned();
    match (list("add"), list("remove")) {
        (None, None) => match ty.value_from_json(json.get("add")?) {
            number @ (Value::Int(_) | Value::Float(_)) => Some(Operation::Add(number)),
            Value::Null | Value::Bool(_) | Value::Text(_) | Value::Json(_) => None,
        },
        (add, remove) => Some(Operation::Set {
            add: add.unwrap_or_default(),
            remove: remove.unwrap_or_default(),
        }),
    }
}

/// Carries the intent's operations out on `row`. One that cannot be carried out shows nothing; the server will refuse it.
pub(crate) fn lay(model: &Model, row: &mut Record, intent: &Intent) {
    for (field, value) in model.fields.iter().zip(&mut row.values) {
        let operation = member(&intent.operations, field).and_then(|json| kept(&field.ty, json));
        if let Some(next) = operation.and_then(|operation| operation.apply(field, value).ok()) {
            *value = next;
        }
    }
}

/// What the user saw in the fields that an update sets, as it says or as `view` shows it, where the schema leaves their
/// conflicts to a resolver: it is to decide on that, too.
pub(crate) fn shown(
    model: &Model,
    mutation: &NewMutation,
    values: &Map<String, Json>,
    view: Option<&Record>,
) -> Map<String, Json> {
    let (MutationKind::Update, Some(view)) = (mutation.kind, view) else {
        return Map::new();
    };
    let read = |field: FieldId| mutation.read.iter().flatten().find(|(of, _)| *of == field);
    let custom = |field: FieldId| match model.field_at(field).merge {
        Some(rule) => rule == MergeRule::Custom,
        None => model.conflict == ConflictStrategy::Custom,
    };
    let of = |name: &String| {
        let field = model
            .field(name)
            .filter(|field| !model.key.contains(field) && custom(*field))?;
        let saw = read(field).map_or_else(|| view.value(field), |(_, value)| value);
        Some((name.clone(), saw.to_json()))
    };
    values.keys().filter_map(of).collect()
}

/// Leaves of `wanted` what is left to do where `done` was carried out already: the values that differ, of a counter or a set
/// the operation that leads from one to the other, and of operations the difference.
pub(crate) fn keep_difference(model: &Model, done: &Intent, wanted: &mut Intent) {
    let mut left = after(model, done, wanted);
    for (at, field) in model.fields.iter().enumerate() {
        let given = wanted.values.get(&field.name).cloned();
        let (Some(was), Some(given)) = (member(&done.values, field), given) else {
            continue;
        };
        if model.key.contains(&FieldId(at)) {
            continue;
        }
        let of = |json: &Json| field.ty.value_from_json(json);
        let operation = Operation::between(field, &of(was), &of(&given));
        if *was == given || operation.is_some() {
            wanted.values.remove(&field.name);
            wanted.base.remove(&field.name);
        }
        match operation {
            Some(operation) if !operation.is_nothing() => {
                left.insert(field.name.clone(), operation.to_json());
            }
            Some(_) => {}
            None => {
                if let Some(shown) = wanted.base.get_mut(&field.name) {
                    shown.clone_from(was);
                }
            }
        }
    }
    wanted.operations = left;
}

/// What is left to do of the operations of `wanted` where `done` was carried out already: the difference of both, field by
/// field. A field with a plain value needs none.
fn after(model: &Model, done: &Intent, wanted: &Intent) -> Map<String, Json> {
    let mut left = Map::new();
    for field in &model.fields {
        let name = &field.name;
        if wanted.values.contains_key(name) {
            continue;
        }
        let of = |intent: &Intent| intent.operations.get(name).and_then(|json| kept(&field.ty, json));
        let next = match (of(done), of(wanted)) {
            (None, wanted) => wanted,
            (Some(Operation::Add(done)), wanted) => {
                let wanted = match wanted {
                    Some(Operation::Add(wanted)) => wanted,
                    Some(Operation::Set { .. }) | None => match done {
                        Value::Float(_) => Value::Float(0.0),
                        Value::Null | Value::Bool(_) | Value::Int(_) | Value::Text(_) | Value::Json(_) => Value::Int(0),
                    },
                };
                difference(&done, &wanted).map(Operation::Add)
            }
            (Some(Operation::Set { add, remove }), wanted) => {
                let (more, less) = match wanted {
                    Some(Operation::Set { add, remove }) => (add, remove),
                    Some(Operation::Add(_)) | None => (Vec::new(), Vec::new()),
                };
                let without = |these: &[Json], those: &[Json]| {
                    these
                        .iter()
                        .filter(|one| !those.contains(one))
                        .cloned()
                        .collect::<Vec<_>>()
                };
                Some(Operation::Set {
                    add: [without(&more, &add), without(&remove, &less)].concat(),
                    remove: [without(&less, &remove), without(&add, &more)].concat(),
                })
            }
        };
        if let Some(next) = next.filter(|next| !next.is_nothing()) {
            left.insert(name.clone(), next.to_json());
        }
    }
    left
}

fn difference(done: &Value, wanted: &Value) -> Option<Value> {
    match (done, wanted) {
        (Value::Int(done), Value::Int(wanted)) => wanted.checked_sub(*done).map(Value::Int),
        (Value::Float(done), Value::Float(wanted)) => Some(Value::Float(wanted - done)),
        _ => None,
    }
}

/// `earlier` (never sent) and then the update `later`, as one intent. `None` if there is none.
pub(crate) fn fold(model: &Model, earlier: &Intent, later: &Intent) -> Option<Intent> {
    let mut both = earlier.clone();
    // What the field holds after `earlier`, as far as that alone says it.
    let known = |field: &Field| match (earlier.values.get(&field.name), earlier.kind) {
        (Some(value), _) => Some(field.ty.value_from_json(value)),
        (None, MutationKind::Create) => Some(field.default.clone().unwrap_or(Value::Null)),
        (None, MutationKind::Update | MutationKind::Delete) => None,
    };
    for (name, json) in &later.operations {
        let field = model.field_at(model.field(name)?);
        let operation = kept(&field.ty, json)?;
        match (known(field), both.operations.get(name)) {
            (Some(value), _) => {
                let value = operation.apply(field, &value).ok()?;
                both.values.insert(name.clone(), value.to_json());
            }
            (None, Some(first)) => {
                let first = kept(&field.ty, first)?;
                both.operations
                    .insert(name.clone(), first.then(&operation, &field.ty)?.to_json());
            }
            (None, None) => {
                both.operations.insert(name.clone(), json.clone());
            }
        }
    }
    for (name, shown) in &later.base {
        // What was shown between the two edits was the first one's own effect.
        if !earlier.values.contains_key(name) {
            both.base.insert(name.clone(), shown.clone());
        }
    }
    for (name, value) in &later.values {
        let field = model.field(name).map(|id| model.field_at(id));
        let greatest = field.and_then(|field| monotone(field, &known(field)?, &field.ty.value_from_json(value)));
        both.operations.remove(name);
        both.values.insert(
            name.clone(),
            greatest.map_or_else(|| value.clone(), |value| value.to_json()),
        );
    }
    Some(both)
}
