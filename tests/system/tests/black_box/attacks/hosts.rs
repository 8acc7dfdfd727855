//! A Host header of the attacker's choice.

use icgate_system::{Client, Instance, Stack, http_client};
use reqwest::{Method, StatusCode, header};

const EVIL: &str = "evil.example";

#[tokio::test]
async fn host_header_injection_reaches_no_address_of_any_answer() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let authorize = client.authorization().url;
    let base = stack.gateway.url();
    let paths = [
        "/",
        "/mcp",
        "/mcp-prod",
        "/.well-known/oauth-protected-resource/mcp",
        "/.well-known/oauth-authorization-server",
        "/.well-known/ii-auth-callbacks",
        "/oauth/connect/callback",
    ];
    let mut urls: Vec<String> = paths.iter().map(|path| format!("{base}{path}")).collect();
    urls.push(authorize.to_string());
    for url in urls {
        for name in [
            "host",
            "x-forwarded-host",
            "x-forwarded-server",
            "x-original-host",
            "forwarded",
        ] {
            let value = match name {
                "forwarded" => format!("host={EVIL};proto=https"),
                _ => EVIL.to_owned(),
            };
            let request = http_client().request(Method::GET, &url).header(name, value);
            let answer = request.send().await.expect("an answer");
            if name == "host" {
                assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{url}");
            }
            for name in [
                header::LOCATION,
                header::WWW_AUTHENTICATE,
                header::SET_COOKIE,
            ] {
                for value in answer.headers().get_all(&name) {
                    let value = String::from_utf8_lossy(value.as_bytes());
                    assert!(!value.contains(EVIL), "{url}: {name}: {value}");
                }
            }
            let body = answer.text().await.unwrap_or_default();
            assert!(!body.contains(EVIL), "{url} with {name}: {body}");
        }
    }
}
