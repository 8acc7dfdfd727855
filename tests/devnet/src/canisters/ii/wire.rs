//! The Candid types of Internet Identity's MCP interface.

use candid::{CandidType, Principal};
use serde::Deserialize;
use serde_bytes::ByteBuf;

#[derive(Clone, Copy, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(crate) enum Permissions {
    #[serde(rename = "queries")]
    Queries,
    #[serde(rename = "all")]
    All,
}

#[derive(Clone, Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(crate) struct McpConfig {
    pub(crate) enabled: bool,
    pub(crate) url: Option<String>,
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct Delegation {
    pub(crate) pubkey: ByteBuf,
    pub(crate) expiration: u64,
    pub(crate) targets: Option<Vec<Principal>>,
    /// Text on this interface, although [`Permissions`] is a variant elsewhere.
    pub(crate) permissions: Option<String>,
}

#[derive(Clone, Debug, CandidType, Deserialize)]
pub(crate) struct SignedDelegation {
    pub(crate) delegation: Delegation,
    pub(crate) signature: ByteBuf,
}

#[derive(Debug, CandidType, Deserialize)]
pub(crate) struct AccountInfo {
    pub(crate) account_number: Option<u64>,
    pub(crate) origin: String,
    pub(crate) last_used: Option<u64>,
    pub(crate) name: Option<String>,
}

#[derive(Debug, PartialEq, Eq, CandidType, Deserialize)]
pub(crate) enum AccountDelegationError {
    InternalCanisterError(String),
    Unauthorized(Principal),
    NoSuchDelegation,
}

#[derive(Debug, CandidType, Deserialize)]
pub(crate) struct McpPrepareDelegation {
    pub(crate) user_key: ByteBuf,
    pub(crate) account_number: Option<u64>,
    pub(crate) expiration: u64,
}

#[derive(Debug, CandidType, Deserialize)]
pub(crate) struct McpRegistrationV2 {
    pub(crate) expiration: u64,
    pub(crate) permissions: Permissions,
}

/// Of `mcp_register`.
#[derive(Debug, CandidType, Deserialize)]
pub(crate) struct McpRegistration {
    pub(crate) expiration: u64,
}

#[derive(Debug, CandidType, Deserialize)]
pub(crate) struct PrepareMcpRegistrationDelegation {
    pub(crate) user_key: ByteBuf,
    pub(crate) expiration: u64,
    pub(crate) trusted_url: String,
}

#[derive(Debug, CandidType, Deserialize)]
pub(crate) struct PrepareAccountDelegation {
    pub(crate) user_key: ByteBuf,
    pub(crate) expiration: u64,
}
