//! Clients and redirect addresses that the operator brings along.

use std::fs;

use icgate_system::{
    AuthServer, Browser, Client, Consent, Era, Instance, REDIRECT_URI, Stack, http_client,
};
use reqwest::StatusCode;
use serde_json::{Value, json};

use crate::APP;

#[tokio::test]
async fn a_client_of_the_operators_file_signs_in_without_registering() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let file = dir.path().join("clients.json");
    let imported = json!({ "clients": [{
        "client_id": "house-agent",
        "client_name": "House agent",
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
    }] });
    fs::write(&file, imported.to_string()).expect("the file of clients");
    let settings = format!("oauth_clients_file = \"{}\"\n", file.display());
    let stack = Stack::start_with(&settings).await;
    let client = Client {
        client_id: "house-agent".to_owned(),
        redirect_uri: REDIRECT_URI.to_owned(),
        ..Client::at(stack.auth_server(Instance::Beta))
    };
    let mut browser = Browser::new();
    let page = browser.get(&client.authorization().url).await;
    assert!(page.body.contains("House agent"), "{}", page.body);
    let code = client
        .authorize(&mut browser, &stack.devnet, &Consent::default())
        .await;
    let tokens = client.redeem(&code).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;
}

/// Registers a client with this address alone.
async fn registers(server: &AuthServer, redirect_uri: &str) -> (StatusCode, Value) {
    let metadata = json!({ "redirect_uris": [redirect_uri], "token_endpoint_auth_method": "none" });
    let answer = http_client()
        .post(server.endpoint("register"))
        .json(&metadata)
        .send()
        .await
        .expect("an answer");
    (answer.status(), answer.json().await.expect("JSON"))
}

#[tokio::test]
async fn a_redirect_prefix_of_the_operator_is_allowed_and_nothing_beside_it() {
    const ALLOWED: &str = "https://app.example/mcp/callback";
    let settings = format!("oauth_allowed_redirect_prefixes = [\"{ALLOWED}\"]\n");
    let stack = Stack::start_with(&settings).await;
    let server = stack.auth_server(Instance::Beta);
    for refused in [
        "https://app.example/mcp/callbacks",
        "https://app.example/mcp",
        "https://app.example/mcp/callback/%2e%2e/x",
        "https://other.app.example/mcp/callback",
        "https://app.example.evil.example/mcp/callback",
        "http://app.example/mcp/callback",
    ] {
        let (status, body) = registers(&server, refused).await;
        assert!(status.is_client_error(), "{refused}: {status}: {body}");
    }
    let client = Client::register_at(server, &format!("{ALLOWED}/one")).await;
    let code = client
        .authorize(&mut Browser::new(), &stack.devnet, &Consent::default())
        .await;
    client.redeem(&code).await;

    // Without the operator's word it is a stranger's address.
    let plain = Stack::start().await;
    let (status, body) = registers(&plain.auth_server(Instance::Beta), ALLOWED).await;
    assert!(status.is_client_error(), "{status}: {body}");
}
