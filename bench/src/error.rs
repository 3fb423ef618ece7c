//! What can stop a run. Nobody branches on these: they are words for the person at the terminal.

/// Why the bench stopped.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A file, a socket or a process.
    #[error("{what}: {source}")]
    Io {
        /// What was being done.
        what: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Bare SQLite.
    #[error("SQLite: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// A document that is no JSON, or not of the expected form.
    #[error("JSON: {0}")]
    Json(#[from] serde_json::Error),
    /// The flights' file.
    #[error("CSV: {0}")]
    Csv(#[from] csv::Error),
    /// HTTP to the server.
    #[error("HTTP: {0}")]
    Http(#[from] reqwest::Error),
    /// WebSocket to the server or to the echo.
    #[error("WebSocket: {0}")]
    WebSocket(#[from] Box<tokio_tungstenite::tungstenite::Error>),
    /// Anything else: a count that does not agree, an answer with errors, a child that ended.
    #[error("{0}")]
    Failed(String),
}

impl From<tokio_tungstenite::tungstenite::Error> for Error {
    fn from(error: tokio_tungstenite::tungstenite::Error) -> Self {
        Self::WebSocket(Box::new(error))
    }
}

/// The error of a thing that is wrong, in words.
pub(crate) fn failed(words: impl Into<String>) -> Error {
    Error::Failed(words.into())
}

/// Names what was being done when the system refused.
pub(crate) trait During<T> {
    /// Adds `what` to the error.
    fn during(self, what: impl FnOnce() -> String) -> Result<T, Error>;
}

impl<T> During<T> for Result<T, std::io::Error> {
    fn during(self, what: impl FnOnce() -> String) -> Result<T, Error> {
        self.map_err(|source| Error::Io { what: what(), source })
    }
}

/// Refuses a count that is not the expected one: a fast figure of too little work is worth nothing.
pub(crate) fn expect_count(what: &str, expected: u64, found: u64) -> Result<(), Error> {
    if expected == found {
        Ok(())
    } else {
        Err(failed(format!("{what}: expected {expected}, found {found}")))
    }
}
