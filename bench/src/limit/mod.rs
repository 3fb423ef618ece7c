//! The physical limits: the same work without us. Bare SQLite for rows, bare sockets for bytes.

pub(crate) mod bytes;
pub(crate) mod echo;
pub(crate) mod list;
pub(crate) mod open;
pub(crate) mod tables;
pub(crate) mod write;
