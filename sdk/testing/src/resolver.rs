//! The conflict resolver of a test: a closure where a server in the world has an HTTP endpoint.
//!
//! It is asked and answers in the endpoint's own JSON, so that what a real answer would be refused for is refused here.

use std::fmt;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Map, Value as Json, json};
use tombolo_core::schema::{ConflictStrategy, MergeRule, MutationKind, Schema};
use tombolo_core::wire::graphql::ErrorType;
use tombolo_engine::decide::ask::{Question, Resolution as Decided};
use tombolo_engine::{Undecided, Verdict};

/// A conflict that the schema leaves to a resolver (`@model(conflict: CUSTOM)`, `@merge(rule: CUSTOM)`), as the resolver's
/// HTTP endpoint is told it. All values are JSON, by the names of their fields.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[non_exhaustive]
pub struct Conflict {
    /// The model.
    pub model: String,
    /// The values of the record's key, in order.
    pub key: Vec<Json>,
    /// What the mutation is to do.
    pub kind: MutationKind,
    /// What its sender saw in the fields that it sets; a phone always says so, another client need not.
    #[serde(default)]
    pub base: Option<Map<String, Json>>,
    /// The record as the server has it, with `_version` and `_lastChangedAt`.
    pub server: Map<String, Json>,
    /// The values that were sent; operations under `_operations`.
    pub incoming: Map<String, Json>,
    /// The fields that are to be settled. Empty where the record has changed, and none of the fields that were sent.
    #[serde(rename = "conflicts")]
    pub fields: Vec<String>,
}

/// What a resolver answers.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// These fields are written (an object from field to value); the others stay as the server has them.
    Resolve(Json),
    /// The mutation is rejected, with this message.
    Reject(String),
    /// The record is deleted.
    Remove,
    /// The endpoint does not answer: nothing is decided, the phone sends the mutation again, and shows it as wedged after
    /// a bound of tries.
    Silence,
}

type Resolve = dyn Fn(&Conflict) -> Resolution + Send + Sync;

/// Who settles the conflicts that a schema leaves to a resolver.
#[derive(Clone, Default)]
pub(crate) struct Resolver(Option<Arc<Resolve>>);

impl fmt::Debug for Resolver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_there() { "Resolver" } else { "no Resolver" })
    }
}

impl Resolver {
    pub(crate) fn new(resolve: impl Fn(&Conflict) -> Resolution + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(resolve)))
    }

    pub(crate) fn is_there(&self) -> bool {
        self.0.is_some()
    }

    /// The answer to a question; the verdict to give back if there is none.
    pub(crate) fn answer(&self, question: &Question, schema: &Schema) -> Result<Decided, Verdict> {
        let silence = || unresolved("the conflict resolver of the test did not answer", false);
        let resolve = self.0.as_deref().ok_or_else(silence)?;
        let conflict = serde_json::from_value::<Conflict>(question.to_json(schema))
            .map_err(|error| unresolved(&format!("the conflict cannot be told: {error}"), false))?;
        let answer = match resolve(&conflict) {
            Resolution::Resolve(item) => json!({ "action": "resolve", "item": item }),
            Resolution::Reject(message) => json!({ "action": "reject", "message": message }),
            Resolution::Remove => json!({ "action": "remove" }),
            Resolution::Silence => return Err(silence()),
        };
        Ok(question.resolution(schema, answer.to_string().as_bytes()))
    }
}

/// Nothing was decided. With `retry` a phone tries for as long as it takes, without it a bound of times.
pub(crate) fn unresolved(why: &str, retry: bool) -> Verdict {
    Verdict {
        undecided: Some(Undecided {
            code: ErrorType::InternalFailure,
            message: format!("{why}; nothing was decided, send it again later"),
            retry,
        }),
        ..Verdict::default()
    }
}

/// The models and fields of `schema` that ask for a resolver, as text; empty if there are none.
pub(crate) fn asking(schema: &Schema) -> String {
    let mut places = Vec::new();
    for model in &schema.models {
        if model.conflict == ConflictStrategy::Custom {
            places.push(model.name.clone());
        }
        let fields = model
            .fields
            .iter()
            .filter(|field| field.merge == Some(MergeRule::Custom));
        places.extend(fields.map(|field| format!("{}.{}", model.name, field.name)));
    }
    places.join(", ")
}
