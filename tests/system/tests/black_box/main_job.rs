//! The main job: a person signs in once and the agent reads and acts as them.

use icgate_system::{Call, Consent, Era, Instance, Stack};
use serde_json::json;

use crate::{ANONYMOUS, APP};

const TOOLS: [&str; 4] = [
    "call_canister",
    "get_candid",
    "get_principal",
    "list_accounts",
];

#[tokio::test]
async fn beta_2025() {
    main_job(Instance::Beta, Era::Legacy).await;
}

#[tokio::test]
async fn beta_2026() {
    main_job(Instance::Beta, Era::Modern).await;
}

#[tokio::test]
async fn prod_2025() {
    main_job(Instance::Prod, Era::Legacy).await;
}

#[tokio::test]
async fn prod_2026() {
    main_job(Instance::Prod, Era::Modern).await;
}

#[tokio::test]
async fn earlier_revisions_are_spoken_too() {
    let stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let app = stack.devnet.canister("app");
    for version in ["2024-11-05", "2025-03-26", "2025-06-18"] {
        let agent = stack
            .mcp(Instance::Beta, Era::Legacy, &tokens.access_token)
            .speaking(version);
        assert_eq!(agent.open().await["protocolVersion"], version);
        let tools = agent.tools().await;
        for name in TOOLS {
            assert!(
                tools.iter().any(|tool| tool["name"] == name),
                "{version}: {tools:?}"
            );
        }
        let principal = agent.principal(APP, None).await;
        let seen = agent
            .canister(Call::update(app, "whoami_update", "()").at(APP))
            .await
            .ok();
        let shown = seen.split('"').nth(1).unwrap_or_default();
        assert!(
            principal.contains(shown) && !shown.is_empty(),
            "{version}: {seen}"
        );
    }
}

async fn main_job(instance: Instance, era: Era) {
    let stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(instance, &Consent::default()).await;
    assert_eq!(tokens.token_type, "Bearer");
    assert!(
        tokens.access_token.starts_with("icg_at_"),
        "recognizable prefix"
    );
    assert!(
        tokens.refresh_token.starts_with("icg_rt_"),
        "recognizable prefix"
    );
    assert!(
        (1..=3600).contains(&tokens.expires_in),
        "{}",
        tokens.expires_in
    );
    let agent = stack.mcp(instance, era, &tokens.access_token);
    let app = stack.devnet.canister("app");

    let opened = agent.open().await;
    match era {
        Era::Legacy => assert_eq!(opened["protocolVersion"], era.version(), "{opened}"),
        Era::Modern => {
            let versions = opened["supportedVersions"]
                .as_array()
                .cloned()
                .unwrap_or_default();
            assert!(versions.contains(&json!(era.version())), "{opened}");
        }
    }
    assert!(
        opened["instructions"]
            .as_str()
            .is_some_and(|text| !text.is_empty()),
        "{opened}"
    );

    let tools = agent.tools().await;
    for name in TOOLS {
        let tool = tools.iter().find(|tool| tool["name"] == name);
        let tool = tool.unwrap_or_else(|| panic!("no tool {name} in {tools:?}"));
        assert!(
            tool["description"]
                .as_str()
                .is_some_and(|text| !text.is_empty()),
            "{tool}"
        );
        assert_eq!(tool["inputSchema"]["type"], "object", "{tool}");
        assert!(tool["annotations"]["readOnlyHint"].is_boolean(), "{tool}");
    }

    let interface = agent
        .call("get_candid", json!({ "canister_id": app }))
        .await
        .ok();
    assert!(interface.contains("whoami"), "{interface}");

    let greeting = agent
        .canister(Call::query(app, "greet", "(\"Ada\")"))
        .await
        .ok();
    assert!(greeting.contains("Ada"), "{greeting}");
    let nobody = agent.canister(Call::query(app, "whoami", "()")).await.ok();
    assert!(nobody.contains(ANONYMOUS), "{nobody}");
    agent
        .canister(Call::update(app, "increment", "()"))
        .await
        .ok();
    let count = agent.canister(Call::query(app, "count", "()")).await.ok();
    assert!(count.contains('1'), "{count}");

    let default = agent.principal(APP, None).await;
    let savings = agent.principal(APP, Some("savings")).await;
    let elsewhere = agent.principal("other.example", None).await;
    assert_ne!(default, savings, "each account is a principal of its own");
    assert_ne!(
        default, elsewhere,
        "each domain gives principals of its own"
    );

    for (account, principal) in [(None, &default), (Some("savings"), &savings)] {
        for call in [
            Call::query(app, "whoami", "()"),
            Call::update(app, "whoami_update", "()"),
        ] {
            let mut call = call.at(APP);
            if let Some(account) = account {
                call = call.account(account);
            }
            let shown = format!("{call:?}");
            let seen = agent.canister(call).await.ok();
            let principal = principal_in(principal);
            assert!(
                seen.contains(principal),
                "{shown}: {seen} does not show {principal}"
            );
        }
    }
    // Acting a second time is the same person.
    assert_eq!(agent.principal(APP, None).await, default);

    let accounts = agent
        .call("list_accounts", json!({ "domain": APP }))
        .await
        .ok();
    for name in ["savings", "work"] {
        assert!(accounts.contains(name), "{accounts}");
    }
    let unknown = Call::query(app, "whoami", "()").at(APP).account("nonesuch");
    let error = agent.canister(unknown).await.err();
    assert!(
        error.contains("savings"),
        "the error lists the accounts there are: {error}"
    );
}

/// The principal within what `get_principal` says.
fn principal_in(text: &str) -> &str {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .find(|word| word.parse::<candid::Principal>().is_ok() && word.contains('-'))
        .unwrap_or_else(|| panic!("no principal in {text}"))
}

#[tokio::test]
async fn both_instances_serve_one_person_side_by_side() {
    let stack = Stack::start().await;
    let (_client, beta) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let (_client, prod) = stack.sign_in(Instance::Prod, &Consent::default()).await;
    let beta = stack.mcp(Instance::Beta, Era::Modern, &beta.access_token);
    let prod = stack.mcp(Instance::Prod, Era::Legacy, &prod.access_token);
    let (beta, prod) = (
        beta.principal(APP, None).await,
        prod.principal(APP, None).await,
    );
    assert_ne!(beta, prod, "two Internet Identities are two identities");
}
