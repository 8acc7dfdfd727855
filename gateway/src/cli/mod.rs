//! Commands of the icgate binary.
