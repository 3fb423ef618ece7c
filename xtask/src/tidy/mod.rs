//! House rules that no linter knows. Each is a function from text to findings, so that each can be shown to go red.
//!
//! | rule | holds |
//! |---|---|
//! | `arrows` | packages depend only on those that the house plan lists; pure rooms on no runtime, driver or random source |
//! | `lints` | every package takes the workspace's lints |
//! | `opening` | every crate says in its first line what it is for |
//! | `size` | no file grows past what a person reads |
//! | `ignored` | no test is switched off |
//! | `sql` | no statement asks SQLite for the time or for chance: a replayed run must give the same rows |
//! | `pure` | no clock, file, socket or runtime in the pure rooms |
//! | `places` | nothing names a folder of somebody's machine |
//! | `locks` | lock files name the public registries only |
//! | `links` | a link in a page leads to a file that is there |
//! | `first-lines` | the README's first lines in each language are those that its tests compile |
//! | `planted` | the simulator's planted bugs apply to the code as it stands |
//! | `dependencies` | each dependency has its line in `docs/dependencies.md` |

mod arrows;
mod pages;
mod rust;
mod text;

use std::fmt;
use std::fs;

use serde_json::Value;

use crate::house::{Failed, House};
use crate::planted;

/// What a rule found, and where.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    /// Relative to the root.
    path: String,
    /// From 1; 0 means the file as a whole.
    line: usize,
    rule: &'static str,
    message: String,
    weight: Weight,
}

#[derive(Debug, PartialEq, Eq)]
enum Weight {
    Warning,
    Error,
}

impl Finding {
    fn error(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            path: path.to_owned(),
            line,
            rule,
            message: message.into(),
            weight: Weight::Error,
        }
    }

    fn warning(path: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            weight: Weight::Warning,
            ..Self::error(path, line, rule, message)
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Warning => "warning",
            Weight::Error => "error",
        };
        write!(f, "{weight}: {}", self.path)?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {} [{}]", self.message, self.rule)
    }
}

/// Checks the checkout; prints what is found and fails if any of it is an error.
pub(crate) fn run(house: &House) -> Result<(), Failed> {
    let findings = check(house)?;
    for finding in &findings {
        eprintln!("{finding}");
    }
    let errors = findings
        .iter()
        .filter(|finding| finding.weight == Weight::Error)
        .count();
    if errors > 0 {
        return Err(Failed(format!("tidy: {errors} against the house rules")));
    }
    println!("tidy: nothing against the house rules");
    Ok(())
}

/// What cargo knows of the workspace, without the network.
pub(crate) fn metadata(house: &House) -> Result<Value, Failed> {
    let json = house
        .cargo(&["metadata", "--format-version", "1", "--no-deps", "--offline"])
        .output()?;
    serde_json::from_str(&json).map_err(|error| Failed(format!("cargo metadata: {error}")))
}

/// A planted bug must still find the code that it breaks.
fn check_patch(house: &House, path: &str) -> Option<Finding> {
    let applied = planted::git_apply(house, house.root(), &house.path(path), true);
    let error = applied.err()?;
    let message = format!("does not apply any more, make it anew where the code has gone: {error}");
    Some(Finding::error(path, 0, "planted", message))
}

fn check(house: &House) -> Result<Vec<Finding>, Failed> {
    let packages = arrows::packages(&metadata(house)?, house.root());
    let mut findings = arrows::check(&packages);
    let files = files(house)?;
    for path in &files {
        // Whatever is not text (a picture, a database in a test) has no lines to check.
        let Ok(content) = fs::read_to_string(house.path(path)) else {
            continue;
        };
        findings.extend(text::check(path, &content));
        if path.ends_with(".rs") {
            findings.extend(rust::check(path, &content));
        }
        if path.starts_with(planted::FOLDER) && path.ends_with(".patch") {
            findings.extend(check_patch(house, path));
        }
        if path.ends_with(".md") {
            findings.extend(pages::check_links(path, &content, |target| house.path(target).exists()));
        }
        if let Some(package) = packages.iter().find(|package| package.manifest == *path) {
            findings.extend(arrows::check_lints(package, &content));
        }
        if packages.iter().any(|package| package.openings.contains(path)) {
            findings.extend(rust::check_opening(path, &content));
        }
    }
    let read = |path: &str| fs::read_to_string(house.path(path)).unwrap_or_default();
    findings.extend(pages::check_dependencies(
        &[&read("Cargo.toml"), &read("tests/fuzz/Cargo.toml")],
        &read(pages::DEPENDENCIES),
    ));
    for (language, path) in pages::FIRST_LINES {
        findings.extend(pages::check_first_lines(
            &read(pages::README),
            language,
            path,
            &read(path),
        ));
    }
    findings.sort_by(|a, b| (&a.path, a.line).cmp(&(&b.path, b.line)));
    Ok(findings)
}

/// Every file that is, or is about to be, in the repository.
fn files(house: &House) -> Result<Vec<String>, Failed> {
    let listed = house
        .task("git")
        .args([
            "ls-files",
            "-z",
            "--cached",
            "--others",
            "--exclude-standard",
            "--deduplicate",
        ])
        .output()?;
    Ok(listed
        .split('\0')
        .filter(|path| !path.is_empty())
        .map(str::to_owned)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_finding_reads_as_path_line_message_rule() {
        assert_eq!(
            Finding::error("a/b.rs", 7, "size", "too long").to_string(),
            "error: a/b.rs:7: too long [size]"
        );
        assert_eq!(
            Finding::warning("a/b.rs", 0, "size", "long").to_string(),
            "warning: a/b.rs: long [size]"
        );
    }

    /// The packages that the arrows name are those that there are: a renamed one must not slip through the table.
    #[test]
    fn every_package_of_the_workspace_is_in_the_table() {
        let house = House::at(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(".."));
        let packages = arrows::packages(&metadata(&house).unwrap(), house.root());
        assert!(packages.len() >= 10, "{}", packages.len());
        for package in &packages {
            assert!(arrows::listed(&package.name), "{} is not in the table", package.name);
        }
    }
}
