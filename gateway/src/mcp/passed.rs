//! Interfaces that agents pass for canisters which publish none.

use std::sync::Arc;

use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::candid::{
    interface::{Interface, InterfaceError},
    weight,
};

/// Bound of all of them together, in bytes of memory.
const CAPACITY: u64 = 16 << 20;
/// Heaviest one that is kept, in bytes of memory; a heavier one is parsed for each call.
const LARGEST: usize = 4 << 20;

/// Parsed interfaces by the hash of their text.
pub(super) struct PassedInterfaces(Cache<[u8; 32], Arc<Interface>>);

impl PassedInterfaces {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(|_, interface: &Arc<Interface>| weight::of_entry(interface.weight(), LARGEST))
            .build();
        Self(cache)
    }

    /// The parsed interface; the same text is parsed once, unless it is too heavy to be kept.
    pub(super) async fn get(&self, text: &str) -> Result<Arc<Interface>, InterfaceError> {
        let hash: [u8; 32] = Sha256::digest(text).into();
        if let Some(interface) = self.0.get(&hash).await {
            return Ok(interface);
        }
        let read = async { Ok(Arc::new(Interface::parse(text.into()).await?)) };
        let parsed = self
            .0
            .try_get_with(hash, read)
            .await
            .map_err(|error: Arc<InterfaceError>| InterfaceError::clone(&error));
        // The cache holds its bound only when it does its chores, which it would put off.
        self.0.run_pending_tasks().await;
        parsed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_agents_pass_stays_within_its_memory() {
        let passed = PassedInterfaces::new();
        let text = |number: usize, fields: usize| {
            let fields = "nat;".repeat(fields);
            format!("type t{number} = record {{{fields}}}; service : {{}}")
        };
        for number in 0..12 {
            let interface = passed.get(&text(number, 30_000)).await.unwrap();
            assert!(interface.weight() > 30_000 * 32);
            assert!(passed.0.weighted_size() <= CAPACITY);
        }
        assert!(passed.0.entry_count() > 2);
        let heavy = passed.get(&text(0, 240_000)).await.unwrap();
        assert!(heavy.weight() > LARGEST);
        assert!(passed.0.iter().all(|(_, kept)| kept.weight() <= LARGEST));
        assert!(passed.0.weighted_size() <= CAPACITY);
    }
}
