//! How the signer reaches Internet Identity: bytes to and from the Internet Computer's HTTP interface. Whoever moves
//! the bytes can delay them but not lie: everything that comes back is verified against the pinned root key by
//! [`InternetIdentity`].

mod agent;
mod direct;
mod internet_identity;
mod node_keys;
mod update;
mod wire;

use async_trait::async_trait;
use bytes::Bytes;

pub use direct::Direct;
pub use internet_identity::{
    AccountInfo, IdentityCallError, InternetIdentity, PreparedDelegation, Registration,
};

/// Largest response that is read, in bytes.
pub const MAX_RESPONSE: usize = 4 << 20;

/// A request to the Internet Computer's HTTP interface.
#[derive(Debug, Clone)]
pub struct IcRequest {
    /// The method.
    pub method: http::Method,
    /// Path and query, starting with `/api/`.
    pub path: String,
    /// The CBOR body.
    pub body: Bytes,
}

/// A response of the Internet Computer's HTTP interface.
#[derive(Debug, Clone)]
pub struct IcResponse {
    /// The status.
    pub status: http::StatusCode,
    /// The body, at most [`MAX_RESPONSE`] bytes.
    pub body: Bytes,
}

/// Moves requests to the Internet Computer and responses back, once, without retry.
#[async_trait]
pub trait Transport: Send + Sync + 'static {
    /// Sends a request.
    ///
    /// # Errors
    /// When no response came within the transport's own deadline.
    async fn send(&self, request: IcRequest) -> Result<IcResponse, TransportError>;
}

/// Why no response came.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// The Internet Computer could not be reached or did not answer in time.
    #[error("the Internet Computer could not be reached: {0}")]
    Unreachable(String),
    /// The response was larger than [`MAX_RESPONSE`].
    #[error("a response of the Internet Computer exceeds {MAX_RESPONSE} bytes")]
    TooLarge,
}
