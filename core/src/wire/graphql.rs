//! A GraphQL request and the errors of its answer.
//!
//! Sources: GraphQL specification section 7 (response), "GraphQL over HTTP" draft (request), AppSync's answers for the
//! keys that stand at the top level of an error.

use serde::ser::SerializeMap as _;
use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value as Json};

/// A request as it comes over HTTP or in a `subscribe` frame.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Request {
    /// The document.
    pub query: String,
    /// Which operation of the document, if it has several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation_name: Option<String>,
    /// Variables; absent and `null` are the empty map.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variables: Option<Map<String, Json>>,
    /// Extensions; ours stand under `tombolo` ([`super::envelope::MutationEnvelope`]).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extensions: Option<Map<String, Json>>,
}

impl Request {
    /// Whether one of our replicas asks, and not a client that knows nothing of us.
    #[must_use]
    pub fn is_of_replica(&self) -> bool {
        let ours = self.extensions.as_ref().and_then(|all| all.get("tombolo"));
        ours.is_some_and(|ours| !ours.is_null())
    }
}

/// One error of an answer. AppSync's own keys stand at the top level, not under `extensions`, and where there is an
/// `errorType` they are all there: its Android client expects them.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct GraphqlError {
    /// What went wrong and what to do about it.
    pub message: String,
    /// The field it concerns; `None` for an error of the whole request.
    #[serde(default)]
    pub path: Option<Vec<PathSegment>>,
    /// Places in the document.
    #[serde(default)]
    pub locations: Option<Vec<Location>>,
    /// The stable name that programs branch on.
    #[serde(default)]
    pub error_type: Option<ErrorType>,
    /// For a conflict the server's record, projected by the mutation's selection.
    #[serde(default)]
    pub data: Option<Json>,
    /// Further facts, if any.
    #[serde(default)]
    pub error_info: Option<Json>,
}

impl Serialize for GraphqlError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let typed = self.error_type.is_some();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("path", &self.path)?;
        if typed || self.data.is_some() {
            map.serialize_entry("data", &self.data)?;
        }
        if let Some(error_type) = &self.error_type {
            map.serialize_entry("errorType", error_type)?;
        }
        if typed || self.error_info.is_some() {
            map.serialize_entry("errorInfo", &self.error_info)?;
        }
        map.serialize_entry("locations", &self.locations)?;
        map.serialize_entry("message", &self.message)?;
        map.end()
    }
}

/// One step of an error's path.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum PathSegment {
    /// A response key.
    Key(String),
    /// A place in a list.
    Index(usize),
}

/// A place in a document; on the wire with the `sourceName` that AppSync never fills.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Location {
    /// Line, from 1.
    pub line: usize,
    /// Column, from 1.
    pub column: usize,
}

impl Serialize for Location {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("line", &self.line)?;
        map.serialize_entry("column", &self.column)?;
        map.serialize_entry("sourceName", &())?;
        map.end()
    }
}

/// The stable name of an error: AppSync's where it has one.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ErrorType {
    /// The base version is not the record's and the strategy does not merge.
    ConflictUnhandled,
    /// The resolver that was to settle a conflict gave an answer that cannot be used.
    ConflictError,
    /// The caller's condition is false, or a create met an existing id, or an update a missing one.
    ConditionalCheckFailedException,
    /// The identity's rules refuse it.
    Unauthorized,
    /// No, or no valid, credential.
    UnauthorizedException,
    /// The request cannot be read.
    MalformedHttpRequestException,
    /// The request can be read but not carried out as it stands.
    BadRequest,
    /// A mutation that this one depends on was rejected.
    DependencyRejected,
    /// The number of a replica's mutation was used for another one: its file was copied or restored from a backup.
    NumberReused,
    /// The schema that a replica names is not one that this server has ever served, and the request does not fit the one it
    /// serves: the app is newer than the server. Nothing was decided; send it again when the server has been upgraded.
    UnknownSchema,
    /// The request was made under an earlier schema, and has no meaning under the present one: its model is gone, its key
    /// has changed, a value of an enum is no more.
    SchemaChanged,
    /// The replica was silent for so long that the server no longer knows whether this mutation took effect; it will not
    /// carry it out a second time.
    ReplicaWrittenOff,
    /// What became of the mutation under this number is no longer known: it may have been carried out, and will not be
    /// carried out now.
    OutcomeForgotten,
    /// The replica gave the mutation up before it was decided.
    Discarded,
    /// The operation has no resolver here.
    UnsupportedOperation,
    /// A limit on documents, pages or connections.
    LimitExceeded,
    /// The server failed; nothing was decided; send it again later.
    InternalFailure,
    /// A name that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl std::fmt::Display for ErrorType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Other(name) => f.write_str(name),
            Self::ConflictUnhandled
            | Self::ConflictError
            | Self::ConditionalCheckFailedException
            | Self::Unauthorized
            | Self::UnauthorizedException
            | Self::MalformedHttpRequestException
            | Self::BadRequest
            | Self::DependencyRejected
            | Self::NumberReused
            | Self::OutcomeForgotten
            | Self::Discarded
            | Self::UnknownSchema
            | Self::SchemaChanged
            | Self::ReplicaWrittenOff
            | Self::UnsupportedOperation
            | Self::LimitExceeded
            | Self::InternalFailure => write!(f, "{self:?}"),
        }
    }
}

impl GraphqlError {
    /// An error of the whole request.
    #[must_use]
    pub fn new(error_type: ErrorType, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            error_type: Some(error_type),
            ..Self::default()
        }
    }

    /// The same error, of the field at `path`.
    #[must_use]
    pub fn at(mut self, path: Vec<PathSegment>) -> Self {
        self.path = Some(path);
        self
    }
}
