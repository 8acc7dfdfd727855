//! Clients that describe themselves with a metadata document instead of registering, and what could be done with a
//! server that fetches addresses it is given.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use icgate_system::{Browser, Client, Consent, Era, Instance, REDIRECT_URI, Stack, http_client};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A web site on loopback that answers given paths with given bytes.
struct Site {
    base: String,
    requests: Arc<AtomicUsize>,
    serving: JoinHandle<()>,
}

/// An answer; without one the site takes the request and stays silent.
type Pages = HashMap<&'static str, Option<String>>;

impl Site {
    /// Starts it; the pages may depend on its address.
    async fn start(pages: impl FnOnce(&str) -> Pages) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let base = format!("http://{address}");
        let pages = Arc::new(pages(&base));
        let requests = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&requests);
        let serving = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                counter.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(stream, Arc::clone(&pages)));
            }
        });
        Self {
            base,
            requests,
            serving,
        }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(mut stream: TcpStream, pages: Arc<Pages>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") && head.len() < 16_384 {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8_lossy(&head);
    match pages.get(head.split(' ').nth(1).unwrap_or_default()) {
        // The gateway hangs up on what it does not want, also in the middle.
        Some(Some(answer)) => drop(stream.write_all(answer.as_bytes()).await),
        Some(None) => drop(stream.read_u8().await),
        None => drop(
            stream
                .write_all(answer("404 Not Found", "", "").as_bytes())
                .await,
        ),
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    )
}

fn json_page(body: &str) -> Option<String> {
    Some(answer("200 OK", "content-type: application/json\r\n", body))
}

/// Loopback redirects stand in such documents without a port.
fn document(client_id: &str) -> Value {
    json!({
        "client_id": client_id,
        "client_name": "described test",
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    })
}

fn client(stack: &Stack, instance: Instance, client_id: &str) -> Client {
    Client {
        server: stack.auth_server(instance),
        client_id: client_id.to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
    }
}

/// What the authorization endpoint says to a program that opens a client's link.
async fn refusal(stack: &Stack, client_id: &str) -> (StatusCode, String) {
    let url = client(stack, Instance::Beta, client_id).authorization().url;
    let answer = http_client().get(url).send().await.expect("an answer");
    assert!(
        !answer.headers().contains_key(header::LOCATION),
        "{client_id}: nothing is sent to an address nobody vouches for"
    );
    let status = answer.status();
    let body: Value = answer.json().await.expect("JSON");
    (
        status,
        body["error"].as_str().unwrap_or_default().to_owned(),
    )
}

#[tokio::test]
async fn a_described_client_signs_in_and_lists_tools() {
    let stack = Stack::start().await;
    let site = Site::start(|base| {
        let body = document(&format!("{base}/client.json")).to_string();
        [("/client.json", json_page(&body))].into()
    })
    .await;
    for (instance, era) in [(Instance::Beta, Era::Modern), (Instance::Prod, Era::Legacy)] {
        let client = client(&stack, instance, &site.url("/client.json"));
        let mut browser = Browser::new();
        let page = browser.get(&client.authorization().url).await;
        assert!(page.body.contains("described test"), "{}", page.body);
        let code = client
            .authorize(&mut browser, &stack.devnet, &Consent::default())
            .await;
        let tokens = client.redeem(&code).await;
        let tokens = client.refreshed(&tokens.refresh_token).await;
        let agent = stack.mcp(instance, era, &tokens.access_token);
        agent.open().await;
        let tools = agent.tools().await;
        assert!(tools.iter().any(|tool| tool["name"] == "call_canister"));
    }
    assert_eq!(site.requests(), 1, "the document is remembered");
}

#[tokio::test]
async fn ssrf_into_private_networks_is_refused() {
    let stack = Stack::start().await;
    for client_id in [
        "http://10.0.0.1/client.json",
        "http://172.16.0.1/client.json",
        "http://192.168.0.1:8080/client.json",
        "http://100.64.0.1/client.json",
        "http://169.254.169.254/latest/meta-data/",
        "http://0.0.0.0/client.json",
        "http://[fd00::1]/client.json",
        "http://[fe80::1]/client.json",
        "http://[64:ff9b::a00:1]/client.json",
        "http://[2002:a00:1::]/client.json",
        "http://[2001:0:a00:1::]/client.json",
        "http://[::ffff:a00:1]/client.json",
        "https://10.0.0.1/client.json",
        "ftp://10.0.0.1/client.json",
        "file:///etc/passwd",
    ] {
        let started = Instant::now();
        let found = refusal(&stack, client_id).await;
        let expected = (StatusCode::BAD_REQUEST, "invalid_client".to_owned());
        assert_eq!(found, expected, "{client_id}");
        // Nobody tried to connect there.
        assert!(started.elapsed() < Duration::from_secs(3), "{client_id}");
    }
}

#[tokio::test]
async fn documents_that_break_a_rule_are_refused() {
    let stack = Stack::start().await;
    let site = Site::start(|base| {
        let good = |path: &str| document(&format!("{base}{path}")).to_string();
        let kind = "content-type: application/json\r\n";
        let redirect = format!("{kind}location: {base}/good\r\n");
        let hosted = document(&format!("{base}/hosted")).to_string();
        let hosted = hosted.replace("http://127.0.0.1/callback", "https://evil.example/cb");
        [
            ("/good", json_page(&good("/good"))),
            (
                "/redirect",
                Some(answer("302 Found", &redirect, &good("/redirect"))),
            ),
            ("/large", json_page(&(good("/large") + &" ".repeat(9_000)))),
            (
                "/html",
                Some(answer(
                    "200 OK",
                    "content-type: text/html\r\n",
                    &good("/html"),
                )),
            ),
            ("/mismatch", json_page(&good("/good"))),
            ("/hosted", json_page(&hosted)),
            ("/nonsense", json_page("nonsense")),
        ]
        .into()
    })
    .await;
    for path in [
        "/redirect",
        "/large",
        "/html",
        "/mismatch",
        "/hosted",
        "/nonsense",
        "/missing",
    ] {
        let found = refusal(&stack, &site.url(path)).await;
        let expected = (StatusCode::BAD_REQUEST, "invalid_client".to_owned());
        assert_eq!(found, expected, "{path}");
    }
    assert_eq!(site.requests(), 7, "no redirect was followed");
    let mut browser = Browser::new();
    let good = client(&stack, Instance::Beta, &site.url("/good"));
    let page = browser.get(&good.authorization().url).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
}

#[tokio::test]
async fn a_slow_or_failing_site_is_told_apart_and_costs_a_retry() {
    let stack = Stack::start().await;
    let site = Site::start(|_| {
        let failing = answer("503 Later", "content-type: application/json\r\n", "{}");
        [("/slow", None), ("/failing", Some(failing))].into()
    })
    .await;
    for path in ["/slow", "/failing"] {
        let started = Instant::now();
        let found = refusal(&stack, &site.url(path)).await;
        let expected = (
            StatusCode::SERVICE_UNAVAILABLE,
            "temporarily_unavailable".to_owned(),
        );
        assert_eq!(found, expected, "{path}");
        assert!(started.elapsed() < Duration::from_secs(15), "{path}");
    }
    let before = site.requests();
    refusal(&stack, &site.url("/failing")).await;
    assert_eq!(
        site.requests(),
        before + 1,
        "a failure of the moment is not remembered"
    );
}
