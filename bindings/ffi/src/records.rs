//! Whole records: [`tombolo::Client::save`], [`tombolo::Client::find`] and their like, with records and filters as JSON text.
//! What generated code and the DataStore layers stand on.

use tombolo::{Find, ObserveOptions, Save};

use crate::{GraphqlProblem, TomboloError, convert};

/// Which records, in which order: [`tombolo::Find`].
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct FindQuery {
    /// The model's name.
    pub model: String,
    /// The JSON of its filter input; `None` for every record.
    #[uniffi(default = None)]
    pub filter: Option<String>,
    /// The order, the first step first; the key settles the rest.
    #[uniffi(default = [])]
    pub sort: Vec<SortStep>,
    /// Most records; `None`: as many as may be.
    #[uniffi(default = None)]
    pub limit: Option<u32>,
    /// So many records of the order are passed over first. Not together with `token`.
    #[uniffi(default = 0)]
    pub offset: u64,
    /// [`FoundRecords::next_token`] of the page before.
    #[uniffi(default = None)]
    pub token: Option<String>,
}

/// One step of an order.
#[derive(Clone, Debug, PartialEq, Eq, uniffi::Record)]
pub struct SortStep {
    /// The name of a single scalar or enum field, or `_lastChangedAt`.
    pub field: String,
    /// From the greatest to the least.
    #[uniffi(default = false)]
    pub descending: bool,
}

/// Some records: [`tombolo::Records`].
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct FoundRecords {
    /// `{"items":[…],"nextToken":…}` as UTF-8 JSON.
    pub data: Vec<u8>,
    /// What leads to the next page; `None` if these were the last.
    pub next_token: Option<String>,
    /// What is wrong with single records, which are `null` among the items.
    pub errors: Vec<GraphqlProblem>,
}

/// What a save came to: [`tombolo::SavedAs`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum SavedAs {
    /// The replica held no such record: a create is queued.
    Created,
    /// It held it: an update with the fields that differ is queued.
    Updated,
    /// It held it just so: nothing is queued.
    Unchanged,
}

/// What [`crate::Client::save`] gives back at once.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct SavedRecord {
    /// What it came to.
    pub saved_as: SavedAs,
    /// The mutation's number; `None` for [`SavedAs::Unchanged`].
    pub number: Option<u64>,
    /// The record as the view has it now, as JSON; `None` if it could not be read any more.
    pub record: Option<String>,
}

/// What [`crate::Client::delete`] gives back at once.
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct DeletedRecord {
    /// The mutation's number.
    pub number: Option<u64>,
    /// The record as it was, as JSON; `None` if it could not be read any more.
    pub record: Option<String>,
}

/// One change of one record: [`tombolo::Observed`].
#[derive(Clone, PartialEq, Eq, uniffi::Record)]
pub struct RecordChange {
    /// What happened.
    pub kind: RecordChangeKind,
    /// The record as it is now, as JSON, where the replica still has it.
    pub record: Option<String>,
    /// Its key as a JSON object by field; `null` for [`RecordChangeKind::Resynchronise`].
    pub key: String,
}

/// What happened to a record: [`tombolo::ObservedKind`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, uniffi::Enum)]
pub enum RecordChangeKind {
    /// It is here and was not.
    Created,
    /// It is another than before.
    Updated,
    /// It was deleted, here or elsewhere.
    Deleted,
    /// It is no longer among the observed.
    Left,
    /// Too many records are observed to tell which have changed: look at them anew.
    Resynchronise,
}

impl FindQuery {
    pub(crate) fn read(self) -> Result<Find, TomboloError> {
        Ok(Find {
            filter: convert::optional_json("filter", self.filter.as_deref())?,
            sort: self
                .sort
                .into_iter()
                .map(|step| tombolo::SortBy {
                    field: step.field,
                    descending: step.descending,
                })
                .collect(),
            limit: self.limit.map(|limit| usize::try_from(limit).unwrap_or(usize::MAX)),
            offset: self.offset,
            token: self.token,
            model: self.model,
        })
    }
}

pub(crate) fn save(
    model: String,
    record: &str,
    before: Option<&str>,
    condition: Option<&str>,
) -> Result<Save, TomboloError> {
    Ok(Save {
        model,
        record: convert::json("record", record)?,
        before: convert::optional_json("before", before)?,
        condition: convert::optional_json("condition", condition)?,
    })
}

pub(crate) fn observe_options(filter: Option<&str>, with_existing: bool) -> Result<ObserveOptions, TomboloError> {
    Ok(ObserveOptions {
        filter: convert::optional_json("filter", filter)?,
        with_existing,
    })
}

impl From<tombolo::Records> for FoundRecords {
    fn from(records: tombolo::Records) -> Self {
        Self {
            data: records.json().as_bytes().to_vec(),
            next_token: records.next_token().map(str::to_owned),
            errors: convert::problems(records.errors()),
        }
    }
}

impl From<tombolo::Saved> for SavedRecord {
    fn from(saved: tombolo::Saved) -> Self {
        Self {
            saved_as: match saved.saved_as {
                tombolo::SavedAs::Created => SavedAs::Created,
                tombolo::SavedAs::Updated => SavedAs::Updated,
                tombolo::SavedAs::Unchanged => SavedAs::Unchanged,
            },
            number: saved.number.map(|number| number.0),
            record: saved.record,
        }
    }
}

impl From<tombolo::Deleted> for DeletedRecord {
    fn from(deleted: tombolo::Deleted) -> Self {
        Self {
            number: deleted.number.map(|number| number.0),
            record: deleted.record,
        }
    }
}

impl From<tombolo::Observed> for RecordChange {
    fn from(observed: tombolo::Observed) -> Self {
        Self {
            kind: match observed.kind {
                tombolo::ObservedKind::Created => RecordChangeKind::Created,
                tombolo::ObservedKind::Updated => RecordChangeKind::Updated,
                tombolo::ObservedKind::Deleted => RecordChangeKind::Deleted,
                tombolo::ObservedKind::Left => RecordChangeKind::Left,
                tombolo::ObservedKind::Resynchronise => RecordChangeKind::Resynchronise,
            },
            record: observed.record,
            key: convert::text(&observed.key),
        }
    }
}
