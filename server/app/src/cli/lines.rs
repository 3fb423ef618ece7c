//! Lines of files that somebody else wrote, however long they are.

use std::io::BufRead;

/// One line with its end, of which no more than `max + 1` bytes are kept; and how many bytes it had. (Empty, 0) at the
/// end of the file.
pub(super) fn read_line(reader: &mut impl BufRead, max: usize) -> std::io::Result<(Vec<u8>, usize)> {
    let (mut text, mut bytes) = (Vec::new(), 0);
    loop {
        let buffer = reader.fill_buf()?;
        if buffer.is_empty() {
            return Ok((text, bytes));
        }
        let end = buffer.iter().position(|b| *b == b'\n').map(|i| i + 1);
        let taken = end.unwrap_or(buffer.len());
        let keep = taken.min((max + 1).saturating_sub(text.len()));
        text.extend_from_slice(buffer.get(..keep).unwrap_or_default());
        bytes += taken;
        reader.consume(taken);
        if end.is_some() {
            return Ok((text, bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_measured_and_not_kept() {
        let mut text: &[u8] = b"ab\n\n0123456789\nend";
        let mut lines = Vec::new();
        loop {
            let (line, bytes) = read_line(&mut text, 4).unwrap();
            if bytes == 0 {
                break;
            }
            lines.push((line, bytes));
        }
        let expected = [(&b"ab\n"[..], 3), (b"\n", 1), (b"01234", 11), (b"end", 3)];
        assert_eq!(lines, expected.map(|(line, bytes)| (line.to_vec(), bytes)));
    }
}
