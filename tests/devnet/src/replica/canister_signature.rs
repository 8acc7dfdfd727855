//! Canister signatures: their key, their making and their check
//! (IC interface specification, "Canister signatures").

use candid::Principal;
use ic_certification::{Certificate, HashTree, LookupResult};
use ic_verify_bls_signature::verify_bls_signature;
use serde::{Deserialize, Serialize};

use super::{
    public_key::{KeyError, sha256},
    subnet::cbor,
};

/// SEQUENCE { OID 1.3.6.1.4.1.56387.1.2 }, as it stands inside SubjectPublicKeyInfo.
const ALGORITHM_DER: [u8; 14] = [
    0x30, 0x0c, 0x06, 0x0a, 0x2b, 0x06, 0x01, 0x04, 0x01, 0x83, 0xb8, 0x43, 0x01, 0x02,
];
const SELF_DESCRIBED: [u8; 3] = [0xd9, 0xd9, 0xf7];
/// The DER header of a BLS12-381 key is 37 bytes long; the key follows.
const BLS_KEY_OFFSET: usize = 37;
const BLS_KEY_LENGTH: usize = 96;

/// DER of the key with which `canister` signs for `seed`. Ids are at most 29 bytes and seeds 32,
/// so every DER length fits one byte.
pub(crate) fn public_key_der(canister: Principal, seed: &[u8; 32]) -> Vec<u8> {
    let id = canister.as_slice();
    let bits = [&[0, id.len() as u8], id, seed].concat();
    let mut body = ALGORITHM_DER.to_vec();
    body.extend([0x03, bits.len() as u8]);
    body.extend(bits);
    let mut der = vec![0x30, body.len() as u8];
    der.extend(body);
    der
}

#[derive(Serialize, Deserialize)]
struct CanisterSignature {
    #[serde(with = "serde_bytes")]
    certificate: Vec<u8>,
    tree: HashTree,
}

/// The signature made of a certificate over the canister's certified data and the witness whose
/// digest that data is.
pub(crate) fn encode(certificate: Vec<u8>, tree: HashTree) -> Vec<u8> {
    cbor(&CanisterSignature { certificate, tree })
}

/// The path at which a canister's tree holds an empty leaf for a signed message.
pub(crate) fn tree_path(seed: &[u8], message: &[u8]) -> [Vec<u8>; 3] {
    [
        b"sig".to_vec(),
        sha256(seed).to_vec(),
        sha256(message).to_vec(),
    ]
}

pub(crate) fn verify(
    canister: Principal,
    seed: &[u8],
    message: &[u8],
    signature: &[u8],
    root_key: &[u8],
) -> Result<(), KeyError> {
    let signature: CanisterSignature = self_described(signature, "not self-described CBOR")?;
    let certificate: Certificate = self_described(
        &signature.certificate,
        "the certificate is not self-described CBOR",
    )?;

    match signature.tree.lookup_path(tree_path(seed, message)) {
        LookupResult::Found(&[]) => {}
        _ => return fail("the message is not in the canister's tree"),
    }
    let certified_data = [
        b"canister".as_slice(),
        canister.as_slice(),
        b"certified_data",
    ];
    match certificate.tree.lookup_path(certified_data) {
        LookupResult::Found(data) if data == signature.tree.digest() => {}
        _ => return fail("the canister's tree is not the certified one"),
    }
    verify_certificate(&certificate, canister, root_key)
}

/// Checks a certificate that speaks for `canister`, through at most one subnet delegation.
fn verify_certificate(
    certificate: &Certificate,
    canister: Principal,
    root_key: &[u8],
) -> Result<(), KeyError> {
    let Some(delegation) = &certificate.delegation else {
        return verify_root(certificate, root_key);
    };
    let parent: Certificate = self_described(
        &delegation.certificate,
        "the subnet delegation is not self-described CBOR",
    )?;
    if parent.delegation.is_some() {
        return fail("the subnet delegation is itself delegated");
    }
    verify_root(&parent, root_key)?;
    if !delegated_ranges(&parent, &delegation.subnet_id)
        .iter()
        .any(|(first, last)| (first..=last).contains(&&canister))
    {
        return fail("the canister is not on the delegated subnet");
    }
    let key = [
        b"subnet".as_slice(),
        delegation.subnet_id.as_slice(),
        b"public_key",
    ];
    match parent.tree.lookup_path(key) {
        LookupResult::Found(key) => verify_root(certificate, key),
        _ => fail("the subnet delegation names no key"),
    }
}

/// The canister ranges a subnet delegation certifies, in either of the two forms.
fn delegated_ranges(parent: &Certificate, subnet: &[u8]) -> Vec<(Principal, Principal)> {
    let flat = [b"subnet".as_slice(), subnet, b"canister_ranges"];
    let shards = parent
        .tree
        .list_paths()
        .into_iter()
        .filter(|path| match path.as_slice() {
            [root, id, _shard] => root.as_bytes() == b"canister_ranges" && id.as_bytes() == subnet,
            _ => false,
        });
    let mut ranges = Vec::new();
    let mut take = |found: LookupResult<'_>| {
        if let LookupResult::Found(bytes) = found {
            ranges.extend(
                serde_cbor::from_slice::<Vec<(Principal, Principal)>>(bytes).unwrap_or_default(),
            );
        }
    };
    take(parent.tree.lookup_path(flat));
    for shard in shards {
        take(parent.tree.lookup_path(&shard));
    }
    ranges
}

fn verify_root(certificate: &Certificate, key_der: &[u8]) -> Result<(), KeyError> {
    if key_der.len() != BLS_KEY_OFFSET + BLS_KEY_LENGTH {
        return fail("the subnet key is not a BLS key");
    }
    let message = [b"\x0Dic-state-root".as_slice(), &certificate.tree.digest()].concat();
    verify_bls_signature(&certificate.signature, &message, &key_der[BLS_KEY_OFFSET..])
        .map_err(|()| KeyError::CanisterSignature("the certificate's signature is wrong"))
}

fn self_described<'a, T: Deserialize<'a>>(
    bytes: &'a [u8],
    otherwise: &'static str,
) -> Result<T, KeyError> {
    if !bytes.starts_with(&SELF_DESCRIBED) {
        return fail(otherwise);
    }
    serde_cbor::from_slice(bytes).map_err(|_| KeyError::CanisterSignature(otherwise))
}

fn fail<T>(reason: &'static str) -> Result<T, KeyError> {
    Err(KeyError::CanisterSignature(reason))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        canisters::bare::Bare,
        replica::{
            Replica,
            state_tree::StateTree,
            subnet::{Host, Network, Ranges, canister_id},
        },
    };

    const SEED: [u8; 32] = [3; 32];

    fn signing_canister() -> Principal {
        canister_id(0x60_0027)
    }

    fn tree_with(message: &[u8]) -> HashTree {
        let [sig, seed, message] = tree_path(&SEED, message);
        let messages = StateTree::branch([(message, StateTree::leaf(Vec::new()))]);
        StateTree::branch([(sig, StateTree::branch([(seed, messages)]))]).witness(&[vec![]])
    }

    fn signed(replica: &Replica, message: &[u8]) -> (Vec<u8>, HashTree) {
        let tree = tree_with(message);
        let certificate = replica.data_certificate(signing_canister(), tree.digest());
        (certificate, tree)
    }

    fn network() -> Replica {
        Replica::new(
            [(signing_canister(), Box::new(Bare) as _)],
            Default::default(),
        )
    }

    #[test]
    fn what_was_signed_verifies_and_nothing_else() {
        let replica = network();
        let (certificate, tree) = signed(&replica, b"message");
        let signature = encode(certificate, tree);
        let verify = |canister, seed: &[u8], message: &[u8], root_key: &[u8]| {
            super::verify(canister, seed, message, &signature, root_key)
        };
        let (canister, root_key) = (signing_canister(), replica.root_key());
        assert_eq!(verify(canister, &SEED, b"message", root_key), Ok(()));
        assert!(verify(canister, &SEED, b"another", root_key).is_err());
        assert!(verify(canister, &[4; 32], b"message", root_key).is_err());
        assert!(verify(canister_id(7), &SEED, b"message", root_key).is_err());
        let other_root = network();
        assert!(verify(canister, &SEED, b"message", other_root.root_key()).is_err());
    }

    #[test]
    fn a_tree_that_is_not_certified_is_refused() {
        let replica = network();
        let (certificate, _) = signed(&replica, b"message");
        let forged = encode(certificate, tree_with(b"forged"));
        let refused = verify(
            signing_canister(),
            &SEED,
            b"forged",
            &forged,
            replica.root_key(),
        );
        assert_eq!(
            refused,
            Err(KeyError::CanisterSignature(
                "the canister's tree is not the certified one"
            ))
        );
    }

    #[test]
    fn a_certificate_of_another_subnet_is_refused() {
        // The application subnet claims a canister of the root subnet.
        let network = Network::new();
        let ledger = canister_id(2);
        let tree = tree_with(b"message");
        let data = StateTree::branch([("certified_data", StateTree::leaf(tree.digest()))]);
        let state =
            StateTree::branch([("canister", StateTree::branch([(ledger.as_slice(), data)]))]);
        for ranges in [Ranges::Flat, Ranges::Sharded] {
            let certificate = network.certify(
                Host::Application,
                state.witness(&[vec![]]),
                state.digest(),
                Some(network.delegate(Host::Application, ranges, 1)),
            );
            let claimed = encode(certificate, tree.clone());
            let refused = verify(ledger, &SEED, b"message", &claimed, network.root_key());
            let reason = "the canister is not on the delegated subnet";
            assert_eq!(refused, Err(KeyError::CanisterSignature(reason)));
        }
    }
}
