//! Operations and their answers.

use crate::convert;

/// What a query or a mutation answers: the GraphQL answer in its two parts.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Answer {
    /// The answer's `data` as UTF-8 JSON, in the order of the document; `null` if there is none.
    pub data: Vec<u8>,
    /// What single fields failed with; empty in the usual case.
    pub errors: Vec<GraphqlProblem>,
}

/// One error of a GraphQL answer.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct GraphqlProblem {
    /// What went wrong and what to do about it.
    pub detail: String,
    /// The stable name that programs branch on, AppSync's where it has one.
    pub error_type: Option<String>,
    /// The field that it concerns, as JSON (`["listNotes","items",0,"text"]`).
    pub path: Option<String>,
    /// Its line in the document, from 1.
    pub line: Option<u32>,
    /// Its column, from 1.
    pub column: Option<u32>,
}

/// A document with its variables.
#[derive(Clone, uniffi::Record)]
pub struct Operation {
    /// The document.
    pub document: String,
    /// The variables, a JSON object; `None` for none.
    #[uniffi(default = None)]
    pub variables: Option<String>,
}

/// What a mutation call gives back at once.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Mutated {
    /// The answer, from the local rows as they are now.
    pub answer: Answer,
    /// A number for each mutation field, in order.
    pub numbers: Vec<u64>,
}

/// What a transaction gives back at once.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct Transacted {
    /// An answer for each operation, in order.
    pub answers: Vec<Answer>,
    /// A number for each mutation field, in order.
    pub numbers: Vec<u64>,
}

impl From<tombolo::Response> for Answer {
    fn from(response: tombolo::Response) -> Self {
        Self {
            errors: convert::problems(response.errors()),
            data: response.data().as_bytes().to_vec(),
        }
    }
}

impl From<tombolo::Mutated> for Mutated {
    fn from(mutated: tombolo::Mutated) -> Self {
        Self {
            answer: mutated.response.into(),
            numbers: convert::numbers(mutated.numbers),
        }
    }
}

impl From<tombolo::Transacted> for Transacted {
    fn from(transacted: tombolo::Transacted) -> Self {
        Self {
            answers: transacted.responses.into_iter().map(Answer::from).collect(),
            numbers: convert::numbers(transacted.numbers),
        }
    }
}
