//! The documents that clients find their way with.

use icgate_system::{Instance, Stack, http_client};
use reqwest::StatusCode;
use serde_json::Value;

async fn document(stack: &Stack, path: &str) -> Value {
    let url = format!("{}{path}", stack.gateway.url());
    // As a page of another site asks, Internet Identity's settings page among them.
    let request = http_client().get(&url).header("Origin", "https://id.ai");
    let answer = request.send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let kind = answer.headers()["content-type"]
        .to_str()
        .unwrap_or_default()
        .to_owned();
    assert!(kind.starts_with("application/json"), "{path}: {kind}");
    let allowed = answer.headers().get("access-control-allow-origin");
    assert!(
        allowed.is_some_and(|origin| origin == "*"),
        "{path}: readable from any page"
    );
    answer
        .json()
        .await
        .unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All that a token may be for.
fn scopes() -> Value {
    serde_json::json!(["ic:read", "ic:write", "ic:manage"])
}

#[tokio::test]
async fn the_resource_metadata_names_the_resource_and_its_issuer() {
    let stack = Stack::start().await;
    let base = stack.gateway.url();
    let places = [
        ("/.well-known/oauth-protected-resource", Instance::Beta),
        ("/.well-known/oauth-protected-resource/mcp", Instance::Beta),
        ("/mcp/.well-known/oauth-protected-resource", Instance::Beta),
        (
            "/.well-known/oauth-protected-resource/mcp-prod",
            Instance::Prod,
        ),
        (
            "/mcp-prod/.well-known/oauth-protected-resource",
            Instance::Prod,
        ),
    ];
    for (path, instance) in places {
        let found = document(&stack, path).await;
        assert_eq!(
            found["resource"],
            format!("{base}{}", instance.mcp_path()),
            "{path}"
        );
        let issuer = format!("{base}{}", instance.prefix());
        assert_eq!(
            found["authorization_servers"],
            serde_json::json!([issuer]),
            "{path}"
        );
        assert_eq!(found["scopes_supported"], scopes(), "{path}");
    }
}

#[tokio::test]
async fn the_authorization_server_metadata_is_what_rfc_8414_and_mcp_ask_for() {
    let stack = Stack::start().await;
    let base = stack.gateway.url();
    let places = [
        ("/.well-known/oauth-authorization-server", Instance::Beta),
        ("/.well-known/openid-configuration", Instance::Beta),
        (
            "/.well-known/oauth-authorization-server/prod",
            Instance::Prod,
        ),
        ("/.well-known/openid-configuration/prod", Instance::Prod),
        (
            "/prod/.well-known/oauth-authorization-server",
            Instance::Prod,
        ),
        ("/prod/.well-known/openid-configuration", Instance::Prod),
    ];
    for (path, instance) in places {
        let found = document(&stack, path).await;
        let issuer = format!("{base}{}", instance.prefix());
        assert_eq!(found["issuer"], issuer, "{path}");
        let endpoints = [
            ("authorization_endpoint", "authorize"),
            ("token_endpoint", "token"),
            ("registration_endpoint", "register"),
            ("revocation_endpoint", "revoke"),
        ];
        for (member, name) in endpoints {
            assert_eq!(found[member], format!("{issuer}/oauth/{name}"), "{path}");
        }
        assert_eq!(found["scopes_supported"], scopes(), "{path}");
        assert_eq!(
            found["response_types_supported"],
            serde_json::json!(["code"]),
            "{path}"
        );
        assert_eq!(
            found["code_challenge_methods_supported"],
            serde_json::json!(["S256"]),
            "{path}"
        );
        assert_eq!(
            found["authorization_response_iss_parameter_supported"], true,
            "{path}"
        );
        assert_eq!(
            found["client_id_metadata_document_supported"], true,
            "{path}"
        );
        let list = |member: &str| found[member].as_array().cloned().unwrap_or_default();
        assert!(
            list("token_endpoint_auth_methods_supported").contains(&"none".into()),
            "{found}"
        );
        for grant in ["authorization_code", "refresh_token"] {
            assert!(
                list("grant_types_supported").contains(&grant.into()),
                "{found}"
            );
        }
    }
}

#[tokio::test]
async fn internet_identity_finds_the_callbacks() {
    let stack = Stack::start().await;
    let base = stack.gateway.url();
    let found = document(&stack, "/.well-known/ii-auth-callbacks").await;
    let expected = serde_json::json!([
        format!("{base}/oauth/connect/callback"),
        format!("{base}/prod/oauth/connect/callback"),
    ]);
    assert_eq!(found["callbacks"], expected);
}

#[tokio::test]
async fn the_front_page_says_how_to_connect() {
    let stack = Stack::start().await;
    let answer = http_client()
        .get(stack.gateway.url())
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::OK);
    let page = answer.text().await.unwrap_or_default();
    assert!(page.contains("claude mcp add"), "{page}");
    assert!(page.contains(&stack.mcp_url(Instance::Beta)), "{page}");
}
