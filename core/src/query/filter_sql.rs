//! Filters as SQL. Every value is a parameter; only column names, which the schema has checked, stand in the text.
//!
//! Where a predicate may come out as `NULL` it counts as false; under a `NOT` it must be a plain 0 or 1, so there each test
//! is written in its definite form (`IS`, `… IS NOT NULL AND …`). Elsewhere the plain form is kept, since SQLite's planner
//! likes it best.

use std::fmt::{self, Write as _};

use super::filter::{AttributeType, Filter, FilterColumn, SizeTest, Test};
use crate::schema::{FieldKind, FieldType, Model, Scalar};
use crate::value::Value;

impl Filter {
    /// The filter as a SQL expression over the columns of `alias`. Values go to the end of `params`; a parameter is named
    /// by its place there (`?1` is `params[0]`).
    #[must_use]
    pub fn sql(&self, model: &Model, alias: &str, params: &mut Vec<Value>) -> String {
        let mut sql = String::new();
        self.write_sql(model, alias, params, &mut sql, false);
        sql
    }

    fn write_sql(&self, model: &Model, alias: &str, params: &mut Vec<Value>, sql: &mut String, definite: bool) {
        match self {
            Self::All(inner) if inner.is_empty() => sql.push('1'),
            Self::Any(inner) if inner.is_empty() => sql.push('0'),
            Self::All(inner) | Self::Any(inner) => {
                let word = if matches!(self, Self::All(_)) { " AND " } else { " OR " };
                sql.push('(');
                for (i, filter) in inner.iter().enumerate() {
                    if i > 0 {
                        sql.push_str(word);
                    }
                    filter.write_sql(model, alias, params, sql, definite);
                }
                sql.push(')');
            }
            Self::Not(inner) => {
                sql.push_str("NOT (");
                inner.write_sql(model, alias, params, sql, true);
                sql.push(')');
            }
            Self::Test { column, test } => {
                let (place, ty) = match column {
                    FilterColumn::Field(field) => {
                        let field = &model.fields[field.0];
                        (format!("{alias}.\"{}\"", field.name), field.ty.clone())
                    }
                    FilterColumn::Deleted => (
                        format!("nullif({alias}.\"_deleted\", 0)"),
                        FieldType::single(FieldKind::Scalar(Scalar::Boolean)),
                    ),
                };
                write_test(&place, &ty, test, params, sql, definite);
            }
        }
    }
}

fn bind(params: &mut Vec<Value>, value: &Value) -> String {
    params.push(value.clone());
    format!("?{}", params.len())
}

fn put(sql: &mut String, text: fmt::Arguments<'_>) {
    // Writing to a `String` cannot fail.
    let _ = sql.write_fmt(text);
}

fn write_test(place: &str, ty: &FieldType, test: &Test, params: &mut Vec<Value>, sql: &mut String, definite: bool) {
    // A list equals, and is ordered against, lists only.
    let item = |value: &Value| ty.list.is_some() && !matches!(value, Value::Json(_) | Value::Null);
    match test {
        Test::Eq(value)
        | Test::Lt(value)
        | Test::Le(value)
        | Test::Gt(value)
        | Test::Ge(value)
        | Test::Between(value, _)
            if item(value) =>
        {
            return sql.push('0');
        }
        Test::In(values) if values.iter().any(item) => return sql.push('0'),
        Test::BeginsWith(_) | Test::EndsWith(_) if ty.list.is_some() => return sql.push('0'),
        Test::Ne(value) if item(value) => return sql.push('1'),
        Test::NotIn(values) if values.iter().any(item) => return sql.push('1'),
        _ => {}
    }
    let mut binary = |operator: &str, value: &Value, params: &mut Vec<Value>| {
        let param = bind(params, value);
        if definite {
            put(
                sql,
                format_args!("({place} IS NOT NULL AND {place} {operator} {param})"),
            );
        } else {
            put(sql, format_args!("{place} {operator} {param}"));
        }
    };
    match test {
        Test::Eq(Value::Null) | Test::Exists(false) => put(sql, format_args!("{place} IS NULL")),
        Test::Ne(Value::Null) | Test::Exists(true) => put(sql, format_args!("{place} IS NOT NULL")),
        Test::Eq(value) if definite => put(sql, format_args!("{place} IS {}", bind(params, value))),
        Test::Eq(value) => binary("=", value, params),
        Test::Ne(value) => put(sql, format_args!("{place} IS NOT {}", bind(params, value))),
        Test::Lt(value) => binary("<", value, params),
        Test::Le(value) => binary("<=", value, params),
        Test::Gt(value) => binary(">", value, params),
        Test::Ge(value) => binary(">=", value, params),
        Test::Between(low, high) => {
            let (low, high) = (bind(params, low), bind(params, high));
            let _ = write!(sql, "({place} IS NOT NULL AND {place} >= {low} AND {place} <= {high})");
        }
        Test::Contains(value) => write_contains(place, ty, value, params, sql),
        Test::NotContains(value) => {
            sql.push_str("NOT ");
            write_contains(place, ty, value, params, sql);
        }
        Test::BeginsWith(prefix) => {
            let low = bind(params, &Value::Text(prefix.clone()));
            match successor(prefix) {
                Some(high) => {
                    let high = bind(params, &Value::Text(high));
                    let _ = write!(sql, "({place} IS NOT NULL AND {place} >= {low} AND {place} < {high})");
                }
                None => put(sql, format_args!("({place} IS NOT NULL AND {place} >= {low})")),
            }
        }
        Test::EndsWith(suffix) => {
            let suffix = bind(params, &Value::Text(suffix.clone()));
            let _ = write!(
                sql,
                "({place} IS NOT NULL AND substr({place}, -length({suffix})) = {suffix})"
            );
        }
        Test::In(values) => write_in(place, values, params, sql),
        Test::NotIn(values) => {
            sql.push_str("NOT ");
            write_in(place, values, params, sql);
        }
        Test::Type(wanted) => {
            let own = own_type(ty);
            let _ = match wanted {
                AttributeType::Null => write!(sql, "{place} IS NULL"),
                wanted if *wanted == own => write!(sql, "{place} IS NOT NULL"),
                _ => write!(sql, "0"),
            };
        }
        Test::Size(test) => write_size(place, ty, *test, params, sql),
    }
}

/// The type of a present value of a field of type `ty`.
pub(super) fn own_type(ty: &FieldType) -> AttributeType {
    match (&ty.kind, ty.list) {
        (_, Some(_)) => AttributeType::List,
        (FieldKind::Embedded(_), None) => AttributeType::Map,
        (FieldKind::Scalar(Scalar::Boolean), None) => AttributeType::Bool,
        (FieldKind::Scalar(Scalar::Int | Scalar::Float | Scalar::AwsTimestamp), None) => AttributeType::Number,
        (FieldKind::Scalar(_) | FieldKind::Enum(_), None) => AttributeType::String,
    }
}

fn write_contains(place: &str, ty: &FieldType, value: &Value, params: &mut Vec<Value>, sql: &mut String) {
    let _ = if ty.list.is_some() {
        let wanted = bind(params, value);
        // A boolean in JSON is 0 or 1 to json_each, and so is a number: the item's type tells them apart.
        let class = match value {
            Value::Bool(_) => "IN ('true', 'false')",
            Value::Int(_) => "= 'integer'",
            Value::Float(_) => "IN ('integer', 'real')",
            Value::Null | Value::Text(_) | Value::Json(_) => "= 'text'",
        };
        write!(
            sql,
            "(CASE WHEN json_valid({place}) AND json_type({place}) = 'array' THEN EXISTS (SELECT 1 FROM json_each({place}) \
             AS item WHERE item.type {class} AND item.value = {wanted}) ELSE 0 END)"
        )
    } else if own_type(ty) == AttributeType::String {
        let part = bind(params, value);
        write!(sql, "({place} IS NOT NULL AND instr({place}, {part}) > 0)")
    } else {
        write!(sql, "(0)")
    };
}

fn write_in(place: &str, values: &[Value], params: &mut Vec<Value>, sql: &mut String) {
    let _ = write!(sql, "({place} IS NOT NULL AND {place} IN (");
    for (i, value) in values.iter().enumerate() {
        let param = bind(params, value);
        let _ = write!(sql, "{}{param}", if i == 0 { "" } else { ", " });
    }
    sql.push_str("))");
}

fn write_size(place: &str, ty: &FieldType, test: SizeTest, params: &mut Vec<Value>, sql: &mut String) {
    let size = match own_type(ty) {
        AttributeType::String => format!("length({place})"),
        AttributeType::List => format!(
            "(CASE WHEN json_valid({place}) AND json_type({place}) = 'array' THEN json_array_length({place}) END)"
        ),
        _ => {
            sql.push('0');
            return;
        }
    };
    let mut int = |n: i64| bind(params, &Value::Int(n));
    let test = match test {
        SizeTest::Eq(n) => format!("= {}", int(n)),
        SizeTest::Ne(n) => format!("<> {}", int(n)),
        SizeTest::Lt(n) => format!("< {}", int(n)),
        SizeTest::Le(n) => format!("<= {}", int(n)),
        SizeTest::Gt(n) => format!("> {}", int(n)),
        SizeTest::Ge(n) => format!(">= {}", int(n)),
        SizeTest::Between(low, high) => format!("BETWEEN {} AND {}", int(low), int(high)),
    };
    let _ = write!(sql, "({size} IS NOT NULL AND {size} {test})");
}

/// The least text that is greater than every text beginning with `prefix`, if there is one.
fn successor(prefix: &str) -> Option<String> {
    let mut chars: Vec<char> = prefix.chars().collect();
    while let Some(last) = chars.pop() {
        let next = match u32::from(last) {
            0xD7FF => Some('\u{E000}'),
            code => char::from_u32(code + 1),
        };
        if let Some(next) = next {
            chars.push(next);
            return Some(chars.into_iter().collect());
        }
    }
    None
}
