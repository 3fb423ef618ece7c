//! `core::query` from outside: documents in, answers out of a real SQLite.
//!
//! - `oracle`: random documents and data, against apollo-compiler's own executor with naive resolvers;
//! - `filters`: a filter's SQL against its evaluation in memory;
//! - `pages`: page tokens; `limits`: what is refused for its size; `access`: what may not be seen; `errors`: bad input;
//! - `rules`: what `@auth` gives to whom;
//! - `roots`: each kind of root field; `operations`: those on counters and sets.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod access;
mod errors;
mod filters;
mod generate;
mod limits;
mod naive;
mod operations;
mod oracle;
mod pages;
mod roots;
mod rules;
mod support;
