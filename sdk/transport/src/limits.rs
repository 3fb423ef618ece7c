//! Every limit that the transports enforce: name, unit, default, reason.

use std::time::Duration;

/// Messages that wait in a link to be sent: twice the machine's window of mutations in flight; a caller that reaches it is
/// not receiving.
pub const OUTGOING_MESSAGES_MAX: usize = 512;

/// Largest WebSocket message taken, in bytes. A live batch holds at most 500 rows of at most 400 kB by the schema's
/// limits, and some 300 B in practice: 64 MiB leaves room and still fits a phone.
pub const MESSAGE_BYTES_MAX: usize = 64 << 20;

/// Largest WebSocket frame taken, in bytes. Servers send a message as one frame.
pub const FRAME_BYTES_MAX: usize = 64 << 20;

/// Read and write buffers of a socket, in bytes. The library's own default of 128 KiB a socket is 27 times the memory
/// for no measurable speed.
pub const SOCKET_BUFFER_BYTES: usize = 4 << 10;

/// Bytes that may wait in a socket's write buffer before sending fails, on top of one message.
pub const WRITE_BUFFER_BYTES_MAX: usize = 4 << 20;

/// Largest HTTP answer taken, in bytes after decompression: a catch-up page of 10,000 rows of 1 kB is 10 MB.
pub const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Bytes of a refused request's body that are read for its words.
pub const REFUSAL_BYTES_MAX: usize = 64 << 10;

/// Time to find the host, connect and finish the TLS and WebSocket handshakes. Mobile networks take up to some seconds
/// for a first packet.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Time from `connection_init` to the server's `connection_ack`.
pub const ACK_TIMEOUT: Duration = Duration::from_secs(10);

/// Time for one HTTP request from its first byte to the last of the answer: a page of 300 kB at 4 kbit/s. While bytes come
/// the line is slow, not dead.
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(600);

/// An HTTP answer of which nothing comes for this long is given up.
pub const ANSWER_SILENCE_MAX: Duration = Duration::from_secs(60);

/// A ping goes out when nothing was heard for this long. Below the idle timeouts of common proxies (60 s) and of
/// carriers' address translation (30 s and more).
pub const KEEP_ALIVE_INTERVAL: Duration = Duration::from_secs(25);

/// The link is over when nothing was heard for this long: one ping and its answer.
pub const KEEP_ALIVE_TIMEOUT: Duration = Duration::from_secs(45);

/// Time for the closing handshake before the connection is dropped.
pub const CLOSE_TIMEOUT: Duration = Duration::from_secs(2);

/// Time for opening a link by any of the ways of a [`crate::Fallback`], shared evenly by those still to be tried: of two, the
/// first has 12.5 s. A machine that waits for a link opens it anew after 30 s, by when all must have had their turn.
pub const FALLBACK_OPEN_MAX: Duration = Duration::from_secs(25);

/// How long a link goes by another way before the first choice is tried again: 5 min, as long as one by HTTP requests alone.
/// The try is one connection beside those that keep the radio awake anyway.
pub const FALLBACK_RETURN_AFTER: Duration = Duration::from_secs(300);

/// The longest that the first choice is left alone when links by it are opened and do not carry: each costs a machine 30 s of
/// waiting, so that an hour keeps it below one part in a hundred.
pub const FALLBACK_RETURN_MAX: Duration = Duration::from_secs(3600);

/// An operation that has had no answer for this long makes a link that is then given up a silent one. Below the 30 s after
/// which a machine gives it up, and above what a server takes.
pub const FALLBACK_SILENT_AFTER: Duration = Duration::from_secs(20);

/// Bytes that must have come since an operation for a line to be slow rather than silent: more than the pings of that time.
pub const FALLBACK_SILENCE_BYTES_MAX: u64 = 1_024;

/// Links in a row that brought something and then ended owing an answer, before another way is tried: what a network does
/// that lets small messages through. One alone is a phone in a lift.
pub const FALLBACK_OWING_LINKS_MAX: u32 = 3;
