//! What an identity may do, as a table over one schema, worked out once per identity and schema.
//!
//! The rules stand in [`crate::schema::AuthRule`]. For an identity each of them comes to nothing, to everything, or to a
//! predicate over rows ([`Grant`]); those of one operation are alternatives. There is one evaluator: a predicate is a
//! [`Filter`], which lists, sync queries and the change feed run as SQL, and which mutations, subscriptions and the feed's
//! ring ask of a record in memory. A property test holds both to the same answer.
//!
//! - `identity`: who is asking;
//! - `rules`: what a rule comes to for an identity.
//!
//! A model without `@auth` is open to callers of the server's default mode, as in plain AppSync. `@auth` on a field replaces
//! the model's rules for that field. The semantics are those of the resolvers that Amplify's transformer generates.

mod identity;
mod rules;

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value as Json, json};
use sha2::{Digest as _, Sha256};

use crate::id::{FieldId, ModelId};
use crate::query::Filter;
use crate::record::Record;
use crate::schema::{AuthOperation, AuthRule, FieldKind, ModeRule, Model, MutationKind, Schema};
use crate::value::Value;

pub use identity::{AuthMode, FunctionCaller, IamCaller, IamRole, Identity, User};

/// What is granted of one operation on one model or field.
#[derive(Clone, Debug, PartialEq)]
pub enum Grant {
    /// Nothing.
    Nothing,
    /// Every row.
    All,
    /// The rows for which this holds.
    Rows(Arc<Filter>),
}

impl Grant {
    /// Whether anything is granted.
    #[must_use]
    pub fn is_anything(&self) -> bool {
        !matches!(self, Self::Nothing)
    }

    /// The predicate, if it is one.
    #[must_use]
    pub fn rows(&self) -> Option<&Filter> {
        match self {
            Self::Rows(filter) => Some(filter),
            Self::Nothing | Self::All => None,
        }
    }

    /// Whether it is granted for `record`, of `model`.
    #[must_use]
    pub fn holds(&self, model: &Model, record: &Record) -> bool {
        match self {
            Self::Nothing => false,
            Self::All => true,
            Self::Rows(filter) => filter.matches(model, record),
        }
    }

    /// What both grant.
    fn or(self, other: Self) -> Self {
        match (self, other) {
            (Self::All, _) | (_, Self::All) => Self::All,
            (Self::Nothing, grant) | (grant, Self::Nothing) => grant,
            (Self::Rows(a), Self::Rows(b)) => {
                let mut any = match Arc::unwrap_or_clone(a) {
                    Filter::Any(any) => any,
                    one => vec![one],
                };
                any.push(Arc::unwrap_or_clone(b));
                Self::Rows(Arc::new(Filter::Any(any)))
            }
        }
    }
}

/// What one identity may do with each model and field of a schema. Anything not granted is refused.
#[derive(Clone, Debug, PartialEq)]
pub struct Access {
    models: Vec<ModelAccess>,
    calls: Calls,
}

/// Which root fields may be called at all, whatever the rules say.
#[derive(Clone, Debug, PartialEq)]
enum Calls {
    All,
    /// But for these, `Type.field`.
    AllBut(Vec<String>),
    /// Only these patterns.
    Only(Vec<String>),
}

#[derive(Clone, Debug, PartialEq)]
struct ModelAccess {
    /// By [`AuthOperation::ALL`].
    operations: [Grant; AuthOperation::ALL.len()],
    fields: Vec<FieldAccess>,
    /// For each relation where it may be followed, by the field's own rules.
    relations: Vec<Grant>,
    /// Fields that a creation fills with the caller when its input leaves them out.
    owners: Vec<(FieldId, Value)>,
}

/// What may be done with one stored field.
#[derive(Clone, Debug, PartialEq)]
struct FieldAccess {
    read: Grant,
    create: Grant,
    update: Grant,
    /// Where an update may set it to null.
    clear: Grant,
    /// The texts by which the caller is known in it, if a rule makes it an owner's field.
    names: Vec<String>,
}

impl Access {
    /// Works out what `identity` may do under `schema`'s rules, on a server whose default mode is API keys.
    #[must_use]
    pub fn of(schema: &Schema, identity: &Identity) -> Self {
        Self::on(schema, identity, AuthMode::ApiKey)
    }

    /// The same on a server whose default mode is `default`.
    #[must_use]
    pub fn on(schema: &Schema, identity: &Identity, default: AuthMode) -> Self {
        let models = schema.models.iter();
        let closed = rules::closed(schema, identity);
        Self {
            models: models
                .map(|model| of_model(model, identity, default, &closed))
                .collect(),
            calls: match identity {
                Identity::Iam(caller) if !caller.allow.contains("*") => {
                    Calls::Only(caller.allow.iter().cloned().collect())
                }
                Identity::Function(caller) if !caller.denied_fields.is_empty() => {
                    Calls::AllBut(caller.denied_fields.iter().cloned().collect())
                }
                Identity::Iam(_)
                | Identity::Function(_)
                | Identity::ApiKey { .. }
                | Identity::User(_)
                | Identity::Local => Calls::All,
            },
        }
    }

    /// Whether root field `name` of type `parent` may be called, or any field of that name be selected.
    #[must_use]
    pub fn may_call(&self, parent: &str, name: &str) -> bool {
        let is = |pattern: &String| match pattern.split_once('.') {
            Some((of, "*")) => of == parent,
            Some((of, field)) => of == parent && field == name,
            None => false,
        };
        match &self.calls {
            Calls::All => true,
            Calls::AllBut(denied) => !denied.iter().any(is),
            Calls::Only(allowed) => allowed.iter().any(is),
        }
    }

    /// What is granted of `operation` on `model`.
    #[must_use]
    pub fn grant(&self, model: ModelId, operation: AuthOperation) -> &Grant {
        let place = AuthOperation::ALL.iter().position(|op| *op == operation);
        let found = self.models.get(model.0).zip(place);
        found
            .and_then(|(model, place)| model.operations.get(place))
            .unwrap_or(&Grant::Nothing)
    }

    /// Whether `operation` on `model` is granted, for some rows at least.
    #[must_use]
    pub fn model(&self, model: ModelId, operation: AuthOperation) -> bool {
        self.grant(model, operation).is_anything()
    }

    /// Where `field` of `model` may be read.
    #[must_use]
    pub fn read(&self, model: ModelId, field: FieldId) -> &Grant {
        self.field(model, field).map_or(&Grant::Nothing, |field| &field.read)
    }

    /// Whether `field` of `model` may be read in every row that may be read: filtered on, sorted by, shown of itself.
    #[must_use]
    pub fn can_read(&self, model: ModelId, field: FieldId) -> bool {
        *self.read(model, field) == Grant::All
    }

    /// Where relation `relation` (its place in the model's relations) of `model` may be followed.
    #[must_use]
    pub fn follow(&self, model: ModelId, relation: usize) -> &Grant {
        let model = self.models.get(model.0);
        model.and_then(|m| m.relations.get(relation)).unwrap_or(&Grant::Nothing)
    }

    /// Where `field` of `model` may be given in the input of a mutation of this kind, as `null` if `null`. A delete gives no
    /// field but the key, which is nobody's to refuse here.
    #[must_use]
    pub fn write(&self, model: ModelId, field: FieldId, kind: MutationKind, null: bool) -> &Grant {
        self.field(model, field).map_or(&Grant::Nothing, |field| match kind {
            MutationKind::Create => &field.create,
            MutationKind::Update if null => &field.clear,
            MutationKind::Update => &field.update,
            MutationKind::Delete => &Grant::Nothing,
        })
    }

    /// Whether it may be given for some rows at least.
    #[must_use]
    pub fn can_write(&self, model: ModelId, field: FieldId, kind: MutationKind) -> bool {
        self.write(model, field, kind, false).is_anything()
    }

    /// What a creation fills in when its input leaves it out: who made the record.
    #[must_use]
    pub fn owners(&self, model: ModelId) -> &[(FieldId, Value)] {
        self.models.get(model.0).map_or(&[], |model| &model.owners)
    }

    /// The texts by which the caller is known in an owner's field; none if it is not one, or not for this caller.
    #[must_use]
    pub fn names(&self, model: ModelId, field: FieldId) -> &[String] {
        self.field(model, field).map_or(&[], |field| &field.names)
    }

    /// `record`, of the model `id`, without the values that may not be read in it.
    #[must_use]
    pub fn shown(&self, schema: &Schema, id: ModelId, record: &Record) -> Record {
        let model = &schema[id];
        let mut shown = record.clone();
        for (place, value) in shown.values.iter_mut().enumerate() {
            if !self.read(id, FieldId(place)).holds(model, record) {
                *value = Value::Null;
            }
        }
        shown
    }

    /// The fields of `model` that may be read in some rows only, each with what must hold of the row.
    #[must_use]
    pub fn masks(&self, model: ModelId) -> Vec<(FieldId, Filter)> {
        let fields = self.models.get(model.0).map_or(&[][..], |model| &model.fields);
        let masked = |(place, field): (usize, &FieldAccess)| Some((FieldId(place), field.read.rows()?.clone()));
        fields.iter().enumerate().filter_map(masked).collect()
    }

    /// Tells the rules that give some of a model's rows, or some of its fields in some of them, from others; `None` where the
    /// change feed gives everything. Letters, digits, `-` and `_`.
    #[must_use]
    pub fn digest(&self, schema: &Schema, id: ModelId) -> Option<String> {
        let (model, masks) = (&schema[id], self.masks(id));
        let rows = self.grant(id, AuthOperation::Sync).rows();
        if rows.is_none() && masks.is_empty() {
            return None;
        }
        let mut digest = Sha256::new();
        let rows = rows.map(|rows| ("", rows));
        let masks = masks
            .iter()
            .map(|(field, rule)| (model.field_at(*field).name.as_str(), rule));
        for (name, rule) in rows.into_iter().chain(masks) {
            let mut values = Vec::new();
            let sql = rule.sql(model, "t", &mut values);
            let values: Vec<Json> = values.iter().map(Value::to_json).collect();
            digest.update(json!([name, sql, values]).to_string());
        }
        // 72 bits: nobody gains by a collision, which would have to be of his own rules.
        Some(URL_SAFE_NO_PAD.encode(&digest.finalize()[..9]))
    }

    fn field(&self, model: ModelId, field: FieldId) -> Option<&FieldAccess> {
        self.models.get(model.0).and_then(|m| m.fields.get(field.0))
    }
}

/// The operations by which a row is read.
const READING: [AuthOperation; 4] = [
    AuthOperation::Get,
    AuthOperation::List,
    AuthOperation::Sync,
    AuthOperation::Listen,
];

/// `closed` are the embedded types of which some part is not for this identity: a value of one is kept from it whole.
fn of_model(model: &Model, identity: &Identity, default: AuthMode, closed: &BTreeSet<&str>) -> ModelAccess {
    let own = model.auth.as_deref();
    let by = |rules: Option<&[AuthRule]>, modes: Option<&[ModeRule]>, operation| {
        let modes = modes.or(model.modes.as_deref());
        rules::grant(model, identity, default, rules, modes, operation)
    };
    let operations = AuthOperation::ALL.map(|operation| by(own, None, operation));
    // Which rows may be read the operation says; of a field without rules of its own nothing more is asked.
    let inherited = |modes: Option<&[ModeRule]>| {
        let readable = READING.iter().any(|operation| by(own, modes, *operation).is_anything());
        if readable { Grant::All } else { Grant::Nothing }
    };
    let denied = |name: &str| match identity {
        Identity::Function(caller) => caller.denied_fields.contains(&format!("{}.{name}", model.name)),
        Identity::ApiKey { .. } | Identity::User(_) | Identity::Iam(_) | Identity::Local => false,
    };
    let reading = |name: &str, rules: Option<&[AuthRule]>, modes: Option<&[ModeRule]>| match rules {
        _ if denied(name) => Grant::Nothing,
        None => inherited(modes),
        Some(rules) => by(Some(rules), modes, AuthOperation::Get),
    };
    let fields = model.fields.iter().enumerate().map(|(place, field)| {
        let (rules, modes) = (field.auth.as_deref(), field.modes.as_deref());
        let shut = matches!(&field.ty.kind, FieldKind::Embedded(name) if closed.contains(name.as_str()));
        let writing = |operation| match shut || denied(&field.name) {
            true => Grant::Nothing,
            false => by(rules.or(own), modes, operation),
        };
        FieldAccess {
            read: match shut {
                true => Grant::Nothing,
                false => reading(&field.name, rules, modes),
            },
            create: writing(AuthOperation::Create),
            update: writing(AuthOperation::Update),
            // To take a value away that has rules of its own is to delete it: so do the generated resolvers.
            clear: match rules {
                None => writing(AuthOperation::Update),
                Some(_) => writing(AuthOperation::Delete),
            },
            names: rules::names(model, identity, FieldId(place)),
        }
    });
    let relations = model.relations.iter();
    ModelAccess {
        operations,
        fields: fields.collect(),
        relations: relations
            .map(|relation| reading(&relation.name, relation.auth.as_deref(), relation.modes.as_deref()))
            .collect(),
        owners: rules::owners(model, identity),
    }
}
