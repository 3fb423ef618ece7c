//! Embedded values that somebody wrote whole who does not know the whole of their type.
//!
//! An app of an earlier schema replaces an embedded value by another one. Members that its schema does not have it cannot
//! have meant to remove: they are taken over from what the record holds ([`PartWritten`]). Members that the present schema
//! no longer has are dropped and told like any other field that is gone.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use serde_json::{Map, Value as Json};

use crate::id::FieldId;
use crate::schema::{FieldKind, FieldType, Schema};
use crate::value::Value;

use super::translate::RemovedField;
use super::{Lens, SchemaChange};

/// An embedded value, or a list of them, that was written under an earlier schema, whose type may lack members.
///
/// Members that the writer's schema has and that it left out or emptied stay so. Of a list, an item takes over from the
/// held item that looks the same to the writer (each stands for one, in order); one without such a fellow takes over from
/// the item at its own place if the list's length is the same and no other has taken over from that. An item that was
/// changed while others came or went is a new one.
#[derive(Clone, Debug)]
pub struct PartWritten {
    /// The field, in the present schema.
    pub field: FieldId,
    /// `Model.field`, by its name in the writer's schema.
    place: String,
    was: FieldType,
    under: Arc<Schema>,
}

impl PartialEq for PartWritten {
    fn eq(&self, other: &Self) -> bool {
        (self.field, &self.place, &self.was, &self.under.hash)
            == (other.field, &other.place, &other.was, &other.under.hash)
    }
}

impl PartWritten {
    /// Whether `given` by itself lacks what the field's type `ty` in the present `schema` requires. Then, and then alone, the
    /// record decides whether the write is taken: [`PartWritten::whole`] tells whoever may write what is held.
    #[must_use]
    pub fn lacks(schema: &Schema, ty: &FieldType, given: &Value) -> bool {
        !given.is_null() && ty.parse_json(schema, &given.to_json()).is_err()
    }

    /// `given` with the members that its writer does not know as `held`, the record's present value, has them; `ty` is the
    /// field's type in the present `schema`.
    ///
    /// # Errors
    /// It still lacks what is required now.
    pub fn whole(&self, schema: &Schema, ty: &FieldType, held: &Value, given: &Value) -> Result<Value, SchemaChange> {
        if given.is_null() {
            return Ok(Value::Null);
        }
        let eyes = Eyes {
            old: &self.under,
            new: schema,
        };
        let of_record = held.to_json();
        let whole = eyes.fill(&self.was.kind, &ty.kind, &of_record, given.to_json());
        if whole == of_record {
            // Members may stand in another order, which is no change.
            return Ok(held.clone());
        }
        ty.parse_json(schema, &whole).map_err(|problem| {
            SchemaChange::new(
                &self.place,
                format!("the type changed, and the record has nothing for {problem}"),
            )
        })
    }
}

impl Lens {
    /// What is to be known of `value`, of the old type `was`, when it is written to `field` as a value of the type `is`.
    pub(super) fn part_written(
        &self,
        place: &str,
        was: &FieldType,
        (field, is): (FieldId, &FieldType),
    ) -> Option<PartWritten> {
        let embedded = matches!((&was.kind, &is.kind), (FieldKind::Embedded(_), FieldKind::Embedded(_)));
        embedded.then(|| PartWritten {
            field,
            place: place.to_owned(),
            was: was.clone(),
            under: Arc::clone(&self.old),
        })
    }

    /// The members of `value` that the new schema does not have, by path from the field `name` on. What stood in a list is
    /// told as a list.
    pub(super) fn removed_members(
        &self,
        name: &str,
        was: &FieldType,
        is: &FieldType,
        value: &Value,
    ) -> impl Iterator<Item = RemovedField> + use<> {
        let eyes = Eyes {
            old: &self.old,
            new: &self.new,
        };
        let mut removed = BTreeMap::new();
        let json = value.to_json();
        let root = Path {
            text: name.to_owned(),
            listed: false,
        };
        eyes.removed(&was.kind, &is.kind, &json, &root, &mut removed);
        removed.into_iter().map(|(field, given)| RemovedField { field, given })
    }
}

#[derive(Clone)]
struct Path {
    text: String,
    /// Through a list.
    listed: bool,
}

/// Two schemas, and what somebody who knows only the older one sees.
struct Eyes<'a> {
    old: &'a Schema,
    new: &'a Schema,
}

impl<'a> Eyes<'a> {
    /// The members of the new type, each with what it was in the old type.
    fn members(
        &self,
        was: &'a str,
        is: &'a str,
    ) -> impl Iterator<Item = (&'a str, Option<&'a FieldKind>, &'a FieldType)> + use<'a> {
        let known = self.old.embedded_fields(was);
        self.new.embedded_fields(is).iter().map(move |member| {
            let was = known.iter().find(|known| known.name == member.name);
            (member.name.as_str(), was.map(|was| &was.ty.kind), &member.ty)
        })
    }

    /// Depth is that of the values, which the JSON parser bounds.
    fn fill(&self, was: &'a FieldKind, is: &'a FieldKind, held: &Json, given: Json) -> Json {
        let (FieldKind::Embedded(of_old), FieldKind::Embedded(of_new)) = (was, is) else {
            return given;
        };
        match (held, given) {
            (Json::Object(held), Json::Object(mut given)) => {
                for (name, was, is) in self.members(of_old, of_new) {
                    match (was, held.get(name), given.get_mut(name)) {
                        (None, Some(held), _) => {
                            // One that was made under a schema between the two may not fit any more.
                            if let Ok(held) = is.with_required(false).fit(self.new, held) {
                                given.insert(name.to_owned(), held.to_json());
                            }
                        }
                        (Some(was), Some(held), Some(given)) => *given = self.fill(was, &is.kind, held, given.take()),
                        (None, None, _) | (Some(_), _, None) | (Some(_), None, Some(_)) => {}
                    }
                }
                Json::Object(given)
            }
            (Json::Array(held), Json::Array(given)) => Json::Array(self.fill_items(was, is, held, given)),
            (_, given) => given,
        }
    }

    fn fill_items(&self, was: &'a FieldKind, is: &'a FieldKind, held: &[Json], given: Vec<Json>) -> Vec<Json> {
        let mut alike: HashMap<String, VecDeque<usize>> = HashMap::new();
        for (place, item) in held.iter().enumerate() {
            alike
                .entry(self.look(was, is, item).to_string())
                .or_default()
                .push_back(place);
        }
        let mut free = vec![true; held.len()];
        let mut fellow = |item: &Json| {
            let place = alike.get_mut(&self.look(was, is, item).to_string())?.pop_front()?;
            free[place] = false;
            Some(place)
        };
        let fellows: Vec<Option<usize>> = given.iter().map(&mut fellow).collect();
        let same_length = held.len() == given.len();
        let from = |(place, fellow): (usize, Option<usize>)| {
            let place = fellow.or((same_length && free.get(place) == Some(&true)).then_some(place))?;
            held.get(place)
        };
        let from: Vec<Option<&Json>> = fellows.into_iter().enumerate().map(from).collect();
        let filled = given.into_iter().zip(from).map(|(item, from)| match from {
            Some(held) => self.fill(was, is, held, item),
            None => item,
        });
        filled.collect()
    }

    /// A value as the writer sees it: members that both know, in one order, empty ones left out.
    fn look(&self, was: &'a FieldKind, is: &'a FieldKind, json: &Json) -> Json {
        match (was, is, json) {
            (FieldKind::Embedded(of_old), FieldKind::Embedded(of_new), Json::Object(object)) => {
                let seen = self.members(of_old, of_new).filter_map(|(name, was, is)| {
                    let value = object.get(name).filter(|value| !value.is_null())?;
                    Some((name.to_owned(), self.look(was?, &is.kind, value)))
                });
                Json::Object(seen.collect::<Map<_, _>>())
            }
            (_, _, Json::Array(items)) => items.iter().map(|item| self.look(was, is, item)).collect(),
            (_, _, json) => json.clone(),
        }
    }

    fn removed(
        &self,
        was: &'a FieldKind,
        is: &'a FieldKind,
        json: &Json,
        path: &Path,
        out: &mut BTreeMap<String, Json>,
    ) {
        let (FieldKind::Embedded(of_old), FieldKind::Embedded(of_new)) = (was, is) else {
            return;
        };
        match json {
            Json::Array(items) => {
                let path = Path {
                    text: format!("{}[]", path.text),
                    listed: true,
                };
                items.iter().for_each(|item| self.removed(was, is, item, &path, out));
            }
            Json::Object(object) => {
                for member in self.old.embedded_fields(of_old) {
                    let Some(value) = object.get(&member.name).filter(|value| !value.is_null()) else {
                        continue;
                    };
                    let path = Path {
                        text: format!("{}.{}", path.text, member.name),
                        listed: path.listed,
                    };
                    let now = self
                        .new
                        .embedded_fields(of_new)
                        .iter()
                        .find(|now| now.name == member.name);
                    match now {
                        Some(now) => self.removed(&member.ty.kind, &now.ty.kind, value, &path, out),
                        None if path.listed => {
                            let told = out.entry(path.text).or_insert_with(|| Json::Array(Vec::new()));
                            if let Json::Array(all) = told {
                                all.push(value.clone());
                            }
                        }
                        None => {
                            out.insert(path.text, value.clone());
                        }
                    }
                }
            }
            Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) => {}
        }
    }
}
