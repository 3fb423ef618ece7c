//! tombolo-transport
