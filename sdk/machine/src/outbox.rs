//! The outbox: what the user meant, kept until the server has answered and the feed has passed it.
//!
//! ```text
//!            sent            answered             the feed has passed it
//!   Queued ───────▶ InFlight ────────▶ Acked ─────────────────────────▶ (settled)
//!     │ folded          │ refused ───▶ Rejected ── the app took note ──▶ (ended)
//!     ▼                 │ never decided ▶ Wedged ── retry ▶ InFlight
//!   (gone)                                 └── discard, edit ▶ GivenUp ── void ▶ (ended), or Acked after all
//! ```
//!
//! What leaves the outbox is written down among what has ended (`ended`).
//!
//! An entry that was ever sent may have taken effect: it is resent with the same number, and nothing is folded into it.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};
use tombolo_core::id::{Cursor, FieldId, ModelId, MutationId, MutationNumber, ReplicaId, Version};
use tombolo_core::limits::{RECORD_BYTES_MAX, REQUEST_BYTES_MAX};
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::MutationKind;
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::{OutcomeKind, RejectReason};
use tombolo_core::wire::graphql::ErrorType;

use crate::context::Context;
use crate::effect::{Effect, FinalOutcome};
use crate::input::NewMutation;
use crate::limits::{ATOMIC_MUTATIONS_MAX, SEEN_MAX};
use crate::machine::StepError;
use crate::operations;
use crate::render;
use crate::store::Base;

/// What the user meant, by names, so that it outlives schema changes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Intent {
    /// The model's name.
    pub model: String,
    /// Create, update or delete.
    pub kind: MutationKind,
    /// The key's values, in order.
    pub key: Vec<Json>,
    /// The fields that the user set, key fields too.
    pub values: Map<String, Json>,
    /// What an update does to counters and sets, by field: `{"add": 2}`, `{"add": […], "remove": […]}`. No field is both
    /// here and in `values`.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub operations: Map<String, Json>,
    /// What the user saw in the fields that an update sets, by field: kept where a conflict resolver may be asked.
    pub base: Map<String, Json>,
    /// The version of the row that the user saw; `None` for a row that the server did not know yet.
    pub base_version: Option<Version>,
    /// The condition that the server is to check.
    pub condition: Option<Json>,
}

/// One mutation of the outbox.
#[derive(Clone, Debug, PartialEq)]
pub struct OutboxEntry {
    /// Its number, for ever.
    pub number: MutationNumber,
    /// The first number of its atomic transaction; its own for a mutation alone.
    pub first: MutationNumber,
    /// Part of an atomic transaction.
    pub atomic: bool,
    /// What the user meant.
    pub intent: Intent,
    /// Where it stands.
    pub state: EntryState,
    /// Mutations without whose effect this one makes no sense.
    pub depends_on: Vec<MutationNumber>,
    /// Earlier mutations on the same record whose effects the user saw.
    pub seen: Vec<MutationNumber>,
    /// Who made it.
    pub author: Option<String>,
    /// Hash of the schema that it was made under.
    pub schema: String,
    /// When, in milliseconds since 1970.
    pub created_at_ms: i64,
    /// How often the server answered without deciding.
    pub tries: u32,
    /// The identity under which it may have been sent, if this replica has taken another one since.
    pub replica: Option<ReplicaId>,
    /// The mutation that the app gave up for this one.
    pub replaces: Option<MutationNumber>,
    /// Names that it had before without being sent from this file: a copy of the file may have sent it by one of them.
    pub moved_from: Vec<MutationId>,
    /// What was in conflict or refused, in the server's words ([`tombolo_core::wire::trace`]).
    pub conflict: Option<Json>,
    /// Where its effect stands in the feed, if the feed said so before the server's answer came.
    pub landed: Option<Cursor>,
    /// The base row contains its effect: it is not laid over it once more.
    pub in_base: bool,
    /// It was taken over from another client's queue.
    pub imported: Option<Imported>,
}

/// What is known of a mutation that was taken over from another client's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Imported {
    /// That client had never sent it.
    Unsent,
    /// That client may have sent it, under no number: the server is told so.
    MaySent,
}

/// Where an entry stands.
#[derive(Clone, Debug, PartialEq)]
pub enum EntryState {
    /// Never sent.
    Queued,
    /// Sent, not answered; after a lost link its fate is unknown, so it is resent with the same number.
    InFlight,
    /// The server has carried it out; the feed has not passed it yet.
    Acked {
        /// As sent, or merged.
        outcome: OutcomeKind,
        /// Where its effect stands in the feed.
        cursor: Option<Cursor>,
    },
    /// The server refused it: rolled back, kept until the app takes note.
    Rejected(RejectReason),
    /// It cannot be decided as it stands; waits for the app.
    Wedged {
        /// The last undecided answer.
        reason: String,
    },
    /// The app has given it up after it was sent: rolled back, and the server is asked to make its number void. It may
    /// answer that it has carried it out.
    GivenUp,
}

impl EntryState {
    /// Whether its optimistic update lies over the base row (or stands in it: [`OutboxEntry::in_base`]).
    #[must_use]
    pub fn is_unsettled(&self) -> bool {
        match self {
            Self::Queued | Self::InFlight | Self::Acked { .. } | Self::Wedged { .. } => true,
            Self::Rejected(_) | Self::GivenUp => false,
        }
    }

    /// Whether the server's decision is still to come.
    #[must_use]
    pub fn is_undecided(&self) -> bool {
        match self {
            Self::Queued | Self::InFlight | Self::Wedged { .. } | Self::GivenUp => true,
            Self::Acked { .. } | Self::Rejected(_) => false,
        }
    }
}

impl Intent {
    /// The key's text, as [`Key::to_text`] gives it.
    #[must_use]
    pub fn key_text(&self) -> String {
        Json::Array(self.key.clone()).to_string()
    }
}

/// Enqueues mutations; more than one is an atomic transaction.
pub(crate) fn enqueue(cx: &mut Context<'_>, mutations: Vec<NewMutation>) -> Result<(), StepError> {
    if mutations.len() > ATOMIC_MUTATIONS_MAX {
        return Err(StepError::TooManyMutations { given: mutations.len() });
    }
    if mutations.is_empty() {
        cx.effects.push(Effect::Enqueued(Vec::new()));
        return Ok(());
    }
    if let [mutation] = mutations.as_slice() {
        let draft = Draft::make(cx, mutation, &BTreeSet::new())?;
        within_request(render::request_bytes(&draft.intent))?;
        let number = match fold(cx, &draft)? {
            Some(number) => number,
            None => {
                room(cx, 1)?;
                let number = cx.tx.take_numbers(1)?;
                put(cx, draft, number, number, false, None)?;
                number
            }
        };
        cx.effects.push(Effect::Enqueued(vec![number]));
    } else {
        let numbers = put_all(cx, &mutations, &[], 0, &BTreeSet::new())?;
        cx.effects.push(Effect::Enqueued(numbers));
    }
    Ok(())
}

/// Puts mutations, more than one as an atomic transaction; `replaces` names for each the one that the app gave up for it,
/// `freed` counts the entries that leave the outbox in the same step, and
/// `behind` says which entries are to go behind these.
pub(crate) fn put_all(
    cx: &mut Context<'_>,
    mutations: &[NewMutation],
    replaces: &[Option<MutationNumber>],
    freed: usize,
    behind: &BTreeSet<MutationNumber>,
) -> Result<Vec<MutationNumber>, StepError> {
    room(cx, mutations.len().saturating_sub(freed))?;
    let count = mutations.len() as u64;
    let first = cx.tx.take_numbers(count)?;
    let mut numbers = Vec::with_capacity(mutations.len());
    let (mut outside, mut bytes): (Vec<_>, _) = (replaces.iter().flatten().copied().collect(), 0);
    let mut seen = BTreeSet::new();
    for (at, mutation) in (0..count).zip(mutations) {
        let number = MutationNumber(first.0 + at);
        let draft = Draft::make(cx, mutation, behind)?;
        bytes += render::request_bytes(&draft.intent);
        within_request(bytes)?;
        outside.extend(draft.depends_on.iter().copied().filter(|n| *n < first));
        let replaces = replaces.get(numbers.len()).copied().flatten();
        seen.extend(put(cx, draft, number, first, mutations.len() > 1, replaces)?);
        numbers.push(number);
    }
    nameable(seen.len())?;
    outside.sort_unstable();
    outside.dedup();
    // The whole group waits for whatever one of its members waits for.
    for number in &numbers {
        if let Some(mut entry) = cx.tx.entry(*number)? {
            entry.depends_on.clone_from(&outside);
            cx.tx.set_links(&entry)?;
        }
    }
    Ok(numbers)
}

/// Refuses what the outbox has no room for.
fn room(cx: &Context<'_>, count: usize) -> Result<(), StepError> {
    let most = cx.settings.outbox_entries_max;
    if count > 0 && cx.state.counts.total().saturating_add(count as u64) > most {
        return Err(StepError::OutboxFull { most });
    }
    Ok(())
}

/// A request that is too large for the server would cost the link each time that it is sent.
pub(crate) fn within_request(bytes: usize) -> Result<(), StepError> {
    if bytes > REQUEST_BYTES_MAX {
        return Err(StepError::RequestTooLarge { bytes });
    }
    Ok(())
}

/// A request that names more earlier mutations than a server reads would never be decided.
pub(crate) fn nameable(given: usize) -> Result<(), StepError> {
    if given > SEEN_MAX {
        return Err(StepError::TooManyEarlier { given });
    }
    Ok(())
}

/// A mutation with the facts that its entry needs.
pub(crate) struct Draft {
    pub model: ModelId,
    pub key: Key,
    pub intent: Intent,
    /// The app gave a version of its own.
    version_given: bool,
    depends_on: Vec<MutationNumber>,
    /// Unsettled entries of the same record, by number.
    pub before: Vec<OutboxEntry>,
    author: Option<String>,
    /// The view row, if it is to be saved as the base row because none is kept apart yet.
    to_save: Option<Option<Record>>,
}

impl Draft {
    fn make(
        cx: &mut Context<'_>,
        mutation: &NewMutation,
        behind: &BTreeSet<MutationNumber>,
    ) -> Result<Self, StepError> {
        Self::make_of(cx, mutation, behind, false)
    }

    /// `imported`: made by another client, of which nobody knows what it showed; so a plain value stays one, and whether a
    /// record exists is for the server to say.
    pub(crate) fn make_of(
        cx: &mut Context<'_>,
        mutation: &NewMutation,
        behind: &BTreeSet<MutationNumber>,
        imported: bool,
    ) -> Result<Self, StepError> {
        let schema = cx.schema;
        let model = schema
            .models
            .get(mutation.model.0)
            .ok_or_else(|| StepError::UnknownModel(String::new()))?;
        let given = |field: FieldId| mutation.values.iter().find(|(f, _)| *f == field).map(|(_, v)| v);
        let key = Key(model
            .key
            .iter()
            .map(|field| {
                given(*field)
                    .filter(|v| !v.is_null())
                    .cloned()
                    .ok_or_else(|| StepError::MissingKey {
                        model: model.name.clone(),
                        field: model.fields.get(field.0).map(|f| f.name.clone()).unwrap_or_default(),
                    })
            })
            .collect::<Result<_, _>>()?);
        let key_text = key.to_text();
        let mut before = cx.entries_of(model, &key_text)?;
        before.retain(|entry| entry.state.is_unsettled() && !behind.contains(&entry.number));
        let view = cx.tx.view(mutation.model, &key)?;
        let exists = view.as_ref().is_some_and(|row| !row.meta.deleted);
        if mutation.kind == MutationKind::Create && exists && !imported {
            return Err(StepError::Refused(RejectReason {
                code: ErrorType::ConditionalCheckFailedException,
                message: format!(
                    "{} {key_text} already exists; update it, or create it under another id",
                    model.name
                ),
            }));
        }
        let kept = cx.tx.base(mutation.model, &key)?;
        let base = match &kept {
            Base::Unsaved => view.as_ref(),
            Base::Saved(base) => base.as_ref(),
        };
        let mut depends_on = newest_undecided(&before);
        for reference in cx.references.of(mutation.model) {
            if !reference.fields.iter().any(|field| given(*field).is_some()) {
                continue;
            }
            let values: Option<Vec<Value>> = reference
                .fields
                .iter()
                .map(|field| {
                    given(*field)
                        .cloned()
                        .or_else(|| view.as_ref().map(|row| row.value(*field).clone()))
                })
                .collect();
            let Some(target) = schema.models.get(reference.target.0) else {
                continue;
            };
            let Some(values) = values.filter(|values| values.iter().all(|v| !v.is_null())) else {
                continue;
            };
            let creates = cx.entries_of(target, &Key(values).to_text())?;
            depends_on.extend(
                creates
                    .iter()
                    .filter(|e| e.intent.kind == MutationKind::Create && e.state.is_undecided())
                    .map(|e| e.number),
            );
        }
        depends_on.retain(|number| !behind.contains(number));
        depends_on.sort_unstable();
        depends_on.dedup();
        let (values, operations) = operations::split(model, mutation, view.as_ref().filter(|_| !imported));
        let base_version = match mutation.kind {
            // Who creates what he sees deleted knows the tombstone, and means to replace it. Below one that is his own
            // deletion, not settled yet, the server may have no row.
            MutationKind::Create => {
                let deleted = view.as_ref().is_some_and(|row| row.meta.deleted);
                let tombstone = || deleted.then(|| base.map_or(Version(0), |row| row.meta.version));
                mutation.base_version.or_else(tombstone)
            }
            MutationKind::Update | MutationKind::Delete => mutation
                .base_version
                .or_else(|| base.map(|row| row.meta.version).filter(|v| v.0 > 0)),
        };
        Ok(Self {
            model: mutation.model,
            intent: Intent {
                model: model.name.clone(),
                kind: mutation.kind,
                key: key.0.iter().map(Value::to_json).collect(),
                base: operations::shown(model, mutation, &values, view.as_ref().filter(|_| !imported)),
                values,
                operations,
                base_version,
                condition: mutation.condition.clone(),
            },
            key,
            version_given: mutation.base_version.is_some(),
            depends_on,
            before,
            author: mutation.author.clone(),
            to_save: (kept == Base::Unsaved).then_some(view),
        })
    }
}

/// The undecided entries that no other one waits for. Waiting for those is waiting for all: each waits for those before it,
/// and what a long queue of one record says of itself stays short.
fn newest_undecided(entries: &[OutboxEntry]) -> Vec<MutationNumber> {
    let undecided = || entries.iter().filter(|entry| entry.state.is_undecided());
    let waited_for: BTreeSet<MutationNumber> = undecided().flat_map(|entry| entry.depends_on.iter().copied()).collect();
    undecided()
        .map(|entry| entry.number)
        .filter(|number| !waited_for.contains(number))
        .collect()
}

/// Folds a mutation into the newest entry of its record, if nobody can tell the difference: that entry was never sent, not by
/// a copy of the file under an earlier name either, neither stands in a transaction or under a condition, both saw the same base row, and no cycle of waiting arises.
fn fold(cx: &mut Context<'_>, draft: &Draft) -> Result<Option<MutationNumber>, StepError> {
    let Some(last) = draft.before.last() else {
        return Ok(None);
    };
    let same_base = draft.intent.base_version == last.intent.base_version;
    let may = last.state == EntryState::Queued
        && !last.atomic
        && last.intent.condition.is_none()
        && draft.intent.condition.is_none()
        && !draft.version_given
        && same_base
        && last.author == draft.author
        && last.schema == cx.schema.hash
        && last.replica.is_none()
        && last.moved_from.is_empty()
        && last.imported != Some(Imported::MaySent)
        && draft.depends_on.iter().all(|number| *number <= last.number);
    if !may {
        return Ok(None);
    }
    match (last.intent.kind, draft.intent.kind) {
        (MutationKind::Create | MutationKind::Update, MutationKind::Update) => {
            let model = cx.schema.models.get(draft.model.0);
            let Some(both) = model.and_then(|model| operations::fold(model, &last.intent, &draft.intent)) else {
                return Ok(None);
            };
            // Each edit is one that the server takes; together they may be more than it does.
            if render::map_bytes(&both.values) + render::map_bytes(&both.operations) > RECORD_BYTES_MAX {
                return Ok(None);
            }
            let mut entry = last.clone();
            entry.intent = both;
            entry
                .depends_on
                .extend(draft.depends_on.iter().filter(|number| **number < last.number));
            entry.depends_on.sort_unstable();
            entry.depends_on.dedup();
            cx.tx.put_entry(&entry)?;
        }
        (MutationKind::Create, MutationKind::Delete) => {
            // One that was given up for this creation may have made the record: only the server can delete that.
            if last.replaces.is_some() || !cx.tx.dependents(last.number)?.is_empty() {
                return Ok(None);
            }
            cx.remove_entry(last)?;
            cx.effects.push(Effect::Decided {
                number: last.number,
                outcome: FinalOutcome::Discarded,
            });
        }
        (MutationKind::Create | MutationKind::Update, MutationKind::Create)
        | (MutationKind::Update, MutationKind::Delete)
        | (MutationKind::Delete, _) => return Ok(None),
    }
    cx.rebase(draft.model, &draft.key)?;
    Ok(Some(last.number))
}

/// Writes the entry, saves the base row if this is the record's first unsettled one, and lays the optimistic update. Gives
/// the mutations that it has seen.
fn put(
    cx: &mut Context<'_>,
    draft: Draft,
    number: MutationNumber,
    first: MutationNumber,
    atomic: bool,
    replaces: Option<MutationNumber>,
) -> Result<Vec<MutationNumber>, StepError> {
    let made = Made {
        at_ms: cx.now.wall_ms,
        imported: None,
    };
    put_made(cx, draft, (number, first), atomic, replaces, made)
}

/// When a mutation was made, and whether by another client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Made {
    pub at_ms: i64,
    pub imported: Option<Imported>,
}

pub(crate) fn put_made(
    cx: &mut Context<'_>,
    draft: Draft,
    (number, first): (MutationNumber, MutationNumber),
    atomic: bool,
    replaces: Option<MutationNumber>,
    made: Made,
) -> Result<Vec<MutationNumber>, StepError> {
    let seen = seen(&draft.before, replaces);
    nameable(seen.len())?;
    if let Some(view) = &draft.to_save {
        cx.tx.put_base(draft.model, &draft.key, view.as_ref(), None)?;
    }
    let entry = OutboxEntry {
        number,
        first,
        atomic,
        intent: draft.intent,
        state: EntryState::Queued,
        depends_on: draft.depends_on,
        seen: seen.clone(),
        author: draft.author,
        schema: cx.schema.hash.clone(),
        created_at_ms: made.at_ms,
        tries: 0,
        replica: None,
        replaces,
        moved_from: Vec::new(),
        conflict: None,
        landed: None,
        in_base: false,
        imported: made.imported,
    };
    cx.add_entry(&entry)?;
    cx.rebase(draft.model, &draft.key)?;
    Ok(seen)
}

/// What the user saw of the record's earlier mutations. One given up may have been carried out: who saw the mutation that
/// replaces it saw, of what it made, all that the edit left.
fn seen(before: &[OutboxEntry], replaces: Option<MutationNumber>) -> Vec<MutationNumber> {
    let earlier = before
        .iter()
        .flat_map(|entry| entry.replaces.into_iter().chain([entry.number]));
    let seen: BTreeSet<MutationNumber> = earlier.chain(replaces).collect();
    seen.into_iter().collect()
}
