//! Several apps of one person: which of them go on after another sign-in, and what they may do then.

use std::time::Duration;

use icgate_system::{
    Browser, Call, Client, Consent, Era, Handshake, Instance, Interference, McpClient, Page,
    Person, Stack, Tokens, until,
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
    two_by(Handshake::default()).await
}

async fn two_by(handshake: Handshake) -> Two {
    let stack = Stack::start_by(handshake).await;
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

impl Two {
    /// The first app's agent calls where no delegation is at hand, so that Internet Identity is asked.
    async fn first_is_told_to_wait(&self) {
        let app = self.stack.devnet.canister("app");
        self.agent(&self.first)
            .canister(Call::query(app, "whoami", "()").at("fresh.example"))
            .await
            .fails_with("CONNECTION_REPLACED");
    }

    /// The person ticks the first app, which works on.
    async fn first_works_on(&self, browser: &mut Browser, redeemed: &Page) {
        let question = self.second.question(browser, redeemed).await;
        let question = question.expect("the first app");
        let id = icgate_system::box_of(&question.body, APP_NAME);
        browser.tick(&question, &[("go_on", &id)]).await;
        self.agent(&self.first).principal(APP, None).await;
    }
}

#[tokio::test]
async fn an_agent_that_calls_before_the_sign_in_is_known_here_works_on() {
    let two = two().await;
    let devnet = &two.stack.devnet;
    devnet
        .interfere("ii", "mcp_register_v2", Interference::HoldAfter)
        .await;
    let mut browser = Browser::new();
    let consent = Consent::default();
    let signing_in = two.second.redeemed(&mut browser, devnet, &consent);
    let meanwhile = async {
        let bound = Duration::from_secs(30);
        until("the registration to be held", bound, || async {
            (devnet.held().await == 1).then_some(())
        })
        .await;
        two.first_is_told_to_wait().await;
        devnet.release().await;
    };
    let (page, ()) = tokio::join!(signing_in, meanwhile);
    two.first_works_on(&mut browser, &page).await;
}

#[tokio::test]
async fn an_agent_that_calls_before_the_browser_is_back_works_on_by_key_request() {
    let two = two_by(Handshake::KeyRequest).await;
    let mut browser = Browser::new();
    let link = two.second.consent_page(&mut browser).await;
    // The person registers the key at Internet Identity, and the browser is not back yet.
    let consent = Consent::default();
    let callback = two
        .stack
        .devnet
        .consent("ii", link.as_str(), &consent)
        .await;
    two.first_is_told_to_wait().await;
    let page = two.second.callback(&mut browser, &callback).await;
    two.first_works_on(&mut browser, &page).await;
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
