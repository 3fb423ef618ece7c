//! What selects all of a record, embedded values with theirs, in a document that server and SDK take.
//!
//! A type that holds itself has no end, and one that holds others in many ways grows with each level. Where a selection
//! stops it asks for `__typename`, and nothing else: a value that goes on there is seen to, a list keeps its length, and what
//! was read in part is refused when it is written back whole, since no input has a `__typename`.

use std::collections::BTreeSet;

use tombolo_core::limits::DOCUMENT_DEPTH_MAX;
use tombolo_core::schema::{FieldKind, Schema};

use super::EMBEDDED_DEPTH_MAX;
use super::model::Field;

/// Most fields that are selected of a record's embedded values: some 20 KB of text, and with the record's own fields (500 at
/// most) far from the 30,000 tokens of a document.
const EMBEDDED_FIELDS_MAX: usize = 2_000;

/// Levels of embedded values of any type: a document's own take up to six.
const LEVELS_MAX: usize = DOCUMENT_DEPTH_MAX - 6;

/// The selection of a record.
pub(super) struct Whole {
    /// `id place { lat lon }`.
    pub(super) text: String,
    /// Whether it stops somewhere.
    pub(super) nests: bool,
}

/// What selects `fields`: types that hold themselves [`EMBEDDED_DEPTH_MAX`] deep, or everything less deep if there is too much.
pub(super) fn whole(schema: &Schema, fields: &[Field]) -> Whole {
    let depths = std::iter::once(LEVELS_MAX).chain((0..EMBEDDED_DEPTH_MAX).rev());
    for levels_max in depths {
        let mut selecting = Selecting {
            schema,
            levels_max,
            // Without any there is nothing less to ask for.
            room: if levels_max == 0 {
                usize::MAX
            } else {
                EMBEDDED_FIELDS_MAX
            },
            out: Whole {
                text: String::new(),
                nests: false,
            },
        };
        let fits = fields.iter().all(|field| match field.ty.kind {
            "embedded" => selecting.embedded(&field.name, &field.ty.name, 0, 0),
            _ => selecting.plain(&field.name),
        });
        if fits {
            return selecting.out;
        }
    }
    Whole {
        text: "__typename".to_owned(),
        nests: true,
    }
}

struct Selecting<'a> {
    schema: &'a Schema,
    levels_max: usize,
    /// Fields of embedded values that may still be selected.
    room: usize,
    out: Whole,
}

impl Selecting<'_> {
    fn plain(&mut self, text: &str) -> bool {
        if !self.out.text.is_empty() && !self.out.text.ends_with("{ ") {
            self.out.text.push(' ');
        }
        self.out.text.push_str(text);
        true
    }

    /// Selects the field `name` of type `of`, inside `levels` embedded values, `own` of them of types that hold themselves.
    /// False where there is no room.
    fn embedded(&mut self, name: &str, of: &str, levels: usize, own: usize) -> bool {
        self.plain(name);
        let own = own + usize::from(holds_itself(self.schema, of));
        if levels >= self.levels_max || own > EMBEDDED_DEPTH_MAX {
            self.out.text.push_str(" { __typename }");
            self.out.nests = true;
            return true;
        }
        self.out.text.push_str(" { ");
        let schema = self.schema;
        for field in schema.embedded_fields(of) {
            let Some(left) = self.room.checked_sub(1) else {
                return false;
            };
            self.room = left;
            let fits = match &field.ty.kind {
                FieldKind::Embedded(other) => self.embedded(&field.name, other, levels + 1, own),
                FieldKind::Scalar(_) | FieldKind::Enum(_) => self.plain(&field.name),
            };
            if !fits {
                return false;
            }
        }
        self.out.text.push_str(" }");
        true
    }
}

/// Whether a value of the type may hold another of it, in lists too.
fn holds_itself(schema: &Schema, name: &str) -> bool {
    let held = |of: &str| {
        let fields = schema.embedded_fields(of).iter();
        fields.filter_map(|field| match &field.ty.kind {
            FieldKind::Embedded(other) => Some(other.clone()),
            FieldKind::Scalar(_) | FieldKind::Enum(_) => None,
        })
    };
    let mut due: Vec<String> = held(name).collect();
    let mut seen = BTreeSet::new();
    while let Some(next) = due.pop() {
        if next == name {
            return true;
        }
        if seen.insert(next.clone()) {
            due.extend(held(&next));
        }
    }
    false
}
