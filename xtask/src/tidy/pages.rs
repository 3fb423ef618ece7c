//! Rules about the pages: links that lead somewhere, and a reason for every dependency.

use super::Finding;

/// Where each dependency is given its reason.
pub(super) const DEPENDENCIES: &str = "docs/dependencies.md";

/// The page that shows the first lines in every language.
pub(super) const README: &str = "README.md";

/// Pages whose first block of code in that language is compiled and run by that language's tests.
pub(super) const FIRST_LINES: &[(&str, &str)] = &[
    ("swift", "bindings/swift/README.md"),
    ("kotlin", "bindings/kotlin/README.md"),
    ("python", "bindings/python/README.md"),
];

/// The first lines that the README shows must be those that are compiled.
pub(super) fn check_first_lines(readme: &str, language: &str, path: &str, page: &str) -> Option<Finding> {
    let shown = block(readme, language);
    if shown.is_some() && shown == block(page, language) {
        return None;
    }
    let message =
        format!("its first block of {language} is not that of {path}, which the tests compile: copy it from there");
    Some(Finding::error(README, 0, "first-lines", message))
}

/// The first block of code in a language.
fn block<'t>(page: &'t str, language: &str) -> Option<&'t str> {
    let (_, rest) = page.split_once(&format!("```{language}\n"))?;
    rest.split_once("\n```").map(|(block, _)| block)
}

/// Finds links to files that are not there. `exists` is asked with paths relative to the root.
pub(super) fn check_links(path: &str, page: &str, exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let mut findings = Vec::new();
    let mut fenced = false;
    for (number, line) in page.lines().enumerate() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            continue;
        }
        if fenced {
            continue;
        }
        for target in targets(&without_code(line)) {
            if let Some(file) = file_of(path, &target)
                && !exists(&file)
            {
                findings.push(Finding::error(
                    path,
                    number + 1,
                    "links",
                    format!("the link leads nowhere: {target}"),
                ));
            }
        }
    }
    findings
}

/// The line with its `code spans` cut out.
fn without_code(line: &str) -> String {
    line.split('`').step_by(2).collect::<Vec<_>>().join(" ")
}

/// What stands in `](here)` and after `[name]: here`.
fn targets(line: &str) -> Vec<String> {
    let mut targets: Vec<String> = line
        .split("](")
        .skip(1)
        .filter_map(|rest| rest.split([')', ' ']).next())
        .map(|target| target.trim_matches(['<', '>']).to_owned())
        .collect();
    if let Some((name, target)) = line.split_once("]: ")
        && name.starts_with('[')
        && !name.starts_with("[^")
    {
        targets.extend(target.split_whitespace().next().map(str::to_owned));
    }
    targets
}

/// The file in the repository that a link means, relative to the root; `None` if it leads elsewhere.
fn file_of(page: &str, target: &str) -> Option<String> {
    let target = target.split(['#', '?']).next().unwrap_or_default();
    if target.is_empty() || target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    if let Some(from_root) = target.strip_prefix('/') {
        return Some(from_root.to_owned());
    }
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            // Above the root there is nothing of ours: the path keeps its dots and is then not found.
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    Some(if parts.is_empty() {
        ".".to_owned()
    } else {
        parts.join("/")
    })
}

/// Others' packages in `[workspace.dependencies]`.
fn dependencies(manifest: &str) -> impl Iterator<Item = &str> {
    manifest
        .lines()
        .skip_while(|line| line.trim() != "[workspace.dependencies]")
        .skip(1)
        .take_while(|line| !line.starts_with('['))
        .filter(|line| !line.trim_start().starts_with('#') && !line.contains("path ="))
        .filter_map(|line| line.split_once('=').map(|(name, _)| name.trim()))
}

/// Each of others' packages in `[workspace.dependencies]` has a line that begins with its name as code, and no line
/// is about a package that is gone.
pub(super) fn check_dependencies(manifests: &[&str], page: &str) -> Vec<Finding> {
    const RULE: &str = "dependencies";
    let used: Vec<&str> = manifests.iter().flat_map(|manifest| dependencies(manifest)).collect();
    let explained: Vec<(usize, &str)> = page
        .lines()
        .enumerate()
        .filter_map(|(number, line)| line.strip_prefix("- `").map(|rest| (number, rest)))
        .filter_map(|(number, rest)| rest.split_once('`').map(|(name, _)| (number + 1, name)))
        .collect();
    let mut findings = Vec::new();
    for name in &used {
        if !explained.iter().any(|(_, other)| other == name) {
            let message = format!("`{name}` has no line: why this one, and what else was looked at");
            findings.push(Finding::error(DEPENDENCIES, 0, RULE, message));
        }
    }
    for (line, name) in explained {
        if !used.contains(&name) {
            findings.push(Finding::error(
                DEPENDENCIES,
                line,
                RULE,
                format!("`{name}` is no dependency any more"),
            ));
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn broken(path: &str, page: &str) -> Vec<(usize, String)> {
        let there = ["README.md", "docs/protocol.md", "docs", "core/src/lib.rs"];
        let findings = check_links(path, page, |file| there.contains(&file));
        findings
            .into_iter()
            .map(|finding| (finding.line, finding.message))
            .collect()
    }

    #[test]
    fn first_lines_that_differ_or_are_missing_are_found() {
        let page = |lines: &str| format!("text\n```swift\n{lines}\n```\n");
        let check = |readme: &str, other: &str| check_first_lines(readme, "swift", "other.md", other).is_some();
        assert!(!check(&page("let a = 1"), &page("let a = 1")));
        assert!(check(&page("let a = 1"), &page("let a = 2")));
        assert!(check("text", &page("let a = 1")));
        assert!(check("text", "text"));
    }

    #[test]
    fn links_to_what_is_there_and_to_elsewhere_pass() {
        let page = "[a](protocol.md#frames) [b](../README.md) [c](/core/src/lib.rs) [d](https://x.org/y.md) [e](#here) \
                    [f](./ \"title\") [g](mailto:a@b.c)\n[h]: ../core/src/lib.rs\n";
        assert_eq!(broken("docs/glossary.md", page), []);
    }

    #[test]
    fn a_link_to_nothing_is_found_with_its_line() {
        let found = broken("docs/glossary.md", "fine\n[a](protocoll.md#x)\n[b]: ../LICENCE\n");
        assert_eq!(found.len(), 2, "{found:?}");
        assert_eq!(found[0], (2, "the link leads nowhere: protocoll.md#x".to_owned()));
    }

    #[test]
    fn a_link_out_of_the_repository_is_found() {
        assert_eq!(broken("README.md", "[a](../elsewhere.md)").len(), 1);
    }

    #[test]
    fn code_is_not_read_as_links() {
        assert_eq!(broken("README.md", "```\n[a](nowhere)\n```\n`x[i](nowhere)` ok\n"), []);
    }

    const MANIFEST: &str = "[workspace.dependencies]\n# ours\ntombolo = { path = \"x\" }\nserde = \"1\"\n\
                            insta = { version = \"1\" }\n\n[workspace.lints.rust]\nmissing_docs = \"warn\"\n";

    #[test]
    fn every_dependency_of_others_needs_its_line() {
        assert!(check_dependencies(&[MANIFEST], "- `serde`: why\n- `insta`: why\n").is_empty());
        let found = check_dependencies(&[MANIFEST], "- `serde`: why, rather than `insta`\n");
        assert_eq!(found.len(), 1);
        assert!(found[0].message.starts_with("`insta` has no line"), "{}", found[0]);
    }

    #[test]
    fn a_line_about_a_package_that_is_gone_is_found() {
        let found = check_dependencies(&[MANIFEST], "- `serde`: why\n- `insta`: why\n- `rocket`: why\n");
        assert_eq!((found.len(), found[0].line), (1, 3));
    }
}
