//! What belongs to one instance is nothing to the other.

use icgate_system::{Browser, Client, Consent, Era, Instance, Stack};
use reqwest::StatusCode;

#[tokio::test]
async fn a_token_of_one_instance_is_refused_at_the_other() {
    let stack = Stack::start().await;
    let pairs = [
        (Instance::Beta, Instance::Prod),
        (Instance::Prod, Instance::Beta),
    ];
    for (home, other) in pairs {
        let (_client, tokens) = stack.sign_in(home, &Consent::default()).await;
        for era in [Era::Legacy, Era::Modern] {
            let stranger = stack.mcp(other, era, &tokens.access_token);
            let answer = stranger.request("tools/list", serde_json::json!({})).await;
            assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
        }
        stack
            .mcp(home, Era::Modern, &tokens.access_token)
            .tools()
            .await;
    }
}

#[tokio::test]
async fn a_code_and_a_refresh_token_are_refused_at_the_other_instance() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let stranger = Client {
        server: stack.auth_server(Instance::Prod),
        // Registrations are shared by the instances; nothing else is.
        client_id: client.client_id.clone(),
        redirect_uri: client.redirect_uri.clone(),
    };
    let mut browser = Browser::new();
    let code = client
        .authorize(&mut browser, &stack.devnet, &Consent::default())
        .await;
    let (status, body) = stranger.exchange(&code).await;
    assert_eq!(
        (status, &body["error"]),
        (StatusCode::BAD_REQUEST, &"invalid_grant".into())
    );

    let tokens = client.redeem(&code).await;
    let (status, body) = stranger.refresh(&tokens.refresh_token).await;
    assert_eq!(
        (status, &body["error"]),
        (StatusCode::BAD_REQUEST, &"invalid_grant".into())
    );
    client.refreshed(&tokens.refresh_token).await;
}
