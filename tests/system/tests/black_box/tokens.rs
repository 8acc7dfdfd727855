//! Codes and tokens: single use, rotation, lost answers, theft.

use std::time::Duration;

use icgate_system::{Browser, Client, Consent, Device, Era, Instance, Stack, Tokens, until_every};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::APP;

/// Above the time in which a spent refresh token still counts as a retry.
const GRACE_BOUND: Duration = Duration::from_secs(60);
const PATIENCE: Duration = Duration::from_secs(1);

fn assert_invalid_grant((status, body): (StatusCode, Value)) {
    assert_eq!(
        (status, &body["error"]),
        (StatusCode::BAD_REQUEST, &"invalid_grant".into()),
        "{body}"
    );
}

/// The HTTP status of a request with an access token.
async fn status_with(stack: &Stack, tokens: &Tokens) -> StatusCode {
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.request("tools/list", json!({})).await.status
}

#[tokio::test]
async fn a_refresh_rotates_and_keeps_the_person() {
    let stack = Stack::start().await;
    let (client, first) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &first.access_token);
    let before = agent.principal(APP, None).await;
    let second = client.refreshed(&first.refresh_token).await;
    assert_ne!(second.access_token, first.access_token);
    assert_ne!(second.refresh_token, first.refresh_token);
    assert_eq!(
        second.scope, first.scope,
        "a refresh without a scope keeps the scope"
    );
    let agent = stack.mcp(Instance::Beta, Era::Modern, &second.access_token);
    assert_eq!(agent.principal(APP, None).await, before);
    let third = client.refreshed(&second.refresh_token).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &third.access_token);
    assert_eq!(agent.principal(APP, None).await, before);
}

#[tokio::test]
async fn a_lost_refresh_answer_is_given_again() {
    let stack = Stack::start().await;
    let (client, first) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let lost = client.refreshed(&first.refresh_token).await;
    let again = client.refreshed(&first.refresh_token).await;
    assert_eq!(
        lost.refresh_token, again.refresh_token,
        "the same successor"
    );
    let agent = stack.mcp(Instance::Beta, Era::Modern, &again.access_token);
    agent.principal(APP, None).await;
    client.refreshed(&again.refresh_token).await;
}

#[tokio::test]
async fn a_lost_refresh_answer_is_given_again_after_a_crash() {
    let mut stack = Stack::start().await;
    let (client, first) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let lost = client.refreshed(&first.refresh_token).await;
    stack.gateway.kill();
    stack.gateway.restart().await;
    let again = client.refreshed(&first.refresh_token).await;
    assert_eq!(
        lost.refresh_token, again.refresh_token,
        "the same successor"
    );
    let agent = stack.mcp(Instance::Beta, Era::Modern, &again.access_token);
    agent.principal(APP, None).await;
}

#[tokio::test]
async fn a_stolen_refresh_token_ends_the_whole_family() {
    let stack = Stack::start().await;
    let (client, first) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let second = client.refreshed(&first.refresh_token).await;
    let third = client.refreshed(&second.refresh_token).await;
    // The first token's successor has been presented: after the grace of a lost answer, whoever shows the first one
    // is not the client.
    let replay = until_every(PATIENCE, "the grace to be over", GRACE_BOUND, || async {
        let answer = client.refresh(&first.refresh_token).await;
        (answer.0 != StatusCode::OK).then_some(answer)
    })
    .await;
    assert_invalid_grant(replay);
    assert_invalid_grant(client.refresh(&third.refresh_token).await);
    assert_eq!(status_with(&stack, &third).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_code_is_exchanged_once_and_a_retry_harms_nothing() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let mut browser = Browser::new();
    let code = client
        .authorize(&mut browser, &stack.devnet, &Consent::default())
        .await;
    let tokens = client.redeem(&code).await;
    assert_eq!(status_with(&stack, &tokens).await, StatusCode::OK);
    assert_invalid_grant(client.exchange(&code).await);
    assert_eq!(status_with(&stack, &tokens).await, StatusCode::OK);
    client.refreshed(&tokens.refresh_token).await;
}

#[tokio::test]
async fn a_code_needs_its_verifier_and_its_client() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let other = Client::register(stack.auth_server(Instance::Beta)).await;
    let code = client
        .authorize(&mut Browser::new(), &stack.devnet, &Consent::default())
        .await;
    let (status, body) = other.exchange(&code).await;
    assert!(status.is_client_error(), "{body}");

    let code = client
        .authorize(&mut Browser::new(), &stack.devnet, &Consent::default())
        .await;
    let wrong = "x".repeat(43);
    let form = [
        ("grant_type", "authorization_code"),
        ("code", code.as_str()),
        ("redirect_uri", "http://127.0.0.1:33999/callback"),
        ("client_id", client.client_id.as_str()),
        ("code_verifier", wrong.as_str()),
    ];
    assert_invalid_grant(client.server.post("token", &form).await);
}

#[tokio::test]
async fn a_resource_of_another_server_is_refused_wherever_it_is_named() {
    let stack = Stack::start().await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let device = Device::register(client.server.clone()).await;
    let sibling = stack.mcp_url(Instance::Prod);
    for foreign in ["https://other.example/mcp", sibling.as_str()] {
        let refresh = [
            ("grant_type", "refresh_token"),
            ("refresh_token", tokens.refresh_token.as_str()),
            ("client_id", client.client_id.as_str()),
            ("resource", foreign),
        ];
        let codes = [
            ("client_id", device.client_id.as_str()),
            ("resource", foreign),
        ];
        for (endpoint, form) in [
            ("token", refresh.as_slice()),
            ("device_authorization", codes.as_slice()),
        ] {
            let (status, body) = client.server.post(endpoint, form).await;
            assert_eq!(status, StatusCode::BAD_REQUEST, "{endpoint}: {body}");
            assert_eq!(body["error"], "invalid_target", "{endpoint}");
        }
        let mut url = client.authorization().url;
        let asked: Vec<_> = url.query_pairs().into_owned().collect();
        let asked = asked.iter().filter(|(name, _)| name != "resource");
        url.query_pairs_mut()
            .clear()
            .extend_pairs(asked)
            .append_pair("resource", foreign);
        let page = Browser::new().get(&url).await;
        assert_eq!(client.returned(&page.redirect())["error"], "invalid_target");
    }
    client.refreshed(&tokens.refresh_token).await;
}

#[tokio::test]
async fn a_revoked_token_is_over() {
    let stack = Stack::start().await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let form = [
        ("token", tokens.refresh_token.as_str()),
        ("client_id", client.client_id.as_str()),
    ];
    let (status, body) = client.server.post("revoke", &form).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(status_with(&stack, &tokens).await, StatusCode::UNAUTHORIZED);
    assert_invalid_grant(client.refresh(&tokens.refresh_token).await);
}
