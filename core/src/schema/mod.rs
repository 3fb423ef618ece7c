//! SDL with Amplify's directives in; a checked model of it and the generated API out.
//!
//! [`Schema::parse`] does everything: it reads the file, checks it, and builds the API's own GraphQL schema. All errors
//! of a file are gathered and returned at once, each with its place, the rule broken and the mend.

mod lookup;
mod model;
mod names;
mod scalar;

pub use model::*;
pub use scalar::ValueError;
