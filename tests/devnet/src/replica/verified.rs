//! Signatures that were already checked. A canister signature costs two pairings (milliseconds),
//! and a client presents the same delegation with every request for minutes.

use std::{
    collections::{HashSet, VecDeque},
    sync::Mutex,
};

use sha2::{Digest, Sha256};

use super::public_key::{KeyError, PublicKey};

/// How many checked signatures are remembered; the oldest goes first.
const CAPACITY: usize = 8192;

#[derive(Default)]
pub(crate) struct Verified {
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    set: HashSet<[u8; 32]>,
    order: VecDeque<[u8; 32]>,
}

impl Verified {
    /// Checks that the key `key_der` signed `message`, against the root key where the key is a
    /// canister's. Only successes are remembered.
    pub(crate) fn verify(
        &self,
        key_der: &[u8],
        message: &[u8],
        signature: &[u8],
        root_key: &[u8],
    ) -> Result<(), KeyError> {
        let fingerprint = fingerprint(&[key_der, message, signature]);
        if crate::lock(&self.seen).set.contains(&fingerprint) {
            return Ok(());
        }
        PublicKey::from_der(key_der)?.verify(message, signature, root_key)?;
        crate::lock(&self.seen).remember(fingerprint);
        Ok(())
    }
}

impl Seen {
    fn remember(&mut self, fingerprint: [u8; 32]) {
        if !self.set.insert(fingerprint) {
            return;
        }
        self.order.push_back(fingerprint);
        if self.order.len() > CAPACITY
            && let Some(oldest) = self.order.pop_front()
        {
            self.set.remove(&oldest);
        }
    }
}

fn fingerprint(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    hash.finalize().into()
}
