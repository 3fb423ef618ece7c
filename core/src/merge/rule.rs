//! The names of the rules that settle conflicts, as traces and answers show them.

use serde::{Deserialize, Serialize};

use crate::id::FieldId;
use crate::schema::MergeRule;
use crate::value::Value;

/// Which rule settled a conflict. Printed and kept as in the schema's language: `AUTOMERGE_LIST`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum RuleName {
    /// `AUTOMERGE`, a single value: the server's stands unless it is null.
    AutomergeScalar,
    /// `AUTOMERGE`, a list: the server's items, then the incoming ones.
    AutomergeList,
    /// `AUTOMERGE`, an embedded value: by key.
    AutomergeEmbedded,
    /// `OPTIMISTIC_CONCURRENCY`: refused.
    OptimisticConcurrency,
    /// `LAST_WRITER_WINS`: the incoming value stands.
    LastWriterWins,
    /// `@merge(rule: LAST_WRITER)`: the incoming value stands.
    LastWriter,
    /// `@merge(rule: COUNTER)`: operations add up; the server's stands against a plain value.
    Counter,
    /// `@merge(rule: SET)`: the union of both.
    Set,
    /// `@merge(rule: MAX)`: the greater stands.
    Max,
    /// `@merge(rule: MIN)`: the lesser stands.
    Min,
    /// `@merge(rule: REJECT)`: refused.
    Reject,
    /// `CUSTOM`, of the model or of the field: the resolver decides.
    Custom,
    /// A deletion on top of a version that somebody has edited since: refused, but under `LAST_WRITER_WINS`.
    DeleteAfterEdit,
    /// An update or a deletion of a record that is deleted: refused, always.
    EditAfterDelete,
    /// The creation of a record that exists: refused.
    CreateOverExisting,
    /// The creation of a record that is deleted: refused while its tombstone lives.
    Recreate,
    /// The creation of a record that is deleted, by one who names the tombstone's version: it lives again.
    Resurrect,
}

impl RuleName {
    /// Its name: `AUTOMERGE_LIST`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AutomergeScalar => "AUTOMERGE_SCALAR",
            Self::AutomergeList => "AUTOMERGE_LIST",
            Self::AutomergeEmbedded => "AUTOMERGE_EMBEDDED",
            Self::OptimisticConcurrency => "OPTIMISTIC_CONCURRENCY",
            Self::LastWriterWins => "LAST_WRITER_WINS",
            Self::LastWriter => "LAST_WRITER",
            Self::Counter => "COUNTER",
            Self::Set => "SET",
            Self::Max => "MAX",
            Self::Min => "MIN",
            Self::Reject => "REJECT",
            Self::Custom => "CUSTOM",
            Self::DeleteAfterEdit => "DELETE_AFTER_EDIT",
            Self::EditAfterDelete => "EDIT_AFTER_DELETE",
            Self::CreateOverExisting => "CREATE_OVER_EXISTING",
            Self::Recreate => "RECREATE",
            Self::Resurrect => "RESURRECT",
        }
    }
}

impl std::fmt::Display for RuleName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}

impl From<MergeRule> for RuleName {
    fn from(rule: MergeRule) -> Self {
        match rule {
            MergeRule::LastWriter => Self::LastWriter,
            MergeRule::Counter => Self::Counter,
            MergeRule::Set => Self::Set,
            MergeRule::Max => Self::Max,
            MergeRule::Min => Self::Min,
            MergeRule::Reject => Self::Reject,
            MergeRule::Custom => Self::Custom,
        }
    }
}

/// One field in conflict: both sides, what came of it, and why.
#[derive(Clone, Debug, PartialEq)]
pub struct FieldConflict {
    /// The field.
    pub field: FieldId,
    /// The rule that settled it.
    pub rule: RuleName,
    /// The server's value.
    pub server: Value,
    /// The mutation's value.
    pub incoming: Value,
    /// What stands now; the server's value if the mutation was refused or the resolver has yet to decide.
    pub result: Value,
}
