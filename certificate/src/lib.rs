//! Verifies the Internet Computer's certificates and canister signatures (IC interface specification, "Certification")
//! against a pinned root key, away from the threads that serve requests: each signature costs close to a millisecond
//! of pairing arithmetic. What the root subnet said of another subnet is verified once and remembered, so that a
//! certificate costs one signature, not two.
#![forbid(unsafe_code)]

mod bls;
mod canister_signature;
mod certified;
mod error;
mod root_of_trust;
mod subnet;
mod verifier;

#[cfg(test)]
mod tests;

pub use canister_signature::CanisterSigned;
pub use certified::{Certified, Status};
pub use error::CertificateError;
pub use verifier::Verifier;
