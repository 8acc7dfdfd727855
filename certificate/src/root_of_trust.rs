use std::{sync::Arc, time::Duration};

use candid::Principal;
use ic_certification::{Certificate, Delegation};
use moka::sync::Cache;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

use crate::{CertificateError, bls::PublicKey, subnet::Subnet};

/// Subnet delegations that are remembered. Every node of a subnet shows one of its own and renews it every few
/// minutes; mainnet has some forty subnets.
const MAX_DELEGATIONS: u64 = 1024;
/// One that was not seen for so long was renewed since.
const IDLE: Duration = Duration::from_secs(30 * 60);

/// The root key, and what was verified to be signed with it.
#[derive(Debug)]
pub(crate) struct RootOfTrust {
    key: PublicKey,
    /// By the digest of the whole delegation: who shows another byte is verified anew. Only what was verified gets in,
    /// and only under the one root key that this belongs to.
    subnets: Cache<[u8; 32], Arc<Subnet>>,
}

impl RootOfTrust {
    /// Rests on a root key, DER.
    pub(crate) fn new(root_key: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self {
            key: PublicKey::from_der(root_key)?,
            subnets: Cache::builder()
                .max_capacity(MAX_DELEGATIONS)
                .time_to_idle(IDLE)
                .build(),
        })
    }

    /// A certificate whose signatures verify and whose subnet hosts the canister. Its age is not looked at.
    pub(crate) fn certificate(
        &self,
        certificate: &[u8],
        canister: Principal,
    ) -> Result<Certificate, CertificateError> {
        let certificate: Certificate = cbor(certificate)?;
        let Some(delegation) = &certificate.delegation else {
            self.key.check(&certificate)?;
            return Ok(certificate);
        };
        let subnet = self.subnet(delegation)?;
        if !subnet.hosts(canister) {
            return Err(CertificateError::ForeignCanister);
        }
        subnet.key.check(&certificate)?;
        Ok(certificate)
    }

    /// What the root subnet says of a subnet. Callers that come with the same delegation at once share one check.
    fn subnet(&self, delegation: &Delegation) -> Result<Arc<Subnet>, CertificateError> {
        self.subnets
            .try_get_with(digest(delegation), || {
                self.verified(delegation).map(Arc::new)
            })
            .map_err(|error| CertificateError::clone(&error))
    }

    fn verified(&self, delegation: &Delegation) -> Result<Subnet, CertificateError> {
        let certificate: Certificate = cbor(&delegation.certificate)?;
        if certificate.delegation.is_some() {
            return Err(CertificateError::DelegatedTwice);
        }
        self.key.check(&certificate)?;
        Subnet::read(&delegation.subnet_id, &certificate)
    }

    /// The same memory under another root key.
    #[cfg(test)]
    pub(crate) fn with_root(self, root_key: &[u8]) -> Self {
        let key = PublicKey::from_der(root_key).unwrap();
        Self { key, ..self }
    }

    #[cfg(test)]
    pub(crate) fn remembered(&self) -> u64 {
        self.subnets.run_pending_tasks();
        self.subnets.entry_count()
    }
}

pub(crate) fn cbor<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CertificateError> {
    serde_cbor::from_slice(bytes).map_err(|error| CertificateError::Malformed(error.to_string()))
}

fn digest(delegation: &Delegation) -> [u8; 32] {
    let id = &delegation.subnet_id;
    Sha256::new()
        .chain_update(id.len().to_le_bytes())
        .chain_update(id)
        .chain_update(&delegation.certificate)
        .finalize()
        .into()
}
