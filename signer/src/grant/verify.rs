use std::sync::Arc;

use candid::Principal;
use ic_agent::{
    Signature,
    agent::EnvelopeContent,
    identity::{DelegatedIdentity, Identity},
};
use ic_transport_types::SignedDelegation;
use icgate_certificate::{CanisterSigned, CertificateError, Verifier};

/// DER of a canister-signature public key (interface specification, "Canister signatures") between the outer length
/// and the inner one.
const CANISTER_SIGNATURE: [u8; 14] = [
    0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02,
];

/// The Internet Computer's root key that everything is verified against: pinned by the configuration, never fetched.
#[derive(Debug, Clone)]
pub struct RootKey {
    verifier: Verifier,
    der: Arc<[u8]>,
}

/// Why a delegation is not believed.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum VerifyError {
    /// The key it starts from is not a canister-signature key of the Internet Identity canister.
    #[error("its first key does not belong to the Internet Identity canister")]
    ForeignCanister,
    /// A signature is wrong.
    #[error("a signature in it does not verify: {0}")]
    Signature(String),
}

impl RootKey {
    /// A root key, DER.
    ///
    /// # Errors
    /// When it is no BLS12-381 key.
    pub fn new(der: Vec<u8>) -> Result<Self, CertificateError> {
        Ok(Self {
            verifier: Verifier::new(&der)?,
            der: der.into(),
        })
    }

    /// The key, DER.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// What verifies certificates against it.
    pub(crate) fn verifier(&self) -> &Verifier {
        &self.verifier
    }

    /// Verifies that a chain of delegations, each signed by the key before it, leads from a key of `canister` to its
    /// last hop's key. Signatures take up to milliseconds: they are checked off the request threads.
    ///
    /// # Errors
    /// See [`VerifyError`].
    pub async fn verify_chain(
        &self,
        canister: Principal,
        public_key: &[u8],
        chain: &[SignedDelegation],
    ) -> Result<(), VerifyError> {
        let seed = seed_of(canister, public_key).ok_or(VerifyError::ForeignCanister)?;
        let [first, further @ ..] = chain else {
            return Err(VerifyError::Signature("it is empty".to_owned()));
        };
        let signed = CanisterSigned {
            canister,
            seed: seed.to_vec(),
            message: first.delegation.signable(),
            signature: first.signature.clone(),
        };
        self.verifier
            .canister_signature(signed)
            .await
            .map_err(|error| VerifyError::Signature(error.to_string()))?;
        if further.is_empty() {
            return Ok(());
        }
        let (this, key) = (self.clone(), first.delegation.pubkey.clone());
        let further = further.to_vec();
        tokio::task::spawn_blocking(move || this.verify_further(key, further))
            .await
            .unwrap_or_else(|_| Err(VerifyError::Signature("the check broke off".to_owned())))
    }

    /// Hops after the canister's own, which are signed with keys of any kind.
    fn verify_further(
        &self,
        key: Vec<u8>,
        chain: Vec<SignedDelegation>,
    ) -> Result<(), VerifyError> {
        let leaf = chain.last().map_or(&key, |hop| &hop.delegation.pubkey);
        let leaf = Leaf(Principal::self_authenticating(leaf));
        DelegatedIdentity::new_with_root_key(key, Box::new(leaf), chain, self.der())
            .map(drop)
            .map_err(|error| VerifyError::Signature(error.to_string()))
    }
}

/// Whether a public key (DER) is a canister-signature key of the canister.
pub(crate) fn is_key_of(canister: Principal, public_key: &[u8]) -> bool {
    seed_of(canister, public_key).is_some()
}

/// What tells the canister-signature keys (DER) of the canister apart; none when it is not one of them.
fn seed_of(canister: Principal, public_key: &[u8]) -> Option<&[u8]> {
    let body = match public_key {
        [0x30, length, body @ ..] if usize::from(*length) == body.len() && *length < 0x80 => body,
        _ => return None,
    };
    match body.strip_prefix(&CANISTER_SIGNATURE)? {
        [0x03, length, 0x00, id_length, key @ ..]
            if usize::from(*length) == key.len() + 2
                && usize::from(*id_length) == canister.as_slice().len() =>
        {
            key.strip_prefix(canister.as_slice())
        }
        _ => None,
    }
}

/// The end of a chain, for the library that verifies it; signs nothing.
struct Leaf(Principal);

impl Identity for Leaf {
    fn sender(&self) -> Result<Principal, String> {
        Ok(self.0)
    }

    fn public_key(&self) -> Option<Vec<u8>> {
        None
    }

    fn sign(&self, _: &EnvelopeContent) -> Result<Signature, String> {
        Err("the end of a chain under verification does not sign".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(canister: &[u8], seed: &[u8]) -> Vec<u8> {
        let raw = [&[u8::try_from(canister.len()).unwrap()], canister, seed].concat();
        let bits = [
            &[0x03, u8::try_from(raw.len() + 1).unwrap(), 0x00],
            raw.as_slice(),
        ]
        .concat();
        let body = [CANISTER_SIGNATURE.as_slice(), &bits].concat();
        [&[0x30, u8::try_from(body.len()).unwrap()], body.as_slice()].concat()
    }

    #[test]
    fn a_key_belongs_to_its_canister_only() {
        let ii = Principal::from_text("rdmx6-jaaaa-aaaaa-aaadq-cai").unwrap();
        let beta = Principal::from_text("fgte5-ciaaa-aaaad-aaatq-cai").unwrap();
        let good = key(ii.as_slice(), &[1; 32]);
        assert!(is_key_of(ii, &good));
        assert!(!is_key_of(beta, &good));
        assert!(!is_key_of(ii, &key(&ii.as_slice()[..9], &[1; 32])));
        for length in 0..good.len() {
            assert!(!is_key_of(ii, &good[..length]), "{length}");
        }
        for at in 0..good.len() - 32 {
            let mut altered = good.clone();
            altered[at] ^= 1;
            assert!(!is_key_of(ii, &altered), "byte {at}");
        }
    }
}
