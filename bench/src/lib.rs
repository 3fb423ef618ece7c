//! tombolo-bench
