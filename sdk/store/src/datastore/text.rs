//! The texts that the adapters wrote: identifiers of records, JSON that is not quite JSON, times.

use std::borrow::Cow;

use serde_json::Value as Json;

/// The values of an identifier. A key of several fields is written `"a"#"b"`, on Android with quotes within doubled; one of a
/// single field as it is. `None` if it does not have this many.
pub(super) fn identifier(text: &str, fields: usize) -> Option<Vec<String>> {
    if fields == 1 {
        return Some(vec![text.to_owned()]);
    }
    let inner = text.strip_prefix('"')?.strip_suffix('"')?;
    let values: Vec<String> = inner.split("\"#\"").map(|value| value.replace("\"\"", "\"")).collect();
    (values.len() == fields).then_some(values)
}

/// Reads JSON in which a word may stand without quotes: Android's adapter writes the mutation's own id so.
pub(super) fn json(text: &str) -> Result<Json, String> {
    match serde_json::from_str(text) {
        Ok(json) => Ok(json),
        Err(first) => serde_json::from_str(&quoted(text)).map_err(|_| first.to_string()),
    }
}

/// The text with words in quotes that are none of JSON's own.
fn quoted(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len() + 2);
    let (mut rest, mut changed) = (text, false);
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' => string_end(rest),
            c if is_word(c) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            c => c.len_utf8(),
        };
        let (piece, after) = rest.split_at(end);
        if is_word(first) && serde_json::from_str::<Json>(piece).is_err() {
            out.push('"');
            out.push_str(piece);
            out.push('"');
            changed = true;
        } else {
            out.push_str(piece);
        }
        rest = after;
    }
    if changed { Cow::Owned(out) } else { Cow::Borrowed(text) }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '-' | '+' | '.' | '_')
}

/// Where the string ends that `text` begins with.
fn string_end(text: &str) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The moment of a time-based (version 1) UUID, in steps of 100 ns; `None` for any other text.
pub(super) fn uuid_time(text: &str) -> Option<u64> {
    let mut parts = text.split('-');
    let (low, mid, high) = (parts.next()?, parts.next()?, parts.next()?);
    if (low.len(), mid.len(), high.len()) != (8, 4, 4) || parts.count() != 2 {
        return None;
    }
    let number = |hex: &str| u64::from_str_radix(hex, 16).ok();
    let (low, mid, high) = (number(low)?, number(mid)?, number(high)?);
    (high >> 12 == 1).then_some((high & 0x0FFF) << 48 | mid << 32 | low)
}

/// Milliseconds since 1970 of a time that [`uuid_time`] gave.
pub(super) fn uuid_ms(time: u64) -> i64 {
    /// From October 15, 1582, where a UUID's time begins, to 1970.
    const BEGIN_MS: i64 = 12_219_292_800_000;
    i64::try_from(time / 10_000).unwrap_or(i64::MAX) - BEGIN_MS
}

/// A time without zeros at the end of its fraction, and without a fraction of nothing else.
pub(super) fn without_padding(time: &str) -> String {
    let Some((whole, rest)) = time.split_once('.') else {
        return time.to_owned();
    };
    let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    let (fraction, offset) = rest.split_at(end);
    match fraction.trim_end_matches('0') {
        "" => format!("{whole}{offset}"),
        fraction => format!("{whole}.{fraction}{offset}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn identifiers_of_one_and_of_several_fields() {
        assert_eq!(identifier("a|b\"#\"c", 1), Some(vec!["a|b\"#\"c".to_owned()]));
        assert_eq!(
            identifier(r##""o1"#"x ""y"" z"#"3""##, 3),
            Some(vec!["o1".into(), "x \"y\" z".into(), "3".into()])
        );
        for wrong in ["", "o1", "\"o1\"", r##""o1"#"x"##, r##""a"#"b"#"c""##] {
            assert_eq!(identifier(wrong, 2), None, "{wrong}");
        }
    }

    #[test]
    fn a_word_without_quotes_is_read_and_text_is_left_alone() {
        let id = "a4a70b30-39d2-11ec-8d3d-0242ac130003";
        let written = format!(r#"{{"mutationId":{id},"n":-1.5e3,"t":true,"x":null,"s":"say \"mutationId\":{id}, é"}}"#);
        let read = json(&written).unwrap();
        assert_eq!(
            read,
            json!({ "mutationId": id, "n": -1500.0, "t": true, "x": null, "s": format!("say \"mutationId\":{id}, é") })
        );
        for wrong in ["", "{", "{\"a\":}", "{\"a\" \"b\"}", "\"open", "nonsense {"] {
            assert!(json(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_time_of_a_uuid_is_read_of_version_1_alone() {
        let time = uuid_time("a4a70b30-39d2-11ec-8d3d-0242ac130003").unwrap();
        assert_eq!(uuid_ms(time), 1_635_633_740_996);
        for other in [
            "",
            "a4a70b30-39d2-41ec-8d3d-0242ac130003",
            "x",
            "a4a70b30-39d2-11ec-8d3d",
            "é-é-é-é-é",
        ] {
            assert_eq!(uuid_time(other), None, "{other}");
        }
    }

    #[test]
    fn zeros_go_from_the_end_of_a_fraction_alone() {
        for (padded, short) in [
            ("2023-11-14T22:13:20.000000000Z", "2023-11-14T22:13:20Z"),
            ("2023-11-14T22:13:20.120000000Z", "2023-11-14T22:13:20.12Z"),
            ("10:00:00.000000001Z", "10:00:00.000000001Z"),
            ("10:00:00.100", "10:00:00.1"),
            ("10:00:00+10:00", "10:00:00+10:00"),
            ("", ""),
        ] {
            assert_eq!(without_padding(padded), short);
        }
    }
}
