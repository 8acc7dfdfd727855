//! The delegation chain that II's page hands to the server's callback.

use p256::{
    ecdsa::{Signature, SigningKey, signature::Signer},
    pkcs8::EncodePublicKey,
};
use rand::rngs::OsRng;
use serde_json::{Value, json};

use crate::canisters::ii::wire::SignedDelegation;

/// Y: the key a browser makes for one consent.
pub(crate) struct BrowserKey(SigningKey);

impl BrowserKey {
    pub(crate) fn generate() -> Self {
        Self(SigningKey::random(&mut OsRng))
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.0
            .verifying_key()
            .to_public_key_der()
            .map(p256::pkcs8::Document::into_vec)
            .expect("a valid point has a DER form")
    }

    /// The hop from Y to `key`. Signed with ECDSA over SHA-256, 64 bytes r and s.
    pub(crate) fn delegate(&self, key: Vec<u8>, expiration: u64) -> Hop {
        let delegation = ic_transport_types::Delegation {
            pubkey: key,
            expiration,
            targets: None,
            permissions: None,
        };
        let signature: Signature = self.0.sign(&delegation.signable());
        Hop {
            key: delegation.pubkey,
            expiration,
            signature: signature.to_bytes().to_vec(),
        }
    }
}

pub(crate) struct Hop {
    key: Vec<u8>,
    expiration: u64,
    pub(crate) signature: Vec<u8>,
}

impl From<SignedDelegation> for Hop {
    fn from(signed: SignedDelegation) -> Self {
        Self {
            key: signed.delegation.pubkey.into_vec(),
            expiration: signed.delegation.expiration,
            signature: signed.signature.into_vec(),
        }
    }
}

impl Hop {
    fn to_json(&self) -> Value {
        json!({
            "delegation": {
                "expiration": format!("{:x}", self.expiration),
                "pubkey": hex::encode(&self.key),
            },
            "signature": hex::encode(&self.signature),
        })
    }
}

/// The JSON form of a chain that starts at `public_key`, as agent-js writes it.
pub(crate) fn to_json(public_key: &[u8], hops: &[Hop]) -> String {
    json!({
        "delegations": hops.iter().map(Hop::to_json).collect::<Vec<_>>(),
        "publicKey": hex::encode(public_key),
    })
    .to_string()
}
