//! Chromium on the pages a person sees: what their scripts do, and that their policies let them. `tests/run`
//! installs it. Screenshots stay in cargo's target directory, under `screenshots`, a folder for each instance.

use std::{fs, time::Duration};

use icgate_system::{Call, Client, Device, Era, Handshake, Instance, Stack, binary};
use serde::Deserialize;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::mpsc,
};
use url::Url;

use crate::{APP, clients::node, oracles::person};

const BOUND: Duration = Duration::from_secs(90);
/// Longest request head the client reads, in bytes.
const MAX_HEAD: u64 = 16 * 1024;

/// What the browser tells of a journey; a journey has only some of it.
#[derive(Debug, Deserialize)]
struct Outcome {
    /// Errors and warnings of all pages, violations of their policies among them.
    console: Vec<String>,
    /// Every origin that something was asked of.
    origins: Vec<String>,
    shots: Vec<Shot>,
    /// The address the browser brought to the client.
    arrived: Option<Url>,
    redeem: Option<Redeem>,
    #[serde(default)]
    history: Vec<String>,
    refused: Option<Refused>,
    empty: Option<Refused>,
    text: Option<String>,
    form: Option<bool>,
    called_back: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct Shot {
    name: String,
    too_wide: bool,
}

/// What the callback page's tab knew while the delegation was on its way.
#[derive(Debug, Deserialize)]
struct Redeem {
    address: String,
    history: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct Refused {
    text: String,
    retry: bool,
    address: String,
}

/// A person with a browser in front of a stack, and a client that waits at its loopback address.
struct Walk {
    stack: Stack,
    client: Client,
    visits: mpsc::Receiver<String>,
}

impl Walk {
    async fn start(instance: Instance) -> Self {
        Self::before(Stack::start().await, instance).await
    }

    async fn by_key_request(instance: Instance) -> Self {
        let stack = Stack::start_by(Handshake::KeyRequest).await;
        Self::before(stack, instance).await
    }

    async fn before(stack: Stack, instance: Instance) -> Self {
        let (address, visits) = listen().await;
        let client = Client::register_at(stack.auth_server(instance), &address).await;
        Self {
            stack,
            client,
            visits,
        }
    }

    async fn take(&self, journey: &str) -> Outcome {
        let start = self.client.authorization().url;
        self.take_from(journey, &start).await
    }

    async fn take_from(&self, journey: &str, start: &Url) -> Outcome {
        let screenshots = binary("icgate");
        let screenshots = screenshots
            .ancestors()
            .nth(2)
            .expect("the target directory");
        let instance = format!("{:?}", self.client.server.instance()).to_lowercase();
        let screenshots = screenshots.join("screenshots").join(instance);
        fs::create_dir_all(&screenshots).expect("a directory for screenshots");
        let (mut command, _dir) = node("browser", &["sign_in.mjs"]);
        command
            .arg(journey)
            .arg(start.as_str())
            .arg(&self.client.redirect_uri)
            .arg(screenshots)
            .kill_on_drop(true);
        person(&mut command, &self.stack, self.client.server.instance());
        let output = tokio::time::timeout(BOUND, command.output())
            .await
            .expect("the browser ends in time")
            .expect("node starts");
        let (printed, log) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{printed}\n{log}");
        let outcome: Outcome = serde_json::from_str(printed.trim())
            .unwrap_or_else(|error| panic!("{error}\n{printed}\n{log}"));
        self.assert_nobody_else_was_asked(&outcome);
        for shot in &outcome.shots {
            assert!(!shot.too_wide, "{} is wider than a phone", shot.name);
        }
        outcome
    }

    /// The same in front of a client that runs elsewhere and says of itself what it likes.
    async fn of_stranger(name: &str) -> Self {
        let mut walk = Self::start(Instance::Beta).await;
        let server = walk.stack.auth_server(Instance::Beta);
        let hosted = "https://claude.ai/api/mcp/auth_callback";
        walk.client = Client::register_as(name, server, hosted).await;
        walk
    }

    fn assert_nobody_else_was_asked(&self, outcome: &Outcome) {
        let ii = match self.client.server.instance() {
            Instance::Beta => self.stack.devnet.ii_url(),
            Instance::Prod => self.stack.devnet.ii_url_prod(),
        };
        let expected = [self.stack.gateway.url(), ii, &self.client.redirect_uri].map(origin);
        for asked in &outcome.origins {
            assert!(expected.contains(asked), "{asked} was asked: {expected:?}");
        }
    }

    /// What the browser sent to the client, once.
    fn visit(&mut self) -> Option<String> {
        self.visits.try_recv().ok()
    }
}

fn origin(url: &str) -> String {
    let url: Url = url.parse().expect("a URL");
    url.origin().ascii_serialization()
}

/// A client's loopback address (RFC 8252, section 7.3), and the head of every request to it.
async fn listen() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let port = listener.local_addr().expect("its address").port();
    let (sender, visits) = mpsc::channel(16);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream, sender.clone()));
        }
    });
    (format!("http://127.0.0.1:{port}/callback"), visits)
}

async fn answer(mut stream: TcpStream, visits: mpsc::Sender<String>) {
    let mut head = Vec::new();
    let (reader, mut writer) = stream.split();
    let mut reader = reader.take(MAX_HEAD);
    while !head.ends_with(b"\r\n\r\n") {
        match reader.read_buf(&mut head).await {
            Ok(0) | Err(_) => return,
            Ok(_) => {}
        }
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let connected = head
        .lines()
        .next()
        .is_some_and(|line| line.contains("code="));
    let told = if connected {
        "Connected"
    } else {
        "Not connected"
    };
    // Browsers look for an icon of any page.
    if head.starts_with("GET /callback") {
        let _ = visits.send(head).await;
    }
    let page = format!(
        "<!doctype html><meta name=viewport content=width=device-width><title>{told}</title><h1>The client: {told}</h1>"
    );
    let reply = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{page}",
        page.len()
    );
    let _ = writer.write_all(reply.as_bytes()).await;
}

/// The whole way; what it gives is good for a call as the person.
async fn signs_in(instance: Instance) {
    let mut walk = Walk::start(instance).await;
    let outcome = walk.take("allow").await;

    assert_eq!(outcome.console, [""; 0]);
    assert_eq!(outcome.origins.len(), 3, "{:?}", outcome.origins);
    assert_eq!(outcome.shots.len(), 2, "{:?}", outcome.shots);

    let redeem = outcome.redeem.expect("the redeem was seen");
    let callback = walk.client.server.endpoint("connect/callback");
    assert_eq!(redeem.address, callback.as_str());
    assert_eq!(redeem.history.last(), Some(&redeem.address));
    for address in redeem.history.iter().chain(&outcome.history) {
        assert!(!address.contains('#'), "{address} is kept");
    }
    assert!(
        !outcome.history.contains(&redeem.address),
        "Back does not lead to a callback page that has nothing to finish: {:?}",
        outcome.history
    );

    let visit = walk.visit().expect("the browser came to the client");
    assert!(!visit.to_lowercase().contains("\r\nreferer:"), "{visit}");
    let arrived = outcome.arrived.expect("the client's address");
    let code = &walk.client.returned(&arrived)["code"];
    let tokens = walk.client.redeem(code).await;
    let stack = &walk.stack;
    let agent = stack.mcp(instance, Era::Modern, &tokens.access_token);
    let app = stack.devnet.canister("app");
    let said = agent
        .call(
            "call_canister",
            Call::update(app, "whoami_update", "()").at(APP).arguments(),
        )
        .await;
    assert!(!said.is_error, "{}", said.text);
}

#[tokio::test]
async fn a_person_signs_in_on_beta() {
    signs_in(Instance::Beta).await;
}

#[tokio::test]
async fn a_person_signs_in_on_prod() {
    signs_in(Instance::Prod).await;
}

#[tokio::test]
async fn a_person_connects_a_browser_makes_a_key_and_says_what_goes_on() {
    let mut walk = Walk::start(Instance::Beta).await;
    let outcome = walk.take("connections").await;
    assert_eq!(outcome.console, [""; 0]);
    let shots: Vec<_> = outcome
        .shots
        .iter()
        .map(|shot| shot.name.as_str())
        .collect();
    assert_eq!(
        shots,
        [
            "browser-sign-in",
            "connections",
            "connections-problem",
            "new-key",
            "question",
            "back-to-app",
            "connections-of-three"
        ]
    );
    let visit = walk.visit().expect("the browser came to the client");
    assert!(!visit.to_lowercase().contains("\r\nreferer:"), "{visit}");
    let arrived = outcome.arrived.expect("the client's address");
    let code = &walk.client.returned(&arrived)["code"];
    let tokens = walk.client.redeem(code).await;
    // The app and the key that was ticked, each by itself.
    let key = outcome.text.expect("the key");
    for token in [&tokens.access_token, &key] {
        let agent = walk.stack.mcp(Instance::Beta, Era::Modern, token);
        agent.principal(APP, None).await;
    }
}

#[tokio::test]
async fn deny_tells_the_client() {
    let mut walk = Walk::start(Instance::Beta).await;
    let outcome = walk.take("deny").await;
    assert_eq!(outcome.console, [""; 0]);
    assert_eq!(outcome.shots.len(), 2, "{:?}", outcome.shots);
    let text = outcome.text.expect("what the consent page says");
    assert!(text.contains("Tick at least one thing"), "{text}");
    let visit = walk.visit().expect("the browser came to the client");
    assert!(!visit.to_lowercase().contains("\r\nreferer:"), "{visit}");
    let arrived = outcome.arrived.expect("the client's address");
    let query = walk.client.returned(&arrived);
    assert_eq!(query["error"], "access_denied");
    assert!(!query.contains_key("code"), "{arrived}");
}

#[tokio::test]
async fn a_strangers_name_stays_text_and_fits_a_phone() {
    let name = format!("<b>Claude</b>{}", "W".repeat(67));
    let walk = Walk::of_stranger(&name).await;
    let outcome = walk.take("stranger").await;
    assert_eq!(outcome.console, [""; 0]);
    assert_eq!(outcome.shots.len(), 1, "{:?}", outcome.shots);
    let text = outcome.text.expect("what the page says");
    for told in [name.as_str(), "claude.ai", "Go on only if you know"] {
        assert!(text.contains(told), "{told}: {text}");
    }
}

#[tokio::test]
async fn cancel_at_internet_identity_completes_nothing() {
    let mut walk = Walk::start(Instance::Beta).await;
    let outcome = walk.take("cancel").await;
    assert_eq!(outcome.console, [""; 0]);
    let text = outcome.text.expect("what the page says");
    assert!(text.contains("Nothing was shared"), "{text}");
    assert_eq!(outcome.form, Some(false), "the choice is gone");
    assert_eq!(outcome.called_back, Some(false));
    assert_eq!(walk.visit(), None);
}

#[tokio::test]
async fn the_link_back_works_only_in_the_browser_that_started() {
    let mut walk = Walk::start(Instance::Beta).await;
    let outcome = walk.take("second_browser").await;
    let refused = outcome.refused.expect("the second browser is refused");
    assert!(refused.text.contains("different browser"), "{refused:?}");
    assert!(!refused.retry, "{refused:?}");
    assert!(!refused.address.contains('#'), "{refused:?}");
    let arrived = outcome.arrived.expect("the first browser goes on");
    assert!(walk.client.returned(&arrived).contains_key("code"));
    assert!(walk.visit().is_some());
    assert_eq!(walk.visit(), None, "the second browser came to the client");
}

#[tokio::test]
async fn a_sign_in_nobody_knows_is_explained() {
    let walk = Walk::start(Instance::Beta).await;
    let outcome = walk.take("unknown_state").await;
    let empty = outcome.empty.expect("a page without a fragment");
    assert!(empty.text.contains("nothing to finish"), "{empty:?}");
    let refused = outcome.refused.expect("a page with an unknown state");
    assert!(refused.text.contains("unknown, too old"), "{refused:?}");
    for shown in [empty, refused] {
        assert!(shown.text.contains("from your app"), "{shown:?}");
        assert!(!shown.retry && !shown.address.contains('#'), "{shown:?}");
    }
}

#[tokio::test]
async fn a_link_that_has_expired_is_explained() {
    let mut walk = Walk::start(Instance::Beta).await;
    let outcome = walk.take("expired_link").await;
    let refused = outcome.refused.expect("the page says what happened");
    assert!(refused.text.contains("has expired"), "{refused:?}");
    assert!(refused.text.contains("from your app"), "{refused:?}");
    assert!(
        !refused.retry && !refused.address.contains('#'),
        "{refused:?}"
    );
    let text = outcome.text.expect("what the error page says");
    assert!(text.contains("This link does not work"), "{text}");
    assert_eq!(outcome.shots.len(), 2, "{:?}", outcome.shots);
    assert_eq!(walk.visit(), None);
}

#[tokio::test]
async fn whoever_comes_by_is_told_how_to_connect() {
    let walk = Walk::start(Instance::Beta).await;
    let outcome = walk.take("info").await;
    assert_eq!(outcome.console, [""; 0]);
    assert_eq!(outcome.origins, [origin(walk.stack.gateway.url())]);
    let text = outcome.text.expect("what the page says");
    let line = format!(
        "claude mcp add --transport http icgate {}",
        walk.stack.mcp_url(Instance::Beta)
    );
    for told in [&line, "Claude.ai", "Cursor", "code --add-mcp", "ChatGPT"] {
        assert!(text.contains(told), "{told}: {text}");
    }
    assert_eq!(outcome.shots.len(), 1, "{:?}", outcome.shots);
}

#[tokio::test]
async fn a_network_that_failed_once_is_tried_again() {
    let walk = Walk::start(Instance::Beta).await;
    let outcome = walk.take("retry").await;
    let refused = outcome.refused.expect("the page says what happened");
    assert!(refused.text.contains("could not be reached"), "{refused:?}");
    assert!(refused.retry, "{refused:?}");
    let arrived = outcome.arrived.expect("the second attempt arrives");
    assert!(walk.client.returned(&arrived).contains_key("code"));
}

#[tokio::test]
async fn a_person_signs_in_by_key_request() {
    let mut walk = Walk::by_key_request(Instance::Beta).await;
    let outcome = walk.take("key_request").await;
    assert_eq!(outcome.console, [""; 0]);
    assert!(walk.visit().is_some(), "the browser came to the client");
    for address in &outcome.history {
        assert!(!address.contains("fs="), "{address} is kept");
    }
    let arrived = outcome.arrived.expect("the client's address");
    let code = &walk.client.returned(&arrived)["code"];
    walk.client.redeem(code).await;
}

#[tokio::test]
async fn the_page_of_the_earlier_handshake_tries_again() {
    let walk = Walk::by_key_request(Instance::Beta).await;
    let outcome = walk.take("finish").await;
    let refused = outcome.refused.expect("the page says what happened");
    assert!(refused.text.contains("could not be reached"), "{refused:?}");
    assert!(refused.retry, "{refused:?}");
    let finish = walk.client.server.endpoint("finish");
    assert_eq!(refused.address, finish.as_str());
    assert_eq!(outcome.shots.len(), 1, "{:?}", outcome.shots);
    let arrived = outcome.arrived.expect("the second attempt arrives");
    assert!(walk.client.returned(&arrived).contains_key("code"));
}

#[tokio::test]
async fn whoever_opens_the_endpoint_is_told_that_it_is_for_apps() {
    for instance in [Instance::Beta, Instance::Prod] {
        let walk = Walk::start(instance).await;
        let outcome = walk.take("endpoint").await;
        assert_eq!(outcome.origins, [origin(walk.stack.gateway.url())]);
        let text = outcome.text.expect("what the page says");
        assert!(text.contains("This address is for MCP clients"), "{text}");
        assert_eq!(outcome.shots.len(), 1, "{:?}", outcome.shots);
    }
}

#[tokio::test]
async fn whoever_asks_too_often_sees_when_to_come_back() {
    let settings = "icgate_trusted_proxies = \"127.0.0.1\"\n[limits]\nauthorize_per_minute = 1\n";
    let walk = Walk::before(Stack::start_with(settings).await, Instance::Beta).await;
    let outcome = walk.take("too_many").await;
    let text = outcome.text.expect("what the page says");
    assert!(text.contains("Too many requests"), "{text}");
    assert_eq!(outcome.shots.len(), 1, "{:?}", outcome.shots);
}

#[tokio::test]
async fn a_person_signs_in_for_a_device() {
    let walk = Walk::start(Instance::Beta).await;
    let device = Device::register(walk.stack.auth_server(Instance::Beta)).await;
    let codes = device.codes(&[]).await;
    let outcome = walk
        .take_from("device", &codes.verification_uri_complete)
        .await;
    assert_eq!(outcome.console, [""; 0]);
    let shots: Vec<_> = outcome
        .shots
        .iter()
        .map(|shot| shot.name.as_str())
        .collect();
    assert_eq!(shots, ["device-code", "device-confirm", "device-done"]);
    let text = outcome.text.expect("what the confirm page says");
    assert!(text.contains(&codes.user_code), "{text}");
    assert!(text.contains("television"), "{text}");
    device.fetch(&codes).await;
}

#[tokio::test]
async fn a_person_refuses_a_device() {
    let walk = Walk::start(Instance::Beta).await;
    let device = Device::register(walk.stack.auth_server(Instance::Beta)).await;
    let codes = device.codes(&[]).await;
    let outcome = walk
        .take_from("device_refused", &codes.verification_uri_complete)
        .await;
    assert_eq!(outcome.console, [""; 0]);
    assert_eq!(outcome.shots.len(), 2, "{:?}", outcome.shots);
    let text = outcome.text.expect("what the page says");
    assert!(text.contains("No device waits with this code"), "{text}");
    let (_, answer) = device.poll(&codes).await;
    assert_eq!(answer["error"], "access_denied", "{answer}");
}
