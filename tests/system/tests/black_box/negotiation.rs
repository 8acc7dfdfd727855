//! Errors that a browser can come upon: a page for a person, JSON for everything else.

use std::time::Duration;

use icgate_system::{Process, Stack, until};
use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

const BOUND: Duration = Duration::from_secs(20);
const FORM: &str = "Content-Type: application/x-www-form-urlencoded\r\n";

/// A request line, further header fields, and a body.
struct Asked<'a> {
    line: &'a str,
    fields: &'a str,
    /// Bytes that are announced, and bytes that are sent.
    body: Option<(usize, usize)>,
}

/// Status and body, and the kind of the body. What the server does not read in full it may answer before.
async fn ask(stack: &Stack, asked: &Asked<'_>, accept: &str) -> (u16, String, String) {
    let address = stack.gateway.address();
    let host = if asked.fields.contains("Host:") {
        String::new()
    } else {
        format!("Host: {address}\r\n")
    };
    let (length, sent) = match asked.body {
        Some((announced, sent)) => (format!("Content-Length: {announced}\r\n"), sent),
        None => (String::new(), 0),
    };
    let head = format!(
        "{} HTTP/1.1\r\n{host}{}{length}Accept: {accept}\r\nConnection: close\r\n\r\n",
        asked.line, asked.fields
    );
    let mut stream = TcpStream::connect(address).await.expect("connect");
    stream.write_all(head.as_bytes()).await.expect("the head");
    stream.write_all(&vec![b'a'; sent]).await.expect("the body");
    let mut answer = Vec::new();
    let ended = timeout(BOUND, stream.read_to_end(&mut answer)).await;
    ended.expect("an end in time").expect("an answer");
    let answer = String::from_utf8_lossy(&answer).into_owned();
    let (head, body) = answer.split_once("\r\n\r\n").expect("a whole answer");
    let status = head[9..12].parse().expect("a status");
    let kind = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-type"))
        .map_or("", |(_, kind)| kind);
    (status, kind.to_owned(), body.to_owned())
}

#[tokio::test]
async fn a_person_gets_a_page_and_everybody_else_json() {
    let stack = Stack::start_with("[limits]\nidle_seconds = 2\n").await;
    let plain = |line| Asked {
        line,
        fields: "",
        body: None,
    };
    let form = |line, body| Asked {
        line,
        fields: FORM,
        body: Some(body),
    };
    let large = (200_000, 200_000);
    for (asked, expected) in [
        (plain("GET /nonesuch"), 404),
        (plain("GET /prod/nonesuch"), 404),
        (plain("DELETE /oauth/authorize"), 405),
        (plain("GET /oauth/token"), 405),
        (plain("GET /oauth/register"), 405),
        (plain("DELETE /oauth/device"), 405),
        (plain("DELETE /connections"), 405),
        (plain("DELETE /healthz"), 405),
        (plain("GET /oauth/authorize"), 400),
        (plain("GET /mcp"), 401),
        (form("POST /oauth/authorize", large), 413),
        (form("POST /oauth/device", large), 413),
        (form("POST /connections", large), 413),
        (form("POST /connections", (10, 1)), 408),
        (form("POST /connections", (9 << 20, 0)), 413),
        (
            Asked {
                line: "GET /",
                fields: "Host: evil.example\r\n",
                body: None,
            },
            403,
        ),
        (
            Asked {
                line: "GET /",
                fields: "Expect: wonders\r\n",
                body: None,
            },
            417,
        ),
    ] {
        let browser = "text/html,application/xhtml+xml,*/*;q=0.8";
        let (status, kind, body) = ask(&stack, &asked, browser).await;
        assert_eq!(status, expected, "{}: {body}", asked.line);
        assert_eq!(kind, "text/html; charset=utf-8", "{}: {body}", asked.line);
        assert!(body.contains("<h1>") && body.contains("<p>"), "{body}");

        let (status, kind, body) = ask(&stack, &asked, "application/json").await;
        assert_eq!(status, expected, "{}: {body}", asked.line);
        assert_eq!(kind, "application/json", "{}: {body}", asked.line);
        let json: Value = serde_json::from_str(&body).expect("JSON");
        for member in ["error", "error_description"] {
            assert!(json[member].is_string(), "{member}: {json}");
        }
    }
}

#[tokio::test]
async fn a_proxy_that_nobody_named_is_said_once() {
    const SAID: &str = "not in ICGATE_TRUSTED_PROXIES";
    let stack = Stack::start().await;
    let count = |process: &Process| process.log_text().matches(SAID).count();
    let asked = |fields| Asked {
        line: "GET /",
        fields,
        body: None,
    };
    ask(&stack, &asked(""), "*/*").await;
    assert_eq!(count(stack.gateway.process()), 0);
    for fields in [
        "X-Forwarded-For: 203.0.113.9\r\n",
        "Forwarded: for=203.0.113.9\r\n",
    ] {
        let (status, _, _) = ask(&stack, &asked(fields), "*/*").await;
        assert_eq!(status, 200, "it changes nothing");
    }
    until("the log", BOUND, async || {
        (count(stack.gateway.process()) > 0).then_some(())
    })
    .await;
    assert_eq!(count(stack.gateway.process()), 1);
}
