//! gRPC in, domain out: the services of `icgate.signer.v1` over mutual TLS.

mod connections;
mod decode;
mod identities;
mod listener;
mod server;
mod signing;
mod stream;
mod tls;

pub use listener::{Listen, Listening};
pub use server::{ServeError, serve};
pub use tls::{TlsError, TlsFiles, TlsIdentity};

use icgate_proto::SignerError;

use crate::refusal;

/// Does what changes state as a task of its own: it runs to its end also when the client goes away half way.
async fn to_its_end<T: Send + 'static>(
    work: impl Future<Output = Result<T, SignerError>> + Send + 'static,
) -> Result<T, SignerError> {
    let joined = tokio::spawn(work).await;
    joined.unwrap_or_else(|error| Err(refusal::internal("a task broke off", &error)))
}
