//! The simulator's own test: bugs kept as patches, each of which it must find.
//!
//! The tracked files are copied to a scratch folder, one patch at a time is applied there, and the simulator is built and
//! run there until a law is broken. The checkout itself is never touched.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use crate::house::{Failed, House, failed};

/// Where the patches stand.
pub(crate) const FOLDER: &str = "tests/sim/planted";

/// Seeds within which each bug must be found: some hundred times what they took when they were planted.
const SEEDS: &str = "20000";

/// Plants one bug after the other; `only` names some of them. Fails if one is not found.
pub(crate) fn run(house: &House, only: &[String]) -> Result<(), Failed> {
    let tree = house.path("target/planted/tree");
    let mut missed = Vec::new();
    for patch in patches(house.root())? {
        let name = patch
            .file_stem()
            .map(|s| s.to_string_lossy().into_owned())
            .unwrap_or_default();
        if !only.is_empty() && !only.contains(&name) {
            continue;
        }
        println!("\n==> {name}");
        let text = fs::read_to_string(&patch).map_err(failed(patch.display()))?;
        print!("{}", text.split("diff --git").next().unwrap_or_default());
        copy(house, &tree)?;
        git_apply(house, &tree, &patch, false)?;
        let cargo = |arguments: &[&str]| {
            let build = house.path("target/planted/build");
            house.cargo(arguments).folder(&tree).env("CARGO_TARGET_DIR", build)
        };
        // A patch that applies and does not build is an error of its own.
        cargo(&["build", "--quiet", "--package", "tombolo-sim"]).run()?;
        let began = Instant::now();
        let (kept, said) = cargo(&["run", "--quiet", "--package", "tombolo-sim", "--", "--seeds", SEEDS]).said()?;
        // Summary and table first, then the violation and the plan.
        let found = said
            .lines()
            .skip_while(|line| !line.starts_with("seed-"))
            .collect::<Vec<_>>();
        if kept || found.is_empty() {
            println!("not found in {SEEDS} seeds");
            missed.push(name);
        } else {
            println!("{}", said.lines().next().unwrap_or_default());
            println!("{}", found.join("\n"));
            println!("found and cut down in {:.0} s", began.elapsed().as_secs_f64());
        }
    }
    copy(house, &tree)?;
    if missed.is_empty() {
        Ok(())
    } else {
        Err(Failed(format!("the simulator did not find: {}", missed.join(", "))))
    }
}

/// All of them, by name.
pub(crate) fn patches(root: &Path) -> Result<Vec<PathBuf>, Failed> {
    let folder = root.join(FOLDER);
    let mut all = Vec::new();
    for entry in fs::read_dir(&folder).map_err(failed(folder.display()))? {
        let path = entry.map_err(failed(folder.display()))?.path();
        if path.extension().is_some_and(|e| e == "patch") {
            all.push(path);
        }
    }
    all.sort();
    Ok(all)
}

/// Applies a patch in `tree`, or only sees whether it would.
pub(crate) fn git_apply(house: &House, tree: &Path, patch: &Path, check: bool) -> Result<(), Failed> {
    let task = house
        .task("git")
        .args(["apply", "--whitespace=nowarn"])
        .args(check.then_some("--check"))
        .args([patch])
        .folder(tree);
    // The scratch folder stands inside a checkout, whose index is none of its business.
    let task = if check {
        task
    } else {
        task.env("GIT_CEILING_DIRECTORIES", tree.parent().unwrap_or(tree))
    };
    task.output().map(drop)
}

/// Makes `tree` hold the tracked files as they stand and nothing else. What is alike is left alone, so that little is built
/// anew.
fn copy(house: &House, tree: &Path) -> Result<(), Failed> {
    let listed = house.task("git").args(["ls-files", "-z"]).output()?;
    let names: BTreeSet<PathBuf> = listed
        .split('\0')
        .filter(|n| !n.is_empty())
        .map(PathBuf::from)
        .collect();
    for name in &names {
        let (from, to) = (house.root().join(name), tree.join(name));
        if !from.is_file() {
            continue;
        }
        let bytes = fs::read(&from).map_err(failed(from.display()))?;
        if fs::read(&to).is_ok_and(|there| there == bytes) {
            continue;
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder).map_err(failed(folder.display()))?;
        }
        fs::write(&to, bytes).map_err(failed(to.display()))?;
    }
    sweep(tree, tree, &names)
}

/// Removes what is not listed.
fn sweep(tree: &Path, folder: &Path, names: &BTreeSet<PathBuf>) -> Result<(), Failed> {
    for entry in fs::read_dir(folder).map_err(failed(folder.display()))? {
        let path = entry.map_err(failed(folder.display()))?.path();
        let name = path.strip_prefix(tree).unwrap_or(&path);
        if path.is_dir() {
            sweep(tree, &path, names)?;
        } else if !names.contains(name) && !name.starts_with("target") {
            fs::remove_file(&path).map_err(failed(path.display()))?;
        }
    }
    Ok(())
}
