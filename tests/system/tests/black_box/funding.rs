//! Paying for canisters: whatever dies, gets lost or comes late, nothing is paid twice and nothing is forgotten.

use icgate_system::{
    Client, Consent, Devnet, Era, Fault, Instance, Interference, McpClient, Stack, ToolResult,
};
use serde_json::{Value, json};
use sqlx::sqlite::SqlitePoolOptions;

pub(crate) const T: u64 = 1_000_000_000_000;
pub(crate) const ICP: u64 = 100_000_000;

/// A person's client that may manage canisters: the person ticks the box for it.
pub(crate) async fn manager(stack: &Stack, anchor: u64) -> (McpClient, String) {
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let consent = Consent {
        anchor,
        ..Consent::default()
    };
    let tokens = client
        .sign_in(&stack.devnet, &consent, "ic:read ic:write ic:manage")
        .await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    (agent, tokens.access_token)
}

pub(crate) const ALICE: u64 = 10_000;
const BOB: u64 = 10_001;

/// A person with ten million million cycles and ten ICP, and the principal that has them.
async fn funded(stack: &Stack) -> (McpClient, String) {
    let (agent, _) = manager(stack, ALICE).await;
    let owner = management_principal(&agent).await;
    stack.devnet.credit_cycles(&owner, 10 * T).await;
    stack.devnet.mint_icp(&owner, 10 * ICP).await;
    (agent, owner)
}

pub(crate) async fn management_principal(agent: &McpClient) -> String {
    let balance = agent.call("cycles_balance", json!({})).await;
    let principal = balance.structured["principal"].as_str();
    principal
        .unwrap_or_else(|| panic!("{}", balance.text))
        .to_owned()
}

/// What came and went, after checking that nothing was lost or came from nowhere.
pub(crate) async fn totals(devnet: &Devnet) -> Value {
    let totals = devnet.totals().await;
    let of = |kind: &str, name: &str| totals[kind][name].as_u64().expect("a total");
    assert_eq!(
        of("icp", "minted"),
        of("icp", "held") + of("icp", "burned") + of("icp", "fees"),
        "{totals}"
    );
    assert_eq!(
        of("cycles", "credited"),
        of("cycles", "held") + of("cycles", "delivered") + of("cycles", "fees"),
        "{totals}"
    );
    totals
}

pub(crate) fn canister(result: &ToolResult) -> String {
    let id = result.structured["canister_id"].as_str();
    id.unwrap_or_else(|| panic!("{}", result.text)).to_owned()
}

#[tokio::test]
async fn canisters_are_made_and_topped_up_from_either_balance() {
    let stack = Stack::start().await;
    let (agent, owner) = funded(&stack).await;

    let balance = agent.call("cycles_balance", json!({})).await;
    assert_eq!(balance.structured["cycles"], "10000000000000");
    assert!(balance.text.contains("10T cycles") && balance.text.contains(&owner));

    // 0.5 ICP are 2.5T cycles at five XDR for one ICP.
    let by_cycles = agent.call("create_canister", json!({ "icp": "0.5" })).await;
    let first = canister(&by_cycles);
    assert_eq!(by_cycles.structured["paid"], "2.5T cycles");
    let made = stack.devnet.made(&first).await;
    assert_eq!(made["controllers"], json!([owner]), "{made}");
    assert_eq!(made["cycles"], "2000000000000", "{made}");

    let by_icp = json!({ "icp": 0.5, "pay_with": "icp" });
    let by_icp = agent.call("create_canister", by_icp).await;
    let second = canister(&by_icp);
    assert_ne!(first, second);
    assert_eq!(by_icp.structured["paid"], "0.5 ICP");
    assert_eq!(stack.devnet.made(&second).await["cycles"], "2000000000000");

    let top_up = json!({ "canister_id": first, "cycles": "1.5T" });
    let text = agent.call("top_up_canister", top_up).await.ok();
    assert!(text.contains(&first) && text.contains("1.5T"), "{text}");
    assert_eq!(stack.devnet.made(&first).await["cycles"], "3500000000000");
    let top_up = json!({ "canister_id": second, "cycles": T, "pay_with": "icp" });
    let topped = agent.call("top_up_canister", top_up).await;
    assert_eq!(topped.structured["paid"], "0.2 ICP", "{}", topped.text);
    assert_eq!(topped.structured["cycles"], "1000000000000");
    assert_eq!(stack.devnet.made(&second).await["cycles"], "3000000000000");

    let other = stack.devnet.canister("app");
    let shared = json!({ "cycles": "1T", "controllers": [other, owner, other] });
    let shared = agent.call("create_canister", shared).await;
    let controllers = stack.devnet.made(&canister(&shared)).await["controllers"].clone();
    assert_eq!(controllers.as_array().map(Vec::len), Some(2));
    let foreign = json!({ "cycles": "1T", "controllers": [other] });
    let text = agent.call("create_canister", foreign).await.ok();
    assert!(text.contains("cannot manage"), "{text}");

    let nothing = agent.call("resume_funding", json!({})).await;
    assert_eq!(nothing.structured["payments"], json!([]));
    let totals = totals(&stack.devnet).await;
    assert_eq!(totals["icp"]["transfers"], 2, "{totals}");
    assert_eq!(totals["cycles"]["payments"], 4, "{totals}");
}

#[tokio::test]
async fn what_cannot_be_meant_is_refused_by_name_and_costs_nothing() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    let app = stack.devnet.canister("app");
    let before = totals(&stack.devnet).await;
    for (tool, arguments, named) in [
        ("cycles_balance", json!({ "owner": "me" }), "owner"),
        ("create_canister", json!({}), "cycles"),
        ("create_canister", json!({ "cycles": 0 }), "cycles"),
        ("create_canister", json!({ "cycles": -1 }), "cycles"),
        ("create_canister", json!({ "cycles": "1.5" }), "cycles"),
        ("create_canister", json!({ "cycles": [1] }), "cycles"),
        ("create_canister", json!({ "icp": "0.000000001" }), "icp"),
        ("create_canister", json!({ "icp": "1e3" }), "icp"),
        (
            "create_canister",
            json!({ "icp": "1", "cycles": "1T" }),
            "icp",
        ),
        (
            "create_canister",
            json!({ "icp": "1", "pay_with": "usd" }),
            "pay_with",
        ),
        (
            "create_canister",
            json!({ "icp": "1", "request_id": "a b" }),
            "request_id",
        ),
        (
            "create_canister",
            json!({ "icp": "1", "subnet": "fast" }),
            "subnet",
        ),
        (
            "create_canister",
            json!({ "icp": "1", "controllers": [] }),
            "controllers",
        ),
        (
            "create_canister",
            json!({ "icp": "1", "controllers": ["x"] }),
            "controllers",
        ),
        (
            "create_canister",
            json!({ "icp": "1", "controllers": ["2vxsx-fae"] }),
            "controllers",
        ),
        (
            "create_canister",
            json!({ "icp": "1", "amount": 1 }),
            "amount",
        ),
        ("top_up_canister", json!({ "cycles": "1T" }), "canister_id"),
        (
            "top_up_canister",
            json!({ "canister_id": "aaaaa-aa", "cycles": "1T" }),
            "canister_id",
        ),
        ("top_up_canister", json!({ "canister_id": app }), "cycles"),
        (
            "resume_funding",
            json!({ "block_index": -1 }),
            "block_index",
        ),
        (
            "resume_funding",
            json!({ "block_index": "last" }),
            "block_index",
        ),
    ] {
        let shown = format!("{tool} {arguments}");
        let error = agent.call(tool, arguments).await.fails_with("BAD_ARGUMENT");
        assert!(error.contains(&format!("`{named}`")), "{shown}: {error}");
    }
    assert_eq!(totals(&stack.devnet).await, before);
}

#[tokio::test]
async fn hostile_arguments_are_neither_obeyed_nor_repeated() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    let before = totals(&stack.devnet).await;
    let smuggled = "1\u{1b}[2J\u{202e}; DROP TABLE funding_intents; --";
    let long = "9".repeat(200_000);
    for text in [smuggled, &long, "\u{0}", "٣", "1T\n1T", "0x10 ", "1,000"] {
        for (tool, arguments) in [
            ("cycles_balance", json!({ text: text })),
            ("create_canister", json!({ "cycles": text })),
            ("create_canister", json!({ "icp": text })),
            ("create_canister", json!({ "icp": "1", "request_id": text })),
            ("create_canister", json!({ "icp": "1", "subnet": text })),
            (
                "create_canister",
                json!({ "icp": "1", "controllers": [text] }),
            ),
            (
                "top_up_canister",
                json!({ "canister_id": text, "icp": "1" }),
            ),
            ("resume_funding", json!({ "block_index": text })),
        ] {
            let error = agent.call(tool, arguments).await.fails_with("BAD_ARGUMENT");
            assert!(
                !error.contains('\u{1b}') && !error.contains('\u{202e}'),
                "{error}"
            );
            assert!(error.len() < 1_000, "{tool}: {} bytes", error.len());
        }
    }
    let many: Vec<&str> = vec!["ryjl3-tyaaa-aaaaa-aaaba-cai"; 100_000];
    let many = json!({ "icp": "1", "controllers": many });
    agent
        .call("create_canister", many)
        .await
        .fails_with("BAD_ARGUMENT");
    assert_eq!(totals(&stack.devnet).await, before);
}

#[tokio::test]
async fn a_canister_that_cannot_take_cycles_gives_them_back() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    // A person could have invented it; no such canister was made.
    let nobody = "rno2w-sqaaa-aaaaa-aaacq-cai";
    for pay_with in ["cycles", "icp"] {
        let call = json!({ "canister_id": nobody, "icp": "0.2", "pay_with": pay_with });
        let error = agent
            .call("top_up_canister", call.clone())
            .await
            .fails_with("REFUNDED");
        assert!(error.contains("given back"), "{error}");
        // The same again does not lose the fees again.
        let again = agent
            .call("top_up_canister", call)
            .await
            .fails_with("REFUNDED");
        assert!(again.contains("new request_id"), "{again}");
    }
    let error = agent
        .call("create_canister", json!({ "cycles": "0.1T" }))
        .await;
    error.fails_with("REFUNDED");
    stack
        .devnet
        .minting(json!({ "refund": "closed today" }))
        .await;
    let call = json!({ "icp": "1", "pay_with": "icp" });
    let error = agent
        .call("create_canister", call)
        .await
        .fails_with("REFUNDED");
    assert!(error.contains("closed today"), "{error}");
    let totals = totals(&stack.devnet).await;
    assert_eq!(totals["icp"]["burned"], 0, "{totals}");
    assert_eq!(totals["cycles"]["delivered"], 0, "{totals}");
    assert_eq!(totals["cycles"]["payments"], 2, "{totals}");
}

#[tokio::test]
async fn the_same_call_is_one_payment_until_the_caller_says_otherwise() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    for (pay_with, kind, counter) in [
        ("cycles", "cycles", "payments"),
        ("icp", "icp", "transfers"),
    ] {
        let call = json!({ "icp": "0.3", "pay_with": pay_with });
        let first = canister(&agent.call("create_canister", call.clone()).await);
        let again = agent.call("create_canister", call.clone()).await;
        assert_eq!(canister(&again), first);
        assert_eq!(again.structured["repeated"], true);
        assert!(
            again.text.contains("nothing was paid now"),
            "{}",
            again.text
        );
        assert!(again.text.contains("new request_id"), "{}", again.text);
        assert_eq!(totals(&stack.devnet).await[kind][counter], 1);

        let name = format!("second-{pay_with}");
        let named = json!({ "icp": "0.3", "pay_with": pay_with, "request_id": name });
        let second = canister(&agent.call("create_canister", named.clone()).await);
        assert_ne!(second, first);
        assert_eq!(
            canister(&agent.call("create_canister", named).await),
            second
        );
        let other = json!({ "icp": "0.4", "pay_with": pay_with, "request_id": name });
        let error = agent
            .call("create_canister", other)
            .await
            .fails_with("BAD_ARGUMENT");
        assert!(error.contains("another request"), "{error}");
        assert_eq!(totals(&stack.devnet).await[kind][counter], 2);
    }
}

#[tokio::test]
async fn the_same_call_is_one_payment_also_on_the_next_day() {
    let mut stack = Stack::start().await;
    let (agent, token) = manager(&stack, ALICE).await;
    let owner = management_principal(&agent).await;
    stack.devnet.mint_icp(&owner, 10 * ICP).await;
    let call = json!({ "icp": "0.3", "pay_with": "icp" });
    let first = canister(&agent.call("create_canister", call.clone()).await);

    stack.gateway.kill();
    let database = stack.gateway.state_dir().join("gateway.db");
    let pool = SqlitePoolOptions::new()
        .connect(&format!("sqlite://{}", database.display()))
        .await
        .expect("the database");
    sqlx::query(
        "UPDATE funding_intents SET started_at = started_at - ?1, changed_at = changed_at - ?1",
    )
    .bind(25 * 3600)
    .execute(&pool)
    .await
    .expect("an older payment");
    pool.close().await;
    stack.gateway.restart().await;

    let agent = stack.mcp(Instance::Beta, Era::Modern, &token);
    let again = agent.call("create_canister", call).await;
    assert_eq!(canister(&again), first);
    assert_eq!(again.structured["repeated"], true);
    for part in [
        "This was done before, at ",
        "nothing was paid now",
        "new request_id",
        "90 days",
    ] {
        assert!(again.text.contains(part), "{part}: {}", again.text);
    }
    let totals = totals(&stack.devnet).await;
    assert_eq!(totals["icp"]["transfers"], 1, "{totals}");
}

#[tokio::test]
async fn parallel_equal_calls_are_one_payment() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    for (pay_with, kind, counter) in [
        ("cycles", "cycles", "payments"),
        ("icp", "icp", "transfers"),
    ] {
        let call = || {
            agent.call(
                "create_canister",
                json!({ "icp": "0.3", "pay_with": pay_with }),
            )
        };
        let (a, b, c, d) = tokio::join!(call(), call(), call(), call());
        let first = canister(&a);
        for other in [&b, &c, &d] {
            assert_eq!(canister(other), first);
        }
        assert_eq!(totals(&stack.devnet).await[kind][counter], 1);
    }
}

#[tokio::test]
async fn a_short_balance_says_what_is_needed_and_where_to_send_it() {
    let stack = Stack::start().await;
    let (agent, _) = manager(&stack, ALICE).await;
    let owner = management_principal(&agent).await;
    let by_cycles = json!({ "cycles": "2T" });
    let error = agent
        .call("create_canister", by_cycles.clone())
        .await
        .fails_with("INSUFFICIENT_FUNDS");
    for part in [
        "2.0001T",
        "0 cycles",
        &owner,
        "pay_with=\"icp\"",
        "Nothing was paid",
    ] {
        assert!(error.contains(part), "{part}: {error}");
    }
    let by_icp = json!({ "icp": "0.5", "pay_with": "icp" });
    let error = agent
        .call("create_canister", by_icp.clone())
        .await
        .fails_with("INSUFFICIENT_FUNDS");
    let balance = agent.call("cycles_balance", json!({})).await;
    let account = balance.structured["icp_account"]
        .as_str()
        .expect("an account");
    for part in ["0.5001 ICP", "0 ICP", &owner, account] {
        assert!(error.contains(part), "{part}: {error}");
    }
    stack.devnet.credit_cycles(&owner, 3 * T).await;
    stack.devnet.mint_icp(&owner, ICP).await;
    agent.call("create_canister", by_cycles).await.ok();
    agent.call("create_canister", by_icp).await.ok();
    let totals = totals(&stack.devnet).await;
    assert_eq!(totals["cycles"]["payments"], 1);
    assert_eq!(totals["icp"]["transfers"], 1);
}

#[tokio::test]
async fn what_was_interrupted_is_the_users_own() {
    let stack = Stack::start().await;
    let (alice, _) = funded(&stack).await;
    let call = json!({ "cycles": "1T", "request_id": "shared-name" });
    let lost = Interference::LoseAnswer;
    stack
        .devnet
        .interfere("cycles_ledger", "create_canister", lost)
        .await;
    let error = alice
        .call("create_canister", call.clone())
        .await
        .fails_with("OUTCOME_UNKNOWN");
    assert!(error.contains("resume_funding"), "{error}");

    let (bob, _) = manager(&stack, BOB).await;
    let nothing = bob.call("resume_funding", json!({})).await;
    assert_eq!(nothing.structured["payments"], json!([]));
    // The name is free for Bob, and his empty balance is what counts.
    bob.call("create_canister", call.clone())
        .await
        .fails_with("INSUFFICIENT_FUNDS");

    // Alice goes on through another connection.
    let (alice, _) = manager(&stack, ALICE).await;
    let resumed = alice.call("resume_funding", json!({})).await;
    assert_eq!(
        resumed.structured["payments"][0]["code"], "DONE",
        "{}",
        resumed.text
    );
    let known = alice.call("create_canister", call).await;
    assert_eq!(known.structured["repeated"], true);
    assert_eq!(totals(&stack.devnet).await["cycles"]["payments"], 1);
}

#[tokio::test]
async fn lost_answers_and_rejections_are_made_up_for() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    let first = agent
        .call("create_canister", json!({ "cycles": "1T" }))
        .await;
    let first = canister(&first);
    let create = json!({ "icp": "0.2", "pay_with": "icp" });
    let top_up = json!({ "canister_id": first, "icp": "0.2" });
    for (tool, arguments, canister, method, how) in [
        (
            "create_canister",
            &create,
            "ledger",
            "transfer",
            Interference::LoseAnswer,
        ),
        (
            "create_canister",
            &create,
            "cmc",
            "notify_create_canister",
            Interference::LoseAnswer,
        ),
        (
            "create_canister",
            &create,
            "cmc",
            "notify_create_canister",
            Interference::Reject,
        ),
        (
            "create_canister",
            &create,
            "ledger",
            "transfer",
            Interference::Reject,
        ),
        (
            "top_up_canister",
            &top_up,
            "cycles_ledger",
            "withdraw",
            Interference::LoseAnswer,
        ),
        (
            "top_up_canister",
            &top_up,
            "cycles_ledger",
            "withdraw",
            Interference::Reject,
        ),
    ] {
        let before = totals(&stack.devnet).await;
        let mut arguments = arguments.clone();
        let name = format!("{canister}-{method}-{how:?}");
        arguments["request_id"] = json!(name);
        stack.devnet.interfere(canister, method, how).await;
        let failed = agent.call(tool, arguments.clone()).await;
        // Nobody certifies a rejection before the call was accepted.
        failed.fails_with("OUTCOME_UNKNOWN");
        let resumed = agent.call("resume_funding", json!({})).await;
        let payment = &resumed.structured["payments"][0];
        assert_eq!(payment["code"], "DONE", "{name}: {}", resumed.text);
        let known = agent.call(tool, arguments).await;
        assert_eq!(known.structured["repeated"], true, "{name}: {}", known.text);
        let after = totals(&stack.devnet).await;
        let count = |totals: &Value| {
            let of = |kind: &str, name: &str| totals[kind][name].as_u64().expect("a total");
            of("icp", "transfers") + of("cycles", "payments")
        };
        assert_eq!(count(&after), count(&before) + 1, "{name}: {after}");
    }
}

#[tokio::test]
async fn a_service_that_says_unavailable_after_it_paid_is_asked_what_became_of_it() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    stack.devnet.fault(Fault::Unavailable).await;
    let first = agent
        .call("create_canister", json!({ "cycles": "1T" }))
        .await;
    let top_up = json!({ "canister_id": canister(&first), "icp": "0.2", "pay_with": "icp" });
    agent.call("top_up_canister", top_up).await.ok();
    stack.devnet.fault(Fault::None).await;
    let totals = totals(&stack.devnet).await;
    assert_eq!(totals["cycles"]["payments"], 1, "{totals}");
    assert_eq!(totals["icp"]["transfers"], 1, "{totals}");
}

#[tokio::test]
async fn a_payment_that_emptied_the_balance_is_found_again() {
    let stack = Stack::start().await;
    let (agent, _) = manager(&stack, ALICE).await;
    let owner = management_principal(&agent).await;
    stack.devnet.credit_cycles(&owner, 2 * T).await;
    let lose = async |method| {
        stack
            .devnet
            .interfere("cycles_ledger", method, Interference::LoseAnswer)
            .await;
    };
    lose("create_canister").await;
    let create = json!({ "cycles": "1.5T" });
    let lost = agent.call("create_canister", create.clone()).await;
    lost.fails_with("OUTCOME_UNKNOWN");

    // The ledger finds the balance too small before it would find the repetition.
    for _ in 0..2 {
        let resumed = agent.call("resume_funding", json!({})).await;
        let payment = &resumed.structured["payments"][0];
        assert_eq!(payment["code"], "INSUFFICIENT_FUNDS", "{}", resumed.text);
        assert_eq!(payment["finished"], false);
        for part in ["block 1 ", "1.5001T", "not taken", &owner] {
            assert!(resumed.text.contains(part), "{part}: {}", resumed.text);
        }
    }
    stack.devnet.credit_cycles(&owner, 2 * T).await;
    let resumed = agent.call("resume_funding", json!({})).await;
    let payment = &resumed.structured["payments"][0];
    assert_eq!(payment["code"], "DONE", "{}", resumed.text);
    let made = payment["canister_id"].as_str().expect("a canister");
    let known = agent.call("create_canister", create).await;
    assert_eq!(canister(&known), made);

    // A top-up leaves nothing more to learn than that it was paid.
    lose("withdraw").await;
    let top_up = json!({ "canister_id": made, "cycles": "2T" });
    let lost = agent.call("top_up_canister", top_up.clone()).await;
    lost.fails_with("OUTCOME_UNKNOWN");
    let resumed = agent.call("resume_funding", json!({})).await;
    assert_eq!(
        resumed.structured["payments"][0]["code"], "DONE",
        "{}",
        resumed.text
    );
    assert_eq!(totals(&stack.devnet).await["cycles"]["payments"], 2);
}

#[tokio::test]
async fn what_stops_one_payment_stops_no_other() {
    let mut stack = Stack::start().await;
    let (agent, token) = manager(&stack, ALICE).await;
    let owner = management_principal(&agent).await;
    stack.devnet.credit_cycles(&owner, 10 * T).await;
    for cycles in ["1T", "2T"] {
        stack
            .devnet
            .interfere("cycles_ledger", "create_canister", Interference::LoseAnswer)
            .await;
        let lost = agent
            .call("create_canister", json!({ "cycles": cycles }))
            .await;
        lost.fails_with("OUTCOME_UNKNOWN");
    }
    // The first was begun as somebody else, as after this server's address changed.
    stack.gateway.kill();
    let database = stack.gateway.state_dir().join("gateway.db");
    let pool = SqlitePoolOptions::new()
        .connect(&format!("sqlite://{}", database.display()))
        .await
        .expect("the database");
    sqlx::query(
        "UPDATE funding_intents SET payer = ? WHERE id = (SELECT min(id) FROM funding_intents)",
    )
    .bind(stack.devnet.canister("app"))
    .execute(&pool)
    .await
    .expect("another payer");
    pool.close().await;
    stack.gateway.restart().await;

    let agent = stack.mcp(Instance::Beta, Era::Modern, &token);
    let resumed = agent.call("resume_funding", json!({})).await;
    let payments = &resumed.structured["payments"];
    assert_eq!(payments[0]["code"], "OTHER_PAYER", "{}", resumed.text);
    assert_eq!(payments[1]["code"], "DONE", "{}", resumed.text);
}

#[tokio::test]
async fn a_payment_from_the_cycles_ledger_is_taken_up_by_its_block() {
    let stack = Stack::start().await;
    let (agent, _) = manager(&stack, ALICE).await;
    let owner = management_principal(&agent).await;
    stack.devnet.credit_cycles(&owner, 4 * T).await;
    stack
        .devnet
        .interfere("cycles_ledger", "create_canister", Interference::LoseAnswer)
        .await;
    let create = json!({ "cycles": "1T" });
    let lost = agent.call("create_canister", create).await;
    lost.fails_with("OUTCOME_UNKNOWN");
    for wrong in [0, 7] {
        agent
            .call("resume_funding", json!({ "block_index": wrong }))
            .await
            .fails_with("BAD_ARGUMENT");
    }
    let found = agent
        .call("resume_funding", json!({ "block_index": 1 }))
        .await;
    let payment = &found.structured["payments"][0];
    assert_eq!(payment["code"], "DONE", "{}", found.text);
    assert_eq!(totals(&stack.devnet).await["cycles"]["payments"], 1);
}

#[tokio::test]
async fn a_busy_minting_canister_is_waited_for() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    stack.devnet.minting(json!({ "processing": 2 })).await;
    let call = json!({ "icp": "0.5", "pay_with": "icp" });
    canister(&agent.call("create_canister", call).await);
    let totals = totals(&stack.devnet).await;
    assert_eq!(totals["cmc"]["notified"], 1, "{totals}");
}

#[tokio::test]
async fn a_payment_older_than_the_ledgers_memory_is_taken_up_by_its_block() {
    let stack = Stack::start().await;
    let (agent, _) = funded(&stack).await;
    stack
        .devnet
        .interfere("ledger", "transfer", Interference::LoseAnswer)
        .await;
    let call = json!({ "icp": "0.5", "pay_with": "icp" });
    agent
        .call("create_canister", call.clone())
        .await
        .fails_with("OUTCOME_UNKNOWN");
    stack.devnet.advance(25 * 3600).await;
    // The grant is over by then; the payment is the user's and not the connection's.
    let (agent, _) = manager(&stack, ALICE).await;
    let stuck = agent.call("resume_funding", json!({})).await;
    let payment = &stuck.structured["payments"][0];
    assert_eq!(payment["code"], "PAYMENT_UNCLEAR", "{}", stuck.text);
    assert_eq!(payment["finished"], false);
    let again = agent.call("create_canister", call).await;
    let error = again.fails_with("PAYMENT_UNCLEAR");
    assert!(error.contains("block_index"), "{error}");

    // The first block is the mint's.
    for wrong in [0, 7] {
        agent
            .call("resume_funding", json!({ "block_index": wrong }))
            .await
            .fails_with("BAD_ARGUMENT");
    }
    let found = agent
        .call("resume_funding", json!({ "block_index": 1 }))
        .await;
    let payment = &found.structured["payments"][0];
    assert_eq!(payment["code"], "DONE", "{}", found.text);
    let totals = totals(&stack.devnet).await;
    assert_eq!(totals["icp"]["transfers"], 1, "{totals}");
    assert_eq!(totals["cmc"]["notified"], 1, "{totals}");
}
