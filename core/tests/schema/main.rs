//! The schema room from outside: golden APIs, errors by place, scalars, differences, random schemas.

#![allow(clippy::unwrap_used, clippy::disallowed_methods, missing_docs)]

mod corners;
mod differences;
mod errors;
mod golden;
mod lens;
mod merging;
mod modes;
mod random;
mod relations;
mod scalars;
mod transformer;
mod v1;
