//! What somebody without a token can make the server remember is bounded, and hurts nobody who has one.

use icgate_system::{Browser, Client, Consent, Era, Instance, Stack, http_client};
use serde_json::json;

use crate::APP;

/// More sign-ins than the server keeps on their way at a time.
const SIGN_INS: usize = 1_100;
const REGISTRATIONS: usize = 500;
const AT_ONCE: usize = 10;

/// Goes to Internet Identity and never comes back. The server may refuse, but not fail.
async fn abandon(client: &Client) {
    let mut browser = Browser::new();
    let page = browser.get(&client.authorization().url).await;
    if page.status.is_success() {
        let answer = browser.submit(&page).await;
        assert_ne!(answer.status.as_u16(), 500, "{}", answer.body);
    } else {
        assert!(
            page.status.is_client_error() || page.status.as_u16() == 503,
            "{}",
            page.status
        );
    }
}

#[tokio::test]
async fn abandoned_sign_ins_hurt_nobody_who_is_signed_in() {
    let stack = Stack::start().await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    let before = agent.principal(APP, None).await;
    let stranger = Client::register(stack.auth_server(Instance::Beta)).await;

    let mut first = Browser::new();
    let link = stranger.consent_page(&mut first).await;
    for _ in 0..SIGN_INS / AT_ONCE {
        let wave: Vec<_> = (0..AT_ONCE)
            .map(|_| {
                let stranger = stranger.clone();
                tokio::spawn(async move { abandon(&stranger).await })
            })
            .collect();
        for one in wave {
            one.await.expect("an abandoned sign-in");
        }
    }

    assert_eq!(agent.principal(APP, None).await, before);
    client.refreshed(&tokens.refresh_token).await;
    // The oldest sign-in had to make room; its person is told, and a new one works.
    let late = stack
        .devnet
        .consent("ii", link.as_str(), &Consent::default())
        .await;
    let page = stranger.callback(&mut first, &late).await;
    assert!(
        page.status.is_client_error(),
        "{}: {}",
        page.status,
        page.body
    );
    let bob = Consent {
        anchor: 10_001,
        ..Consent::default()
    };
    stack.sign_in(Instance::Beta, &bob).await;
}

#[tokio::test]
async fn registrations_nobody_uses_hurt_nobody_who_is_signed_in() {
    let stack = Stack::start().await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let http = http_client();
    let endpoint = stack.auth_server(Instance::Beta).endpoint("register");
    let body = json!({
        "client_name": "x".repeat(500),
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    });
    for _ in 0..REGISTRATIONS {
        let answer = http
            .post(endpoint.clone())
            .json(&body)
            .send()
            .await
            .expect("an answer");
        assert!(!answer.status().is_server_error(), "{}", answer.status());
    }
    let next = client.refreshed(&tokens.refresh_token).await;
    stack
        .mcp(Instance::Beta, Era::Modern, &next.access_token)
        .tools()
        .await;
}
