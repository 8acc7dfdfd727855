//! A call that needs more than the token may do: what clients are told, and how they get it.

use icgate_system::{AuthServer, Browser, Call, Client, Consent, Era, Instance, Stack, Tokens};
use reqwest::{StatusCode, header::WWW_AUTHENTICATE};

use crate::APP;

/// Signs in with these scopes and no other.
async fn sign_in(stack: &Stack, client: &Client, scopes: &str) -> Tokens {
    let consent = Consent::default();
    client.sign_in(&stack.devnet, &consent, scopes).await
}

/// The parameters of a challenge, in a standard client's reading.
fn parameter<'a>(challenge: &'a str, name: &str) -> &'a str {
    let start = format!("{name}=\"");
    let (_, rest) = challenge
        .split_once(&start)
        .unwrap_or_else(|| panic!("{name} in {challenge}"));
    rest.split_once('"').expect("a closing quote").0
}

#[tokio::test]
async fn a_call_beyond_the_scope_is_challenged_and_works_after_stepping_up() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let reader = sign_in(&stack, &client, "ic:read").await;
    assert_eq!(reader.scope, "ic:read");
    let app = stack.devnet.canister("app");
    let update = Call::update(app, "increment", "()").at(APP);

    stack.devnet.reset_requests().await;
    for era in [Era::Legacy, Era::Modern] {
        let agent = stack.mcp(Instance::Beta, era, &reader.access_token);
        let answer = agent.call_raw("call_canister", update.arguments()).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
        let challenges: Vec<_> = answer.headers.get_all(WWW_AUTHENTICATE).iter().collect();
        let [challenge] = challenges.as_slice() else {
            panic!("one challenge: {challenges:?}");
        };
        let challenge = challenge.to_str().expect("ASCII");
        assert!(challenge.starts_with("Bearer "), "{challenge}");
        assert_eq!(parameter(challenge, "error"), "insufficient_scope");
        assert_eq!(
            parameter(challenge, "scope"),
            "ic:read ic:write",
            "those it has and those it needs: some clients replace theirs"
        );
        assert_eq!(
            parameter(challenge, "resource_metadata"),
            format!(
                "{}/.well-known/oauth-protected-resource/mcp",
                stack.gateway.url()
            )
        );
        assert!(parameter(challenge, "error_description").contains("ic:write"));
        // A client that only shows text shows this, as the answer to its request.
        assert_eq!(answer.message["jsonrpc"], "2.0");
        assert_eq!(answer.message["id"], 1, "{}", answer.text);
        let sentence = answer.message["error"]["message"]
            .as_str()
            .unwrap_or_default();
        assert!(
            sentence.contains("sign in to this server again"),
            "{sentence}"
        );
        assert!(answer.message.get("result").is_none());
    }
    let sent = stack.devnet.requests_to("app").await;
    assert!(sent.is_empty(), "{sent:?}");

    let stepped_up = sign_in(&stack, &client, "ic:read ic:write").await;
    assert_eq!(stepped_up.scope, "ic:read ic:write");
    let agent = stack.mcp(Instance::Beta, Era::Modern, &stepped_up.access_token);
    agent.canister(update).await.ok();
}

#[tokio::test]
async fn a_payment_asks_for_every_scope_that_it_will_need() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let manager = sign_in(&stack, &client, "ic:manage").await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &manager.access_token);
    for (tool, arguments, scopes) in [
        ("cycles_balance", serde_json::json!({}), "ic:read ic:manage"),
        (
            "create_canister",
            serde_json::json!({ "cycles": "1T" }),
            "ic:write ic:manage",
        ),
        (
            "resume_funding",
            serde_json::json!({}),
            "ic:write ic:manage",
        ),
    ] {
        let answer = agent.call_raw(tool, arguments).await;
        assert_eq!(answer.status, StatusCode::FORBIDDEN, "{}", answer.text);
        let challenge = answer.headers[WWW_AUTHENTICATE].to_str().expect("ASCII");
        assert_eq!(parameter(challenge, "scope"), scopes, "{tool}");
    }
    // Nothing was begun that the connection could not have finished.
    let payer = sign_in(&stack, &client, "ic:write ic:manage").await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &payer.access_token);
    let resumed = agent.call("resume_funding", serde_json::json!({})).await;
    assert_eq!(resumed.structured["payments"], serde_json::json!([]));
    agent
        .call("create_canister", serde_json::json!({ "cycles": "1T" }))
        .await
        .fails_with("INSUFFICIENT_FUNDS");
}

#[tokio::test]
async fn what_a_token_covers_is_not_challenged() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Prod)).await;
    let reader = sign_in(&stack, &client, "ic:read").await;
    let agent = stack.mcp(Instance::Prod, Era::Modern, &reader.access_token);
    agent.tools().await;
    let app = stack.devnet.canister("app");
    agent.canister(Call::query(app, "count", "()")).await.ok();
    // What is no call of a tool is the service's to answer.
    let unknown = agent.call_raw("no_such_tool", serde_json::json!({})).await;
    assert_eq!(unknown.message["error"]["code"], -32602, "{}", unknown.text);
    let update = Call::update(app, "increment", "()").arguments();
    let refused = agent.call_raw("call_canister", update).await;
    let challenge = refused.headers[WWW_AUTHENTICATE].to_str().expect("ASCII");
    assert!(
        parameter(challenge, "resource_metadata").ends_with("/mcp-prod"),
        "{challenge}"
    );
}

#[tokio::test]
async fn a_read_only_grant_is_no_question_of_scopes() {
    let stack = Stack::start().await;
    let consent = Consent {
        access: "queries",
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &consent).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    let update = Call::update(stack.devnet.canister("app"), "increment", "()");
    let told = agent.canister(update.at(APP)).await.fails_with("READ_ONLY");
    assert!(told.contains("Actions & questions"), "{told}");
}

/// The endpoint that a stepped-up request goes to is the one that offers the scopes.
#[tokio::test]
async fn the_consent_page_of_a_step_up_offers_both_scopes() {
    let stack = Stack::start().await;
    let client = Client::register(AuthServer::new(stack.gateway.url(), Instance::Beta)).await;
    let mut url = client.authorization().url;
    url.query_pairs_mut()
        .append_pair("scope", "ic:read ic:manage offline_access");
    let page = Browser::new().get(&url).await;
    assert!(page.body.contains("value=\"ic:read\""), "{}", page.body);
    assert!(page.body.contains("value=\"ic:manage\""), "{}", page.body);
    assert!(!page.body.contains("value=\"ic:write\""), "{}", page.body);
}
