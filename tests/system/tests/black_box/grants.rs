//! What the person granted at Internet Identity bounds everything, and its end is the end.

use icgate_system::{Call, Consent, Era, Instance, McpClient, Stack};
use reqwest::StatusCode;
use serde_json::json;

use crate::APP;

/// The user's connection is over: the agent is told so once, in a sentence, without a storm of requests to
/// Internet Identity; from then on the token is refused.
async fn assert_ends(stack: &Stack, agent: &McpClient) {
    stack.devnet.reset_requests().await;
    let app = stack.devnet.canister("app");
    // At an app where no delegation is at hand, so that Internet Identity has to be asked.
    let error = agent
        .canister(Call::query(app, "whoami", "()").at("fresh.example"))
        .await
        .fails_with("CONNECTION_ENDED");
    assert!(
        error.contains("Ask the user to reconnect"),
        "says what to do: {error}"
    );
    let asked = stack.devnet.requests_to("ii").await;
    assert!(
        (1..=2).contains(&asked.len()),
        "one question, no retry storm: {asked:?}"
    );

    stack.devnet.reset_requests().await;
    for _ in 0..3 {
        let answer = agent
            .call_raw("get_principal", json!({ "domain": APP }))
            .await;
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
        let challenge = answer.headers["www-authenticate"]
            .to_str()
            .unwrap_or_default()
            .to_owned();
        assert!(challenge.contains("invalid_token"), "{challenge}");
        assert!(challenge.contains("resource_metadata="), "{challenge}");
    }
    let asked = stack.devnet.requests_to("ii").await;
    assert!(
        asked.is_empty(),
        "an ended connection asks nobody: {asked:?}"
    );
}

#[tokio::test]
async fn a_revoked_grant_ends_the_connection() {
    let stack = Stack::start().await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;
    stack.devnet.revoke("ii", 10_000).await;
    assert_ends(&stack, &agent).await;
    let (status, body) = client.refresh(&tokens.refresh_token).await;
    assert_eq!(
        (status, &body["error"]),
        (StatusCode::BAD_REQUEST, &"invalid_grant".into())
    );
}

#[tokio::test]
async fn an_expired_grant_ends_the_connection() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    stack.devnet.expire_grant("ii", 10_000).await;
    assert_ends(&stack, &agent).await;
}

#[tokio::test]
async fn connecting_again_after_a_revocation_works() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let before = agent.principal(APP, None).await;
    stack.devnet.revoke("ii", 10_000).await;
    let again = stack.agent().await;
    assert_eq!(
        again.principal(APP, None).await,
        before,
        "the same person at the same app"
    );
}

#[tokio::test]
async fn a_read_only_grant_is_refused_before_an_update_leaves() {
    let stack = Stack::start().await;
    let consent = Consent {
        access: "queries",
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &consent).await;
    assert_eq!(tokens.scope, "ic:read");
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    let app = stack.devnet.canister("app");
    let seen = agent
        .canister(Call::query(app, "whoami", "()").at(APP))
        .await
        .ok();
    assert!(!seen.contains(crate::ANONYMOUS), "{seen}");

    stack.devnet.reset_requests().await;
    let error = agent
        .canister(Call::update(app, "increment", "()").at(APP))
        .await
        .fails_with("READ_ONLY");
    assert!(error.contains("ask the user to reconnect"), "{error}");
    let sent = stack.devnet.requests_to("app").await;
    assert!(
        sent.iter().all(|request| request.endpoint != "call"),
        "{sent:?}"
    );
    let count = agent.canister(Call::query(app, "count", "()")).await.ok();
    assert!(count.contains('0'), "{count}");
}

#[tokio::test]
async fn a_token_lives_no_longer_than_the_grant() {
    let stack = Stack::start().await;
    let consent = Consent {
        ttl_seconds: Some(900),
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &consent).await;
    assert!(tokens.expires_in <= 900, "{}", tokens.expires_in);
}

#[tokio::test]
async fn two_people_never_meet() {
    let stack = Stack::start().await;
    let alice = stack.agent().await;
    let bob = Consent {
        anchor: 10_001,
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &bob).await;
    let bob = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    assert_ne!(
        alice.principal(APP, None).await,
        bob.principal(APP, None).await
    );
    // Both again, now from what is cached.
    assert_ne!(
        alice.principal(APP, None).await,
        bob.principal(APP, None).await
    );
}
