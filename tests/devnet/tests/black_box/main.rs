//! The devnet from outside: an unmodified agent, hand-made envelopes, and plain HTTP.

#![forbid(unsafe_code)]

mod agent;
mod control;
mod envelopes;
mod internet_identity;
mod network;
mod page;
