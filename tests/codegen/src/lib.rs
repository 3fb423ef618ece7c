//! Rust that `tombolo codegen` writes, for four schemas, under `#![deny(warnings)]`: `build.rs` generates it.

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

/// Names, descriptions and shapes that generated code has tripped over.
pub mod nasty {
    include!(concat!(env!("OUT_DIR"), "/nasty.rs"));
}
