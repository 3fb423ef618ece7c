//! The side of a workload that is not the server: a process of its own that gets a job as its argument, does it, and
//! prints one line of JSON.

mod first_sync;
mod flush;
mod live;
mod local;
mod poison;
mod replica;
mod writes;

pub(crate) use first_sync::REPLICA;
pub(crate) use poison::POISON;
pub(crate) use replica::file as replica_file;

use std::io::Write as _;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::error::{During as _, Error};
use crate::host;
use crate::stats::Spread;

/// Where to work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The server's GraphQL address.
    pub(crate) url: String,
    /// The key for it.
    pub(crate) api_key: String,
    /// The schema's file.
    pub(crate) schema: PathBuf,
    /// The folder for replicas.
    pub(crate) directory: PathBuf,
}

/// How raw clients reach the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Link {
    /// `graphql-transport-ws`, one socket for each client.
    WebSocket,
    /// `POST /graphql` on kept connections.
    Http,
}

/// What a worker is to do.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Job {
    /// W1: a new replica takes all flights. Answered by [`Synced`].
    FirstSync(Place),
    /// W2: one replica writes, another one watches. Answered by [`Lived`].
    Live {
        /// Where.
        place: Place,
        /// Mutations.
        samples: usize,
    },
    /// W4: a replica queues mutations offline, then goes online. Answered by [`Flushed`].
    Flush {
        /// Where.
        place: Place,
        /// Mutations.
        queued: usize,
    },
    /// A queue with poison in it is flushed. Answered by [`Poisoned`].
    Poison {
        /// Where.
        place: Place,
        /// What is queued.
        queue: Queue,
    },
    /// W6: the replica of W1, offline, writes and queries. Answered by [`Local`].
    Local {
        /// Where.
        place: Place,
        /// Flights to write, one after the other.
        plain: Vec<String>,
        /// Flights of the list query to write while it is watched.
        watched: Vec<String>,
        /// List queries.
        queries: usize,
    },
    /// W7: raw clients create notes. Answered by [`Written`].
    Writes {
        /// Where.
        place: Place,
        /// How.
        link: Link,
        /// Clients at once.
        clients: usize,
        /// Mutations in all.
        writes: usize,
        /// Tells this run's notes from others'.
        author: String,
    },
}

/// Of [`Job::FirstSync`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Synced {
    /// From the opening of the replica to being up to date.
    pub(crate) seconds: f64,
    /// Peak memory of the worker.
    pub(crate) peak: Option<u64>,
}

/// Of [`Job::Live`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Lived {
    /// From the call of the writer to the answer of the reader's live query.
    pub(crate) latency: Spread,
    /// Of these, the writer's call alone.
    pub(crate) call: Spread,
    /// Peak memory of the worker: two replicas.
    pub(crate) peak: Option<u64>,
}

/// Of [`Job::Flush`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Flushed {
    /// To queue all.
    pub(crate) queueing_seconds: f64,
    /// From going online until nothing is pending.
    pub(crate) flushing_seconds: f64,
    /// Peak memory of the worker.
    pub(crate) peak: Option<u64>,
}

/// What cannot succeed in a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Poison {
    /// Nothing.
    None,
    /// Ten mutations that the server refuses.
    Refused,
    /// Ten mutations that the server fails on, each time.
    Undecidable,
}

/// A queue of [`Job::Poison`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Queue {
    /// Mutations.
    pub(crate) queued: usize,
    /// What of them cannot succeed.
    pub(crate) poison: Poison,
    /// Chains of edits, or each mutation on a record of its own.
    pub(crate) related: bool,
}

/// Of [`Job::Poison`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Poisoned {
    /// From going online until everything has ended that can.
    pub(crate) seconds: f64,
    /// Mutations applied and settled.
    pub(crate) settled: u64,
    /// Mutations that cannot succeed.
    pub(crate) poisoned: u64,
    /// Mutations that depend on those.
    pub(crate) dependents: u64,
    /// Peak memory of the worker.
    pub(crate) peak: Option<u64>,
}

/// Of [`Job::Local`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Local {
    /// A mutation's call.
    pub(crate) write: Spread,
    /// The list query.
    pub(crate) list: Spread,
    /// The list query's answer, to be compared.
    pub(crate) list_answer: serde_json::Value,
    /// From a mutation's call to the answer of a live list query.
    pub(crate) live: Spread,
    /// Peak memory of the worker.
    pub(crate) peak: Option<u64>,
}

/// Of [`Job::Writes`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    /// From the first request to the last answer.
    pub(crate) seconds: f64,
    /// One request.
    pub(crate) latency: Spread,
    /// Peak memory of the worker.
    pub(crate) peak: Option<u64>,
}

/// Does the job that was given as JSON and prints its result.
pub(crate) async fn run(job: &str) -> Result<(), Error> {
    let result = match serde_json::from_str(job)? {
        Job::FirstSync(place) => serde_json::to_string(&first_sync::run(&place).await?)?,
        Job::Live { place, samples } => serde_json::to_string(&live::run(&place, samples).await?)?,
        Job::Flush { place, queued } => serde_json::to_string(&flush::run(&place, queued).await?)?,
        Job::Poison { place, queue } => serde_json::to_string(&poison::run(&place, &queue).await?)?,
        Job::Local {
            place,
            plain,
            watched,
            queries,
        } => serde_json::to_string(&local::run(&place, &plain, &watched, queries).await?)?,
        Job::Writes {
            place,
            link,
            clients,
            writes,
            author,
        } => serde_json::to_string(&writes::run(&place, link, clients, writes, &author).await?)?,
    };
    writeln!(std::io::stdout().lock(), "{result}").during(|| "cannot print the result".to_owned())
}

/// This process's peak memory.
fn peak() -> Option<u64> {
    host::peak_memory(std::process::id())
}
