//! The earlier handshake, `key-request`: Internet Identity's page fetches a session key and the user registers it.

use std::collections::BTreeMap;

use icgate_system::{
    AuthServer, Browser, Call, Client, Consent, Era, Handshake, Instance, Page, Stack, http_client,
};
use reqwest::{Response, StatusCode, header};
use serde_json::{Value, json};
use url::Url;

use crate::APP;

async fn stack() -> Stack {
    Stack::start_by(Handshake::KeyRequest).await
}

async fn client(stack: &Stack) -> Client {
    Client::register(stack.auth_server(Instance::Beta)).await
}

/// What anybody can send to the callback endpoint.
async fn say(server: &AuthServer, body: &Value) -> Response {
    http_client()
        .post(server.endpoint("connect/callback"))
        .json(body)
        .send()
        .await
        .expect("an answer of the callback endpoint")
}

/// Asks for a session key as Internet Identity's page does: gives status and answer.
async fn key(server: &AuthServer, state: &str) -> (StatusCode, Value) {
    let answer = say(server, &json!({ "state": state })).await;
    let status = answer.status();
    (status, answer.json().await.expect("JSON"))
}

fn state_of(link: &Url) -> String {
    let fragment = link.fragment().unwrap_or_default().as_bytes();
    let fragment: BTreeMap<_, _> = url::form_urlencoded::parse(fragment).into_owned().collect();
    assert!(!fragment.contains_key("registration_key"), "{link}");
    fragment["state"].clone()
}

/// The sign-in is not complete and gives nothing away.
fn assert_not_finished(page: &Page, status: StatusCode) {
    assert_eq!(page.status, status, "{}", page.body);
    let answer = page.json();
    assert!(answer.get("redirect").is_none(), "{answer}");
    assert!(
        answer["error"]
            .as_str()
            .is_some_and(|text| !text.is_empty())
    );
}

#[tokio::test]
async fn a_person_signs_in_and_acts_at_both_instances() {
    let stack = stack().await;
    for instance in [Instance::Beta, Instance::Prod] {
        let (client, tokens) = stack.sign_in(instance, &Consent::default()).await;
        assert_eq!(tokens.scope, "ic:read ic:write");
        let agent = stack.mcp(instance, Era::Modern, &tokens.access_token);
        let app = stack.devnet.canister("app");
        let call = Call::update(app, "whoami_update", "()").at(APP);
        let answer = agent.canister(call).await.text;
        let expected = agent.principal(APP, None).await;
        assert!(answer.contains(&expected), "{expected}: {answer}");
        client.refreshed(&tokens.refresh_token).await;
    }
}

#[tokio::test]
async fn a_lost_completion_changes_nothing() {
    let stack = stack().await;
    let lost = Consent {
        fault: Some("lost_completion"),
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &lost).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;
}

#[tokio::test]
async fn a_lost_key_costs_a_key_and_no_sign_in() {
    let stack = stack().await;
    let lost = Consent {
        fault: Some("lost_key"),
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &lost).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;
}

/// What the grant allows is read from what Internet Identity signs, not from the notice.
#[tokio::test]
async fn questions_only_is_noticed_without_a_notice() {
    let stack = stack().await;
    for fault in [None, Some("lost_completion")] {
        let questions = Consent {
            access: "queries",
            fault,
            ..Consent::default()
        };
        let (_client, tokens) = stack.sign_in(Instance::Beta, &questions).await;
        assert_eq!(tokens.scope, "ic:read", "{fault:?}");
    }
}

#[tokio::test]
async fn a_forged_notice_can_only_take_away() {
    let stack = stack().await;
    let client = client(&stack).await;
    let mut browser = Browser::new();
    let link = client.consent_page(&mut browser).await;
    let forged = json!({
        "state": state_of(&link),
        "expiration": u64::MAX.to_string(),
        "permissions": "all",
    });
    assert_eq!(
        say(&client.server, &forged).await.status(),
        StatusCode::NO_CONTENT
    );
    let questions = Consent {
        access: "queries",
        fault: Some("lost_completion"),
        ..Consent::default()
    };
    let callback = stack.devnet.consent("ii", link.as_str(), &questions).await;
    let page = client.callback(&mut browser, &callback).await;
    let address = page.json()["redirect"]
        .as_str()
        .expect("a redirect")
        .parse();
    let code = client.returned(&address.expect("a URL"))["code"].clone();
    let tokens = client.redeem(&code).await;
    assert_eq!(tokens.scope, "ic:read");
    // A day is what the link proposes; a grant of Internet Identity may last thirty.
    assert!(tokens.expires_in <= 3_600);
}

#[tokio::test]
async fn a_shorter_grant_ends_the_connection_when_it_ends() {
    let stack = stack().await;
    let short = Consent {
        ttl_seconds: Some(600),
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &short).await;
    assert!(
        (1..=600).contains(&tokens.expires_in),
        "{}",
        tokens.expires_in
    );

    let lost = Consent {
        fault: Some("lost_completion"),
        ..short
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &lost).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;
    stack.devnet.expire_grant("ii", 10_000).await;
    let call = Call::query(stack.devnet.canister("app"), "whoami", "()").at("fresh.example");
    agent.canister(call).await.fails_with("CONNECTION_ENDED");
}

/// Fixation: somebody starts a sign-in and has another person consent to it.
#[tokio::test]
async fn neither_the_browser_that_began_nor_the_one_that_consented_finishes_alone() {
    let stack = stack().await;
    let client = client(&stack).await;
    let (mut attacker, mut victim) = (Browser::new(), Browser::new());
    let link = client.consent_page(&mut attacker).await;
    let callback = stack
        .devnet
        .consent("ii", link.as_str(), &Consent::default())
        .await;

    let page = client.callback(&mut victim, &callback).await;
    assert_not_finished(&page, StatusCode::BAD_REQUEST);
    let guessed = format!("icg_fs_{}", "A".repeat(43));
    for finish in [guessed.as_str(), "", "nonsense"] {
        let body = json!({ "state": state_of(&link), "finish": finish });
        let redeem = client.server.endpoint("connect/redeem");
        let page = attacker.post_json(&redeem, &body).await;
        assert_not_finished(&page, StatusCode::BAD_REQUEST);
    }
    // The same browser with both is what it is made for.
    let page = client.callback(&mut attacker, &callback).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
}

/// Detached key: whoever began the sign-in fetches a key in the name of Internet Identity's page, before or after it,
/// and hopes that the victim registers it.
#[tokio::test]
async fn a_key_that_somebody_else_fetched_is_never_registered() {
    let stack = stack().await;
    let client = client(&stack).await;
    let (mut attacker, mut victim) = (Browser::new(), Browser::new());
    let link = client.consent_page(&mut attacker).await;
    let (status, before) = key(&client.server, &state_of(&link)).await;
    assert_eq!(status, StatusCode::OK, "{before}");
    let callback = stack
        .devnet
        .consent("ii", link.as_str(), &Consent::default())
        .await;
    let (status, after) = key(&client.server, &state_of(&link)).await;
    assert_eq!(status, StatusCode::OK, "{after}");
    assert_ne!(before["public_key"], after["public_key"]);

    for stolen in [&before, &after] {
        let finish = stolen["finish_url"].as_str().expect("a finish_url");
        let page = client.callback(&mut attacker, finish).await;
        // The page would wait for the person; nobody registers this key.
        assert_not_finished(&page, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(page.json()["wait"], true);
    }
    let page = client.callback(&mut victim, &callback).await;
    assert_not_finished(&page, StatusCode::BAD_REQUEST);
    // All keys are given away.
    let (status, answer) = key(&client.server, &state_of(&link)).await;
    assert_eq!(
        (status, answer),
        (StatusCode::FORBIDDEN, json!({ "error": "invalid_state" }))
    );
}

#[tokio::test]
async fn the_callback_endpoint_answers_pages_of_internet_identity_only_and_never_redirects() {
    let stack = stack().await;
    let client = client(&stack).await;
    let server = &client.server;
    let (status, answer) = key(server, "unknown").await;
    assert_eq!(
        (status, answer),
        (StatusCode::FORBIDDEN, json!({ "error": "invalid_state" }))
    );
    // Late notices are no failures, whatever they say.
    for expiration in [json!("1"), json!("nonsense"), json!(7), json!({})] {
        let notice = json!({ "state": "unknown", "expiration": expiration });
        assert_eq!(say(server, &notice).await.status(), StatusCode::NO_CONTENT);
    }
    for nonsense in [
        json!([]),
        json!({}),
        json!({ "state": 1 }),
        json!("x".repeat(10_000)),
    ] {
        let status = say(server, &nonsense).await.status();
        assert!(status.is_client_error(), "{status}");
    }
    let link = client.consent_page(&mut Browser::new()).await;
    for (origin, readable) in [
        (stack.devnet.ii_url(), true),
        ("https://evil.example", false),
    ] {
        let answer = http_client()
            .post(server.endpoint("connect/callback"))
            .header(header::ORIGIN, origin)
            .json(&json!({ "state": state_of(&link) }))
            .send()
            .await
            .expect("an answer");
        let allowed = answer.headers().get(header::ACCESS_CONTROL_ALLOW_ORIGIN);
        assert_eq!(allowed.is_some(), readable, "{origin}");
    }
}
