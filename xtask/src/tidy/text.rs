//! Rules about any text file: its size, the places it names, and what the lock files say.

use super::Finding;

/// Lines. Past this a file is asked to be split, by a warning: a reader no longer holds it in mind.
const LINES_WARN: usize = 600;
/// Lines. Past this it must be split.
const LINES_MAX: usize = 900;

/// Folders of a machine, which mean nothing on another. Written in two halves, so that this file passes its own rule.
const PLACES: &[&str] = &[
    concat!("/wo", "rk/"),
    concat!("/ro", "ot/"),
    concat!("/ho", "me/"),
    concat!("/Us", "ers/"),
];

/// Where packages may come from, by lock file: what marks a source, and how each must go on.
const LOCKS: &[(&str, &str, &str)] = &[
    (
        "Cargo.lock",
        "source = \"",
        "registry+https://github.com/rust-lang/crates.io-index\"",
    ),
    ("package-lock.json", "\"resolved\": \"", "https://registry.npmjs.org/"),
];

pub(super) fn check(path: &str, content: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    if path.ends_with(".rs") {
        findings.extend(size(path, content.lines().count()));
    }
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some((_, mark, source)) = LOCKS.iter().find(|(lock, ..)| *lock == name) {
        for (number, line) in content.lines().enumerate() {
            if let Some((_, rest)) = line.split_once(mark)
                && !rest.starts_with(source)
            {
                let message = format!("names a source other than {}", source.trim_end_matches('"'));
                findings.push(Finding::error(path, number + 1, "locks", message));
            }
        }
        return findings;
    }
    for (number, line) in content.lines().enumerate() {
        if let Some(place) = PLACES.iter().find(|place| names_place(line, place)) {
            let message = format!("names a folder of one machine ({place}…): say it relative to the repository");
            findings.push(Finding::error(path, number + 1, "places", message));
        }
        if path.ends_with(".sql") {
            findings.extend(super::rust::check_statement(path, number + 1, line));
        }
    }
    findings
}

fn size(path: &str, lines: usize) -> Option<Finding> {
    if lines > LINES_MAX {
        return Some(Finding::error(
            path,
            0,
            "size",
            format!("{lines} lines; {LINES_MAX} is the limit: split it"),
        ));
    }
    let message = || format!("{lines} lines: past {LINES_WARN} a file asks to be split");
    (lines > LINES_WARN).then(|| Finding::warning(path, 0, "size", message()))
}

/// Whether the line names this folder as the beginning of a path; `https://a.org/x/` and `tests/x/` do not.
fn names_place(line: &str, place: &str) -> bool {
    line.match_indices(place).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '.' | '_' | '-' | '/' | '}' | ')' | '>'))
    })
}

#[cfg(test)]
mod tests {
    use super::super::Weight;
    use super::*;

    #[test]
    fn a_long_file_is_warned_about_and_a_giant_refused() {
        assert!(check("a.rs", &"\n".repeat(600)).is_empty());
        assert_eq!(check("a.rs", &"\n".repeat(601))[0].weight, Weight::Warning);
        assert_eq!(check("a.rs", &"\n".repeat(900))[0].weight, Weight::Warning);
        assert_eq!(check("a.rs", &"\n".repeat(901))[0].weight, Weight::Error);
        assert!(check("a.csv", &"\n".repeat(5000)).is_empty());
    }

    #[test]
    fn a_folder_of_a_machine_is_found_with_its_line() {
        for place in PLACES {
            let found = check("README.md", &format!("one\ncd {place}x\n"));
            assert_eq!((found.len(), found[0].line, found[0].rule), (1, 2, "places"), "{place}");
        }
    }

    #[test]
    fn a_folder_inside_another_or_in_an_address_is_not_one() {
        for place in PLACES {
            assert!(
                check(
                    "README.md",
                    &format!("https://example.org{place}x, docs{place}x, .{place}x")
                )
                .is_empty()
            );
        }
    }

    #[test]
    fn a_lock_file_that_names_another_registry_is_found() {
        let npm =
            "\"resolved\": \"https://registry.npmjs.org/a/-/a-1.tgz\"\n\"resolved\": \"https://mirror.example/a.tgz\"";
        assert_eq!(check("tests/clients/package-lock.json", npm)[0].line, 2);
        let good = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\n";
        assert!(check("Cargo.lock", good).is_empty());
        assert_eq!(
            check("Cargo.lock", "source = \"git+https://github.com/a/b\"\n")[0].rule,
            "locks"
        );
    }

    #[test]
    fn a_migration_is_held_to_the_rule_for_statements() {
        assert_eq!(
            check("m/1.sql", "create table a (x);\ninsert into a values (random());\n")[0].line,
            2
        );
    }
}
