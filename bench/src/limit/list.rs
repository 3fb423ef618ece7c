//! The floor of a list query: one prepared statement stepped through, its columns written as JSON by hand.

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use crate::error::Error;

/// The fields of the list query, in its order.
pub(crate) const FIELDS: [&str; 10] = [
    "id", "date", "carrier", "flight", "tailnum", "origin", "dest", "depDelay", "arrDelay", "distance",
];

/// Rows of the list query.
pub(crate) const ROWS: usize = 1_000;

/// The list query as an app writes it.
pub(crate) fn document() -> String {
    format!(
        "query {{ listFlights(limit: {ROWS}) {{ items {{ {} }} }} }}",
        FIELDS.join(" ")
    )
}

/// Answers the list query's `data` into `out`, which is emptied first, and tells how many rows there were.
pub(crate) fn answer(connection: &Connection, out: &mut Vec<u8>) -> Result<u64, Error> {
    out.clear();
    let columns = FIELDS.map(|f| format!("\"{f}\"")).join(", ");
    let sql = format!("SELECT {columns} FROM \"Flight\" WHERE \"_deleted\" = 0 ORDER BY \"id\" LIMIT {ROWS}");
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query([])?;
    out.extend_from_slice(br#"{"listFlights":{"items":["#);
    let mut count = 0;
    while let Some(row) = rows.next()? {
        if count > 0 {
            out.push(b',');
        }
        count += 1;
        for (place, field) in FIELDS.iter().enumerate() {
            out.extend_from_slice(if place == 0 { b"{\"" } else { b",\"" });
            out.extend_from_slice(field.as_bytes());
            out.extend_from_slice(b"\":");
            write_value(row.get_ref(place)?, out);
        }
        out.push(b'}');
    }
    out.extend_from_slice(b"]}}");
    Ok(count)
}

fn write_value(value: ValueRef<'_>, out: &mut Vec<u8>) {
    match value {
        ValueRef::Null | ValueRef::Blob(_) => out.extend_from_slice(b"null"),
        ValueRef::Integer(int) => write_int(int, out),
        ValueRef::Real(real) => out.extend_from_slice(real.to_string().as_bytes()),
        ValueRef::Text(text) => write_text(text, out),
    }
}

fn write_int(int: i64, out: &mut Vec<u8>) {
    let mut digits = [0u8; 20];
    let mut at = digits.len();
    let mut rest = int.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if int < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

fn write_text(text: &[u8], out: &mut Vec<u8>) {
    out.push(b'"');
    let mut written = 0;
    for (place, byte) in text.iter().enumerate() {
        if *byte >= b' ' && *byte != b'"' && *byte != b'\\' {
            continue;
        }
        out.extend_from_slice(&text[written..place]);
        written = place + 1;
        match byte {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', *byte]),
            control => out.extend_from_slice(format!("\\u{control:04x}").as_bytes()),
        }
    }
    out.extend_from_slice(&text[written..]);
    out.push(b'"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_json() {
        let mut out = Vec::new();
        write_text("a\"b\\c\nd\u{e9}".as_bytes(), &mut out);
        assert_eq!(serde_json::from_slice::<String>(&out).unwrap(), "a\"b\\c\nd\u{e9}");
        for int in [0, 7, -7, i64::MAX, i64::MIN] {
            out.clear();
            write_int(int, &mut out);
            assert_eq!(serde_json::from_slice::<i64>(&out).unwrap(), int);
        }
    }
}
