//! Listeners, TLS and limits: everything between the network and the [`Handler`].
//!
//! pingora terminates TLS and speaks HTTP/1.1 and HTTP/2; this folder accepts connections, holds them to the
//! [`Limits`] and hands each request to one in-process handler. The accept loop is ours because pingora's can
//! bound neither the number of connections nor the time of a handshake, and because HTTP/1 headers need one
//! total deadline while pingora times each read by itself.

mod admission;
mod bridge;
mod connection;
mod guard;
mod head;
mod peer;
mod refusal;
mod tls;
mod upload;
mod wire;

#[cfg(test)]
pub(crate) mod tests;

use std::{
    future::Future, io, net::SocketAddr, path::PathBuf, pin::Pin, sync::Arc, time::Duration,
};

use tokio::{net::TcpListener, sync::watch, task::JoinSet};
use tracing::{debug, info, warn};

use self::{
    admission::Admission,
    connection::{Acceptor, Edge},
    peer::PeerRules,
};
use crate::{body, config::Config};

pub use self::{
    guard::{Guard, Reach},
    peer::Peer,
};
pub use crate::config::Limits;

/// What answers requests.
pub trait Handler: Send + Sync {
    /// Answers one request. The future is dropped when the client goes away.
    fn call(
        &self,
        request: body::Request,
    ) -> Pin<Box<dyn Future<Output = body::Response> + Send + '_>>;
}

/// Why the edge cannot serve.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum EdgeError {
    /// The address is taken, not ours, or not permitted.
    #[error("cannot listen on {address}: {cause}")]
    Listen {
        /// The configured address.
        address: SocketAddr,
        /// What the system said.
        cause: io::Error,
    },
    /// The certificate or its key cannot be used.
    #[error("{path}: {cause}")]
    Certificate {
        /// The file at fault.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },
}

/// Pause after a failed accept, most likely for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `shutdown` becomes true, then lets running requests end for at most
/// [`Limits::drain_time`]. `ready` is told the bound address once connections are accepted.
///
/// # Errors
/// When the address cannot be bound or the first certificate cannot be used.
pub async fn serve(
    config: &Config,
    limits: Limits,
    handler: Arc<dyn Handler>,
    mut shutdown: watch::Receiver<bool>,
    ready: impl FnOnce(SocketAddr),
) -> Result<(), EdgeError> {
    let certificate = match &config.tls {
        Some(files) => Some(Arc::new(tls::Certificate::open(files)?)),
        None => None,
    };
    let acceptor = certificate.as_ref().map(tls::acceptor).transpose()?;
    let (listener, address) = bind(config.listen).await?;
    let admission = Admission::new(&limits, &config.trusted_proxies);
    let edge = Arc::new(Edge {
        handler,
        limits,
        peers: PeerRules::new(config),
        acceptor: acceptor.map(Acceptor::Tls).unwrap_or(Acceptor::Plain),
        shutdown: shutdown.clone(),
    });
    let mut connections = JoinSet::new();
    let reload = tls::keep_fresh(certificate);
    tokio::pin!(reload);

    ready(address);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_) = connections.join_next() => continue,
            // An owner that is gone can no longer say stop; it has stopped.
            _ = shutdown.wait_for(|stop| *stop) => break,
            never = &mut reload => match never {},
        };
        match accepted {
            Ok((stream, address)) => match admission.admit(address.ip()) {
                Some(place) => {
                    connections.spawn(Arc::clone(&edge).serve(stream, address, place));
                }
                None => debug!(%address, "connection limit reached"),
            },
            // A client that left before it was accepted is no trouble of ours.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                warn!(%error, "accepting a connection failed");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    drop(listener);
    info!(connections = connections.len(), "draining");
    let draining = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits.drain_time, draining)
        .await
        .is_err()
    {
        warn!(
            connections = connections.len(),
            "closing connections that did not end in time"
        );
        connections.shutdown().await;
    }
    Ok(())
}

/// Binds, with IPv4 alone where "all addresses" is asked of a system without IPv6.
async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), EdgeError> {
    let listener = match TcpListener::bind(address).await {
        Err(_) if address.is_ipv6() && address.ip().is_unspecified() => {
            TcpListener::bind((std::net::Ipv4Addr::UNSPECIFIED, address.port())).await
        }
        bound => bound,
    };
    listener
        .and_then(|listener| listener.local_addr().map(|bound| (listener, bound)))
        .map_err(|cause| EdgeError::Listen { address, cause })
}
