//! The Candid types of Internet Identity's server-facing methods, as far as they are read.

use candid::{CandidType, Principal};
use serde::Deserialize;

#[derive(Debug, CandidType, Deserialize)]
pub(super) enum Answer<T, E> {
    Ok(T),
    Err(E),
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) enum AccountDelegationError {
    InternalCanisterError(String),
    Unauthorized(Principal),
    NoSuchDelegation,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) enum Permissions {
    #[serde(rename = "queries")]
    Queries,
    #[serde(rename = "all")]
    All,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct McpRegistration {
    pub(super) expiration: u64,
    pub(super) permissions: Permissions,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct McpPrepareDelegation {
    #[serde(with = "serde_bytes")]
    pub(super) user_key: Vec<u8>,
    pub(super) account_number: Option<u64>,
    pub(super) expiration: u64,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct SignedDelegation {
    pub(super) delegation: Delegation,
    #[serde(with = "serde_bytes")]
    pub(super) signature: Vec<u8>,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct Delegation {
    #[serde(with = "serde_bytes")]
    pub(super) pubkey: Vec<u8>,
    pub(super) expiration: u64,
    pub(super) targets: Option<Vec<Principal>>,
    /// Text, not the variant of the same name elsewhere: decoded as a variant it would silently be null and the
    /// delegation's signature would not verify.
    pub(super) permissions: Option<String>,
}

#[derive(Debug, CandidType, Deserialize)]
pub(super) struct AccountInfo {
    pub(super) account_number: Option<u64>,
    pub(super) last_used: Option<u64>,
    pub(super) name: Option<String>,
}
