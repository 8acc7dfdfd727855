//! Public keys of senders and delegations, and the check of their signatures
//! (IC interface specification, "Signatures").

use candid::Principal;
use p256::pkcs8::{AssociatedOid, ObjectIdentifier, der::Decode, spki::SubjectPublicKeyInfoRef};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::canister_signature;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const ELLIPTIC_CURVE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const CANISTER_SIGNATURE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.56387.1.2");

#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum KeyError {
    #[error("the public key is not a DER SubjectPublicKeyInfo of a supported scheme")]
    Unsupported,
    #[error("the signature does not verify")]
    Signature,
    #[error("the canister signature does not verify: {0}")]
    CanisterSignature(&'static str),
}

/// A key that may sign requests and delegations.
pub(crate) enum PublicKey {
    Ed25519(ed25519_dalek::VerifyingKey),
    P256(p256::ecdsa::VerifyingKey),
    Secp256k1(k256::ecdsa::VerifyingKey),
    Canister { canister: Principal, seed: Vec<u8> },
}

impl PublicKey {
    pub(crate) fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let spki = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Unsupported)?;
        let point = spki
            .subject_public_key
            .as_bytes()
            .ok_or(KeyError::Unsupported)?;
        match spki.algorithm.oid {
            ED25519 => {
                let key: &[u8; 32] = point.try_into().map_err(|_| KeyError::Unsupported)?;
                ed25519_dalek::VerifyingKey::from_bytes(key)
                    .map(Self::Ed25519)
                    .map_err(|_| KeyError::Unsupported)
            }
            ELLIPTIC_CURVE => {
                let curve = spki
                    .algorithm
                    .parameters_oid()
                    .map_err(|_| KeyError::Unsupported)?;
                Self::on_curve(curve, point)
            }
            CANISTER_SIGNATURE => Self::of_canister(point),
            _ => Err(KeyError::Unsupported),
        }
    }

    fn on_curve(curve: ObjectIdentifier, point: &[u8]) -> Result<Self, KeyError> {
        if curve == p256::NistP256::OID {
            p256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(Self::P256)
                .map_err(|_| KeyError::Unsupported)
        } else if curve == k256::Secp256k1::OID {
            k256::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .map(Self::Secp256k1)
                .map_err(|_| KeyError::Unsupported)
        } else {
            Err(KeyError::Unsupported)
        }
    }

    /// One length byte, the canister id, the seed.
    fn of_canister(bytes: &[u8]) -> Result<Self, KeyError> {
        let (length, rest) = bytes.split_first().ok_or(KeyError::Unsupported)?;
        let (id, seed) = rest
            .split_at_checked(usize::from(*length))
            .ok_or(KeyError::Unsupported)?;
        Ok(Self::Canister {
            canister: Principal::try_from_slice(id).map_err(|_| KeyError::Unsupported)?,
            seed: seed.to_vec(),
        })
    }

    /// `root_key` is the DER of the network's root key: canister signatures lead back to it.
    pub(crate) fn verify(
        &self,
        message: &[u8],
        signature: &[u8],
        root_key: &[u8],
    ) -> Result<(), KeyError> {
        match self {
            Self::Ed25519(key) => {
                let signature = ed25519_dalek::Signature::from_slice(signature)
                    .map_err(|_| KeyError::Signature)?;
                key.verify_strict(message, &signature)
                    .map_err(|_| KeyError::Signature)
            }
            Self::P256(key) => {
                use p256::ecdsa::signature::Verifier;
                let signature = p256::ecdsa::Signature::from_slice(signature)
                    .map_err(|_| KeyError::Signature)?;
                key.verify(message, &signature)
                    .map_err(|_| KeyError::Signature)
            }
            Self::Secp256k1(key) => {
                use k256::ecdsa::signature::Verifier;
                let signature = k256::ecdsa::Signature::from_slice(signature)
                    .map_err(|_| KeyError::Signature)?;
                let signature = signature.normalize_s().unwrap_or(signature);
                key.verify(message, &signature)
                    .map_err(|_| KeyError::Signature)
            }
            Self::Canister { canister, seed } => {
                canister_signature::verify(*canister, seed, message, signature, root_key)
            }
        }
    }
}

/// SHA-256.
pub(crate) fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::replica::{canister_signature::public_key_der, subnet::canister_id};

    #[test]
    fn a_canister_signature_key_is_read_back() {
        let der = public_key_der(canister_id(7), &[5; 32]);
        match PublicKey::from_der(&der) {
            Ok(PublicKey::Canister { canister, seed }) => {
                assert_eq!(canister, canister_id(7));
                assert_eq!(seed, [5; 32]);
            }
            _ => panic!("not a canister signature key"),
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_key_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..120)) {
            if let Ok(key) = PublicKey::from_der(&bytes) {
                prop_assert!(key.verify(b"message", &bytes, b"").is_err());
            }
        }

        #[test]
        fn a_spoiled_key_signs_nothing(at in 0_usize..60, bit in 0_u8..8) {
            let mut der = public_key_der(canister_id(7), &[5; 32]);
            der[at] ^= 1 << bit;
            if let Ok(key) = PublicKey::from_der(&der) {
                prop_assert!(key.verify(b"message", &der, b"").is_err());
            }
        }
    }
}
