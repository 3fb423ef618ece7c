//! The types of answers: what an operation or a fragment selects, as named objects.

use std::collections::BTreeSet;

use apollo_compiler::ast::DirectiveList;
use apollo_compiler::executable::{Field, Selection as Selected, SelectionSet};
use apollo_compiler::{ExecutableDocument, Node};
use serde::Serialize;

use crate::names::{self, Given};
use crate::types::{TypeRef, Types};

/// Inputs and enums that operations mention.
#[derive(Debug, Default)]
pub(crate) struct Used {
    pub(crate) names: BTreeSet<String>,
}

/// One object of an answer. Fragments are laid out into it: their fields stand among its own.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Selection {
    /// Its type's name in the language, unique among all generated types.
    pub(crate) type_name: String,
    /// The API's type that is selected from: `Flight`.
    pub(crate) graphql_type: String,
    /// Whether it is a fragment's own object, declared with the fragment and not here: the selection is that one spread and
    /// nothing else.
    pub(crate) shared: bool,
    pub(crate) fields: Vec<SelectedField>,
    /// The fragments that are spread in it, by name, directly or through others.
    pub(crate) fragments: Vec<String>,
}

/// One field of an answer.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct SelectedField {
    /// Its key in the answer: the alias, or the field's name.
    pub(crate) name: String,
    /// The field's name in the API.
    pub(crate) field: String,
    pub(crate) ident: String,
    pub(crate) local: String,
    pub(crate) doc: Option<String>,
    /// With the object's type in the language as its element. Nullable too if `conditional`.
    #[serde(rename = "type")]
    pub(crate) ty: TypeRef,
    /// Whether the key may be missing: `@include`, `@skip`, or a fragment on a narrower type.
    pub(crate) conditional: bool,
    /// What is selected of an object.
    pub(crate) selection: Option<Box<Selection>>,
}

/// What is gathered of one response key.
struct Gathered<'d> {
    key: String,
    field: &'d Node<Field>,
    /// For each of its occurrences what is selected there, and under which conditions.
    occurrences: Vec<(&'d SelectionSet, Conditions)>,
}

/// What must hold so that a field is in the answer: variables of `@include` and `@skip`, narrower types of an object. Nothing:
/// it is always there.
pub(crate) type Conditions = BTreeSet<String>;

impl Gathered<'_> {
    /// Whether the key may be missing.
    fn is_conditional(&self) -> bool {
        self.occurrences.iter().all(|(_, conditions)| !conditions.is_empty())
    }
}

impl<'d> Gathered<'d> {
    /// What is selected of the object, each set with what must hold besides that the object is there: one that is selected
    /// in some cases only, beside others, gives its fields in those cases only.
    fn sets(&self) -> Vec<(&'d SelectionSet, Conditions)> {
        let in_all = |condition: &String| self.occurrences.iter().all(|(_, of)| of.contains(condition));
        let besides = |of: &Conditions| of.iter().filter(|it| !in_all(it)).cloned().collect();
        let sets = self.occurrences.iter();
        sets.map(|(set, conditions)| (*set, besides(conditions))).collect()
    }
}

/// Lays out selections of one document.
pub(crate) struct Layout<'a, 'd, 's> {
    pub(crate) types: &'a mut Types<'s>,
    pub(crate) document: &'d ExecutableDocument,
    /// Fragment name → its object's type name, of fragments that are laid out already.
    pub(crate) shared: &'a std::collections::BTreeMap<String, Selection>,
}

impl<'d> Layout<'_, 'd, '_> {
    /// The object of `sets`, called `type_name`; its own objects are called after their place in it.
    pub(crate) fn object(
        &mut self,
        graphql_type: &str,
        sets: &[(&'d SelectionSet, Conditions)],
        type_name: String,
    ) -> Selection {
        let mut gathered: Vec<Gathered<'d>> = Vec::new();
        let mut fragments = Vec::new();
        for (set, conditions) in sets {
            let of = Of {
                graphql_type,
                type_name: &type_name,
            };
            self.gather(of, set, conditions, &mut gathered, &mut fragments);
        }
        let mut given = Given::default();
        let mut given_local = Given::default();
        let language = self.types.language;
        let mut fields = Vec::new();
        for one in gathered {
            let inner = one.field.ty().inner_named_type().to_string();
            let (conditional, sets) = (one.is_conditional(), one.sets());
            let selection = (!one.field.selection_set.is_empty()).then(|| {
                if let Some(shared) = self.whole_fragment(&inner, &sets) {
                    return Box::new(shared);
                }
                let name = format!("{type_name}{}", names::type_name(language, &one.key));
                let name = self.types.give(&name);
                Box::new(self.object(&inner, &sets, name))
            });
            let element = selection.as_ref().map(|it| it.type_name.clone());
            let ty = one.field.ty().clone();
            let ty = if conditional { ty.nullable() } else { ty };
            fields.push(SelectedField {
                ident: given.give(names::member(language, &one.key)),
                local: given_local.give(names::local(language, &one.key)),
                doc: self.types.docs.of(&format!("{graphql_type}.{}", one.field.name)),
                ty: self.types.of(&ty, element.as_deref()),
                name: one.key,
                field: one.field.name.to_string(),
                conditional,
                selection,
            });
        }
        Selection {
            type_name,
            graphql_type: graphql_type.to_owned(),
            shared: false,
            fields,
            fragments,
        }
    }

    /// The fragment's object, if the selection is one spread of a fragment on this very type.
    fn whole_fragment(&self, graphql_type: &str, sets: &[(&SelectionSet, Conditions)]) -> Option<Selection> {
        let [(set, _)] = sets else { return None };
        let [Selected::FragmentSpread(spread)] = set.selections.as_slice() else {
            return None;
        };
        let found = self.shared.get(spread.fragment_name.as_str())?;
        let plain = !is_conditional(&spread.directives) && found.graphql_type == graphql_type;
        plain.then(|| Selection {
            shared: true,
            fragments: vec![spread.fragment_name.to_string()],
            ..found.clone()
        })
    }

    fn gather(
        &self,
        of: Of<'_>,
        set: &'d SelectionSet,
        conditions: &Conditions,
        out: &mut Vec<Gathered<'d>>,
        fragments: &mut Vec<String>,
    ) {
        for selected in &set.selections {
            match selected {
                Selected::Field(field) => {
                    let key = field.response_key().to_string();
                    let occurrence = (&field.selection_set, with(conditions, &field.directives));
                    match out.iter_mut().find(|it| it.key == key) {
                        Some(known) => known.occurrences.push(occurrence),
                        None => out.push(Gathered {
                            key,
                            field,
                            occurrences: vec![occurrence],
                        }),
                    }
                }
                Selected::InlineFragment(inline) => {
                    let mut conditions = with(conditions, &inline.directives);
                    if let Some(ty) = &inline.type_condition {
                        self.narrow(of, ty, &mut conditions);
                    }
                    self.gather(of, &inline.selection_set, &conditions, out, fragments);
                }
                Selected::FragmentSpread(spread) => {
                    let Some(fragment) = spread.fragment_def(self.document) else {
                        continue;
                    };
                    let name = spread.fragment_name.to_string();
                    let mut conditions = with(conditions, &spread.directives);
                    self.narrow(of, fragment.type_condition(), &mut conditions);
                    if conditions.is_empty() && !fragments.contains(&name) {
                        fragments.push(name);
                    }
                    self.gather(of, &fragment.selection_set, &conditions, out, fragments);
                }
            }
        }
    }

    /// Adds the type that an object must be of, where some are of others.
    fn narrow(&self, of: Of<'_>, condition: &str, conditions: &mut Conditions) {
        if self.is_narrower(of.graphql_type, condition) {
            conditions.insert(format!("{} on {condition}", of.type_name));
        }
    }

    /// Whether some objects of `graphql_type` are not of `condition`.
    fn is_narrower(&self, graphql_type: &str, condition: &str) -> bool {
        graphql_type != condition && !self.types.schema.api.is_subtype(condition, graphql_type)
    }
}

/// The object whose fields are gathered.
#[derive(Clone, Copy)]
struct Of<'a> {
    graphql_type: &'a str,
    /// Unique: by it conditions on its type are told from those on another object's.
    type_name: &'a str,
}

/// `conditions`, and those of `@include` and `@skip`.
fn with(conditions: &Conditions, directives: &DirectiveList) -> Conditions {
    let own = directives
        .iter()
        .filter(|it| matches!(it.name.as_str(), "include" | "skip"));
    conditions.iter().cloned().chain(own.map(|it| it.to_string())).collect()
}

fn is_conditional(directives: &DirectiveList) -> bool {
    directives.has("include") || directives.has("skip")
}

/// The objects that are declared with this one: itself and those in it that no fragment declares, the outer first.
pub(crate) fn declared(selection: &Selection) -> Vec<Selection> {
    let mut out = Vec::new();
    let mut due = vec![selection];
    while let Some(next) = due.pop() {
        if next.shared {
            continue;
        }
        out.push(next.clone());
        due.extend(next.fields.iter().rev().filter_map(|field| field.selection.as_deref()));
    }
    out
}
