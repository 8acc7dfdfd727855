use std::{
    collections::VecDeque,
    fmt, fs,
    io::{self, ErrorKind},
    net::SocketAddr,
    os::unix::fs::FileTypeExt,
    path::{Path, PathBuf},
    pin::Pin,
    str::FromStr,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use rustls_pki_types::CertificateDer;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, UnixListener},
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tonic::transport::server::Connected;
use tracing::{debug, warn};

use super::tls::{TlsConfig, TlsIdentity};
use crate::access::{Peer, RoleRule};

const HANDSHAKE: Duration = Duration::from_secs(5);
/// Handshakes under way at once; a further one breaks off the oldest.
const HANDSHAKES: usize = 256;
/// After a failed accept (out of file descriptors, say).
const PAUSE: Duration = Duration::from_millis(50);

/// Where the signer listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// An address and TCP port; port 0 takes a free one.
    Tcp(SocketAddr),
    /// A Unix socket; TLS is spoken over it all the same.
    Unix(PathBuf),
}

/// The text is no place to listen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("must be ADDRESS:PORT or unix:PATH")]
pub struct InvalidListen;

impl FromStr for Listen {
    type Err = InvalidListen;

    fn from_str(text: &str) -> Result<Self, InvalidListen> {
        match text.strip_prefix("unix:") {
            Some(path) if !path.is_empty() => Ok(Self::Unix(path.into())),
            Some(_) => Err(InvalidListen),
            None => text.parse().map(Self::Tcp).map_err(|_| InvalidListen),
        }
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => write!(f, "{address}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A bound listener.
pub enum Listening {
    /// See [`Listen::Tcp`].
    Tcp(TcpListener),
    /// See [`Listen::Unix`].
    Unix(UnixListener, PathBuf),
}

impl Listening {
    /// Binds. A socket file that an earlier signer left behind is replaced.
    ///
    /// # Errors
    /// When the address cannot be bound.
    pub async fn bind(listen: &Listen) -> io::Result<Self> {
        match listen {
            Listen::Tcp(address) => Ok(Self::Tcp(TcpListener::bind(address).await?)),
            Listen::Unix(path) => {
                if is_stale(path) {
                    fs::remove_file(path)?;
                }
                Ok(Self::Unix(UnixListener::bind(path)?, path.clone()))
            }
        }
    }

    /// Where it is bound.
    ///
    /// # Errors
    /// When the operating system does not tell.
    pub fn address(&self) -> io::Result<Listen> {
        match self {
            Self::Tcp(listener) => listener.local_addr().map(Listen::Tcp),
            Self::Unix(_, path) => Ok(Listen::Unix(path.clone())),
        }
    }

    async fn accept(&self) -> io::Result<Box<dyn Io>> {
        match self {
            Self::Tcp(listener) => {
                let (stream, _) = listener.accept().await?;
                stream.set_nodelay(true)?;
                Ok(Box::new(stream))
            }
            Self::Unix(listener, _) => Ok(Box::new(listener.accept().await?.0)),
        }
    }
}

/// Whether a socket file is there that nobody listens on.
fn is_stale(path: &Path) -> bool {
    let is_socket = fs::metadata(path).is_ok_and(|metadata| metadata.file_type().is_socket());
    is_socket
        && std::os::unix::net::UnixStream::connect(path)
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Accepts connections for as long as somebody takes them. Each handshake is a task of its own with its own deadline,
/// so that a slow one delays nobody. Only those who have shown a certificate count against `limit`: a stranger who
/// opens connections and stays silent pushes out other silent ones, not the gateway.
pub(super) async fn accept(
    listening: Listening,
    tls: Arc<TlsIdentity>,
    rules: Arc<[RoleRule]>,
    limit: u32,
    connections: mpsc::Sender<io::Result<Link>>,
) {
    let free = Arc::new(Semaphore::new(limit as usize));
    let mut handshakes = Handshakes::default();
    loop {
        let stream = tokio::select! {
            accepted = listening.accept() => accepted,
            () = connections.closed() => return,
        };
        let stream = match stream {
            Ok(stream) => stream,
            Err(cause) => {
                warn!(%cause, "a connection could not be accepted");
                tokio::time::sleep(PAUSE).await;
                continue;
            }
        };
        let TlsConfig { server, own } = &*tls.current();
        let (acceptor, own) = (TlsAcceptor::from(Arc::clone(server)), own.clone());
        let (rules, connections, free) =
            (Arc::clone(&rules), connections.clone(), Arc::clone(&free));
        handshakes.start(async move {
            match timeout(HANDSHAKE, acceptor.accept(stream)).await {
                Ok(Ok(stream)) => {
                    let Ok(permit) = free.try_acquire_owned() else {
                        warn!(limit, "a connection was refused: there are too many");
                        return;
                    };
                    let link = Link::new(stream, &rules, &own, permit);
                    // Closed only when the signer stops.
                    let _ = connections.send(Ok(link)).await;
                }
                Ok(Err(cause)) => debug!(%cause, "a TLS handshake failed"),
                Err(_) => debug!("a TLS handshake took too long"),
            }
        });
    }
}

/// The handshakes under way, oldest first.
#[derive(Default)]
struct Handshakes(VecDeque<JoinHandle<()>>);

impl Handshakes {
    fn start(&mut self, handshake: impl Future<Output = ()> + Send + 'static) {
        if self.0.len() >= HANDSHAKES {
            self.0.retain(|handshake| !handshake.is_finished());
        }
        if self.0.len() >= HANDSHAKES
            && let Some(oldest) = self.0.pop_front()
        {
            oldest.abort();
        }
        self.0.push_back(tokio::spawn(handshake));
    }
}

trait Io: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

/// A connection after its handshake, with what its certificate says of the client.
pub(super) struct Link {
    stream: TlsStream<Box<dyn Io>>,
    peer: Peer,
    _permit: OwnedSemaphorePermit,
}

impl Link {
    fn new(
        stream: TlsStream<Box<dyn Io>>,
        rules: &[RoleRule],
        own: &CertificateDer<'_>,
        permit: OwnedSemaphorePermit,
    ) -> Self {
        let chain = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let peer = Peer::of_chain(chain, rules, own);
        Self {
            stream,
            peer,
            _permit: permit,
        }
    }
}

impl Connected for Link {
    type ConnectInfo = Peer;

    fn connect_info(&self) -> Peer {
        self.peer.clone()
    }
}

impl AsyncRead for Link {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Link {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
