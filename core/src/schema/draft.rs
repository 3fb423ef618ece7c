//! Models while they are being read: fields, keys, indexes and operations; relations noted and resolved later.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::Node;
use apollo_compiler::ast::{Directive, FieldDefinition, ObjectTypeDefinition, Value as Ast};

use crate::id::{FieldId, ModelId};
use crate::limits;

use super::auth;
use super::directives::{Args, On, check_list, to_json};
use super::merging;
use super::model::{
    AuthRule, AuthStrategy, ConflictStrategy, Field, FieldKind, FieldOrigin, FieldType, Index, Member, ModeRule, Model,
    Scalar,
};
use super::modes;
use super::names;
use super::operations::{Operations, check_keys, object_field};
use super::read::Kind;
use super::report::{Place, Report};
use super::reserved::{META, check_generated_name, check_model_name, reserved};
use super::scalar::Types;
use super::types::{self, Embeddable};

/// A relation field as declared.
#[derive(Clone)]
pub(super) struct Pending {
    pub(super) name: String,
    pub(super) place: Place,
    pub(super) directive: Node<Directive>,
    pub(super) target: String,
    pub(super) list: bool,
    pub(super) required: bool,
    pub(super) auth: Option<Vec<AuthRule>>,
    pub(super) modes: Option<Vec<ModeRule>>,
}

/// A model in the making.
pub(super) struct Draft {
    pub(super) model: Model,
    pub(super) place: Place,
    /// One for each index, in order.
    pub(super) index_places: Vec<Place>,
    pub(super) operations: Operations,
    pub(super) pending: Vec<Pending>,
    /// Names of the automatic timestamps; `None` when dropped.
    timestamps: (Option<String>, Option<String>),
    pub(super) interfaces: Vec<String>,
    /// Made for a `@manyToMany`, not declared.
    pub(super) is_join: bool,
    /// Of a join model: the rules of both its sides. AppSync gives it all of them, so its API has what they add; what is
    /// granted stands in the model.
    pub(super) joined_rules: Vec<AuthRule>,
    /// `@primaryKey` stands on a field, which gives list a place for the key.
    pub(super) names_its_key: bool,
    /// The key was declared as `id: String!`. AppSync takes it for an `ID` (made up on create, an `ID` in get, delete and
    /// foreign keys) and shows it as a `String` in the type and its inputs.
    pub(super) text_id: bool,
}

/// What reading a model needs to know of the rest of the file.
pub(super) struct Surroundings<'a> {
    pub(super) kinds: &'a BTreeMap<String, Kind>,
    pub(super) enums: &'a BTreeMap<String, Vec<String>>,
    pub(super) embeddable: &'a Embeddable,
    pub(super) defined: &'a BTreeSet<String>,
}

const RELATIONS: [&str; 4] = ["hasOne", "hasMany", "belongsTo", "manyToMany"];

/// The directive that makes `field` a relation.
fn relation_directive(field: &FieldDefinition) -> Option<&Node<Directive>> {
    field.directives.iter().find(|d| RELATIONS.contains(&d.name.as_str()))
}

impl Draft {
    /// A model of `name` with nothing in it, all operations on.
    pub(super) fn new(name: &str, place: Place) -> Self {
        let plural = names::plural(name);
        let operations = Operations::of(name, &plural);
        Self {
            model: Model {
                name: name.to_owned(),
                plural,
                fields: Vec::new(),
                key: Vec::new(),
                indexes: Vec::new(),
                relations: Vec::new(),
                created_at: None,
                updated_at: None,
                auth: None,
                modes: None,
                conflict: ConflictStrategy::default(),
                order: Vec::new(),
                absent: Vec::new(),
                former: Vec::new(),
            },
            place,
            index_places: Vec::new(),
            operations,
            pending: Vec::new(),
            timestamps: (Some("createdAt".to_owned()), Some("updatedAt".to_owned())),
            interfaces: Vec::new(),
            is_join: false,
            joined_rules: Vec::new(),
            names_its_key: false,
            text_id: false,
        }
    }

    /// Reads everything of `object` but its relations.
    pub(super) fn read(report: &mut Report, around: &Surroundings<'_>, object: &ObjectTypeDefinition) -> Self {
        let mut draft = Self::new(&object.name, object.name.location());
        check_list(report, &object.directives, On::Type, around.defined);
        check_model_name(report, &object.name, object.name.location());
        draft.interfaces = object.implements_interfaces.iter().map(ToString::to_string).collect();
        draft.model.auth = auth::rules(report, &object.directives);
        draft.model.modes = modes::rules(report, &object.directives);
        draft.model.former = merging::former(report, &object.directives);
        if let Some(directive) = object.directives.get("model") {
            draft.read_model_arguments(report, directive);
        }
        for field in &object.fields {
            draft.read_field(report, around, field);
        }
        if draft.model.fields.len() > limits::MODEL_FIELDS_MAX {
            report.error(
                draft.place,
                format!("`{}` has more than {} fields", object.name, limits::MODEL_FIELDS_MAX),
                "move some into an embedded type or a model of their own",
            );
        }
        draft.read_key(report, object);
        draft.read_indexes(report, object);
        draft
    }

    /// Adds a stored field, at the end of both orders.
    pub(super) fn push(&mut self, name: &str, ty: FieldType, origin: FieldOrigin) -> FieldId {
        let id = FieldId(self.model.fields.len());
        self.model.fields.push(Field {
            name: name.to_owned(),
            ty,
            default: None,
            auth: None,
            modes: None,
            origin,
            merge: None,
            former: Vec::new(),
        });
        self.model.order.push(Member::Field(id));
        id
    }

    /// Adds an index.
    pub(super) fn push_index(&mut self, name: String, fields: Vec<FieldId>, query_field: Option<String>, place: Place) {
        self.model.indexes.push(Index {
            name,
            fields,
            query_field,
        });
        self.index_places.push(place);
    }

    fn read_field(&mut self, report: &mut Report, around: &Surroundings<'_>, field: &Node<FieldDefinition>) {
        check_list(report, &field.directives, On::Field, around.defined);
        let name = field.name.as_str();
        let place = field.name.location();
        if let Some(meta) = META.iter().find(|meta| meta.eq_ignore_ascii_case(name)) {
            report.error(
                place,
                format!("`{name}` collides with `{meta}`, which every model has"),
                "rename the field",
            );
        }
        if reserved(name) {
            report.error(
                place,
                format!("`{name}` begins with `tombolo`, which is reserved"),
                "rename the field",
            );
        }
        let clash = self
            .member_names()
            .find(|other| *other != name && other.eq_ignore_ascii_case(name));
        if let Some(other) = clash {
            report.error(
                place,
                format!("`{name}` and `{other}` are the same name in a database, which ignores case"),
                "rename one",
            );
        }
        if !field.arguments.is_empty() {
            report.warn(
                place,
                format!("the arguments of `{name}` do nothing on a model's field"),
                "remove them",
            );
        }
        let auth = auth::rules(report, &field.directives);
        let modes = modes::rules(report, &field.directives);
        if let Some(directive) = relation_directive(field) {
            if let Some(second) = field
                .directives
                .iter()
                .filter(|d| RELATIONS.contains(&d.name.as_str()))
                .nth(1)
            {
                report.error(
                    second.location(),
                    format!("`{name}` has two relation directives"),
                    "keep one",
                );
            }
            for wrong in ["primaryKey", "index", "default", "merge", "renamed"] {
                if let Some(d) = field.directives.get(wrong) {
                    report.error(
                        d.location(),
                        format!("@{wrong} cannot stand on a relation"),
                        "put it on a stored field",
                    );
                }
            }
            self.model.order.push(Member::Relation(self.pending.len()));
            self.pending.push(Pending {
                name: name.to_owned(),
                place,
                directive: directive.clone(),
                target: field.ty.inner_named_type().to_string(),
                list: field.ty.is_list(),
                required: field.ty.is_non_null(),
                auth,
                modes,
            });
            return;
        }
        let ty = match types::field_type(around.kinds, &field.ty) {
            Ok(ty) => ty,
            Err(why) => {
                types::report_unstorable(report, field, why);
                // Kept under a type that holds anything, so that keys and relations that name it say nothing more.
                FieldType {
                    kind: FieldKind::Scalar(Scalar::Id),
                    list: None,
                    required: field.ty.is_non_null(),
                }
            }
        };
        if let FieldKind::Embedded(embedded) = &ty.kind
            && let Some(reason) = around.embeddable.reason(embedded)
        {
            report.error(
                field.ty.inner_named_type().location(),
                format!("`{embedded}` cannot be embedded in a record: {reason}"),
                "make it a @model with a relation, or use scalars, enums and embedded types only",
            );
        }
        let default = field
            .directives
            .get("default")
            .and_then(|d| read_default(report, around, d, &ty));
        let merge = merging::rule(report, &field.directives, &ty);
        self.push(name, ty, FieldOrigin::Declared);
        if let Some(added) = self.model.fields.last_mut() {
            added.default = default;
            added.auth = auth;
            added.modes = modes;
            added.merge = merge;
            added.former = merging::former(report, &field.directives);
        }
    }

    pub(super) fn member_names(&self) -> impl Iterator<Item = &str> {
        let fields = self.model.fields.iter().map(|f| f.name.as_str());
        fields.chain(self.pending.iter().map(|p| p.name.as_str()))
    }

    fn read_model_arguments(&mut self, report: &mut Report, directive: &Node<Directive>) {
        let known = ["queries", "mutations", "subscriptions", "timestamps", "conflict"];
        let args = Args::read(report, directive, &known);
        self.operations.read(report, &args);
        if let Some(value) = args.raw("timestamps") {
            let named = |report: &mut Report, key: &str, default: &str| match object_field(value, key) {
                Some(v) if v.is_null() => None,
                Some(v) => super::directives::string(report, &format!("`timestamps.{key}`"), v),
                None => Some(default.to_owned()),
            };
            self.timestamps = if value.is_null() {
                (None, None)
            } else {
                check_keys(report, value, "timestamps", &["createdAt", "updatedAt"]);
                (
                    named(report, "createdAt", "createdAt"),
                    named(report, "updatedAt", "updatedAt"),
                )
            };
            for name in [&self.timestamps.0, &self.timestamps.1].into_iter().flatten() {
                check_generated_name(report, name, args.place_of("timestamps"));
            }
        }
        self.model.conflict = match args.string(report, "conflict").as_deref() {
            None | Some("AUTOMERGE") => ConflictStrategy::Automerge,
            Some("OPTIMISTIC_CONCURRENCY") => ConflictStrategy::OptimisticConcurrency,
            Some("LAST_WRITER_WINS") => ConflictStrategy::LastWriterWins,
            Some("CUSTOM") => ConflictStrategy::Custom,
            Some(other) => {
                report.error(
                    args.place_of("conflict"),
                    format!("`{other}` is not a way to settle conflicts"),
                    "write AUTOMERGE, OPTIMISTIC_CONCURRENCY, LAST_WRITER_WINS or CUSTOM",
                );
                ConflictStrategy::default()
            }
        };
    }

    /// Adds what `@model` and owner rules add: timestamps, then `owner`. Runs when relations have added their keys.
    pub(super) fn add_generated(&mut self, report: &mut Report) {
        let (created, updated) = std::mem::take(&mut self.timestamps);
        self.model.created_at = created.and_then(|name| self.timestamp(report, &name));
        self.model.updated_at = updated.and_then(|name| self.timestamp(report, &name));
        let mut wanted: Vec<String> = Vec::new();
        for rule in self.rules() {
            let name = match rule.strategy {
                AuthStrategy::Owner => rule.owner_field.as_deref().unwrap_or(auth::OWNER_FIELD),
                AuthStrategy::Groups => match rule.groups_field.as_deref() {
                    Some(name) if rule.groups.is_empty() => name,
                    _ => continue,
                },
                AuthStrategy::Public | AuthStrategy::Private | AuthStrategy::Custom => continue,
            };
            if !wanted.iter().any(|w| w == name) {
                wanted.push(name.to_owned());
            }
        }
        if self.model.field("id").is_none() {
            self.model.absent.push(("id".to_owned(), FieldKind::Scalar(Scalar::Id)));
        }
        for name in wanted {
            if self.model.field(&name).is_none() && self.is_free(report, &name) {
                self.push(
                    &name,
                    FieldType::single(FieldKind::Scalar(Scalar::String)),
                    FieldOrigin::Owner,
                );
            }
        }
    }

    /// The `@auth` rules that shape the API: of the model and of its fields, of a join model also those of its sides.
    pub(super) fn rules(&self) -> impl Iterator<Item = &AuthRule> {
        let fields = self.model.fields.iter().filter_map(|f| f.auth.as_ref());
        let relations = self.pending.iter().filter_map(|p| p.auth.as_ref());
        let own = self.model.auth.iter().chain(fields).chain(relations).flatten();
        own.chain(&self.joined_rules)
    }

    /// The model as the API shows it.
    pub(super) fn shown(&self) -> std::borrow::Cow<'_, Model> {
        let mut shown = std::borrow::Cow::Borrowed(&self.model);
        if let (true, Some(id)) = (self.text_id, self.model.field("id")) {
            shown.to_mut().fields[id.0].ty.kind = FieldKind::Scalar(Scalar::String);
        }
        shown
    }

    /// Whether an owner rule compares with the field called `name`.
    pub(super) fn holds_owner(&self, name: &str) -> bool {
        self.rules().any(|rule| {
            rule.strategy == AuthStrategy::Owner && rule.owner_field.as_deref().unwrap_or(auth::OWNER_FIELD) == name
        })
    }

    /// The field for an automatic timestamp: the user's own if he declared one that can hold it.
    fn timestamp(&mut self, report: &mut Report, name: &str) -> Option<FieldId> {
        if let Some(id) = self.model.field(name) {
            let ty = &self.model.fields[id.0].ty;
            let holds = ty.list.is_none() && matches!(ty.kind, FieldKind::Scalar(Scalar::AwsDateTime | Scalar::String));
            if !holds {
                report.warn(
                    self.place,
                    format!(
                        "`{}.{name}` is not an AWSDateTime, so it is not filled",
                        self.model.name
                    ),
                    "declare it as AWSDateTime, or name another in @model(timestamps:)",
                );
            }
            return holds.then_some(id);
        }
        let ty = FieldType {
            kind: FieldKind::Scalar(Scalar::AwsDateTime),
            list: None,
            required: true,
        };
        self.is_free(report, name)
            .then(|| self.push(name, ty, FieldOrigin::Timestamp))
    }

    /// Whether a generated field may be called `name`.
    pub(super) fn is_free(&self, report: &mut Report, name: &str) -> bool {
        let clash = self
            .member_names()
            .find(|other| other.eq_ignore_ascii_case(name))
            .map(str::to_owned);
        if let Some(other) = &clash {
            report.error(
                self.place,
                format!(
                    "`{}` gets a field `{name}`, which collides with `{other}`",
                    self.model.name
                ),
                "rename the declared field",
            );
        }
        clash.is_none()
    }

    /// The model and what the API needs beside it. Relations must have been resolved.
    pub(super) fn embedded_names(&self) -> impl Iterator<Item = &str> {
        self.model.fields.iter().filter_map(|f| match &f.ty.kind {
            FieldKind::Embedded(name) => Some(name.as_str()),
            FieldKind::Scalar(_) | FieldKind::Enum(_) => None,
        })
    }
}

/// Where a draft stands in the list.
pub(super) fn find(drafts: &[Draft], name: &str) -> Option<ModelId> {
    drafts.iter().position(|d| d.model.name == name).map(ModelId)
}

fn read_default(
    report: &mut Report,
    around: &Surroundings<'_>,
    directive: &Node<Directive>,
    ty: &FieldType,
) -> Option<crate::value::Value> {
    let args = Args::read(report, directive, &["value"]);
    let place = args.place_of("value");
    if ty.list.is_some() || matches!(ty.kind, FieldKind::Embedded(_)) {
        report.error(
            args.place(),
            format!("@default on a field of {ty}"),
            "it works on a single scalar or enum",
        );
        return None;
    }
    let Some(value) = args.raw("value").filter(|v| !v.is_null()) else {
        report.error(args.place(), "@default has no value", "write @default(value: \"…\")");
        return None;
    };
    // Amplify writes every default as a string: "3", "true". Read those as what the field is.
    let json = match (&**value, &ty.kind) {
        (
            Ast::String(text),
            FieldKind::Scalar(Scalar::Int | Scalar::Float | Scalar::Boolean | Scalar::AwsTimestamp),
        ) => serde_json::from_str(text).unwrap_or_else(|_| serde_json::Value::String(text.clone())),
        (other, _) => to_json(other)?,
    };
    let types = Types {
        enums: around.enums,
        embedded: &BTreeMap::new(),
    };
    match ty.parse_json_with(types, &json) {
        Ok(value) => Some(value),
        Err(error) => {
            report.error(
                place,
                format!("the default does not fit {ty}: {}", error.problem),
                "give a value of the field's type",
            );
            None
        }
    }
}
