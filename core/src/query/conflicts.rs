//! `tomboloConflicts`: what is asked for, and how the page that the server makes as JSON stands in the answer.

use apollo_compiler::executable::SelectionSet;
use serde_json::Value as Json;

use super::filter_parse::bad;
use super::leaf::write_text;
use super::list::argument;
use super::plan::{lead, quoted};
use super::request::ConflictsInput;
use super::select::Planner;
use crate::id::ReplicaId;
use crate::wire::envelope::OutcomeKind;
use crate::wire::graphql::GraphqlError;

/// Reads the arguments.
pub(super) fn read(arguments: &[(String, Json)]) -> Result<ConflictsInput, GraphqlError> {
    let text = |name: &str| argument(arguments, name).and_then(Json::as_str);
    let outcome = match text("outcome") {
        None => None,
        Some("merged") => Some(OutcomeKind::Merged),
        Some("rejected") => Some(OutcomeKind::Rejected),
        Some(other) => return Err(bad(format!("`outcome` is `merged` or `rejected`, not {other:?}"))),
    };
    let limit = match argument(arguments, "limit") {
        None => None,
        Some(json) => match json.as_u64().and_then(|n| usize::try_from(n).ok()) {
            Some(n) if n > 0 => Some(n),
            Some(_) | None => return Err(bad("`limit` is a number of conflicts from 1 up")),
        },
    };
    let before = match text("nextToken") {
        None => None,
        Some(token) => match token.parse::<i64>() {
            Ok(id) if id > 0 => Some(id),
            Ok(_) | Err(_) => {
                return Err(bad(
                    "`nextToken` cannot be read: send it exactly as it was given, or none for the first page",
                ));
            }
        },
    };
    Ok(ConflictsInput {
        model: text("model").map(str::to_owned),
        replica: text("replica").map(|id| ReplicaId(id.to_owned())),
        outcome,
        limit,
        before,
    })
}

/// What is selected of an object that is handed over as JSON.
#[derive(Clone, Debug, Default)]
pub(super) struct Projection {
    slots: Vec<Slot>,
}

#[derive(Clone, Debug)]
struct Slot {
    lead: Box<[u8]>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// `__typename`.
    Const(Box<[u8]>),
    /// The member as it stands.
    Whole(String),
    /// The member, an object or a list of objects, by what is selected of it.
    Part(String, Projection),
}

impl Projection {
    /// Plans the selection `sets`. Recursion ends with the document's depth, which is bounded.
    pub(super) fn plan<'a>(planner: &mut Planner<'a>, sets: &[&'a SelectionSet]) -> Result<Self, GraphqlError> {
        let type_name = sets.first().map_or("", |set| set.ty.as_str());
        let groups = planner.collect(type_name, sets)?;
        let mut slots = Vec::with_capacity(groups.len());
        for (place, (key, fields)) in groups.iter().enumerate() {
            let name = fields[0].name.as_str();
            let below: Vec<&'a SelectionSet> = fields.iter().map(|field| &field.selection_set).collect();
            let what = if name == "__typename" {
                What::Const(quoted(type_name))
            } else if below.iter().all(|set| set.selections.is_empty()) {
                What::Whole(name.to_owned())
            } else {
                What::Part(name.to_owned(), Self::plan(planner, &below)?)
            };
            slots.push(Slot {
                lead: lead(place == 0, key),
                what,
            });
        }
        Ok(Self { slots })
    }

    /// Writes what is selected of `json`; of a list, of each of its items.
    pub(super) fn write(&self, json: &Json, out: &mut Vec<u8>) {
        match json {
            Json::Array(items) => {
                out.push(b'[');
                for (place, item) in items.iter().enumerate() {
                    if place > 0 {
                        out.push(b',');
                    }
                    self.write(item, out);
                }
                out.push(b']');
            }
            Json::Object(object) => {
                if self.slots.is_empty() {
                    out.push(b'{');
                }
                for slot in &self.slots {
                    out.extend_from_slice(&slot.lead);
                    match &slot.what {
                        What::Const(bytes) => out.extend_from_slice(bytes),
                        What::Whole(name) => write_json(object.get(name).unwrap_or(&Json::Null), out),
                        What::Part(name, part) => part.write(object.get(name).unwrap_or(&Json::Null), out),
                    }
                }
                out.push(b'}');
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => write_json(json, out),
        }
    }
}

fn write_json(json: &Json, out: &mut Vec<u8>) {
    match json {
        Json::String(text) => write_text(text, out),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Array(_) | Json::Object(_) => {
            out.extend_from_slice(json.to_string().as_bytes());
        }
    }
}
