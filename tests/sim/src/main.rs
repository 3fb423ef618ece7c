//! `cargo xtask sim`: many seeds by hand, or one plan again.
#![allow(clippy::print_stdout, clippy::print_stderr)]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use tombolo_sim::{Plan, Report, run};

/// Plays seeded worlds of replicas and a server under faults and asks the oracles. Example: `cargo xtask sim --seeds 1000`.
#[derive(Parser, Debug)]
#[command(name = "sim")]
struct Args {
    /// How many seeds, from `--first`.
    #[arg(long, default_value_t = 200)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Go on for this many minutes instead of a number of seeds.
    #[arg(long)]
    minutes: Option<f64>,
    /// Operations of a plan, about.
    #[arg(long, default_value_t = 120)]
    length: usize,
    /// Threads; each world stays on one.
    #[arg(long, default_value_t = 2)]
    threads: usize,
    /// Play this plan instead.
    #[arg(long)]
    plan: Option<PathBuf>,
    /// With `--plan`: print every operation, step and message.
    #[arg(long, requires = "plan")]
    trace: bool,
    /// Where a failing plan, cut down, is written.
    #[arg(long, default_value = "target/sim")]
    out: PathBuf,
}

fn main() -> ExitCode {
    let args = Args::parse();
    if let Some(path) = &args.plan {
        return play(path, args.trace);
    }
    let began = Instant::now();
    let until = args.minutes.map(|m| began + Duration::from_secs_f64(m * 60.0));
    let next = AtomicU64::new(args.first);
    let total = Mutex::new(Totals::default());
    std::thread::scope(|scope| {
        for _ in 0..args.threads.max(1) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    let over = until.map_or(seed >= args.first + args.seeds, |until| Instant::now() >= until);
                    if over || total.lock().is_ok_and(|t| t.failed.is_some()) {
                        break;
                    }
                    let plan = Plan::generate(seed, args.length);
                    let report = run(&plan);
                    if let Ok(mut total) = total.lock() {
                        total.add(seed, &report);
                    }
                }
            });
        }
    });
    let Ok(total) = total.into_inner() else {
        return ExitCode::FAILURE;
    };
    total.print(began.elapsed());
    let Some(seed) = total.failed else {
        return ExitCode::SUCCESS;
    };
    fail(&args, seed)
}

fn play(path: &PathBuf, trace: bool) -> ExitCode {
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
    let report = tombolo_sim::play(&plan, trace.then_some(|line| println!("{line}")));
    println!("{report}");
    if report.violation.is_some() {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    }
}

fn fail(args: &Args, seed: u64) -> ExitCode {
    let plan = Plan::generate(seed, args.length);
    let Some(violation) = run(&plan).violation else {
        return ExitCode::FAILURE;
    };
    println!("seed {seed}: {violation}\ncutting the plan down …");
    let small = plan.shrink(|p| run(p).violation.is_some_and(|v| v.oracle == violation.oracle));
    let text = small.to_string();
    println!("{text}");
    if let Some(violation) = run(&small).violation {
        println!("{violation}");
    }
    let path = args.out.join(format!("seed-{seed}.plan"));
    match std::fs::create_dir_all(&args.out).and_then(|()| std::fs::write(&path, text)) {
        Ok(()) => println!(
            "written to {}; play it again with `cargo xtask sim --plan {0}`",
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
    counts: BTreeMap<&'static str, u64>,
    failed: Option<u64>,
}

impl Totals {
    fn add(&mut self, seed: u64, report: &Report) {
        self.worlds += 1;
        self.ops += report.ops;
        self.skipped += report.skipped;
        self.steps += report.steps;
        for (name, count) in &report.counts {
            *self.counts.entry(name).or_default() += count;
        }
        if report.violation.is_some() {
            self.failed = Some(self.failed.map_or(seed, |other| other.min(seed)));
        }
    }

    fn print(&self, took: Duration) {
        println!(
            "{} seeds, {} operations ({} did not apply), {} steps in {:.1} s; violations: {}",
            self.worlds,
            self.ops,
            self.skipped,
            self.steps,
            took.as_secs_f64(),
            u8::from(self.failed.is_some()),
        );
        for (name, count) in &self.counts {
            println!("  {name:<28} {count}");
        }
    }
}
