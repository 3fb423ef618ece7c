//! Errors as other languages see them: [`tombolo::Error`], a case each, with fields.

use tombolo::Error;

use crate::{GraphqlProblem, convert};

/// Everything that a call can fail with. What each means and what to do about it: [`tombolo::Error`], by the same names.
///
/// An error of a mutation call means that nothing was queued. Being offline is never one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, uniffi::Error)]
#[allow(missing_docs)] // Case by case in `tombolo::Error`; fields are words for developers unless a name says more.
pub enum TomboloError {
    /// Something is missing from the configuration.
    #[error("{detail}")]
    Incomplete { detail: String },
    /// The schema cannot work; every error with its place.
    #[error("{detail}")]
    Schema { detail: String },
    /// The address is not a server's.
    #[error("{detail}")]
    Endpoint { detail: String },
    /// The document, its variables or a mutation's input is wrong.
    #[error("{detail}")]
    Request {
        detail: String,
        problems: Vec<GraphqlProblem>,
    },
    /// The operation has no answer in the local data.
    #[error("{detail}")]
    NeedsNetwork {
        detail: String,
        problems: Vec<GraphqlProblem>,
    },
    /// An argument that must be JSON text is not.
    #[error("{detail}")]
    Json { detail: String },
    /// An update or a delete of a record that this replica does not hold.
    #[error("{detail}")]
    UnknownRecord { detail: String, model: String },
    /// The mutation cannot succeed.
    #[error("{detail}")]
    Refused {
        detail: String,
        /// A stable name, AppSync's where it has one.
        code: String,
    },
    /// More than the server takes in one request.
    #[error("{detail}")]
    RequestTooLarge { detail: String },
    /// The outbox holds as many mutations as it may.
    #[error("{detail}")]
    OutboxFull { detail: String },
    /// The schema has no such model.
    #[error("{detail}")]
    UnknownModel { detail: String, model: String },
    /// The outbox has no such mutation.
    #[error("{detail}")]
    UnknownMutation { detail: String, number: u64 },
    /// The mutation's state does not allow it.
    #[error("{detail}")]
    WrongState { detail: String },
    /// The answer does not have the shape of its type.
    #[error("{detail}")]
    Shape { detail: String },
    /// The disk is full. Later may be better.
    #[error("{detail}")]
    DiskFull { detail: String },
    /// The file is busy, or another app's lock holds it. Later may be better.
    #[error("{detail}")]
    Busy { detail: String },
    /// The file cannot be read or written; `code` is `read_only`, `corrupt` or `store`.
    #[error("{detail}")]
    Store { detail: String, code: String },
    /// The file cannot be opened; `code` is `in_use`, `newer_file`, `foreign_file` or `open`.
    #[error("{detail}")]
    Open { detail: String, code: String },
    /// The file is another account's.
    #[error("{detail}")]
    WrongAccount { detail: String },
    /// The system gave no thread.
    #[error("{detail}")]
    Thread { detail: String },
    /// The server refused the credential.
    #[error("{detail}")]
    Unauthorized { detail: String },
    /// The client is suspended.
    #[error("the client is suspended; call resume first")]
    Suspended,
    /// The account has signed out of this file.
    #[error("the account has signed out; open the client again with its account")]
    SignedOut,
    /// The client has been closed.
    #[error("the client has been closed")]
    Closed,
    /// The call was cancelled. What it had done by then stays done.
    #[error("the call was cancelled")]
    Cancelled,
    /// A mistake of ours: the call ended in a panic, which was reported. The client may be used on; if the same call does it
    /// again, tell us.
    #[error("a mistake in Tombolo: {detail}")]
    Panicked { detail: String },
}

impl From<Error> for TomboloError {
    fn from(error: Error) -> Self {
        let detail = error.to_string();
        let code = || error.code().to_owned();
        match &error {
            Error::Incomplete(_) => Self::Incomplete { detail },
            Error::SchemaFile { .. } | Error::Schema(_) => Self::Schema { detail },
            Error::Endpoint(_) => Self::Endpoint { detail },
            Error::Request(errors) | Error::Answer(errors) => Self::Request {
                detail,
                problems: convert::problems(errors),
            },
            Error::NeedsNetwork(errors) => Self::NeedsNetwork {
                detail,
                problems: convert::problems(errors),
            },
            Error::UnknownRecord { model } => Self::UnknownRecord {
                detail,
                model: model.clone(),
            },
            Error::Refused(reason) => Self::Refused {
                detail,
                code: reason.code.to_string(),
            },
            Error::RequestTooLarge(_) => Self::RequestTooLarge { detail },
            Error::OutboxFull(_) => Self::OutboxFull { detail },
            Error::UnknownModel(model) => Self::UnknownModel {
                detail,
                model: model.clone(),
            },
            Error::UnknownMutation(number) => Self::UnknownMutation {
                detail,
                number: number.0,
            },
            Error::WrongState(_) => Self::WrongState { detail },
            Error::Shape(_) => Self::Shape { detail },
            Error::Store(_) => match error.code() {
                "disk_full" => Self::DiskFull { detail },
                "busy" => Self::Busy { detail },
                _ => Self::Store { detail, code: code() },
            },
            Error::Open(_) => match error.code() {
                "wrong_account" => Self::WrongAccount { detail },
                _ => Self::Open { detail, code: code() },
            },
            Error::Thread(_) => Self::Thread { detail },
            Error::Unauthorized(_) => Self::Unauthorized { detail },
            Error::Suspended => Self::Suspended,
            Error::SignedOut => Self::SignedOut,
            Error::Closed => Self::Closed,
        }
    }
}
