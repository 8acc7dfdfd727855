//! The gRPC interface between the signer and whoever lets it sign, `icgate.signer.v1`: generated types, the
//! stable error reasons, and a client that keeps one pipelined signing stream.
//!
//! The signing stream exists because a unary gRPC call costs more than the Ed25519 signature it carries;
//! on one stream the signature is the limit.
#![forbid(unsafe_code)]

mod client;
mod error;
mod link;
mod secret;
mod stream;

pub use client::SignerClient;
pub use error::{ERROR_DOMAIN, Reason, SignerError};
pub use link::{Endpoint, Link, LinkError};
pub use secret::{ConnectionSecret, InvalidSecret};

/// Largest request the signer reads, in bytes as encoded: an ingress message has at most 2 MiB.
pub const MAX_REQUEST: usize = 4 << 20;

/// Generated from `icgate/signer/v1/signer.proto`, whose comments are the documentation of every field.
#[allow(
    missing_docs,
    clippy::large_enum_variant,
    clippy::doc_markdown,
    unreachable_pub
)]
pub mod v1 {
    tonic::include_proto!("icgate.signer.v1");
}

/// The encoded `FileDescriptorSet`, for gRPC server reflection.
pub const DESCRIPTOR_SET: &[u8] =
    include_bytes!(concat!(env!("OUT_DIR"), "/icgate_descriptor.bin"));
