use std::path::Path;

use http::{Method, Request, StatusCode, Version};
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rcgen::{CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use rustls_pki_types::ServerName;
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::*;

/// A private CA whose certificate the test client trusts.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        Self {
            issuer: CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap(),
            folder: tempfile::tempdir().unwrap(),
        }
    }

    fn files(&self) -> TlsFiles {
        TlsFiles {
            cert: self.folder.path().join("edge.pem"),
            key: self.folder.path().join("edge.key"),
        }
    }

    /// Puts a new pair in place and returns the certificate.
    fn issue(&self) -> Vec<u8> {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        self.put(&self.files().cert, &certificate.pem());
        self.put(&self.files().key, &key.serialize_pem());
        certificate.der().to_vec()
    }

    fn put(&self, path: &Path, content: &str) {
        let unfinished = path.with_extension("new");
        std::fs::write(&unfinished, content).unwrap();
        std::fs::rename(&unfinished, path).unwrap();
    }

    async fn server(&self, limits: Limits) -> Server {
        let mut config = config();
        config.tls = Some(self.files());
        config.public_url = PublicUrl::parse("https://localhost").unwrap();
        Server::with(config, limits).await
    }

    async fn connect(&self, server: &Server, protocol: &str) -> TlsStream<TcpStream> {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).unwrap();
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = vec![protocol.as_bytes().to_vec()];
        let tcp = TcpStream::connect(server.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, tcp)
            .await
            .unwrap()
    }

    async fn http2(&self, server: &Server) -> http2::SendRequest<Full<Bytes>> {
        let stream = TokioIo::new(self.connect(server, "h2").await);
        let (sender, connection) = http2::handshake(TokioExecutor::new(), stream)
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn presented(&self, server: &Server) -> Vec<u8> {
        let stream = self.connect(server, "http/1.1").await;
        stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
    }
}

fn request(method: Method, path: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::builder()
        .method(method)
        .version(Version::HTTP_2)
        .uri(format!("https://localhost{path}"))
        .body(Full::new(body.into()))
        .unwrap()
}

async fn text(response: http::Response<hyper::body::Incoming>) -> String {
    let body = response.into_body().collect().await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

#[tokio::test]
async fn both_versions_of_http_are_spoken_over_tls() {
    let authority = Authority::new();
    authority.issue();
    let server = authority.server(Limits::default()).await;
    let mut raw = Raw::new(authority.connect(&server, "http/1.1").await);
    raw.send("GET /peer HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    raw.until("127.0.0.1 true").await;

    let mut http2 = authority.http2(&server).await;
    let echoed = http2
        .send_request(request(Method::POST, "/echo", "over two"))
        .await
        .unwrap();
    assert_eq!(echoed.headers()["content-length"], "8");
    assert_eq!(text(echoed).await, "over two");
    let head = http2
        .send_request(request(Method::HEAD, "/hello", ""))
        .await
        .unwrap();
    assert_eq!(head.headers()["content-length"], "5");
    assert_eq!(text(head).await, "");
    let none = http2
        .send_request(request(Method::GET, "/none", ""))
        .await
        .unwrap();
    assert_eq!(none.status(), StatusCode::NO_CONTENT);
    let panicked = http2
        .send_request(request(Method::GET, "/panic", ""))
        .await
        .unwrap();
    assert_eq!(panicked.status(), StatusCode::INTERNAL_SERVER_ERROR);
    let large = "0123456789abcdef".repeat(20_000);
    let echoed = http2
        .send_request(request(Method::POST, "/stream", large.clone()))
        .await
        .unwrap();
    assert_eq!(text(echoed).await, large);
}

#[tokio::test]
async fn events_stream_and_leaving_cancels_over_http2() {
    let authority = Authority::new();
    authority.issue();
    let server = authority.server(Limits::default()).await;
    let observed = Arc::clone(&server.observed);
    let mut http2 = authority.http2(&server).await;

    let events = server.events();
    let mut response = http2
        .send_request(request(Method::GET, "/events", ""))
        .await
        .unwrap();
    for number in 0..3 {
        events
            .send(format!("data: {number}\n\n").into())
            .await
            .unwrap();
        let frame = timeout(PATIENCE, response.body_mut().frame())
            .await
            .unwrap()
            .unwrap()
            .unwrap();
        assert_eq!(frame.into_data().unwrap(), format!("data: {number}\n\n"));
    }
    drop(response);
    eventually("the answer is dropped", || count(&observed.dropped) == 1).await;

    let waiting = http2.send_request(request(Method::GET, "/wait", ""));
    let waiting = tokio::spawn(waiting);
    eventually("the handler runs", || count(&observed.waiting) == 1).await;
    waiting.abort();
    eventually("the handler is dropped", || count(&observed.dropped) == 2).await;

    // The other streams of the connection go on.
    let hello = http2
        .send_request(request(Method::GET, "/hello", ""))
        .await
        .unwrap();
    assert_eq!(text(hello).await, "hello");
}

#[tokio::test]
async fn http2_bodies_have_the_same_limits() {
    let authority = Authority::new();
    authority.issue();
    let limits = Limits {
        body_bytes: 10_000,
        header_bytes: 4096,
        ..Limits::default()
    };
    let server = authority.server(limits).await;
    let mut http2 = authority.http2(&server).await;
    let large = request(Method::POST, "/echo", vec![b'x'; 10_001]);
    let response = http2.send_request(large).await.unwrap();
    assert_eq!(response.status(), StatusCode::PAYLOAD_TOO_LARGE);
    let mut headed = request(Method::GET, "/hello", "");
    headed
        .headers_mut()
        .insert("x", "y".repeat(6000).parse().unwrap());
    match http2.send_request(headed).await {
        Ok(response) => assert_eq!(
            response.status(),
            StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE
        ),
        Err(error) => assert!(!error.is_timeout(), "{error}"),
    }
    assert_eq!(count(&server.observed.calls), 0);
}

#[tokio::test]
async fn silence_before_and_after_the_handshake_is_cut() {
    let authority = Authority::new();
    authority.issue();
    let limits = Limits {
        header_time: Duration::from_millis(400),
        ..Limits::default()
    };
    let server = authority.server(limits).await;
    assert_eq!(server.connect().await.rest().await, "");
    for protocol in ["h2", "http/1.1"] {
        let mut raw = Raw::new(authority.connect(&server, protocol).await);
        raw.rest().await;
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_up_without_touching_connections() {
    let authority = Authority::new();
    let first = authority.issue();
    let server = authority.server(Limits::default()).await;
    assert_eq!(authority.presented(&server).await, first);

    let mut open = Raw::new(authority.connect(&server, "http/1.1").await);
    let second = authority.issue();
    let changed = async {
        while authority.presented(&server).await != second {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    timeout(PATIENCE, changed)
        .await
        .expect("the new certificate is not used");
    // Connections that stand are not touched.
    open.send("GET /hello HTTP/1.1\r\nhost: localhost\r\n\r\n")
        .await;
    open.until("hello").await;
}

#[test]
fn a_broken_pair_leaves_the_old_one_in_place() {
    let authority = Authority::new();
    authority.issue();
    let certificate = super::super::tls::Certificate::open(&authority.files()).unwrap();
    let before = certificate.current();
    authority.put(
        &authority.files().key,
        &KeyPair::generate().unwrap().serialize_pem(),
    );
    certificate.reload();
    assert!(Arc::ptr_eq(&before, &certificate.current()));
    authority.put(&authority.files().cert, "not a certificate");
    certificate.reload();
    assert!(Arc::ptr_eq(&before, &certificate.current()));
    let opened = super::super::tls::Certificate::open(&authority.files());
    assert!(matches!(opened, Err(EdgeError::Certificate { .. })));

    authority.issue();
    certificate.reload();
    assert!(!Arc::ptr_eq(&before, &certificate.current()));
}
