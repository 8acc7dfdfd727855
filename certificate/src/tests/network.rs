//! Subnets with real keys that sign whatever a test wants signed.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use candid::Principal;
use ic_certification::{Certificate, Delegation, HashTree, fork, label, leaf};
use ic_verify_bls_signature::PrivateKey;
use rand::rngs::OsRng;
use serde::Serialize;

use crate::bls::DER_PREFIX;

pub(super) type Range = (Principal, Principal);

/// Where a delegation lists the canisters of its subnet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Sharded,
    Flat,
}

pub(super) const FORMS: [Form; 2] = [Form::Sharded, Form::Flat];

pub(super) struct Key {
    private: PrivateKey,
    pub(super) der: Vec<u8>,
}

/// A certificate and what it was made of, so that parts can be exchanged.
pub(super) type Made = Certificate;

impl Key {
    pub(super) fn new() -> Self {
        let private = PrivateKey::random(&mut OsRng);
        let der = [DER_PREFIX.as_slice(), &private.public_key().serialize()].concat();
        Self { private, der }
    }

    pub(super) fn subnet_id(&self) -> Vec<u8> {
        Principal::self_authenticating(&self.der)
            .as_slice()
            .to_vec()
    }

    /// A certificate over a tree, with the delegation as it is given.
    pub(super) fn certify(&self, tree: HashTree, delegation: Option<Delegation>) -> Made {
        let message = [b"\x0Dic-state-root".as_slice(), &tree.digest()].concat();
        Certificate {
            signature: self.private.sign(&message).serialize().to_vec(),
            tree,
            delegation,
        }
    }

    /// This key's word, as the root subnet's, that the subnet hosts the canisters of its shards.
    pub(super) fn delegate(&self, subnet: &Key, form: Form, shards: &[&[Range]]) -> Delegation {
        let id = subnet.subnet_id();
        let key = label("public_key", leaf(subnet.der.clone()));
        let tree = match form {
            Form::Sharded => {
                let shards = shards
                    .iter()
                    .map(|shard| label(shard[0].0.as_slice().to_vec(), leaf(cbor(&shard.to_vec()))))
                    .reduce(fork)
                    .unwrap();
                fork(
                    label("canister_ranges", label(id.clone(), shards)),
                    fork(label("subnet", label(id.clone(), key)), time(now())),
                )
            }
            Form::Flat => {
                let ranges = label("canister_ranges", leaf(cbor(&shards.concat())));
                let subnet = label(id.clone(), fork(ranges, key));
                fork(label("subnet", subnet), time(now()))
            }
        };
        Delegation {
            subnet_id: id,
            certificate: cbor(&self.certify(tree, None)),
        }
    }
}

pub(super) fn canister(number: u64) -> Principal {
    Principal::from_slice(&[&number.to_be_bytes()[..], &[1, 1]].concat())
}

pub(super) fn range(first: u64, last: u64) -> Range {
    (canister(first), canister(last))
}

/// The state of a subnet that says nothing but the time.
pub(super) fn state(made: SystemTime) -> HashTree {
    fork(label("canister", leaf(Vec::new())), time(made))
}

pub(super) fn time(made: SystemTime) -> HashTree {
    let nanos = made.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    let mut bytes = Vec::new();
    leb128::write::unsigned(&mut bytes, nanos.as_nanos() as u64).unwrap();
    label("time", leaf(bytes))
}

pub(super) fn now() -> SystemTime {
    SystemTime::now()
}

pub(super) fn cbor(value: &impl Serialize) -> Vec<u8> {
    serde_cbor::to_vec(value).unwrap()
}
