//! The connect handshake against a hostile page, network or second browser.

use icgate_system::{Browser, Client, Consent, Instance, Page, Stack};
use reqwest::StatusCode;
use serde_json::json;
use url::Url;

async fn client(stack: &Stack) -> Client {
    Client::register(stack.auth_server(Instance::Beta)).await
}

/// The redeem was refused with a sentence and without a code.
fn assert_refused(page: &Page) {
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.body);
    let answer = page.json();
    assert!(
        answer["error"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{answer}"
    );
    assert!(answer.get("redirect").is_none(), "{answer}");
}

/// A sign-in through a hostile chain is refused; an honest one of the same client works afterwards.
async fn refuses(fault: &'static str) {
    let stack = Stack::start().await;
    let client = client(&stack).await;
    let hostile = Consent {
        fault: Some(fault),
        ..Consent::default()
    };
    let page = client
        .redeemed(&mut Browser::new(), &stack.devnet, &hostile)
        .await;
    assert_refused(&page);
    let code = client
        .authorize(&mut Browser::new(), &stack.devnet, &Consent::default())
        .await;
    client.redeem(&code).await;
}

#[tokio::test]
async fn a_tampered_chain_is_refused() {
    refuses("tampered_signature").await;
}

#[tokio::test]
async fn an_expired_chain_is_refused() {
    refuses("expired").await;
}

#[tokio::test]
async fn a_chain_to_a_foreign_key_is_refused() {
    refuses("foreign_leaf").await;
}

#[tokio::test]
async fn a_chain_for_another_server_is_refused() {
    refuses("other_server").await;
}

#[tokio::test]
async fn only_the_browser_that_started_the_sign_in_completes_it() {
    let stack = Stack::start().await;
    let client = client(&stack).await;
    let mut browser = Browser::new();
    let link = client.consent_page(&mut browser).await;
    let callback = stack
        .devnet
        .consent("ii", link.as_str(), &Consent::default())
        .await;

    let page = client.callback(&mut Browser::new(), &callback).await;
    assert_refused(&page);

    let page = client.callback(&mut browser, &callback).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
}

#[tokio::test]
async fn a_repeated_redeem_gives_the_same_redirect() {
    let stack = Stack::start().await;
    let client = client(&stack).await;
    let mut browser = Browser::new();
    let link = client.consent_page(&mut browser).await;
    let callback = stack
        .devnet
        .consent("ii", link.as_str(), &Consent::default())
        .await;
    let first = client.callback(&mut browser, &callback).await;
    let second = client.callback(&mut browser, &callback).await;
    assert_eq!(first.json()["redirect"], second.json()["redirect"]);
}

#[tokio::test]
async fn nonsense_at_the_redeem_is_refused() {
    let stack = Stack::start().await;
    let client = client(&stack).await;
    let mut browser = Browser::new();
    let link = client.consent_page(&mut browser).await;
    let fragment = link.fragment().expect("the link's fragment").to_owned();
    let state = url::form_urlencoded::parse(fragment.as_bytes())
        .find_map(|(name, value)| (name == "state").then(|| value.into_owned()))
        .expect("the link's state");
    let redeem = client.server.endpoint("connect/redeem");
    let huge = "a".repeat(70_000);
    let bodies = [
        json!({ "state": "unknown", "delegation": "{}" }),
        json!({ "state": state, "delegation": "{}" }),
        json!({ "state": state, "delegation": "not json" }),
        json!({ "state": state, "delegation": huge }),
        json!({ "state": state }),
        json!([]),
    ];
    for body in bodies {
        let page = browser.post_json(&redeem, &body).await;
        let shown = body.to_string();
        assert!(
            page.status.is_client_error(),
            "{}: {}",
            &shown[..shown.len().min(80)],
            page.status
        );
        assert!(!page.body.contains("redirect"), "{}", page.body);
    }
}

#[tokio::test]
async fn the_link_to_internet_identity_has_what_its_page_needs() {
    let stack = Stack::start().await;
    let client = client(&stack).await;
    let link = client.consent_page(&mut Browser::new()).await;
    assert!(
        link.as_str()
            .starts_with(&format!("{}/mcp#", stack.devnet.ii_url())),
        "{link}"
    );
    let fragment: std::collections::BTreeMap<_, _> =
        url::form_urlencoded::parse(link.fragment().unwrap_or_default().as_bytes())
            .into_owned()
            .collect();
    assert_eq!(
        fragment["callback"],
        client.server.endpoint("connect/callback").as_str()
    );
    assert!(!fragment["state"].is_empty());
    assert!(!fragment["registration_key"].is_empty());
    assert!(fragment["ttl"].parse::<u64>().is_ok());
}

#[tokio::test]
async fn the_callback_page_keeps_the_delegation_to_itself() {
    let stack = Stack::start().await;
    let client = client(&stack).await;
    let url: Url = client.server.endpoint("connect/callback");
    let page = Browser::new().get(&url).await;
    let header = |name: &str| {
        page.headers
            .get(name)
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
            .to_owned()
    };
    let policy = header("content-security-policy");
    for rule in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
        "'nonce-",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("unsafe-inline"), "{policy}");
    assert_eq!(header("referrer-policy"), "no-referrer");
    assert_eq!(header("x-content-type-options"), "nosniff");
    assert!(
        page.body.contains("replaceState"),
        "the script scrubs the fragment from the address"
    );
}

#[tokio::test]
async fn a_refused_consent_goes_back_to_the_client() {
    let stack = Stack::start().await;
    let client = client(&stack).await;
    let mut browser = Browser::new();
    let page = browser.get(&client.authorization().url).await;
    let redirect = browser.choose(&page, "deny").await.link("Back to the app");
    let query: std::collections::BTreeMap<_, _> = redirect.query_pairs().into_owned().collect();
    assert_eq!(query["error"], "access_denied");
    assert_eq!(query["state"], "client state & more");
    assert!(query.contains_key("iss"), "{redirect}");
}
