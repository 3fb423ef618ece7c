//! Filters: which records a list, a scope, a condition or a subscription means.
//!
//! The same filter is evaluated in three places, which agree (property test): here on a record in memory
//! ([`Filter::matches`]), in SQL ([`Filter::sql`]), and on the phone. The semantics are DynamoDB's, since apps were written
//! against them: an absent field equals nothing, `ne` and the other negations hold for an absent field, `contains` is
//! substring on text and membership on lists. Ours: `eq: null` means absent and `ne: null` present, since "null" and "never
//! set" are one here; an empty `or` matches nothing, as an empty list of alternatives does.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use crate::id::FieldId;
use crate::record::Record;
use crate::schema::Model;
use crate::value::Value;

/// A predicate over the records of one model.
#[derive(Clone, Debug, PartialEq)]
pub enum Filter {
    /// Every one of them; true when empty.
    All(Vec<Filter>),
    /// At least one of them; false when empty.
    Any(Vec<Filter>),
    /// Not this.
    Not(Box<Filter>),
    /// One test of one column.
    Test {
        /// What is looked at.
        column: FilterColumn,
        /// What must hold.
        test: Test,
    },
}

/// What a filter can look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum FilterColumn {
    /// A stored field.
    Field(FieldId),
    /// `_deleted`: true for a tombstone, absent otherwise.
    Deleted,
}

/// One test. Values are of the column's type and not null, except in `Eq` and `Ne`.
#[derive(Clone, Debug, PartialEq)]
pub enum Test {
    /// `eq`; with [`Value::Null`]: absent.
    Eq(Value),
    /// `ne`; with [`Value::Null`]: present.
    Ne(Value),
    /// `lt`.
    Lt(Value),
    /// `le`.
    Le(Value),
    /// `gt`.
    Gt(Value),
    /// `ge`.
    Ge(Value),
    /// `between`, both ends included.
    Between(Value, Value),
    /// `contains`: substring, or member of a list.
    Contains(Value),
    /// `notContains`; holds for an absent field.
    NotContains(Value),
    /// `beginsWith`.
    BeginsWith(String),
    /// Text that ends thus; no generated input asks it.
    EndsWith(String),
    /// `in`.
    In(Vec<Value>),
    /// `notIn`; holds for an absent field.
    NotIn(Vec<Value>),
    /// `attributeExists`.
    Exists(bool),
    /// `attributeType`.
    Type(AttributeType),
    /// `size`: characters of a text, items of a list.
    Size(SizeTest),
}

/// `ModelAttributeTypes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttributeType {
    /// `binary`, which no field is.
    Binary,
    /// `binarySet`, which no field is.
    BinarySet,
    /// `bool`.
    Bool,
    /// `list`.
    List,
    /// `map`: an embedded value.
    Map,
    /// `number`.
    Number,
    /// `numberSet`, which no field is.
    NumberSet,
    /// `string`.
    String,
    /// `stringSet`, which no field is.
    StringSet,
    /// `_null`: absent.
    Null,
}

/// A test of a size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SizeTest {
    /// `eq`.
    Eq(i64),
    /// `ne`.
    Ne(i64),
    /// `lt`.
    Lt(i64),
    /// `le`.
    Le(i64),
    /// `gt`.
    Gt(i64),
    /// `ge`.
    Ge(i64),
    /// `between`.
    Between(i64, i64),
}

impl Filter {
    /// The filter that one test makes.
    #[must_use]
    pub fn test(column: FilterColumn, test: Test) -> Self {
        Self::Test { column, test }
    }

    /// What both hold for.
    #[must_use]
    pub fn both(one: Self, other: Option<Self>) -> Self {
        match other {
            None => one,
            Some(other) => Self::All(vec![one, other]),
        }
    }

    /// Whether `record`, of `model`, matches.
    #[must_use]
    pub fn matches(&self, model: &Model, record: &Record) -> bool {
        match self {
            Self::All(all) => all.iter().all(|f| f.matches(model, record)),
            Self::Any(any) => any.iter().any(|f| f.matches(model, record)),
            Self::Not(inner) => !inner.matches(model, record),
            Self::Test { column, test } => match column {
                FilterColumn::Field(field) => {
                    let list = model.fields.get(field.0).is_some_and(|f| f.ty.list.is_some());
                    test.holds(record.value(*field), list)
                }
                FilterColumn::Deleted if record.meta.deleted => test.holds(&Value::Bool(true), false),
                FilterColumn::Deleted => test.holds(&Value::Null, false),
            },
        }
    }

    /// Every column that the filter looks at.
    #[must_use]
    pub fn columns(&self) -> BTreeSet<FilterColumn> {
        let mut columns = BTreeSet::new();
        self.gather(&mut columns);
        columns
    }

    fn gather(&self, into: &mut BTreeSet<FilterColumn>) {
        match self {
            Self::All(inner) | Self::Any(inner) => inner.iter().for_each(|f| f.gather(into)),
            Self::Not(inner) => inner.gather(into),
            Self::Test { column, .. } => {
                into.insert(*column);
            }
        }
    }
}

impl Test {
    /// Whether the test holds of `value`, which is of a list field if `list`.
    #[must_use]
    pub fn holds(&self, value: &Value, list: bool) -> bool {
        match self {
            Self::Eq(wanted) => equal(value, wanted),
            Self::Ne(wanted) => !equal(value, wanted),
            Self::Lt(bound) => compare(value, bound).is_some_and(Ordering::is_lt),
            Self::Le(bound) => compare(value, bound).is_some_and(Ordering::is_le),
            Self::Gt(bound) => compare(value, bound).is_some_and(Ordering::is_gt),
            Self::Ge(bound) => compare(value, bound).is_some_and(Ordering::is_ge),
            Self::Between(low, high) => {
                compare(value, low).is_some_and(Ordering::is_ge) && compare(value, high).is_some_and(Ordering::is_le)
            }
            Self::Contains(wanted) => contains(value, wanted, list),
            Self::NotContains(wanted) => !contains(value, wanted, list),
            Self::BeginsWith(prefix) => matches!(value, Value::Text(text) if text.starts_with(prefix.as_str())),
            Self::EndsWith(suffix) => matches!(value, Value::Text(text) if text.ends_with(suffix.as_str())),
            Self::In(wanted) => wanted.iter().any(|w| equal(value, w)),
            Self::NotIn(wanted) => !wanted.iter().any(|w| equal(value, w)),
            Self::Exists(wanted) => value.is_null() != *wanted,
            Self::Type(wanted) => attribute_type(value, list) == *wanted,
            Self::Size(test) => size(value, list).is_some_and(|n| test.holds(n)),
        }
    }
}

impl SizeTest {
    fn holds(self, n: i64) -> bool {
        match self {
            Self::Eq(x) => n == x,
            Self::Ne(x) => n != x,
            Self::Lt(x) => n < x,
            Self::Le(x) => n <= x,
            Self::Gt(x) => n > x,
            Self::Ge(x) => n >= x,
            Self::Between(low, high) => (low..=high).contains(&n),
        }
    }
}

/// Equality of two values of one type; null equals null alone.
fn equal(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Null, Value::Null) => true,
        _ => compare(a, b).is_some_and(Ordering::is_eq),
    }
}

/// The order of two present values, as SQLite has it: text by its bytes, numbers by value. `None` if one is absent or they
/// are of different classes.
fn compare(a: &Value, b: &Value) -> Option<Ordering> {
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Some(a.cmp(b)),
        (Value::Int(a), Value::Int(b)) => Some(a.cmp(b)),
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) | (Value::Json(a), Value::Json(b)) => Some(a.cmp(b)),
        _ => None,
    }
}

fn contains(value: &Value, wanted: &Value, list: bool) -> bool {
    match (value, wanted) {
        (Value::Text(text), Value::Text(part)) => text.contains(part.as_str()),
        (Value::Json(json), wanted) if list => match serde_json::from_str(json) {
            Ok(serde_json::Value::Array(items)) => items.iter().any(|item| member(item, wanted)),
            _ => false,
        },
        _ => false,
    }
}

fn member(item: &serde_json::Value, wanted: &Value) -> bool {
    use serde_json::Value as Json;
    match (item, wanted) {
        (Json::String(a), Value::Text(b)) => a == b,
        (Json::Bool(a), Value::Bool(b)) => a == b,
        (Json::Number(a), Value::Int(b)) => a.as_i64() == Some(*b),
        (Json::Number(a), Value::Float(b)) => a.as_f64() == Some(*b),
        _ => false,
    }
}

fn attribute_type(value: &Value, list: bool) -> AttributeType {
    match value {
        Value::Null => AttributeType::Null,
        Value::Bool(_) => AttributeType::Bool,
        Value::Int(_) | Value::Float(_) => AttributeType::Number,
        Value::Text(_) => AttributeType::String,
        Value::Json(_) if list => AttributeType::List,
        Value::Json(_) => AttributeType::Map,
    }
}

/// Characters of a text (before a NUL, as SQLite's `length` counts), items of a list.
fn size(value: &Value, list: bool) -> Option<i64> {
    let n = match value {
        Value::Text(text) => text.chars().take_while(|c| *c != '\0').count(),
        Value::Json(json) if list => match serde_json::from_str(json) {
            Ok(serde_json::Value::Array(items)) => items.len(),
            _ => return None,
        },
        _ => return None,
    };
    i64::try_from(n).ok()
}
