//! Operations on counters and sets: what an update does to a field, rather than what it makes of it. They never conflict.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::limits::RECORD_BYTES_MAX;
use crate::schema::{Field, FieldKind, FieldType, MergeRule, Scalar, Schema};
use crate::value::Value;

/// What an update does to a counter or a set. Operations of one mutation on one field are one.
#[derive(Clone, Debug, PartialEq)]
pub enum Operation {
    /// `COUNTER`: adds the number (below zero: takes away). A null field counts as 0.
    Add(Value),
    /// `SET`: adds what the list lacks, at its end; then removes. A member in both goes.
    Set {
        /// Members to add.
        add: Vec<Json>,
        /// Members to remove.
        remove: Vec<Json>,
    },
}

/// An operation that cannot be carried out.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{field}`: {problem}")]
pub struct OperationError {
    /// The field's name.
    pub field: String,
    /// What is wrong, and the mend.
    pub problem: String,
}

impl Operation {
    /// Reads the operation on `field` from `{"add": 2}` or `{"add": […], "remove": […]}`, values checked.
    ///
    /// # Errors
    /// The field takes no operation, or a member is missing, unknown or not of the field's type.
    pub fn from_json(schema: &Schema, field: &Field, json: &Json) -> Result<Self, OperationError> {
        let wrong = |problem: String| OperationError {
            field: field.name.clone(),
            problem,
        };
        let Json::Object(given) = json else {
            return Err(wrong("an operation is an object".to_owned()));
        };
        let element = FieldType {
            list: None,
            ..field.ty.with_required(true)
        };
        let known = |names: &[&str]| match given.keys().find(|key| !names.contains(&key.as_str())) {
            Some(other) => Err(wrong(format!(
                "`{other}` is no operation: there is {}",
                names.join(" and ")
            ))),
            None => Ok(()),
        };
        let parse = |json: &Json| {
            element
                .parse_json(schema, json)
                .map_err(|error| wrong(error.to_string()))
        };
        match field.merge {
            Some(MergeRule::Counter) => {
                known(&["add"])?;
                parse(given.get("add").unwrap_or(&Json::Null)).map(Self::Add)
            }
            Some(MergeRule::Set) => {
                known(&["add", "remove"])?;
                let list = |name: &str| match given.get(name) {
                    None | Some(Json::Null) => Ok(Vec::new()),
                    Some(Json::Array(items)) => items.iter().map(|json| Ok(parse(json)?.to_json())).collect(),
                    Some(one) => Ok(vec![parse(one)?.to_json()]),
                };
                let (add, remove) = (list("add")?, list("remove")?);
                Ok(Self::Set { add, remove })
            }
            Some(MergeRule::LastWriter | MergeRule::Max | MergeRule::Min | MergeRule::Reject | MergeRule::Custom)
            | None => Err(wrong(
                "only COUNTER and SET fields take operations: give a value".to_owned(),
            )),
        }
    }

    /// Whether it changes no field, whatever that holds.
    #[must_use]
    pub fn is_nothing(&self) -> bool {
        match self {
            Self::Add(Value::Int(number)) => *number == 0,
            Self::Add(Value::Float(number)) => *number == 0.0,
            Self::Add(Value::Null | Value::Bool(_) | Value::Text(_) | Value::Json(_)) => true,
            Self::Set { add, remove } => add.is_empty() && remove.is_empty(),
        }
    }

    /// As [`Operation::from_json`] reads it.
    #[must_use]
    pub fn to_json(&self) -> Json {
        match self {
            Self::Add(value) => json!({ "add": value.to_json() }),
            Self::Set { add, remove } => json!({ "add": add, "remove": remove }),
        }
    }

    /// The operation that makes `wanted` of `shown`: what an app means that read the one and writes the other. `None` if
    /// there is none, and the value is to be sent as it is: a null, a difference that the type cannot hold.
    #[must_use]
    pub fn between(field: &Field, shown: &Value, wanted: &Value) -> Option<Self> {
        match field.merge? {
            MergeRule::Counter => difference(&field.ty, shown, wanted).map(Self::Add),
            MergeRule::Set => {
                let (Value::Json(_), Some(shown), Some(wanted)) = (wanted, items(shown), items(wanted)) else {
                    return None;
                };
                if wanted.iter().any(Json::is_null) {
                    return None;
                }
                let (before, after) = (members(&shown), members(&wanted));
                let lacking = |items: Vec<Json>, other: &BTreeSet<String>| {
                    let new = |item: &Json| !item.is_null() && !other.contains(&member(item));
                    items.into_iter().filter(new).collect()
                };
                Some(Self::Set {
                    add: lacking(wanted, &before),
                    remove: lacking(shown, &after),
                })
            }
            MergeRule::LastWriter | MergeRule::Max | MergeRule::Min | MergeRule::Reject | MergeRule::Custom => None,
        }
    }

    /// The field's value after the operation on `current`. What it leaves alone keeps its text.
    ///
    /// # Errors
    /// The sum is beyond the type's numbers; the list is longer than a record may be; the field is of another kind.
    pub fn apply(&self, field: &Field, current: &Value) -> Result<Value, OperationError> {
        let wrong = |problem: String| OperationError {
            field: field.name.clone(),
            problem,
        };
        match self {
            Self::Add(number) => add(&field.ty, current, number).ok_or_else(|| {
                // Not a word of what stands there: whoever may add need not be one who may read.
                let number = number.to_json();
                wrong(format!(
                    "{number} cannot be added: the sum would be no {}",
                    field.ty.kind.name()
                ))
            }),
            Self::Set { add, remove } => {
                let Some(list) = items(current) else {
                    return Err(wrong(
                        "it does not hold a list, so nothing can be added to it".to_owned(),
                    ));
                };
                let gone = members(remove);
                let mut there = BTreeSet::new();
                let stays = |item: &Json| !gone.contains(&member(item)) && there.insert(member(item));
                let before = list.clone();
                let after: Vec<Json> = list.into_iter().chain(add.iter().cloned()).filter(stays).collect();
                if after == before {
                    return Ok(current.clone());
                }
                let text = Json::Array(after).to_string();
                if text.len() > RECORD_BYTES_MAX {
                    return Err(wrong(format!(
                        "the list would have {} bytes; the most is {RECORD_BYTES_MAX} (RECORD_BYTES_MAX): remove members, or \
                         make them records of a model of their own",
                        text.len()
                    )));
                }
                Ok(Value::Json(text))
            }
        }
    }

    /// One operation that does what `self` and then `later` do. `None` if there is none: they are of different kinds, or
    /// their sum is beyond the type's numbers.
    #[must_use]
    pub fn then(&self, later: &Self, ty: &FieldType) -> Option<Self> {
        match (self, later) {
            (Self::Add(a), Self::Add(b)) => add(ty, a, b).map(Self::Add),
            (
                Self::Set { add: a, remove: r },
                Self::Set {
                    add: later_a,
                    remove: later_r,
                },
            ) => {
                let (removed, added, gone) = (members(r), members(later_a), members(later_r));
                let mut seen = BTreeSet::new();
                let kept = a.iter().filter(|item| !removed.contains(&member(item)));
                let add = kept.chain(later_a);
                let add = add.filter(|item| !gone.contains(&member(item)) && seen.insert(member(item)));
                let mut seen = BTreeSet::new();
                let earlier = r.iter().filter(|item| !added.contains(&member(item)));
                let remove = earlier.chain(later_r).filter(|item| seen.insert(member(item)));
                Some(Self::Set {
                    add: add.cloned().collect(),
                    remove: remove.cloned().collect(),
                })
            }
            (Self::Add(_), Self::Set { .. }) | (Self::Set { .. }, Self::Add(_)) => None,
        }
    }
}

/// The union of two lists in the order of first insertion, without duplicates; `None` if one of them is no list.
pub(super) fn union(ours: &Value, theirs: &Value) -> Option<Value> {
    let (ours, theirs) = (items(ours)?, items(theirs)?);
    let mut there = BTreeSet::new();
    let all: Vec<Json> = ours
        .into_iter()
        .chain(theirs)
        .filter(|item| there.insert(member(item)))
        .collect();
    Some(Value::Json(Json::Array(all).to_string()))
}

/// A list's items; a null field holds none.
fn items(value: &Value) -> Option<Vec<Json>> {
    match value {
        Value::Null => Some(Vec::new()),
        Value::Json(text) => serde_json::from_str(text).ok(),
        Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) => None,
    }
}

fn members(items: &[Json]) -> BTreeSet<String> {
    items.iter().map(member).collect()
}

/// What makes two items the same member: their text; for numbers their worth, so that `1` and `1.0` are one.
fn member(item: &Json) -> String {
    match item.as_f64().filter(|_| item.as_i64().is_none()) {
        // A whole double below 2^53 prints without a fraction, as the integer does.
        Some(number) => format!("{}", number + 0.0),
        None => item.to_string(),
    }
}

fn add(ty: &FieldType, current: &Value, number: &Value) -> Option<Value> {
    calculate(ty, current, number, i64::checked_add, |a, b| a + b)
}

fn difference(ty: &FieldType, shown: &Value, wanted: &Value) -> Option<Value> {
    if wanted.is_null() {
        return None;
    }
    calculate(ty, wanted, shown, i64::checked_sub, |a, b| a - b)
}

fn calculate(
    ty: &FieldType,
    a: &Value,
    b: &Value,
    whole: impl Fn(i64, i64) -> Option<i64>,
    real: impl Fn(f64, f64) -> f64,
) -> Option<Value> {
    match ty.kind {
        FieldKind::Scalar(Scalar::Float) => {
            let sum = real(float(a)?, float(b)?);
            sum.is_finite().then_some(Value::Float(sum + 0.0))
        }
        FieldKind::Scalar(Scalar::Int) => {
            let sum = whole(int(a)?, int(b)?)?;
            i32::try_from(sum).is_ok().then_some(Value::Int(sum))
        }
        FieldKind::Scalar(Scalar::AwsTimestamp) => whole(int(a)?, int(b)?).map(Value::Int),
        FieldKind::Scalar(_) | FieldKind::Enum(_) | FieldKind::Embedded(_) => None,
    }
}

fn int(value: &Value) -> Option<i64> {
    match value {
        Value::Null => Some(0),
        Value::Int(i) => Some(*i),
        Value::Bool(_) | Value::Float(_) | Value::Text(_) | Value::Json(_) => None,
    }
}

fn float(value: &Value) -> Option<f64> {
    match value {
        Value::Null => Some(0.0),
        #[expect(clippy::cast_precision_loss, reason = "a Float that was given as a whole number")]
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        Value::Bool(_) | Value::Text(_) | Value::Json(_) => None,
    }
}
