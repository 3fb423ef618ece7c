//! Conflict detection and resolution: facts in, a named decision out.
