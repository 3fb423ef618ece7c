//! What a submission has to ask a resolver about.

use std::collections::BTreeSet;

use tombolo_core::query::MutationInput;
use tombolo_core::schema::Schema;

use crate::decide::RowKey;
use crate::decide::ask::Question;
use crate::store::Verdict;

/// Everything that a submission has to ask a resolver about in one go: a record that waits for an answer keeps none of the
/// others from being looked at.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) questions: Vec<Question>,
    rows: BTreeSet<RowKey>,
}

impl Asked {
    pub(super) fn take(&mut self, question: Question) {
        self.rows.insert((question.model, question.key.to_text()));
        self.questions.push(question);
    }

    /// Whether `mutation` is about a record of which it is not known yet what an earlier one makes of it.
    pub(super) fn waits(&self, schema: &Schema, mutation: &MutationInput) -> bool {
        let key = || mutation.key(&schema[mutation.model]);
        !self.rows.is_empty() && key().is_some_and(|key| self.rows.contains(&(mutation.model, key.to_text())))
    }
}

pub(super) fn ask(questions: Vec<Question>) -> Verdict {
    Verdict {
        ask: questions,
        ..Verdict::default()
    }
}
