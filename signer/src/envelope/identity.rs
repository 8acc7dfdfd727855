use std::fmt;

use candid::Principal;
use ic_transport_types::SignedDelegation;
use serde::Serialize;

use crate::vault::PrivateKey;

/// Who a request is sent as: a private key and, when another key's principal is meant, the delegations that lead to
/// it. What of the envelope is the same for every request is encoded once.
pub struct Identity {
    key: PrivateKey,
    sender: Principal,
    /// The envelope's members `sender_pubkey` and, with delegations, `sender_delegation`, encoded.
    credentials: Vec<u8>,
    members: u8,
}

impl Identity {
    /// The key's own principal.
    pub fn of_key(key: PrivateKey) -> Self {
        let public = key.public_der().to_vec();
        Self::new(key, &public, None)
    }

    /// The principal of `public_key` (DER), which `chain` delegates to `key`. The chain has been verified.
    pub fn delegated(key: PrivateKey, public_key: &[u8], chain: &[SignedDelegation]) -> Self {
        Self::new(key, public_key, Some(chain))
    }

    fn new(key: PrivateKey, public_key: &[u8], chain: Option<&[SignedDelegation]>) -> Self {
        let mut credentials = Vec::new();
        encode(&mut credentials, "sender_pubkey");
        encode(&mut credentials, serde_bytes::Bytes::new(public_key));
        if let Some(chain) = chain {
            encode(&mut credentials, "sender_delegation");
            encode(&mut credentials, chain);
        }
        Self {
            sender: Principal::self_authenticating(public_key),
            members: if chain.is_some() { 2 } else { 1 },
            credentials,
            key,
        }
    }

    /// The principal requests are sent as.
    pub fn sender(&self) -> Principal {
        self.sender
    }

    pub(super) fn key(&self) -> &PrivateKey {
        &self.key
    }

    /// The encoded members and how many they are.
    pub(super) fn credentials(&self) -> (u8, &[u8]) {
        (self.members, &self.credentials)
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Identity")
            .field(&self.sender.to_text())
            .finish()
    }
}

/// Appends a value's CBOR encoding.
pub(super) fn encode<T: Serialize + ?Sized>(output: &mut Vec<u8>, value: &T) {
    serde_cbor::to_writer(output, &value)
        .expect("writing the types of a request to memory cannot fail");
}
