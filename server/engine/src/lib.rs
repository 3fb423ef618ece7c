//! tombolo-engine
