//! One connection, from its acceptance to its end.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::BytesMut;
use http::HeaderMap;
use pingora_core::{
    apps::{HttpServerApp, HttpServerOptions, ReusedHttpStream, ServerApp},
    listeners::tls::Acceptor as TlsAcceptor,
    protocols::{
        ALPN, Stream,
        http::{
            ServerSession,
            v2::server::{H2Options, default_h2_options},
        },
    },
    server::ShutdownWatch,
};
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::{Notify, watch},
    time::{timeout, timeout_at},
};
use tracing::debug;

use super::{
    Handler,
    admission::Place,
    bridge,
    head::{self, NoHead},
    peer::{Peer, PeerRules},
    refusal::Refusal,
    wire::Wire,
};
use crate::config::Limits;

/// How long a closing connection still takes what the client is sending.
pub(super) const LINGER_TIME: Duration = Duration::from_secs(1);
/// Streams of one HTTP/2 connection at a time.
const HTTP2_STREAMS: u32 = 64;

/// What all connections share.
pub(super) struct Edge {
    pub(super) handler: Arc<dyn Handler>,
    pub(super) limits: Limits,
    pub(super) peers: PeerRules,
    pub(super) acceptor: Acceptor,
    pub(super) shutdown: watch::Receiver<bool>,
}

/// How a connection begins.
pub(super) enum Acceptor {
    Plain,
    Tls(TlsAcceptor),
}

/// One connection. Its place is given back when the last of its requests has ended.
pub(super) struct Connection {
    pub(super) edge: Arc<Edge>,
    pub(super) address: SocketAddr,
    begun: Notify,
    options: HttpServerOptions,
    _place: Place,
}

impl Edge {
    /// Serves a connection to its end.
    pub(super) async fn serve(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        place: Place,
    ) {
        if let Err(error) = prepare(&stream) {
            debug!(%address, %error, "the connection is gone already");
            return;
        }
        let wire = Wire::new(stream);
        let stream: Stream = match &self.acceptor {
            Acceptor::Plain => Box::new(wire),
            Acceptor::Tls(acceptor) => {
                match timeout(self.limits.header_time, acceptor.tls_handshake(wire)).await {
                    Ok(Ok(stream)) => Box::new(stream),
                    Ok(Err(error)) => {
                        debug!(%address, %error, "TLS handshake failed");
                        return;
                    }
                    Err(_) => {
                        debug!(%address, "TLS handshake took too long");
                        return;
                    }
                }
            }
        };
        let mut options = HttpServerOptions::default();
        options.h2_idle_timeout = Some(self.limits.idle_time);
        let http2 = matches!(stream.selected_alpn_proto(), Some(ALPN::H2));
        let connection = Arc::new(Connection {
            edge: self,
            address,
            begun: Notify::new(),
            options,
            _place: place,
        });
        if http2 {
            connection.http2(stream).await;
        } else {
            connection.http1(stream).await;
        }
    }
}

/// Small answers leave at once, and a client that vanished without a word is noticed even while a stream of
/// events has nothing to say.
fn prepare(stream: &TcpStream) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let probes = TcpKeepalive::new()
        .with_time(Duration::from_secs(60))
        .with_interval(Duration::from_secs(15))
        .with_retries(4);
    SockRef::from(stream).set_tcp_keepalive(&probes)
}

impl Connection {
    /// Whether the server is on its way out.
    pub(super) fn stopping(&self) -> bool {
        *self.edge.shutdown.borrow()
    }

    /// Who sent a request on this connection.
    pub(super) fn peer(&self, headers: &HeaderMap) -> Result<Peer, Refusal> {
        let tls = matches!(self.edge.acceptor, Acceptor::Tls(_));
        self.edge.peers.judge(self.address.ip(), tls, headers)
    }

    /// Requests one after the other. What a client sends ahead waits for its turn.
    async fn http1(&self, mut stream: Stream) {
        let limits = &self.edge.limits;
        let mut shutdown = self.edge.shutdown.clone();
        let mut head = BytesMut::new();
        // A new connection must speak at once; between requests it may rest.
        let mut waiting = limits.header_time;
        loop {
            let read = tokio::select! {
                read = head::read(&mut stream, &mut head, waiting, limits) => read,
                _ = shutdown.wait_for(|stop| *stop) => return,
            };
            let deadline = match read {
                Ok(deadline) => deadline,
                Err(NoHead::Closed) => return,
                Err(NoHead::Refused(refusal)) => return self.refuse(stream, refusal).await,
            };
            let mut session = ServerSession::new_http1(stream);
            session.set_read_timeout(None);
            session.set_pipelining_enabled(true);
            session.set_pipelined_prefix(std::mem::take(&mut head));
            match timeout_at(deadline, session.read_request()).await {
                Ok(Ok(true)) => {}
                Ok(Ok(false)) => return,
                Ok(Err(error)) => {
                    // Not the error's text, which quotes the header with the token in it.
                    debug!(address = %self.address, error = error.etype().as_str(), "not a request");
                    return bridge::refuse_unread(self, session, unreadable(&error)).await;
                }
                Err(_) => return bridge::refuse_unread(self, session, Refusal::TooSlow).await,
            }
            let Some(reusable) = bridge::exchange(self, session).await else {
                return;
            };
            let (same, ahead) = reusable.into_parts();
            stream = same;
            head = ahead.unwrap_or_default();
            waiting = limits.idle_time;
        }
    }

    /// pingora drives the connection and calls [`HttpServerApp::process_new_http`] for each stream. Until the
    /// first one, nothing in it keeps time.
    async fn http2(self: &Arc<Self>, stream: Stream) {
        let serving = self.process_new(stream, &self.edge.shutdown);
        tokio::pin!(serving);
        let begun = tokio::select! {
            _ = &mut serving => return,
            begun = timeout(self.edge.limits.header_time, self.begun.notified()) => begun,
        };
        if begun.is_ok() {
            serving.await;
        }
    }

    /// Answers a connection on which no request could be read.
    async fn refuse(&self, mut stream: Stream, refusal: Refusal) {
        debug!(address = %self.address, status = refusal.status().as_u16(), "refused");
        let ending = async {
            stream.write_all(&refusal.http1()).await?;
            stream.flush().await?;
            AsyncWriteExt::shutdown(&mut stream).await?;
            let mut left = self.edge.limits.header_bytes;
            let mut sink = [0; 1024];
            while left > 0 {
                match stream.read(&mut sink).await? {
                    0 => break,
                    count => left = left.saturating_sub(count),
                }
            }
            io::Result::Ok(())
        };
        // Whether the client hears the refusal is its own affair.
        let _ = timeout(LINGER_TIME, ending).await;
    }
}

/// pingora says in words what was wrong with a header; its two limits have a status of their own.
fn unreadable(error: &pingora_core::Error) -> Refusal {
    let text = error.to_string();
    if text.contains("header larger than") || text.contains("too many headers") {
        Refusal::HeaderTooLarge
    } else {
        Refusal::Malformed
    }
}

#[async_trait]
impl HttpServerApp for Connection {
    async fn process_new_http(
        self: &Arc<Self>,
        session: ServerSession,
        _shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        self.begun.notify_one();
        // Only HTTP/2 comes this way, and its streams are not reused.
        bridge::exchange(self, session).await;
        None
    }

    fn h2_options(&self) -> Option<H2Options> {
        let mut options = default_h2_options();
        options
            .max_concurrent_streams(HTTP2_STREAMS)
            .max_header_list_size(u32::try_from(self.edge.limits.header_bytes).unwrap_or(u32::MAX));
        Some(options)
    }

    fn server_options(&self) -> Option<&HttpServerOptions> {
        Some(&self.options)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn small_answers_leave_at_once() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await;
        let (stream, _) = listener.accept().await.unwrap();
        assert!(!stream.nodelay().unwrap());
        prepare(&stream).unwrap();
        assert!(stream.nodelay().unwrap());
        assert!(SockRef::from(&stream).keepalive().unwrap());
    }
}
