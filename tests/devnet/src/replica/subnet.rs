//! The subnets of the devnet and their keys: the root subnet, whose BLS key is the root key, and an
//! application subnet, whose key the root subnet delegates to. As on mainnet, the ledger lives on
//! the root subnet and both II canisters do not. A third subnet hosts no canister that exists.

use std::sync::Mutex;

use candid::Principal;
use ed25519_dalek::{Signer, SigningKey};
use ic_certification::{Certificate, Delegation, HashTree};
use ic_verify_bls_signature::PrivateKey;
use rand::rngs::OsRng;
use serde::Serialize;

use super::state_tree::{Path, StateTree};
use crate::clock::MINUTE;

/// DER header of a BLS12-381 G2 public key (IC interface specification, "Root of trust").
const BLS_DER_PREFIX: [u8; 37] = [
    0x30, 0x81, 0x82, 0x30, 0x1d, 0x06, 0x0d, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05,
    0x03, 0x01, 0x02, 0x01, 0x06, 0x0c, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x82, 0xdc, 0x7c, 0x05, 0x03,
    0x02, 0x01, 0x03, 0x61, 0x00,
];
const STATE_ROOT_DOMAIN: &[u8] = b"\x0Dic-state-root";
/// SubjectPublicKeyInfo header of an Ed25519 key (RFC 8410).
const ED25519_DER_PREFIX: [u8; 12] = [
    0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00,
];
/// The root subnet's word about another subnet is renewed when it is older than this.
const DELEGATION_MAX_AGE: u64 = MINUTE;

/// SubjectPublicKeyInfo of an Ed25519 public key.
pub(crate) fn ed25519_der(key: &[u8; 32]) -> Vec<u8> {
    [ED25519_DER_PREFIX.as_slice(), key].concat()
}

/// The canister id with this number.
pub(crate) fn canister_id(number: u64) -> Principal {
    let mut id = number.to_be_bytes().to_vec();
    id.extend([1, 1]);
    Principal::from_slice(&id)
}

/// Where a certificate's subnet delegation lists the canister ranges. Mainnet has both forms in
/// use, and a verifier must take either.
#[derive(Clone, Copy)]
pub(crate) enum Ranges {
    /// `/canister_ranges/<subnet>/<first id>`: replies of the HTTP interface.
    Sharded,
    /// `/subnet/<subnet>/canister_ranges`: certificates inside canister signatures.
    Flat,
}

pub(crate) struct Subnet {
    pub(crate) id: Principal,
    bls: PrivateKey,
    public_key: Vec<u8>,
    ranges: Vec<(Principal, Principal)>,
    node_id: Principal,
    node: SigningKey,
}

impl Subnet {
    fn new(ranges: Vec<(Principal, Principal)>) -> Self {
        let bls = PrivateKey::random(&mut OsRng);
        let public_key = [BLS_DER_PREFIX.as_slice(), &bls.public_key().serialize()].concat();
        let node = SigningKey::generate(&mut OsRng);
        Self {
            id: Principal::self_authenticating(&public_key),
            bls,
            public_key,
            ranges,
            node_id: Principal::self_authenticating(ed25519_der(node.verifying_key().as_bytes())),
            node,
        }
    }

    pub(crate) fn hosts(&self, canister: &Principal) -> bool {
        self.ranges
            .iter()
            .any(|(first, last)| (first..=last).contains(&canister))
    }

    pub(crate) fn node_id(&self) -> Principal {
        self.node_id
    }

    /// Signs as this subnet's node.
    pub(crate) fn node_sign(&self, message: &[u8]) -> Vec<u8> {
        self.node.sign(message).to_bytes().to_vec()
    }

    fn ranges_cbor(&self) -> Vec<u8> {
        cbor(&self.ranges)
    }

    fn sign_root(&self, digest: &[u8; 32]) -> Vec<u8> {
        let message = [STATE_ROOT_DOMAIN, digest].concat();
        self.bls.sign(&message).serialize().to_vec()
    }
}

/// The subnets and the delegations from the root subnet to the others.
pub(crate) struct Network {
    root: Subnet,
    application: Subnet,
    foreign: Subnet,
}

/// Which of the subnets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Host {
    Root,
    Application,
    Foreign,
}

impl Network {
    pub(crate) fn new() -> Self {
        let span = |first, last| (canister_id(first), canister_id(last));
        Self {
            root: Subnet::new(vec![span(0, 6), span(8, 0xf_ffff)]),
            application: Subnet::new(vec![span(7, 7), span(0x10_0000, 0xffff_ffff)]),
            foreign: Subnet::new(vec![span(0x1_0000_0000, 0x1_ffff_ffff)]),
        }
    }

    /// DER of the root subnet's BLS key.
    pub(crate) fn root_key(&self) -> &[u8] {
        &self.root.public_key
    }

    pub(crate) fn subnet(&self, host: Host) -> &Subnet {
        match host {
            Host::Root => &self.root,
            Host::Application => &self.application,
            Host::Foreign => &self.foreign,
        }
    }

    /// The subnet in whose ranges the canister id falls, whether or not the canister exists.
    pub(crate) fn host_of(&self, canister: &Principal) -> Option<Host> {
        [Host::Root, Host::Application]
            .into_iter()
            .find(|host| self.subnet(*host).hosts(canister))
    }

    pub(crate) fn host_with_id(&self, id: &Principal) -> Option<Host> {
        [Host::Root, Host::Application]
            .into_iter()
            .find(|host| self.subnet(*host).id == *id)
    }

    /// `/subnet` and `/canister_ranges` of the state tree.
    pub(crate) fn subnet_branches(&self) -> [(&'static str, StateTree); 2] {
        let all = [&self.root, &self.application, &self.foreign];
        let subnets = all.map(|subnet| (subnet.id.as_slice(), subnet_branch(subnet)));
        let ranges = all.map(|subnet| {
            let first = subnet.ranges[0].0.as_slice();
            let shard = StateTree::branch([(first, StateTree::leaf(subnet.ranges_cbor()))]);
            (subnet.id.as_slice(), shard)
        });
        [
            ("subnet", StateTree::branch(subnets)),
            ("canister_ranges", StateTree::branch(ranges)),
        ]
    }

    /// Signs `tree` as the subnet `host`: the CBOR of a certificate. `root_delegation` comes from
    /// [`Network::delegate`] and is left out on the root subnet.
    pub(crate) fn certify(
        &self,
        host: Host,
        tree: HashTree,
        signed_digest: [u8; 32],
        root_delegation: Option<Vec<u8>>,
    ) -> Vec<u8> {
        let subnet = self.subnet(host);
        cbor(&Certificate {
            signature: subnet.sign_root(&signed_digest),
            tree,
            delegation: root_delegation.map(|certificate| Delegation {
                subnet_id: subnet.id.as_slice().to_vec(),
                certificate,
            }),
        })
    }

    /// The root subnet's certificate for another subnet's key and ranges.
    pub(crate) fn delegate(&self, to: Host, ranges: Ranges, now: u64) -> Vec<u8> {
        let id = self.subnet(to).id.as_slice().to_vec();
        let ranges = match ranges {
            Ranges::Sharded => vec![b"canister_ranges".to_vec(), id.clone()],
            Ranges::Flat => vec![b"subnet".to_vec(), id.clone(), b"canister_ranges".to_vec()],
        };
        let paths: [Path; 3] = [
            ranges,
            vec![b"subnet".to_vec(), id, b"public_key".to_vec()],
            vec![b"time".to_vec()],
        ];
        let mut branches = self.subnet_branches().to_vec();
        branches.push(("time", StateTree::leaf(leb128(now))));
        let tree = StateTree::branch(branches).witness(&paths);
        let digest = tree.digest();
        self.certify(Host::Root, tree, digest, None)
    }
}

fn subnet_branch(subnet: &Subnet) -> StateTree {
    let node_key = ed25519_der(subnet.node.verifying_key().as_bytes());
    let node = StateTree::branch([("public_key", StateTree::leaf(node_key))]);
    StateTree::branch([
        ("public_key", StateTree::leaf(subnet.public_key.clone())),
        ("canister_ranges", StateTree::leaf(subnet.ranges_cbor())),
        (
            "node",
            StateTree::branch([(subnet.node_id.as_slice(), node)]),
        ),
    ])
}

/// Delegations to the application subnet in both forms, made anew when they age.
#[derive(Default)]
pub(crate) struct DelegationCache {
    sharded: Mutex<Option<(u64, Vec<u8>)>>,
    flat: Mutex<Option<(u64, Vec<u8>)>>,
}

impl DelegationCache {
    pub(crate) fn get(&self, network: &Network, ranges: Ranges, now: u64) -> Vec<u8> {
        let slot = match ranges {
            Ranges::Sharded => &self.sharded,
            Ranges::Flat => &self.flat,
        };
        let mut slot = crate::lock(slot);
        match &*slot {
            Some((made, certificate)) if now.saturating_sub(*made) < DELEGATION_MAX_AGE => {
                certificate.clone()
            }
            _ => {
                let certificate = network.delegate(Host::Application, ranges, now);
                *slot = Some((now, certificate.clone()));
                certificate
            }
        }
    }
}

/// Self-described CBOR (RFC 8949, 3.4.6), as every CBOR body of the IC.
pub(crate) fn cbor<T: Serialize>(value: &T) -> Vec<u8> {
    let mut serializer = serde_cbor::Serializer::new(Vec::new());
    serializer
        .self_describe()
        .and_then(|()| value.serialize(&mut serializer))
        .expect("writing CBOR to memory cannot fail");
    serializer.into_inner()
}

/// Unsigned LEB128.
pub(crate) fn leb128(value: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(10);
    leb128::write::unsigned(&mut bytes, value).expect("writing to memory cannot fail");
    bytes
}
