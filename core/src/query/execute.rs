//! Running a bound operation: statements out, rows in, bytes at the end.

use std::sync::Arc;

use super::answer::Answer;
use super::bind::Bound;
use crate::record::Record;
use crate::value::{Row, Value};
use crate::wire::graphql::GraphqlError;

/// A SQL statement with its parameters (`?1` is `params[0]`).
#[derive(Clone, Debug, PartialEq)]
pub struct Statement {
    /// The text. Equal for equal plans, so that drivers can keep it prepared.
    pub sql: String,
    /// The parameters.
    pub params: Vec<Value>,
}

/// The result of a root field that the caller decides.
#[derive(Clone, Debug)]
pub enum Supplied {
    /// The record: projected by the selection.
    Record(Arc<Record>),
    /// Null, without an error.
    Null,
    /// Null, with this error (its path is filled in).
    Error(GraphqlError),
    /// Null, with this error, whose `data` is the record projected by the selection.
    Conflict(GraphqlError, Arc<Record>),
    /// The JSON of the field's whole value.
    Raw(Vec<u8>),
}

/// One run of a bound operation. `while let Some(s) = ex.next_statement() { for each row of s { ex.row(row) } }`, then
/// [`Execution::finish`]; [`answer`] does that.
#[derive(Debug)]
pub struct Execution<'b> {
    _bound: &'b Bound,
}

impl<'b> Execution<'b> {
    pub(super) fn new(bound: &'b Bound) -> Self {
        Self { _bound: bound }
    }

    /// Hands over the result of root field `root`. Before the first statement.
    pub fn supply(&mut self, _root: usize, _with: Supplied) {}

    /// The next statement to run; `None` when all is read. Asking for it says that the one before has given all its rows.
    pub fn next_statement(&mut self) -> Option<Statement> {
        None
    }

    /// Takes one row of the statement given last.
    pub fn row(&mut self, _row: &dyn Row) {}

    /// The answer.
    #[must_use]
    pub fn finish(self) -> Answer {
        Answer::default()
    }
}

/// Runs statements for [`answer`]: a SQL driver.
pub trait RunStatement {
    /// Why a statement failed.
    type Error;

    /// Runs `statement` and gives each row to `row`.
    ///
    /// # Errors
    /// The driver's.
    fn run(&mut self, statement: &Statement, row: &mut dyn FnMut(&dyn Row)) -> Result<(), Self::Error>;
}

/// Runs an execution to its end.
///
/// # Errors
/// The first error of the driver; what was read until then is dropped.
pub fn answer<R: RunStatement>(mut execution: Execution<'_>, runner: &mut R) -> Result<Answer, R::Error> {
    while let Some(statement) = execution.next_statement() {
        runner.run(&statement, &mut |row| execution.row(row))?;
    }
    Ok(execution.finish())
}
