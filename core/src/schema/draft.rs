//! Models while they are being read: fields, keys, indexes and operations; relations noted and resolved later.

use std::collections::{BTreeMap, BTreeSet};

use apollo_compiler::Node;
use apollo_compiler::ast::{Directive, FieldDefinition, ObjectTypeDefinition, Value as Ast};

use crate::id::{FieldId, ModelId};
use crate::limits;

use super::auth;
use super::directives::{Args, On, check_list, strings, to_json};
use super::model::{
    AuthRule, AuthStrategy, ConflictStrategy, Field, FieldKind, FieldOrigin, FieldType, Index, Member, Model, Scalar,
};
use super::names;
use super::read::Kind;
use super::report::{Place, Report};
use super::scalar::Types;
use super::types::{self, Embeddable};

/// The names of a model's operations; `None` or empty where one is switched off.
#[derive(Clone, Debug, Default)]
pub(super) struct Operations {
    pub(super) get: Option<String>,
    pub(super) list: Option<String>,
    pub(super) sync: Option<String>,
    pub(super) create: Option<String>,
    pub(super) update: Option<String>,
    pub(super) delete: Option<String>,
    pub(super) on_create: Vec<String>,
    pub(super) on_update: Vec<String>,
    pub(super) on_delete: Vec<String>,
    /// `subscriptions: { level: public }`: no owner argument.
    pub(super) subscriptions_public: bool,
}

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
}

/// What reading a model needs to know of the rest of the file.
pub(super) struct Surroundings<'a> {
    pub(super) kinds: &'a BTreeMap<String, Kind>,
    pub(super) enums: &'a BTreeMap<String, Vec<String>>,
    pub(super) embeddable: &'a Embeddable,
    pub(super) defined: &'a BTreeSet<String>,
}

/// The columns that every model's table has beside its fields.
const META: [&str; 5] = ["_version", "_deleted", "_lastChangedAt", "_position", "_fieldVersions"];

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
                conflict: ConflictStrategy::default(),
                order: Vec::new(),
            },
            place,
            index_places: Vec::new(),
            operations,
            pending: Vec::new(),
            timestamps: (Some("createdAt".to_owned()), Some("updatedAt".to_owned())),
            interfaces: Vec::new(),
            is_join: false,
        }
    }

    /// Reads everything of `object` but its relations.
    pub(super) fn read(report: &mut Report, around: &Surroundings<'_>, object: &ObjectTypeDefinition) -> Self {
        let mut draft = Self::new(&object.name, object.name.location());
        check_list(report, &object.directives, On::Type, around.defined);
        check_model_name(report, &object.name, object.name.location());
        draft.interfaces = object.implements_interfaces.iter().map(ToString::to_string).collect();
        draft.model.auth = auth::rules(report, &object.directives);
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
            origin,
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
            for wrong in ["primaryKey", "index", "default"] {
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
        self.push(name, ty, FieldOrigin::Declared);
        if let Some(added) = self.model.fields.last_mut() {
            added.default = default;
            added.auth = auth;
        }
    }

    fn member_names(&self) -> impl Iterator<Item = &str> {
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

    fn read_key(&mut self, report: &mut Report, object: &ObjectTypeDefinition) {
        let mut keyed = object
            .fields
            .iter()
            .filter_map(|f| f.directives.get("primaryKey").map(|d| (f, d)));
        let first = keyed.next();
        if let Some((_, second)) = keyed.next() {
            report.error(
                second.location(),
                format!("`{}` has two primary keys", object.name),
                "keep one @primaryKey",
            );
        }
        let Some((field, directive)) = first else {
            match self.model.field("id") {
                Some(id) => {
                    let place = object
                        .fields
                        .iter()
                        .find(|f| f.name == "id")
                        .and_then(|f| f.name.location());
                    self.check_key_field(report, id, place, true);
                    self.model.key = vec![id];
                }
                None => self.add_implicit_id(report),
            }
            return;
        };
        let args = Args::read(report, directive, &["sortKeyFields"]);
        let Some(partition) = self.model.field(&field.name) else {
            return;
        };
        self.check_key_field(report, partition, directive.location(), true);
        let mut key = vec![partition];
        for name in args.strings(report, "sortKeyFields") {
            let place = args.place_of("sortKeyFields");
            if let Some(id) = self.find_key_field(report, &name, place, "@primaryKey") {
                self.check_key_field(report, id, place, true);
                if key.contains(&id) {
                    report.error(place, format!("`{name}` is in the key twice"), "name each field once");
                }
                key.push(id);
            }
        }
        for id in &key {
            if let Some(field) = self.model.fields.get(id.0).filter(|f| f.default.is_some()) {
                report.error(
                    directive.location(),
                    format!("the key field `{}` has a @default", field.name),
                    "remove the @default",
                );
            }
        }
        self.model.key = key;
    }

    fn add_implicit_id(&mut self, report: &mut Report) {
        if self.member_names().any(|name| name.eq_ignore_ascii_case("id")) {
            report.error(
                self.place,
                format!(
                    "`{}` needs a key, and a field that is not `id` has that name",
                    self.model.name
                ),
                "declare `id: ID!`, or put @primaryKey on the key",
            );
        }
        let ty = FieldType {
            kind: FieldKind::Scalar(Scalar::Id),
            list: None,
            required: true,
        };
        let field = Field {
            name: "id".into(),
            ty,
            default: None,
            auth: None,
            origin: FieldOrigin::ImplicitId,
        };
        self.model.fields.insert(0, field);
        for member in &mut self.model.order {
            if let Member::Field(id) = member {
                id.0 += 1;
            }
        }
        self.model.order.insert(0, Member::Field(FieldId(0)));
        self.model.key = vec![FieldId(0)];
    }

    fn read_indexes(&mut self, report: &mut Report, object: &ObjectTypeDefinition) {
        for field in &object.fields {
            for directive in field.directives.get_all("index") {
                let args = Args::read(report, directive, &["name", "sortKeyFields", "queryField"]);
                let Some(partition) = self.model.field(&field.name) else {
                    continue;
                };
                self.check_key_field(report, partition, directive.location(), false);
                let mut fields = vec![partition];
                for name in args.strings(report, "sortKeyFields") {
                    let place = args.place_of("sortKeyFields");
                    if let Some(id) = self.find_key_field(report, &name, place, "@index") {
                        self.check_key_field(report, id, place, false);
                        if fields.contains(&id) {
                            report.error(place, format!("`{name}` is in the index twice"), "name each field once");
                        }
                        fields.push(id);
                    }
                }
                let words: Vec<&str> = fields.iter().map(|f| self.model.fields[f.0].name.as_str()).collect();
                let made_up = names::index_query(&self.model.plural, &words);
                let name = args.string(report, "name").unwrap_or_else(|| made_up.clone());
                if name.is_empty() || names::graphql(&name).is_empty() {
                    report.error(
                        args.place_of("name"),
                        "an index has an empty name",
                        "name it, for example \"byEmail\"",
                    );
                }
                if self.model.indexes.iter().any(|i| i.name.eq_ignore_ascii_case(&name)) {
                    report.error(
                        args.place_of("name"),
                        format!("`{}` has two indexes called `{name}`", object.name),
                        "rename one",
                    );
                }
                let query_field = match args.raw("queryField") {
                    None => Some(made_up),
                    Some(v) if v.is_null() => None,
                    Some(_) => args.string(report, "queryField"),
                };
                if let Some(query) = &query_field {
                    check_generated_name(report, query, args.place_of("queryField"));
                }
                self.push_index(name, fields, query_field, args.place_of("queryField"));
            }
        }
    }

    /// The stored field that a key or index names.
    fn find_key_field(&self, report: &mut Report, name: &str, place: Place, directive: &str) -> Option<FieldId> {
        let found = self.model.field(name);
        if found.is_none() {
            let is_relation = self.pending.iter().any(|p| p.name == name);
            let (problem, mend) = if is_relation {
                (
                    format!("{directive} goes over `{name}`, a relation"),
                    "name the field that holds its key",
                )
            } else {
                (
                    format!(
                        "{directive} goes over `{name}`, which `{}` does not have",
                        self.model.name
                    ),
                    "declare the field, or correct its name",
                )
            };
            report.error(place, problem, mend);
        }
        found
    }

    fn check_key_field(&self, report: &mut Report, id: FieldId, place: Place, primary: bool) {
        let Some(field) = self.model.fields.get(id.0) else {
            return;
        };
        let name = &field.name;
        if field.ty.list.is_some() {
            report.error(
                place,
                format!("`{name}` is a list and cannot be in a key or index"),
                "use a single value",
            );
        } else if !can_be_key(&field.ty.kind) {
            report.error(
                place,
                format!(
                    "`{name}` is of {} and cannot be in a key or index",
                    field.ty.kind.name()
                ),
                "use a string, a number, an ID or an enum",
            );
        } else if primary && !field.ty.required {
            report.error(
                place,
                format!("the key field `{name}` may be null"),
                format!("write `{name}: {}!`", field.ty.kind.name()),
            );
        }
    }

    /// Adds what `@model` and owner rules add: timestamps, then `owner`. Runs when relations have added their keys.
    pub(super) fn add_generated(&mut self, report: &mut Report) {
        let (created, updated) = std::mem::take(&mut self.timestamps);
        self.model.created_at = created.and_then(|name| self.timestamp(report, &name));
        self.model.updated_at = updated.and_then(|name| self.timestamp(report, &name));
        let rules = self
            .model
            .auth
            .iter()
            .chain(self.model.fields.iter().filter_map(|f| f.auth.as_ref()));
        let mut wanted: Vec<String> = Vec::new();
        for rule in rules.flatten() {
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

fn can_be_key(kind: &FieldKind) -> bool {
    match kind {
        FieldKind::Enum(_) => true,
        FieldKind::Embedded(_) | FieldKind::Scalar(Scalar::Boolean | Scalar::AwsJson) => false,
        FieldKind::Scalar(_) => true,
    }
}

fn reserved(name: &str) -> bool {
    name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("tombolo"))
}

/// Refuses names that a model's table cannot have.
pub(super) fn check_model_name(report: &mut Report, name: &str, place: Place) {
    if name.starts_with('_') {
        report.error(
            place,
            format!("the model name `{name}` begins with `_`"),
            "rename the model",
        );
    }
    if reserved(name) {
        report.error(
            place,
            format!("`{name}` begins with `Tombolo`, which is reserved"),
            "rename the model",
        );
    }
    if name.get(..7).is_some_and(|start| start.eq_ignore_ascii_case("sqlite_")) {
        report.error(
            place,
            format!("`{name}` begins with `sqlite_`, which SQLite keeps for itself"),
            "rename the model",
        );
    }
}

/// Refuses what cannot be a name in the generated API.
fn check_generated_name(report: &mut Report, name: &str, place: Place) {
    let good = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && !name.starts_with("__")
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if !good {
        report.error(
            place,
            format!("`{name}` is not a name in GraphQL"),
            "letters, digits and `_`, not a digit first",
        );
    } else if reserved(name) {
        report.error(
            place,
            format!("`{name}` begins with `tombolo`, which is reserved"),
            "choose another name",
        );
    } else if META.iter().any(|meta| meta.eq_ignore_ascii_case(name)) {
        report.error(
            place,
            format!("`{name}` is a field that every model has"),
            "choose another name",
        );
    }
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

fn object_field<'a>(value: &'a Node<Ast>, key: &str) -> Option<&'a Node<Ast>> {
    value.as_object()?.iter().find(|(name, _)| name == key).map(|(_, v)| v)
}

fn check_keys(report: &mut Report, value: &Node<Ast>, what: &str, known: &[&str]) {
    let Some(fields) = value.as_object() else {
        report.error(
            value.location(),
            format!("`{what}` is not an object"),
            format!("write {{ {}: … }}", known[0]),
        );
        return;
    };
    for (name, v) in fields {
        if !known.contains(&name.as_str()) {
            report.error(
                name.location().or_else(|| v.location()),
                format!("`{what}` has no `{name}`"),
                format!("it takes {}", known.join(", ")),
            );
        }
    }
}

impl Operations {
    fn of(name: &str, plural: &str) -> Self {
        let (name, plural) = (names::upper(name), names::upper(plural));
        Self {
            get: Some(format!("get{name}")),
            list: Some(format!("list{plural}")),
            sync: Some(format!("sync{plural}")),
            create: Some(format!("create{name}")),
            update: Some(format!("update{name}")),
            delete: Some(format!("delete{name}")),
            on_create: vec![format!("onCreate{name}")],
            on_update: vec![format!("onUpdate{name}")],
            on_delete: vec![format!("onDelete{name}")],
            subscriptions_public: false,
        }
    }

    fn read(&mut self, report: &mut Report, args: &Args<'_>) {
        let rename = |report: &mut Report, value: &Node<Ast>, what: &str, key: &str, slot: &mut Option<String>| {
            match object_field(value, key) {
                None => {}
                Some(v) if v.is_null() => *slot = None,
                Some(v) => {
                    if let Some(name) = super::directives::string(report, &format!("`{what}.{key}`"), v) {
                        check_generated_name(report, &name, v.location());
                        *slot = Some(name);
                    }
                }
            }
        };
        if let Some(value) = args.raw("queries") {
            if value.is_null() {
                (self.get, self.list, self.sync) = (None, None, None);
            } else {
                check_keys(report, value, "queries", &["get", "list", "sync"]);
                rename(report, value, "queries", "get", &mut self.get);
                rename(report, value, "queries", "list", &mut self.list);
                rename(report, value, "queries", "sync", &mut self.sync);
            }
        }
        if let Some(value) = args.raw("mutations") {
            if value.is_null() {
                (self.create, self.update, self.delete) = (None, None, None);
            } else {
                check_keys(report, value, "mutations", &["create", "update", "delete"]);
                rename(report, value, "mutations", "create", &mut self.create);
                rename(report, value, "mutations", "update", &mut self.update);
                rename(report, value, "mutations", "delete", &mut self.delete);
            }
        }
        if let Some(value) = args.raw("subscriptions") {
            self.read_subscriptions(report, value);
        }
    }

    fn read_subscriptions(&mut self, report: &mut Report, value: &Node<Ast>) {
        let mut off = value.is_null();
        if !off {
            check_keys(
                report,
                value,
                "subscriptions",
                &["level", "onCreate", "onUpdate", "onDelete"],
            );
            match object_field(value, "level") {
                None => {}
                Some(v) if v.is_null() => off = true,
                Some(v) => match super::directives::string(report, "`subscriptions.level`", v).as_deref() {
                    Some("off") => off = true,
                    Some("public") => self.subscriptions_public = true,
                    Some("on") | None => {}
                    Some(other) => report.error(
                        v.location(),
                        format!("`{other}` is not a subscription level"),
                        "write off, public or on",
                    ),
                },
            }
            for (key, slot) in [
                ("onCreate", &mut self.on_create),
                ("onUpdate", &mut self.on_update),
                ("onDelete", &mut self.on_delete),
            ] {
                if let Some(v) = object_field(value, key) {
                    *slot = strings(report, &format!("`subscriptions.{key}`"), v);
                    for name in slot.iter() {
                        check_generated_name(report, name, v.location());
                    }
                }
            }
        }
        if off {
            (self.on_create, self.on_update, self.on_delete) = (Vec::new(), Vec::new(), Vec::new());
        }
    }
}
