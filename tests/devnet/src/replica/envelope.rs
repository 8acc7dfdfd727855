//! The door of the replica: who sent a request, and may they
//! (IC interface specification, "Authentication").

use std::collections::BTreeSet;

use candid::Principal;
use ic_transport_types::{
    Delegation, DelegationPermissions, Envelope, EnvelopeContent, RequestId, SignedDelegation,
};
use thiserror::Error;

use super::{public_key::KeyError, verified::Verified};
use crate::clock::{Clock, MINUTE};

const MAX_INGRESS_EXPIRY: u64 = 5 * MINUTE;
/// Tolerated difference between the client's clock and ours.
const PERMITTED_DRIFT: u64 = MINUTE / 2;
const MAX_DELEGATIONS: usize = 20;
const MAX_TARGETS: usize = 1000;
const MAX_PATHS: usize = 1000;
const MAX_PATH_DEPTH: usize = 127;

/// Why a request is refused before any canister sees it: HTTP 400 with this text.
#[derive(Debug, Error, PartialEq, Eq)]
pub(crate) enum Refusal {
    #[error("failed to decode the envelope: {0}")]
    Malformed(String),
    #[error("the request type does not belong to this endpoint")]
    WrongEndpoint,
    #[error("Invalid request expiry: the request expired {0} ns ago")]
    Expired(u64),
    #[error("Invalid request expiry: the expiry is {0} ns beyond the permitted 5 minutes")]
    ExpiryTooFar(u64),
    #[error("Anonymous request must not carry a key, a signature or delegations")]
    SignedAnonymous,
    #[error("Missing signature from user {0}")]
    Unsigned(Principal),
    #[error("Invalid signature: the public key does not belong to sender {0}")]
    ForeignKey(Principal),
    #[error("Invalid signature: {0}")]
    Signature(KeyError),
    #[error("Invalid delegation {index}: {error}")]
    DelegationSignature { index: usize, error: KeyError },
    #[error("Invalid delegation expiry: delegation {0} has expired")]
    DelegationExpired(usize),
    #[error("Chain of delegations is too long: {0} > {MAX_DELEGATIONS}")]
    ChainTooLong(usize),
    #[error("Chain of delegations contains a cycle")]
    ChainCycle,
    #[error("Delegation has {0} targets, more than {MAX_TARGETS}")]
    TooManyTargets(usize),
    #[error("Canister {0} is not one of the delegation targets")]
    NotATarget(Principal),
    #[error("Delegation permits queries only; an update call was sent")]
    QueriesOnly,
    #[error("sender_info is not supported by this network")]
    SenderInfo,
    #[error("Too many or too deep paths in read_state")]
    Paths,
}

/// The endpoints a request may be posted to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Endpoint {
    Query,
    Call,
    ReadState,
}

/// A request whose sender is proven.
#[derive(Debug)]
pub(crate) struct Checked {
    pub(crate) content: EnvelopeContent,
    pub(crate) request_id: RequestId,
    /// The canisters that every delegation allows; `None` is all of them.
    pub(crate) targets: Option<BTreeSet<Principal>>,
}

pub(crate) fn decode(body: &[u8]) -> Result<Envelope<'static>, Refusal> {
    serde_cbor::from_slice(body).map_err(|e| Refusal::Malformed(e.to_string()))
}

/// What the check needs to know of the network.
pub(crate) struct Door<'a> {
    pub(crate) clock: &'a Clock,
    pub(crate) root_key: &'a [u8],
    pub(crate) verified: &'a Verified,
}

impl Door<'_> {
    pub(crate) fn check(
        &self,
        endpoint: Endpoint,
        envelope: Envelope<'_>,
    ) -> Result<Checked, Refusal> {
        let content = envelope.content.as_ref();
        check_shape(endpoint, content)?;
        self.check_ingress_expiry(content.ingress_expiry())?;

        let request_id = content.to_request_id();
        let targets = match (&envelope.sender_pubkey, &envelope.sender_sig) {
            _ if *content.sender() == Principal::anonymous() => {
                if envelope.sender_pubkey.is_some()
                    || envelope.sender_sig.is_some()
                    || envelope.sender_delegation.is_some()
                {
                    return Err(Refusal::SignedAnonymous);
                }
                None
            }
            (Some(key), Some(signature)) => {
                if Principal::self_authenticating(key) != *content.sender() {
                    return Err(Refusal::ForeignKey(*content.sender()));
                }
                let chain = envelope.sender_delegation.as_deref().unwrap_or_default();
                let (leaf, targets) = self.check_chain(endpoint, key, chain)?;
                self.verified
                    .verify(leaf, &request_id.signable(), signature, self.root_key)
                    .map_err(Refusal::Signature)?;
                targets
            }
            _ => return Err(Refusal::Unsigned(*content.sender())),
        };
        check_target(content, targets.as_ref())?;
        Ok(Checked {
            content: envelope.content.into_owned(),
            request_id,
            targets,
        })
    }

    fn check_ingress_expiry(&self, expiry: u64) -> Result<(), Refusal> {
        let now = self.clock.wall();
        let latest = now + MAX_INGRESS_EXPIRY + PERMITTED_DRIFT;
        if expiry < now {
            Err(Refusal::Expired(now - expiry))
        } else if expiry > latest {
            Err(Refusal::ExpiryTooFar(expiry - latest))
        } else {
            Ok(())
        }
    }

    /// Walks the chain from the sender's key to the key that signed the request, and returns that
    /// key with the targets common to all delegations.
    fn check_chain<'k>(
        &self,
        endpoint: Endpoint,
        sender_key: &'k [u8],
        chain: &'k [SignedDelegation],
    ) -> Result<(&'k [u8], Option<BTreeSet<Principal>>), Refusal> {
        if chain.len() > MAX_DELEGATIONS {
            return Err(Refusal::ChainTooLong(chain.len()));
        }
        let mut seen = BTreeSet::from([sender_key]);
        let mut key = sender_key;
        let mut targets: Option<BTreeSet<Principal>> = None;
        for (index, signed) in chain.iter().enumerate() {
            let delegation = &signed.delegation;
            if !seen.insert(&delegation.pubkey) {
                return Err(Refusal::ChainCycle);
            }
            self.check_delegation_terms(endpoint, index, delegation)?;
            self.verified
                .verify(
                    key,
                    &delegation.signable(),
                    &signed.signature,
                    self.root_key,
                )
                .map_err(|error| Refusal::DelegationSignature { index, error })?;
            if let Some(own) = &delegation.targets {
                let own: BTreeSet<Principal> = own.iter().copied().collect();
                targets = Some(match targets {
                    None => own,
                    Some(before) => before.intersection(&own).copied().collect(),
                });
            }
            key = &delegation.pubkey;
        }
        Ok((key, targets))
    }

    fn check_delegation_terms(
        &self,
        endpoint: Endpoint,
        index: usize,
        delegation: &Delegation,
    ) -> Result<(), Refusal> {
        if delegation.expiration < self.clock.now() {
            return Err(Refusal::DelegationExpired(index));
        }
        let targets = delegation.targets.as_ref().map_or(0, Vec::len);
        if targets > MAX_TARGETS {
            return Err(Refusal::TooManyTargets(targets));
        }
        if endpoint == Endpoint::Call
            && delegation.permissions == Some(DelegationPermissions::Queries)
        {
            return Err(Refusal::QueriesOnly);
        }
        Ok(())
    }
}

fn check_shape(endpoint: Endpoint, content: &EnvelopeContent) -> Result<(), Refusal> {
    match (endpoint, content) {
        (Endpoint::Call, EnvelopeContent::Call { sender_info, .. })
        | (Endpoint::Query, EnvelopeContent::Query { sender_info, .. }) => {
            // Ignoring it would pass off unverified claims as verified ones.
            match sender_info {
                Some(_) => Err(Refusal::SenderInfo),
                None => Ok(()),
            }
        }
        (Endpoint::ReadState, EnvelopeContent::ReadState { paths, .. }) => {
            if paths.len() > MAX_PATHS || paths.iter().any(|path| path.len() > MAX_PATH_DEPTH) {
                Err(Refusal::Paths)
            } else {
                Ok(())
            }
        }
        _ => Err(Refusal::WrongEndpoint),
    }
}

fn check_target(
    content: &EnvelopeContent,
    targets: Option<&BTreeSet<Principal>>,
) -> Result<(), Refusal> {
    match (content, targets) {
        (
            EnvelopeContent::Call { canister_id, .. } | EnvelopeContent::Query { canister_id, .. },
            Some(targets),
        ) if !targets.contains(canister_id) => Err(Refusal::NotATarget(*canister_id)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_are_an_envelope_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn nesting_does_not_overflow_the_stack() {
        assert!(decode(&[0x81; 1 << 20]).is_err());
        assert!(decode(&[0xd9; 1 << 20]).is_err());
    }
}
