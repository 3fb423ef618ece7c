//! Several mutations that are applied together or not at all.

use graphql_client::GraphQLQuery;
use serde_json::Value as Json;
use tombolo_core::id::MutationNumber;

use crate::inner::{Inner, typed_variables};
use crate::mutation::{self, Prepared};
use crate::{Error, Response};

/// Collects the mutations of one atomic transaction; see [`crate::Client::transaction`].
pub struct Transaction<'a> {
    inner: &'a Inner,
    prepared: Vec<Prepared>,
}

impl<'a> Transaction<'a> {
    pub(crate) fn new(inner: &'a Inner) -> Self {
        Self {
            inner,
            prepared: Vec::new(),
        }
    }

    /// Adds a mutation. Nothing is queued before the closure has ended well.
    ///
    /// # Errors
    /// As [`crate::Client::mutate`]; returning it from the closure gives the transaction up.
    pub fn mutate(&mut self, text: &str, variables: Json) -> Result<(), Error> {
        let bound = self.inner.bind(text, None, mutation::variables(variables)?)?;
        self.add(bound)
    }

    /// Adds a typed mutation.
    ///
    /// # Errors
    /// As [`Transaction::mutate`].
    pub fn mutate_as<Q: GraphQLQuery>(&mut self, variables: Q::Variables) -> Result<(), Error> {
        let body = Q::build_query(variables);
        let bound = self
            .inner
            .bind(body.query, Some(body.operation_name), typed_variables(&body.variables)?)?;
        self.add(bound)
    }

    fn add(&mut self, bound: tombolo_core::query::Bound) -> Result<(), Error> {
        self.prepared.push(mutation::prepare(
            &self.inner.schema,
            bound,
            self.inner.author.as_deref(),
        )?);
        Ok(())
    }

    pub(crate) fn into_prepared(self) -> Vec<Prepared> {
        self.prepared
    }
}

impl std::fmt::Debug for Transaction<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Transaction({} documents)", self.prepared.len())
    }
}

/// What a transaction gives back at once.
#[derive(Clone, Debug, PartialEq)]
pub struct Transacted {
    /// One answer for each call of [`Transaction::mutate`], in order.
    pub responses: Vec<Response>,
    /// One number for each mutation field, in order.
    pub numbers: Vec<MutationNumber>,
}
