//! The door: who comes in, how much they may bring, how long they may take.

use std::time::Duration;

use icgate_system::{Era, Instance, McpClient, Stack, http_client};
use reqwest::{
    Method, Response, StatusCode,
    header::{self, HeaderName},
};
use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// Deadlines short enough to wait for.
const IMPATIENT: &str = "[limits]\nheader_seconds = 2\nidle_seconds = 2\nrequest_seconds = 4\n";

/// Well above the deadlines of [`IMPATIENT`].
const SLOW_BOUND: Duration = Duration::from_secs(20);

#[tokio::test]
async fn without_a_token_every_method_gets_the_challenge() {
    let stack = Stack::start().await;
    for instance in [Instance::Beta, Instance::Prod] {
        let url = stack.mcp_url(instance);
        for method in [Method::GET, Method::POST, Method::DELETE] {
            let answer = http_client()
                .request(method.clone(), &url)
                .send()
                .await
                .expect("answer");
            assert_eq!(answer.status(), StatusCode::UNAUTHORIZED, "{method}");
            let challenge = answer.headers()["www-authenticate"]
                .to_str()
                .unwrap_or_default()
                .to_owned();
            let metadata = format!(
                "resource_metadata=\"{}/.well-known/oauth-protected-resource{}\"",
                stack.gateway.url(),
                instance.mcp_path()
            );
            assert!(challenge.starts_with("Bearer "), "{challenge}");
            assert!(
                challenge.contains(&metadata),
                "{challenge} lacks {metadata}"
            );
            assert!(challenge.contains("scope="), "{challenge}");
            assert!(
                !challenge.contains("error="),
                "nothing was presented: {challenge}"
            );
        }
    }
    for wrong in [
        "icg_at_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        "x",
        "é",
    ] {
        let agent = McpClient::new(&stack.mcp_url(Instance::Beta), Era::Modern, Some(wrong));
        let answer = agent.request("tools/list", json!({})).await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        let challenge = answer.headers["www-authenticate"]
            .to_str()
            .unwrap_or_default();
        assert!(challenge.contains("invalid_token"), "{challenge}");
    }
}

#[tokio::test]
async fn with_a_token_only_post_has_a_meaning() {
    let stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Default::default()).await;
    for method in [Method::GET, Method::DELETE, Method::PUT] {
        let answer = http_client()
            .request(method.clone(), stack.mcp_url(Instance::Beta))
            .bearer_auth(&tokens.access_token)
            .header("Accept", "application/json, text/event-stream")
            .send()
            .await
            .expect("answer");
        assert_eq!(answer.status(), StatusCode::METHOD_NOT_ALLOWED, "{method}");
    }
    let unknown = format!("{}/nonesuch", stack.gateway.url());
    let answer = http_client().get(unknown).send().await.expect("answer");
    assert_eq!(answer.status(), StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_foreign_origin_or_host_is_forbidden() {
    let stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Default::default()).await;
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": {} });
    let send = |name: &'static str, value: String| {
        http_client()
            .post(stack.mcp_url(Instance::Beta))
            .bearer_auth(&tokens.access_token)
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", Era::Legacy.version())
            .header(name, value)
            .json(&body)
            .send()
    };
    let answer = send("Origin", "https://evil.example".to_owned())
        .await
        .expect("answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let answer = send("Host", "evil.example".to_owned())
        .await
        .expect("answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
    let answer = send("Origin", stack.gateway.url().to_owned())
        .await
        .expect("answer");
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn localhost_is_the_same_server() {
    let stack = Stack::start().await;
    let port = stack.gateway.address().rsplit_once(':').expect("a port").1;
    let base = format!("http://localhost:{port}");
    let url = format!("{base}/.well-known/oauth-protected-resource/mcp");
    let answer = http_client().get(url).send().await.expect("answer");
    let found: serde_json::Value = answer.json().await.expect("JSON");
    // The resource answers to the name that was asked for; the issuer stays canonical.
    assert_eq!(found["resource"], format!("{base}/mcp"));
    assert_eq!(found["authorization_servers"], json!([stack.gateway.url()]));
}

#[tokio::test]
async fn too_much_is_413_and_nonsense_is_a_client_error() {
    let stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Default::default()).await;
    let post = |url: String, kind: &'static str, body: Vec<u8>| {
        http_client()
            .post(url)
            .bearer_auth(&tokens.access_token)
            .header("Accept", "application/json, text/event-stream")
            .header("MCP-Protocol-Version", Era::Legacy.version())
            .header("Content-Type", kind)
            .body(body)
            .send()
    };
    let mcp = stack.mcp_url(Instance::Beta);
    let register = stack
        .auth_server(Instance::Beta)
        .endpoint("register")
        .to_string();
    for url in [&mcp, &register] {
        let answer = announce(url, &tokens.access_token, 9 << 20).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{url}: {answer}");
    }
    for body in ["{", "[]", "nonsense", "{\"jsonrpc\":\"2.0\"}", "\u{0}"] {
        let answer = post(mcp.clone(), "application/json", body.into())
            .await
            .expect("answer");
        assert!(
            answer.status().is_client_error(),
            "{body}: {}",
            answer.status()
        );
    }
    let answer = post(register, "application/json", b"{".to_vec())
        .await
        .expect("answer");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    let token = stack
        .auth_server(Instance::Beta)
        .endpoint("token")
        .to_string();
    let answer = post(token, "application/json", b"{}".to_vec())
        .await
        .expect("answer");
    assert!(answer.status().is_client_error());
}

/// Says how large a body will be, sends none of it, and gives the answer: a client that goes on writing may miss an
/// answer that comes before the server has read everything.
async fn announce(url: &str, token: &str, length: usize) -> String {
    let url: url::Url = url.parse().expect("an address");
    let address = url.socket_addrs(|| None).expect("its socket address")[0];
    let mut stream = TcpStream::connect(address).await.expect("connect");
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n",
        url.path()
    );
    stream.write_all(head.as_bytes()).await.expect("the head");
    let mut answer = Vec::new();
    let ended = timeout(SLOW_BOUND, stream.read_to_end(&mut answer)).await;
    ended.expect("an end in time").expect("an answer");
    String::from_utf8_lossy(&answer).into_owned()
}

/// A peer that drips bytes which never make a whole, until the server ends it by itself; gives what it said.
async fn drip(stack: &Stack, opening: &str, drop: &'static [u8]) -> String {
    let mut stream = TcpStream::connect(stack.gateway.address())
        .await
        .expect("connect");
    stream
        .write_all(opening.as_bytes())
        .await
        .expect("the opening");
    let (mut reader, mut writer) = stream.into_split();
    let dripping = tokio::spawn(async move {
        // Ends when the server has closed.
        while writer.write_all(drop).await.is_ok() {
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
    });
    let mut answer = Vec::new();
    // A reset is as good an end as a close.
    let ended = timeout(SLOW_BOUND, reader.read_to_end(&mut answer)).await;
    assert!(ended.is_ok(), "still open after {SLOW_BOUND:?}");
    dripping.abort();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn a_header_that_drips_in_is_cut_off() {
    let stack = Stack::start_with(IMPATIENT).await;
    let answer = drip(
        &stack,
        "POST /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ",
        b"a",
    )
    .await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
}

#[tokio::test]
async fn a_body_that_drips_in_is_cut_off() {
    let stack = Stack::start_with(IMPATIENT).await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Default::default()).await;
    let opening = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Accept: application/json, text/event-stream\r\nContent-Length: 100000\r\n\r\n{{",
        stack.gateway.address(),
        tokens.access_token
    );
    let answer = drip(&stack, &opening, b" ").await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408"),
        "{answer}"
    );
    // Others are served meanwhile and afterwards.
    stack
        .mcp(Instance::Beta, Era::Modern, &tokens.access_token)
        .tools()
        .await;
}

/// What a browser asks before a script of this origin may post there.
async fn preflight(url: &str, origin: &str) -> Response {
    let answer = http_client()
        .request(Method::OPTIONS, url)
        .header(header::ORIGIN, origin)
        .header(header::ACCESS_CONTROL_REQUEST_METHOD, "POST")
        .header(
            header::ACCESS_CONTROL_REQUEST_HEADERS,
            "authorization, content-type, mcp-protocol-version",
        )
        .send();
    answer.await.expect("answer")
}

async fn posted(url: &str, origin: &str) -> Response {
    let asked = http_client().post(url).header(header::ORIGIN, origin);
    asked.json(&json!({})).send().await.expect("answer")
}

fn told(answer: &Response, name: HeaderName) -> Option<String> {
    let value = answer.headers().get(name)?.to_str().expect("ASCII");
    Some(value.to_lowercase())
}

#[tokio::test]
async fn a_page_of_another_site_may_read_what_is_public() {
    const INSPECTOR: &str = "https://inspector.example";
    const STRANGER: &str = "https://stranger.example";
    let settings = format!("icgate_allowed_origins = [\"{INSPECTOR}\"]\n");
    let stack = Stack::start_with(&settings).await;
    let server = stack.auth_server(Instance::Beta);
    let mcp = stack.mcp_url(Instance::Beta);
    let (token, register) = (server.endpoint("token"), server.endpoint("register"));
    for (url, origin, allowed) in [
        (mcp.as_str(), INSPECTOR, INSPECTOR),
        (token.as_str(), INSPECTOR, "*"),
        (register.as_str(), INSPECTOR, "*"),
        (token.as_str(), STRANGER, "*"),
        (register.as_str(), STRANGER, "*"),
    ] {
        let asked = preflight(url, origin).await;
        assert!(
            asked.status().is_success(),
            "a preflight carries no token: {url}: {}",
            asked.status()
        );
        let names = told(&asked, header::ACCESS_CONTROL_ALLOW_HEADERS).unwrap_or_default();
        for name in [
            "authorization",
            "content-type",
            "mcp-protocol-version",
            "mcp-method",
            "mcp-name",
        ] {
            assert!(names.contains(name), "{url}: {name} in {names}");
        }
        let methods = told(&asked, header::ACCESS_CONTROL_ALLOW_METHODS).unwrap_or_default();
        assert!(methods.contains("post"), "{url}: {methods}");
        // The answer itself, a refusal here, is as readable as what was announced.
        let answer = posted(url, origin).await;
        assert!(answer.status().is_client_error(), "{url}");
        for answer in [&asked, &answer] {
            let shared = told(answer, header::ACCESS_CONTROL_ALLOW_ORIGIN);
            assert_eq!(shared.as_deref(), Some(allowed), "{url}");
            let cookies = told(answer, header::ACCESS_CONTROL_ALLOW_CREDENTIALS);
            assert_eq!(cookies, None, "{url}");
        }
        let exposed = told(&answer, header::ACCESS_CONTROL_EXPOSE_HEADERS).unwrap_or_default();
        for name in ["www-authenticate", "mcp-session-id"] {
            assert!(exposed.contains(name), "{url}: {name} in {exposed}");
        }
    }
    for answer in [
        preflight(&mcp, STRANGER).await,
        posted(&mcp, STRANGER).await,
    ] {
        assert_eq!(told(&answer, header::ACCESS_CONTROL_ALLOW_ORIGIN), None);
    }
    assert_eq!(posted(&mcp, STRANGER).await.status(), StatusCode::FORBIDDEN);
}
