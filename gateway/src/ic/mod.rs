//! Calls to the Internet Computer.
