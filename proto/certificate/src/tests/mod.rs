//! Good certificates, and every way in which one can be bad.

mod network;

use std::time::Duration;

use ic_certification::{HashTree, fork, label, leaf, pruned};
use sha2::{Digest, Sha256};

use self::network::{FORMS, Form, Key, Made, Range, canister, cbor, now, range, state, time};
use crate::{CanisterSigned, CertificateError, Verifier, root_of_trust::RootOfTrust};

/// A root subnet and another one that hosts the canisters 100 to 199 and 300 to 399.
struct Network {
    root: Key,
    subnet: Key,
}

fn hosted() -> [Range; 2] {
    [range(100, 199), range(300, 399)]
}

impl Network {
    fn new() -> Self {
        Self {
            root: Key::new(),
            subnet: Key::new(),
        }
    }

    fn trusted(&self) -> RootOfTrust {
        RootOfTrust::new(&self.root.der).unwrap()
    }

    fn delegated(&self, form: Form) -> Made {
        let [low, high] = hosted();
        let delegation = self.root.delegate(&self.subnet, form, &[&[low], &[high]]);
        self.subnet.certify(state(now()), Some(delegation))
    }
}

fn checked(root: &RootOfTrust, certificate: &Made, number: u64) -> Result<(), CertificateError> {
    root.certificate(&cbor(certificate), canister(number))
        .map(drop)
}

#[test]
fn the_root_subnet_speaks_for_itself() {
    let network = Network::new();
    let certificate = network.root.certify(state(now()), None);
    assert_eq!(checked(&network.trusted(), &certificate, 1), Ok(()));
    let other = RootOfTrust::new(&Key::new().der).unwrap();
    assert_eq!(
        checked(&other, &certificate, 1),
        Err(CertificateError::Signature)
    );
    assert!(RootOfTrust::new(b"no key").is_err());
}

#[test]
fn a_subnet_speaks_for_its_canisters_only_also_when_it_is_remembered() {
    let network = Network::new();
    for form in FORMS {
        let certificate = network.delegated(form);
        let root = network.trusted();
        for round in 0..2 {
            for inside in [100, 150, 199, 300, 399] {
                assert_eq!(
                    checked(&root, &certificate, inside),
                    Ok(()),
                    "{inside} {round}"
                );
            }
            for outside in [0, 99, 200, 299, 400, u64::MAX] {
                assert_eq!(
                    checked(&root, &certificate, outside),
                    Err(CertificateError::ForeignCanister),
                    "{outside} {form:?} {round}"
                );
            }
        }
        assert_eq!(root.remembered(), 1);
    }
}

#[test]
fn a_shard_that_is_pruned_lends_its_canisters_to_nobody() {
    let network = Network::new();
    let id = network.subnet.subnet_id();
    let shard = label(
        canister(100).as_slice().to_vec(),
        leaf(cbor(&[range(100, 199)])),
    );
    let tree = fork(
        label(
            "canister_ranges",
            label(id.clone(), fork(shard, pruned([7; 32]))),
        ),
        label(
            "subnet",
            label(
                id.clone(),
                label("public_key", leaf(network.subnet.der.clone())),
            ),
        ),
    );
    let delegation = ic_certification::Delegation {
        subnet_id: id,
        certificate: cbor(&network.root.certify(tree, None)),
    };
    let certificate = network.subnet.certify(state(now()), Some(delegation));
    let root = network.trusted();
    assert_eq!(checked(&root, &certificate, 150), Ok(()));
    assert_eq!(
        checked(&root, &certificate, 350),
        Err(CertificateError::ForeignCanister)
    );
}

#[test]
fn a_delegation_is_verified_once_and_only_what_was_verified_is_remembered() {
    let network = Network::new();
    let known = network.delegated(Form::Sharded);
    let root = network.trusted();
    assert_eq!(checked(&root, &known, 100), Ok(()));
    assert_eq!(root.remembered(), 1);

    // With another root key nothing verifies any more but what is remembered.
    let root = root.with_root(&Key::new().der);
    let delegation = known.delegation.clone();
    let next = network.subnet.certify(state(now()), delegation);
    assert_eq!(checked(&root, &next, 100), Ok(()));
    let renewed = network.delegated(Form::Sharded);
    assert_eq!(
        checked(&root, &renewed, 100),
        Err(CertificateError::Signature)
    );

    // One byte of the delegation makes it another one.
    let delegation = known.delegation.clone().unwrap();
    for at in (0..delegation.certificate.len()).step_by(7) {
        let mut altered = next.clone();
        if let Some(delegation) = &mut altered.delegation {
            delegation.certificate[at] ^= 1;
        }
        assert!(checked(&root, &altered, 100).is_err(), "byte {at}");
    }
    let mut renamed = next.clone();
    if let Some(delegation) = &mut renamed.delegation {
        delegation.subnet_id.pop();
    }
    assert!(checked(&root, &renamed, 100).is_err());
    assert_eq!(root.remembered(), 1);

    // What is remembered of the subnet says nothing about who signed the certificate itself.
    let mut foreign = Key::new().certify(state(now()), known.delegation.clone());
    assert_eq!(
        checked(&root, &foreign, 100),
        Err(CertificateError::Signature)
    );
    foreign.signature = next.signature.clone();
    foreign.tree = state(now());
    assert_eq!(
        checked(&root, &foreign, 100),
        Err(CertificateError::Signature)
    );
}

#[test]
fn nobody_delegates_but_the_root_subnet() {
    let network = Network::new();
    let root = network.trusted();
    let everything = [range(0, u64::MAX)];

    // A root subnet of somebody else.
    let own = Key::new().delegate(&network.subnet, Form::Flat, &[&everything]);
    let certificate = network.subnet.certify(state(now()), Some(own));
    assert_eq!(
        checked(&root, &certificate, 100),
        Err(CertificateError::Signature)
    );

    // A subnet that delegates on to another.
    let honest = network.delegated(Form::Sharded).delegation;
    let deputy = Key::new();
    let mut second = network.subnet.delegate(&deputy, Form::Flat, &[&everything]);
    let mut inner: Made = serde_cbor::from_slice(&second.certificate).unwrap();
    inner.delegation = honest;
    second.certificate = cbor(&inner);
    let certificate = deputy.certify(state(now()), Some(second));
    assert_eq!(
        checked(&root, &certificate, 100),
        Err(CertificateError::DelegatedTwice)
    );

    // The root subnet's word about another subnet.
    let other = Key::new();
    let mut of_other = network.root.delegate(&other, Form::Sharded, &[&everything]);
    of_other.subnet_id = network.subnet.subnet_id();
    let certificate = network.subnet.certify(state(now()), Some(of_other));
    let error = checked(&root, &certificate, 100).unwrap_err();
    assert!(matches!(error, CertificateError::Delegation(_)));
    assert!(
        !error.is_of_content(),
        "nobody checked the certificate itself"
    );
    assert_eq!(root.remembered(), 0);
}

#[test]
fn what_is_altered_or_cut_is_refused() {
    let network = Network::new();
    let root = network.trusted();
    let good = cbor(&network.delegated(Form::Sharded));
    assert!(root.certificate(&good, canister(100)).is_ok());
    for at in (0..good.len()).step_by(11) {
        let mut altered = good.clone();
        altered[at] ^= 1;
        assert!(
            root.certificate(&altered, canister(100)).is_err(),
            "byte {at}"
        );
        assert!(
            root.certificate(&good[..at], canister(100)).is_err(),
            "cut at {at}"
        );
    }
}

#[tokio::test]
async fn an_answer_is_not_old() {
    let network = Network::new();
    let verifier = Verifier::new(&network.root.der).unwrap();
    let made = |time| cbor(&network.root.certify(state(time), None));
    let minute = Duration::from_secs(60);
    for good in [now(), now() - 2 * minute, now() + 60 * minute] {
        let certified = verifier.answer(made(good), canister(1)).await.unwrap();
        assert_eq!(certified.time().unwrap(), good);
    }
    let old = verifier.answer(made(now() - 4 * minute), canister(1)).await;
    assert!(matches!(old, Err(CertificateError::Outdated(_))));
    let timeless = network
        .root
        .certify(label("canister", leaf(Vec::new())), None);
    let timeless = verifier.answer(cbor(&timeless), canister(1)).await;
    assert!(matches!(
        timeless,
        Err(CertificateError::NotCovered) | Err(CertificateError::Incomplete(_))
    ));
}

/// A canister's tree that holds one signed message.
fn signatures(seed: &[u8], message: &[u8], value: &[u8]) -> HashTree {
    let (seed, message) = (Sha256::digest(seed), Sha256::digest(message));
    let message = label(message.to_vec(), leaf(value.to_vec()));
    label("sig", label(seed.to_vec(), message))
}

fn certified_data(number: u64, digest: [u8; 32]) -> HashTree {
    let data = label("certified_data", leaf(digest.to_vec()));
    let canisters = label(canister(number).as_slice().to_vec(), data);
    fork(
        label("canister", canisters),
        time(now() - Duration::from_secs(3600)),
    )
}

fn signed(certificate: &Made, tree: &HashTree) -> CanisterSigned {
    #[derive(serde::Serialize)]
    struct Signature<'a> {
        #[serde(with = "serde_bytes")]
        certificate: Vec<u8>,
        tree: &'a HashTree,
    }
    let certificate = cbor(certificate);
    CanisterSigned {
        canister: canister(100),
        seed: b"seed".to_vec(),
        message: b"message".to_vec(),
        signature: cbor(&Signature { certificate, tree }),
    }
}

#[tokio::test]
async fn a_canister_signed_what_its_certified_tree_holds() {
    let network = Network::new();
    let verifier = Verifier::new(&network.root.der).unwrap();
    let check = async |signed: CanisterSigned| verifier.canister_signature(signed).await;
    let delegation = network.delegated(Form::Flat).delegation;
    let tree = signatures(b"seed", b"message", b"");
    let state = certified_data(100, tree.digest());
    let certificate = network.subnet.certify(state.clone(), delegation.clone());
    let good = signed(&certificate, &tree);
    assert_eq!(check(good.clone()).await, Ok(()));

    let not_signed = Err(CertificateError::NotSigned);
    let message = b"another".to_vec();
    assert_eq!(
        check(CanisterSigned {
            message,
            ..good.clone()
        })
        .await,
        not_signed
    );
    let seed = b"other".to_vec();
    assert_eq!(
        check(CanisterSigned {
            seed,
            ..good.clone()
        })
        .await,
        not_signed
    );
    let foreign = CanisterSigned {
        canister: canister(101),
        ..good.clone()
    };
    assert!(matches!(
        check(foreign).await,
        Err(CertificateError::NotSigned)
    ));
    let elsewhere = CanisterSigned {
        canister: canister(250),
        ..good.clone()
    };
    assert_eq!(
        check(elsewhere).await,
        Err(CertificateError::ForeignCanister)
    );

    // A tree that the canister did not certify, and a leaf that is no signature.
    let forged = signatures(b"seed", b"message", b"more");
    assert_eq!(check(signed(&certificate, &forged)).await, not_signed);
    let state = certified_data(100, forged.digest());
    let certificate = network.subnet.certify(state, delegation.clone());
    assert_eq!(check(signed(&certificate, &forged)).await, not_signed);

    // Nobody's certificate.
    let state = certified_data(100, tree.digest());
    let certificate = Key::new().certify(state, delegation);
    let refused = check(signed(&certificate, &tree)).await;
    assert_eq!(refused, Err(CertificateError::Signature));
    let signature = b"nonsense".to_vec();
    let refused = check(CanisterSigned { signature, ..good }).await;
    assert!(matches!(refused, Err(CertificateError::Malformed(_))));
}
