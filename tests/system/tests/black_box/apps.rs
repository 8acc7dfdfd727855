//! From an app's name or address to where the user is somebody, and what an attacker would like it to say.

use icgate_system::{Call, Stack};
use serde_json::{Value, json};

use crate::{
    APP,
    discovery::{assert_alive, assert_clean},
};

#[tokio::test]
async fn an_app_is_opened_and_acted_in() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let site = stack.devnet.world().site("app");
    let opened = agent.call("open_app", json!({ "app": site })).await;
    assert_eq!(
        opened.structured["derivation_origin"], site,
        "{}",
        opened.text
    );
    assert_eq!(opened.structured["basis"], "assumed");
    assert_eq!(opened.structured["frontend"], stack.devnet.canister("trap"));
    assert!(
        opened.text.contains(&format!("Pass domain \"{site}\"")),
        "{}",
        opened.text
    );
    // The next step, with the app's canister. The site itself is on plain http, where nobody is derived.
    let canister = opened.structured["canisters"][0]["canister_id"]
        .as_str()
        .expect("the first canister");
    let interface = agent
        .call("get_candid", json!({ "canister_id": canister }))
        .await
        .ok();
    assert!(interface.contains("whoami"), "{interface}");
    let whoami = agent
        .canister(Call::query(canister, "whoami", "()").at(APP))
        .await
        .ok();
    let principal = agent.principal(APP, None).await;
    assert!(whoami.contains(&principal), "{whoami}");
}

#[tokio::test]
async fn a_declared_origin_counts_only_where_it_is_allowed() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let world = stack.devnet.world();
    let resolve = async |name: &str| {
        agent
            .call(
                "resolve_app",
                json!({ "app_url": format!("{}/page", world.site(name)) }),
            )
            .await
    };
    let branch = resolve("branch").await;
    assert_eq!(
        branch.structured["derivation_origin"],
        world.site("app"),
        "{}",
        branch.text
    );
    assert_eq!(branch.structured["app_origin"], world.site("branch"));
    assert_eq!(branch.structured["basis"], "declared");

    let impostor = resolve("impostor")
        .await
        .fails_with("DECLARATION_NOT_ALLOWED");
    assert!(impostor.contains(world.site("app")), "{impostor}");
    let opened = agent
        .call("open_app", json!({ "app": world.site("impostor") }))
        .await;
    opened.fails_with("DECLARATION_NOT_ALLOWED");
    // What is there and cannot be used is not passed over.
    resolve("unreadable")
        .await
        .fails_with("DECLARATION_UNREADABLE");
    // An honest declaration that another origin answers is nobody's.
    let borrowed = resolve("borrowing")
        .await
        .fails_with("DECLARATION_UNREADABLE");
    assert!(borrowed.contains("another site"), "{borrowed}");

    let plain = resolve("plain").await.fails_with("NOT_AN_IC_APP");
    assert!(plain.contains("do not guess"), "{plain}");
    resolve("moved").await.fails_with("SITE_MOVED");
}

#[tokio::test]
async fn names_are_known_or_refused_and_never_guessed() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let refused = async |tool: &str, argument: &str, value: Value, code: &str| {
        let mut arguments = json!({});
        arguments[argument] = value;
        agent.call(tool, arguments).await.fails_with(code)
    };
    let error = refused("open_app", "app", "ossy".into(), "APP_UNKNOWN").await;
    assert!(error.contains("Did you mean Oisy?"), "{error}");
    let error = refused("open_app", "app", "my bank".into(), "APP_UNKNOWN").await;
    assert!(error.contains("Ask the user"), "{error}");
    for address in [
        "0isy.com",
        "оisy.com",
        "oisy-wa11et.example",
        "icpswapp.com",
    ] {
        for (tool, argument) in [("open_app", "app"), ("resolve_app", "app_url")] {
            if tool == "open_app" && address.contains("wa11et") {
                continue;
            }
            let error = refused(tool, argument, address.into(), "LOOK_ALIKE").await;
            assert_clean(&error);
            assert!(error.contains("https://"), "{error}");
        }
    }
    for bad in [
        json!(""),
        json!(7),
        json!("x".repeat(5_000)),
        json!("https://"),
    ] {
        refused("open_app", "app", bad.clone(), "BAD_ARGUMENT").await;
        refused("resolve_app", "app_url", bad, "BAD_ARGUMENT").await;
    }
    for inside in [
        "https://10.0.0.1",
        "https://[::ffff:169.254.169.254]/",
        "https://127.1:1",
    ] {
        refused("resolve_app", "app_url", inside.into(), "SITE_UNREACHABLE").await;
    }
    assert_eq!(stack.devnet.asked("app").await, 0, "nothing was fetched");
}

#[tokio::test]
async fn a_hostile_app_is_opened_as_what_it_is() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let site = stack.devnet.world().site("hostile");
    // Its manifest is nonsense, so where its users are derived is not known.
    let error = agent
        .call("open_app", json!({ "app": site }))
        .await
        .fails_with("DECLARATION_UNREADABLE");
    assert_clean(&error);
    let private = stack.devnet.world().site("private");
    let opened = agent.call("open_app", json!({ "app": private })).await;
    assert_eq!(opened.structured["basis"], "assumed", "{}", opened.text);
    assert_alive(&stack, &agent).await;
}
