//! Saving and deleting whole records.

use serde_json::{Map, Value as Json};
use tombolo_core::id::{FieldId, ModelId, MutationNumber, Version};
use tombolo_core::merge::Operation;
use tombolo_core::query::{Bound, Side, Supplied};
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{ConflictStrategy, Field, FieldKind, FieldType, MergeRule, Model, Schema};
use tombolo_core::value::Value;
use tombolo_machine::{NewMutation, StoreTx};

use super::document::{self, Texts};
use super::{find, key_object, key_of, model};
use crate::inner::Inner;
use crate::limits::OWN_MUTATIONS_COMPARED_MAX;
use crate::mutation::{self, Prepared, wrong_kind};
use crate::writer::{Command, Queued, Work};
use crate::{Client, Error, Mutated};

/// A record to be saved as the app has it. See [`Client::save`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Save {
    /// The model's name.
    pub model: String,
    /// The record: an object by field. What [`Client::find`] gives will do: `_version`, `_deleted`, `_lastChangedAt`,
    /// `__typename` and the fields that the server fills in are passed over.
    pub record: Json,
    /// The same record as the app read it, before it changed it: then only what the app has changed is sent, and what others
    /// have changed since the app read it (by its `_version`, if it is there) is in conflict as the schema says.
    pub before: Option<Json>,
    /// A condition as `updateX` takes it, checked by the server.
    pub condition: Option<Json>,
}

impl Save {
    /// This record, whatever was there before.
    #[must_use]
    pub fn record(model: impl Into<String>, record: Json) -> Self {
        Self {
            model: model.into(),
            record,
            ..Self::default()
        }
    }

    /// This record, which the app read as `before`.
    #[must_use]
    pub fn changed(model: impl Into<String>, before: Json, record: Json) -> Self {
        Self {
            before: Some(before),
            ..Self::record(model, record)
        }
    }
}

/// What a save came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SavedAs {
    /// The replica held no such record: a create is queued.
    Created,
    /// It held it: an update with the fields that differ is queued.
    Updated,
    /// It held it just so: nothing is queued.
    Unchanged,
}

/// What [`Client::save`] gives back at once.
#[derive(Clone, PartialEq)]
pub struct Saved {
    /// What it came to.
    pub saved_as: SavedAs,
    /// The mutation's name in the outbox; `None` for [`SavedAs::Unchanged`].
    pub number: Option<MutationNumber>,
    /// The record as the view has it now, as JSON; `None` if it could not be read any more (another handle closes the client
    /// meanwhile).
    pub record: Option<String>,
}

impl std::fmt::Debug for Saved {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Saved({:?}, {:?})", self.saved_as, self.number)
    }
}

/// What [`Client::delete`] gives back at once.
#[derive(Clone, PartialEq)]
pub struct Deleted {
    /// The mutation's name in the outbox. A create that was never sent is taken back together with its delete, which then ends at once
    /// as discarded.
    pub number: Option<MutationNumber>,
    /// The record as it was, as JSON; `None` if it could not be read any more.
    pub record: Option<String>,
}

impl std::fmt::Debug for Deleted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Deleted({:?})", self.number)
    }
}

/// A save on its way to the writer, which alone knows whether the record is there.
pub(crate) struct Saving {
    model: ModelId,
    /// `None` for a record whose key is yet to be made up.
    key: Option<Key>,
    /// Either mutation, with every field that the app gave, or why it cannot be.
    create: Result<NewMutation, Error>,
    update: Result<NewMutation, Error>,
    before: Option<Read>,
}

/// A record as the app read it.
struct Read {
    values: Vec<(FieldId, Value)>,
    /// `_version`, if the app kept it.
    version: Option<Version>,
}

impl Saving {
    /// Decides on the view row, within the transaction that will write: the mutation, if it takes one, and the row as it is.
    pub(crate) fn plan(
        self: Box<Self>,
        schema: &Schema,
        tx: &mut dyn StoreTx,
    ) -> Result<(Option<NewMutation>, SavedAs, Option<Record>), Error> {
        let Self {
            model: id,
            key,
            create,
            update,
            before,
        } = *self;
        let view = match &key {
            Some(key) => tx.view(id, key)?,
            None => None,
        };
        let model = schema.model(id);
        let Some(row) = view.filter(|row| !row.meta.deleted) else {
            return match before {
                // The app read it, so somebody has deleted it since: not to be made again by accident.
                Some(_) => Err(Error::UnknownRecord {
                    model: model.name.clone(),
                }),
                None => Ok((Some(create?), SavedAs::Created, None)),
            };
        };
        let mut update = update?;
        let (mut values, mut changed) = (Vec::new(), false);
        for (id, value) in std::mem::take(&mut update.values) {
            if model.key.contains(&id) {
                values.push((id, value));
                continue;
            }
            let field = model.field_at(id);
            let was = match &before {
                Some(before) => before.values.iter().find(|(b, _)| *b == id).map(|(_, value)| value),
                None => Some(row.value(id)),
            };
            if was.is_some_and(|was| same_value(schema, &field.ty, was, &value)) {
                continue;
            }
            changed = true;
            match operation(field, was, &value, before.is_some())? {
                Some(operation) if operation.is_nothing() => {}
                Some(operation) => update.operations.push((id, operation)),
                None => values.push((id, value)),
            }
        }
        if !changed || (update.operations.is_empty() && values.len() == model.key.len()) {
            return Ok((None, SavedAs::Unchanged, Some(row)));
        }
        update.values = values;
        if let Some(Read { values, version }) = before {
            // What came in since then the user has not seen. A higher version alone does not say so: it may be of the app's own save.
            let own = match &key {
                Some(key) => own_values(tx, &model.name, key)?,
                None => Vec::new(),
            };
            if overtaken(schema, id, &values, &row, &update, &own) {
                update.base_version = version.filter(|version| version.0 > 0 && *version < row.meta.version);
            }
            update.read = Some(values);
        }
        Ok((Some(update), SavedAs::Updated, Some(row)))
    }
}

/// What the app's own mutations of a record have set, as far as they are known: those on their way, and those that took effect.
fn own_values(tx: &mut dyn StoreTx, model: &str, key: &Key) -> Result<Vec<Map<String, Json>>, Error> {
    let key = key.to_text();
    let entries = tx.entries_of(model, &key)?;
    let mut own: Vec<_> = entries.into_iter().map(|entry| entry.intent.values).collect();
    let ended = tx.took_effect_after(model, &key, MutationNumber(0))?;
    for number in ended.into_iter().rev().take(OWN_MUTATIONS_COMPARED_MAX) {
        own.extend(tx.ended(number)?.map(|ended| ended.intent.values));
    }
    Ok(own)
}

/// Whether what `update` sets rests on something that others have changed since the app had read it. A conflict is found by
/// field, and the version that one is found by is the record's: told an old one, the server takes the app's own saves since then for
/// others'. So it is told one where nothing else is set, or where the schema wants such a change refused or resolved.
fn overtaken(
    schema: &Schema,
    id: ModelId,
    read: &[(FieldId, Value)],
    row: &Record,
    update: &NewMutation,
    own: &[Map<String, Json>],
) -> bool {
    let model = schema.model(id);
    let by_others = |field: FieldId| {
        let (of, now) = (model.field_at(field), row.value(field));
        let is_now = |value: &Value| same_value(schema, &of.ty, now, value);
        let was = read.iter().find(|(read, _)| *read == field);
        let made = |values: &Map<String, Json>| {
            values
                .get(&of.name)
                .is_some_and(|json| is_now(&of.ty.value_from_json(json)))
        };
        was.is_some_and(|(_, was)| !is_now(was)) && !own.iter().any(made)
    };
    let is_strict = |field: &FieldId| {
        matches!(
            model.field_at(*field).merge,
            Some(MergeRule::Reject | MergeRule::Custom)
        )
    };
    let set = update.values.iter().map(|(field, _)| *field);
    let set: Vec<FieldId> = set.filter(|field| !model.key.contains(field)).collect();
    match model.conflict {
        // These go by the record, whichever fields have changed.
        ConflictStrategy::OptimisticConcurrency | ConflictStrategy::Custom => {
            read.iter().any(|(field, _)| by_others(*field))
        }
        ConflictStrategy::Automerge | ConflictStrategy::LastWriterWins => {
            let all = !set.is_empty() && set.iter().all(|field| by_others(*field));
            all || set.iter().any(|field| is_strict(field) && by_others(*field))
        }
    }
}

/// What leads from `was` to `wanted` on a counter or a set. Without what the app had read nobody knows what it means: the row
/// may hold what others have added since.
fn operation(field: &Field, was: Option<&Value>, wanted: &Value, read: bool) -> Result<Option<Operation>, Error> {
    match (field.merge, was) {
        (Some(MergeRule::Counter | MergeRule::Set), Some(was)) if read => Ok(Operation::between(field, was, wanted)),
        (Some(MergeRule::Counter | MergeRule::Set), _) => Err(wrong_kind(&format!(
            "`{}` is a counter or a set and differs from what is there: give the record as it was read (`before`), with this \
             field, so that what others have added stays; or leave the field out",
            field.name
        ))),
        (
            Some(MergeRule::LastWriter | MergeRule::Max | MergeRule::Min | MergeRule::Reject | MergeRule::Custom)
            | None,
            _,
        ) => Ok(None),
    }
}

/// Whether two values of a field are the same to an app: members of embedded values that are absent are null, and what the
/// schema does not know of them is not looked at.
fn same_value(schema: &Schema, ty: &FieldType, a: &Value, b: &Value) -> bool {
    a == b || (matches!((a, b), (Value::Json(_), Value::Json(_))) && same(schema, &ty.kind, &a.to_json(), &b.to_json()))
}

fn same(schema: &Schema, kind: &FieldKind, a: &Json, b: &Json) -> bool {
    match (a, b, kind) {
        (Json::Array(a), Json::Array(b), _) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(schema, kind, a, b))
        }
        (Json::Object(a), Json::Object(b), FieldKind::Embedded(name)) => {
            schema.embedded_fields(name).iter().all(|field| {
                let of = |object: &Map<String, Json>| object.get(&field.name).cloned().unwrap_or_default();
                same(schema, &field.ty.kind, &of(a), &of(b))
            })
        }
        // 1 and 1.0 are the same; two whole numbers beyond 2^53 that one float stands for are not.
        (Json::Number(a), Json::Number(b), _) => a == b || ((a.is_f64() || b.is_f64()) && a.as_f64() == b.as_f64()),
        (a, b, _) => a == b,
    }
}

impl Client {
    /// Saves a record as the app has it: creates it if this replica holds none of its key (or it has no key yet), otherwise updates
    /// the fields that differ, and does nothing if none does. Looking and writing are one step: no other call or process comes
    /// between. Applied to the file and queued like [`Client::mutate`].
    ///
    /// Give [`Save::changed`] what the app had read, and only what it changed is sent. Without it every field that differs
    /// from the record as it is *now* counts as changed: of an old copy, that takes back what came in since. `COUNTER` and `SET` fields
    /// (`@merge`) therefore change with `before` alone, by the difference between the two, which adds to what others do; a save
    /// without it that would change one is refused. Where the record has changed since, the server
    /// merges from the `_version` in `before`: what a form was open for an hour with is in conflict with what came in meanwhile,
    /// as the schema's rules say. Without a `_version` it merges from what this replica last had of the record.
    ///
    /// A field that is left out stays as it is; in a create it takes its `@default`. Relations are saved by their keys.
    ///
    /// ```
    #[doc = include_str!("../../doc/open.rs")]
    /// # use serde_json::{Value, json};
    /// use tombolo::{Save, SavedAs};
    /// let made = client.save(Save::record("Note", json!({ "text": "wet" }))).await?;
    /// assert_eq!(made.saved_as, SavedAs::Created);
    /// let before: Value = serde_json::from_str(&made.record.unwrap()).unwrap();
    /// let mut note = before.clone();
    /// note["text"] = json!("dry");
    /// let changed = client.save(Save::changed("Note", before, note.clone())).await?;
    /// assert_eq!(changed.saved_as, SavedAs::Updated);
    /// let again = client.save(Save::record("Note", note)).await?;
    /// assert_eq!((again.saved_as, again.number), (SavedAs::Unchanged, None));
    #[doc = include_str!("../../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// Nothing is queued then. [`Error::UnknownModel`]; [`Error::Request`] for a field that the model has not, a value of another
    /// type, a required one that is missing from a create, or a counter without `before`; [`Error::UnknownRecord`] with `before` where the
    /// record is gone: save it without, to make it anew. Else as [`Client::mutate`].
    pub async fn save(&self, save: Save) -> Result<Saved, Error> {
        let inner = &self.inner;
        let id = model(&inner.schema, &save.model)?;
        let model = inner.schema.model(id);
        let Json::Object(record) = save.record else {
            return Err(wrong_kind("a record is a JSON object, from field to value"));
        };
        let key = key_of(&inner.schema, model, &record)?;
        let before = save
            .before
            .map(|before| read(&inner.schema, model, before))
            .transpose()?;
        if let (Some(before), Some(key)) = (&before, &key)
            && model
                .key
                .iter()
                .zip(&key.0)
                .any(|(of, now)| before.values.iter().any(|(b, was)| b == of && was != now))
        {
            return Err(wrong_kind(&format!(
                "`before` is another {} than the record: a key cannot be changed; delete the one and save the other without \
                 `before`",
                model.name
            )));
        }
        let input = input(model, record)?;
        let texts = inner.record_documents.of(&inner.schema, id);
        let (created, updated) = (
            Offer::make(inner, &texts, model, true, &input, save.condition.as_ref()),
            Offer::make(inner, &texts, model, false, &input, save.condition.as_ref()),
        );
        let (create, create_bound) = Offer::apart(created);
        let (update, update_bound) = Offer::apart(updated);
        let saving = Box::new(Saving {
            model: id,
            key,
            create,
            update,
            before,
        });
        let work = Work::Save(saving);
        let queued = inner.call(|reply| Command::Mutate(work, reply)).await?;
        let Queued {
            numbers,
            records,
            saved,
        } = queued;
        let saved_as = saved.unwrap_or(SavedAs::Unchanged);
        let bound = match saved_as {
            SavedAs::Created => create_bound,
            SavedAs::Updated | SavedAs::Unchanged => update_bound,
        };
        let record = records.into_iter().next().flatten();
        let record = match (bound, record) {
            (Some(bound), Some(record)) => {
                // Committed: from here on nothing may be told as an error of the call, or the app would do it again.
                let read = inner.read(bound, vec![(0, Supplied::Record(record))]).await;
                read.ok().and_then(|response| find::record(&response).ok().flatten())
            }
            _ => None,
        };
        Ok(Saved {
            saved_as,
            number: numbers.first().copied(),
            record,
        })
    }

    /// Deletes a record by its key, as [`Client::get`] takes it; a whole record will do. Applied to the file and queued like
    /// [`Client::mutate`]. `condition` is one as `deleteX` takes it, checked by the server.
    ///
    /// ```
    #[doc = include_str!("../../doc/open.rs")]
    /// # use serde_json::json;
    /// # use tombolo::Save;
    /// client.save(Save::record("Note", json!({ "id": "n1", "text": "wet" }))).await?;
    /// let gone = client.delete("Note", json!("n1"), None).await?;
    /// assert!(gone.record.unwrap().contains("wet"));
    /// assert_eq!(client.get("Note", json!("n1")).await?, None);
    #[doc = include_str!("../../doc/close.rs")]
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownModel`]; [`Error::Request`] for what is no key or no condition of the model; [`Error::UnknownRecord`] if
    /// this replica does not hold it. Else as [`Client::mutate`].
    pub async fn delete(&self, model_name: &str, key: Json, condition: Option<Json>) -> Result<Deleted, Error> {
        let inner = &self.inner;
        let id = model(&inner.schema, model_name)?;
        let model = inner.schema.model(id);
        let input = key_object(model, key)?;
        let texts = inner.record_documents.of(&inner.schema, id);
        let text = document::absent(texts.delete.as_ref(), model, "delete")?;
        let bound = inner.bind_records(text, variables(input, condition.as_ref()), Side::Replica)?;
        let Mutated { response, numbers } = inner.mutate(bound).await?;
        Ok(Deleted {
            number: numbers.first().copied(),
            record: find::record(&response).ok().flatten(),
        })
    }
}

/// One of the two mutations that a save may be, with the operation that its answer is made by.
struct Offer {
    mutation: NewMutation,
    bound: std::sync::Arc<Bound>,
}

impl Offer {
    fn make(
        inner: &Inner,
        texts: &Texts,
        model: &Model,
        create: bool,
        input: &Map<String, Json>,
        condition: Option<&Json>,
    ) -> Result<Self, Error> {
        let (text, what) = if create {
            (&texts.create, "create")
        } else {
            (&texts.update, "update")
        };
        let text = document::absent(text.as_ref(), model, what)?;
        let bound = inner.bind_records(text, variables(input.clone(), condition), Side::Replica)?;
        let Prepared { bound, mutations } = mutation::prepare(&inner.schema, bound, inner.author.as_deref())?;
        let mutation = mutations.into_iter().next().map(|(_, mutation)| mutation);
        // One root field, and it is a mutation, or `prepare` would have refused it.
        let mutation = mutation.ok_or_else(|| wrong_kind("this is no mutation"))?;
        Ok(Self { mutation, bound })
    }

    fn apart(offer: Result<Self, Error>) -> (Result<NewMutation, Error>, Option<std::sync::Arc<Bound>>) {
        match offer {
            Ok(Self { mutation, bound }) => (Ok(mutation), Some(bound)),
            Err(error) => (Err(error), None),
        }
    }
}

fn variables(input: Map<String, Json>, condition: Option<&Json>) -> Map<String, Json> {
    let mut variables = Map::from_iter([("input".to_owned(), Json::Object(input))]);
    variables.extend(condition.map(|condition| ("condition".to_owned(), condition.clone())));
    variables
}

/// What of a record goes into the input of a mutation.
fn input(model: &Model, record: Map<String, Json>) -> Result<Map<String, Json>, Error> {
    let mut input = Map::new();
    for (name, json) in record {
        if matches!(name.as_str(), "__typename" | "_version" | "_deleted" | "_lastChangedAt") {
            continue;
        }
        match model.field(&name) {
            Some(field) if model.field_at(field).origin.is_given() => {
                input.insert(name, json);
            }
            Some(_) => {}
            None if model.relation(&name).is_some() => {
                return Err(wrong_kind(&format!(
                    "`{name}` of {} is a relation: save it by the field that holds its key, and the other record by itself",
                    model.name
                )));
            }
            None => return Err(wrong_kind(&format!("{} has no field `{name}`", model.name))),
        }
    }
    Ok(input)
}

/// The values of a record that the app read.
fn read(schema: &Schema, model: &Model, record: Json) -> Result<Read, Error> {
    let Json::Object(record) = record else {
        return Err(wrong_kind(
            "the record as it was read is a JSON object, from field to value",
        ));
    };
    let version = match record.get("_version") {
        None | Some(Json::Null) => None,
        Some(version) => Some(version.as_i64().map(Version).ok_or_else(|| {
            wrong_kind(
                "`_version` of the record as it was read is no whole number: give it as it was read, or leave it out",
            )
        })?),
    };
    let values: Result<_, Error> = input(model, record)?
        .into_iter()
        .filter_map(|(name, json)| {
            let id = model.field(&name)?;
            // A null is what there was, also where there ought to be none.
            let value = model.field_at(id).ty.with_required(false).parse_json(schema, &json);
            Some(
                value
                    .map(|value| (id, value))
                    .map_err(|error| wrong_kind(&format!("`{name}` of the record as it was read: {error}"))),
            )
        })
        .collect();
    Ok(Read {
        values: values?,
        version,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    /// What two numbers are that one float stands for.
    #[test]
    fn whole_numbers_beyond_what_a_float_holds_are_told_apart() {
        let sdl = "type Log { at: AWSTimestamp } type A @model { id: ID! log: Log }";
        let schema = Schema::parse(sdl, "s.graphql").unwrap();
        let is_same = |a: Json, b: Json| {
            same(
                &schema,
                &FieldKind::Embedded("Log".into()),
                &json!({"at": a}),
                &json!({"at": b}),
            )
        };
        assert!(!is_same(
            json!(9_007_199_254_740_992_i64),
            json!(9_007_199_254_740_993_i64)
        ));
        assert!(is_same(json!(1), json!(1.0)));
        assert!(!is_same(json!(1), json!(1.5)));
    }
}
