//! tombolo-machine
