//! What each type takes: values of fields, checked as they come in.
//!
//! The rules are AppSync's ("Scalar types in AWS AppSync" in its developer guide). A value that passes is kept as it was
//! sent: clients compare what they sent with what returns. Only what GraphQL's own input coercion changes is changed:
//! an integer given for an `ID` becomes its text, and a single value given for a list becomes a list of one.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::net::IpAddr;

use serde_json::Value as Json;

use crate::value::Value;

use super::model::{EmbeddedField, FieldKind, FieldType, Scalar, Schema};

/// Longest piece of a refused value that an error message repeats, in characters.
const SHOWN_CHARS_MAX: usize = 60;

/// A value that is not of its field's type.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}{}{problem}", .path, if .path.is_empty() { "" } else { ": " })]
pub struct ValueError {
    /// Where inside the value: empty for the value itself, `[2].lat` for a place within a list of embedded values.
    pub path: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The named types a value may refer to.
#[derive(Clone, Copy)]
pub(super) struct Types<'a> {
    pub(super) enums: &'a BTreeMap<String, Vec<String>>,
    pub(super) embedded: &'a BTreeMap<String, Vec<EmbeddedField>>,
}

impl FieldType {
    /// Checks one JSON value against this type. Lists and embedded values are checked deep and kept as JSON text.
    ///
    /// # Errors
    /// The first thing that is wrong, by path. The caller adds the field's name in front.
    pub fn parse_json(&self, schema: &Schema, json: &Json) -> Result<Value, ValueError> {
        self.parse_json_with(
            Types {
                enums: &schema.enums,
                embedded: &schema.embedded,
            },
            json,
        )
    }

    pub(super) fn parse_json_with(&self, types: Types<'_>, json: &Json) -> Result<Value, ValueError> {
        let coerced = self.coerce(types, json, &mut Vec::new())?;
        Ok(self.value_from_json(&coerced))
    }

    /// `json` as this type takes it: the same, or changed as GraphQL's input coercion says.
    fn coerce<'j>(&self, types: Types<'_>, json: &'j Json, path: &mut Vec<Step>) -> Result<Cow<'j, Json>, ValueError> {
        if json.is_null() {
            return if self.required {
                Err(error(path, format!("`{self}` cannot be null")))
            } else {
                Ok(Cow::Borrowed(json))
            };
        }
        let Some(items_required) = self.list else {
            return self.kind.coerce(types, json, path);
        };
        let item = Self {
            kind: self.kind.clone(),
            list: None,
            required: items_required,
        };
        let Json::Array(items) = json else {
            return Ok(Cow::Owned(Json::Array(vec![
                item.coerce(types, json, path)?.into_owned(),
            ])));
        };
        let mut changed: Option<Vec<Json>> = None;
        for (i, one) in items.iter().enumerate() {
            path.push(Step::Item(i));
            let coerced = item.coerce(types, one, path)?;
            path.pop();
            if let Cow::Owned(new) = coerced {
                changed.get_or_insert_with(|| items.clone())[i] = new;
            }
        }
        Ok(changed.map_or(Cow::Borrowed(json), |items| Cow::Owned(Json::Array(items))))
    }
}

impl FieldKind {
    fn coerce<'j>(&self, types: Types<'_>, json: &'j Json, path: &mut Vec<Step>) -> Result<Cow<'j, Json>, ValueError> {
        match self {
            Self::Scalar(scalar) => scalar.coerce(json).map_err(|problem| error(path, problem)),
            Self::Enum(name) => {
                let values = types.enums.get(name).map_or(&[][..], Vec::as_slice);
                match json {
                    Json::String(text) if values.contains(text) => Ok(Cow::Borrowed(json)),
                    other => Err(error(
                        path,
                        format!("{} is not one of {name}'s values: {}", shown(other), values.join(", ")),
                    )),
                }
            }
            Self::Embedded(name) => {
                let Json::Object(object) = json else {
                    return Err(error(path, format!("`{name}` is an object, not {}", shown(json))));
                };
                let fields = types.embedded.get(name).map_or(&[][..], Vec::as_slice);
                if let Some(unknown) = object.keys().find(|key| fields.iter().all(|f| f.name != **key)) {
                    return Err(error(path, format!("`{name}` has no field `{}`", cut(unknown))));
                }
                let mut changed: Option<serde_json::Map<String, Json>> = None;
                for field in fields {
                    path.push(Step::Field(field.name.clone()));
                    let coerced = match object.get(&field.name) {
                        Some(one) => field.ty.coerce(types, one, path)?,
                        None if field.ty.required => {
                            return Err(error(path, format!("`{}` is required", field.ty)));
                        }
                        None => Cow::Borrowed(json),
                    };
                    path.pop();
                    if let Cow::Owned(new) = coerced {
                        changed
                            .get_or_insert_with(|| object.clone())
                            .insert(field.name.clone(), new);
                    }
                }
                Ok(changed.map_or(Cow::Borrowed(json), |object| Cow::Owned(Json::Object(object))))
            }
        }
    }
}

impl Scalar {
    fn coerce(self, json: &Json) -> Result<Cow<'_, Json>, String> {
        let same = Ok(Cow::Borrowed(json));
        let refuse = |what: &str| Err(format!("{} is not {what}", shown(json)));
        match (self, json) {
            (Self::Id | Self::String, Json::String(_)) | (Self::Boolean, Json::Bool(_)) => same,
            (Self::Id, Json::Number(n)) if n.is_i64() || n.is_u64() => Ok(Cow::Owned(Json::String(n.to_string()))),
            (Self::Id, _) => refuse("an ID (a string or an integer)"),
            (Self::String, _) => refuse("a String"),
            (Self::Boolean, _) => refuse("a Boolean (true or false)"),
            (Self::Int, _) => integer(json, i64::from(i32::MIN), i64::from(i32::MAX))
                .map_or_else(|| refuse("an Int (a whole number of 32 bits)"), Ok),
            (Self::AwsTimestamp, _) => integer(json, i64::MIN, i64::MAX)
                .map_or_else(|| refuse("an AWSTimestamp (a whole number of seconds)"), Ok),
            (Self::Float, Json::Number(n)) if n.as_f64().is_some_and(f64::is_finite) => same,
            (Self::Float, _) => refuse("a Float (a finite number)"),
            (_, Json::String(text)) => match self.problem(text) {
                None => same,
                Some(what) => refuse(what),
            },
            (_, _) => refuse(&format!("an {} (a string)", self.name())),
        }
    }

    /// What `text` is not, for the scalars that travel as strings with a form.
    fn problem(self, text: &str) -> Option<&'static str> {
        let (good, what) = match self {
            Self::AwsDate => (is_date(text), "an AWSDate (YYYY-MM-DD, optionally with Z or ±hh:mm)"),
            Self::AwsTime => (
                is_time(text),
                "an AWSTime (hh:mm:ss, optionally with a fraction and Z or ±hh:mm)",
            ),
            Self::AwsDateTime => (
                is_date_time(text),
                "an AWSDateTime (YYYY-MM-DDThh:mm:ss with Z or ±hh:mm)",
            ),
            Self::AwsEmail => (is_email(text), "an AWSEmail (local@domain)"),
            Self::AwsJson => (
                serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok(),
                "an AWSJSON (a string that holds JSON)",
            ),
            Self::AwsUrl => (is_url(text), "an AWSURL (absolute, with its scheme)"),
            Self::AwsPhone => (
                is_phone(text),
                "an AWSPhone (digits with spaces or hyphens; +country, or ten digits)",
            ),
            Self::AwsIpAddress => (is_ip(text), "an AWSIPAddress (v4 or v6, optionally /bits)"),
            Self::Id | Self::String | Self::Int | Self::Float | Self::Boolean | Self::AwsTimestamp => return None,
        };
        (!good).then_some(what)
    }
}

/// A whole number between the bounds; `1.0` is one too, as JSON does not tell the difference.
fn integer(json: &Json, min: i64, max: i64) -> Option<Cow<'_, Json>> {
    let Json::Number(number) = json else { return None };
    if let Some(i) = number.as_i64() {
        return (min..=max).contains(&i).then_some(Cow::Borrowed(json));
    }
    /// Beyond this a double cannot tell neighbouring integers apart.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let x = number.as_f64().filter(|x| x.fract() == 0.0 && x.abs() <= EXACT_MAX)?;
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    let i = x as i64;
    (min..=max).contains(&i).then(|| Cow::Owned(Json::from(i)))
}

/// Takes exactly `count` digits off the front.
fn digits(text: &str, count: usize) -> Option<(i16, &str)> {
    let head = text.get(..count)?;
    head.bytes().all(|b| b.is_ascii_digit()).then_some(())?;
    Some((head.parse().ok()?, &text[count..]))
}

fn take_date(text: &str) -> Option<&str> {
    let (year, rest) = digits(text, 4)?;
    let (month, rest) = digits(rest.strip_prefix('-')?, 2)?;
    let (day, rest) = digits(rest.strip_prefix('-')?, 2)?;
    jiff::civil::Date::new(year, i8::try_from(month).ok()?, i8::try_from(day).ok()?).ok()?;
    Some(rest)
}

fn take_time(text: &str) -> Option<&str> {
    let (hour, rest) = digits(text, 2)?;
    let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
    let (second, rest) = digits(rest.strip_prefix(':')?, 2)?;
    jiff::civil::Time::new(
        i8::try_from(hour).ok()?,
        i8::try_from(minute).ok()?,
        i8::try_from(second).ok()?,
        0,
    )
    .ok()?;
    let Some(fraction) = rest.strip_prefix('.') else {
        return Some(rest);
    };
    let end = fraction
        .bytes()
        .position(|b| !b.is_ascii_digit())
        .unwrap_or(fraction.len());
    (1..=9).contains(&end).then(|| &fraction[end..])
}

/// `Z`, `±hh:mm` or `±hh:mm:ss`, at most 18 hours either way.
fn is_offset(text: &str) -> bool {
    if text == "Z" {
        return true;
    }
    let parse = || {
        let (hour, rest) = digits(text.strip_prefix(['+', '-'])?, 2)?;
        let (minute, rest) = digits(rest.strip_prefix(':')?, 2)?;
        let second = match rest.strip_prefix(':') {
            Some(rest) => digits(rest, 2).filter(|(_, rest)| rest.is_empty())?.0,
            None if rest.is_empty() => 0,
            None => return None,
        };
        Some(minute < 60 && second < 60 && (hour < 18 || (hour == 18 && minute == 0 && second == 0)))
    };
    parse().unwrap_or(false)
}

fn is_date(text: &str) -> bool {
    take_date(text).is_some_and(|rest| rest.is_empty() || is_offset(rest))
}

fn is_time(text: &str) -> bool {
    take_time(text).is_some_and(|rest| rest.is_empty() || is_offset(rest))
}

fn is_date_time(text: &str) -> bool {
    take_date(text)
        .and_then(|rest| rest.strip_prefix('T'))
        .and_then(take_time)
        .is_some_and(is_offset)
}

fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else {
        return false;
    };
    let local_good = if local.len() > 2 && local.starts_with('"') && local.ends_with('"') {
        !local.chars().any(char::is_control)
    } else {
        !local.is_empty()
            && !local.starts_with('.')
            && !local.ends_with('.')
            && !local.contains("..")
            && local
                .chars()
                .all(|c| c.is_alphanumeric() || "!#$%&'*+/=?^_`{|}~.-".contains(c))
    };
    let domain_good = if let Some(literal) = domain.strip_prefix('[').and_then(|d| d.strip_suffix(']')) {
        literal
            .strip_prefix("IPv6:")
            .unwrap_or(literal)
            .parse::<IpAddr>()
            .is_ok()
    } else {
        !domain.is_empty()
            && domain.split('.').all(|label| {
                !label.is_empty()
                    && !label.starts_with('-')
                    && !label.ends_with('-')
                    && label.chars().all(|c| c.is_alphanumeric() || c == '-')
            })
    };
    local_good && domain_good
}

fn is_url(text: &str) -> bool {
    let Some((scheme, rest)) = text.split_once(':') else {
        return false;
    };
    let scheme_good = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    let rest_good = match rest.strip_prefix("//") {
        Some(after) if scheme.eq_ignore_ascii_case("file") => !after.is_empty(),
        Some(after) => !after
            .split(['/', '?', '#'])
            .next()
            .unwrap_or("")
            .trim_end_matches(':')
            .is_empty(),
        None => !rest.is_empty(),
    };
    scheme_good
        && rest_good
        && !text
            .chars()
            .any(|c| c.is_whitespace() || c.is_control() || "<>\"".contains(c))
}

/// E.164 allows at most 15 digits; a number without `+` is taken as North American, as AppSync does.
fn is_phone(text: &str) -> bool {
    let (plus, rest) = text.strip_prefix('+').map_or((false, text), |rest| (true, rest));
    let ends_good = rest.starts_with(|c: char| c.is_ascii_digit()) && rest.ends_with(|c: char| c.is_ascii_digit());
    let count = rest.bytes().filter(u8::is_ascii_digit).count();
    let count_good = if plus {
        (4..=15).contains(&count) && !rest.starts_with('0')
    } else {
        count == 10 || (count == 11 && rest.starts_with('1'))
    };
    ends_good && count_good && rest.chars().all(|c| c.is_ascii_digit() || c == ' ' || c == '-')
}

fn is_ip(text: &str) -> bool {
    let (address, bits) = text
        .split_once('/')
        .map_or((text, None), |(address, bits)| (address, Some(bits)));
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    let max = if address.is_ipv4() { 32 } else { 128 };
    bits.is_none_or(|b| {
        (1..=3).contains(&b.len()) && b.bytes().all(|b| b.is_ascii_digit()) && b.parse::<u16>().is_ok_and(|b| b <= max)
    })
}

/// One step of a path into a value.
enum Step {
    Field(String),
    Item(usize),
}

fn error(path: &[Step], problem: impl Into<String>) -> ValueError {
    let mut text = String::new();
    for step in path {
        match step {
            Step::Field(name) if text.is_empty() => text.push_str(name),
            Step::Field(name) => {
                text.push('.');
                text.push_str(name);
            }
            Step::Item(i) => text.push_str(&format!("[{i}]")),
        }
    }
    ValueError {
        path: text,
        problem: problem.into(),
    }
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}

fn shown(json: &Json) -> String {
    match json {
        Json::Array(_) => "a list".to_owned(),
        Json::Object(_) => "an object".to_owned(),
        other => format!("`{}`", cut(&other.to_string())),
    }
}
