//! What every result of the 2026-07-28 revision carries, and what every refusal tells the agent to do next.

use icgate_system::{Call, Consent, Era, Fault, Instance, Stack};
use serde_json::{Value, json};

use crate::APP;

/// Requests of every kind that gives a result, and whether the revision wants hints about keeping it.
fn requests(app: &str) -> Vec<(&'static str, Value, bool)> {
    let complete = json!({
        "ref": { "type": "ref/prompt", "name": "explore_app" },
        "argument": { "name": "app", "value": "" },
    });
    vec![
        ("tools/list", json!({}), true),
        ("prompts/list", json!({}), true),
        ("resources/list", json!({}), true),
        ("resources/templates/list", json!({}), true),
        (
            "resources/read",
            json!({ "uri": "candid://reference" }),
            true,
        ),
        (
            "resources/read",
            json!({ "uri": format!("canister://{app}/candid") }),
            true,
        ),
        ("resources/read", json!({ "uri": "skill://ckbtc" }), true),
        (
            "prompts/get",
            json!({ "name": "explore_app", "arguments": { "app": "Oisy" } }),
            false,
        ),
        ("completion/complete", complete, false),
        (
            "tools/call",
            json!({ "name": "whoami", "arguments": {} }),
            false,
        ),
        (
            "tools/call",
            json!({ "name": "get_candid", "arguments": { "canister_id": "none" } }),
            false,
        ),
    ]
}

#[tokio::test]
async fn every_result_says_what_it_is_and_for_how_long_to_those_who_know_it() {
    let stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let app = stack.devnet.canister("app");
    let modern = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    let legacy = stack.mcp(Instance::Beta, Era::Legacy, &tokens.access_token);
    for (method, params, kept) in requests(app) {
        let answer = modern.request(method, params.clone()).await;
        let result = answer.result();
        assert_eq!(result["resultType"], "complete", "{method}: {result}");
        let hints = (result["ttlMs"].is_u64(), &result["cacheScope"]);
        let expected = match kept {
            true => (true, &json!("private")),
            false => (false, &Value::Null),
        };
        assert_eq!(hints, expected, "{method}: {result}");

        let old = legacy.request(method, params).await;
        for member in ["resultType", "ttlMs", "cacheScope"] {
            assert!(
                old.result().get(member).is_none(),
                "{method}: {member}: {}",
                old.text
            );
        }
    }
    let discovered = modern.open().await;
    assert_eq!(discovered["resultType"], "complete", "{discovered}");
    assert!(discovered["ttlMs"].as_u64() > Some(0), "{discovered}");
    assert_eq!(discovered["cacheScope"], "private", "{discovered}");
}

#[tokio::test]
async fn a_refusal_says_what_to_do_next() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    let ledger = stack.devnet.canister("ledger");
    let query = |canister: &str, method: &str, args: &str| json!({ "canister_id": canister, "method": method, "args": args });
    let as_user = |account: &str| {
        let mut call = query(app, "whoami", "()");
        call["domain"] = APP.into();
        call["account"] = account.into();
        call
    };
    for (tool, arguments, code, parts) in [
        // The expected type and an example of it.
        (
            "query_canister",
            query(app, "greet", "(42)"),
            "BAD_ARGS",
            &["(text)", "for example: (\"", "Nothing was sent"][..],
        ),
        (
            "query_canister",
            query(ledger, "icrc1_balance_of", "(\"aaaaa-aa\")"),
            "BAD_ARGS",
            &["owner : principal", "record { owner = principal \""],
        ),
        (
            "query_canister",
            query(app, "greet", "{\"name\":\"Ada\"}"),
            "BAD_ARGS",
            &["in one pair of parentheses"],
        ),
        // The nearest name.
        (
            "query_canister",
            query(app, "gret", "()"),
            "METHOD_UNKNOWN",
            &["did you mean `greet`?"],
        ),
        (
            "open_app",
            json!({ "app": "ossy" }),
            "APP_UNKNOWN",
            &["Did you mean Oisy?"],
        ),
        (
            "open_app",
            json!({ "app": "oisi.com" }),
            "LOOK_ALIKE",
            &["Oisy", "https://oisy.com"],
        ),
        (
            "get_principal",
            json!({ "domain": "oisi.com" }),
            "LOOK_ALIKE",
            &["Oisy", "https://oisy.com"],
        ),
        (
            "get_ic_skill",
            json!({ "name": "ckbt" }),
            "SKILL_UNKNOWN",
            &["Did you mean ckbtc?"],
        ),
        (
            "query_canister",
            as_user("savngs"),
            "ACCOUNT_UNKNOWN",
            &["savings", "list_accounts"],
        ),
        // Another tool, or another argument.
        (
            "query_canister",
            query(app, "increment", "()"),
            "NOT_A_QUERY",
            &["update_canister"],
        ),
        (
            "get_candid",
            json!({ "canister_id": stack.devnet.canister("bare") }),
            "NO_INTERFACE",
            &["`candid`"],
        ),
        (
            "list_accounts",
            json!({ "domain": "http://oisy.com" }),
            "BAD_ARGUMENT",
            &["`domain`", "https"],
        ),
    ] {
        let error = agent.call(tool, arguments.clone()).await.fails_with(code);
        for part in parts {
            assert!(error.contains(part), "{arguments}: {part}: {error}");
        }
        assert!(error.ends_with(['.', '?']), "a sentence: {error}");
    }
    // Who writes the address out means it.
    let meant = agent.principal("https://oisi.com", None).await;
    assert_ne!(meant, agent.principal("oisy.com", None).await);

    stack.devnet.fault(Fault::Unreachable).await;
    let error = agent.canister(Call::query(app, "greet", "(\"Ada\")")).await;
    let error = error.fails_with("IC_UNREACHABLE");
    assert!(error.contains("Try again in a few seconds"), "{error}");
}
