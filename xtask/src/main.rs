//! What the house does with itself: one command for what CI runs, the example data, and rules that no linter knows.
//!
//! Run as `cargo xtask COMMAND` (the alias stands in `.cargo/config.toml`). It uses the tools that are there, installs
//! what is missing where it may, and otherwise says what to install. Nothing here is part of a product: no other
//! package may depend on it.
#![allow(clippy::print_stdout, clippy::print_stderr)] // A command line: its output is what it is for.

mod bindings;
mod data;
mod fuzz;
mod house;
mod planted;
mod steps;
mod tidy;
mod tools;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::house::{Failed, House};

#[derive(Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    about = "What CI runs, the example data, the house rules"
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Bring the 336,776 flights of the example into data/flights/Flight.csv
    #[command(after_help = "Example:\n  cargo xtask data")]
    Data {
        /// Also write the small tables and the sample that stand in examples/flights/data
        #[arg(long)]
        examples: bool,
    },
    /// Install what tests need and is missing, then run every check and every test
    #[command(after_help = "Examples:\n  cargo xtask test\n  cargo xtask test --only fmt,clippy,tidy")]
    Test {
        /// Only these steps, by the names that the summary shows
        #[arg(long, value_delimiter = ',', value_name = "STEP")]
        only: Vec<String>,
    },
    /// What CI runs: `test`, with the lock file as it stands and nothing kept for a next build
    Ci,
    /// Build the library for other languages and write its Kotlin, Swift and Python sides
    Bindings,
    /// Check the house rules that no linter knows
    Tidy,
    /// Run the upgrade matrix and print its table: kinds of schema change × versions apart × what waits in the queue
    Matrix,
    /// Run the simulator; everything after `sim` goes to it. `sim --planted [NAME…]` tests the simulator itself: bugs kept
    /// as patches, each of which it must find
    #[command(disable_help_flag = true)]
    Sim {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Kill server and phones again and again, then check the books; everything after `torture` goes to it
    #[command(
        disable_help_flag = true,
        after_help = "Examples:\n  cargo xtask torture --rounds 300\n  cargo xtask torture --release --rounds 300 --seed 7"
    )]
    Torture {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
    /// Build the fuzz targets with coverage and run them
    #[command(
        after_help = "Examples:\n  cargo xtask fuzz\n  cargo xtask fuzz --target sdl --seconds 600\n  cargo xtask fuzz --seconds 60 --merge"
    )]
    Fuzz(fuzz::Options),
    /// Run the workloads; everything after `bench` goes to them
    #[command(disable_help_flag = true)]
    Bench {
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

fn main() -> ExitCode {
    match run(Arguments::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("error: {failed}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<(), Failed> {
    let house = House::find()?;
    match command {
        Command::Data { examples } => data::run(&house, examples),
        Command::Test { only } => steps::run(&house, &only, steps::Mode::Daily),
        Command::Ci => steps::run(&house, &[], steps::Mode::Ci),
        Command::Bindings => bindings::generate(&house, steps::Mode::Daily, bindings::ALONE)
            .map(|library| println!("{}", library.display())),
        Command::Tidy => tidy::run(&house),
        Command::Matrix => house
            .cargo(&[
                "test",
                "--package",
                "tombolo-sim",
                "--test",
                "upgrade",
                "--",
                "--nocapture",
            ])
            .run(),
        Command::Sim { arguments } if arguments.first().is_some_and(|first| first == "--planted") => {
            planted::run(&house, arguments.get(1..).unwrap_or_default())
        }
        Command::Sim { arguments } => house
            .cargo(&["run", "--release", "--package", "tombolo-sim", "--"])
            .args(arguments)
            .run(),
        Command::Torture { arguments } => torture(&house, arguments),
        Command::Fuzz(options) => fuzz::run(&house, &options),
        Command::Bench { arguments } => house
            .cargo(&["run", "--release", "--package", "tombolo-bench", "--"])
            .args(arguments)
            .run(),
    }
}

/// Builds the server and the torture, in the daily profile or, with `--release` among the arguments, as it is shipped.
fn torture(house: &House, mut arguments: Vec<String>) -> Result<(), Failed> {
    let count = arguments.len();
    arguments.retain(|argument| argument != "--release");
    let release = arguments.len() < count;
    let mut build = house.cargo(&[
        "build",
        "--package",
        "tombolo-server",
        "--package",
        "tombolo-torture",
        "--bins",
    ]);
    if release {
        build = build.args(["--release"]);
    }
    build.run()?;
    let profile = if release { "release" } else { "debug" };
    let name = format!("tombolo-torture{}", std::env::consts::EXE_SUFFIX);
    let binary = steps::target_folder(house)?.join(profile).join(name);
    house.task(binary).args(arguments).run()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_follows_sim_goes_to_the_simulator() {
        let parsed = Arguments::parse_from(["xtask", "sim", "--help", "--seeds", "3"]);
        let Command::Sim { arguments } = parsed.command else {
            panic!("not sim")
        };
        assert_eq!(arguments, ["--help", "--seeds", "3"]);
    }

    #[test]
    fn steps_are_chosen_with_commas() {
        let parsed = Arguments::parse_from(["xtask", "test", "--only", "fmt,tidy"]);
        let Command::Test { only } = parsed.command else {
            panic!("not test")
        };
        assert_eq!(only, ["fmt", "tidy"]);
    }
}
