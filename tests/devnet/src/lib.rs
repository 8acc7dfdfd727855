//! A local Internet Computer and Internet Identity for tests and the offline demo.
//!
//! Honest in its cryptography: certificates are BLS-signed over real hash trees, queries are
//! signed by nodes, envelopes are checked in full, and II signs with canister signatures. An
//! unmodified agent with query verification on accepts it, and tampering is rejected.

#![forbid(unsafe_code)]

mod canisters;
mod clock;
mod consent;
mod control;
mod network;
mod replica;
mod server;
mod web;

pub use consent::Handshake;
pub use network::{Anchors, Canisters, Description, Devnet, Handshakes, Ports, Running};

/// Locks a mutex whose data a panicking holder cannot have left half-changed in a way that
/// matters to a test network.
fn lock<T>(mutex: &std::sync::Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex
        .lock()
        .unwrap_or_else(std::sync::PoisonError::into_inner)
}
