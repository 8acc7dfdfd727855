use std::{collections::BTreeMap, ops::Bound};

use candid::Principal;
use ic_certification::{Certificate, HashTree, LookupResult, SubtreeLookupResult};

use crate::{CertificateError, bls::PublicKey};

/// What the root subnet certified of a subnet: its key, and the canisters that it may speak for.
#[derive(Debug)]
pub(crate) struct Subnet {
    pub(crate) key: PublicKey,
    /// Ranges of canister ids, first and last, by the id that their shard begins at.
    shards: BTreeMap<Vec<u8>, Ranges>,
}

type Ranges = Vec<(Principal, Principal)>;

impl Subnet {
    /// Reads a certificate that was verified to be the root subnet's.
    pub(crate) fn read(id: &[u8], certificate: &Certificate) -> Result<Self, CertificateError> {
        let tree = &certificate.tree;
        let LookupResult::Found(key) =
            tree.lookup_path([b"subnet".as_slice(), id, b"public_key".as_slice()])
        else {
            return Err(CertificateError::Delegation("key of its subnet"));
        };
        Ok(Self {
            key: PublicKey::from_der(key)?,
            shards: shards(id, tree)?,
        })
    }

    pub(crate) fn hosts(&self, canister: Principal) -> bool {
        let id = canister.as_slice();
        let below = (Bound::Unbounded, Bound::Included(id));
        self.shards
            .range::<[u8], _>(below)
            .next_back()
            .is_some_and(|(_, ranges)| {
                ranges
                    .iter()
                    .any(|(first, last)| (first..=last).contains(&&canister))
            })
    }
}

/// `/canister_ranges/<subnet>/<first id>`, or where that is not part of the certificate `/subnet/<subnet>/canister_ranges`
/// as one shard for all ids. Replicas serve both forms.
fn shards(id: &[u8], tree: &HashTree) -> Result<BTreeMap<Vec<u8>, Ranges>, CertificateError> {
    if let SubtreeLookupResult::Found(sharded) = tree.lookup_subtree([b"canister_ranges", id]) {
        return sharded
            .list_paths()
            .into_iter()
            .map(|path| match path.as_slice() {
                [first] => Ok((
                    first.as_bytes().to_vec(),
                    ranges(&sharded, [first.as_bytes()])?,
                )),
                _ => Err(CertificateError::Delegation("shard of canister ranges")),
            })
            .collect();
    }
    let flat = [b"subnet".as_slice(), id, b"canister_ranges".as_slice()];
    Ok(BTreeMap::from([(Vec::new(), ranges(tree, flat)?)]))
}

fn ranges<'a>(
    tree: &HashTree,
    path: impl IntoIterator<Item = &'a [u8]>,
) -> Result<Ranges, CertificateError> {
    match tree.lookup_path(path) {
        LookupResult::Found(ranges) => serde_cbor::from_slice(ranges)
            .map_err(|error| CertificateError::Malformed(error.to_string())),
        _ => Err(CertificateError::Delegation("canister ranges")),
    }
}
