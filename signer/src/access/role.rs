use std::str::FromStr;

use http::Extensions;
use icgate_proto::SignerError;

use super::Peer;
use crate::refusal;

/// What a client of the signer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// `gateway`: may call every method.
    Gateway,
    /// `observer`: may ask whether the signer is healthy and which methods it has.
    Observer,
}

/// Methods that act on connections, identities or signatures.
pub const GATEWAY_ONLY: &[Role] = &[Role::Gateway];
/// Health and reflection.
pub const ANY_ROLE: &[Role] = &[Role::Gateway, Role::Observer];

/// The configuration names a role that does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be `gateway` or `observer`")]
pub struct UnknownRole;

impl FromStr for Role {
    type Err = UnknownRole;

    fn from_str(text: &str) -> Result<Self, UnknownRole> {
        match text {
            "gateway" => Ok(Self::Gateway),
            "observer" => Ok(Self::Observer),
            _ => Err(UnknownRole),
        }
    }
}

/// Lets a request pass if its TLS connection's certificate has one of the roles.
///
/// # Errors
/// `ROLE_FORBIDDEN` otherwise.
pub fn require(request: &Extensions, roles: &[Role]) -> Result<(), SignerError> {
    match request.get::<Peer>() {
        Some(peer) if peer.roles().iter().any(|role| roles.contains(role)) => Ok(()),
        peer => {
            let subject = peer.map(Peer::subject);
            tracing::warn!(
                subject,
                "a client's role does not permit the method it called"
            );
            Err(refusal::role_forbidden())
        }
    }
}
