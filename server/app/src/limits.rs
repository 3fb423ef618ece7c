//! The limits of the listeners and the writer's queue: name, unit, default, reason. Limits of documents, pages and
//! records stand in `tombolo_core::limits`, those of the feed in the engine, those of one way of showing who one is in its
//! module of [`auth`](crate::auth), those of the conflict resolver in [`resolver`](crate::resolver).

use std::time::Duration;

/// Most connections held at once, WebSockets included. An idle socket costs about 17 kB (the bench's W5), so the
/// default stays below 200 MB; the operating system's limit on open files must be above it. At the limit new
/// connections wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 10_000;

/// Largest HTTP request body and WebSocket message, in bytes: a document of 1 MiB (`DOCUMENT_BYTES_MAX`) with ten
/// records of the largest size in its variables.
pub const BODY_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Longest time from the opening of a connection, or from the end of the last answer on it, to the end of the next
/// request's headers. Ends idle and dawdling connections alike.
pub const HEADER_READ_TIMEOUT: Duration = Duration::from_secs(60);

/// Longest time for a request's body to arrive: [`BODY_BYTES_MAX`] over a poor mobile link (1.4 Mbit/s).
pub const BODY_READ_TIMEOUT: Duration = Duration::from_secs(30);

/// Most bytes of a request's line and headers: four times what browsers send.
pub const HEADER_BYTES_MAX: usize = 32 * 1024;

/// Read and write buffer of a WebSocket, in bytes. Measured: an idle socket holds 131 kB with the library's default and
/// under 5 kB with this.
pub const SOCKET_BUFFER_BYTES: usize = 4096;

/// Longest wait for `connection_init` on a new WebSocket: a mobile network's worst round trips and a credential fetched
/// from a keychain.
pub const INIT_TIMEOUT: Duration = Duration::from_secs(10);

/// A WebSocket gets a ping this often. Below the 30 to 60 s after which mobile carriers and load balancers forget idle
/// connections.
pub const PING_INTERVAL: Duration = Duration::from_secs(25);

/// A WebSocket on which nothing has come in for this long (not even a pong) is given up: two pings unanswered.
pub const SILENCE_TIMEOUT: Duration = Duration::from_secs(60);

/// A frame that the socket does not take for this long ends the session: the other side has stopped reading. Its replica
/// returns with its cursor and loses nothing.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(30);

/// The wall clock is looked at this often while the end of a socket's credential is waited for, since it can be set while we
/// wait: how much too long a socket may stay open then.
pub const EXPIRY_CHECK_INTERVAL: Duration = Duration::from_secs(60);

/// Time given to the other side to answer a close frame.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Frames waiting for one socket. A subscription pulls its next batch only when its last one has found a place here, so
/// this and the number of subscriptions bound what a slow reader can hold.
pub const OUTGOING_FRAMES: usize = 4;

/// Most frames written before a flush: a socket for which there is always one more frame is flushed, and gets its ping, all
/// the same.
pub const FRAMES_PER_FLUSH: usize = 64;

/// Most mutations of one socket in work at once, from the queue until the other side has taken the answer; the next frame is
/// looked at when one is done. Twice the window in which a replica pipelines its mutations, so that group commit has something
/// to group.
pub const MUTATIONS_IN_FLIGHT_MAX: usize = 512;

/// The same for queries, whose answers are larger, a page of a mebibyte: with 32 a client that asks and takes no answer holds
/// tens of mebibytes, and one that does take them waits for nothing.
pub const QUERIES_IN_FLIGHT_MAX: usize = 32;

/// Most subscriptions open on one socket: DataStore opens three for each model and gives up real time altogether when one is
/// refused, so this is three times what 100 models need. Measured: one costs 7 kB, a socket without any 9 kB.
pub const SUBSCRIPTIONS_MAX: usize = 1000;

/// On AppSync's sockets a `ka` goes out at least this often: its clients are uneasy after 65 s without one, and two of these
/// may be late.
pub const KEEP_ALIVE_MAX: Duration = Duration::from_secs(30);

/// After this much silence of the server AppSync's clients give a socket up: what AppSync tells them.
pub const CONNECTION_TIMEOUT: Duration = Duration::from_secs(300);

/// A `start_ack` waits for so long. The Android client notes the subscription's id only after it has written `start`, and an
/// answer for an id that it has not noted is an error of all its subscriptions.
pub const START_ACK_DELAY: Duration = Duration::from_millis(10);

/// Most `start`s of one socket whose credentials are being looked at; then no further frame is read. An authorizer function
/// takes some 100 ms, and DataStore starts 300 at once.
pub const ADMISSIONS_MAX: usize = 64;

/// Largest frame on AppSync's sockets, in bytes: a document of 1 MiB (`DOCUMENT_BYTES_MAX`) escaped within a JSON string.
pub const START_BYTES_MAX: usize = 2 * 1024 * 1024;

/// A socket whose handshake's credential has expired and on which nothing is open is closed after this: time to begin
/// something with a newer one.
pub const IDLE_GRACE: Duration = Duration::from_secs(30);

/// Longest operation id, in bytes: a UUID has 36.
pub const OPERATION_ID_BYTES_MAX: usize = 256;

/// Mutations waiting for the writer. When it is full, requests wait: a mutation is never shed. At 10 000 mutations a
/// second this is under half a second's work.
pub const WRITER_QUEUE_MAX: usize = 4096;

/// Longest time from its arrival for which a mutation of a client that is none of our replicas is held, when the server is still
/// starting, the store cannot take it for now (its file is locked, its disk full), or an issuer, the authorizer function or the
/// conflict resolver does not answer. Such clients throw a mutation away that is refused with
/// 5xx; AppSync itself ends a request after 30 s.
pub const MUTATION_HOLD: Duration = Duration::from_secs(20);

/// The pause before a held mutation is tried a second time; it doubles from then on.
pub const HOLD_PAUSE_MIN: Duration = Duration::from_millis(50);

/// The longest pause between two tries of a held mutation.
pub const HOLD_PAUSE_MAX: Duration = Duration::from_secs(2);

/// Bytes of requests that are held because nobody can tell who sends them: 64 MiB of bodies, some 12 of the largest or
/// 60,000 small ones. Beyond it a request is answered with 503 at once.
pub const HELD_ADMISSION_BYTES_MAX: usize = 64 << 20;

/// The pauses between tries of what is held: [`HOLD_PAUSE_MIN`], doubled each time up to [`HOLD_PAUSE_MAX`].
#[derive(Debug, Default)]
pub(crate) struct HoldPauses(Duration);

impl HoldPauses {
    pub(crate) fn next(&mut self) -> Duration {
        self.0 = (self.0 * 2).clamp(HOLD_PAUSE_MIN, HOLD_PAUSE_MAX);
        self.0
    }
}

/// What AppSync's older hand-shake leaves waits for its client for so long: a name to be looked up and a TLS connection to be made
/// on a mobile network's worst minute. Its client connects at once, or gives the subscription up.
pub const TICKET_HOLD: Duration = Duration::from_secs(60);

/// Longest time for a TLS handshake: a mobile network's worst round trips, twice.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// The certificate's files are looked at this often; a new certificate is in force at the latest then.
pub const CERTIFICATE_CHECK_INTERVAL: Duration = Duration::from_secs(10);

/// Identities whose rates are remembered. Only one that asked within its burst's time is, so that this many must ask at once
/// before any is forgotten early (and gets a fresh burst).
pub const RATED_IDENTITIES_MAX: usize = 100_000;

/// Most submissions in one transaction. One fsync for 256 mutations costs each of them little, and the first of them
/// does not wait long.
pub const BATCH_MAX: usize = 256;

/// Longest time for a shutdown to finish what was accepted; then the process ends all the same. Below the 30 s after
/// which Kubernetes kills.
pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(20);

/// Answers shorter than this many bytes are not compressed: gzip would save less than a network packet.
pub const COMPRESS_BYTES_MIN: u64 = 1024;

/// The limits that a configuration may change (`[limits]`); the rest are constants.
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// [`CONNECTIONS_MAX`].
    pub connections_max: usize,
    /// [`BODY_BYTES_MAX`].
    pub body_bytes_max: usize,
    /// [`HEADER_READ_TIMEOUT`], in milliseconds.
    pub header_read_timeout_ms: u64,
    /// [`BODY_READ_TIMEOUT`], in milliseconds.
    pub body_read_timeout_ms: u64,
    /// [`INIT_TIMEOUT`], in milliseconds.
    pub init_timeout_ms: u64,
    /// [`PING_INTERVAL`], in milliseconds.
    pub ping_interval_ms: u64,
    /// [`SILENCE_TIMEOUT`], in milliseconds.
    pub silence_timeout_ms: u64,
    /// [`SUBSCRIPTIONS_MAX`].
    pub subscriptions_max: usize,
    /// [`WRITER_QUEUE_MAX`].
    pub writer_queue_max: usize,
    /// [`BATCH_MAX`].
    pub batch_max: usize,
    /// [`MUTATION_HOLD`], in milliseconds.
    pub mutation_hold_ms: u64,
    /// [`TICKET_HOLD`], in milliseconds.
    pub ticket_hold_ms: u64,
    /// [`SHUTDOWN_TIMEOUT`], in milliseconds.
    pub shutdown_timeout_ms: u64,
}

impl Default for Limits {
    fn default() -> Self {
        let ms = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        Self {
            connections_max: CONNECTIONS_MAX,
            body_bytes_max: BODY_BYTES_MAX,
            header_read_timeout_ms: ms(HEADER_READ_TIMEOUT),
            body_read_timeout_ms: ms(BODY_READ_TIMEOUT),
            init_timeout_ms: ms(INIT_TIMEOUT),
            ping_interval_ms: ms(PING_INTERVAL),
            silence_timeout_ms: ms(SILENCE_TIMEOUT),
            subscriptions_max: SUBSCRIPTIONS_MAX,
            writer_queue_max: WRITER_QUEUE_MAX,
            batch_max: BATCH_MAX,
            mutation_hold_ms: ms(MUTATION_HOLD),
            ticket_hold_ms: ms(TICKET_HOLD),
            shutdown_timeout_ms: ms(SHUTDOWN_TIMEOUT),
        }
    }
}

impl Limits {
    /// What is wrong with them, by key: none may be 0, for a server that takes no connection serves no one.
    #[must_use]
    pub fn problems(&self) -> Vec<(String, String)> {
        let table = toml::Table::try_from(self).unwrap_or_default();
        let zeros = table.iter().filter(|(_, value)| value.as_integer() == Some(0));
        let mut problems: Vec<_> = zeros
            .map(|(key, _)| (key.clone(), "is 0; leave it out for the default".to_owned()))
            .collect();
        if self.silence_timeout_ms > 0 && self.ping_interval_ms >= self.silence_timeout_ms {
            problems.push((
                "ping_interval_ms".to_owned(),
                format!(
                    "is {} and silence_timeout_ms is {}: a socket would be given up before it is asked; make it less than half",
                    self.ping_interval_ms, self.silence_timeout_ms
                ),
            ));
        }
        problems
    }
}
