//! Processes die and come back; nothing acknowledged is lost and nobody has to sign in again.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use futures_util::future::join_all;
use icgate_system::{
    Browser, Call, Client, Consent, Era, Fault, Instance, Stack, Tokens, http_client, until,
};
use reqwest::StatusCode;
use serde_json::Value;

use crate::APP;

const RECOVERY: Duration = Duration::from_secs(20);
/// People who refresh at the same time, so that their grants share the wait for the disk.
const CROWD: u64 = 16;
/// Answered grants after which both processes are killed.
const ANSWERED: usize = 100;

async fn health(stack: &Stack) -> (StatusCode, Value) {
    let url = format!("{}/healthz", stack.gateway.url());
    let answer = http_client()
        .get(url)
        .send()
        .await
        .expect("/healthz answers");
    (answer.status(), answer.json().await.unwrap_or_default())
}

#[tokio::test]
async fn without_the_signer_the_agent_is_told_to_retry_and_recovers() {
    let mut stack = Stack::start().await;
    let agent = stack.agent().await;
    let before = agent.principal(APP, None).await;
    let app = stack.devnet.canister("app").to_owned();

    stack.signer.kill();
    let error = agent
        .canister(Call::query(&app, "whoami", "()").at(APP))
        .await
        .fails_with("SIGNER_UNAVAILABLE");
    assert!(error.contains("Try again"), "says what to do: {error}");
    let greeting = agent
        .canister(Call::query(&app, "greet", "(\"Ada\")"))
        .await
        .ok();
    assert!(
        greeting.contains("Ada"),
        "anonymous calls need no signer: {greeting}"
    );
    until("/healthz to notice", RECOVERY, || async {
        let (status, body) = health(&stack).await;
        (status == StatusCode::SERVICE_UNAVAILABLE && body["signer"] == "unreachable").then_some(())
    })
    .await;

    stack.signer.restart().await;
    until("the gateway to find the signer again", RECOVERY, || async {
        let result = agent
            .canister(Call::query(&app, "whoami", "()").at(APP))
            .await;
        (!result.is_error).then_some(())
    })
    .await;
    assert_eq!(agent.principal(APP, None).await, before);
    until("/healthz to notice that", RECOVERY, || async {
        let (status, body) = health(&stack).await;
        (status == StatusCode::OK && body["status"] == "ok" && body["signer"] == "ok").then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_killed_gateway_comes_back_with_every_token() {
    let mut stack = Stack::start().await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Default::default()).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    let before = agent.principal(APP, None).await;
    stack.gateway.kill();
    stack.gateway.restart().await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    assert_eq!(agent.principal(APP, None).await, before);
    let next = client.refreshed(&tokens.refresh_token).await;
    let agent = stack.mcp(Instance::Beta, Era::Legacy, &next.access_token);
    assert_eq!(agent.principal(APP, None).await, before);
}

#[tokio::test]
async fn a_gateway_killed_right_after_it_answered_has_kept_the_token() {
    let mut stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Default::default()).await;
    stack.gateway.kill();
    stack.gateway.restart().await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;
}

/// Refreshes in rotation for as long as the gateway answers; gives its last answer.
async fn rotate(client: &Client, mut held: Tokens, answered: &AtomicUsize) -> Tokens {
    let http = http_client();
    loop {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", held.refresh_token.as_str()),
            ("client_id", client.client_id.as_str()),
        ];
        let url = client.server.endpoint("token");
        let Ok(answer) = http.post(url).form(&form).send().await else {
            return held;
        };
        let status = answer.status();
        let Ok(tokens) = answer.json().await else {
            return held;
        };
        assert_eq!(status, StatusCode::OK);
        held = tokens;
        answered.fetch_add(1, Ordering::Relaxed);
    }
}

#[tokio::test]
async fn no_answered_grant_of_a_crowd_is_lost_when_both_processes_are_killed() {
    let mut stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let mut crowd = Vec::new();
    for person in 0..CROWD {
        let consent = Consent {
            anchor: 20_000 + person,
            ..Consent::default()
        };
        let code = client
            .authorize(&mut Browser::new(), &stack.devnet, &consent)
            .await;
        crowd.push(client.redeem(&code).await);
    }
    let answered = AtomicUsize::new(0);
    let rotations = crowd
        .into_iter()
        .map(|tokens| rotate(&client, tokens, &answered));
    let killing = async {
        until("grants to be answered", RECOVERY, || async {
            (answered.load(Ordering::Relaxed) >= ANSWERED).then_some(())
        })
        .await;
        stack.gateway.kill();
        stack.signer.kill();
    };
    let (last, ()) = tokio::join!(join_all(rotations), killing);

    stack.signer.restart().await;
    stack.gateway.restart().await;
    for tokens in last {
        let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
        agent.principal(APP, None).await;
        client.refreshed(&tokens.refresh_token).await;
    }
}

#[tokio::test]
async fn a_killed_signer_comes_back_and_the_same_token_signs() {
    let mut stack = Stack::start().await;
    let agent = stack.agent().await;
    let before = agent.principal(APP, None).await;
    stack.signer.kill();
    stack.signer.restart().await;
    let app = stack.devnet.canister("app").to_owned();
    until("the gateway to find the signer again", RECOVERY, || async {
        let result = agent
            .canister(Call::update(&app, "whoami_update", "()").at(APP))
            .await;
        (!result.is_error).then_some(())
    })
    .await;
    assert_eq!(agent.principal(APP, None).await, before);
}

#[tokio::test]
async fn both_stop_cleanly_when_asked() {
    let mut stack = Stack::start().await;
    stack.agent().await;
    let bound = Duration::from_secs(15);
    let status = stack.gateway.process_mut().terminate(bound);
    assert!(status.success(), "icgate: {status}");
    let status = stack.signer.process_mut().terminate(bound);
    assert!(status.success(), "icgate-signer: {status}");
}

#[tokio::test]
async fn an_unreachable_internet_computer_is_an_error_that_passes() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    stack.devnet.fault(Fault::Unreachable).await;
    let error = agent
        .canister(Call::query(app, "greet", "(\"Ada\")"))
        .await
        .fails_with("IC_UNREACHABLE");
    assert!(error.contains("Try again"), "says what to do: {error}");
    stack.devnet.fault(Fault::None).await;
    agent
        .canister(Call::query(app, "greet", "(\"Ada\")"))
        .await
        .ok();
}

#[tokio::test]
async fn forged_answers_of_the_internet_computer_are_refused() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    agent
        .canister(Call::query(app, "greet", "(\"Ada\")"))
        .await
        .ok();

    stack.devnet.fault(Fault::QuerySignature).await;
    let error = agent
        .canister(Call::query(app, "greet", "(\"Eve\")"))
        .await
        .fails_with("IC_UNVERIFIED");
    assert!(
        !error.contains("Eve"),
        "an unverified reply is not shown: {error}"
    );
    // The subnet's own delegation is remembered by now, and the other subnet's verifies: neither makes its word count.
    agent
        .canister(Call::update(app, "increment", "()"))
        .await
        .ok();
    for forged in [
        Fault::Certificate,
        Fault::ForeignSubnet,
        Fault::OldCertificate(200_000),
    ] {
        stack.devnet.fault(Fault::None).await;
        stack.devnet.fault(forged).await;
        agent
            .canister(Call::update(app, "increment", "()"))
            .await
            .fails_with("IC_UNVERIFIED");
    }
    stack.devnet.fault(Fault::None).await;
    agent
        .canister(Call::query(app, "greet", "(\"Ada\")"))
        .await
        .ok();
}
