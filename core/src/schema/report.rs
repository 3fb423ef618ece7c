//! Gathers what is wrong with a schema file, and what was noticed, by place.

use apollo_compiler::parser::{SourceMap, SourceSpan};

use super::model::{SchemaErrors, SchemaMessage};

/// Where something stands in the file; `None` for what the file does not spell out.
pub(super) type Place = Option<SourceSpan>;

/// All messages about one file.
pub(super) struct Report {
    file: String,
    sources: SourceMap,
    errors: Vec<SchemaMessage>,
    warnings: Vec<SchemaMessage>,
}

impl Report {
    pub(super) fn new(file: &str, sources: SourceMap) -> Self {
        Self {
            file: file.to_owned(),
            sources,
            errors: Vec::new(),
            warnings: Vec::new(),
        }
    }

    /// Something that cannot work, and its mend.
    pub(super) fn error(&mut self, place: Place, problem: impl Into<String>, mend: impl Into<String>) {
        let message = self.message(place, problem.into(), mend.into());
        if !self.errors.contains(&message) {
            self.errors.push(message);
        }
    }

    /// Something that works but not as its author may think.
    pub(super) fn warn(&mut self, place: Place, problem: impl Into<String>, mend: impl Into<String>) {
        let message = self.message(place, problem.into(), mend.into());
        self.warnings.push(message);
    }

    pub(super) fn has_errors(&self) -> bool {
        !self.errors.is_empty()
    }

    /// The errors, and the warnings beside them, in the order of the file.
    pub(super) fn into_errors(mut self) -> SchemaErrors {
        self.errors.sort_by_key(|m| (m.line, m.column));
        self.warnings.sort_by_key(|m| (m.line, m.column));
        SchemaErrors {
            errors: self.errors,
            warnings: self.warnings,
        }
    }

    /// The warnings, in the order of the file.
    pub(super) fn into_warnings(mut self) -> Vec<SchemaMessage> {
        self.warnings.sort_by_key(|m| (m.line, m.column));
        self.warnings
    }

    fn message(&self, place: Place, problem: String, mend: String) -> SchemaMessage {
        let at = place.and_then(|span| span.line_column(&self.sources));
        let (line, column) = at.map_or((1, 1), |at| (at.line, at.column));
        SchemaMessage {
            file: self.file.clone(),
            line,
            column,
            problem,
            mend,
        }
    }
}
