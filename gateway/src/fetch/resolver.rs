use std::{io, net::IpAddr};

use async_trait::async_trait;
use tokio::net::lookup_host;

/// Finds the addresses of a name.
#[async_trait]
pub trait Resolver: Send + Sync {
    /// All addresses of a name right now.
    ///
    /// # Errors
    /// What the resolver said.
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>>;
}

/// This machine's own resolver.
#[derive(Debug, Clone, Copy)]
pub struct SystemResolver;

#[async_trait]
impl Resolver for SystemResolver {
    async fn resolve(&self, host: &str) -> io::Result<Vec<IpAddr>> {
        let addresses = lookup_host((host, 0)).await?;
        Ok(addresses.map(|address| address.ip()).collect())
    }
}
