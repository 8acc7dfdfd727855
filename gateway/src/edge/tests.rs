//! The edge in process, on a free port, spoken to with raw bytes where the bytes matter.

mod http1;
mod limits;
mod tls;

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use icgate_proto::{Endpoint, Link};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::mpsc,
    task::JoinHandle,
    time::timeout,
};
use url::Url;

use super::*;
use crate::{
    body::{Body, BodyError, Response},
    config::TlsFiles,
    instance::{Instance, InstanceName, PublicUrl},
};

/// Longer than anything here takes, so that a failure is a failure and not a hang.
const PATIENCE: Duration = Duration::from_secs(20);

/// A configuration for loopback; nothing in it is reached.
pub(crate) fn config() -> Config {
    let public_url = PublicUrl::parse("http://127.0.0.1:8000").unwrap();
    let url = Url::parse("http://127.0.0.1:1").unwrap();
    let instances = InstanceName::ALL.map(|name| Instance {
        name,
        public_url: public_url.clone(),
        ii_url: url.clone(),
        ii_canister: ::candid::Principal::anonymous(),
        handshake: crate::instance::Handshake::RegistrationDelegation,
        scopes: crate::scope::Scopes::NONE,
    });
    Config {
        public_url,
        listen: "127.0.0.1:0".parse().unwrap(),
        tls: None,
        trusted_proxies: Vec::new(),
        allowed_origins: Vec::new(),
        limits: Limits::default(),
        instances,
        ic_url: url,
        root_key: None,
        signer: Link {
            endpoint: Endpoint::Unix(PathBuf::from("none")),
            ca: PathBuf::new(),
            cert: PathBuf::new(),
            key: PathBuf::new(),
        },
        state_dir: PathBuf::new(),
        redirect_prefixes: Vec::new(),
        clients_file: None,
        device_grant: true,
        client_documents: true,
        repair_protocol_header: false,
        introspection_clients_file: None,
        services: crate::config::Services::default(),
        tools: crate::mcp::Served::default(),
        dev: false,
    }
}

/// What the handler below was made to do, seen from outside.
#[derive(Default)]
struct Observed {
    calls: AtomicUsize,
    waiting: AtomicUsize,
    dropped: AtomicUsize,
    produced: AtomicUsize,
    events: Mutex<Option<mpsc::Receiver<Bytes>>>,
}

/// Counts when it is dropped: the handler's future or the answer's body was cancelled or ended.
struct CountsDrop(Arc<Observed>);

impl Drop for CountsDrop {
    fn drop(&mut self) {
        self.0.dropped.fetch_add(1, Ordering::SeqCst);
    }
}

struct Behaviours(Arc<Observed>);

impl Handler for Behaviours {
    fn call(&self, request: body::Request) -> Pin<Box<dyn Future<Output = Response> + Send + '_>> {
        Box::pin(self.answer(request))
    }
}

impl Behaviours {
    async fn answer(&self, request: body::Request) -> Response {
        self.0.calls.fetch_add(1, Ordering::SeqCst);
        let path = request.uri().path().to_owned();
        match path.as_str() {
            "/hello" => Response::new(body::full("hello")),
            "/none" => {
                let mut response = Response::new(body::empty());
                *response.status_mut() = http::StatusCode::NO_CONTENT;
                response
            }
            "/peer" => {
                let peer = request.extensions().get::<Peer>().unwrap();
                Response::new(body::full(format!("{} {}", peer.address, peer.https)))
            }
            "/echo" => match body::read(request.into_body(), usize::MAX).await {
                Ok(bytes) => Response::new(body::full(bytes)),
                Err(error) => Response::new(body::full(format!("unexpected: {error}"))),
            },
            "/stream" => Response::new(request.into_body()),
            "/ignore" => Response::new(body::full("ignored")),
            "/events" => {
                let events = self.0.events.lock().unwrap().take().unwrap();
                Response::new(self.stream(events))
            }
            "/flood" => {
                let observed = Arc::clone(&self.0);
                let guard = CountsDrop(Arc::clone(&self.0));
                let chunks = stream::repeat_with(move || {
                    let _held = &guard;
                    observed.produced.fetch_add(16 << 10, Ordering::SeqCst);
                    Ok::<_, BodyError>(Frame::data(Bytes::from_static(&[b'x'; 16 << 10])))
                });
                Response::new(StreamBody::new(chunks).boxed_unsync())
            }
            "/broken" => {
                let pieces = [
                    Ok(Frame::data(Bytes::from_static(b"half"))),
                    Err(BodyError::Disconnected),
                ];
                Response::new(StreamBody::new(stream::iter(pieces)).boxed_unsync())
            }
            "/wait" => {
                let _guard = CountsDrop(Arc::clone(&self.0));
                self.0.waiting.fetch_add(1, Ordering::SeqCst);
                std::future::pending().await
            }
            "/panic" => panic!("asked to"),
            _ => {
                let mut response = Response::new(body::empty());
                *response.status_mut() = http::StatusCode::NOT_FOUND;
                response
            }
        }
    }

    fn stream(&self, events: mpsc::Receiver<Bytes>) -> Body {
        let guard = CountsDrop(Arc::clone(&self.0));
        let frames = stream::unfold((events, guard), |(mut events, guard)| async {
            let event = events.recv().await?;
            Some((Ok::<_, BodyError>(Frame::data(event)), (events, guard)))
        });
        StreamBody::new(frames).boxed_unsync()
    }
}

struct Server {
    address: SocketAddr,
    observed: Arc<Observed>,
    stop: watch::Sender<bool>,
    serving: JoinHandle<Result<(), EdgeError>>,
}

impl Server {
    async fn start(limits: Limits) -> Self {
        Self::with(config(), limits).await
    }

    async fn with(config: Config, limits: Limits) -> Self {
        let observed = Arc::new(Observed::default());
        let handler = Arc::new(Behaviours(Arc::clone(&observed)));
        let (stop, stopping) = watch::channel(false);
        let (ready, bound) = tokio::sync::oneshot::channel();
        let serving = tokio::spawn(async move {
            serve(&config, limits, handler, stopping, |address| {
                ready.send(address).unwrap();
            })
            .await
        });
        Self {
            address: timeout(PATIENCE, bound).await.unwrap().unwrap(),
            observed,
            stop,
            serving,
        }
    }

    fn events(&self) -> mpsc::Sender<Bytes> {
        let (sender, receiver) = mpsc::channel(1);
        *self.observed.events.lock().unwrap() = Some(receiver);
        sender
    }

    async fn connect(&self) -> Raw<TcpStream> {
        Raw::new(TcpStream::connect(self.address).await.unwrap())
    }

    /// Sends `request` on a new connection and reads until the server closes it.
    async fn exchange(&self, request: impl AsRef<[u8]>) -> String {
        let mut raw = self.connect().await;
        raw.send(request).await;
        raw.rest().await
    }
}

/// A connection spoken to byte by byte.
struct Raw<S> {
    stream: S,
    read: Vec<u8>,
}

impl<S: AsyncRead + tokio::io::AsyncWrite + Unpin> Raw<S> {
    fn new(stream: S) -> Self {
        Self {
            stream,
            read: Vec::new(),
        }
    }

    async fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// Reads until `text` has come, and returns everything up to its end.
    async fn until(&mut self, text: &str) -> String {
        let reading = async {
            loop {
                let found = self
                    .read
                    .windows(text.len())
                    .position(|window| window == text.as_bytes());
                if let Some(position) = found {
                    let rest = self.read.split_off(position + text.len());
                    return std::mem::replace(&mut self.read, rest);
                }
                let count = self.stream.read_buf(&mut self.read).await.unwrap();
                assert!(count > 0, "closed before {text:?}: {:?}", self.text());
            }
        };
        let read = timeout(PATIENCE, reading).await;
        String::from_utf8(read.expect("the text did not come")).unwrap()
    }

    /// Reads until the server closes the connection, in whatever way.
    async fn rest(&mut self) -> String {
        let reading = async {
            while let Ok(count) = self.stream.read_buf(&mut self.read).await {
                if count == 0 {
                    break;
                }
            }
        };
        timeout(PATIENCE, reading)
            .await
            .expect("the connection stays open");
        self.text()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.read).into_owned()
    }
}

/// Waits until `condition` holds.
async fn eventually(what: &str, condition: impl Fn() -> bool) {
    let polling = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(PATIENCE, polling).await.expect(what);
}

fn count(counter: &AtomicUsize) -> usize {
    counter.load(Ordering::SeqCst)
}
