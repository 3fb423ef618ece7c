//! Rules about Rust sources. They read code, comments and string literals apart, so that a comment about a rule does
//! not break it.

mod lexer;

use self::lexer::Source;
use super::Finding;
use super::arrows::PURE;

/// What a statement must not say, without blanks and in lower case. A replayed run must write the same rows, so time
/// and chance are parameters.
const STATEMENT: &[&str] = &[
    "random()",
    "randomblob(",
    "current_timestamp",
    "unixepoch(",
    "datetime('now'",
    "date('now'",
    "time('now'",
    "julianday('now'",
];

/// What the code of a pure room must not name, and what to do instead.
const IMPURE: &[(&str, &str)] = &[
    ("SystemTime::now", "time comes in as an argument"),
    ("Instant::now", "time comes in as an argument"),
    ("std::fs", "take the bytes as an argument"),
    ("std::net", "answer with an effect; only an address is no socket"),
    ("TcpStream", "answer with an effect"),
    ("TcpListener", "answer with an effect"),
    ("UdpSocket", "answer with an effect"),
    ("std::thread", "answer with an effect; the shell has the threads"),
    ("tokio", "the runtime belongs to the shell"),
];

/// Modules of `std` that `use std::{…}` would bring in under cover.
const IMPURE_MODULES: &[&str] = &["fs", "net", "thread"];

/// All rules about one file.
pub(super) fn check(path: &str, content: &str) -> Vec<Finding> {
    let source = Source::read(content);
    let mut findings = Vec::new();
    for (at, _) in source.code().match_indices("#[ignore") {
        let message = "a test is switched off: mend it, or let it assert what holds today";
        findings.push(Finding::error(path, source.line_of(at), "ignored", message));
    }
    // The rules themselves spell out what they forbid.
    if !path.starts_with("xtask/") {
        for (line, literal) in source.literals() {
            for (below, part) in literal.lines().enumerate() {
                findings.extend(check_statement(path, line + below, part));
            }
        }
    }
    if PURE
        .iter()
        .any(|(_, folder)| path.starts_with(&format!("{folder}src/")))
        && !is_test_file(path)
    {
        findings.extend(check_pure(path, &source));
    }
    findings
}

/// The first file of a crate says what the crate is for.
pub(super) fn check_opening(path: &str, content: &str) -> Vec<Finding> {
    let first = content.lines().next().unwrap_or_default();
    if first.strip_prefix("//!").is_some_and(|words| !words.trim().is_empty()) {
        return Vec::new();
    }
    vec![Finding::error(
        path,
        1,
        "opening",
        "a crate opens with a line that says what it is for: //! …",
    )]
}

/// Looks for time and chance in a line of SQL.
pub(super) fn check_statement(path: &str, line: usize, statement: &str) -> Option<Finding> {
    let plain: String = statement
        .chars()
        .filter(|c| !c.is_whitespace())
        .collect::<String>()
        .to_lowercase();
    // Blanks are gone, so a word before the name may touch it: the left border is looked for in the text as it was.
    let found = STATEMENT
        .iter()
        .find(|needle| plain.contains(**needle) && starts_word(statement, needle))?;
    let message = format!("a statement asks SQLite for `{found}`: bind it as a parameter");
    Some(Finding::error(path, line, "sql", message))
}

/// Whether the needle's name stands in the text as a word of its own.
fn starts_word(text: &str, needle: &str) -> bool {
    let name = needle.split('(').next().unwrap_or(needle);
    let lower = text.to_lowercase();
    lower.match_indices(name).any(|(at, _)| {
        let word = |c: char| c.is_alphanumeric() || c == '_';
        let before = lower[..at].chars().next_back();
        let after = lower[at + name.len()..].chars().next();
        !before.is_some_and(word) && !after.is_some_and(word)
    })
}

/// A conformance suite is test code that others link.
fn is_test_file(path: &str) -> bool {
    path.ends_with("/tests.rs") || path.contains("/tests/") || path.contains("/suite/")
}

fn check_pure(path: &str, source: &Source) -> Vec<Finding> {
    const RULE: &str = "pure";
    let code = source.code_without_tests();
    let mut findings = Vec::new();
    for (needle, instead) in IMPURE {
        for at in words(&code, needle) {
            if is_address(&code[at..]) {
                continue;
            }
            let message = format!("`{needle}` in a pure room: {instead}");
            findings.push(Finding::error(path, source.line_of(at), RULE, message));
        }
    }
    for at in words(&code, "use std::{") {
        let list = code[at..].split_once(';').map_or(&code[at..], |(list, _)| list);
        for module in IMPURE_MODULES {
            if let Some(&found) = words(list, module).first() {
                let message = format!("`std::{module}` in a pure room");
                findings.push(Finding::error(path, source.line_of(at + found), RULE, message));
            }
        }
    }
    findings
}

/// Parsing an address opens nothing: `std::net::IpAddr`, `std::net::{Ipv4Addr, …}`.
fn is_address(code: &str) -> bool {
    code.strip_prefix("std::net::")
        .is_some_and(|rest| rest.trim_start_matches('{').starts_with("Ip"))
}

/// Where the needle stands in the code, not as a part of a longer name.
fn words(code: &str, needle: &str) -> Vec<usize> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let open_end = needle.ends_with('{');
    code.match_indices(needle)
        .filter(|(at, _)| {
            let after = code[at + needle.len()..].chars().next();
            !code[..*at].chars().next_back().is_some_and(word) && (open_end || !after.is_some_and(word))
        })
        .map(|(at, _)| at)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(path: &str, content: &str) -> Vec<(usize, &'static str)> {
        check(path, content)
            .into_iter()
            .map(|finding| (finding.line, finding.rule))
            .collect()
    }

    #[test]
    fn a_switched_off_test_is_found() {
        assert_eq!(
            found("core/tests/a.rs", "#[test]\n#[ignore]\nfn a() {}\n"),
            [(2, "ignored")]
        );
        assert_eq!(found("core/tests/a.rs", "    #[ignore = \"slow\"]\n"), [(1, "ignored")]);
        assert_eq!(
            found("core/tests/a.rs", "// never #[ignore]\nlet a = \"#[ignore]\";\n"),
            []
        );
    }

    #[test]
    fn time_and_chance_in_a_statement_are_found() {
        for statement in [
            "insert into a values (random())",
            "SELECT RANDOM ( )",
            "default CURRENT_TIMESTAMP",
            "set at = unixepoch('subsec')",
            "datetime( 'now' )",
            "select randomblob(16)",
        ] {
            assert_eq!(
                found("sdk/store/src/a.rs", &format!("x(\n{statement:?});\n")),
                [(2, "sql")],
                "{statement}"
            );
        }
    }

    #[test]
    fn a_line_within_a_long_literal_is_named() {
        assert_eq!(
            found("sdk/store/src/a.rs", "const A: &str = r#\"select\n\n random()\"#;\n"),
            [(3, "sql")]
        );
    }

    #[test]
    fn names_that_only_contain_such_words_pass() {
        let content = "x(\"my_random()\"); x(\"select at from a\"); x(\"pseudorandom()\"); random(); // random()\n";
        assert_eq!(found("sdk/store/src/a.rs", content), []);
    }

    #[test]
    fn a_clock_a_file_a_socket_or_a_runtime_in_a_pure_room_is_found() {
        for code in [
            "let now = std::time::Instant::now();",
            "let now = SystemTime::now();",
            "use std::fs;",
            "use std::net::ToSocketAddrs;",
            "use std::net::{IpAddr, TcpStream};",
            "use std::{collections::BTreeMap, fs};",
            "use std::{\n    net,\n};",
            "std::thread::spawn(f);",
            "tokio::spawn(f);",
        ] {
            for room in ["core/src/a.rs", "sdk/machine/src/b/c.rs", "server/engine/src/d.rs"] {
                let rules: Vec<_> = found(room, code).into_iter().map(|(_, rule)| rule).collect();
                assert_eq!(rules, ["pure"], "{code} in {room}");
            }
            assert_eq!(found("server/app/src/a.rs", code), [], "{code}");
        }
    }

    #[test]
    fn a_pure_rooms_tests_comments_and_longer_names_pass() {
        let content = "//! Knows no tokio.\nfn f() { let s = \"std::fs\"; my_tokio(); }\nuse std::{fmt, collections};\n\
                       use std::net::{IpAddr, Ipv4Addr};\n\
                       #[cfg(test)]\nmod tests {\n    fn g() { let s = \"}\"; std::fs::read(s); }\n}\n";
        assert_eq!(found("core/src/a.rs", content), []);
        assert_eq!(found("core/src/a/tests.rs", "std::fs::read(s);"), []);
        assert_eq!(found("core/tests/a.rs", "std::fs::read(s);"), []);
        assert_eq!(found("server/engine/src/suite/mod.rs", "std::thread::park();"), []);
    }

    #[test]
    fn code_after_the_tests_is_looked_at_again() {
        let content = "#[cfg(test)]\nmod tests {\n    fn g() {}\n}\nfn f() { Instant::now(); }\n";
        assert_eq!(found("core/src/a.rs", content), [(5, "pure")]);
        let outside = "#[cfg(test)]\nmod tests;\nfn f() { Instant::now(); }\n";
        assert_eq!(found("core/src/a.rs", outside), [(3, "pure")]);
    }

    #[test]
    fn a_crate_that_opens_without_a_word_is_found() {
        assert!(check_opening("a/src/lib.rs", "//! What it is.\n").is_empty());
        assert_eq!(check_opening("a/src/lib.rs", "mod a;\n").len(), 1);
        assert_eq!(check_opening("a/src/lib.rs", "//!\nmod a;\n").len(), 1);
    }
}
