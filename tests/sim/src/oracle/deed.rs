//! What a user does to a counter or a set, and what several such deeds come to: written from the promise, not from the
//! code that carries operations out.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tombolo_core::merge::Operation;
use tombolo_core::value::Value;

/// One deed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Deed {
    /// `likes` or `members`.
    pub(crate) field: &'static str,
    /// The app reads the whole and writes the whole.
    pub(crate) whole: bool,
    what: What,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Count(i64),
    Put(String),
    Take(String),
}

impl Deed {
    /// As a plan has it: `likes` `+2`, `members` `=-m1`.
    pub(crate) fn parse(field: &str, value: &str) -> Option<Self> {
        let (whole, deed) = match value.strip_prefix('=') {
            Some(deed) => (true, deed),
            None => (false, value),
        };
        let (field, what) = match field {
            "likes" => ("likes", What::Count(deed.parse().ok()?)),
            "members" => match (deed.strip_prefix('+'), deed.strip_prefix('-')) {
                (Some(member), _) => ("members", What::Put(member.to_owned())),
                (None, Some(member)) => ("members", What::Take(member.to_owned())),
                (None, None) => return None,
            },
            _ => return None,
        };
        Some(Self { field, whole, what })
    }

    pub(crate) fn operation(&self) -> Operation {
        match &self.what {
            What::Count(by) => Operation::Add(Value::Int(*by)),
            What::Put(member) => Operation::Set {
                add: vec![json!(member)],
                remove: Vec::new(),
            },
            What::Take(member) => Operation::Set {
                add: Vec::new(),
                remove: vec![json!(member)],
            },
        }
    }

    /// The whole that an app writes that sees `shown`; `None` if nothing would change.
    pub(crate) fn whole(&self, shown: &Json) -> Option<Value> {
        let mut items = shown.as_array().cloned().unwrap_or_default();
        match &self.what {
            What::Count(by) => return Some(Value::Int(shown.as_i64().unwrap_or_default() + by)),
            What::Put(member) if items.contains(&json!(member)) => return None,
            What::Put(member) => items.push(json!(member)),
            What::Take(member) if !items.contains(&json!(member)) => return None,
            What::Take(member) => items.retain(|item| item != member),
        }
        Some(Value::Json(Json::Array(items).to_string()))
    }
}

/// What `deeds` come to: how much is counted, and for each member whether it was put or taken last.
pub(crate) fn sum(deeds: &[Deed]) -> (i64, BTreeMap<String, bool>) {
    let (mut count, mut members) = (0, BTreeMap::new());
    for deed in deeds {
        match &deed.what {
            What::Count(by) => count += by,
            What::Put(member) => drop(members.insert(member.clone(), true)),
            What::Take(member) => drop(members.insert(member.clone(), false)),
        }
    }
    (count, members)
}

/// What operations that arrived come to, in the same terms.
pub(crate) fn sum_of<'a>(operations: impl Iterator<Item = &'a Operation>) -> (i64, BTreeMap<String, bool>) {
    let (mut count, mut members) = (0, BTreeMap::new());
    for operation in operations {
        match operation {
            Operation::Add(value) => count += value.to_json().as_i64().unwrap_or_default(),
            Operation::Set { add, remove } => {
                let text = |item: &Json| item.as_str().unwrap_or_default().to_owned();
                members.extend(add.iter().map(|item| (text(item), true)));
                members.extend(remove.iter().map(|item| (text(item), false)));
            }
        }
    }
    (count, members)
}

/// `json` after an operation as the outbox keeps it.
pub(crate) fn laid(json: Option<&Json>, operation: &Json) -> Json {
    let (add, remove) = (&operation["add"], &operation["remove"]);
    if let Some(by) = add.as_i64() {
        return json!(json.and_then(Json::as_i64).unwrap_or_default() + by);
    }
    let before = json.and_then(Json::as_array).cloned().unwrap_or_default();
    let mut items = before.clone();
    for item in add.as_array().into_iter().flatten() {
        if !items.contains(item) {
            items.push(item.clone());
        }
    }
    items.retain(|item| !remove.as_array().is_some_and(|gone| gone.contains(item)));
    if items == before {
        // An absent set from which something is taken stays absent.
        return json.cloned().unwrap_or_default();
    }
    Json::Array(items)
}
