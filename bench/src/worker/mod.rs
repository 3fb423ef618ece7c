//! The side of a workload that is not the server: a process of its own that gets a job as its argument, does it, and
//! prints one line of JSON.

mod app;
mod fan_out;
mod first_sync;
mod flush;
mod held;
mod live;
mod local;
mod mqtt;
mod poison;
mod replica;
mod writes;

pub(crate) use app::{App, AppDone};
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
    /// W3: one client writes, all others get it. Answered by [`FannedOut`].
    FanOut(FanOut),
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
    /// W5: connections that do nothing. Answered by [`Held`].
    Held(Hold),
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
    /// W8: what an app does with a replica that is there. Answered by [`AppDone`].
    App(App),
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

/// How subscribers are connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Line {
    /// MQTT of this level (4 is 3.1.1, 5 is 5), with messages of this QoS.
    Mqtt {
        /// 4 or 5.
        level: u8,
        /// 0 or 1.
        qos: u8,
    },
    /// `graphql-transport-ws`.
    WebSocket,
}

/// Of whom subscribers are.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Broker {
    /// `127.0.0.1:PORT` for MQTT, the URL for GraphQL over WebSocket.
    pub(crate) address: String,
    /// The key of a server of ours; without one it is a broker that knows nothing of GraphQL.
    pub(crate) api_key: Option<String>,
}

/// A job of W3.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FanOut {
    /// Whose subscribers.
    pub(crate) broker: Broker,
    /// How.
    pub(crate) line: Line,
    /// How many.
    pub(crate) subscribers: usize,
    /// Writes that all of them get.
    pub(crate) writes: usize,
    /// Tells this run's notes from others'.
    pub(crate) author: String,
    /// What is published to a broker that makes nothing of it.
    pub(crate) payload: String,
}

/// Of [`Job::FanOut`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct FannedOut {
    /// From a write's first byte to its arrival at each subscriber, one write after the other.
    pub(crate) latency: Spread,
    /// Messages that arrived in a second, some writes on their way at any time.
    pub(crate) per_second: f64,
    /// Writes in all, those that warm included.
    pub(crate) writes: usize,
    /// One of the messages.
    pub(crate) payload: String,
    /// Peak memory of the worker.
    pub(crate) peak: Option<u64>,
}

/// A job of W5.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Hold {
    /// Whose connections.
    pub(crate) broker: Broker,
    /// How.
    pub(crate) line: Line,
    /// How many.
    pub(crate) connections: usize,
    /// Whether each has a subscription of GraphQL open.
    pub(crate) subscription: bool,
    /// The process that holds their other ends.
    pub(crate) process: u32,
}

/// Of [`Job::Held`].
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Held {
    /// Memory of the other side before there was any, in bytes; `None` where the system does not tell.
    pub(crate) before: Option<u64>,
    /// The same with all of them.
    pub(crate) after: Option<u64>,
    /// What it took to open them.
    pub(crate) seconds: f64,
    /// Peak memory of the worker.
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
        Job::FanOut(job) => serde_json::to_string(&fan_out::run(&job).await?)?,
        Job::Held(job) => serde_json::to_string(&held::run(&job).await?)?,
        Job::Flush { place, queued } => serde_json::to_string(&flush::run(&place, queued).await?)?,
        Job::Poison { place, queue } => serde_json::to_string(&poison::run(&place, &queue).await?)?,
        Job::Local {
            place,
            plain,
            watched,
            queries,
        } => serde_json::to_string(&local::run(&place, &plain, &watched, queries).await?)?,
        Job::App(job) => serde_json::to_string(&app::run(&job).await?)?,
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
