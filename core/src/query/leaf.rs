//! Values of fields in the answer: scalars, enums, lists and embedded values, checked against their types as they are
//! written. A stored value that is not of its type gives null and an error by path, never a broken answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use super::plan::lead;
use super::write::{Null, Path, Writer};
use crate::schema::{EmbeddedField, FieldKind, FieldType, Scalar, Schema};
use crate::value::ValueRef;
use apollo_compiler::parser::SourceSpan;

/// The type of a value in the answer.
#[derive(Clone, Debug)]
pub(super) struct ValueType {
    pub(super) kind: Leaf,
    /// For a list, whether items are non-null.
    pub(super) list: Option<bool>,
    /// As in SDL, for messages.
    pub(super) sdl: String,
    /// Names of owners: kept as `sub::username`, given out as the user name.
    pub(super) owner: bool,
}

/// What a value's element is.
#[derive(Clone, Debug)]
pub(super) enum Leaf {
    Text,
    Int,
    Float,
    Bool,
    Enum(Arc<[String]>),
    Embedded(Arc<EmbeddedShape>),
    /// All of an embedded value of this type, and of those in it: its shape is among the [`Wholes`].
    Whole(Arc<str>),
}

/// The shapes of whole embedded values by type. They name each other instead of holding each other, so that a type that
/// contains itself has an end.
pub(super) type Wholes = BTreeMap<String, EmbeddedShape>;

/// Those of every embedded type.
pub(super) fn wholes(schema: &Schema) -> Wholes {
    let slot = |(at, field): (usize, &EmbeddedField)| {
        let what = (
            field.name.clone(),
            ValueType::whole(schema, &field.ty),
            field.ty.required,
        );
        EmbeddedSlot::new(at == 0, &field.name, None, Ok(what))
    };
    let shape = |(name, fields): (&String, &Vec<EmbeddedField>)| {
        let slots = fields.iter().enumerate().map(slot).collect();
        let type_name = name.clone();
        (name.clone(), EmbeddedShape { type_name, slots })
    };
    schema.embedded.iter().map(shape).collect()
}

/// The selection made of an embedded value.
#[derive(Clone, Debug, Default)]
pub(super) struct EmbeddedShape {
    pub(super) type_name: String,
    pub(super) slots: Vec<EmbeddedSlot>,
}

#[derive(Clone, Debug)]
pub(super) struct EmbeddedSlot {
    pub(super) lead: Box<[u8]>,
    pub(super) key: String,
    pub(super) span: Option<SourceSpan>,
    /// The field's name and type; for `__typename` the constant.
    pub(super) what: Result<(String, ValueType, bool), Box<[u8]>>,
}

impl EmbeddedSlot {
    pub(super) fn new(
        first: bool,
        key: &str,
        span: Option<SourceSpan>,
        what: Result<(String, ValueType, bool), Box<[u8]>>,
    ) -> Self {
        Self {
            lead: lead(first, key),
            key: key.to_owned(),
            span,
            what,
        }
    }
}

impl ValueType {
    /// The type `ty` in the answer; `embedded` is the selection if it is an embedded type.
    pub(super) fn of(schema: &Schema, ty: &FieldType, embedded: Option<EmbeddedShape>) -> Self {
        let kind = match &ty.kind {
            FieldKind::Scalar(Scalar::Int | Scalar::AwsTimestamp) => Leaf::Int,
            FieldKind::Scalar(Scalar::Float) => Leaf::Float,
            FieldKind::Scalar(Scalar::Boolean) => Leaf::Bool,
            FieldKind::Scalar(_) => Leaf::Text,
            FieldKind::Enum(name) => Leaf::Enum(schema.enums.get(name).map_or(&[][..], Vec::as_slice).into()),
            FieldKind::Embedded(_) => Leaf::Embedded(Arc::new(embedded.unwrap_or_default())),
        };
        Self {
            kind,
            list: ty.list,
            sdl: ty.with_required(false).to_string(),
            owner: false,
        }
    }

    /// The type `ty` with all of an embedded value.
    fn whole(schema: &Schema, ty: &FieldType) -> Self {
        let mut whole = Self::of(schema, ty, None);
        if let FieldKind::Embedded(name) = &ty.kind {
            whole.kind = Leaf::Whole(name.as_str().into());
        }
        whole
    }

    /// Shows all of an embedded value, whatever was selected of it.
    pub(super) fn show_whole(&mut self) {
        if let Leaf::Embedded(shape) = &self.kind {
            self.kind = Leaf::Whole(shape.type_name.as_str().into());
        }
    }

    /// The same for an owner's field, if it is one.
    pub(super) fn reduced(self, owner: bool) -> Self {
        Self { owner, ..self }
    }

    pub(super) fn int(sdl: &str) -> Self {
        Self {
            kind: Leaf::Int,
            list: None,
            sdl: sdl.to_owned(),
            owner: false,
        }
    }

    /// Whether a column of it holds JSON text.
    fn is_json(&self) -> bool {
        self.list.is_some() || matches!(self.kind, Leaf::Embedded(_) | Leaf::Whole(_))
    }
}

/// The user name in an owner as it is kept: what stands behind the last `::`.
fn user_name(owner: &str) -> &str {
    owner.rsplit_once("::").map_or(owner, |(_, name)| name)
}

fn user_names(owners: Json) -> Json {
    match owners {
        Json::Array(items) => items.into_iter().map(user_names).collect(),
        Json::String(owner) => Json::from(user_name(&owner)),
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::Object(_) => owners,
    }
}

/// A string as JSON.
pub(super) fn write_text(text: &str, out: &mut Vec<u8>) {
    // Neither the writer nor a string can fail.
    let _ = serde_json::to_writer(out, text);
}

/// An integer as JSON.
pub(super) fn write_int(n: i64, out: &mut Vec<u8>) {
    let _ = serde_json::to_writer(out, &n);
}

/// Whose value is being written, for messages.
#[derive(Clone, Copy)]
pub(super) struct Of<'a> {
    pub(super) type_name: &'a str,
    pub(super) span: Option<SourceSpan>,
}

impl Writer<'_> {
    /// Writes a column's value. `Err` when a null stands where none may.
    #[inline]
    pub(super) fn column(
        &mut self,
        out: &mut Vec<u8>,
        ty: &ValueType,
        required: bool,
        value: ValueRef<'_>,
        of: Of<'_>,
        path: &Path<'_>,
    ) -> Result<(), Null> {
        let good = match (value, &ty.kind) {
            (ValueRef::Null, _) => {
                return if required {
                    self.null_in_non_null(ty, of, path);
                    Err(Null)
                } else {
                    out.extend_from_slice(b"null");
                    Ok(())
                };
            }
            (ValueRef::Text(text), _) if ty.is_json() => return self.json_text(out, ty, required, text, of, path),
            (_, _) if ty.is_json() => false,
            (ValueRef::Text(text), Leaf::Text) => {
                write_text(if ty.owner { user_name(text) } else { text }, out);
                true
            }
            (ValueRef::Text(text), Leaf::Enum(values)) => {
                let known = values.iter().any(|v| v == text);
                if known {
                    write_text(text, out);
                }
                known
            }
            (ValueRef::Int(n), Leaf::Int) => {
                write_int(n, out);
                true
            }
            (ValueRef::Int(n @ (0 | 1)), Leaf::Bool) => {
                out.extend_from_slice(if n == 0 { b"false" } else { b"true" });
                true
            }
            (ValueRef::Float(x), Leaf::Float) if x.is_finite() => {
                let _ = serde_json::to_writer(&mut *out, &x);
                true
            }
            #[expect(clippy::cast_precision_loss, reason = "a Float column handed over as an integer")]
            (ValueRef::Int(n), Leaf::Float) => {
                let _ = serde_json::to_writer(&mut *out, &(n as f64));
                true
            }
            _ => false,
        };
        if good {
            return Ok(());
        }
        let found = match value {
            ValueRef::Null => "nothing",
            ValueRef::Int(_) => "an integer",
            ValueRef::Float(_) => "a real number",
            ValueRef::Text(_) => "a text",
        };
        self.mismatch(ty, found, of, path);
        null_or(required, out)
    }

    fn null_in_non_null(&mut self, ty: &ValueType, of: Of<'_>, path: &Path<'_>) {
        self.null_error(&ty.sdl, of.type_name, of.span, path);
    }

    fn mismatch(&mut self, ty: &ValueType, found: &str, of: Of<'_>, path: &Path<'_>) {
        self.error(
            format!(
                "The stored value is not of type '{}' within parent '{}' ({}): found {found}; correct the record with an \
                 update",
                ty.sdl,
                of.type_name,
                path.text()
            ),
            of.span,
            path,
        );
    }

    /// A list or an embedded value, kept as JSON text.
    fn json_text(
        &mut self,
        out: &mut Vec<u8>,
        ty: &ValueType,
        required: bool,
        text: &str,
        of: Of<'_>,
        path: &Path<'_>,
    ) -> Result<(), Null> {
        let Ok(json) = serde_json::from_str::<Json>(text) else {
            self.mismatch(ty, "text that is not JSON", of, path);
            return null_or(required, out);
        };
        let json = if ty.owner { user_names(json) } else { json };
        // Scalars that are all of their type go out as the text they are kept in.
        if let (Json::Array(items), Some(items_required)) = (&json, ty.list)
            && items.iter().all(|item| match item {
                Json::Null => !items_required,
                item => fits(&ty.kind, item),
            })
            && !ty.owner
        {
            out.extend_from_slice(text.as_bytes());
            return Ok(());
        }
        self.json(out, ty, required, &json, of, path)
    }

    /// A value inside JSON text.
    fn json(
        &mut self,
        out: &mut Vec<u8>,
        ty: &ValueType,
        required: bool,
        json: &Json,
        of: Of<'_>,
        path: &Path<'_>,
    ) -> Result<(), Null> {
        if json.is_null() {
            return if required {
                self.null_in_non_null(ty, of, path);
                Err(Null)
            } else {
                out.extend_from_slice(b"null");
                Ok(())
            };
        }
        let start = out.len();
        let written = match (ty.list, json) {
            (Some(items_required), Json::Array(items)) => self.json_list(out, ty, items_required, items, of, path),
            (None, Json::Object(object)) => match &ty.kind {
                Leaf::Embedded(shape) => self.embedded(out, shape, object, path),
                // Absent only for a type that the schema has not, and then there is nothing to show.
                Leaf::Whole(name) => match self.wholes.get(&**name) {
                    Some(shape) => self.embedded(out, shape, object, path),
                    None => Err(Null),
                },
                _ => {
                    self.mismatch(ty, "an object", of, path);
                    Err(Null)
                }
            },
            (None, scalar) if fits(&ty.kind, scalar) => {
                let _ = match (&ty.kind, scalar.as_f64()) {
                    (Leaf::Float, Some(x)) => serde_json::to_writer(&mut *out, &x),
                    _ => serde_json::to_writer(&mut *out, scalar),
                };
                Ok(())
            }
            (_, other) => {
                let found = match other {
                    Json::Null => "nothing",
                    Json::Bool(_) => "a boolean",
                    Json::Number(_) => "a number",
                    Json::String(_) => "a text",
                    Json::Array(_) => "a list",
                    Json::Object(_) => "an object",
                };
                self.mismatch(ty, found, of, path);
                Err(Null)
            }
        };
        written.or_else(|Null| {
            out.truncate(start);
            null_or(required, out)
        })
    }

    fn json_list(
        &mut self,
        out: &mut Vec<u8>,
        ty: &ValueType,
        items_required: bool,
        items: &[Json],
        of: Of<'_>,
        path: &Path<'_>,
    ) -> Result<(), Null> {
        let item_type = ValueType {
            kind: ty.kind.clone(),
            list: None,
            sdl: ty.sdl.trim_matches(['[', ']', '!']).to_owned(),
            owner: false,
        };
        out.push(b'[');
        for (i, item) in items.iter().enumerate() {
            if i > 0 {
                out.push(b',');
            }
            self.json(out, &item_type, items_required, item, of, &Path::Index(path, i))?;
        }
        out.push(b']');
        Ok(())
    }

    fn embedded(
        &mut self,
        out: &mut Vec<u8>,
        shape: &EmbeddedShape,
        object: &serde_json::Map<String, Json>,
        path: &Path<'_>,
    ) -> Result<(), Null> {
        if shape.slots.is_empty() {
            out.push(b'{');
        }
        for slot in &shape.slots {
            out.extend_from_slice(&slot.lead);
            match &slot.what {
                Err(name) => out.extend_from_slice(name),
                Ok((field, ty, required)) => {
                    let of = Of {
                        type_name: &shape.type_name,
                        span: slot.span,
                    };
                    let value = object.get(field).unwrap_or(&Json::Null);
                    self.json(out, ty, *required, value, of, &Path::Key(path, &slot.key))?;
                }
            }
        }
        out.push(b'}');
        Ok(())
    }
}

/// Whether a JSON value, not null, is a scalar of the kind.
fn fits(kind: &Leaf, json: &Json) -> bool {
    match (kind, json) {
        (Leaf::Text, Json::String(_)) | (Leaf::Bool, Json::Bool(_)) => true,
        (Leaf::Enum(values), Json::String(text)) => values.iter().any(|v| v == text),
        (Leaf::Int, Json::Number(n)) => n.is_i64(),
        (Leaf::Float, Json::Number(_)) => true,
        _ => false,
    }
}

fn null_or(required: bool, out: &mut Vec<u8>) -> Result<(), Null> {
    if required {
        return Err(Null);
    }
    out.extend_from_slice(b"null");
    Ok(())
}
