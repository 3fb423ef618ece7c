//! `cargo xtask sim`: many seeds by hand, or one plan again.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use tombolo_sim::coverage::Coverage;
use tombolo_sim::report::{Group, write_counts};
use tombolo_sim::{Plan, Report, run};

/// How often a long run says how far it is.
const PROGRESS_EVERY: Duration = Duration::from_secs(60);

/// Plays seeded worlds of replicas and a server under faults and asks the oracles. Exit code 1: a law was broken.
#[derive(Parser, Debug)]
#[command(
    name = "cargo xtask sim",
    after_help = "Examples:\n  cargo xtask sim --seeds 1000\n  cargo xtask sim --minutes 30 --from 1000000\n  \
                  cargo xtask sim --plan tests/sim/plans/x.plan --trace"
)]
struct Args {
    /// How many seeds.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    from: u64,
    /// Go on for this many minutes instead of a number of seeds.
    #[arg(long)]
    minutes: Option<f64>,
    /// Operations of a plan, about.
    #[arg(long, default_value_t = 120)]
    length: usize,
    /// Threads; each world stays on one. Default: one for each core.
    #[arg(long)]
    threads: Option<usize>,
    /// Print the plan of the first seed and do not play it.
    #[arg(long)]
    show: bool,
    /// Play this plan instead.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// With `--plan`: print every operation, step and message.
    #[arg(long, requires = "plan")]
    trace: bool,
    /// With `--plan`: cut it down as long as the same law is broken.
    #[arg(long, requires = "plan")]
    shrink: bool,
    /// Where a failing plan, cut down, is written.
    #[arg(long, default_value = "target/sim")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if args.show {
        print!("{}", Plan::generate(args.from, args.length));
        return ExitCode::SUCCESS;
    }
    match &args.plan {
        Some(path) => play(&args, path),
        None => explore(&args),
    }
}

fn explore(args: &Args) -> ExitCode {
    let began = Instant::now();
    let until = args.minutes.map(|m| began + Duration::from_secs_f64(m * 60.0));
    let cores = || std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let threads = args.threads.unwrap_or_else(cores).max(1);
    let next = AtomicU64::new(args.from);
    let total = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let over = until.map_or(seed >= args.from + args.seeds, |until| Instant::now() >= until);
                    if over || total.lock().is_ok_and(|t| t.failed.is_some()) {
                        break;
                    }
                    let report = run(&Plan::generate(seed, args.length));
                    if let Ok(mut total) = total.lock() {
                        total.add(seed, &report);
                        total.progress(began);
                    }
                }
            });
        }
    });
    let Ok(total) = total.into_inner() else {
        return ExitCode::FAILURE;
    };
    println!("{}", total.summary(began.elapsed(), threads));
    match total.failed {
        None => ExitCode::SUCCESS,
        Some(seed) => fail(args, &format!("seed-{seed}"), &Plan::generate(seed, args.length)),
    }
}

fn play(args: &Args, path: &PathBuf) -> ExitCode {
    let plan = match std::fs::read_to_string(path)
        .map_err(|e| e.to_string())
        .and_then(|t| t.parse::<Plan>().map_err(|e| e.to_string()))
    {
        Ok(plan) => plan,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(2);
        }
    };
    let report = tombolo_sim::play(&plan, args.trace.then_some(|line| println!("{line}")));
    println!("{report}");
    if report.violation.is_none() {
        return ExitCode::SUCCESS;
    }
    if args.shrink {
        let name = path.file_stem().map_or_else(|| "plan".into(), |s| s.to_string_lossy());
        return fail(args, &name, &plan);
    }
    ExitCode::FAILURE
}

/// Cuts a failing plan down, prints it and writes it.
fn fail(args: &Args, name: &str, plan: &Plan) -> ExitCode {
    let Some(violation) = run(plan).violation else {
        println!("{name}: the second run kept every law: it is not deterministic");
        return ExitCode::FAILURE;
    };
    println!("{name}: {violation}\ncutting the plan down …");
    let small = plan.shrink(|p| run(p).violation.is_some_and(|v| v.oracle == violation.oracle));
    let text = small.to_string();
    println!("{text}");
    if let Some(violation) = run(&small).violation {
        println!("{violation}");
    }
    let path = args.out.join(format!("{name}.plan"));
    match std::fs::create_dir_all(&args.out).and_then(|()| std::fs::write(&path, text)) {
        Ok(()) => println!(
            "written to {}; play it again with `cargo xtask sim --plan {0} --trace`",
            path.display()
        ),
        Err(error) => eprintln!("{}: {error}", path.display()),
    }
    ExitCode::FAILURE
}

#[derive(Default)]
struct Totals {
    worlds: u64,
    ops: u64,
    skipped: u64,
    steps: u64,
    counts: BTreeMap<(Group, &'static str), u64>,
    coverage: Coverage,
    failed: Option<u64>,
    told: Option<Instant>,
}

impl Totals {
    fn add(&mut self, seed: u64, report: &Report) {
        self.worlds += 1;
        self.ops += report.ops;
        self.skipped += report.skipped;
        self.steps += report.steps;
        for (name, count) in &report.counts {
            *self.counts.entry(*name).or_default() += count;
        }
        self.coverage.add(&report.coverage);
        if report.violation.is_some() {
            self.failed = Some(self.failed.map_or(seed, |other| other.min(seed)));
        }
    }

    fn progress(&mut self, began: Instant) {
        let last = *self.told.get_or_insert(began);
        if last.elapsed() >= PROGRESS_EVERY {
            self.told = Some(Instant::now());
            eprintln!("{} seeds in {:.0} s", self.worlds, began.elapsed().as_secs_f64());
        }
    }

    fn summary(&self, took: Duration, threads: usize) -> String {
        let per = took.as_secs_f64() * 1e3 * threads as f64 / (self.worlds.max(1) as f64);
        let mut text = format!(
            "{} seeds in {:.1} s on {threads} threads ({per:.1} ms of a thread each): {} operations ({} did not apply), {} \
             steps\nviolations: {}\n",
            self.worlds,
            took.as_secs_f64(),
            self.ops,
            self.skipped,
            self.steps,
            u8::from(self.failed.is_some()),
        );
        // Writing into a string does not fail.
        let _ = write_counts(&mut text, &self.counts);
        text.push_str("the machine's state × event table\n");
        text.push_str(&self.coverage.to_string());
        text
    }
}
