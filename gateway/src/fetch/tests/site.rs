use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// What the site answers at one path.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    status: String,
    headers: String,
    body: Vec<u8>,
    length: bool,
    manner: Manner,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Manner {
    Prompt,
    /// The head and then nothing, with the connection open.
    Stuck,
    /// Nothing at all, with the connection open.
    Silent,
}

impl Page {
    pub(crate) fn new(status: &str, content_type: &str, body: impl AsRef<[u8]>) -> Self {
        let page = Self {
            status: status.to_owned(),
            headers: String::new(),
            body: body.as_ref().to_vec(),
            length: true,
            manner: Manner::Prompt,
        };
        page.header("content-type", content_type)
    }

    pub(crate) fn json(body: &str) -> Self {
        Self::new("200 OK", "application/json", body)
    }

    pub(crate) fn silent() -> Self {
        Self {
            manner: Manner::Silent,
            ..Self::json("")
        }
    }

    pub(crate) fn stuck(self) -> Self {
        Self {
            manner: Manner::Stuck,
            ..self
        }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers += &format!("{name}: {value}\r\n");
        self
    }

    pub(crate) fn without_length(self) -> Self {
        Self {
            length: false,
            ..self
        }
    }

    fn head(&self) -> String {
        let length = if self.length {
            format!("content-length: {}\r\n", self.body.len())
        } else {
            String::new()
        };
        format!(
            "HTTP/1.1 {}\r\n{}{length}connection: close\r\n\r\n",
            self.status, self.headers
        )
    }
}

#[derive(Debug, Default)]
struct Seen {
    pages: HashMap<String, Page>,
    connections: usize,
    requests: Vec<String>,
}

/// A web site on loopback.
#[derive(Debug)]
pub(crate) struct Site {
    port: u16,
    seen: Arc<Mutex<Seen>>,
    serving: JoinHandle<()>,
}

impl Site {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::<Mutex<Seen>>::default();
        let serving = tokio::spawn({
            let seen = Arc::clone(&seen);
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    seen.lock().unwrap().connections += 1;
                    tokio::spawn(answer(stream, Arc::clone(&seen)));
                }
            }
        });
        Self {
            port,
            seen,
            serving,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn put(&self, path: &str, page: Page) {
        self.seen().pages.insert(path.to_owned(), page);
    }

    pub(crate) fn connections(&self) -> usize {
        self.seen().connections
    }

    pub(crate) fn requests(&self) -> usize {
        self.seen().requests.len()
    }

    pub(crate) fn last_request(&self) -> String {
        self.seen().requests.last().cloned().unwrap_or_default()
    }

    /// Waits until so many requests have come.
    pub(crate) async fn has_requests(&self, count: usize) {
        for _ in 0..1_000 {
            if self.requests() >= count {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("only {} of {count} requests came", self.requests());
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn answer(mut stream: TcpStream, seen: Arc<Mutex<Seen>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) if head.len() < 16_384 => head.push(byte),
            _ => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let path = head.split(' ').nth(1).unwrap().to_owned();
    let page = {
        let mut seen = seen.lock().unwrap();
        seen.requests.push(head);
        seen.pages.get(&path).cloned()
    };
    let page = page.unwrap_or_else(|| Page::new("404 Not Found", "text/plain", "no"));
    // The other side may hang up in the middle: that is its business.
    let mut rest = [0; 64];
    match page.manner {
        Manner::Silent => drop(stream.read(&mut rest).await),
        Manner::Stuck => {
            let _ = stream.write_all(page.head().as_bytes()).await;
            drop(stream.read(&mut rest).await);
        }
        Manner::Prompt => {
            let _ = stream.write_all(page.head().as_bytes()).await;
            let _ = stream.write_all(&page.body).await;
        }
    }
}
