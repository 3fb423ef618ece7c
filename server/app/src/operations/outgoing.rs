//! What goes out of a session, and how far it brings the one who takes it.

use std::sync::Arc;

use axum::extract::ws::Message;
use tombolo_engine::Bookmark;

/// How far a subscription has come once what goes with it is taken.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Mark {
    /// The operation's id.
    pub(crate) id: Arc<str>,
    /// Tells operations apart that had the same id one after the other.
    pub(crate) serial: u64,
    /// Where it stands; `None`: it is over.
    pub(crate) bookmark: Option<Bookmark>,
}

/// What goes out.
#[derive(Debug)]
pub(crate) enum Outgoing {
    /// A frame.
    Frame(Message),
    /// A frame of a subscription that can be gone on with.
    Marked(Message, Mark),
    /// Nothing, but a subscription has come so far.
    Passed(Mark),
}

impl Outgoing {
    pub(crate) fn into_parts(self) -> (Option<Message>, Option<Mark>) {
        match self {
            Self::Frame(frame) => (Some(frame), None),
            Self::Marked(frame, mark) => (Some(frame), Some(mark)),
            Self::Passed(mark) => (None, Some(mark)),
        }
    }
}

impl From<Message> for Outgoing {
    fn from(frame: Message) -> Self {
        Self::Frame(frame)
    }
}
