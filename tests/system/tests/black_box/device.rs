//! The device grant (RFC 8628): a client that polls, and a person with a browser elsewhere.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use icgate_system::{
    Browser, Call, Consent, Device, DeviceCodes, Era, Handshake, Instance, Stack, http_client,
};
use reqwest::StatusCode;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::APP;

const VERIFIER: &str = "test-verifier~0123456789-abcdefghijklmnopqrstuvwxyz";

async fn device(stack: &Stack) -> (Device, DeviceCodes) {
    let device = Device::register(stack.auth_server(Instance::Beta)).await;
    let codes = device.codes(&[]).await;
    (device, codes)
}

fn assert_error((status, body): (StatusCode, Value), error: &str) {
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(body["error"], error, "{body}");
}

async fn signs_in(handshake: Handshake) {
    let stack = Stack::start_by(handshake).await;
    for instance in [Instance::Beta, Instance::Prod] {
        let device = Device::register(stack.auth_server(instance)).await;
        let codes = device.codes(&[]).await;
        assert_eq!((codes.expires_in, codes.interval), (600, 5));
        assert_error(device.poll(&codes).await, "authorization_pending");

        let mut browser = Browser::new();
        let page = browser.get(&codes.verification_uri_complete).await;
        assert!(page.body.contains(&codes.user_code), "{}", page.body);
        let page = device.enter(&mut browser, &codes, &codes.user_code).await;
        for shown in [
            "television",
            "127.0.0.1",
            "less than a minute ago",
            &codes.user_code,
        ] {
            assert!(page.body.contains(shown), "{shown}:\n{}", page.body);
        }
        let page = device
            .signed_in(&mut browser, &stack.devnet, &codes, &Consent::default())
            .await;
        assert!(
            page.body.contains("Go back to your device"),
            "{}",
            page.body
        );

        let tokens = device.fetch(&codes).await;
        assert_eq!(tokens.scope, "ic:read ic:write");
        let agent = stack.mcp(instance, Era::Modern, &tokens.access_token);
        let call = Call::update(stack.devnet.canister("app"), "whoami_update", "()").at(APP);
        let expected = agent.principal(APP, None).await;
        let answer = agent.canister(call).await.text;
        assert!(answer.contains(&expected), "{expected}: {answer}");
    }
}

#[tokio::test]
async fn a_person_signs_in_for_a_device() {
    signs_in(Handshake::RegistrationDelegation).await;
}

#[tokio::test]
async fn a_person_signs_in_for_a_device_by_key_request() {
    signs_in(Handshake::KeyRequest).await;
}

/// Phishing: somebody confirms their own code and has another person consent at Internet Identity.
async fn refuses_a_foreign_consent(handshake: Handshake) {
    let stack = Stack::start_by(handshake).await;
    let (device, codes) = device(&stack).await;
    let (mut attacker, mut victim) = (Browser::new(), Browser::new());
    let link = device.confirm(&mut attacker, &codes).await;
    let callback = stack
        .devnet
        .consent("ii", link.as_str(), &Consent::default())
        .await;
    let page = device.server.callback(&mut victim, &callback).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.body);
    assert!(page.json().get("redirect").is_none(), "{}", page.body);
    assert_error(device.poll(&codes).await, "authorization_pending");
}

#[tokio::test]
async fn device_phishing_a_consent_without_the_cookie_gives_nothing() {
    refuses_a_foreign_consent(Handshake::RegistrationDelegation).await;
}

#[tokio::test]
async fn device_phishing_a_consent_without_the_cookie_gives_nothing_by_key_request() {
    refuses_a_foreign_consent(Handshake::KeyRequest).await;
}

#[tokio::test]
async fn nobody_leaves_for_internet_identity_before_the_code_is_confirmed() {
    let stack = Stack::start().await;
    let (device, codes) = device(&stack).await;
    let mut browser = Browser::new();
    let filled_in = browser.get(&codes.verification_uri_complete).await;
    assert_eq!(filled_in.status, StatusCode::OK);
    let confirm = browser.submit(&filled_in).await;
    assert_eq!(confirm.status, StatusCode::OK, "{}", confirm.body);
    // The form of one browser is nothing in another one's.
    let foreign = Browser::new().choose(&confirm, "allow").await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN, "{}", foreign.body);
    // A page of another site cannot submit it.
    let (url, body) = (device.server.endpoint("device"), [("step", "allow")]);
    let answer = http_client()
        .post(url)
        .header("origin", "https://evil.example")
        .form(&body)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::FORBIDDEN);
}

#[tokio::test]
async fn wrong_codes_are_bounded() {
    let stack = Stack::start().await;
    let (device, codes) = device(&stack).await;
    let mut browser = Browser::new();
    for _ in 0..10 {
        let page = device.enter(&mut browser, &codes, "BBBBB-BBBBB").await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert!(page.body.contains("No device waits"), "{}", page.body);
    }
    // Now also the right one is not looked at.
    let page = device.enter(&mut browser, &codes, &codes.user_code).await;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS, "{}", page.body);
    assert!(!page.body.contains("television"), "{}", page.body);
}

#[tokio::test]
async fn one_code_is_entered_a_few_times_only() {
    let stack = Stack::start().await;
    let (device, codes) = device(&stack).await;
    let mut browser = Browser::new();
    for typed in [
        codes.user_code.to_lowercase(),
        codes.user_code.replace('-', " "),
    ]
    .iter()
    .cycle()
    .take(10)
    {
        let page = device.enter(&mut browser, &codes, typed).await;
        assert!(page.body.contains("television"), "{typed}:\n{}", page.body);
    }
    let page = device.enter(&mut browser, &codes, &codes.user_code).await;
    assert!(page.body.contains("No device waits"), "{}", page.body);
}

#[tokio::test]
async fn a_hasty_device_is_slowed_down() {
    let stack = Stack::start().await;
    let (device, codes) = device(&stack).await;
    assert_error(device.poll(&codes).await, "authorization_pending");
    for _ in 0..3 {
        assert_error(device.poll(&codes).await, "slow_down");
    }
    // What is ready is given all the same.
    let mut browser = Browser::new();
    device
        .signed_in(&mut browser, &stack.devnet, &codes, &Consent::default())
        .await;
    device.fetch(&codes).await;
}

#[tokio::test]
async fn a_device_code_works_once_also_when_the_gateway_was_killed() {
    let mut stack = Stack::start().await;
    let (device, codes) = device(&stack).await;
    let mut browser = Browser::new();
    device
        .signed_in(&mut browser, &stack.devnet, &codes, &Consent::default())
        .await;
    stack.gateway.kill();
    stack.gateway.restart().await;
    let first = device.fetch(&codes).await;
    stack.gateway.kill();
    stack.gateway.restart().await;
    // The answer got lost: the very same tokens, and no others.
    let (one, other) = tokio::join!(device.fetch(&codes), device.fetch(&codes));
    for again in [one, other] {
        assert_eq!(again.access_token, first.access_token);
        assert_eq!(again.refresh_token, first.refresh_token);
    }
    let stranger = Device::register(device.server.clone()).await;
    assert_error(stranger.poll(&codes).await, "invalid_grant");
    // The user code stands for nothing any more.
    let page = device.enter(&mut browser, &codes, &codes.user_code).await;
    assert!(page.body.contains("No device waits"), "{}", page.body);
}

#[tokio::test]
async fn a_refusal_reaches_the_device() {
    let stack = Stack::start().await;
    let (device, codes) = device(&stack).await;
    let mut browser = Browser::new();
    let page = device.enter(&mut browser, &codes, &codes.user_code).await;
    let page = browser.choose(&page, "deny").await;
    assert!(page.body.contains("was refused"), "{}", page.body);
    assert_error(device.poll(&codes).await, "access_denied");
}

#[tokio::test]
async fn a_challenge_is_honoured() {
    let stack = Stack::start().await;
    let device = Device::register(stack.auth_server(Instance::Beta)).await;
    let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
    let parameters = [
        ("code_challenge", challenge.as_str()),
        ("code_challenge_method", "S256"),
        ("scope", "ic:read"),
        ("resource", &device.server.resource()),
    ];
    let codes = device.codes(&parameters).await;
    device
        .signed_in(
            &mut Browser::new(),
            &stack.devnet,
            &codes,
            &Consent::default(),
        )
        .await;
    assert_error(device.poll(&codes).await, "invalid_grant");
    let (status, body) = device.poll_verified(&codes).await;
    assert_eq!(status, StatusCode::OK, "{body}");
    assert_eq!(body["scope"], "ic:read");
}

#[tokio::test]
async fn where_it_is_off_nothing_of_it_is_there() {
    let stack = Stack::start_with("oauth_device_grant = \"0\"\n").await;
    let server = stack.auth_server(Instance::Beta);
    let (status, body) = Device::registration(&server).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    assert_eq!(body["error"], "invalid_client_metadata");
    let (status, _) = server
        .post("device_authorization", &[("client_id", "c")])
        .await;
    assert_eq!(status, StatusCode::NOT_FOUND);
    let page = Browser::new().get(&server.endpoint("device")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND, "{}", page.body);
    let metadata = format!(
        "{}/.well-known/oauth-authorization-server",
        stack.gateway.url()
    );
    let metadata = Browser::new().get(&metadata.parse().expect("a URL")).await;
    assert!(!metadata.body.contains("device"), "{}", metadata.body);
    let form = [
        ("grant_type", "urn:ietf:params:oauth:grant-type:device_code"),
        ("client_id", "c"),
        ("device_code", "icg_dc_x"),
    ];
    assert_error(server.post("token", &form).await, "unsupported_grant_type");
}
