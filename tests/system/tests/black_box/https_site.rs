//! An https site on loopback, for what takes no other scheme.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};

use icgate_system::Authority;
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::TlsAcceptor;

/// Finished answers by path.
type Answers = Arc<Mutex<HashMap<&'static str, String>>>;

/// The site, until this is dropped.
pub(crate) struct HttpsSite {
    origin: String,
    ca: String,
    answers: Answers,
    _dir: TempDir,
    serving: JoinHandle<()>,
}

/// One of its documents.
pub(crate) struct Document {
    pub(crate) path: &'static str,
    pub(crate) content_type: &'static str,
    /// Further header lines, each with its line end.
    pub(crate) headers: String,
    pub(crate) body: String,
}

impl HttpsSite {
    /// A site that has no documents yet.
    pub(crate) async fn start() -> Self {
        let authority = Authority::own();
        let dir = tempfile::tempdir().expect("a temporary directory");
        let ca = dir.path().join("ca.pem");
        std::fs::write(&ca, authority.pem()).expect("the root certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("a bound address").port();
        let acceptor = TlsAcceptor::from(authority.server("127.0.0.1"));
        let answers = Answers::default();
        let served = Arc::clone(&answers);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(acceptor.clone(), stream, Arc::clone(&served)));
            }
        });
        Self {
            origin: format!("https://127.0.0.1:{port}"),
            ca: ca.display().to_string(),
            answers,
            _dir: dir,
            serving,
        }
    }

    /// Serves a document from now on.
    pub(crate) fn serve(&self, document: Document) {
        let mut answers = self.answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.insert(document.path, document.answer());
    }

    /// `https://127.0.0.1:PORT`
    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The PEM file of the root that the site's certificate chains to.
    pub(crate) fn ca(&self) -> &str {
        &self.ca
    }
}

impl Drop for HttpsSite {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Document {
    fn answer(self) -> String {
        format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {}\r\ncontent-length: {}\r\n{}connection: close\r\n\r\n{}",
            self.content_type,
            self.body.len(),
            self.headers,
            self.body
        )
    }
}

async fn serve(acceptor: TlsAcceptor, stream: TcpStream, answers: Answers) {
    const MISSING: &str =
        "HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    let Ok(mut stream) = acceptor.accept(stream).await else {
        return;
    };
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    let path = head.split(' ').nth(1).unwrap_or_default();
    let answer = {
        let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
        answers.get(path).map_or(MISSING, String::as_str).to_owned()
    };
    let _ = stream.write_all(answer.as_bytes()).await;
    let _ = stream.shutdown().await;
}
