//! Serving a router on a loopback port.

use std::{convert::Infallible, io, net::SocketAddr, time::Duration};

use axum::{Router, body::Body, http::Request};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::watch,
    task::JoinSet,
};
use tower::ServiceExt;

/// A client that does not finish its header in this time is dropped.
const HEADER_TIMEOUT: Duration = Duration::from_secs(30);
/// Pause after a failed accept, so that running out of descriptors is not a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

pub(crate) async fn bind(port: u16) -> io::Result<TcpListener> {
    TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await
}

/// Serves until `stop` changes, then drops what is still open. `admit` may refuse a request; its
/// connection is then closed without an answer.
pub(crate) async fn serve<A>(
    listener: TcpListener,
    router: Router,
    admit: A,
    mut stop: watch::Receiver<()>,
) where
    A: Fn(&Request<Incoming>) -> bool + Clone + Send + Sync + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = stop.changed() => break,
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, router.clone(), admit.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "accept failed");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
    connections.shutdown().await;
}

/// The connection is closed because a fault says so.
#[derive(Debug, thiserror::Error)]
#[error("the network is unreachable by order of a test")]
struct Unreachable;

async fn connection<A>(stream: TcpStream, router: Router, admit: A)
where
    A: Fn(&Request<Incoming>) -> bool + Clone + Send + Sync + 'static,
{
    // Answers are small and awaited: waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request: Request<Incoming>| {
        let router = router.clone();
        let admitted = admit(&request);
        async move {
            if !admitted {
                return Err(Unreachable);
            }
            let answer: Result<_, Infallible> = router.oneshot(request.map(Body::new)).await;
            Ok(answer.unwrap_or_else(|never| match never {}))
        }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        tracing::debug!(%error, "connection ended");
    }
}
