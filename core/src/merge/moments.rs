//! Which of two values is the greater: numbers as numbers, dates and times as moments rather than as text.

use std::cmp::Ordering;

use jiff::civil::{Date, DateTime, Time};

use crate::schema::{FieldKind, FieldType, Scalar};
use crate::value::Value;

/// Nanoseconds in a second.
const SECOND_NS: i128 = 1_000_000_000;

/// Compares two values of a field of `ty`. Values that are the same moment written differently are ordered by their
/// text, so that the order of arrival never decides.
pub(super) fn compare(ty: &FieldType, a: &Value, b: &Value) -> Ordering {
    match (a, b) {
        (Value::Int(a), Value::Int(b)) => a.cmp(b),
        (Value::Float(a), Value::Float(b)) => a.total_cmp(b),
        #[expect(
            clippy::cast_precision_loss,
            reason = "the two are told apart only where a Float can hold both"
        )]
        (Value::Int(a), Value::Float(b)) => (*a as f64).total_cmp(b),
        #[expect(
            clippy::cast_precision_loss,
            reason = "the two are told apart only where a Float can hold both"
        )]
        (Value::Float(a), Value::Int(b)) => a.total_cmp(&(*b as f64)),
        (Value::Text(a), Value::Text(b)) => moment(ty, a).cmp(&moment(ty, b)).then_with(|| a.cmp(b)),
        (
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Json(_),
            Value::Null | Value::Bool(_) | Value::Int(_) | Value::Float(_) | Value::Text(_) | Value::Json(_),
        ) => Ordering::Equal,
    }
}

/// Whether two values of a field of `ty` are the same, or the same moment written differently.
#[must_use]
pub fn is_same(ty: &FieldType, a: &Value, b: &Value) -> bool {
    if let (Value::Text(first), Value::Text(second)) = (a, b)
        && ty.list.is_none()
        && let Some(at) = moment(ty, first)
    {
        return moment(ty, second) == Some(at);
    }
    a == b
}

/// Nanoseconds since the beginning of 1970 (of the day, for a time alone), UTC. Without an offset it is taken as UTC.
fn moment(ty: &FieldType, text: &str) -> Option<i128> {
    let FieldKind::Scalar(scalar) = ty.kind else {
        return None;
    };
    let epoch = Date::constant(1970, 1, 1);
    let (local, rest) = match scalar {
        Scalar::AwsDate => {
            let (date, rest) = split(text, 10)?;
            (date.parse::<Date>().ok()?.to_datetime(Time::midnight()), rest)
        }
        Scalar::AwsTime => {
            let (time, rest) = clock(text)?;
            (epoch.to_datetime(time), rest)
        }
        Scalar::AwsDateTime => {
            let (date, rest) = split(text, 10)?;
            let (time, rest) = clock(rest.strip_prefix('T')?)?;
            (date.parse::<Date>().ok()?.to_datetime(time), rest)
        }
        Scalar::Id
        | Scalar::String
        | Scalar::Int
        | Scalar::Float
        | Scalar::Boolean
        | Scalar::AwsTimestamp
        | Scalar::AwsEmail
        | Scalar::AwsJson
        | Scalar::AwsUrl
        | Scalar::AwsPhone
        | Scalar::AwsIpAddress => return None,
    };
    let since = local.duration_since(DateTime::from_parts(epoch, Time::midnight()));
    Some(since.as_nanos() - i128::from(offset(rest)?) * SECOND_NS)
}

fn split(text: &str, at: usize) -> Option<(&str, &str)> {
    Some((text.get(..at)?, text.get(at..)?))
}

/// The time of day at the front of `text`, and what follows it.
fn clock(text: &str) -> Option<(Time, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_digit() || matches!(c, ':' | '.')));
    let (time, rest) = text.split_at(end.unwrap_or(text.len()));
    Some((time.parse().ok()?, rest))
}

/// Seconds east of UTC: of nothing, `Z`, `±hh:mm` or `±hh:mm:ss`.
fn offset(text: &str) -> Option<i64> {
    let sign = match text.get(..1) {
        None | Some("Z") => return Some(0),
        Some("+") => 1,
        Some("-") => -1,
        Some(_) => return None,
    };
    let mut parts = text.get(1..)?.split(':').map(|part| part.parse::<i64>().ok());
    let (hours, minutes) = (parts.next()??, parts.next()??);
    let seconds = parts.next().unwrap_or(Some(0))?;
    Some(sign * (hours * 3600 + minutes * 60 + seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_and_times_are_compared_as_moments() {
        use Ordering::{Equal, Greater, Less};
        let cases = [
            (Scalar::AwsDate, "2024-02-29", "2024-03-01", Less),
            (Scalar::AwsDate, "2024-03-01Z", "2024-03-01+01:00", Greater),
            (Scalar::AwsDate, "2024-03-01-12:00", "2024-03-02+13:00", Greater),
            (Scalar::AwsTime, "09:00:00", "10:00:00", Less),
            (Scalar::AwsTime, "09:00:00Z", "10:00:00+02:00", Greater),
            (Scalar::AwsTime, "09:00:00.5", "09:00:00.25", Greater),
            (
                Scalar::AwsDateTime,
                "2024-03-01T00:00:00Z",
                "2024-03-01T01:00:00+02:00",
                Greater,
            ),
            (
                Scalar::AwsDateTime,
                "2024-03-01T00:00:00.1Z",
                "2024-03-01T00:00:00.09Z",
                Greater,
            ),
            (
                Scalar::AwsDateTime,
                "2024-03-01T00:00:00Z",
                "2024-03-01T00:00:00Z",
                Equal,
            ),
            // The same moment: by text, whichever came first.
            (
                Scalar::AwsDateTime,
                "2024-03-01T00:00:00Z",
                "2024-03-01T00:00:00+00:00",
                Greater,
            ),
        ];
        for (scalar, a, b, want) in cases {
            let ty = FieldType::single(FieldKind::Scalar(scalar));
            let text = |t: &str| Value::Text(t.into());
            assert_eq!(compare(&ty, &text(a), &text(b)), want, "{a} {b}");
            assert_eq!(compare(&ty, &text(b), &text(a)), want.reverse(), "{b} {a}");
            assert!(moment(&ty, a).is_some() && moment(&ty, b).is_some(), "{a} {b}");
        }
    }

    #[test]
    fn a_moment_is_the_same_however_it_is_written_and_a_text_is_not() {
        let ty = |scalar| FieldType {
            kind: FieldKind::Scalar(scalar),
            list: None,
            required: false,
        };
        let cases = [
            (
                Scalar::AwsDateTime,
                "2024-03-01T10:00:00.120Z",
                "2024-03-01T12:00:00.12+02:00",
                true,
            ),
            (
                Scalar::AwsDateTime,
                "2024-03-01T10:00:00Z",
                "2024-03-01T10:00:00.001Z",
                false,
            ),
            (Scalar::AwsTime, "10:00:00.000", "10:00:00Z", true),
            (Scalar::AwsTime, "10:00:00", "10:00:01", false),
            (Scalar::String, "10:00:00.000", "10:00:00", false),
            (Scalar::AwsTime, "no time", "none either", false),
            (Scalar::AwsTime, "no time", "no time", true),
        ];
        for (scalar, a, b, same) in cases {
            let value = |text: &str| Value::Text(text.into());
            assert_eq!(is_same(&ty(scalar), &value(a), &value(b)), same, "{a} {b}");
            assert!(!is_same(&ty(scalar), &value(a), &Value::Null));
        }
    }
}
