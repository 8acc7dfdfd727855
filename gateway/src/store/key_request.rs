//! What a sign-in by the handshake `key-request` knows of its session keys.

use serde::{Deserialize, Serialize};

use super::{Digest, Moment};
use crate::connection::AccessLevel;

/// The session keys on offer, and what was said of the grant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyRequest {
    /// In the order they are given away.
    pub keys: Vec<OfferedKey>,
    /// When the grant is said to end.
    #[serde(default)]
    pub said_expires_at: Option<Moment>,
    /// What it is said to allow.
    #[serde(default)]
    pub said_access_level: Option<AccessLevel>,
}

/// A session key that is given to Internet Identity's page at most once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OfferedKey {
    /// Its public half, DER.
    pub session_key: Vec<u8>,
    /// Once it was given away: hash of the finish secret that went with it.
    #[serde(default)]
    pub finish: Option<Digest>,
}
