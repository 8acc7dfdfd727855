//! The delegations II has signed: leaves of its certified tree, kept for as long as a client may
//! take to fetch them.

use std::collections::VecDeque;

use candid::Principal;
use ic_transport_types::{Delegation, DelegationPermissions};
use serde_bytes::ByteBuf;

use super::wire::{self, Permissions};
use crate::{
    canisters::Call,
    clock::MINUTE,
    replica::{
        canister_signature,
        state_tree::{Path, StateTree},
    },
};

/// How long a signature may be fetched after it was prepared.
const LIFETIME: u64 = MINUTE;

#[derive(Default)]
pub(crate) struct Signatures {
    /// Oldest first: when it was made, and its path in the tree.
    made: VecDeque<(u64, [Vec<u8>; 3])>,
}

/// What a delegation says, before it is signed.
#[derive(Clone, Debug)]
pub(crate) struct Terms {
    pub(crate) key: Vec<u8>,
    pub(crate) expiration: u64,
    /// `None` when the delegation is silent about permissions.
    pub(crate) permissions: Option<Permissions>,
}

impl Terms {
    /// The bytes that are signed; they cover the permissions.
    fn message(&self) -> Vec<u8> {
        Delegation {
            pubkey: self.key.clone(),
            expiration: self.expiration,
            targets: None,
            permissions: self.permissions.map(|permissions| match permissions {
                Permissions::Queries => DelegationPermissions::Queries,
                Permissions::All => DelegationPermissions::All,
            }),
        }
        .signable()
    }

    fn signed(self, signature: Vec<u8>) -> wire::SignedDelegation {
        wire::SignedDelegation {
            delegation: wire::Delegation {
                pubkey: ByteBuf::from(self.key),
                expiration: self.expiration,
                targets: None,
                permissions: self.permissions.map(|permissions| match permissions {
                    Permissions::Queries => "queries".to_owned(),
                    Permissions::All => "all".to_owned(),
                }),
            },
            signature: ByteBuf::from(signature),
        }
    }
}

impl Signatures {
    /// Signs `terms` with the key of `seed`.
    pub(crate) fn add(&mut self, seed: &[u8; 32], terms: &Terms, now: u64) {
        while let Some((made, _)) = self.made.front()
            && made.saturating_add(LIFETIME) < now
        {
            self.made.pop_front();
        }
        let path = canister_signature::tree_path(seed, &terms.message());
        self.made.push_back((now, path));
    }

    /// The signed delegation, if it was prepared and is still kept. Needs the certificate that
    /// only a query has.
    pub(crate) fn get(
        &self,
        seed: &[u8; 32],
        terms: Terms,
        call: &Call<'_>,
    ) -> Option<wire::SignedDelegation> {
        let certify = call.certify?;
        let path = canister_signature::tree_path(seed, &terms.message());
        if !self.made.iter().any(|(_, made)| *made == path) {
            return None;
        }
        let witness = self.tree().witness(&[Path::from(path)]);
        let certificate = certify(witness.digest());
        Some(terms.signed(canister_signature::encode(certificate, witness)))
    }

    pub(crate) fn digest(&self) -> [u8; 32] {
        self.tree().digest()
    }

    fn tree(&self) -> StateTree {
        let mut seeds = std::collections::BTreeMap::<_, std::collections::BTreeMap<_, _>>::new();
        for (_, [_, seed, message]) in &self.made {
            seeds
                .entry(seed.clone())
                .or_default()
                .insert(message.clone(), StateTree::leaf(Vec::new()));
        }
        let seeds = seeds
            .into_iter()
            .map(|(seed, messages)| (seed, StateTree::Branch(messages)));
        StateTree::branch([("sig", StateTree::branch(seeds))])
    }
}

/// DER of the key with which the II canister signs for `seed`.
pub(crate) fn user_key(ii: Principal, seed: &[u8; 32]) -> Vec<u8> {
    canister_signature::public_key_der(ii, seed)
}
