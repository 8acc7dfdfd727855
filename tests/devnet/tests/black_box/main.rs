//! The devnet from outside: an unmodified agent, hand-made envelopes, and plain HTTP.

#![forbid(unsafe_code)]
// A test that cannot go on should stop where it stands.
#![allow(clippy::unwrap_used)]

mod agent;
mod allow_list;
mod binary;
mod control;
mod envelopes;
mod internet_identity;
mod management;
mod network;
mod page;
