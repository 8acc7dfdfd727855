//! What the model writes and what canisters answer, right, wrong and hostile.

use icgate_system::{Call, McpClient, Stack};
use serde_json::json;

use crate::APP;

/// The server still does its work after something hostile.
async fn assert_alive(stack: &Stack, agent: &McpClient) {
    let app = stack.devnet.canister("app");
    let greeting = agent
        .canister(Call::query(app, "greet", "(\"Ada\")"))
        .await
        .ok();
    assert!(greeting.contains("Ada"), "{greeting}");
}

#[tokio::test]
async fn an_unknown_canister_is_named_in_the_error() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    for canister in ["aaaaa-bq", "not a principal", ""] {
        let error = agent
            .canister(Call::query(canister, "whoami", "()"))
            .await
            .fails_with("BAD_ARGUMENT");
        assert!(error.contains("canister_id"), "{canister}: {error}");
    }
    // A canister id like any other, but nobody's.
    let nobody = candid::Principal::from_slice(&[0, 0, 0, 0, 0, 0xEE, 0xEE, 0xEE, 1, 1]).to_text();
    for (call, code) in [
        (Call::query(&nobody, "whoami", "()"), "CANISTER_UNKNOWN"),
        // The word of the one node that turned it away.
        (Call::update(&nobody, "whoami_update", "()"), "TURNED_AWAY"),
    ] {
        let error = agent.canister(call).await.fails_with(code);
        assert!(error.contains(&nobody), "{error}");
    }
    let error = agent
        .call("get_candid", json!({ "canister_id": nobody }))
        .await
        .fails_with("NO_INTERFACE");
    assert!(error.contains("no such canister"), "{error}");
}

#[tokio::test]
async fn an_unknown_method_is_named_in_the_error() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    for call in [
        Call::query(app, "nonesuch", "()"),
        Call::update(app, "nonesuch", "()"),
    ] {
        let error = agent.canister(call).await.fails_with("METHOD_UNKNOWN");
        assert!(error.contains("nonesuch"), "{error}");
    }
}

#[tokio::test]
async fn wrong_argument_types_name_the_expected_type() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    let error = agent
        .canister(Call::query(app, "greet", "(42)"))
        .await
        .fails_with("BAD_ARGS");
    assert!(error.contains("text"), "{error}");
    let error = agent
        .canister(Call::query(app, "greet", "()"))
        .await
        .fails_with("BAD_ARGS");
    assert!(error.contains("text"), "{error}");
    let record = "(record { by = \"much\"; note = null })";
    let error = agent
        .canister(Call::update(app, "add", record))
        .await
        .fails_with("BAD_ARGS");
    assert!(error.contains("nat64"), "{error}");
    let error = agent
        .canister(Call::query(app, "greet", "(\"unclosed)"))
        .await
        .fails_with("BAD_ARGS");
    assert!(error.contains("not closed"), "{error}");
}

#[tokio::test]
async fn arguments_take_the_declared_types_and_replies_their_field_names() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    // A bare number becomes the nat64 the method declares; the optional note may be left out.
    let reply = agent
        .canister(Call::update(app, "add", "(record { by = 41 })"))
        .await
        .ok();
    assert!(reply.contains("ok") && reply.contains("41"), "{reply}");
    let reply = agent
        .canister(
            Call::update(
                app,
                "add",
                "(record { by = 1 : nat64; note = opt \"one\" })",
            )
            .at(APP),
        )
        .await
        .ok();
    assert!(reply.contains("42"), "{reply}");
}

#[tokio::test]
async fn a_canister_without_an_interface_can_be_called() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let bare = stack.devnet.canister("bare");
    let none = agent
        .call("get_candid", json!({ "canister_id": bare }))
        .await;
    assert!(
        none.is_error,
        "there is no interface to give: {}",
        none.text
    );
    let reply = agent.canister(Call::query(bare, "ping", "()")).await.ok();
    assert!(reply.contains("pong"), "{reply}");
    // Without an interface a whole number is an int.
    let reply = agent
        .canister(Call::query(bare, "double", "(21)"))
        .await
        .ok();
    assert!(reply.contains("42"), "{reply}");
    let interface = "service : { double : (int) -> (int) query }";
    let typed = |args: &str| Call::query(bare, "double", args).candid(interface);
    let reply = agent.canister(typed("(4)")).await.ok();
    assert!(reply.contains('8'), "{reply}");
    let error = agent.canister(typed("(\"four\")")).await.err();
    assert!(error.contains("int"), "{error}");
}

#[tokio::test]
async fn oversized_and_over_deep_arguments_never_leave() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    assert_alive(&stack, &agent).await;
    stack.devnet.reset_requests().await;
    let deep = 20_000;
    let hostile = [
        format!("(\"{}\")", "a".repeat(1_100_000)),
        format!("({}null)", "opt ".repeat(deep)),
        format!("({}{})", "record { a = ".repeat(deep), "}".repeat(deep)),
        format!("({}1{})", "vec {".repeat(deep), "}".repeat(deep)),
        format!("({}1{})", "variant { a = ".repeat(deep), "}".repeat(deep)),
        format!("{}{}", "(".repeat(deep), ")".repeat(deep)),
        format!("(/* \" */ {}null)", "opt ".repeat(deep)),
        format!("({}", "/*".repeat(deep)),
    ];
    for args in &hostile {
        let error = agent.canister(Call::query(app, "greet", args)).await.err();
        assert!(error.len() < 4_000, "the error does not repeat the input");
    }
    let sent = stack.devnet.requests_to("app").await;
    assert!(sent.is_empty(), "{sent:?}");
    assert_alive(&stack, &agent).await;
}

#[tokio::test]
async fn a_hostile_interface_text_hurts_nobody() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let bare = stack.devnet.canister("bare");
    let deep = 20_000;
    let call = |interface: &str| Call::query(bare, "ping", "()").candid(interface);
    let aliases: String = (0..5_000)
        .map(|n| format!("type t{n} = t{};", n + 1))
        .collect();
    let hostile = [
        format!(
            "service : {{ ping : () -> ({}text) query }}",
            "opt ".repeat(deep)
        ),
        format!("{aliases} type t5000 = text; service : {{ ping : () -> (t0) query }}"),
        format!("service : {{ {} }}", "a : () -> ();".repeat(100_000)),
    ];
    for interface in &hostile {
        let result = agent.canister(call(interface)).await;
        assert!(result.text.len() < 10_000, "{}", result.text.len());
    }
    assert_alive(&stack, &agent).await;
}

#[tokio::test]
async fn every_candid_type_comes_back_as_it_went() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let types = stack.devnet.canister("types");
    let echoes = [
        ("echo_bool", "(true)", "true"),
        ("echo_text", "(\"línea \\\"quoted\\\"\")", "línea"),
        (
            "naturals",
            "(1, 2, 3, 4, 18446744073709551615)",
            "18_446_744_073_709_551_615",
        ),
        ("integers", "(-1, -2, -3, -4, -5)", "-5"),
        ("floats", "(1.5, 2)", "1.5"),
        ("echo_opt", "(7)", "opt"),
        ("echo_opt", "(null)", "null"),
        ("echo_vec", "(vec { 1; -2 })", "-2"),
        ("echo_blob", "(blob \"\\00\\ff\")", "\\00\\ff"),
        ("echo_tuple", "(record { 7; \"seven\" })", "seven"),
        (
            "echo_variant",
            "(variant { rectangle = record { width = 3; height = 4 } })",
            "rectangle",
        ),
        ("echo_principal", "(principal \"aaaaa-aa\")", "aaaaa-aa"),
        (
            "echo_list",
            "(opt record { head = 1; tail = null })",
            "head",
        ),
    ];
    for (method, args, shown) in echoes {
        let reply = agent.canister(Call::query(types, method, args)).await.ok();
        assert!(reply.contains(shown), "{method}{args}: {reply}");
    }
    let everything = agent
        .canister(Call::query(types, "everything", "()"))
        .await
        .ok();
    for name in [
        "a_nat64",
        "an_int8",
        "nested_opt",
        "a_variant",
        "a_func",
        "a_service",
        "nickname",
    ] {
        assert!(everything.contains(name), "{name} in {everything}");
    }
}

/// The most characters of a reply that clients take.
const SHOWN: usize = 150_000;

#[tokio::test]
async fn hostile_replies_are_shown_or_refused_but_never_fatal() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    // With the form of the reply that is shown, or the code of the failure.
    let calls = [
        ("deep", "nest", "(100_000)", "bytes"),
        ("deep", "nest", "(1_000_000)", "bytes"),
        ("huge", "bytes", "(2_000_000)", "typed"),
        ("huge", "text", "(2_000_000)", "typed"),
        ("huge", "nulls", "(2_000_000_000)", "bytes"),
        ("trap", "garbage", "()", "bytes"),
        ("trap", "silent", "()", "TRAPPED"),
        ("trap", "wrong_type", "()", "untyped"),
        ("trap", "control_characters", "()", "typed"),
        ("deep_interface", "ping", "()", "untyped"),
    ];
    for (canister, method, args, outcome) in calls {
        let id = stack.devnet.canister(canister);
        let result = agent.canister(Call::query(id, method, args)).await;
        let found = result
            .code
            .as_deref()
            .or(result.structured["form"].as_str());
        assert_eq!(found, Some(outcome), "{canister}.{method}");
        let unseen = |c: char| (c.is_control() && c != '\n') || c == '\u{202e}';
        assert!(!result.text.contains(unseen), "{canister}.{method}");
        assert!(
            result.text.len() < SHOWN,
            "{canister}.{method}: {}",
            result.text.len()
        );
        assert_alive(&stack, &agent).await;
    }
    for canister in ["deep_interface", "huge_interface"] {
        let id = stack.devnet.canister(canister);
        let result = agent.call("get_candid", json!({ "canister_id": id })).await;
        assert!(
            result.text.len() < SHOWN,
            "{canister}: {}",
            result.text.len()
        );
        assert_alive(&stack, &agent).await;
    }
}

#[tokio::test]
async fn what_the_canister_says_about_its_failure_reaches_the_agent() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let trap = stack.devnet.canister("trap");
    for call in [
        Call::query(trap, "trap", "()"),
        Call::update(trap, "trap_update", "()"),
    ] {
        let error = agent.canister(call).await.err();
        assert!(error.to_lowercase().contains("trap"), "{error}");
    }
    let words = "(\"not on a Sunday\")";
    for call in [
        Call::query(trap, "reject", words),
        Call::update(trap, "reject_update", words),
    ] {
        let error = agent.canister(call).await.err();
        assert!(error.contains("not on a Sunday"), "{error}");
    }
}

#[tokio::test]
async fn an_update_whose_reply_nobody_can_read_is_said_to_have_succeeded() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let trap = stack.devnet.canister("trap");
    let result = agent
        .canister(Call::update(trap, "garbage_update", "()"))
        .await;
    // An update that happened is never reported as a failure.
    assert!(!result.is_error, "{}", result.text);
    assert_eq!(result.structured["form"], "bytes", "{}", result.structured);
    let garbage = "74686973206973206e6f742043616e646964";
    assert_eq!(result.structured["reply"], garbage);
    assert!(result.text.contains("succeeded"), "{}", result.text);
}

#[tokio::test]
async fn an_unknown_tool_and_wrong_arguments_of_a_tool() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let answer = agent.call_raw("nonesuch", json!({})).await;
    assert_eq!(answer.message["error"]["code"], -32602, "{}", answer.text);
    let answer = agent
        .call_raw("call_canister", json!({ "method": 5 }))
        .await;
    let result = &answer.message["result"];
    assert_eq!(result["isError"], true, "{}", answer.text);
    assert_eq!(
        result["_meta"]["icgate/code"], "BAD_ARGUMENT",
        "{}",
        answer.text
    );
    let answer = agent.request("nonesuch/method", json!({})).await;
    assert_eq!(answer.message["error"]["code"], -32601, "{}", answer.text);
}
