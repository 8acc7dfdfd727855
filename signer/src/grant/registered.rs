use icgate_proto::v1;

use crate::{clock::Nanos, connection::AccessLevel};

/// A session key that the user is said to have registered with Internet Identity, and what is said of the grant.
/// Internet Identity's page says this without a signature, so it can only take away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RegisteredKey {
    /// The session key's public half, DER.
    pub public: Vec<u8>,
    /// When the grant is said to end.
    pub expires_at: Option<Nanos>,
    /// What it is said to allow.
    pub access: Option<AccessLevel>,
}

impl TryFrom<v1::RegisteredKey> for RegisteredKey {
    type Error = &'static str;

    fn try_from(key: v1::RegisteredKey) -> Result<Self, Self::Error> {
        let access = match v1::AccessLevel::try_from(key.access_level) {
            Ok(v1::AccessLevel::Unspecified) => None,
            Ok(v1::AccessLevel::Queries) => Some(AccessLevel::Queries),
            Ok(v1::AccessLevel::All) => Some(AccessLevel::All),
            Err(_) => return Err("`registered_key.access_level` is unknown"),
        };
        Ok(Self {
            public: key.session_key_der,
            expires_at: (key.expires_at_ns != 0).then_some(key.expires_at_ns),
            access,
        })
    }
}
