//! What can go wrong at the border of the SDK, in kinds that an app can act on.

use tombolo_core::id::MutationNumber;
use tombolo_core::schema::SchemaErrors;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError};
use tombolo_machine::{StepError, StoreError};
use tombolo_store::OpenError;
use tombolo_transport::BadEndpoint;

/// Everything that a call can fail with.
///
/// An error of a mutation call means that nothing was queued ([`Error::Answer`] and [`Error::Shape`] of a typed one
/// excepted: they concern its answer alone). Being offline is never one: what needs the network waits in
/// the outbox, and [`crate::Client::status`] tells how it fares.
///
/// [`Error::code`] is a stable name for programs; `Display` is for developers and says what to do. `Debug` shows no
/// values of records.
///
/// ```
#[doc = include_str!("../doc/open.rs")]
/// # use serde_json::json;
/// let wrong = client.mutate("mutation { paintNote { id } }", json!(null)).await.unwrap_err();
/// assert_eq!((wrong.code(), wrong.can_retry()), ("request", false));
/// let alone = client.mutate("mutation { deleteNote(input: { id: \"none\" }) { id } }", json!(null)).await.unwrap_err();
/// assert_eq!(alone.code(), "unknown_record");
#[doc = include_str!("../doc/close.rs")]
/// ```
#[derive(thiserror::Error)]
pub enum Error {
    /// The builder lacks something.
    #[error("{0}")]
    Incomplete(&'static str),
    /// The schema file cannot be read.
    #[error("the schema {path} cannot be read: {source}")]
    SchemaFile {
        /// Its path.
        path: String,
        /// The system's error.
        source: std::io::Error,
    },
    /// The schema cannot work: every error with its place.
    #[error(transparent)]
    Schema(#[from] SchemaErrors),
    /// The URL is not a server's.
    #[error(transparent)]
    Endpoint(#[from] BadEndpoint),
    /// The document, its variables or a mutation's input is wrong; each error says where and why.
    #[error("{}", words(.0))]
    Request(Vec<GraphqlError>),
    /// The operation has no answer in the local data (`sync`, custom fields, subscriptions).
    #[error("this needs the network: {}", words(.0))]
    NeedsNetwork(Vec<GraphqlError>),
    /// An update or a delete of a record that this replica does not hold.
    #[error("this replica holds no {model} with that key; create it first, or hold it by a scope")]
    UnknownRecord {
        /// The model.
        model: String,
    },
    /// The mutation cannot succeed (its record exists already, for example).
    #[error(transparent)]
    Refused(RejectReason),
    /// More than the server takes in one request: too many mutations in a transaction
    /// ([`tombolo_machine::limits::ATOMIC_MUTATIONS_MAX`]), too many bytes, of a single mutation, too
    /// ([`tombolo_core::limits::REQUEST_BYTES_MAX`]), or too many unsettled mutations below it
    /// ([`tombolo_machine::limits::SEEN_MAX`]). Nothing was queued; the message says which, and what to do.
    #[error("{0}")]
    RequestTooLarge(String),
    /// The outbox holds as many mutations as it may ([`tombolo_machine::limits::OUTBOX_ENTRIES_MAX`]): nothing was queued.
    /// Connect and let them be sent, or discard what is rejected or wedged.
    #[error("{0}")]
    OutboxFull(String),
    /// The schema has no such model.
    #[error("the schema has no model `{0}`")]
    UnknownModel(String),
    /// The outbox has no such mutation; it may have been settled meanwhile.
    #[error("the outbox has no mutation {0}; it may have been settled meanwhile")]
    UnknownMutation(MutationNumber),
    /// The mutation's state does not allow it: only a rejected or wedged one can be tried again, only one that the server cannot have
    /// carried out can be discarded.
    #[error("{0}")]
    WrongState(String),
    /// The answer to a typed operation has errors.
    #[error("{}", words(.0))]
    Answer(Vec<GraphqlError>),
    /// The answer does not have the expected shape: the types and the schema differ.
    #[error("the answer does not fit its type: {0}; generate the types anew from the schema")]
    Shape(String),
    /// The database file.
    #[error(transparent)]
    Store(StoreError),
    /// The database file cannot be opened.
    #[error(transparent)]
    Open(OpenError),
    /// The system gave no thread.
    #[error("no thread could be started: {0}")]
    Thread(std::io::Error),
    /// The server refused the credential; give another with [`crate::Client::set_api_key`] or
    /// [`crate::Client::set_token`].
    #[error("{0}; give another with set_token or set_api_key")]
    Unauthorized(String),
    /// The client is suspended: it holds no file and no connection. [`crate::Client::resume`] wakes it.
    #[error("the client is suspended; call resume first")]
    Suspended,
    /// The account has signed out of this file, here or in another process; open it again with its account.
    #[error("the account has signed out; open the client again with its account")]
    SignedOut,
    /// The client has been closed.
    #[error("the client has been closed")]
    Closed,
}

impl Error {
    /// A stable name for programs.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Incomplete(_) => "incomplete",
            Self::SchemaFile { .. } => "schema_file",
            Self::Schema(_) => "schema",
            Self::Endpoint(_) => "endpoint",
            Self::Request(_) => "request",
            Self::NeedsNetwork(_) => "needs_network",
            Self::UnknownRecord { .. } => "unknown_record",
            Self::Refused(_) => "refused",
            Self::RequestTooLarge(_) => "request_too_large",
            Self::OutboxFull(_) => "outbox_full",
            Self::UnknownModel(_) => "unknown_model",
            Self::UnknownMutation(_) => "unknown_mutation",
            Self::WrongState(_) => "wrong_state",
            Self::Answer(_) => "answer",
            Self::Shape(_) => "shape",
            Self::Store(StoreError::Full) => "disk_full",
            Self::Store(StoreError::ReadOnly) => "read_only",
            Self::Store(StoreError::Corrupt(_)) => "corrupt",
            Self::Store(StoreError::Busy(_)) => "busy",
            Self::Store(_) => "store",
            Self::Open(OpenError::InUse(_)) => "in_use",
            Self::Open(OpenError::WrongAccount(_)) => "wrong_account",
            Self::Open(OpenError::Newer { .. }) => "newer_file",
            Self::Open(OpenError::Foreign(_)) => "foreign_file",
            Self::Open(_) => "open",
            Self::Thread(_) => "thread",
            Self::Unauthorized(_) => "unauthorized",
            Self::Suspended => "suspended",
            Self::SignedOut => "signed_out",
            Self::Closed => "closed",
        }
    }

    /// Whether the same call may succeed later without a change by the developer (room on the disk or in the outbox, a file
    /// no longer busy).
    #[must_use]
    pub fn can_retry(&self) -> bool {
        matches!(
            self,
            Self::Store(StoreError::Full | StoreError::Busy(_)) | Self::OutboxFull(_) | Self::Open(OpenError::InUse(_))
        )
    }

    /// Whether the user has to sign in again, or the app to give another credential.
    #[must_use]
    pub fn needs_sign_in(&self) -> bool {
        matches!(self, Self::Unauthorized(_))
    }

    /// The error as a GraphQL answer carries it, for tools that print answers.
    #[must_use]
    pub fn to_graphql(&self) -> Vec<GraphqlError> {
        match self {
            Self::Request(errors) | Self::NeedsNetwork(errors) | Self::Answer(errors) if !errors.is_empty() => {
                errors.clone()
            }
            Self::Refused(reason) => vec![GraphqlError::new(reason.code.clone(), reason.message.clone())],
            Self::UnknownRecord { .. } => {
                vec![GraphqlError::new(
                    ErrorType::ConditionalCheckFailedException,
                    self.to_string(),
                )]
            }
            _ => vec![GraphqlError::new(
                ErrorType::Other(self.code().to_owned()),
                self.to_string(),
            )],
        }
    }
}

impl std::fmt::Debug for Error {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            // Their words may hold what the user typed.
            Self::Request(errors) | Self::NeedsNetwork(errors) | Self::Answer(errors) => {
                let kinds: Vec<String> = errors
                    .iter()
                    .map(|e| {
                        e.error_type
                            .as_ref()
                            .map_or_else(|| "GraphQL".to_owned(), ToString::to_string)
                    })
                    .collect();
                write!(f, "Error({}: {})", self.code(), kinds.join(", "))
            }
            Self::Refused(reason) => write!(f, "Error({}: {})", self.code(), reason.code),
            Self::Shape(_) => write!(f, "Error({})", self.code()),
            _ => write!(f, "Error({}: {self})", self.code()),
        }
    }
}

impl From<OpenError> for Error {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Store(StoreError::SignedOut) => Self::SignedOut,
            error => Self::Open(error),
        }
    }
}

impl From<StoreError> for Error {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::SignedOut => Self::SignedOut,
            error @ (StoreError::Full
            | StoreError::ReadOnly
            | StoreError::Corrupt(_)
            | StoreError::Busy(_)
            | StoreError::BadBatch(_)
            | StoreError::BadFilter(_)
            | StoreError::Other(_)) => Self::Store(error),
        }
    }
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Self {
        match error {
            StepError::Store(error) => error.into(),
            StepError::NotStarted => Self::Closed,
            error @ StepError::OutboxFull { .. } => Self::OutboxFull(error.to_string()),
            StepError::UnknownModel(model) => Self::UnknownModel(model),
            StepError::Refused(reason) => Self::Refused(reason),
            StepError::UnknownMutation(number) => Self::UnknownMutation(number),
            error @ StepError::MissingKey { .. } => {
                Self::Request(vec![GraphqlError::new(ErrorType::BadRequest, error.to_string())])
            }
            error @ (StepError::TooManyMutations { .. }
            | StepError::RequestTooLarge { .. }
            | StepError::TooManyEarlier { .. }) => Self::RequestTooLarge(error.to_string()),
            error @ (StepError::NotRetryable(_) | StepError::NotDiscardable(_)) => Self::WrongState(error.to_string()),
        }
    }
}

fn words(errors: &[GraphqlError]) -> String {
    errors.iter().map(|e| e.message.as_str()).collect::<Vec<_>>().join("; ")
}
