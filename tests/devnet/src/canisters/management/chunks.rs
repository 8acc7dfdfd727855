//! A canister's chunk store: pieces of a module that is larger than one message.

use std::collections::BTreeMap;

use crate::replica::public_key::sha256;

/// Largest chunk, in bytes.
const MAX_CHUNK: usize = 1 << 20;
/// Chunks a store holds.
const MAX_CHUNKS: usize = 100;

type Hash = [u8; 32];

#[derive(Default)]
pub(super) struct ChunkStore {
    chunks: BTreeMap<Hash, Vec<u8>>,
}

impl ChunkStore {
    /// Keeps a chunk. The error is a sentence of the system's.
    pub(super) fn insert(&mut self, chunk: Vec<u8>) -> Result<Hash, String> {
        if chunk.len() > MAX_CHUNK {
            return Err(format!(
                "Wasm chunk size {} exceeds the maximum chunk size of {MAX_CHUNK}",
                chunk.len()
            ));
        }
        let hash = sha256(&chunk);
        if self.chunks.len() == MAX_CHUNKS && !self.chunks.contains_key(&hash) {
            return Err(format!(
                "Wasm chunk store has already reached maximum capacity of {MAX_CHUNKS} chunks"
            ));
        }
        self.chunks.insert(hash, chunk);
        Ok(hash)
    }

    pub(super) fn clear(&mut self) {
        self.chunks.clear();
    }

    pub(super) fn hashes(&self) -> impl Iterator<Item = Hash> {
        self.chunks.keys().copied()
    }

    /// In bytes: what is stored is paid for by whole chunks.
    pub(super) fn size(&self) -> u64 {
        (self.chunks.len() * MAX_CHUNK) as u64
    }

    /// The module that these chunks make in this order, if it has this hash. The error is a
    /// sentence of the system's.
    pub(super) fn assemble<'a>(
        &self,
        hashes: impl IntoIterator<Item = &'a [u8]>,
        expected: &[u8],
    ) -> Result<Vec<u8>, String> {
        let mut module = Vec::new();
        for hash in hashes {
            let chunk = Hash::try_from(hash)
                .ok()
                .and_then(|hash| self.chunks.get(&hash))
                .ok_or_else(|| format!("Wasm chunk hash {} was not found", hex::encode(hash)))?;
            module.extend_from_slice(chunk);
        }
        let actual = sha256(&module);
        if actual.as_slice() != expected {
            return Err(format!(
                "Wasm module hash {} does not match given hash {}",
                hex::encode(actual),
                hex::encode(expected)
            ));
        }
        Ok(module)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_is_only_assembled_when_its_hash_is_the_expected_one() {
        let mut store = ChunkStore::default();
        let first = store.insert(b"ab".to_vec()).unwrap();
        let second = store.insert(b"cd".to_vec()).unwrap();
        let order = [first.as_slice(), second.as_slice()];
        assert_eq!(store.assemble(order, &sha256(b"abcd")).unwrap(), b"abcd");
        assert!(
            store
                .assemble([order[1], order[0]], &sha256(b"abcd"))
                .is_err()
        );
        assert!(store.assemble([b"x".as_slice()], &sha256(b"")).is_err());
        store.clear();
        assert!(store.assemble(order, &sha256(b"abcd")).is_err());
    }

    #[test]
    fn a_store_is_bounded() {
        let mut store = ChunkStore::default();
        assert!(store.insert(vec![0; MAX_CHUNK + 1]).is_err());
        for n in 0..MAX_CHUNKS {
            store.insert(n.to_be_bytes().to_vec()).unwrap();
        }
        assert!(store.insert(b"one more".to_vec()).is_err());
        assert!(store.insert(0_usize.to_be_bytes().to_vec()).is_ok());
    }
}
