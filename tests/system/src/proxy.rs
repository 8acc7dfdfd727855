//! A proxy on this machine between clients and a gateway: writes down what the clients ask for, can sign them in, and
//! can speak https to them.

use std::{
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, Mutex, PoisonError},
};

use http_body_util::{BodyExt, Full, Limited};
use hyper::{
    Request, Response, StatusCode,
    body::{Bytes, Incoming},
    header::{AUTHORIZATION, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use rustls::ServerConfig;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

use crate::{Authority, free_port};

const MAX_BODY: usize = 8 << 20;
/// An address of this machine that the gateway does not take for one of its loopback names: for it this is the world.
const WORLD: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 2);
/// Where the https proxy says that everybody asks from.
const CALLER: HeaderValue = HeaderValue::from_static("203.0.113.9");

/// A running proxy. The gateway behind it is told that the proxy's address is its own, so that nothing differs for
/// clients but who is in between.
#[derive(Debug)]
pub struct Proxy {
    url: String,
    gateway_port: u16,
    shared: Arc<Shared>,
    serving: JoinHandle<()>,
}

/// One request that passed.
#[derive(Debug, Clone)]
pub struct Passed {
    /// HTTP method.
    pub method: String,
    /// Path without the query.
    pub path: String,
    /// The query, undecoded; empty when there is none.
    pub query: String,
    /// The body as text.
    pub body: String,
    /// Whether the client itself brought an Authorization header.
    pub authorized: bool,
    /// Status of the answer.
    pub status: u16,
}

#[derive(Debug)]
struct Shared {
    gateway: SocketAddr,
    bearer: Mutex<Option<HeaderValue>>,
    passed: Mutex<Vec<Passed>>,
    client: Client<HttpConnector, Full<Bytes>>,
    tls: Option<Arc<ServerConfig>>,
}

type Answer = Response<http_body_util::Either<Incoming, Full<Bytes>>>;

impl Proxy {
    /// Begins to listen; the gateway may come later.
    ///
    /// # Panics
    /// When no port can be bound.
    pub async fn start() -> Self {
        Self::start_at("http", Ipv4Addr::LOCALHOST, None).await
    }

    /// The same where clients speak https, which the gateway is told in `X-Forwarded-*`.
    ///
    /// # Panics
    /// When no port can be bound.
    pub async fn start_https() -> Self {
        let tls = Authority::own().server(&WORLD.to_string());
        Self::start_at("https", WORLD, Some(tls)).await
    }

    async fn start_at(scheme: &str, address: Ipv4Addr, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind((address, free_port()))
            .await
            .expect("a free loopback port");
        let address = listener.local_addr().expect("a bound address");
        let gateway_port = free_port();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let shared = Arc::new(Shared {
            gateway: (Ipv4Addr::LOCALHOST, gateway_port).into(),
            bearer: Mutex::default(),
            passed: Mutex::default(),
            client: Client::builder(TokioExecutor::new()).build(connector),
            tls,
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            url: format!("{scheme}://{address}"),
            gateway_port,
            shared,
            serving,
        }
    }

    /// `http://127.0.0.1:PORT`, or an https one.
    pub fn url(&self) -> String {
        self.url.clone()
    }

    /// Where the gateway has to listen.
    pub fn gateway_port(&self) -> u16 {
        self.gateway_port
    }

    /// From now on every request that brings no token is given this one.
    ///
    /// # Panics
    /// When it is no header value.
    pub fn sign_in(&self, access_token: &str) {
        let value = HeaderValue::try_from(format!("Bearer {access_token}")).expect("a token");
        *lock(&self.shared.bearer) = Some(value);
    }

    /// What passed so far, in the order of the answers.
    pub fn passed(&self) -> Vec<Passed> {
        lock(&self.shared.passed).clone()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, shared: Arc<Shared>) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            match &shared.tls {
                None => speak(stream, &shared).await,
                Some(tls) => {
                    if let Ok(stream) = TlsAcceptor::from(Arc::clone(tls)).accept(stream).await {
                        speak(stream, &shared).await;
                    }
                }
            }
        });
    }
}

async fn speak(stream: impl AsyncRead + AsyncWrite + Unpin, shared: &Shared) {
    let service = service_fn(|request| pass(shared, request));
    let _ = http1::Builder::new()
        .serve_connection(TokioIo::new(stream), service)
        .await;
}

async fn pass(shared: &Shared, request: Request<Incoming>) -> Result<Answer, hyper::Error> {
    let (mut parts, body) = request.into_parts();
    let Ok(body) = Limited::new(body, MAX_BODY).collect().await else {
        return Ok(plain(StatusCode::PAYLOAD_TOO_LARGE));
    };
    let body = body.to_bytes();
    let authorized = parts.headers.contains_key(AUTHORIZATION);
    if !authorized && let Some(bearer) = lock(&shared.bearer).clone() {
        parts.headers.insert(AUTHORIZATION, bearer);
    }
    if shared.tls.is_some() {
        let told = &mut parts.headers;
        told.insert("x-forwarded-for", CALLER);
        told.insert("x-forwarded-proto", HeaderValue::from_static("https"));
    }
    let mut passed = Passed {
        method: parts.method.to_string(),
        path: parts.uri.path().to_owned(),
        query: parts.uri.query().unwrap_or_default().to_owned(),
        body: String::from_utf8_lossy(&body).into_owned(),
        authorized,
        status: 0,
    };
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
    parts.uri = format!("http://{}{path}", shared.gateway)
        .parse()
        .unwrap_or_default();
    let answer = shared
        .client
        .request(Request::from_parts(parts, Full::new(body)))
        .await;
    let answer = match answer {
        Ok(answer) => answer.map(http_body_util::Either::Left),
        Err(_) => plain(StatusCode::BAD_GATEWAY),
    };
    passed.status = answer.status().as_u16();
    lock(&shared.passed).push(passed);
    Ok(answer)
}

fn plain(status: StatusCode) -> Answer {
    let mut answer = Response::new(http_body_util::Either::Right(Full::default()));
    *answer.status_mut() = status;
    answer
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
