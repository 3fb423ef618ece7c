//! Reading a request: under the present schema, or under the one that it was made under.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value as Json;
use tombolo_core::access::{Access, Identity};
use tombolo_core::query::{Answer, Bound, OperationKind, RootField, Side, Supplied};
use tombolo_core::wire::envelope::MutationEnvelope;
use tombolo_core::wire::graphql::{ErrorType, GraphqlError, Request};

use crate::decide::Digest;
use crate::former::Read;
use crate::limits;
use crate::prepare::{Body, Extensions, Prepared, is_misfit, refusal, unknown_schema};
use crate::service::{Engine, refused_whole};
use crate::store::{MutationResult, Store};

impl<S: Store> Engine<S> {
    /// Reads and checks a request. A replica's mutation that cannot be carried out is prepared too: commit it like any
    /// other, so that its rejection is kept and it is never sent again.
    ///
    /// # Errors
    /// Any other request that cannot be carried out: give the errors to the caller.
    pub fn prepare(&self, identity: &Identity, request: &Request) -> Result<Prepared, Vec<GraphqlError>> {
        let extensions = Extensions::read(request).map_err(|unreadable| vec![unreadable.into()])?;
        let access = &self.accesses.of(&self.schema, identity, self.settings.default_auth);
        let prepared = |body, envelope: Option<MutationEnvelope>, refused: bool| Prepared {
            body,
            request: (refused && envelope.is_some()).then(|| kept(request)),
            request_digest: envelope.is_some().then(|| Digest::of_request(request)),
            envelope,
            identity: identity.clone(),
            replica: extensions.replica.clone(),
            access: Arc::clone(access),
            formerly: None,
        };
        let refused = |errors, envelope: MutationEnvelope| {
            let refusal = refusal(errors, &envelope, &request.query);
            prepared(Body::Refused(Arc::new(refusal)), Some(envelope), true)
        };
        let bound = |bound: Arc<Bound>, envelope: Option<MutationEnvelope>| {
            let envelope = envelope.filter(|_| bound.kind() == OperationKind::Mutation);
            let refused = envelope
                .as_ref()
                .is_some_and(|envelope| refused_whole(&bound, envelope).is_some());
            prepared(Body::Bound(bound), envelope, refused)
        };
        let former = self.formers.find(&extensions.schema, &self.schema);
        if let Some(former) = &former {
            let read = former.request(request, &self.settings.query, access, extensions.envelope.is_some());
            match (read, extensions.envelope.clone()) {
                (Read::Carried(operation, formerly), envelope) => {
                    return Ok(Prepared {
                        formerly: Some(Arc::new(formerly)),
                        ..bound(operation, envelope)
                    });
                }
                (Read::Refused(errors), Some(envelope)) => return Ok(refused(errors, envelope)),
                (Read::Refused(errors), None) => return Err(errors),
                (Read::Present, _) => {}
            }
        }
        let is_unknown = former.is_none() && !extensions.schema.is_empty() && extensions.schema != self.schema.hash;
        let waits = |errors: &[GraphqlError]| is_unknown && is_misfit(errors);
        let unknown = |errors, envelope: MutationEnvelope| {
            let refusal = unknown_schema(errors, &envelope, &request.query);
            prepared(Body::Refused(Arc::new(refusal)), Some(envelope), false)
        };
        match (self.bind(access, request).map(Arc::new), extensions.envelope) {
            (Ok(operation), None) => Ok(bound(operation, None)),
            (Ok(operation), Some(envelope)) => {
                let roots = 0..operation.roots().len();
                let refusals: Vec<_> = roots.filter_map(|root| operation.refusal(root).cloned()).collect();
                if waits(&refusals) {
                    return Ok(unknown(refusals, envelope));
                }
                Ok(bound(operation, Some(envelope)))
            }
            (Err(errors), None) => Err(errors),
            (Err(errors), Some(envelope)) if waits(&errors) => Ok(unknown(errors, envelope)),
            (Err(errors), Some(envelope)) => Ok(refused(errors, envelope)),
        }
    }

    fn bind(&self, access: &Access, request: &Request) -> Result<Bound, Vec<GraphqlError>> {
        let document = self
            .documents
            .parse(&self.schema, &request.query, &self.settings.query)?;
        let none = serde_json::Map::new();
        let variables = request.variables.as_ref().unwrap_or(&none);
        document.bind(request.operation_name.as_deref(), variables, access, Side::Server)
    }
}

/// A refused request as it is kept with its rejection.
fn kept(request: &Request) -> Arc<Json> {
    let bytes = request.query.len()
        + request
            .variables
            .as_ref()
            .map_or(0, |all| Json::Object(all.clone()).to_string().len());
    if bytes > limits::KEPT_REQUEST_BYTES_MAX {
        let start: String = request
            .query
            .chars()
            .take(limits::KEPT_REQUEST_BYTES_MAX / 64)
            .collect();
        return Arc::new(serde_json::json!({ "query": start, "cut": true, "bytes": bytes }));
    }
    let mut kept = serde_json::json!({ "query": request.query });
    if let Some(variables) = &request.variables {
        kept["variables"] = Json::Object(variables.clone());
    }
    if let Some(name) = &request.operation_name {
        kept["operationName"] = Json::from(name.as_str());
    }
    Arc::new(kept)
}

/// `result` with its record as the request's own schema has it.
pub(crate) fn formerly<'r>(
    prepared: &Prepared,
    root: &RootField,
    result: &'r MutationResult,
) -> Cow<'r, MutationResult> {
    match (&prepared.formerly, root, &result.record) {
        (Some(formerly), RootField::Mutation(input), Some(record)) => {
            let record = formerly.former.record(input.model, record, &prepared.access);
            Cow::Owned(MutationResult {
                record: Some(Arc::new(record)),
                ..result.clone()
            })
        }
        _ => Cow::Borrowed(result),
    }
}

/// The answer to a request of an earlier schema, whose statements the present tables would not take.
pub(crate) fn finish_without_the_store(bound: &Bound, supplied: Vec<(usize, Supplied)>) -> Answer {
    let mut execution = bound.execute();
    for (root, with) in supplied {
        execution.supply(root, with);
    }
    if execution.next_statement().is_none() {
        return execution.finish();
    }
    let problem = "the outcome stands, but under an earlier schema a mutation's answer has no relations: ask for them in a \
                   query of their own";
    Answer::refused(vec![GraphqlError::new(ErrorType::UnsupportedOperation, problem)])
}
