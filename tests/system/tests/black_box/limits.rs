//! How often a stranger may ask, what he may have kept, and that the operator says how much.

use std::{
    fs,
    path::Path,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use icgate_system::{Browser, Client, Consent, Era, Instance, Stack, http_client, until};
use reqwest::{Method, RequestBuilder, Response, StatusCode, header};
use serde_json::{Value, json};
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};
use url::Url;

const HERE: &str = "203.0.113.9";
const ELSEWHERE: &str = "203.0.113.10";
/// Every request comes over loopback, through a proxy that is trusted to say from where.
const PROXY: &str = "icgate_trusted_proxies = \"127.0.0.1\"\n";
const CLASSES: [&str; 13] = [
    "register",
    "manage",
    "authorize",
    "consent",
    "document",
    "device",
    "redeem",
    "token",
    "revoke",
    "introspect",
    "bearer",
    "page",
    "metadata",
];

/// The processes, and strangers who ask from wherever they say.
struct World {
    stack: Stack,
    http: reqwest::Client,
}

impl World {
    async fn start(settings: &str) -> Self {
        Self {
            stack: Stack::start_with(settings).await,
            http: http_client(),
        }
    }

    fn request(&self, method: Method, path: &str, from: &str) -> RequestBuilder {
        self.http
            .request(method, format!("{}{path}", self.stack.gateway.url()))
            .header("x-forwarded-for", from)
    }
}

async fn sent(request: RequestBuilder) -> Response {
    request.send().await.expect("an answer")
}

/// What was taken before the first 429.
struct Taken {
    count: usize,
    time: Duration,
    refused: Response,
}

impl Taken {
    /// Whether it was a minute's worth, and what flowed in on a slow machine.
    fn assert_is(&self, limit: usize, what: &str) {
        let flowed = self.time.as_secs_f64() * limit as f64 / 60.0;
        let most = limit + flowed.floor() as usize;
        assert!(
            (limit..=most).contains(&self.count),
            "{what}: {} instead of {limit} in {:?}",
            self.count,
            self.time
        );
    }
}

/// Asks until the answer is 429.
async fn taken(ask: impl Fn() -> RequestBuilder) -> Taken {
    let begin = Instant::now();
    for count in 0..200 {
        let refused = sent(ask()).await;
        if refused.status() == StatusCode::TOO_MANY_REQUESTS {
            return Taken {
                count,
                time: begin.elapsed(),
                refused,
            };
        }
        assert!(
            refused.status().as_u16() != 500,
            "{}: {}",
            refused.url(),
            refused.status()
        );
    }
    panic!("no limit: {:?}", ask());
}

fn retry_after(answer: &Response) -> u64 {
    let text = answer.headers()[header::RETRY_AFTER].to_str();
    text.expect("ASCII").parse().expect("whole seconds")
}

#[tokio::test]
async fn every_endpoint_has_its_limit_for_each_address() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let services = dir.path().join("services");
    fs::write(&services, format!("a:{}\n", "0".repeat(64))).expect("the file of services");
    let mut settings = format!(
        "{PROXY}ii_handshake_prod = \"key-request\"\noauth_introspection_clients_file = \"{}\"\n[limits]\n",
        services.display()
    );
    // So that each class is told from the others: 3, 4, 5 and so on.
    for (class, limit) in CLASSES.into_iter().zip(3..) {
        settings += &format!("{class}_per_minute = {limit}\n");
    }
    let world = World::start(&settings).await;
    let limit = |class: &str| {
        let position = CLASSES.iter().position(|known| *known == class);
        position.expect("a class") + 3
    };
    let form = "application/x-www-form-urlencoded";
    let cases = [
        (Method::POST, "/oauth/register", "register"),
        (Method::POST, "/register", "register"),
        (Method::GET, "/oauth/register/icg_client_x", "manage"),
        (Method::PUT, "/oauth/register/icg_client_x", "manage"),
        (
            Method::DELETE,
            "/prod/oauth/register/icg_client_x",
            "manage",
        ),
        (Method::GET, "/oauth/authorize", "authorize"),
        (
            Method::GET,
            "/prod/oauth/authorize?client_id=x",
            "authorize",
        ),
        (Method::POST, "/oauth/authorize", "consent"),
        (Method::GET, "/connections", "authorize"),
        (Method::POST, "/prod/connections", "consent"),
        (Method::POST, "/oauth/device_authorization", "device"),
        (Method::GET, "/oauth/device", "authorize"),
        (Method::POST, "/oauth/device", "consent"),
        (Method::GET, "/oauth/device/done", "page"),
        (Method::POST, "/oauth/connect/redeem", "redeem"),
        (Method::GET, "/oauth/connect/others", "redeem"),
        (Method::POST, "/oauth/connect/others", "redeem"),
        // Of the earlier handshake.
        (Method::POST, "/prod/oauth/connect/callback", "redeem"),
        (Method::GET, "/prod/oauth/finish", "page"),
        (Method::POST, "/oauth/token", "token"),
        (Method::POST, "/prod/oauth/token", "token"),
        (Method::POST, "/oauth/revoke", "revoke"),
        (Method::POST, "/oauth/introspect", "introspect"),
        (Method::POST, "/mcp", "bearer"),
        (Method::GET, "/mcp-prod", "bearer"),
        (Method::GET, "/", "page"),
        (Method::GET, "/oauth/connect/callback", "page"),
        (
            Method::GET,
            "/.well-known/oauth-authorization-server",
            "metadata",
        ),
        (
            Method::GET,
            "/mcp/.well-known/oauth-protected-resource",
            "metadata",
        ),
        (Method::GET, "/.well-known/ii-auth-callbacks", "metadata"),
        (Method::GET, "/healthz", "metadata"),
    ];
    for (number, (method, path, class)) in cases.into_iter().enumerate() {
        let from = format!("198.51.100.{number}");
        let ask = |from: &str| {
            world
                .request(method.clone(), path, from)
                .header(header::CONTENT_TYPE, form)
                .bearer_auth("wrong")
                .body("client_id=x&token=x&grant_type=authorization_code")
        };
        let taken = taken(|| ask(&from)).await;
        taken.assert_is(limit(class), path);
        assert!((1..=60).contains(&retry_after(&taken.refused)), "{path}");
        let body: Value = taken.refused.json().await.expect("JSON");
        assert!(
            !body["error"].as_str().unwrap_or_default().is_empty(),
            "{path}: {body}"
        );
        assert!(!body.to_string().contains("null"), "{path}: {body}");
        let other = sent(ask(ELSEWHERE)).await;
        assert_ne!(other.status(), StatusCode::TOO_MANY_REQUESTS, "{path}");
    }
    // A document is fetched for a client that describes itself: these are so many different ones.
    let number = AtomicUsize::new(0);
    let fetched = taken(|| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        // Each from an address of one IPv6 network, which counts as one.
        world.request(
            Method::GET,
            &format!("/oauth/authorize?client_id=http://127.0.0.1:9/{number}.json"),
            &format!("2001:db8::{number}"),
        )
    })
    .await;
    fetched.assert_is(limit("authorize"), "one IPv6 network");
}

#[tokio::test]
async fn a_document_is_fetched_for_an_address_only_so_often() {
    let settings = format!("{PROXY}[limits]\ndocument_per_minute = 2\n");
    let world = World::start(&settings).await;
    let number = AtomicUsize::new(0);
    let fetched = taken(|| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let path = format!("/oauth/authorize?client_id=http://127.0.0.1:9/{number}.json");
        world.request(Method::GET, &path, HERE)
    })
    .await;
    fetched.assert_is(2, "documents");
    let body: Value = fetched.refused.json().await.expect("JSON");
    assert_eq!(body["error"], "temporarily_unavailable", "{body}");
}

#[tokio::test]
async fn a_person_gets_a_page_and_the_callback_page_something_to_show() {
    let settings = format!("{PROXY}[limits]\nauthorize_per_minute = 1\nredeem_per_minute = 1\n");
    let world = World::start(&settings).await;
    let asked = taken(|| {
        world
            .request(Method::GET, "/oauth/authorize", HERE)
            .header(header::ACCEPT, "text/html,*/*;q=0.8")
    })
    .await;
    let page = asked.refused;
    assert!(retry_after(&page) > 0);
    assert_eq!(
        page.headers()[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
    let html = page.text().await.expect("a page");
    assert!(html.contains("Too many requests"), "{html}");
    let told = taken(|| world.request(Method::POST, "/oauth/connect/redeem", HERE))
        .await
        .refused;
    let told: Value = told.json().await.expect("JSON");
    assert_eq!(told["retry"], true, "{told}");
    let sentence = told["error"].as_str().unwrap_or_default();
    assert!(sentence.contains("Try again in"), "{sentence}");
}

#[tokio::test]
async fn a_client_is_counted_wherever_it_asks_from() {
    let settings = format!("{PROXY}[limits]\nrevoke_per_minute = 2\n");
    let world = World::start(&settings).await;
    let stack = &world.stack;
    let server = stack.auth_server(Instance::Beta);
    let (busy, quiet) = (
        Client::register(server.clone()).await,
        Client::register(server).await,
    );
    let number = AtomicUsize::new(0);
    let ask = |client: &Client| {
        let number = number.fetch_add(1, Ordering::Relaxed);
        world
            .request(
                Method::POST,
                "/oauth/revoke",
                &format!("198.51.100.{number}"),
            )
            .form(&[("token", "x"), ("client_id", &client.client_id)])
    };
    let asked = taken(|| ask(&busy)).await;
    asked.assert_is(8, "four times as often as one address");
    assert_eq!(sent(ask(&quiet)).await.status(), StatusCode::OK);
    // An id that anybody knows is not counted: anybody could use it up.
    for _ in 0..20 {
        let number = number.fetch_add(1, Ordering::Relaxed);
        let from = format!("198.51.100.{number}");
        let famous = world
            .request(Method::POST, "/oauth/revoke", &from)
            .form(&[("token", "x"), ("client_id", "https://claude.ai/oauth/x")]);
        assert_ne!(sent(famous).await.status(), StatusCode::TOO_MANY_REQUESTS);
    }
}

#[tokio::test]
async fn who_is_signed_in_does_not_suffer_from_a_neighbour() {
    let settings = format!("{PROXY}[limits]\nbearer_per_minute = 5\ntoken_per_minute = 5\n");
    let world = World::start(&settings).await;
    let stack = &world.stack;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let guessed = taken(|| {
        world
            .request(Method::POST, "/mcp", HERE)
            .bearer_auth("icg_at_guess")
    })
    .await;
    guessed.assert_is(5, "guesses");
    // The same address, the same moment: a good token is let through, the first time and the next.
    for id in 0..20 {
        let list = world
            .request(Method::POST, "/mcp", HERE)
            .bearer_auth(&tokens.access_token)
            .header(header::ACCEPT, "application/json, text/event-stream")
            .json(&json!({ "jsonrpc": "2.0", "id": id, "method": "tools/list" }));
        let answer = sent(list).await;
        assert_eq!(answer.status(), StatusCode::OK);
    }
    // A token request that gives a token does not count.
    let mut next = tokens;
    for _ in 0..12 {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", next.refresh_token.as_str()),
            ("client_id", client.client_id.as_str()),
        ];
        let answer = sent(
            world
                .request(Method::POST, "/oauth/token", HERE)
                .form(&form),
        )
        .await;
        assert_eq!(answer.status(), StatusCode::OK);
        next = answer.json().await.expect("tokens");
    }
    let wrong = [("grant_type", "refresh_token"), ("client_id", "x")];
    let failed = taken(|| {
        world
            .request(Method::POST, "/oauth/token", HERE)
            .form(&wrong)
    })
    .await;
    failed.assert_is(5, "failed token requests");
}

#[tokio::test]
async fn a_person_on_this_machine_never_notices() {
    let mut settings = "[limits]\n".to_owned();
    for class in CLASSES {
        settings += &format!("{class}_per_minute = 1\n");
    }
    settings += "clients_per_address = 1\nsign_ins_per_address = 1\n";
    let world = World::start(&settings).await;
    let stack = &world.stack;
    let mut browsers = Vec::new();
    for _ in 0..5 {
        let client = Client::register(stack.auth_server(Instance::Beta)).await;
        let mut browser = Browser::new();
        let link = client.consent_page(&mut browser).await;
        browsers.push((client, browser, link));
    }
    for (client, mut browser, link) in browsers {
        let consent = Consent::default();
        let callback = stack.devnet.consent("ii", link.as_str(), &consent).await;
        let page = client.callback(&mut browser, &callback).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
    }
    for _ in 0..5 {
        let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
        let next = client.refreshed(&tokens.refresh_token).await;
        let agent = stack.mcp(Instance::Beta, Era::Modern, &next.access_token);
        agent.tools().await;
    }
}

#[tokio::test]
async fn sign_ins_of_a_flood_push_out_each_other() {
    let settings = format!(
        "{PROXY}[limits]\nsign_ins = 16\nsign_ins_per_address = 5\nconsent_per_minute = 1000\n"
    );
    let world = World::start(&settings).await;
    let stack = &world.stack;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let mut honest = Browser::at(ELSEWHERE);
    let link = client.consent_page(&mut honest).await;
    let mut first_of_flood = None;
    for number in 0..40 {
        let address = format!("198.51.100.{}", number % 8);
        let mut browser = Browser::at(&address);
        let link = client.consent_page(&mut browser).await;
        first_of_flood.get_or_insert((browser, link));
    }
    // The signer, which cannot tell one address from another, holds no more of them than the gateway.
    let signer = stack.signer.state_dir().join("signer.db");
    let options = SqliteConnectOptions::new().filename(signer).read_only(true);
    let signer = SqlitePool::connect_with(options)
        .await
        .expect("the signer's database");
    let bound = Duration::from_secs(30);
    until("the signer to forget the others", bound, || async {
        let pending = sqlx::query_scalar("SELECT count(*) FROM connections WHERE pending = 1");
        let pending: i64 = pending.fetch_one(&signer).await.expect("a count");
        (pending == 16).then_some(())
    })
    .await;
    let finish = async |mut browser: Browser, link: Url| {
        let consent = Consent::default();
        let callback = stack.devnet.consent("ii", link.as_str(), &consent).await;
        client.callback(&mut browser, &callback).await.status
    };
    assert_eq!(finish(honest, link).await, StatusCode::OK);
    let (browser, link) = first_of_flood.expect("a flood");
    assert_eq!(finish(browser, link).await, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn registrations_of_a_flood_push_out_each_other_and_fill_no_disk() {
    let settings = format!(
        "{PROXY}[limits]\nclients = 200\nclients_per_address = 50\nregister_per_minute = 10000\n"
    );
    let world = World::start(&settings).await;
    let stack = &world.stack;
    let mine = Client::register(stack.auth_server(Instance::Beta)).await;
    let register = async |from: &str, redirect_uri: String| {
        let body = json!({ "redirect_uris": [redirect_uri] });
        let asked = world
            .request(Method::POST, "/oauth/register", from)
            .json(&body);
        sent(asked).await
    };
    let quiet = register(ELSEWHERE, "http://127.0.0.1/cb".to_owned()).await;
    let quiet: Value = quiet.json().await.expect("JSON");
    // One uri may be as long as that; two together are not kept.
    let long = format!("http://127.0.0.1/{}", "x".repeat(2_000));
    for number in 0..400 {
        let from = format!("198.51.100.{}", number % 8);
        let answer = register(&from, long.clone()).await;
        assert_eq!(answer.status(), StatusCode::CREATED);
    }
    let three = json!({ "redirect_uris": [long, format!("{long}y"), format!("{long}z")] });
    let refused = sent(
        world
            .request(Method::POST, "/oauth/register", HERE)
            .json(&three),
    )
    .await;
    assert_eq!(refused.status(), StatusCode::BAD_REQUEST);
    let refused: Value = refused.json().await.expect("JSON");
    assert_eq!(refused["error"], "invalid_redirect_uri", "{refused}");

    for client_id in [&mine.client_id, quiet["client_id"].as_str().expect("an id")] {
        let known = Client {
            client_id: client_id.to_owned(),
            ..mine.clone()
        };
        let page = Browser::new().get(&known.authorization().url).await;
        assert!(
            !page.body.contains("does not know the app"),
            "{}",
            page.body
        );
    }
    let bytes = size(&stack.gateway.state_dir());
    assert!(
        bytes < 8 << 20,
        "{bytes} bytes for 200 clients and the write-ahead log"
    );
}

fn size(directory: &Path) -> u64 {
    let entries = fs::read_dir(directory).expect("the state directory");
    entries
        .filter_map(|entry| entry.ok()?.metadata().ok())
        .map(|metadata| metadata.len())
        .sum()
}

#[tokio::test]
async fn strangers_from_everywhere_do_not_fill_the_memory() {
    let world = World::start(PROXY).await;
    let ask = async |network: usize| {
        let from = format!("2001:db8:{:x}:{:x}::1", network >> 16, network & 0xffff);
        let asked = world.request(Method::POST, "/oauth/token", &from);
        let answer = sent(asked.body("x")).await;
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    };
    // What the first requests set up is not what is measured.
    for network in 0..200 {
        ask(network).await;
    }
    let before = resident(&world.stack);
    for network in 200..5_200 {
        ask(network).await;
    }
    let grown = resident(&world.stack).saturating_sub(before);
    assert!(grown < 8 << 10, "{grown} KiB for 5000 addresses");
}

/// KiB that the gateway has in memory.
fn resident(stack: &Stack) -> u64 {
    let path = format!("/proc/{}/status", stack.gateway.process().pid());
    let status = fs::read_to_string(path).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.trim().strip_suffix(" kB"));
    kib.expect("its size").parse().expect("a number")
}

#[tokio::test]
async fn a_full_server_says_on_a_page_when_to_come_back() {
    let world = World::start("[limits]\nsigned_in = 1\n").await;
    let stack = &world.stack;
    stack.sign_in(Instance::Beta, &Consent::default()).await;
    let next = Client::register(stack.auth_server(Instance::Beta)).await;
    let mut browser = Browser::new();
    let page = browser.get(&next.authorization().url).await;
    let full = browser.submit(&page).await;
    assert_eq!(full.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(full.headers[header::RETRY_AFTER], "5");
    assert_eq!(
        full.headers[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
    assert!(
        full.body.contains("as many connections as it takes"),
        "{}",
        full.body
    );
}

#[tokio::test]
async fn own_lives_take_effect() {
    let settings = "[limits]\naccess_token_seconds = 90\nclient_bytes = 256\n";
    let world = World::start(settings).await;
    let stack = &world.stack;
    let (_, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    assert!(
        (80..=90).contains(&tokens.expires_in),
        "{}",
        tokens.expires_in
    );
    let long = format!("http://127.0.0.1/{}", "x".repeat(300));
    let body = json!({ "redirect_uris": [long] });
    let asked = world
        .request(Method::POST, "/oauth/register", HERE)
        .json(&body);
    assert_eq!(sent(asked).await.status(), StatusCode::BAD_REQUEST);
}
