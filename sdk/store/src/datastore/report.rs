//! What an import took, what it left, and why: plain data, kept with the replica.

use serde::{Deserialize, Serialize};

use super::file::DatastoreFile;

/// Most problems with rows that a report names; the others are counted ([`ImportReport::problems_untold`]). A hundred show
/// what is wrong. Problems with mutations are all named, however many: they are somebody's work.
pub const PROBLEMS_MAX: usize = 100;

/// Why a file could not be taken over. Nothing was changed, neither here nor in that file.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// It cannot be read from the disk.
    #[error("{path} cannot be read: {source}; the next opening tries again")]
    File {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// Another program keeps writing to it.
    #[error("{0} is being written to; stop DataStore before the client is opened, the next opening tries again")]
    InUse(String),
    /// It is no SQLite database, or none of DataStore's.
    #[error("{0} is not a file of Amplify DataStore; give the path of its database")]
    Foreign(String),
    /// DataStore for JavaScript wrote it (React Native).
    #[error("{0} is a file of DataStore for JavaScript, which is not taken over; it was left as it is")]
    JavaScript(String),
    /// The database is damaged.
    #[error("{path} is damaged ({problem}); it was left as it is, keep a copy of it")]
    Damaged {
        /// Which file.
        path: String,
        /// What is wrong, in the database's words.
        problem: String,
    },
    /// Its tables are of a release that is not known here.
    #[error("{path} has a layout that this release does not know ({problem}); it was left as it is, update the SDK")]
    Layout {
        /// Which file.
        path: String,
        /// What is missing or strange.
        problem: String,
    },
    /// The replica's own file failed.
    #[error(transparent)]
    Store(#[from] tombolo_machine::StoreError),
}

/// Which adapter wrote the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportFormat {
    /// Amplify for Swift, and Flutter on iOS.
    Ios,
    /// Amplify for Android, and Flutter on Android.
    Android,
}

/// How far an import has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ImportState {
    /// Everything was taken; some of the mutations are not settled yet.
    Unsettled,
    /// Each mutation that was taken has reached its final state, and the app has taken note of those that were refused.
    Settled,
    /// The file could not be taken over ([`ImportReport::error`]); nothing was taken, and the next opening tries again.
    Failed,
    /// Another replica (another account's, or one that is gone) has taken this file over before: nothing was taken.
    TakenBefore,
}

/// What became of an old file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportReport {
    /// The old file.
    pub path: String,
    /// Who wrote it; `None` if that was not found out.
    pub format: Option<ImportFormat>,
    /// How far it has come.
    pub state: ImportState,
    /// Why it failed.
    pub error: Option<String>,
    /// Records that are here now.
    pub records: u64,
    /// Tombstones that are here now.
    pub tombstones: u64,
    /// Records of which the old file knew neither a version nor a mutation: each is in the outbox as a creation, before or
    /// behind the mutations.
    #[serde(default)]
    pub uploads: u64,
    /// Records of the same kind of which the old file alone has something: the outbox had no room for them, or a value, or all
    /// of it, does not fit the schema ([`ImportReport::problems`]). If the server does not have them, they leave with the first
    /// sync.
    pub records_unversioned: u64,
    /// Records that were not taken: their model is not in the schema or has no scope, the replica has a newer one, or a value
    /// does not fit ([`ImportReport::problems`]).
    pub records_left: u64,
    /// Unsent mutations that are in the outbox now.
    pub mutations: u64,
    /// Of those, the ones that DataStore may have sent.
    pub mutations_may_be_sent: u64,
    /// Unsent mutations that could not be taken. Each is in [`ImportReport::problems`], with its content.
    pub mutations_left: u64,
    /// Of mutations and uploads, the ones that are not settled yet or were refused and not taken note of.
    pub unsettled: u64,
    /// Number of the first mutation taken, 0 for none. Those taken have this number and the following ones, in order.
    pub first_number: u64,
    /// Number of the last mutation taken, 0 for none.
    pub last_number: u64,
    /// What could not be taken, and what was noticed.
    pub problems: Vec<ImportProblem>,
    /// Problems beyond [`PROBLEMS_MAX`], none of them with a mutation.
    pub problems_untold: u64,
    /// The old file was removed after everything was settled.
    pub removed: bool,
}

/// One thing that could not be taken, or was noticed.
///
/// `Debug` does not show the content.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImportProblem {
    /// The table in the old file.
    pub table: String,
    /// The row: the record's or the mutation's id; `None` for the whole table.
    pub row: Option<String>,
    /// The column, or the member of a mutation's content.
    pub column: Option<String>,
    /// What is wrong, and what it means.
    pub problem: String,
    /// An unsent mutation that was not taken: somebody's work.
    pub is_mutation: bool,
    /// The mutation as it stands in the old file.
    pub content: Option<String>,
}

impl std::fmt::Debug for ImportProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ImportProblem")
            .field("table", &self.table)
            .field("row", &self.row)
            .field("column", &self.column)
            .field("problem", &self.problem)
            .finish_non_exhaustive()
    }
}

impl ImportReport {
    pub(super) fn new(file: &DatastoreFile) -> Self {
        Self {
            format: Some(file.format()),
            state: ImportState::Unsettled,
            ..Self::without(file.path().display().to_string(), ImportState::Unsettled)
        }
    }

    /// The report of a file of which nothing was taken.
    #[must_use]
    pub fn without(path: String, state: ImportState) -> Self {
        Self {
            path,
            format: None,
            state,
            error: None,
            records: 0,
            tombstones: 0,
            uploads: 0,
            records_unversioned: 0,
            records_left: 0,
            mutations: 0,
            mutations_may_be_sent: 0,
            mutations_left: 0,
            unsettled: 0,
            first_number: 0,
            last_number: 0,
            problems: Vec::new(),
            problems_untold: 0,
            removed: false,
        }
    }

    /// Whether the old file holds nothing any more that is not here or at the server.
    #[must_use]
    pub fn may_be_removed(&self) -> bool {
        self.state == ImportState::Settled && self.mutations_left == 0 && self.records_unversioned == 0
    }

    pub(super) fn took(&mut self, number: u64) {
        self.mutations += 1;
        if self.first_number == 0 {
            self.first_number = number;
        }
        self.last_number = number;
    }

    /// A mutation that is not taken.
    pub(super) fn lost(&mut self, problem: ImportProblem) {
        self.mutations_left += 1;
        self.problems.push(problem);
    }

    /// Something about rows.
    pub(super) fn note(&mut self, table: &str, row: Option<&str>, column: Option<&str>, problem: impl Into<String>) {
        if self.problems.iter().filter(|problem| !problem.is_mutation).count() >= PROBLEMS_MAX {
            self.problems_untold += 1;
            return;
        }
        self.problems.push(ImportProblem {
            table: table.to_owned(),
            row: row.map(str::to_owned),
            column: column.map(str::to_owned),
            problem: problem.into(),
            is_mutation: false,
            content: None,
        });
    }
}
