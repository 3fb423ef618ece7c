//! tombolo-e2e
