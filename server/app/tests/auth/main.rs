//! Who is let in: tokens of issuers, signed requests and the authorizer function, each with what attackers try.
//!
//! What signs here is not what checks: tokens are made by `jsonwebtoken`, requests are signed by `aws-sigv4`.
#![allow(clippy::unwrap_used, missing_docs)]

mod attacks;
mod function;
#[allow(dead_code)] // The other tests use more of it.
#[path = "../server/harness.rs"]
mod harness;
mod issuer;
mod listeners;
mod rotation;
mod signed;
mod signer;
mod tokens;
