//! Mutations of another client's queue become entries of this outbox.
//!
//! Each becomes one entry, in the order in which they are given, under a number of its own; none is folded into another and
//! none is kept out for want of room. They were made on rows of which this replica knows no more than that client kept, so
//! - a plain value stays a plain value, also on counters and sets: what the user had seen before is not known;
//! - a creation is taken even where the record is here already: the server says whether it was carried out.
//!
//! One that was perhaps sent before is marked ([`Imported::MaySent`]): the server looks at the record for its effect.

use std::collections::BTreeSet;

use tombolo_core::id::{MutationNumber, Version};
use tombolo_core::record::Key;
use tombolo_core::schema::MutationKind;

use crate::context::Context;
use crate::input::NewMutation;
use crate::machine::StepError;
use crate::outbox::{self, Draft, Imported, Made};
use crate::render;

/// A mutation of another client's queue.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedMutation {
    /// What the user meant. `base_version` is the version that the other client knew.
    pub mutation: NewMutation,
    /// When it was made, in milliseconds since 1970; `None` if nobody knows: now.
    pub made_at_ms: Option<i64>,
    /// The other client may have sent it.
    pub may_be_sent: bool,
}

/// The number of each, or why it could not become an entry.
type Taken = Vec<Result<MutationNumber, String>>;

/// Takes them in. What cannot become an entry is told by its place; the others are taken all the same.
pub(crate) fn import(cx: &mut Context<'_>, mutations: Vec<ImportedMutation>) -> Result<Taken, StepError> {
    let none = BTreeSet::new();
    let mut taken = Vec::with_capacity(mutations.len());
    for ImportedMutation {
        mut mutation,
        made_at_ms,
        may_be_sent,
    } in mutations
    {
        mutation.base_version = mutation.base_version.or(version_of_creation(cx, &mutation)?);
        let draft = Draft::make_of(cx, &mutation, &none, true)
            .and_then(|draft| outbox::within_request(render::request_bytes(&draft.intent)).map(|()| draft))
            .and_then(|draft| outbox::nameable(draft.before.len()).map(|()| draft));
        let draft = match draft {
            Ok(draft) => draft,
            Err(StepError::Store(error)) => return Err(error.into()),
            Err(error) => {
                taken.push(Err(error.to_string()));
                continue;
            }
        };
        let number = cx.tx.take_numbers(1)?;
        let made = Made {
            at_ms: made_at_ms.unwrap_or(cx.now.wall_ms),
            imported: Some(if may_be_sent {
                Imported::MaySent
            } else {
                Imported::Unsent
            }),
        };
        outbox::put_made(cx, draft, (number, number), false, None, made)?;
        taken.push(Ok(number));
    }
    Ok(taken)
}

/// The version that an edit knows which stands behind a creation that was perhaps sent: the one that the creation made, not
/// the one at which it is found to have been carried out, which others may have edited since.
fn version_of_creation(cx: &mut Context<'_>, mutation: &NewMutation) -> Result<Option<Version>, StepError> {
    if mutation.kind == MutationKind::Create {
        return Ok(None);
    }
    let Some(model) = cx.schema.models.get(mutation.model.0) else {
        return Ok(None);
    };
    let value = |field| {
        mutation
            .values
            .iter()
            .find(|(given, _)| *given == field)
            .map(|(_, v)| v.clone())
    };
    let Some(key) = model
        .key
        .iter()
        .map(|field| value(*field))
        .collect::<Option<_>>()
        .map(Key)
    else {
        return Ok(None);
    };
    let entries = cx.entries_of(model, &key.to_text())?;
    let sent = entries
        .iter()
        .any(|entry| entry.intent.kind == MutationKind::Create && entry.imported == Some(Imported::MaySent));
    Ok(sent.then_some(Version(1)))
}
