//! Opening: see below.
