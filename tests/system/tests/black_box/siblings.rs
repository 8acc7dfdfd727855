//! Several apps of one person: which of them go on after another sign-in, and what they may do then.

use icgate_system::{
    Browser, Call, Client, Consent, Era, Instance, McpClient, Person, Stack, Tokens,
};
use reqwest::StatusCode;
use serde_json::json;

use crate::APP;

/// What the harness's clients are called.
const APP_NAME: &str = "black-box test";

/// A first app of the person with full access, and a second one that is being connected.
struct Two {
    stack: Stack,
    first: Tokens,
    first_client: Client,
    second: Client,
    person: Person,
}

async fn two() -> Two {
    let stack = Stack::start().await;
    let (first_client, first) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let second = Client::register(stack.auth_server(Instance::Beta)).await;
    let person = Person::new(&stack, Instance::Beta);
    Two {
        stack,
        first,
        first_client,
        second,
        person,
    }
}

impl Two {
    fn agent(&self, tokens: &Tokens) -> McpClient {
        self.stack
            .mcp(Instance::Beta, Era::Modern, &tokens.access_token)
    }

    /// Connects the second app; these go on.
    async fn connect(&mut self, consent: &Consent, go_on: &[&str]) -> Tokens {
        let code = self
            .person
            .connect_app(&self.stack, &self.second, consent, go_on)
            .await;
        self.second.redeem(&code).await
    }
}

async fn assert_over(agent: &McpClient) {
    let answer = agent
        .call_raw("get_principal", json!({ "domain": APP }))
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
}

#[tokio::test]
async fn two_apps_work_when_the_first_was_ticked() {
    let mut two = two().await;
    let before = two.agent(&two.first).principal(APP, None).await;
    let second = two.connect(&Consent::default(), &[APP_NAME]).await;
    for tokens in [&two.first, &second] {
        assert_eq!(two.agent(tokens).principal(APP, None).await, before);
    }
    // A restart of both changes nothing, and the first one's tokens are still renewed.
    two.stack.gateway.kill();
    two.stack.signer.kill();
    two.stack.signer.restart().await;
    two.stack.gateway.restart().await;
    let renewed = two.first_client.refreshed(&two.first.refresh_token).await;
    let said = two
        .agent(&renewed)
        .canister(Call::update(two.stack.devnet.canister("app"), "whoami_update", "()").at(APP))
        .await
        .ok();
    assert!(said.contains(&before), "{said}");
}

#[tokio::test]
async fn what_was_not_ticked_ends_and_stays_ended() {
    let mut two = two().await;
    let second = two.connect(&Consent::default(), &[]).await;
    assert_over(&two.agent(&two.first)).await;
    two.agent(&second).principal(APP, None).await;
    let (status, body) = two.first_client.refresh(&two.first.refresh_token).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
    // A later sign-in does not offer it again.
    let third = Client::register(two.stack.auth_server(Instance::Beta)).await;
    let page = third
        .redeemed(
            &mut two.person.browser,
            &two.stack.devnet,
            &Consent::default(),
        )
        .await;
    let question = third.question(&mut two.person.browser, &page).await;
    let question = question.expect("the second app and the first browser");
    assert_eq!(
        question.body.matches("name=\"go_on\"").count(),
        1,
        "{}",
        question.body
    );
}

#[tokio::test]
async fn the_lower_level_and_the_earlier_end_hold() {
    let mut two = two().await;
    let consent = Consent {
        access: "queries",
        ttl_seconds: Some(900),
        ..Consent::default()
    };
    two.connect(&consent, &[APP_NAME]).await;
    let app = two.stack.devnet.canister("app").to_owned();
    let first = two.agent(&two.first);
    first
        .canister(Call::query(&app, "whoami", "()").at(APP))
        .await
        .ok();
    let refused = first
        .canister(Call::update(&app, "increment", "()").at(APP))
        .await;
    refused.fails_with("READ_ONLY");
    let renewed = two.first_client.refreshed(&two.first.refresh_token).await;
    assert_eq!(renewed.scope, "ic:read");
    assert!(renewed.expires_in <= 900, "{renewed:?}");
}

#[tokio::test]
async fn what_was_revoked_at_internet_identity_is_not_offered() {
    let mut two = two().await;
    two.stack.devnet.revoke("ii", 10_000).await;
    let first = two.agent(&two.first);
    first
        .canister(Call::query(two.stack.devnet.canister("app"), "whoami", "()").at(APP))
        .await
        .fails_with("CONNECTION_ENDED");
    let page = two
        .second
        .redeemed(
            &mut two.person.browser,
            &two.stack.devnet,
            &Consent::default(),
        )
        .await;
    if let Some(question) = two.second.question(&mut two.person.browser, &page).await {
        let row = "<span class=\"name\">black-box test<br>";
        assert!(!question.body.contains(row), "{}", question.body);
    }
    assert_over(&first).await;
}

#[tokio::test]
async fn until_the_person_answers_nothing_is_issued_and_nothing_is_over() {
    let two = two().await;
    let mut browser = Browser::new();
    let page = two
        .second
        .redeemed(&mut browser, &two.stack.devnet, &Consent::default())
        .await;
    let question = two.second.question(&mut browser, &page).await;
    let question = question.expect("the first app");
    let first = two.agent(&two.first);
    for _ in 0..2 {
        first
            .canister(Call::query(two.stack.devnet.canister("app"), "whoami", "()").at(APP))
            .await
            .fails_with("CONNECTION_REPLACED");
    }
    let (status, body) = two.first_client.refresh(&two.first.refresh_token).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE, "{body}");
    // The answer may be sent twice: it gives one code.
    let id = icgate_system::box_of(&question.body, APP_NAME);
    let ticked = [("go_on", id.as_str())];
    let landed = browser.tick(&question, &ticked).await;
    let again = browser.tick(&question, &[]).await;
    let code = &two.second.returned(&landed.link("Back to the app"))["code"];
    assert_eq!(
        &two.second.returned(&again.link("Back to the app"))["code"],
        code
    );
    two.second.redeem(code).await;
    first.principal(APP, None).await;
}

#[tokio::test]
async fn another_persons_connections_are_not_touched() {
    let mut two = two().await;
    let bob = Consent {
        anchor: 10_001,
        ..Consent::default()
    };
    let (_, other) = two.stack.sign_in(Instance::Beta, &bob).await;
    two.connect(&Consent::default(), &[]).await;
    two.agent(&other).principal(APP, None).await;
}
