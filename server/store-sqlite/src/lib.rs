//! tombolo-store-sqlite
