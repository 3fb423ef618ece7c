//! `cargo xtask fuzz`: builds the targets of `tests/fuzz` with coverage and runs them.
//!
//! What cargo-fuzz would do, without it and without a nightly compiler: the flags below have the stable compiler note
//! which edges ran and what was compared, libFuzzer (which `libfuzzer-sys` brings and builds with the C++ compiler that is
//! there) uses it to choose its next inputs. No sanitizer is built in: the products hold no unsafe code of their own.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use crate::house::{Failed, House, failed};
use crate::{steps, tools};

pub(crate) const MANIFEST: &str = "tests/fuzz/Cargo.toml";
const CORPUS: &str = "tests/fuzz/corpus";

/// What instruments a crate for libFuzzer.
const FLAGS: &str = "-Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                     -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
                     -Cllvm-args=-sanitizer-coverage-trace-compares";

/// Longest input, in bytes: longer ones find little more and run long.
const INPUT_BYTES_MAX: u32 = 4096;

/// How slowly libFuzzer lets inputs grow, 0 to 100: its own 100 keeps them at a few bytes for the first minutes.
const LENGTH_CONTROL: u32 = 10;

/// Longest time of one run, in seconds: an endless loop is told as such.
const RUN_SECONDS_MAX: u32 = 20;

/// Longest time of one target in CI, in seconds, whatever its runs: eleven targets stay below a minute and a half.
const CI_SECONDS_MAX: u64 = 8;

/// How much the compiler optimises for CI: the targets' runs there take seconds, and building them takes minutes. By hand,
/// where runs are long, the profile's own level holds.
const CI_OPT_LEVEL: &str = "1";

/// Files kept of a corpus that is minimised for the repository.
const CORPUS_FILES_MAX: usize = 50;

/// Files of a corpus that begin so were written by hand, and stay.
const BY_HAND: &str = "seed-";

/// A target of `tests/fuzz`.
struct Target {
    name: &'static str,
    /// The words that it is made of.
    dictionary: &'static str,
    /// Runs in CI: some four seconds on one core of 2020.
    runs: u64,
}

const TARGETS: &[Target] = &[
    target("sdl", "graphql", 2_000),
    target("schema_diff", "graphql", 1_000),
    target("document", "graphql", 5_000),
    target("variables", "json", 40_000),
    target("client_frames", "json", 8_000),
    target("server_frames", "json", 8_000),
    target("batch", "json", 40_000),
    target("cursor", "json", 12_000),
    target("filter", "json", 60_000),
    target("local_file", "json", 300),
    target("mqtt", "mqtt", 1_000),
];

const fn target(name: &'static str, dictionary: &'static str, runs: u64) -> Target {
    Target { name, dictionary, runs }
}

/// What is asked for.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Only this target
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
    /// Run each target for so long
    #[arg(long, conflicts_with = "runs")]
    seconds: Option<u64>,
    /// Run each target so often; without this and `--seconds` as often as CI does
    #[arg(long)]
    runs: Option<u64>,
    /// Afterwards take what was found into the corpus of the repository, minimised
    #[arg(long)]
    merge: bool,
}

/// Until when a target runs.
#[derive(Clone, Copy)]
enum Until {
    /// As often as CI runs it, from the corpus of the repository alone.
    Ci,
    Seconds(u64),
    Runs(u64),
}

/// Builds the targets and runs them.
pub(crate) fn run(house: &House, options: &Options) -> Result<(), Failed> {
    let targets: Vec<&Target> = match &options.target {
        None => TARGETS.iter().collect(),
        Some(name) => vec![named(name)?],
    };
    let until = match (options.seconds, options.runs) {
        (Some(seconds), _) => Until::Seconds(seconds),
        (None, Some(runs)) => Until::Runs(runs),
        (None, None) => Until::Ci,
    };
    let place = Place::build(house, &targets, until)?;
    run_all(&place, &targets, until)?;
    if options.merge {
        for target in targets {
            place.merge(target)?;
        }
    }
    Ok(())
}

/// The CI step: every target, so often, from the same seed.
pub(crate) fn step(house: &House) -> Result<(), Failed> {
    let targets: Vec<&Target> = TARGETS.iter().collect();
    let place = Place::build(house, &targets, Until::Ci)?;
    run_all(&place, &targets, Until::Ci)
}

fn named(name: &str) -> Result<&'static Target, Failed> {
    TARGETS.iter().find(|target| target.name == name).ok_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        Failed(format!(
            "there is no target `{name}`; the targets are {}",
            names.join(", ")
        ))
    })
}

fn run_all(place: &Place, targets: &[&Target], until: Until) -> Result<(), Failed> {
    println!(
        "  {:<14} {:>12} {:>9} {:>8} {:>8}",
        "target", "executions", "a second", "edges", "time"
    );
    let mut wrong = Vec::new();
    for target in targets {
        let begin = Instant::now();
        let (ran, log) = place.run(target, until)?;
        let said = Said::read(&String::from_utf8_lossy(
            &fs::read(&log).map_err(failed(log.display()))?,
        ));
        let seconds = begin.elapsed().as_secs_f64();
        println!(
            "  {:<14} {:>12} {:>9.0} {:>8} {seconds:>6.1} s",
            target.name,
            said.executions,
            said.executions as f64 / seconds.max(0.001),
            said.edges
        );
        if !ran {
            println!("{}", said.fault);
            wrong.push(format!("{} ({})", target.name, log.display()));
        }
    }
    if wrong.is_empty() {
        return Ok(());
    }
    Err(Failed(format!(
        "found something: {}; the input is in {}, and `tests/fuzz`'s binary of that name takes it as its argument",
        wrong.join(", "),
        place.artifacts.display()
    )))
}

/// What libFuzzer said.
#[derive(Debug, Default, PartialEq)]
struct Said {
    executions: u64,
    edges: u64,
    /// The panic and what follows it.
    fault: String,
}

impl Said {
    fn read(log: &str) -> Self {
        let after = |line: &str, mark: &str| {
            let (_, rest) = line.split_once(mark)?;
            let digits: String = rest.trim_start().chars().take_while(char::is_ascii_digit).collect();
            digits.parse::<u64>().ok()
        };
        let mut said = Self::default();
        for line in log.lines() {
            if let Some(executions) = after(line, "stat::number_of_executed_units:") {
                said.executions = executions;
            }
            if let Some(edges) = after(line, " cov: ") {
                said.edges = edges;
            }
        }
        let fault = log
            .lines()
            .skip_while(|line| !line.contains("panicked at") && !line.contains("ERROR: libFuzzer"));
        said.fault = fault.take(12).collect::<Vec<_>>().join("\n");
        said
    }
}

/// Where things are.
struct Place {
    root: PathBuf,
    binaries: PathBuf,
    /// What runs have found, kept between them.
    found: PathBuf,
    artifacts: PathBuf,
    logs: PathBuf,
}

impl Place {
    /// The lock file may follow the products' manifests in CI too: nothing that is shipped comes from it.
    fn build(house: &House, targets: &[&Target], until: Until) -> Result<Self, Failed> {
        tools::ensure(house, &[tools::CXX])?;
        let folder = steps::target_folder(house)?.join("fuzz");
        let host = host(house)?;
        let mut build = house
            .cargo(&["build", "--release", "--manifest-path", MANIFEST, "--target", &host])
            .args(["--target-dir"])
            .args([folder.as_os_str()]);
        if let [only] = targets {
            build = build.args(["--bin", only.name]);
        }
        match until {
            Until::Ci => build = build.env("CARGO_PROFILE_RELEASE_OPT_LEVEL", CI_OPT_LEVEL),
            Until::Seconds(_) | Until::Runs(_) => {}
        }
        // For the target alone, not for build scripts: hence `--target`, though it is this machine's.
        build.env("RUSTFLAGS", FLAGS).env("CARGO_INCREMENTAL", "0").run()?;
        let place = Self {
            root: house.root().to_owned(),
            binaries: folder.join(host).join("release"),
            found: folder.join("found"),
            artifacts: folder.join("artifacts"),
            logs: folder.join("logs"),
        };
        for folder in [&place.artifacts, &place.logs] {
            fs::create_dir_all(folder).map_err(failed(folder.display()))?;
        }
        Ok(place)
    }

    fn corpus(&self, target: &Target) -> PathBuf {
        self.root.join(CORPUS).join(target.name)
    }

    fn command(&self, target: &Target) -> Command {
        let mut command = Command::new(self.binaries.join(target.name));
        command
            .current_dir(&self.root)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // The panic's own words say where; libFuzzer's trace of itself says nothing.
            .env("RUST_BACKTRACE", "0");
        command
    }

    /// Runs a target; whether it found nothing, and its log.
    fn run(&self, target: &Target, until: Until) -> Result<(bool, PathBuf), Failed> {
        let mut command = self.command(target);
        command
            .arg(format!("-max_len={INPUT_BYTES_MAX}"))
            .arg(format!("-timeout={RUN_SECONDS_MAX}"))
            .arg(format!("-len_control={LENGTH_CONTROL}"))
            .arg(format!("-dict=tests/fuzz/dict/{}.dict", target.dictionary))
            .arg(format!(
                "-artifact_prefix={}/{}-",
                self.artifacts.display(),
                target.name
            ))
            .arg("-print_final_stats=1");
        let corpus = self.corpus(target);
        match until {
            Until::Ci => {
                command.args(["-seed=1".to_owned(), format!("-runs={}", target.runs)]);
                command.arg(format!("-max_total_time={CI_SECONDS_MAX}"));
                // New inputs are not kept: each run of CI begins at the same place.
                let empty = self.found.join(format!("{}-ci", target.name));
                renew(&empty)?;
                command.arg(empty);
            }
            Until::Seconds(_) | Until::Runs(_) => {
                match until {
                    Until::Seconds(seconds) => command.arg(format!("-max_total_time={seconds}")),
                    Until::Runs(runs) => command.arg(format!("-runs={runs}")),
                    Until::Ci => &mut command,
                };
                let found = self.found.join(target.name);
                fs::create_dir_all(&found).map_err(failed(found.display()))?;
                command.arg(found);
            }
        }
        let log = self.logs.join(format!("{}.log", target.name));
        let file = File::create(&log).map_err(failed(log.display()))?;
        let status = command.arg(corpus).stderr(file).status().map_err(failed(target.name))?;
        Ok((status.success(), log))
    }

    /// Writes the smallest set of inputs that reaches what all known ones reach into the repository; of a set that is still
    /// large, what was written by hand and the shortest.
    fn merge(&self, target: &Target) -> Result<(), Failed> {
        let corpus = self.corpus(target);
        let merged = self.found.join(format!("{}-merged", target.name));
        renew(&merged)?;
        let log = self.logs.join(format!("{}-merge.log", target.name));
        let file = File::create(&log).map_err(failed(log.display()))?;
        let mut command = self.command(target);
        command.args(["-set_cover_merge=1", &format!("-max_len={INPUT_BYTES_MAX}")]);
        command.args([&merged, &corpus, &self.found.join(target.name)]);
        let status = command.stderr(file).status().map_err(failed(target.name))?;
        if !status.success() {
            return Err(Failed(format!(
                "{} cannot be merged: see {}",
                target.name,
                log.display()
            )));
        }
        let by_hand: Vec<PathBuf> = files(&corpus)?.into_iter().filter(|file| is_by_hand(file)).collect();
        for file in files(&corpus)? {
            if !is_by_hand(&file) {
                fs::remove_file(&file).map_err(failed(file.display()))?;
            }
        }
        let mut found: Vec<(u64, PathBuf)> = files(&merged)?
            .into_iter()
            .map(|file| (file.metadata().map_or(u64::MAX, |about| about.len()), file))
            .collect();
        found.sort();
        let known: Vec<Vec<u8>> = by_hand.iter().filter_map(|file| fs::read(file).ok()).collect();
        let mut kept = by_hand.len();
        for (_, file) in found {
            let bytes = fs::read(&file).map_err(failed(file.display()))?;
            if kept < CORPUS_FILES_MAX && !known.contains(&bytes) {
                let name = file.file_name().unwrap_or_default();
                fs::copy(&file, corpus.join(name)).map_err(failed(file.display()))?;
                kept += 1;
            }
        }
        println!("  {:<14} {kept} files in its corpus", target.name);
        Ok(())
    }
}

fn is_by_hand(file: &Path) -> bool {
    file.file_name()
        .is_some_and(|name| name.to_string_lossy().starts_with(BY_HAND))
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failed> {
    let entries = fs::read_dir(folder).map_err(failed(folder.display()))?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(failed(folder.display()))?;
    files.sort();
    Ok(files)
}

/// An empty folder.
fn renew(folder: &Path) -> Result<(), Failed> {
    if folder.exists() {
        fs::remove_dir_all(folder).map_err(failed(folder.display()))?;
    }
    fs::create_dir_all(folder).map_err(failed(folder.display()))
}

/// This machine as the compiler calls it.
fn host(house: &House) -> Result<String, Failed> {
    let said = house.task("rustc").args(["-vV"]).output()?;
    said.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_owned)
        .ok_or_else(|| Failed("`rustc -vV` names no host".to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn every_target_is_in_the_table_and_has_a_small_corpus() {
        let mut there: Vec<String> = files(&root().join("tests/fuzz/targets"))
            .unwrap()
            .iter()
            .map(|file| file.file_stem().unwrap().to_string_lossy().into_owned())
            .collect();
        let mut listed: Vec<String> = TARGETS.iter().map(|target| target.name.to_owned()).collect();
        there.sort();
        listed.sort();
        assert_eq!(there, listed);
        for target in TARGETS {
            let corpus = files(&root().join(CORPUS).join(target.name)).unwrap();
            assert!(
                (1..=CORPUS_FILES_MAX).contains(&corpus.len()),
                "{}: {}",
                target.name,
                corpus.len()
            );
        }
    }

    #[test]
    fn ci_never_takes_longer_than_it_may() {
        assert!(CI_SECONDS_MAX * TARGETS.len() as u64 <= 90);
    }

    #[test]
    fn what_libfuzzer_says_is_read() {
        let log = "#2\tINITED cov: 11 ft: 12\n#640\tDONE   cov: 8258 ft: 18937 corp: 5/6Kb\n\
                   stat::number_of_executed_units: 11282\nthread '<unnamed>' panicked at a.rs:1:2:\nno\n==1== ERROR: libFuzzer: x\n";
        let said = Said::read(log);
        assert_eq!((said.executions, said.edges), (11_282, 8_258));
        assert!(
            said.fault.starts_with("thread '<unnamed>' panicked at a.rs:1:2:\nno\n"),
            "{}",
            said.fault
        );
        assert_eq!(Said::read("").fault, "");
    }

    #[test]
    fn an_unknown_target_is_refused_with_the_names_there_are() {
        let Err(failed) = named("nothing") else {
            panic!("`nothing` is no target")
        };
        assert!(
            failed.0.contains("no target `nothing`") && failed.0.contains("local_file"),
            "{failed}"
        );
    }
}
