//! The checked model: plain data, positions rather than names where code looks things up often.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::access::AuthMode;
use crate::id::{FieldId, ModelId};
use crate::value::Value;

/// A checked schema and the API it generates. Built by [`Schema::parse`]; shared as `Arc<Schema>`.
#[derive(Debug)]
pub struct Schema {
    /// The `@model` types, in the order of the file (join models of `@manyToMany` last).
    pub models: Vec<Model>,
    /// Enum name → its values.
    pub enums: BTreeMap<String, Vec<String>>,
    /// Embedded (non-model object) type name → its fields.
    pub embedded: BTreeMap<String, Vec<EmbeddedField>>,
    /// The mode directives (`@aws_iam` and the like) on what is not a model, by `Type` and `Type.field`: embedded types,
    /// other plain types, interfaces, and root fields that the file declares (`Query.echo`). Models have theirs in
    /// [`Model::modes`], [`Field::modes`] and [`Relation::modes`].
    pub modes: BTreeMap<String, Vec<ModeRule>>,
    /// The generated API: every type a client sees, validated, ready for documents to be checked against.
    pub api: Arc<apollo_compiler::validation::Valid<apollo_compiler::Schema>>,
    /// The generated API's SDL, as `tombolo schema print` gives it.
    pub api_sdl: String,
    /// What each generated root field means, by operation kind and name.
    pub roots: Roots,
    /// SHA-256 (hex) of the stored shape and of what a mutation's text depends on: models, fields, types, keys, enums, names
    /// of mutations. Between two schemas with equal hashes everything can be sent and stored as it stands.
    pub hash: String,
    /// The SDL that it was read from.
    pub source: String,
    /// What was noticed but not refused (unknown directives and the like), by place.
    pub warnings: Vec<SchemaMessage>,
}

impl Schema {
    /// Every rule of every `@auth`, of models, fields and relations.
    pub fn rules(&self) -> impl Iterator<Item = &AuthRule> {
        self.models.iter().flat_map(|model| {
            let fields = model.fields.iter().filter_map(|field| field.auth.as_deref());
            let relations = model.relations.iter().filter_map(|relation| relation.auth.as_deref());
            model
                .auth
                .as_deref()
                .into_iter()
                .chain(fields)
                .chain(relations)
                .flatten()
        })
    }
}

/// One message about a schema file: `schema.graphql:12:3: …`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SchemaMessage {
    /// The file's name as given to [`Schema::parse`].
    pub file: String,
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
    /// The rule that was broken or the thing that was noticed.
    pub problem: String,
    /// What to do about it.
    pub mend: String,
}

impl std::fmt::Display for SchemaMessage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}:{}: {}", self.file, self.line, self.column, self.problem)?;
        if !self.mend.is_empty() {
            write!(f, " ({})", self.mend)?;
        }
        Ok(())
    }
}

/// A schema that cannot work: every error of the file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}", .errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))]
pub struct SchemaErrors {
    /// At least one.
    pub errors: Vec<SchemaMessage>,
    /// What was noticed besides, as far as the file could be read.
    pub warnings: Vec<SchemaMessage>,
}

/// One `@model` type.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The type's name; also the name of its table.
    pub name: String,
    /// The plural (npm `pluralize`), first letter as in the name: `People`.
    pub plural: String,
    /// Stored fields, in order: as declared, then generated foreign keys, then timestamps. Relations are not here.
    pub fields: Vec<Field>,
    /// The primary key: partition field, then sort key fields.
    pub key: Vec<FieldId>,
    /// Secondary indexes, in order of declaration.
    pub indexes: Vec<Index>,
    /// Relation fields.
    pub relations: Vec<Relation>,
    /// The field that takes the creation time, if the model keeps one.
    pub created_at: Option<FieldId>,
    /// The field that takes the time of the last change, if the model keeps one.
    pub updated_at: Option<FieldId>,
    /// The model's `@auth` rules; `None` without the directive.
    pub auth: Option<Vec<AuthRule>>,
    /// The mode directives on the type; `None` without one.
    pub modes: Option<Vec<ModeRule>>,
    /// What happens on a conflict.
    pub conflict: ConflictStrategy,
    /// The declaration order of all fields, stored ones and relations, as they stand in the type.
    pub order: Vec<Member>,
    /// Names that AppSync's filters know though no record has them (`id` beside another key, foreign keys that stand in
    /// the other model): a test of one is a test of an absent value.
    pub absent: Vec<(String, FieldKind)>,
    /// `@renamed(from:)`: every name that the model had before, oldest first as a rule.
    pub former: Vec<String>,
}

impl Model {
    /// The stored field called `name`.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<FieldId> {
        self.fields.iter().position(|f| f.name == name).map(FieldId)
    }

    /// Whether an owner rule that names no claim of its own looks at the field: it keeps `sub::username`.
    #[must_use]
    pub fn is_owner(&self, field: FieldId) -> bool {
        let name = self.fields.get(field.0).map(|field| field.name.as_str());
        let of_fields = self.fields.iter().filter_map(|field| field.auth.as_deref());
        let mut rules = self.auth.as_deref().into_iter().chain(of_fields).flatten();
        rules.any(|rule| {
            rule.strategy == AuthStrategy::Owner
                && matches!(rule.identity_claim.as_deref(), None | Some("sub::username"))
                && name == Some(rule.owner_field.as_deref().unwrap_or(super::OWNER_FIELD))
        })
    }

    /// The relation field called `name`.
    #[must_use]
    pub fn relation(&self, name: &str) -> Option<&Relation> {
        self.relations.iter().find(|r| r.name == name)
    }
}

/// One member of a model's type, for printing in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Member {
    /// `Model::fields[i]`.
    Field(FieldId),
    /// `Model::relations[i]`.
    Relation(usize),
}

/// One stored field.
#[derive(Clone, Debug, PartialEq)]
pub struct Field {
    /// Its name; also its column's.
    pub name: String,
    /// Its type.
    pub ty: FieldType,
    /// `@default(value:)`, already of the field's type: filled on create when the input leaves it out.
    pub default: Option<Value>,
    /// The field's own `@auth` rules, which replace the model's.
    pub auth: Option<Vec<AuthRule>>,
    /// The field's own mode directives; `None` without one.
    pub modes: Option<Vec<ModeRule>>,
    /// How the field came to be.
    pub origin: FieldOrigin,
    /// `@merge(rule:)`: how a conflict on this field is settled, before the model's strategy is asked.
    pub merge: Option<MergeRule>,
    /// `@renamed(from:)`: every name that the field had before.
    pub former: Vec<String>,
}

/// How a stored field came to be, which decides where it appears in the generated API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FieldOrigin {
    /// Written in the schema file.
    Declared,
    /// `id: ID!` added because the model declared no key.
    ImplicitId,
    /// A foreign key made for a relation; in the inputs, not in the object type unless AppSync shows it there.
    ForeignKey,
    /// `createdAt` / `updatedAt` added by `@model`; not in the inputs.
    Timestamp,
    /// `owner` added by an owner rule; not in the inputs.
    Owner,
}

impl FieldOrigin {
    /// Whether mutations give the field: what the server fills in they do not.
    #[must_use]
    pub fn is_given(self) -> bool {
        match self {
            Self::Declared | Self::ImplicitId | Self::ForeignKey => true,
            Self::Timestamp | Self::Owner => false,
        }
    }
}

/// The type of a stored field.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldType {
    /// The element.
    pub kind: FieldKind,
    /// For a list, whether its items are non-null; `None` for a single value.
    pub list: Option<bool>,
    /// Non-null (`!`) at the outermost level.
    pub required: bool,
}

/// What a field's element is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldKind {
    /// A built-in or AWS scalar.
    Scalar(Scalar),
    /// An enum of [`Schema::enums`].
    Enum(String),
    /// An embedded type of [`Schema::embedded`].
    Embedded(String),
}

/// A field of an embedded type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EmbeddedField {
    /// Its name.
    pub name: String,
    /// Its type.
    pub ty: FieldType,
}

/// Every scalar. Rules: AppSync's developer guide, "Scalar types in AWS AppSync".
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Scalar {
    /// `ID`: a string; integers are taken and kept as their text.
    Id,
    /// `String`.
    String,
    /// `Int`: 32 bits, signed.
    Int,
    /// `Float`: a finite double.
    Float,
    /// `Boolean`.
    Boolean,
    /// `AWSDate`.
    AwsDate,
    /// `AWSTime`.
    AwsTime,
    /// `AWSDateTime`.
    AwsDateTime,
    /// `AWSTimestamp`: 64 bits (it also carries milliseconds).
    AwsTimestamp,
    /// `AWSEmail`.
    AwsEmail,
    /// `AWSJSON`: a string that holds JSON.
    AwsJson,
    /// `AWSURL`.
    AwsUrl,
    /// `AWSPhone`.
    AwsPhone,
    /// `AWSIPAddress`.
    AwsIpAddress,
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// `name`, or one made up for a hidden index of a relation.
    pub name: String,
    /// Partition field, then sort key fields.
    pub fields: Vec<FieldId>,
    /// The query field, if one is generated.
    pub query_field: Option<String>,
}

/// A relation field: which records of the other model belong to this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Relation {
    /// The field's name.
    pub name: String,
    /// The other model.
    pub target: ModelId,
    /// One or many.
    pub kind: RelationKind,
    /// Fields of this model, matched in order with `target_fields`.
    pub source_fields: Vec<FieldId>,
    /// Fields of the target model.
    pub target_fields: Vec<FieldId>,
    /// For many: the target's fields after `target_fields` in the index that serves it (its sort key), by which the
    /// list is ordered; empty means the target's primary key.
    pub sort_fields: Vec<FieldId>,
    /// For many: the field takes a condition on `sort_fields`.
    pub conditioned: bool,
    /// The field is non-null in the schema.
    pub required: bool,
    /// The field's own `@auth` rules.
    pub auth: Option<Vec<AuthRule>>,
    /// The field's own mode directives; `None` without one.
    pub modes: Option<Vec<ModeRule>>,
}

/// One or many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelationKind {
    /// `@hasOne`: at most one record of the target.
    HasOne,
    /// `@belongsTo`: at most one record of the target.
    BelongsTo,
    /// `@hasMany`, and each side of `@manyToMany` (whose target is the join model): a connection.
    HasMany,
}

/// What a model does when a mutation's base version is not the record's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConflictStrategy {
    /// Merge field by field; where both sides changed the same field the server's value stands.
    #[default]
    Automerge,
    /// Refuse the mutation and give back the server's record.
    OptimisticConcurrency,
    /// The mutation's fields win.
    LastWriterWins,
    /// A resolver on the server decides.
    Custom,
}

/// `@merge(rule:)` of a field: goes before the model's [`ConflictStrategy`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum MergeRule {
    /// The incoming value stands.
    LastWriter,
    /// A number that updates add to: an operation, so that nobody's addition is lost.
    Counter,
    /// A list without duplicates that updates add members to and remove members from: an operation.
    Set,
    /// The greater of both stands, in conflict or not.
    Max,
    /// The lesser of both stands, in conflict or not.
    Min,
    /// A conflict on the field refuses the mutation.
    Reject,
    /// A resolver on the server decides.
    Custom,
}

impl MergeRule {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::LastWriter,
        Self::Counter,
        Self::Set,
        Self::Max,
        Self::Min,
        Self::Reject,
        Self::Custom,
    ];

    /// Its name in SDL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::LastWriter => "LAST_WRITER",
            Self::Counter => "COUNTER",
            Self::Set => "SET",
            Self::Max => "MAX",
            Self::Min => "MIN",
            Self::Reject => "REJECT",
            Self::Custom => "CUSTOM",
        }
    }

    /// The rule called `name` in SDL.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|rule| rule.name() == name)
    }

    /// Whether a mutation's update carries the operation on such a field rather than its result.
    #[must_use]
    pub fn has_operation(self) -> bool {
        match self {
            Self::Counter | Self::Set => true,
            Self::LastWriter | Self::Max | Self::Min | Self::Reject | Self::Custom => false,
        }
    }
}

/// One of AppSync's mode directives on a type or a field: who comes by this mode may have it.
///
/// `@aws_api_key @aws_iam` on one place are two rules, of which one is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModeRule {
    /// The way in which the caller shows who he is.
    pub mode: AuthMode,
    /// `cognito_groups:` of `@aws_cognito_user_pools` and `@aws_auth`: the user is a member of one of them. Empty: anyone
    /// who comes by the mode.
    pub groups: Vec<String>,
}

/// One rule of `@auth`, kept whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthRule {
    /// `allow:`.
    pub strategy: AuthStrategy,
    /// `provider:`, or the strategy's default.
    pub provider: AuthProvider,
    /// `operations:`, with `read` spelled out; all without the argument.
    pub operations: Vec<AuthOperation>,
    /// `ownerField:`.
    pub owner_field: Option<String>,
    /// `identityClaim:`.
    pub identity_claim: Option<String>,
    /// `groups:`.
    pub groups: Vec<String>,
    /// `groupsField:`.
    pub groups_field: Option<String>,
    /// `groupClaim:`.
    pub group_claim: Option<String>,
}

impl AuthRule {
    /// Whether it looks at this claim by name.
    #[must_use]
    pub fn looks_at(&self, claim: &str) -> bool {
        self.identity_claim.as_deref() == Some(claim) || self.group_claim.as_deref() == Some(claim)
    }
}

/// `allow:` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthStrategy {
    /// Anyone with the provider's credential.
    Public,
    /// Any signed-in user.
    Private,
    /// The record's owner.
    Owner,
    /// Members of groups.
    Groups,
    /// A function decides.
    Custom,
}

/// `provider:` of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthProvider {
    /// `apiKey`.
    ApiKey,
    /// `iam`.
    Iam,
    /// `identityPool`.
    IdentityPool,
    /// `userPools`.
    UserPools,
    /// `oidc`.
    Oidc,
    /// `function`.
    Function,
}

/// One operation that a rule grants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthOperation {
    /// `create`.
    Create,
    /// `update`.
    Update,
    /// `delete`.
    Delete,
    /// `get`.
    Get,
    /// `list`, index queries and nested lists.
    List,
    /// `sync` and the change feed.
    Sync,
    /// Subscriptions.
    Listen,
    /// `search`.
    Search,
}

impl AuthOperation {
    /// All of them; `read` in a rule means the last five.
    pub const ALL: [Self; 8] = [
        Self::Create,
        Self::Update,
        Self::Delete,
        Self::Get,
        Self::List,
        Self::Sync,
        Self::Listen,
        Self::Search,
    ];
}

/// What each root field of the generated API means.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Roots {
    /// `Query` fields.
    pub query: BTreeMap<String, QueryRoot>,
    /// `Mutation` fields.
    pub mutation: BTreeMap<String, MutationRoot>,
    /// `Subscription` fields.
    pub subscription: BTreeMap<String, SubscriptionRoot>,
}

/// The meaning of a `Query` field.
#[derive(Clone, Debug, PartialEq)]
pub enum QueryRoot {
    /// `getX(key…)`.
    Get(ModelId),
    /// `listXs(filter, limit, nextToken, …)`.
    List(ModelId),
    /// An index's query field; the second is the place in [`Model::indexes`].
    Index(ModelId, usize),
    /// `syncXs(filter, limit, nextToken, lastSync)`.
    Sync(ModelId),
    /// `tomboloChanges`: one page of the change feed.
    Changes,
    /// `tomboloConflicts`: what was merged and rejected.
    Conflicts,
    /// Declared in the schema file, without a generated meaning.
    Custom,
}

/// The meaning of a `Mutation` field.
#[derive(Clone, Debug, PartialEq)]
pub enum MutationRoot {
    /// `createX`, `updateX`, `deleteX`.
    Model(ModelId, MutationKind),
    /// Declared in the schema file, without a generated meaning.
    Custom,
}

/// What a generated mutation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MutationKind {
    /// A new record.
    Create,
    /// Some fields of a record.
    Update,
    /// A record becomes a tombstone.
    Delete,
}

/// The meaning of a `Subscription` field.
#[derive(Clone, Debug, PartialEq)]
pub enum SubscriptionRoot {
    /// `onCreateX`, `onUpdateX`, `onDeleteX`.
    Model(ModelId, MutationKind),
    /// `tomboloChanges`: the change feed.
    Changes,
    /// Declared in the schema file with `@aws_subscribe`, without a generated meaning.
    Custom,
}
