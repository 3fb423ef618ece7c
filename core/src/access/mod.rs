//! What an identity may do, as a table over one schema, worked out once per identity and schema.
//!
//! The rules themselves stand in [`crate::schema::AuthRule`]. In this release the only identity is an API key, so an
//! [`Access`] is all or nothing for each model and field; row rules for signed-in users will add predicates here.

mod identity;

use crate::id::{FieldId, ModelId};
use crate::schema::{AuthOperation, AuthProvider, AuthRule, AuthStrategy, MutationKind, Schema};
pub use identity::{AuthMode, FunctionCaller, IamCaller, IamRole, Identity, User};

/// What one identity may do with each model and field of a schema. Anything not granted is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    models: Vec<ModelAccess>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct ModelAccess {
    operations: Vec<AuthOperation>,
    fields: Vec<FieldAccess>,
    /// For each relation whether it may be followed, by the field's own rules.
    relations: Vec<bool>,
}

/// What may be done with one stored field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct FieldAccess {
    read: bool,
    create: bool,
    update: bool,
}

impl Access {
    /// Works out what `identity` may do under `schema`'s rules.
    ///
    /// A model without `@auth` is open to every caller that the server has authenticated, as in plain AppSync; a model
    /// with rules is open to an API key only where a `public` rule with the `apiKey` provider says so. `@auth` on a
    /// field replaces the model's rules for that field.
    #[must_use]
    pub fn of(schema: &Schema, identity: &Identity) -> Self {
        let models = schema
            .models
            .iter()
            .map(|model| ModelAccess {
                operations: AuthOperation::ALL
                    .into_iter()
                    .filter(|op| allows(identity, model.auth.as_deref(), *op))
                    .collect(),
                fields: model
                    .fields
                    .iter()
                    .map(|field| {
                        let rules = field.auth.as_deref().or(model.auth.as_deref());
                        FieldAccess {
                            read: allows(identity, rules, AuthOperation::Get),
                            create: allows(identity, rules, AuthOperation::Create),
                            update: allows(identity, rules, AuthOperation::Update),
                        }
                    })
                    .collect(),
                relations: model
                    .relations
                    .iter()
                    .map(|relation| {
                        let rules = relation.auth.as_deref().or(model.auth.as_deref());
                        allows(identity, rules, AuthOperation::Get)
                    })
                    .collect(),
            })
            .collect();
        Self { models }
    }

    /// Whether `operation` on `model` is granted.
    #[must_use]
    pub fn model(&self, model: ModelId, operation: AuthOperation) -> bool {
        self.models
            .get(model.0)
            .is_some_and(|m| m.operations.contains(&operation))
    }

    /// Whether `field` of `model` may be read: selected, filtered on, sorted by, streamed.
    #[must_use]
    pub fn can_read(&self, model: ModelId, field: FieldId) -> bool {
        self.field(model, field).is_some_and(|f| f.read)
    }

    /// Whether relation `relation` (its place in the model's relations) of `model` may be followed.
    #[must_use]
    pub fn can_follow(&self, model: ModelId, relation: usize) -> bool {
        self.models
            .get(model.0)
            .and_then(|m| m.relations.get(relation))
            .is_some_and(|f| *f)
    }

    /// Whether `field` of `model` may be given in the input of a mutation of this kind. A delete gives no field but the
    /// key, which is nobody's to refuse here.
    #[must_use]
    pub fn can_write(&self, model: ModelId, field: FieldId, kind: MutationKind) -> bool {
        self.field(model, field).is_some_and(|f| match kind {
            MutationKind::Create => f.create,
            MutationKind::Update => f.update,
            MutationKind::Delete => false,
        })
    }

    fn field(&self, model: ModelId, field: FieldId) -> Option<&FieldAccess> {
        self.models.get(model.0).and_then(|m| m.fields.get(field.0))
    }
}

fn allows(identity: &Identity, rules: Option<&[AuthRule]>, operation: AuthOperation) -> bool {
    match identity {
        Identity::Local => true,
        // Until rules for them are in force.
        Identity::User(_) | Identity::Iam(_) | Identity::Function(_) => false,
        Identity::ApiKey { .. } => rules.is_none_or(|rules| {
            rules.iter().any(|rule| {
                rule.strategy == AuthStrategy::Public
                    && rule.provider == AuthProvider::ApiKey
                    && rule.operations.contains(&operation)
            })
        }),
    }
}
