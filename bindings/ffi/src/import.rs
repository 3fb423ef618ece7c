//! What was taken over of a file of Amplify DataStore.

/// What became of an old file: [`tombolo::ImportReport`].
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
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
    /// Records of which the old file knew neither a version nor a mutation: each is in the outbox as a creation.
    pub uploads: u64,
    /// Records of the same kind of which the old file alone has something.
    pub records_unversioned: u64,
    /// Records that were not taken.
    pub records_left: u64,
    /// Unsent mutations that are in the outbox now.
    pub mutations: u64,
    /// Of those, the ones that DataStore may have sent.
    pub mutations_may_be_sent: u64,
    /// Unsent mutations that could not be taken. Each is in `problems`, with its content.
    pub mutations_left: u64,
    /// Of mutations and uploads, the ones that are not settled yet or were refused and not taken note of.
    pub unsettled: u64,
    /// Number of the first mutation taken, 0 for none.
    pub first_number: u64,
    /// Number of the last mutation taken, 0 for none.
    pub last_number: u64,
    /// What could not be taken, and what was noticed.
    pub problems: Vec<ImportProblem>,
    /// Problems beyond the bound, none of them with a mutation.
    pub problems_untold: u64,
    /// The old file was removed after everything was settled.
    pub removed: bool,
}

/// Which adapter wrote the file: [`tombolo::ImportFormat`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ImportFormat {
    /// Amplify for Swift, and Flutter on iOS.
    Ios,
    /// Amplify for Android, and Flutter on Android.
    Android,
}

/// How far an import has come: [`tombolo::ImportState`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum ImportState {
    /// Everything was taken; some of the mutations are not settled yet.
    Unsettled,
    /// Each mutation that was taken is settled.
    Settled,
    /// The file could not be taken over; the next opening tries again.
    Failed,
    /// Another replica has taken this file over before.
    TakenBefore,
}

/// One thing that could not be taken, or was noticed: [`tombolo::ImportProblem`].
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct ImportProblem {
    /// The table in the old file.
    pub table: String,
    /// The row; `None` for the whole table.
    pub row: Option<String>,
    /// The column, or the member of a mutation's content.
    pub column: Option<String>,
    /// What is wrong, and what it means.
    pub problem: String,
    /// An unsent mutation that was not taken.
    pub is_mutation: bool,
    /// The mutation as it stands in the old file.
    pub content: Option<String>,
}

impl std::fmt::Debug for ImportProblem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The content is somebody's.
        write!(f, "ImportProblem({} {:?}: {})", self.table, self.row, self.problem)
    }
}

impl From<tombolo::ImportReport> for ImportReport {
    fn from(report: tombolo::ImportReport) -> Self {
        Self {
            path: report.path,
            format: report.format.map(|format| match format {
                tombolo::ImportFormat::Ios => ImportFormat::Ios,
                tombolo::ImportFormat::Android => ImportFormat::Android,
            }),
            state: match report.state {
                tombolo::ImportState::Unsettled => ImportState::Unsettled,
                tombolo::ImportState::Settled => ImportState::Settled,
                tombolo::ImportState::Failed => ImportState::Failed,
                tombolo::ImportState::TakenBefore => ImportState::TakenBefore,
            },
            error: report.error,
            records: report.records,
            tombstones: report.tombstones,
            uploads: report.uploads,
            records_unversioned: report.records_unversioned,
            records_left: report.records_left,
            mutations: report.mutations,
            mutations_may_be_sent: report.mutations_may_be_sent,
            mutations_left: report.mutations_left,
            unsettled: report.unsettled,
            first_number: report.first_number,
            last_number: report.last_number,
            problems: report.problems.into_iter().map(ImportProblem::from).collect(),
            problems_untold: report.problems_untold,
            removed: report.removed,
        }
    }
}

impl From<tombolo::ImportProblem> for ImportProblem {
    fn from(problem: tombolo::ImportProblem) -> Self {
        Self {
            table: problem.table,
            row: problem.row,
            column: problem.column,
            problem: problem.problem,
            is_mutation: problem.is_mutation,
            content: problem.content,
        }
    }
}
