//! Types of fields: what a declared type becomes when it is stored, and which types can be embedded.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::Node;
use apollo_compiler::ast::{FieldDefinition, Type};

use super::model::{EmbeddedField, FieldKind, FieldType};
use super::read::{Declared, Kind};
use super::report::Report;

/// Why a declared type cannot be stored in a field.
pub(super) enum Unstorable {
    Unknown(String),
    NestedList,
    /// A model: needs a relation directive.
    Model(String),
    /// A kind of type that no column can hold.
    Kind(String, &'static str),
}

/// The stored form of a declared type.
pub(super) fn field_type(kinds: &BTreeMap<String, Kind>, ty: &Type) -> Result<FieldType, Unstorable> {
    let (name, list) = match ty {
        Type::Named(name) | Type::NonNullNamed(name) => (name, None),
        Type::List(item) | Type::NonNullList(item) => match &**item {
            Type::Named(name) => (name, Some(false)),
            Type::NonNullNamed(name) => (name, Some(true)),
            Type::List(_) | Type::NonNullList(_) => return Err(Unstorable::NestedList),
        },
    };
    let kind = match kinds.get(name.as_str()) {
        None => return Err(Unstorable::Unknown(name.to_string())),
        Some(Kind::Scalar(scalar)) => FieldKind::Scalar(*scalar),
        Some(Kind::Enum) => FieldKind::Enum(name.to_string()),
        Some(Kind::Plain) => FieldKind::Embedded(name.to_string()),
        Some(Kind::Model) => return Err(Unstorable::Model(name.to_string())),
        Some(Kind::Interface) => return Err(Unstorable::Kind(name.to_string(), "an interface")),
        Some(Kind::Union) => return Err(Unstorable::Kind(name.to_string(), "a union")),
        Some(Kind::Input) => return Err(Unstorable::Kind(name.to_string(), "an input")),
        Some(Kind::CustomScalar) => return Err(Unstorable::Kind(name.to_string(), "a scalar of its own")),
        Some(Kind::Root) => return Err(Unstorable::Kind(name.to_string(), "a root type")),
    };
    Ok(FieldType {
        kind,
        list,
        required: ty.is_non_null(),
    })
}

/// Reports a field of a model whose type cannot be stored.
pub(super) fn report_unstorable(report: &mut Report, field: &Node<FieldDefinition>, why: Unstorable) {
    let place = field.ty.inner_named_type().location().or_else(|| field.location());
    let name = &field.name;
    match why {
        Unstorable::Unknown(ty) => report.error(
            place,
            format!("the type `{ty}` of `{name}` is unknown"),
            "declare it, or correct its spelling; AWS scalars are AWSDate, AWSTime, AWSDateTime, AWSTimestamp, AWSEmail, AWSJSON, AWSURL, AWSPhone, AWSIPAddress",
        ),
        Unstorable::NestedList => {
            report.error(place, format!("`{name}` is a list of lists"), "use AWSJSON, or a type with a list in it");
        }
        Unstorable::Model(ty) => report.error(
            place,
            format!("`{name}` is of the model `{ty}` but says nothing of the relation"),
            "add @hasOne, @hasMany, @belongsTo or @manyToMany",
        ),
        Unstorable::Kind(ty, what) => report.error(
            place,
            format!("`{name}` is of `{ty}`, {what}, which a model's field cannot hold"),
            "use a scalar, an enum, or a type without @model (AWSJSON holds anything)",
        ),
    }
}

/// The enums of the file.
pub(super) fn enums(declared: &Declared, report: &mut Report) -> BTreeMap<String, Vec<String>> {
    let mut out = BTreeMap::new();
    for one in &declared.enums {
        for value in &one.values {
            if matches!(value.value.as_str(), "true" | "false" | "null") {
                report.error(
                    value.value.location(),
                    "an enum's value cannot be true, false or null",
                    "rename it",
                );
            }
        }
        out.insert(
            one.name.to_string(),
            one.values.iter().map(|v| v.value.to_string()).collect(),
        );
    }
    out
}

/// Every type without `@model` whose fields could be embedded in a record, or the reason why one cannot.
pub(super) struct Embeddable {
    good: BTreeMap<String, Vec<EmbeddedField>>,
    bad: BTreeMap<String, String>,
}

impl Embeddable {
    pub(super) fn of(declared: &Declared, kinds: &BTreeMap<String, Kind>) -> Self {
        let (mut good, mut bad) = (BTreeMap::new(), BTreeMap::new());
        for object in declared
            .objects
            .iter()
            .filter(|o| kinds.get(o.name.as_str()) == Some(&Kind::Plain))
        {
            let mut fields = Vec::new();
            let mut reason = None;
            for field in &object.fields {
                match field_type(kinds, &field.ty) {
                    Ok(_) if !field.arguments.is_empty() => {
                        reason = Some(format!("its field `{}` takes arguments", field.name));
                    }
                    Ok(ty) => fields.push(EmbeddedField {
                        name: field.name.to_string(),
                        ty,
                    }),
                    Err(_) => reason = Some(format!("its field `{}` is of {}", field.name, field.ty)),
                }
            }
            match reason {
                None => good.insert(object.name.to_string(), fields).map(|_| ()),
                Some(reason) => bad.insert(object.name.to_string(), reason).map(|_| ()),
            };
        }
        let mut out = Self { good, bad };
        while let Some((name, reason)) = out.next_spoilt() {
            out.good.remove(&name);
            out.bad.insert(name, reason);
        }
        out
    }

    /// A type that embeds one which cannot be embedded.
    fn next_spoilt(&self) -> Option<(String, String)> {
        self.good.iter().find_map(|(name, fields)| {
            let field = fields
                .iter()
                .find(|f| matches!(&f.ty.kind, FieldKind::Embedded(other) if !self.good.contains_key(other)))?;
            Some((name.clone(), format!("its field `{}` is of {}", field.name, field.ty)))
        })
    }

    /// Why `name` cannot be embedded; `None` if it can.
    pub(super) fn reason(&self, name: &str) -> Option<&str> {
        self.bad.get(name).map(String::as_str)
    }

    /// The types that `used` reach, directly or through others.
    pub(super) fn reachable<'a>(&self, used: impl Iterator<Item = &'a str>) -> BTreeMap<String, Vec<EmbeddedField>> {
        let mut due: Vec<String> = used.map(str::to_owned).collect();
        let mut out = BTreeMap::new();
        while let Some(name) = due.pop() {
            let Some(fields) = self.good.get(&name).filter(|_| !out.contains_key(&name)) else {
                continue;
            };
            for field in fields {
                if let FieldKind::Embedded(other) = &field.ty.kind {
                    due.push(other.clone());
                }
            }
            out.insert(name, fields.clone());
        }
        out
    }
}

/// Refuses embedded types that must contain themselves: no value of theirs could ever end.
pub(super) fn check_cycles(report: &mut Report, declared: &Declared, embedded: &BTreeMap<String, Vec<EmbeddedField>>) {
    for start in embedded.keys() {
        let mut due = vec![start.as_str()];
        let mut seen = BTreeSet::new();
        while let Some(name) = due.pop() {
            for field in embedded.get(name).into_iter().flatten() {
                let FieldKind::Embedded(other) = &field.ty.kind else {
                    continue;
                };
                if !field.ty.required || field.ty.list.is_some() {
                    continue;
                }
                if other == start {
                    let place = declared
                        .objects
                        .iter()
                        .find(|o| o.name == start.as_str())
                        .and_then(|o| o.name.location());
                    report.error(
                        place,
                        format!("`{start}` must contain itself, through `{name}.{}`", field.name),
                        "make that field nullable",
                    );
                    return;
                }
                if seen.insert(other.as_str()) {
                    due.push(other);
                }
            }
        }
    }
}
