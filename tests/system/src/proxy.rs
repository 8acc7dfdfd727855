//! A loopback proxy between clients and a gateway: writes down what the clients ask for, and can sign them in.

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
use tokio::{net::TcpListener, task::JoinHandle};

use crate::free_port;

const MAX_BODY: usize = 8 << 20;

/// A running proxy. The gateway behind it is told that the proxy's address is its own, so that nothing differs for
/// clients but who is in between.
#[derive(Debug)]
pub struct Proxy {
    port: u16,
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
}

type Answer = Response<http_body_util::Either<Incoming, Full<Bytes>>>;

impl Proxy {
    /// Begins to listen; the gateway may come later.
    ///
    /// # Panics
    /// When no port can be bound.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, free_port()))
            .await
            .expect("a free loopback port");
        let port = listener.local_addr().expect("a bound address").port();
        let gateway_port = free_port();
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let shared = Arc::new(Shared {
            gateway: (Ipv4Addr::LOCALHOST, gateway_port).into(),
            bearer: Mutex::default(),
            passed: Mutex::default(),
            client: Client::builder(TokioExecutor::new()).build(connector),
        });
        let serving = tokio::spawn(serve(listener, Arc::clone(&shared)));
        Self {
            port,
            gateway_port,
            shared,
            serving,
        }
    }

    /// `http://127.0.0.1:PORT`
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Where the gateway has to listen.
    pub(crate) fn gateway_port(&self) -> u16 {
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
            let service = service_fn(|request| pass(&shared, request));
            let _ = http1::Builder::new()
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
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
