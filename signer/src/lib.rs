//! The signer: the one process of icgate that holds registration, session and app keys. It is reached by gRPC over
//! mutual TLS only, mints Internet Identity delegations, builds Internet Computer requests from their decoded fields
//! and signs them, within the ceiling of the connection each request names.
//!
//! A request travels [`rpc`] → [`access`] → [`connection`] → [`account`] → [`envelope`] → [`audit`]; keys rest in
//! [`vault`]; Internet Identity is reached through [`transport`].
#![forbid(unsafe_code)]

pub mod account;
pub mod audit;
pub mod clock;
pub mod connection;
pub mod envelope;
pub mod grant;
mod refusal;
mod signer;
pub mod transport;
pub mod vault;

pub use signer::{Instance, Limits, Setup, Signer, StartError};
