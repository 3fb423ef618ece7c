//! Tells code, comments and string literals of a Rust source apart. It knows just enough of the language for that.

/// A source with its comments and literals blanked out, and the literals beside it.
pub(super) struct Source {
    /// As long as the original, byte for byte, with the same line breaks.
    code: String,
    /// The line each literal begins on, from 1, and its text as written.
    literals: Vec<(usize, String)>,
}

impl Source {
    pub(super) fn read(content: &str) -> Self {
        let bytes = content.as_bytes();
        let mut code = Vec::with_capacity(bytes.len());
        let mut literals = Vec::new();
        let mut line = 1;
        let mut at = 0;
        while at < bytes.len() {
            let (end, literal) = match piece(bytes, at) {
                Piece::Code => (at + 1, None),
                Piece::Comment { end } => (end, None),
                Piece::Literal { open, close, end } => (end, Some((open, close))),
            };
            if let Some((open, close)) = literal {
                let text = content.get(open..close).unwrap_or_default();
                literals.push((line, text.to_owned()));
            }
            let plain = end == at + 1 && literal.is_none();
            for &byte in &bytes[at..end] {
                line += usize::from(byte == b'\n');
                code.push(if plain || byte == b'\n' { byte } else { b' ' });
            }
            at = end;
        }
        Self {
            code: String::from_utf8_lossy(&code).into_owned(),
            literals,
        }
    }

    /// The code, each comment and literal replaced by blanks.
    pub(super) fn code(&self) -> &str {
        &self.code
    }

    /// The literals, each with its first line.
    pub(super) fn literals(&self) -> impl Iterator<Item = (usize, &str)> {
        self.literals.iter().map(|(line, text)| (*line, text.as_str()))
    }

    /// The line, from 1, of a place in the code.
    pub(super) fn line_of(&self, at: usize) -> usize {
        1 + self.code.bytes().take(at).filter(|byte| *byte == b'\n').count()
    }

    /// The code with what stands under `#[cfg(test)]` blanked out too.
    pub(super) fn code_without_tests(&self) -> String {
        let mut bytes = self.code.clone().into_bytes();
        for (start, _) in self.code.match_indices("#[cfg(test)]") {
            for byte in &mut bytes[start..self.end_of_item(start)] {
                if *byte != b'\n' {
                    *byte = b' ';
                }
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Where the item that begins here ends: at the `;` before any brace, or at the brace that closes its first.
    fn end_of_item(&self, start: usize) -> usize {
        let mut depth = 0_usize;
        for (at, byte) in self.code.bytes().enumerate().skip(start) {
            match byte {
                b';' if depth == 0 => return at + 1,
                b'{' => depth += 1,
                b'}' if depth <= 1 => return at + 1,
                b'}' => depth -= 1,
                _ => {}
            }
        }
        self.code.len()
    }
}

enum Piece {
    Code,
    Comment { end: usize },
    Literal { open: usize, close: usize, end: usize },
}

/// What begins at this place.
fn piece(bytes: &[u8], at: usize) -> Piece {
    let rest = &bytes[at..];
    if rest.starts_with(b"//") {
        let length = rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        return Piece::Comment { end: at + length };
    }
    if rest.starts_with(b"/*") {
        return Piece::Comment {
            end: end_of_block_comment(bytes, at),
        };
    }
    match rest[0] {
        b'"' => plain_literal(bytes, at),
        b'r' if !in_name(bytes, at) => raw_literal(bytes, at).unwrap_or(Piece::Code),
        b'\'' => character(bytes, at).unwrap_or(Piece::Code),
        _ => Piece::Code,
    }
}

/// Whether the byte before belongs to the same name; the `b` and `c` of `br"…"` and `cr"…"` do not count.
fn in_name(bytes: &[u8], at: usize) -> bool {
    let name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match at.checked_sub(1).map(|before| bytes[before]) {
        Some(b'b' | b'c') => at >= 2 && name(bytes[at - 2]),
        Some(byte) => name(byte),
        None => false,
    }
}

fn end_of_block_comment(bytes: &[u8], start: usize) -> usize {
    let mut depth = 0_usize;
    let mut at = start;
    while at < bytes.len() {
        if bytes[at..].starts_with(b"/*") {
            depth += 1;
            at += 2;
        } else if bytes[at..].starts_with(b"*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    bytes.len()
}

fn plain_literal(bytes: &[u8], at: usize) -> Piece {
    let open = at + 1;
    let mut close = open;
    while close < bytes.len() && bytes[close] != b'"' {
        close += if bytes[close] == b'\\' { 2 } else { 1 };
    }
    let close = close.min(bytes.len());
    Piece::Literal {
        open,
        close,
        end: (close + 1).min(bytes.len()),
    }
}

/// `r"…"`, `r#"…"#` and so on; `None` for a name such as `r#type`.
fn raw_literal(bytes: &[u8], at: usize) -> Option<Piece> {
    let hashes = bytes[at + 1..].iter().take_while(|byte| **byte == b'#').count();
    let open = at + 2 + hashes;
    if bytes.get(open - 1) != Some(&b'"') {
        return None;
    }
    let mut end_mark = vec![b'"'];
    end_mark.extend(std::iter::repeat_n(b'#', hashes));
    let length = bytes[open..]
        .windows(end_mark.len())
        .position(|window| window == end_mark)?;
    Some(Piece::Literal {
        open,
        close: open + length,
        end: open + length + end_mark.len(),
    })
}

/// A character such as `'"'`, which must not open a literal; `None` for a lifetime.
fn character(bytes: &[u8], at: usize) -> Option<Piece> {
    let first = *bytes.get(at + 1)?;
    let close = if first == b'\\' {
        // The escaped byte itself may be a quote: '\''.
        at + 3 + bytes.get(at + 3..)?.iter().position(|byte| *byte == b'\'')?
    } else {
        // One character of up to four bytes.
        (at + 2..=at + 5)
            .find(|close| bytes.get(*close) == Some(&b'\''))
            .filter(|close| std::str::from_utf8(&bytes[at + 1..*close]).is_ok_and(|text| text.chars().count() == 1))?
    };
    Some(Piece::Literal {
        open: at + 1,
        close,
        end: close + 1,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn literals(content: &str) -> Vec<(usize, String)> {
        Source::read(content).literals
    }

    #[test]
    fn comments_and_literals_leave_the_code_with_its_length_and_lines() {
        let content = "a /* b /* c */ d */ \"e\\\"f\" // g\nh r#\"i\"j\"# 'k' '\\'' 'l: x\n";
        let source = Source::read(content);
        assert_eq!(source.code().len(), content.len());
        assert_eq!(
            source.code().split_whitespace().collect::<Vec<_>>(),
            ["a", "h", "'l:", "x"]
        );
        assert_eq!(source.line_of(content.find('h').unwrap()), 2);
    }

    #[test]
    fn literals_of_every_form_are_read_with_their_line() {
        let found = literals("\"a\"\nb\"b\" r\"c\" br#\"d\"# cr\"e\"\n\"f\ng\"");
        let expected = [(1, "a"), (2, "b"), (2, "c"), (2, "d"), (2, "e"), (3, "f\ng")];
        assert_eq!(found, expected.map(|(line, text)| (line, text.to_owned())));
    }

    #[test]
    fn a_quote_character_and_a_raw_name_open_nothing() {
        let found = literals("f('\"', b'\"', r#type, '€') \"a\"");
        assert_eq!(found.last().unwrap().1, "a");
        assert!(Source::read("x(r#type)").code().contains("r#type"));
    }

    #[test]
    fn an_unfinished_literal_ends_with_the_file() {
        assert_eq!(literals("x(\"abc\\"), [(1, "abc\\".to_owned())]);
    }
}
