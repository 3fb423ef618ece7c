//! Asking a resolver: the question that a `CUSTOM` conflict gives, the answers there are, and how an answer is read.
//!
//! A batch is decided inside a transaction, where nobody can be waited for. So a conflict that a resolver is to settle
//! leaves its submission undecided with a [`Question`], each record's first at the same time; the caller asks outside the
//! transaction and submits again with every [`Resolution`]. If a record has moved on meanwhile, its resolution does not fit and
//! that question comes again.

use std::sync::Arc;

use serde_json::{Map, Value as Json, json};
use tombolo_core::access::{Access, AuthMode, Identity};
use tombolo_core::id::{FieldId, ModelId, Version};
use tombolo_core::record::{Key, Record};
use tombolo_core::schema::{Model, MutationKind, PartWritten, RemovedField, Schema};
use tombolo_core::value::Value;
use tombolo_core::wire::envelope::RejectReason;
use tombolo_core::wire::graphql::ErrorType;

use super::trace;

/// What else is known of a submission, beside its mutations.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Context {
    /// Who sent it.
    pub identity: Option<Identity>,
    /// What the sender may do; `None`: the server itself, everything.
    pub access: Option<Arc<Access>>,
    /// For each mutation what the sender saw in the fields it sets, as far as it said so.
    pub base: Vec<Option<Map<String, Json>>>,
    /// The request, if it cannot be read or carried out: kept with its rejection.
    pub request: Option<Arc<Json>>,
    /// [`super::Digest::of_request`] of a replica's request.
    pub request_digest: Option<u64>,
    /// What a resolver has answered so far.
    pub resolutions: Vec<Resolution>,
    /// For each mutation of an earlier schema what it gave for fields that are gone: told in its trace.
    pub removed: Vec<Vec<RemovedField>>,
    /// For each mutation of an earlier schema its embedded values that are completed from the record.
    pub parts: Vec<Vec<PartWritten>>,
}

impl Context {
    /// What the sender saw in the fields of the mutation at `place`.
    #[must_use]
    pub fn base(&self, place: usize) -> Option<&Map<String, Json>> {
        self.base.get(place).and_then(Option::as_ref)
    }

    /// The embedded values of the mutation at `place` that are completed from the record.
    #[must_use]
    pub fn parts(&self, place: usize) -> &[PartWritten] {
        self.parts.get(place).map_or(&[], Vec::as_slice)
    }

    /// The answer for the mutation at `place`, if it was given for `version` of the record.
    #[must_use]
    pub fn resolution(&self, place: usize, version: Version) -> Option<&Action> {
        let fits = |resolution: &&Resolution| resolution.place == place && resolution.on_version == version;
        self.resolutions.iter().find(fits).map(|resolution| &resolution.action)
    }

    /// Takes an answer; an earlier one for the same mutation is forgotten.
    pub fn resolve(&mut self, resolution: Resolution) {
        self.resolutions.retain(|earlier| earlier.place != resolution.place);
        self.resolutions.push(resolution);
    }
}

/// What a resolver is asked.
#[derive(Clone, Debug, PartialEq)]
pub struct Question {
    /// Which mutation of the submission, counted from 0.
    pub place: usize,
    /// The model.
    pub model: ModelId,
    /// The record.
    pub key: Key,
    /// What the mutation is to do.
    pub kind: MutationKind,
    /// The record as the server has it; the answer is for this version alone.
    pub stored: Record,
    /// The values that were sent.
    pub incoming: Vec<(FieldId, Value)>,
    /// The operations that were sent, by field.
    pub operations: Map<String, Json>,
    /// What the sender saw in the fields it sets, if it said so.
    pub base: Option<Map<String, Json>>,
    /// The fields in conflict that the resolver is to settle.
    pub fields: Vec<FieldId>,
    /// Who sent it.
    pub identity: Option<Identity>,
}

impl Question {
    /// As it is posted to the resolver.
    #[must_use]
    pub fn to_json(&self, schema: &Schema) -> Json {
        let model = &schema[self.model];
        let name = |field: &FieldId| model.field_at(*field).name.clone();
        let mut server: Map<String, Json> = model
            .fields
            .iter()
            .enumerate()
            .map(|(place, field)| (field.name.clone(), self.stored.value(FieldId(place)).to_json()))
            .collect();
        server.insert("_version".into(), Json::from(self.stored.meta.version.0));
        server.insert("_lastChangedAt".into(), Json::from(self.stored.meta.last_changed_at));
        let mut incoming = trace::named(model, &self.incoming);
        if !self.operations.is_empty() {
            incoming.insert("_operations".into(), Json::Object(self.operations.clone()));
        }
        json!({
            "model": model.name,
            "key": trace::key_json(&self.key),
            "kind": self.kind,
            "base": self.base,
            "server": server,
            "incoming": incoming,
            "conflicts": self.fields.iter().map(name).collect::<Vec<_>>(),
            "identity": self.identity.as_ref().map(identity_json),
        })
    }

    /// Reads the resolver's answer, which is JSON or is not.
    ///
    /// What is no answer rejects the mutation: asking again would give the same.
    #[must_use]
    pub fn resolution(&self, schema: &Schema, answer: &[u8]) -> Resolution {
        match read(schema, &schema[self.model], &self.key, answer) {
            Ok(action) => self.answered(action),
            Err(Malformed(problem)) => self.malformed(&problem),
        }
    }

    /// The rejection for an answer that cannot be used.
    #[must_use]
    pub fn malformed(&self, problem: &str) -> Resolution {
        self.answered(Action::Reject(RejectReason {
            code: ErrorType::ConflictError,
            message: format!("the conflict resolver gave an answer that cannot be used: {problem}"),
        }))
    }

    fn answered(&self, action: Action) -> Resolution {
        Resolution {
            place: self.place,
            on_version: self.stored.meta.version,
            action,
        }
    }
}

/// A resolver's answer to a [`Question`].
#[derive(Clone, Debug, PartialEq)]
pub struct Resolution {
    /// Which mutation of the submission.
    pub place: usize,
    /// The version of the record that the resolver was shown.
    pub on_version: Version,
    /// What is to be done.
    pub action: Action,
}

/// What a resolver decided.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// These fields are written; the others stay as the server has them or as their own rules say.
    Resolve(Vec<(FieldId, Value)>),
    /// The mutation is rejected.
    Reject(RejectReason),
    /// The record is deleted.
    Remove,
}

struct Malformed(String);

fn read(schema: &Schema, model: &Model, key: &Key, answer: &[u8]) -> Result<Action, Malformed> {
    let malformed = |problem: &str| Malformed(problem.to_owned());
    let answer: Json =
        serde_json::from_slice(answer).map_err(|error| Malformed(format!("it is not JSON ({error})")))?;
    let action = answer.get("action").and_then(Json::as_str);
    // AppSync writes the actions in capitals.
    match action.map(str::to_ascii_lowercase).as_deref() {
        Some("resolve") => {
            let item = answer.get("item").and_then(Json::as_object);
            let item = item.ok_or_else(|| malformed("`resolve` needs an object `item`"))?;
            fields(schema, model, key, item).map(Action::Resolve)
        }
        Some("reject") => Ok(Action::Reject(RejectReason {
            code: ErrorType::ConflictUnhandled,
            message: match answer.get("message").and_then(Json::as_str) {
                Some(message) => message.chars().take(MESSAGE_CHARS_MAX).collect(),
                None => "Conflict resolver rejects mutation.".to_owned(),
            },
        })),
        Some("remove") => Ok(Action::Remove),
        Some(_) | None => Err(malformed("`action` must be `resolve`, `reject` or `remove`")),
    }
}

/// Longest message of a resolver that is kept with a rejection, in characters: a paragraph for people.
pub const MESSAGE_CHARS_MAX: usize = 1_000;

/// The fields that a resolver's item sets. Facts about the record, and key fields as they are, may be among them.
fn fields(
    schema: &Schema,
    model: &Model,
    key: &Key,
    item: &Map<String, Json>,
) -> Result<Vec<(FieldId, Value)>, Malformed> {
    let mut values = Vec::with_capacity(item.len());
    for (name, json) in item {
        if name.starts_with('_') {
            continue;
        }
        let Some(field) = model.field(name) else {
            return Err(Malformed(format!(
                "`item` has `{name}`, which is no stored field of {}",
                model.name
            )));
        };
        let ty = &model.field_at(field).ty;
        let value = match json {
            Json::Null => Value::Null,
            json => ty
                .parse_json(schema, json)
                .map_err(|error| Malformed(format!("`item.{name}`: {error}")))?,
        };
        if value.is_null() && ty.required {
            return Err(Malformed(format!("`item.{name}` is required and would be null")));
        }
        match model.key.iter().zip(&key.0).find(|(of_key, _)| **of_key == field) {
            Some((_, is)) if *is == value => {}
            Some(_) => return Err(Malformed(format!("`item.{name}` is part of the key and cannot change"))),
            None => values.push((field, value)),
        }
    }
    Ok(values)
}

fn identity_json(identity: &Identity) -> Json {
    let mode = identity.mode().map(AuthMode::name);
    match identity {
        Identity::ApiKey { name } => json!({ "mode": mode, "name": name }),
        Identity::User(user) => json!({ "mode": mode, "claims": user.claims }),
        Identity::Iam(caller) => json!({ "mode": mode, "name": caller.name }),
        Identity::Function(caller) => json!({ "mode": mode, "resolverContext": caller.context }),
        Identity::Local => json!({ "mode": mode }),
    }
}
