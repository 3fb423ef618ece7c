//! The command line.

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

/// Rows of the first sync: all flights of the data set.
const ROWS: usize = 336_776;

/// The workloads of the design, each beside its physical limit measured in the same run
#[derive(Clone, Debug, Parser)]
#[command(
    name = "tombolo-bench",
    version,
    after_help = "Examples:\n  \
    cargo xtask bench                          all workloads at their full size, some minutes\n  \
    cargo xtask bench --only w1,w6 --rows 50000\n  \
    cargo xtask bench --only w3,w5             over MQTT, beside Mosquitto\n  \
    cargo xtask bench --only w8 --rows 100000  the SDK as an app has it, and through each language that was built\n  \
    cargo xtask bench --only poison            one mutation in each 1,000 cannot succeed\n  \
    cargo xtask bench --json bench.json\n  \
    cargo run -p tombolo-bench -- --smoke      tiny sizes, proves that everything works"
)]
pub(crate) struct Options {
    /// Workloads to run
    #[arg(long, value_enum, value_delimiter = ',', default_values_t = [Workload::W1, Workload::W2, Workload::W3, Workload::W4, Workload::W5, Workload::W6, Workload::W7, Workload::W8])]
    pub(crate) only: Vec<Workload>,
    /// Rows of the first sync; beyond the data file they are generated
    #[arg(long, default_value_t = ROWS)]
    pub(crate) rows: usize,
    /// Runs of which the median counts
    #[arg(long, default_value_t = 3)]
    pub(crate) runs: usize,
    /// Mutations measured one by one (W2, W6)
    #[arg(long, default_value_t = 500)]
    pub(crate) samples: usize,
    /// Mutations queued offline (W4, poison)
    #[arg(long, default_value_t = 10_000)]
    pub(crate) queued: usize,
    /// Clients that write at once (W7)
    #[arg(long, default_value_t = 64)]
    pub(crate) clients: usize,
    /// Mutations that they write in all (W7)
    #[arg(long, default_value_t = 20_000)]
    pub(crate) writes: usize,
    /// Subscribers of one write (W3)
    #[arg(long, default_value_t = 1_000)]
    pub(crate) subscribers: usize,
    /// Writes that they all get (W3)
    #[arg(long, default_value_t = 200)]
    pub(crate) fan_writes: usize,
    /// Connections held (W5)
    #[arg(long, default_value_t = 10_000)]
    pub(crate) connections: usize,
    /// Tiny sizes and one run: proves that the bench works, its times mean nothing
    #[arg(long)]
    pub(crate) smoke: bool,
    /// Write the report as JSON, too
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// The flights [default: data/flights/Flight.csv, which `cargo xtask data` makes]
    #[arg(long, value_name = "FILE")]
    pub(crate) data: Option<PathBuf>,
    /// Another `tombolo` binary than the one built with this bench
    #[arg(long, value_name = "FILE")]
    pub(crate) server_binary: Option<PathBuf>,
    /// The library as it goes onto a phone, to be weighed (W8)
    #[arg(long, value_name = "FILE")]
    pub(crate) library: Option<PathBuf>,
    /// Where databases are made and removed; on the disk that is to be measured [default: beside this program]
    #[arg(long, value_name = "DIR")]
    pub(crate) directory: Option<PathBuf>,
    /// Leave the databases and logs where they are
    #[arg(long)]
    pub(crate) keep: bool,
    /// What this process is to be, when it is a child of the bench.
    #[command(subcommand)]
    pub(crate) part: Option<Part>,
}

/// A child's part.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Part {
    /// The side that holds replicas or makes load; prints one line of JSON
    #[command(hide = true)]
    Worker {
        /// A job, as JSON.
        job: String,
    },
    /// The server: the `tombolo` command line
    #[command(hide = true, disable_help_flag = true)]
    Server {
        /// What `tombolo` takes.
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        arguments: Vec<String>,
    },
}

/// One workload of the design.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// First sync of N rows
    W1,
    /// Writer to reader's live query
    W2,
    /// One write to many subscribers
    W3,
    /// Queued mutations flushed
    W4,
    /// Connections held
    W5,
    /// Local write and live query on a large replica
    W6,
    /// Mutations per second, durable
    W7,
    /// The SDK as an app has it: size, cold open, and round trips through each language
    W8,
    /// A queue in which some mutations cannot succeed; only when asked for
    Poison,
}

impl Options {
    /// The options with `--smoke` carried out.
    #[must_use]
    pub(crate) fn settled(mut self) -> Self {
        if self.smoke {
            self.rows = 2_500;
            self.runs = 1;
            self.samples = 5;
            self.queued = 60;
            self.clients = 4;
            self.writes = 80;
            self.subscribers = 4;
            self.fan_writes = 5;
            self.connections = 20;
        }
        self.runs = self.runs.max(1);
        self.clients = self.clients.max(1);
        self
    }

    /// Whether `workload` is wanted.
    pub(crate) fn wants(&self, workload: Workload) -> bool {
        self.only.contains(&workload)
    }
}

/// A file of this repository.
pub(crate) fn repository_file(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}
