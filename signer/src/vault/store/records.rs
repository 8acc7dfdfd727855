//! What the sealed records hold, version 1. A member added later needs `#[serde(default)]`; a changed meaning needs a
//! new format version.

use candid::Principal;
use serde::{Deserialize, Serialize};

use crate::{
    clock::Nanos,
    connection::{AccessLevel, Ceiling},
    vault::sealed::{ConnectionPublicKey, Sealed},
};

/// A connection: one client's authorized link to one user at one instance.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConnectionRecord {
    /// The instance of the configuration it was begun at.
    pub instance: String,
    /// The most it may ever do.
    pub ceiling: Ceiling,
    /// What keys are sealed to.
    pub public_key: ConnectionPublicKey,
    /// The registration key; gone once the connection is complete.
    pub registration_key: Option<Sealed>,
    /// The registration key's public half, DER.
    #[serde(with = "serde_bytes")]
    pub registration_public: Vec<u8>,
    /// When it lapses: while pending the end of the sign-in, then never later than ceiling and grant.
    pub expires_at: Nanos,
    /// What it may do at most: never more than ceiling and grant.
    pub access: AccessLevel,
    /// How it was completed; absent while pending.
    pub completed: Option<Completed>,
    /// Of the handshake `key-request`, while pending.
    #[serde(default)]
    pub key_request: Option<KeyRequest>,
}

/// What the handshake `key-request` needs until it is over.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct KeyRequest {
    /// When a connection of this handshake lapses at the latest.
    pub expires_by: Nanos,
    /// The session keys one of which the user registers.
    pub session_keys: Vec<SessionKey>,
}

/// A session key that may come to be registered.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionKey {
    /// Its public half, DER.
    #[serde(with = "serde_bytes")]
    pub public: Vec<u8>,
    /// As [`GrantKeyRecord`] holds it.
    pub sealed: Sealed,
}

/// What completed a connection, kept so that repeating the same request gives the same answer.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Completed {
    /// SHA-256 of the delegation chain, or of the session key that the user registered.
    pub chain_digest: [u8; 32],
    /// The connections whose grant the registration replaced.
    pub replaced: Vec<String>,
}

/// One slot: the connection's HPKE private key under one credential's secret.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SlotRecord {
    /// See [`crate::vault::SlotKey`].
    #[serde(with = "serde_bytes")]
    pub sealed: Vec<u8>,
    /// When the slot lapses.
    pub expires_at: Nanos,
}

/// A grant: Internet Identity's registration of a session key for a user.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantRecord {
    /// The instance.
    pub instance: String,
    /// The Internet Identity canister that keeps it.
    pub canister: Principal,
    /// The session key's public half, DER.
    #[serde(with = "serde_bytes")]
    pub session_public: Vec<u8>,
    /// Where it stands.
    pub state: GrantState,
    /// When Internet Identity lets it lapse; 0 while pending.
    pub expires_at: Nanos,
    /// What the user granted.
    pub access: AccessLevel,
    /// The user behind it; absent while pending.
    pub user: Option<User>,
    /// Of a replaced grant, until when its connections may be continued on the one that replaced it.
    #[serde(default)]
    pub continue_until: Option<Nanos>,
}

impl GrantRecord {
    /// Whether it was replaced and the user may still say which of its connections go on.
    pub fn may_be_continued(&self, now: Nanos) -> bool {
        self.state == GrantState::Replaced && self.continue_until.is_some_and(|until| now < until)
    }
}

/// A person at one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// Opaque and stable for (instance, Internet Identity canister, principal).
    pub id: String,
    /// The management identity: the person's principal at this server's own origin.
    pub principal: Principal,
}

/// Where a grant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum GrantState {
    /// Not registered yet.
    Pending,
    /// Registered.
    Live,
    /// The same user registered again; Internet Identity keeps one grant per identity.
    Replaced,
    /// Internet Identity no longer honours it.
    Ended,
}

/// A grant's session key, sealed to one connection.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GrantKeyRecord {
    /// See [`crate::vault::SealPurpose::Session`].
    pub sealed: Sealed,
}
