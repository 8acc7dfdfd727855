//! II's page as a browser meets it.

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ic_agent::Identity;
use serde_json::{Value, json};

use crate::network::{Network, random_key};

fn link(network: &Network) -> String {
    let key = URL_SAFE_NO_PAD.encode(random_key().public_key().unwrap());
    format!(
        "{}/mcp#callback=http%3A%2F%2F127.0.0.1%3A1%2Fcb&state=s&registration_key={key}",
        network.description().ii_url
    )
}

#[tokio::test]
async fn the_page_is_strict_and_complete() {
    let network = Network::start().await;
    for url in [
        &network.description().ii_url,
        &network.description().ii_url_prod,
    ] {
        let page = network
            .http()
            .get(format!("{url}/mcp"))
            .send()
            .await
            .unwrap();
        let policy = page.headers()["content-security-policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'"), "{policy}");
        assert_eq!(page.headers()["referrer-policy"], "no-referrer");
        let text = page.text().await.unwrap();
        assert!(text.contains("Local stand-in for Internet Identity"));
        for part in ["/mcp.js", "/mcp.css"] {
            assert!(text.contains(part));
            let part = network.http().get(format!("{url}{part}")).send().await;
            assert!(part.unwrap().status().is_success());
        }
    }
}

#[tokio::test]
async fn the_page_consents_through_its_own_origin() {
    let network = Network::start().await;
    let base = &network.description().ii_url;
    let post = |path: &str, body: Value| {
        network
            .http()
            .post(format!("{base}{path}"))
            .json(&body)
            .header("origin", base)
    };
    let link = link(&network);
    let request: Value = post("/mcp/request", json!({ "link": link }))
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    assert_eq!(request["server"], "http://127.0.0.1:1");
    assert_eq!(request["ttl_seconds"], 3600);

    let consent =
        json!({ "link": link, "anchor": 10_001, "access": "queries", "ttl_seconds": 600 });
    let answer: Value = post("/mcp/consent", consent.clone())
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let callback = answer["callback"].as_str().unwrap();
    assert!(callback.starts_with("http://127.0.0.1:1/cb#delegation="));

    let foreign = network
        .http()
        .post(format!("{base}/mcp/consent"))
        .json(&consent)
        .header("origin", "http://evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(foreign.status(), 403);
    let rebound = network
        .http()
        .get(format!("{base}/mcp"))
        .header("host", "evil.example")
        .send()
        .await
        .unwrap();
    assert_eq!(rebound.status(), 403);
}
