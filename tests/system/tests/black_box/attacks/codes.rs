//! What is done with an authorization code that somebody else holds as well.

use futures_util::future::join_all;
use icgate_system::{Browser, Client, Consent, Era, Instance, Stack};
use reqwest::StatusCode;
use serde_json::{Value, json};
use url::Url;

const AT_ONCE: usize = 50;

async fn signed_in(stack: &Stack) -> (Client, String) {
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let code = client
        .authorize(&mut Browser::new(), &stack.devnet, &Consent::default())
        .await;
    (client, code)
}

async fn status_with(stack: &Stack, token: &Value) -> StatusCode {
    let token = token["access_token"].as_str().expect("an access token");
    let agent = stack.mcp(Instance::Beta, Era::Modern, token);
    agent.request("tools/list", json!({})).await.status
}

#[tokio::test]
async fn code_replay_of_fifty_exchanges_at_once_exactly_one_wins() {
    let stack = Stack::start().await;
    let (client, code) = signed_in(&stack).await;
    // A connection each, so that they really arrive at the same time.
    let exchanges = (0..AT_ONCE).map(|_| {
        let client = Client {
            server: stack.auth_server(Instance::Beta),
            ..client.clone()
        };
        let code = code.clone();
        tokio::spawn(async move { client.exchange(&code).await })
    });
    let (mut won, mut refused) = (Vec::new(), 0);
    for answer in join_all(exchanges).await {
        let (status, body) = answer.expect("an exchange");
        if status == StatusCode::OK {
            won.push(body);
        } else {
            assert_eq!(
                (status, &body["error"]),
                (StatusCode::BAD_REQUEST, &"invalid_grant".into()),
                "{body}"
            );
            refused += 1;
        }
    }
    assert_eq!((won.len(), refused), (1, AT_ONCE - 1));
    assert_eq!(status_with(&stack, &won[0]).await, StatusCode::OK);
    let refresh = won[0]["refresh_token"].as_str().expect("a refresh token");
    client.refreshed(refresh).await;
}

#[tokio::test]
async fn code_replay_with_another_verifier_ends_what_the_code_issued() {
    let stack = Stack::start().await;
    let (client, code) = signed_in(&stack).await;
    let (_, tokens) = client.exchange(&code).await;
    assert_eq!(status_with(&stack, &tokens).await, StatusCode::OK);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("client_id", client.client_id.as_str()),
        ("code_verifier", &"x".repeat(43)),
    ];
    let (status, body) = client.server.post("token", &form).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(status_with(&stack, &tokens).await, StatusCode::UNAUTHORIZED);
    let refresh = tokens["refresh_token"].as_str().expect("a refresh token");
    assert_eq!(client.refresh(refresh).await.0, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn pkce_downgrade_is_refused_at_both_ends() {
    let stack = Stack::start().await;
    let (client, code) = signed_in(&stack).await;
    let challenge = |url: &Url, method: Option<&str>, keep: bool| {
        let mut changed = url.clone();
        changed.query_pairs_mut().clear().extend_pairs(
            url.query_pairs()
                .filter(|(name, _)| name != "code_challenge_method")
                .filter(|(name, _)| keep || name != "code_challenge"),
        );
        if let Some(method) = method {
            changed
                .query_pairs_mut()
                .append_pair("code_challenge_method", method);
        }
        changed
    };
    let good = client.authorization().url;
    for url in [
        challenge(&good, Some("plain"), true),
        challenge(&good, None, true),
        challenge(&good, None, false),
        challenge(&good, Some("S256"), false),
    ] {
        let page = Browser::new().get(&url).await;
        let answer = page.redirect();
        let error = answer.query_pairs().find(|(name, _)| name == "error");
        assert_eq!(error.expect("an error").1, "invalid_request", "{url}");
    }
    // A code that was asked for with a challenge is not given to who leaves the verifier out.
    for verifier in [None, Some("")] {
        let mut form = vec![
            ("grant_type", "authorization_code"),
            ("code", code.as_str()),
            ("client_id", client.client_id.as_str()),
        ];
        form.extend(verifier.map(|verifier| ("code_verifier", verifier)));
        let (status, body) = client.server.post("token", &form).await;
        assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    }
    client.redeem(&code).await;
}

#[tokio::test]
async fn code_replay_after_a_kill_gives_nothing() {
    let mut stack = Stack::start().await;
    let (client, code) = signed_in(&stack).await;
    stack.gateway.kill();
    stack.gateway.restart().await;
    // What was issued before the kill is good after it, once.
    let (status, tokens) = client.exchange(&code).await;
    assert_eq!(status, StatusCode::OK, "{tokens}");
    stack.gateway.kill();
    stack.gateway.restart().await;
    let (status, body) = client.exchange(&code).await;
    assert_eq!(
        (status, &body["error"]),
        (StatusCode::BAD_REQUEST, &"invalid_grant".into()),
        "{body}"
    );
}
