//! What keeps code from being generated: every message with its place and its mend.

use std::fmt;

/// One message about an operation, a template or an option.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// The operations file or template as it was named to [`crate::generate`], or the option (`--package`).
    pub file: String,
    /// Line and column, from 1; `None` if the message concerns the whole.
    pub place: Option<(usize, usize)>,
    /// What is wrong.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

impl Message {
    pub(crate) fn new(file: &str, place: Option<(usize, usize)>, problem: impl Into<String>, mend: &str) -> Self {
        Self {
            file: file.to_owned(),
            place,
            problem: problem.into(),
            mend: mend.to_owned(),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some((line, column)) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        write!(f, ": {} ({})", self.problem, self.mend)
    }
}

/// Why nothing was generated: at least one message, in the order of files and places.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct Errors(pub Vec<Message>);

impl From<Message> for Errors {
    fn from(message: Message) -> Self {
        Self(vec![message])
    }
}
