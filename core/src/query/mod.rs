//! GraphQL operation → checked plan → SQL → bytes of the answer. One engine, for the phone and for the server.
//!
//! The stages, each a type:
//! 1. [`Document`]: the text, parsed and validated against the API that the schema generates, within [`QueryLimits`].
//!    It depends on the schema alone, so it can be kept ([`Cache`]).
//! 2. [`Bound`]: one operation of it with its variables, for one identity ([`crate::access::Access`]) on one [`Side`].
//!    Fragments, aliases, `@include` and `@skip` are gone; each root field is either data for the caller to act on
//!    (mutations, subscriptions, the change feed: [`RootField`]) or a plan.
//! 3. [`Execution`]: gives [`Statement`]s one after the other, takes their rows and writes the bytes of the [`Answer`]
//!    in the order that the document asked for. A list without nested relations goes from the row straight into the
//!    bytes; otherwise rows wait in flat buffers until their relations have come, one statement for each relation.
//!
//! This module never runs SQL and knows no driver. Everything that a caller sends is a bound parameter, and every
//! statement has an order that ends in the key.

#![expect(
    clippy::result_large_err,
    reason = "an error ends its request or its field: it is on no hot path, and its keys are public API"
)]

mod answer;
mod appsync;
mod bind;
mod cache;
mod coerce;
mod conflicts;
mod document;
mod execute;
mod filter;
mod filter_parse;
mod filter_sql;
mod introspect;
mod leaf;
mod list;
mod moment;
mod plan;
mod request;
mod roots;
mod rows;
mod select;
mod sql;
mod stream;
mod token;
mod write;

pub use answer::Answer;
pub use appsync::appsync_errors;
pub use bind::Bound;
pub use cache::Cache;
pub use document::{Document, QueryLimits};
pub use execute::{Execution, RunStatement, Statement, Supplied, answer};
pub use filter::{AttributeType, Filter, FilterColumn, SizeTest, Test};
pub use request::{ConflictsInput, MutationInput, OperationKind, Root, RootField, ScopeInput, Side, SubscriptionInput};
