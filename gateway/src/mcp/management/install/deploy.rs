//! Sending a module: in one message when it fits, else through the canister's chunk store.

use std::collections::HashSet;

use serde_bytes::{ByteBuf, Bytes};
use sha2::{Digest, Sha256};

use super::super::{
    operator::{Operator, known},
    wire::{ChunkHash, InstallChunkedCode, InstallCode, InstallMode, UploadChunk},
};
use crate::mcp::failure::Failure;

/// Most bytes of module and argument in one message; the network takes 2 MiB with everything around them.
const MAX_MESSAGE: usize = 1_900_000;
/// Bytes of a chunk: the most that the network takes.
const CHUNK: usize = 1 << 20;
/// Chunks that a canister's store holds.
const MAX_STORED: usize = 100;

/// A module on its way into a canister.
pub(super) struct Deployment<'a> {
    pub(super) operator: Operator<'a>,
    pub(super) mode: InstallMode,
    pub(super) wasm: &'a [u8],
    pub(super) hash: [u8; 32],
    /// Candid-encoded.
    pub(super) arg: &'a [u8],
}

/// A chunk with its hash.
struct Chunk<'a> {
    bytes: &'a [u8],
    hash: [u8; 32],
}

impl Deployment<'_> {
    /// Installs the module. Gives the number of chunks it took; none for a single message.
    pub(super) async fn run(&self) -> Result<usize, Failure> {
        if self.wasm.len() + self.arg.len() <= MAX_MESSAGE {
            let argument = InstallCode {
                mode: self.mode,
                canister_id: self.operator.canister.principal(),
                wasm_module: Bytes::new(self.wasm),
                arg: Bytes::new(self.arg),
            };
            self.operator.call("install_code", argument).await?;
            return Ok(0);
        }
        let chunks: Vec<Chunk<'_>> = self.wasm.chunks(CHUNK).map(Chunk::of).collect();
        if chunks.len() > MAX_STORED {
            return Err(Failure::new(
                "TOO_LARGE",
                "A canister takes modules up to 100 MiB, and this one is larger. Compress it with gzip, or leave out \
                 what it does not need.",
            ));
        }
        self.store(&chunks).await?;
        self.say("Installing the module").await;
        let installed = self.install(&chunks).await;
        if !matches!(&installed, Err(failure) if may_go_on(failure)) {
            self.clear().await;
        }
        installed?;
        Ok(chunks.len())
    }

    /// Brings the chunks into the store. Those of an interrupted installation are there already.
    async fn store(&self, chunks: &[Chunk<'_>]) -> Result<(), Failure> {
        let mut stored = self.stored().await?;
        let missing = chunks.iter().filter(|chunk| !stored.contains(&chunk.hash));
        if stored.len() + missing.count() > MAX_STORED {
            self.operator
                .call("clear_chunk_store", self.operator.this())
                .await?;
            stored.clear();
        }
        let count = chunks.len();
        for (number, chunk) in (1..).zip(chunks) {
            if !stored.contains(&chunk.hash) {
                self.say(format!("Sending chunk {number} of {count}")).await;
                self.send(chunk).await?;
            }
        }
        Ok(())
    }

    async fn stored(&self) -> Result<HashSet<[u8; 32]>, Failure> {
        let (reply, _) = self
            .operator
            .call("stored_chunks", self.operator.this())
            .await?;
        let list: Vec<ChunkHash> = known(&reply).unwrap_or_default();
        let hashes = list
            .iter()
            .filter_map(|chunk| chunk.hash[..].try_into().ok());
        Ok(hashes.collect())
    }

    async fn send(&self, chunk: &Chunk<'_>) -> Result<(), Failure> {
        let argument = UploadChunk {
            canister_id: self.operator.canister.principal(),
            chunk: Bytes::new(chunk.bytes),
        };
        let (reply, _) = self.operator.call("upload_chunk", argument).await?;
        let stored: Option<ChunkHash> = known(&reply);
        if stored.is_some_and(|stored| stored.hash == chunk.hash) {
            return Ok(());
        }
        tracing::error!("the network stored a chunk under another hash than its own");
        Err(Failure::new(
            "CHUNKS_LOST",
            "The network stored something else than was sent, and nothing was installed. Call install_code again.",
        ))
    }

    async fn install(&self, chunks: &[Chunk<'_>]) -> Result<(), Failure> {
        let hash = |chunk: &Chunk<'_>| ChunkHash {
            hash: ByteBuf::from(chunk.hash),
        };
        let argument = InstallChunkedCode {
            mode: self.mode,
            target_canister: self.operator.canister.principal(),
            chunk_hashes_list: chunks.iter().map(hash).collect(),
            wasm_module_hash: Bytes::new(&self.hash),
            arg: Bytes::new(self.arg),
        };
        self.operator.call("install_chunked_code", argument).await?;
        Ok(())
    }

    /// Empties the store, which costs the canister cycles. The installation is over either way.
    async fn clear(&self) {
        let cleared = self
            .operator
            .call("clear_chunk_store", self.operator.this());
        if let Err(failure) = cleared.await {
            let canister = self.operator.canister;
            tracing::warn!(%canister, code = failure.code, "a chunk store was not cleared");
        }
    }

    async fn say(&self, step: impl Into<String>) {
        self.operator.caller.progress(step).await;
    }
}

impl<'a> Chunk<'a> {
    fn of(bytes: &'a [u8]) -> Self {
        Self {
            bytes,
            hash: Sha256::digest(bytes).into(),
        }
    }
}

/// Whether the installation may still run and need the chunks, or is worth another try with those that are there.
fn may_go_on(failure: &Failure) -> bool {
    matches!(
        failure.code,
        "OUTCOME_UNKNOWN"
            | "IC_UNREACHABLE"
            | "IC_BUSY"
            | "IC_UNVERIFIED"
            | "IC_UNEXPECTED"
            | "TURNED_AWAY"
            | "SIGNER_UNAVAILABLE"
            | "IDENTITY_UNAVAILABLE"
    )
}

#[cfg(test)]
mod tests {
    use ic_transport_types::{RejectCode, RejectResponse};

    use super::*;
    use crate::{ic::IcError, uploads::MAX_BYTES};

    #[test]
    fn the_largest_module_that_is_taken_fits_into_the_store() {
        let chunks = |bytes: u64| bytes.div_ceil(CHUNK as u64);
        assert_eq!(chunks(MAX_BYTES), MAX_STORED as u64);
    }

    #[test]
    fn chunks_stay_in_the_store_while_the_installation_may_run() {
        for error in [
            IcError::OutcomeUnknown(String::new()),
            IcError::Unverified(String::new()),
            IcError::Unexpected(String::new()),
            IcError::AnswerLost,
            IcError::TurnedAway(RejectResponse {
                reject_code: RejectCode::SysTransient,
                reject_message: String::new(),
                error_code: None,
            }),
        ] {
            assert!(may_go_on(&Failure::ic(&error)), "{error}");
        }
        assert!(!may_go_on(&Failure::new("TRAPPED", "")));
    }
}
