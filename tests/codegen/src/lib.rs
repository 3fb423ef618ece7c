//! Rust that `tombolo codegen` writes, for three schemas, under `#![deny(warnings)]`: `build.rs` generates it.

#![deny(warnings)]

/// Two models.
pub mod small {
    include!(concat!(env!("OUT_DIR"), "/small.rs"));
}

/// The example schema.
pub mod flights {
    include!(concat!(env!("OUT_DIR"), "/flights.rs"));
}

/// Sixty models, and every name that is a word somewhere.
pub mod large {
    include!(concat!(env!("OUT_DIR"), "/large.rs"));
}
