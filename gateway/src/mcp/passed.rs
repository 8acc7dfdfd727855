//! Interfaces that agents pass for canisters which publish none.

use std::sync::Arc;

use moka::future::Cache;
use sha2::{Digest, Sha256};

use crate::candid::interface::{Interface, InterfaceError};

/// Bound of all of them together, in bytes of text and what is parsed from it.
const CAPACITY: u64 = 16 << 20;

/// Parsed interfaces by the hash of their text.
pub(super) struct PassedInterfaces(Cache<[u8; 32], Arc<Interface>>);

impl PassedInterfaces {
    pub(super) fn new() -> Self {
        let cache = Cache::builder()
            .max_capacity(CAPACITY)
            .weigher(|_, interface: &Arc<Interface>| {
                u32::try_from(interface.text().len() * 4).unwrap_or(u32::MAX)
            })
            .build();
        Self(cache)
    }

    /// The parsed interface; the same text is parsed once.
    pub(super) async fn get(&self, text: &str) -> Result<Arc<Interface>, InterfaceError> {
        let read = async { Ok(Arc::new(Interface::parse(text.into()).await?)) };
        self.0
            .try_get_with(Sha256::digest(text).into(), read)
            .await
            .map_err(|error: Arc<InterfaceError>| InterfaceError::clone(&error))
    }
}
