//! Looking things up in a checked schema, and its types as text.

use std::fmt;

use crate::id::{FieldId, ModelId};

use super::model::{EmbeddedField, Field, FieldKind, FieldType, Model, Scalar, Schema};
use super::names;

impl Schema {
    /// The model called `name`.
    #[must_use]
    pub fn model_named(&self, name: &str) -> Option<ModelId> {
        self.models.iter().position(|m| m.name == name).map(ModelId)
    }

    /// The model at `id`.
    ///
    /// # Panics
    /// If `id` comes from another schema and lies beyond this one's models.
    #[must_use]
    pub fn model(&self, id: ModelId) -> &Model {
        &self.models[id.0]
    }

    /// The fields of the embedded type `name`; none for a name that is not an embedded type's.
    #[must_use]
    pub fn embedded_fields(&self, name: &str) -> &[EmbeddedField] {
        self.embedded.get(name).map_or(&[], Vec::as_slice)
    }
}

/// A model's name as it stands in the names of inputs: its first letter in upper case.
#[must_use]
pub fn api_name(model: &str) -> String {
    names::upper(model)
}

impl std::ops::Index<ModelId> for Schema {
    type Output = Model;

    fn index(&self, id: ModelId) -> &Model {
        self.model(id)
    }
}

impl Model {
    /// The stored field at `id`.
    ///
    /// # Panics
    /// If `id` comes from another model and lies beyond this one's fields.
    #[must_use]
    pub fn field_at(&self, id: FieldId) -> &Field {
        &self.fields[id.0]
    }

    /// The model's name as it stands in the names of inputs: `CreateTodoInput`, `ModelTodoConditionInput`.
    #[must_use]
    pub fn api_name(&self) -> String {
        api_name(&self.name)
    }

    /// The name of the argument that carries the condition on the sort key `fields` in list, index and nested list
    /// fields: the field's own name for one, `statusN` for the composite of `status` and `n`; `None` without fields.
    #[must_use]
    pub fn sort_key_argument(&self, fields: &[FieldId]) -> Option<String> {
        match fields {
            [] => None,
            [one] => Some(self.field_at(*one).name.clone()),
            many => {
                let words: Vec<&str> = many.iter().map(|f| self.field_at(*f).name.as_str()).collect();
                Some(names::camel(&words))
            }
        }
    }
}

/// What lists can be sorted by beside fields: the moment of a record's last change.
pub const LAST_CHANGED_AT: &str = "_lastChangedAt";

impl Field {
    /// Whether lists can be sorted by the field: a single scalar or enum. JSON texts have no order, and `true`, `false` and
    /// `null` cannot be values of an enum.
    #[must_use]
    pub fn is_sortable(&self) -> bool {
        let ordered = match self.ty.kind {
            FieldKind::Scalar(scalar) => scalar != Scalar::AwsJson,
            FieldKind::Enum(_) => true,
            FieldKind::Embedded(_) => false,
        };
        ordered && self.ty.list.is_none() && !matches!(self.name.as_str(), "true" | "false" | "null")
    }
}

impl Scalar {
    /// All of them.
    pub const ALL: [Self; 14] = [
        Self::Id,
        Self::String,
        Self::Int,
        Self::Float,
        Self::Boolean,
        Self::AwsDate,
        Self::AwsTime,
        Self::AwsDateTime,
        Self::AwsTimestamp,
        Self::AwsEmail,
        Self::AwsJson,
        Self::AwsUrl,
        Self::AwsPhone,
        Self::AwsIpAddress,
    ];

    /// Its name in SDL.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "ID",
            Self::String => "String",
            Self::Int => "Int",
            Self::Float => "Float",
            Self::Boolean => "Boolean",
            Self::AwsDate => "AWSDate",
            Self::AwsTime => "AWSTime",
            Self::AwsDateTime => "AWSDateTime",
            Self::AwsTimestamp => "AWSTimestamp",
            Self::AwsEmail => "AWSEmail",
            Self::AwsJson => "AWSJSON",
            Self::AwsUrl => "AWSURL",
            Self::AwsPhone => "AWSPhone",
            Self::AwsIpAddress => "AWSIPAddress",
        }
    }

    /// The scalar called `name` in SDL.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.name() == name)
    }

    /// Whether GraphQL itself defines it.
    #[must_use]
    pub fn is_built_in(self) -> bool {
        matches!(self, Self::Id | Self::String | Self::Int | Self::Float | Self::Boolean)
    }
}

impl FieldKind {
    /// Its name in SDL.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Scalar(scalar) => scalar.name(),
            Self::Enum(name) | Self::Embedded(name) => name,
        }
    }
}

impl FieldType {
    /// The type of a single nullable value.
    #[must_use]
    pub fn single(kind: FieldKind) -> Self {
        Self {
            kind,
            list: None,
            required: false,
        }
    }

    /// The same type, nullable or not at the outermost level.
    #[must_use]
    pub fn with_required(&self, required: bool) -> Self {
        Self {
            required,
            ..self.clone()
        }
    }
}

/// As in SDL: `[String!]!`.
impl fmt::Display for FieldType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bang = |required: bool| if required { "!" } else { "" };
        match self.list {
            None => write!(f, "{}{}", self.kind.name(), bang(self.required)),
            Some(items) => write!(f, "[{}{}]{}", self.kind.name(), bang(items), bang(self.required)),
        }
    }
}
