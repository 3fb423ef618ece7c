//! Which package may depend on which: the house plan, held against `cargo metadata`.
//!
//! Dependencies point towards `core`. What a row of the table does not list is forbidden, for tests too: a test that
//! needs both sides belongs in `tests/e2e` or `tests/sim`.

use std::path::Path;

use serde_json::Value;

use super::Finding;

const RULE: &str = "arrows";

/// What a package may import of ours.
enum May {
    Import(&'static [&'static str]),
    ImportAnything,
}

const TABLE: &[(&str, May)] = &[
    ("tombolo-core", May::Import(&[])),
    ("tombolo-codegen", May::Import(&["tombolo-core"])),
    ("tombolo-machine", May::Import(&["tombolo-core"])),
    ("tombolo-store", May::Import(&["tombolo-core", "tombolo-machine"])),
    ("tombolo-transport", May::Import(&["tombolo-core"])),
    (
        "tombolo",
        // `tombolo-testing` only with the feature `testing`, which no app ships.
        May::Import(&[
            "tombolo-core",
            "tombolo-machine",
            "tombolo-store",
            "tombolo-transport",
            "tombolo-testing",
            // For its own tests and examples, which use the feature.
            "tombolo",
        ]),
    ),
    ("tombolo-engine", May::Import(&["tombolo-core"])),
    ("tombolo-store-sqlite", May::Import(&["tombolo-core", "tombolo-engine"])),
    // `tombolo client` is a real replica through the public SDK, hence the arrow to `tombolo`.
    (
        "tombolo-server",
        May::Import(&[
            "tombolo-codegen",
            "tombolo-core",
            "tombolo-engine",
            "tombolo-store-sqlite",
            "tombolo",
        ]),
    ),
    (
        "tombolo-sim",
        May::Import(&[
            "tombolo-core",
            "tombolo-machine",
            "tombolo-store",
            "tombolo-engine",
            "tombolo-store-sqlite",
        ]),
    ),
    // The test kit: real replicas against the real engine, in one process.
    (
        "tombolo-testing",
        May::Import(&[
            "tombolo-core",
            "tombolo-machine",
            "tombolo-store",
            "tombolo-transport",
            "tombolo-engine",
            "tombolo-store-sqlite",
        ]),
    ),
    // Generates Rust in its build script, and runs it against the public SDK.
    (
        "tombolo-codegen-tests",
        May::Import(&["tombolo", "tombolo-codegen", "tombolo-core"]),
    ),
    ("tombolo-e2e", May::Import(&["tombolo", "tombolo-server"])),
    // Its phones are replicas through the public SDK; the server is the built binary, which the end-to-end tests find.
    ("tombolo-torture", May::Import(&["tombolo", "tombolo-e2e"])),
    ("tombolo-ffi", May::Import(&["tombolo"])),
    ("tombolo-bindgen", May::Import(&[])),
    ("tombolo-bench", May::ImportAnything),
    ("xtask", May::Import(&[])),
];

/// Packages without I/O, runtime, clock or chance, by package and by folder.
pub(super) const PURE: &[(&str, &str)] = &[
    ("tombolo-core", "core/"),
    ("tombolo-codegen", "codegen/"),
    ("tombolo-machine", "sdk/machine/"),
    ("tombolo-engine", "server/engine/"),
];

/// Packages of others that would bring one of those in.
const IMPURE: &[&str] = &[
    "async-std",
    "axum",
    "getrandom",
    "hyper",
    "hyper-util",
    "rand",
    "reqwest",
    "rusqlite",
    "smol",
    "sqlx",
    "tokio",
    "tokio-postgres",
    "tokio-tungstenite",
];

/// A package of the workspace, as far as the rules look at it.
pub(super) struct Package {
    pub(super) name: String,
    /// Relative to the root.
    pub(super) manifest: String,
    /// The first files of its library and binaries, relative to the root.
    pub(super) openings: Vec<String>,
    dependencies: Vec<Dependency>,
}

struct Dependency {
    name: String,
    for_tests: bool,
}

/// Reads the members out of what `cargo metadata --no-deps` printed.
pub(super) fn packages(metadata: &Value, root: &Path) -> Vec<Package> {
    // Cargo prints the root with symbolic links resolved; ours need not be.
    let root = root.canonicalize().unwrap_or_else(|_| root.to_owned());
    let relative = |value: &Value| {
        let path = Path::new(value.as_str().unwrap_or_default());
        path.strip_prefix(&root)
            .unwrap_or(path)
            .to_string_lossy()
            .replace('\\', "/")
    };
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let is_opening = |target: &Value| list(&target["kind"]).iter().any(|kind| kind == "lib" || kind == "bin");
    list(&metadata["packages"])
        .iter()
        .map(|package| Package {
            name: package["name"].as_str().unwrap_or_default().to_owned(),
            manifest: relative(&package["manifest_path"]),
            openings: list(&package["targets"])
                .iter()
                .filter(|target| is_opening(target))
                .map(|target| relative(&target["src_path"]))
                .collect(),
            dependencies: list(&package["dependencies"])
                .iter()
                .map(|dependency| Dependency {
                    name: dependency["name"].as_str().unwrap_or_default().to_owned(),
                    for_tests: dependency["kind"] == "dev",
                })
                .collect(),
        })
        .collect()
}

/// Whether the table has a row for this package.
#[cfg(test)]
pub(super) fn listed(name: &str) -> bool {
    TABLE.iter().any(|(listed, _)| *listed == name)
}

/// Holds every package against the table.
pub(super) fn check(packages: &[Package]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for package in packages {
        let Some((_, may)) = TABLE.iter().find(|(name, _)| *name == package.name) else {
            let message = format!(
                "`{}` is not in the house plan; give it a row in xtask/src/tidy/arrows.rs",
                package.name
            );
            findings.push(Finding::error(&package.manifest, 0, RULE, message));
            continue;
        };
        let pure = PURE.iter().any(|(name, _)| *name == package.name);
        for Dependency { name, for_tests } in &package.dependencies {
            let ours = packages.iter().any(|other| other.name == *name);
            let allowed = match may {
                May::ImportAnything => true,
                May::Import(names) => names.contains(&name.as_str()) || *name == package.name,
            };
            if ours && !allowed {
                let message = format!(
                    "`{}` must not depend on `{name}`: the house plan has no such arrow",
                    package.name
                );
                findings.push(Finding::error(&package.manifest, 0, RULE, message));
            }
            if pure && !for_tests && IMPURE.contains(&name.as_str()) {
                let message = format!("`{}` is pure and must not depend on `{name}`", package.name);
                findings.push(Finding::error(&package.manifest, 0, RULE, message));
            }
        }
    }
    findings
}

/// The one package that has lints of its own: what uniffi's macros write in it is unsafe, which the workspace forbids.
const OWN_LINTS: &str = "tombolo-ffi";

/// A package that does not take the workspace's lints has none.
pub(super) fn check_lints(package: &Package, manifest: &str) -> Vec<Finding> {
    if package.name == OWN_LINTS {
        return Vec::new();
    }
    let mut lines = manifest
        .lines()
        .map(str::trim)
        .skip_while(|line| *line != "[lints]")
        .skip(1);
    let taken = lines
        .by_ref()
        .take_while(|line| !line.starts_with('['))
        .any(|line| line == "workspace = true");
    if taken {
        return Vec::new();
    }
    vec![Finding::error(
        &package.manifest,
        0,
        "lints",
        "takes no lints: add [lints] workspace = true",
    )]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// Packages by name, each with what it depends on; a name with a `?` in front is a dependency of its tests.
    fn house(plan: &[(&str, &[&str])]) -> Vec<Package> {
        let packages: Vec<Value> = plan
            .iter()
            .map(|(name, dependencies)| {
                let dependencies: Vec<Value> = dependencies
                    .iter()
                    .map(|dependency| match dependency.strip_prefix('?') {
                        Some(name) => json!({ "name": name, "kind": "dev" }),
                        None => json!({ "name": dependency, "kind": null }),
                    })
                    .collect();
                json!({
                    "name": name,
                    "manifest_path": format!("/house/{name}/Cargo.toml"),
                    "dependencies": dependencies,
                    "targets": [
                        { "kind": ["lib"], "src_path": format!("/house/{name}/src/lib.rs") },
                        { "kind": ["test"], "src_path": format!("/house/{name}/tests/all.rs") },
                    ],
                })
            })
            .collect();
        super::packages(&json!({ "packages": packages }), Path::new("/house"))
    }

    fn messages(plan: &[(&str, &[&str])]) -> Vec<String> {
        check(&house(plan)).into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_listed_arrow_and_others_packages_pass() {
        let none: [String; 0] = [];
        assert_eq!(
            messages(&[("tombolo-core", &["serde"]), ("tombolo-machine", &["tombolo-core"])]),
            none
        );
    }

    #[test]
    fn an_arrow_away_from_core_is_found() {
        let found = messages(&[("tombolo-core", &["tombolo-machine"]), ("tombolo-machine", &[])]);
        assert_eq!(
            found,
            ["`tombolo-core` must not depend on `tombolo-machine`: the house plan has no such arrow"]
        );
    }

    #[test]
    fn an_arrow_for_tests_only_is_found_too() {
        let found = messages(&[("tombolo-store", &["?tombolo-server"]), ("tombolo-server", &[])]);
        assert_eq!(found.len(), 1, "{found:?}");
    }

    #[test]
    fn bench_may_import_anything() {
        assert!(messages(&[("tombolo-bench", &["tombolo-server"]), ("tombolo-server", &[])]).is_empty());
    }

    #[test]
    fn a_package_that_the_plan_does_not_know_is_found() {
        assert!(messages(&[("tombolo-shed", &[])])[0].contains("not in the house plan"));
    }

    #[test]
    fn a_runtime_in_a_pure_package_is_found_but_not_in_its_tests() {
        assert_eq!(
            messages(&[("tombolo-engine", &["tokio"])]),
            ["`tombolo-engine` is pure and must not depend on `tokio`"]
        );
        assert!(messages(&[("tombolo-engine", &["?tokio"])]).is_empty());
        assert!(messages(&[("tombolo-store", &["rusqlite"])]).is_empty());
    }

    #[test]
    fn paths_are_relative_and_only_crates_open_with_a_word() {
        let packages = house(&[("tombolo-core", &[])]);
        assert_eq!(packages[0].manifest, "tombolo-core/Cargo.toml");
        assert_eq!(packages[0].openings, ["tombolo-core/src/lib.rs"]);
    }

    #[test]
    fn a_manifest_without_the_workspace_lints_is_found() {
        let package = &house(&[("tombolo-core", &[])])[0];
        assert!(
            check_lints(
                package,
                "[package]\nname = \"x\"\n[lints]\nworkspace = true\n\n[dependencies]\n"
            )
            .is_empty()
        );
        assert_eq!(check_lints(package, "[package]\nversion.workspace = true\n").len(), 1);
        assert_eq!(
            check_lints(package, "[lints]\n[dependencies]\nworkspace = true\n").len(),
            1
        );
    }
}
