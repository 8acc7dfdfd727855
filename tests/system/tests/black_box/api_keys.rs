//! API keys: made by the person, used without a browser, ended by the person, the operator or time.

use std::{fs, time::Duration};

use icgate_system::{Call, Consent, Era, Instance, McpClient, Person, Stack, until};
use reqwest::StatusCode;
use serde_json::json;
use time::{OffsetDateTime, format_description::well_known::Rfc3339};

use crate::APP;

async fn person(stack: &Stack) -> Person {
    let mut person = Person::new(stack, Instance::Beta);
    person.connect(stack, &Consent::default(), &[]).await;
    person
}

fn agent(stack: &Stack, key: &str) -> McpClient {
    stack.mcp(Instance::Beta, Era::Modern, key)
}

async fn status(agent: &McpClient) -> StatusCode {
    agent
        .call_raw("get_principal", json!({ "domain": APP }))
        .await
        .status
}

#[tokio::test]
async fn a_key_acts_within_its_scopes_and_survives_kill() {
    let mut stack = Stack::start().await;
    let mut person = person(&stack).await;
    let key = person.make_key("ci", &["ic:read"], "0").await;
    assert!(key.starts_with("icg_key_"), "{key}");
    let principal = agent(&stack, &key).principal(APP, None).await;
    let app = stack.devnet.canister("app").to_owned();
    let update = Call::update(&app, "increment", "()").at(APP);
    let refused = agent(&stack, &key)
        .call_raw("call_canister", update.arguments())
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN, "{}", refused.text);
    assert!(
        refused.text.contains("INSUFFICIENT_SCOPE"),
        "{}",
        refused.text
    );
    let page = person.connections().await;
    assert!(!page.body.contains(&key), "shown once");
    assert!(page.body.contains("API key"), "{}", page.body);

    stack.gateway.kill();
    stack.signer.kill();
    for dir in [stack.gateway.state_dir(), stack.signer.state_dir()] {
        for entry in fs::read_dir(dir).expect("the state") {
            let path = entry.expect("an entry").path();
            let bytes = fs::read(&path).unwrap_or_default();
            let secret = key.trim_start_matches("icg_key_").as_bytes();
            assert!(
                !bytes.windows(secret.len()).any(|window| window == secret),
                "the key lies in {}",
                path.display()
            );
        }
    }
    stack.signer.restart().await;
    stack.gateway.restart().await;
    assert_eq!(agent(&stack, &key).principal(APP, None).await, principal);
    // At the other instance it is nothing.
    let other = stack.mcp(Instance::Prod, Era::Modern, &key);
    assert_eq!(status(&other).await, StatusCode::UNAUTHORIZED);
    // The grant behind it is the person's to take away.
    stack.devnet.revoke("ii", 10_000).await;
    agent(&stack, &key)
        .canister(Call::query(&app, "whoami", "()").at("fresh.example"))
        .await
        .fails_with("CONNECTION_ENDED");
    assert_eq!(status(&agent(&stack, &key)).await, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_key_of_the_same_name_takes_the_place_of_the_one_before() {
    let stack = Stack::start().await;
    let mut person = person(&stack).await;
    let first = person.make_key("ci", &["ic:read"], "0").await;
    let other = person.make_key("laptop", &["ic:read"], "0").await;
    let second = person.make_key("ci", &["ic:read", "ic:write"], "0").await;
    assert_eq!(
        status(&agent(&stack, &first)).await,
        StatusCode::UNAUTHORIZED
    );
    for key in [&other, &second] {
        agent(&stack, key).principal(APP, None).await;
    }
    // Ending the browser's own connection ends no key.
    let page = person.connections().await;
    person
        .browser
        .submit_with(&page, ("step", "sign_out"), &[])
        .await;
    agent(&stack, &second).principal(APP, None).await;
}

#[tokio::test]
async fn the_operator_lists_and_revokes_and_never_makes_one() {
    let stack = Stack::start().await;
    let mut person = person(&stack).await;
    let key = person.make_key("ci \u{1b}[31m", &["ic:read"], "0").await;
    let agent = agent(&stack, &key);
    agent.principal(APP, None).await;
    let (listed, text) = stack.gateway.command(&["keys", "list"]);
    assert!(listed.success(), "{text}");
    assert!(!text.contains(&key) && !text.contains('\u{1b}'), "{text}");
    let line = text.lines().find(|line| line.contains("ci "));
    let id = line.and_then(|line| line.split('\t').next());
    let id = id.unwrap_or_else(|| panic!("{text}")).to_owned();
    let (unknown, text) = stack.gateway.command(&["keys", "revoke", "nothing"]);
    assert!(!unknown.success(), "{text}");
    let (made, text) = stack.gateway.command(&["keys", "make", "x"]);
    assert!(!made.success(), "{text}");
    let (revoked, text) = stack.gateway.command(&["keys", "revoke", &id]);
    assert!(revoked.success(), "{text}");
    // Beside the running server: its signer is told at once, its gate believes for a minute at most.
    until("the key is refused", Duration::from_secs(75), || async {
        let call = Call::query(stack.devnet.canister("app"), "whoami", "()").at("fresh.example");
        let answer = agent.call_raw("call_canister", call.arguments()).await;
        let refused = answer.status == StatusCode::UNAUTHORIZED
            || answer.text.contains("SIGN_IN_AGAIN")
            || answer.text.contains("CONNECTION_ENDED");
        refused.then_some(())
    })
    .await;
    let page = person.connections().await;
    assert!(!page.body.contains("API key</dd>"), "{}", page.body);
}

#[tokio::test]
async fn a_key_does_not_outlive_the_grant() {
    let stack = Stack::start().await;
    let mut person = Person::new(&stack, Instance::Beta);
    let brief = Consent {
        ttl_seconds: Some(600),
        ..Consent::default()
    };
    person.connect(&stack, &brief, &[]).await;
    let page = person.connections().await;
    assert_eq!(
        page.body.matches("name=\"days\"").count(),
        1,
        "only what fits is offered: {}",
        page.body
    );
    let key = person.make_key("ci", &["ic:read"], "30").await;
    let agent = agent(&stack, &key);
    agent.principal(APP, None).await;
    let (_, text) = stack.gateway.command(&["keys", "list"]);
    let line = text.lines().find(|line| line.ends_with("\tci"));
    let ends = line
        .and_then(|line| line.split('\t').nth(4))
        .unwrap_or_else(|| panic!("{text}"));
    // Times in this form sort as text does.
    let now = OffsetDateTime::now_utc()
        .replace_nanosecond(0)
        .expect("zero");
    let [now, latest] = [now, now + Duration::from_secs(600)]
        .map(|time| time.format(&Rfc3339).expect("a year of four digits"));
    assert!(*now < *ends && *ends <= *latest, "{ends}");
    stack.devnet.expire_grant("ii", 10_000).await;
    let call = Call::query(stack.devnet.canister("app"), "whoami", "()").at("fresh.example");
    agent.canister(call).await.fails_with("CONNECTION_ENDED");
    assert_eq!(status(&agent).await, StatusCode::UNAUTHORIZED);
}
