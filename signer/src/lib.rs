//! The signer: the one process of icgate that holds registration, session and app keys. It is reached by gRPC over
//! mutual TLS only, mints Internet Identity delegations, builds Internet Computer requests from their decoded fields
//! and signs them, within the ceiling of the connection each request names.
//!
//! A request travels [`rpc`] → [`access`] → [`connection`] → [`account`] → [`envelope`] → [`audit`]; keys rest in
//! [`vault`]; Internet Identity is reached through [`transport`].
#![forbid(unsafe_code)]

pub mod access;
pub mod account;
pub mod audit;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
pub mod envelope;
pub mod grant;
mod refusal;
pub mod rpc;
mod signer;
pub mod transport;
pub mod vault;

pub use signer::{Instance, Limits, Setup, Signer, StartError};
