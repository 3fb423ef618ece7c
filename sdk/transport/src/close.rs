//! Why a link ended, in kinds that a policy can tell apart.

use std::borrow::Cow;

use tombolo_core::wire::ws::close;

/// Why a link ended or could not be opened, or why a request has no answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CloseReason {
    /// There is no way to the server: no network, no such host, connection refused or cut, TLS failed.
    #[error("the server cannot be reached: {detail}")]
    Unreachable {
        /// The system's words.
        detail: Cow<'static, str>,
    },
    /// The server refused the credential. Trying again with the same one is in vain.
    #[error("the server refused the credential (code {code})")]
    Unauthorized {
        /// 401 or 403, or 4401 or 4403 from a socket.
        code: u16,
    },
    /// Something answered, but not with what was asked for: another HTTP status.
    #[error("what answers there is no Tombolo server (status {status}): is the address the one that ends in /graphql?")]
    Refused {
        /// The HTTP status.
        status: u16,
    },
    /// The other side does not keep to the protocol, or speaks another one.
    #[error("out of protocol: {detail}")]
    Protocol {
        /// What was wrong.
        detail: Cow<'static, str>,
    },
    /// The server has read what this side says and does not take it: it would not by any other way, and not later.
    #[error("the server does not take this client's messages: {detail}")]
    Incompatible {
        /// What it said.
        detail: Cow<'static, str>,
    },
    /// A message above a limit of [`crate::limits`].
    #[error("a message is larger than {limit_bytes} bytes")]
    TooLarge {
        /// The limit.
        limit_bytes: usize,
    },
    /// Nothing was heard in time.
    #[error("timed out: {what}")]
    TimedOut {
        /// What was waited for.
        what: &'static str,
    },
    /// The server closed the link.
    #[error("the server closed the link (code {code})")]
    Closed {
        /// Its close code; 1005 when it gave none.
        code: u16,
    },
    /// This side closed the link.
    #[error("the link was closed here")]
    Local,
}

impl CloseReason {
    /// Whether the app has to present another credential before it makes sense to try again.
    #[must_use]
    pub fn needs_sign_in(&self) -> bool {
        matches!(self, Self::Unauthorized { .. })
    }

    pub(crate) fn unreachable(error: impl std::fmt::Display) -> Self {
        Self::Unreachable {
            detail: Cow::Owned(error.to_string()),
        }
    }

    pub(crate) fn protocol(detail: impl Into<Cow<'static, str>>) -> Self {
        Self::Protocol { detail: detail.into() }
    }

    /// The reason behind an HTTP status that is not the expected one.
    pub(crate) fn of_status(status: u16) -> Self {
        match status {
            401 | 403 => Self::Unauthorized { code: status },
            _ => Self::Refused { status },
        }
    }

    /// The reason behind a close code of `graphql-transport-ws`.
    pub(crate) fn of_code(code: u16) -> Self {
        match code {
            close::UNAUTHORIZED | close::FORBIDDEN => Self::Unauthorized { code },
            close::BAD_REQUEST | close::SUBSCRIBER_EXISTS | close::TOO_MANY_INITIALISATIONS => Self::Incompatible {
                detail: Cow::Owned(format!("it closed the link with code {code}")),
            },
            close::SUBPROTOCOL_NOT_ACCEPTABLE => Self::protocol("the server does not speak graphql-transport-ws"),
            close::INITIALISATION_TIMEOUT => Self::TimedOut {
                what: "connection_init",
            },
            _ => Self::Closed { code },
        }
    }
}

/// Why a message was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too many messages wait; receive, then send again.
    #[error("too many messages wait to be sent")]
    Full,
    /// The link is over.
    #[error(transparent)]
    Closed(CloseReason),
}
