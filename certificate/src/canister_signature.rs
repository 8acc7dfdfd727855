use candid::Principal;
use ic_certification::{HashTree, LookupResult};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use crate::{
    CertificateError,
    root_of_trust::{RootOfTrust, cbor},
};

/// A message and a canister's signature of it (IC interface specification, "Canister signatures").
#[derive(Debug, Clone)]
pub struct CanisterSigned {
    /// Who signed.
    pub canister: Principal,
    /// Which of the canister's keys it signed with: what follows its id in the public key.
    pub seed: Vec<u8>,
    /// What was signed, domain separator included.
    pub message: Vec<u8>,
    /// CBOR of a certificate and the canister's own tree.
    pub signature: Vec<u8>,
}

#[derive(Deserialize)]
struct Signature {
    #[serde(with = "serde_bytes")]
    certificate: Vec<u8>,
    tree: HashTree,
}

impl CanisterSigned {
    pub(crate) fn check(&self, root: &RootOfTrust) -> Result<(), CertificateError> {
        let signature: Signature = cbor(&self.signature)?;
        let certificate = root.certificate(&signature.certificate, self.canister)?;
        let data = [
            b"canister".as_slice(),
            self.canister.as_slice(),
            b"certified_data".as_slice(),
        ];
        let tree = signature.tree.digest();
        if certificate.tree.lookup_path(data) != LookupResult::Found(&tree) {
            return Err(CertificateError::NotSigned);
        }
        let (seed, message) = (Sha256::digest(&self.seed), Sha256::digest(&self.message));
        let signed = [b"sig".as_slice(), &seed, &message];
        if signature.tree.lookup_path(signed) != LookupResult::Found(&[]) {
            return Err(CertificateError::NotSigned);
        }
        Ok(())
    }
}
