//! A gateway that dies between any two steps of a payment: whoever goes on, by resuming or by asking for the same once
//! more, pays nothing twice, and the copy that was on its way when the gateway died changes nothing.

use std::time::Duration;

use icgate_system::{Devnet, Era, Instance, Interference, McpClient, Stack, until};
use serde_json::{Value, json};

use crate::funding::{ALICE, ICP, T, canister, management_principal, manager, totals};

/// Longer than a dead worker's claim on its payment lasts.
const BOUND: Duration = Duration::from_secs(30);
/// What the canister that is topped up has before, its fee included.
const CYCLES: u64 = 3 * T / 2;

const TRANSFER: (&str, &str) = ("ledger", "transfer");
const NOTIFY_CREATE: (&str, &str) = ("cmc", "notify_create_canister");
const NOTIFY_TOP_UP: (&str, &str) = ("cmc", "notify_top_up");
const CREATE: (&str, &str) = ("cycles_ledger", "create_canister");
const WITHDRAW: (&str, &str) = ("cycles_ledger", "withdraw");

/// How the person goes on once the gateway is back.
#[derive(Clone, Copy, PartialEq, Eq)]
enum GoOn {
    /// `resume_funding`.
    Resume,
    /// The same call once more.
    Repeat,
}

#[tokio::test]
async fn killed_before_the_transfer() {
    killed(
        "create_canister",
        TRANSFER,
        Interference::HoldBefore,
        GoOn::Resume,
    )
    .await;
}

#[tokio::test]
async fn killed_between_the_transfer_and_its_answer() {
    killed(
        "create_canister",
        TRANSFER,
        Interference::HoldAfter,
        GoOn::Repeat,
    )
    .await;
}

#[tokio::test]
async fn killed_between_the_transfer_and_the_notification() {
    killed(
        "create_canister",
        NOTIFY_CREATE,
        Interference::HoldBefore,
        GoOn::Repeat,
    )
    .await;
}

#[tokio::test]
async fn killed_between_the_notification_and_its_answer() {
    killed(
        "create_canister",
        NOTIFY_CREATE,
        Interference::HoldAfter,
        GoOn::Resume,
    )
    .await;
}

#[tokio::test]
async fn killed_before_the_cycles_ledger_makes_the_canister() {
    killed(
        "create_canister",
        CREATE,
        Interference::HoldBefore,
        GoOn::Resume,
    )
    .await;
}

#[tokio::test]
async fn killed_after_the_cycles_ledger_made_the_canister() {
    killed(
        "create_canister",
        CREATE,
        Interference::HoldAfter,
        GoOn::Repeat,
    )
    .await;
}

#[tokio::test]
async fn killed_before_the_transfer_of_a_top_up() {
    killed(
        "top_up_canister",
        TRANSFER,
        Interference::HoldBefore,
        GoOn::Repeat,
    )
    .await;
}

#[tokio::test]
async fn killed_between_the_transfer_of_a_top_up_and_its_answer() {
    killed(
        "top_up_canister",
        TRANSFER,
        Interference::HoldAfter,
        GoOn::Resume,
    )
    .await;
}

#[tokio::test]
async fn killed_between_the_transfer_of_a_top_up_and_the_notification() {
    killed(
        "top_up_canister",
        NOTIFY_TOP_UP,
        Interference::HoldBefore,
        GoOn::Resume,
    )
    .await;
}

#[tokio::test]
async fn killed_between_the_notification_of_a_top_up_and_its_answer() {
    killed(
        "top_up_canister",
        NOTIFY_TOP_UP,
        Interference::HoldAfter,
        GoOn::Repeat,
    )
    .await;
}

#[tokio::test]
async fn killed_before_the_withdrawal() {
    killed(
        "top_up_canister",
        WITHDRAW,
        Interference::HoldBefore,
        GoOn::Repeat,
    )
    .await;
}

#[tokio::test]
async fn killed_between_the_withdrawal_and_its_answer() {
    killed(
        "top_up_canister",
        WITHDRAW,
        Interference::HoldAfter,
        GoOn::Resume,
    )
    .await;
}

/// Kills the gateway while a call is held, starts it again, goes on, and only then lets the held call go: the copy
/// that was on its way arrives after the one that took its place.
async fn killed(tool: &'static str, at: (&str, &str), how: Interference, go_on: GoOn) {
    let mut stack = Stack::start().await;
    let (agent, token) = manager(&stack, ALICE).await;
    let owner = management_principal(&agent).await;
    stack.devnet.credit_cycles(&owner, 10 * T).await;
    stack.devnet.mint_icp(&owner, 10 * ICP).await;
    let (service, method) = at;
    let by_icp = service != "cycles_ledger";
    // 0.5 ICP are 2.5T cycles at five XDR for one ICP.
    let mut call = json!({ "icp": "0.5", "pay_with": if by_icp { "icp" } else { "cycles" } });
    if tool == "top_up_canister" {
        call["canister_id"] = stack.devnet.create_canister(&owner, CYCLES).await.into();
    }

    stack.devnet.interfere(service, method, how).await;
    let held = {
        let (agent, call) = (stack.mcp(Instance::Beta, Era::Modern, &token), call.clone());
        tokio::spawn(async move { agent.call(tool, call).await })
    };
    held_are(&stack.devnet, 1).await;
    stack.gateway.kill();
    assert!(held.await.is_err(), "the call was answered by nobody");
    stack.gateway.restart().await;

    let agent = stack.mcp(Instance::Beta, Era::Modern, &token);
    let given = finished(&agent, tool, &call, go_on).await;
    stack.devnet.release().await;
    held_are(&stack.devnet, 0).await;

    let known = agent.call(tool, call.clone()).await;
    assert_eq!(known.structured["repeated"], true, "{}", known.text);
    assert_eq!(canister(&known), given);
    let nothing = agent.call("resume_funding", json!({})).await;
    assert_eq!(nothing.structured["payments"], json!([]));
    let totals = totals(&stack.devnet).await;
    let (transfers, payments) = if by_icp { (1, 0) } else { (0, 1) };
    assert_eq!(totals["icp"]["transfers"], transfers, "{totals}");
    assert_eq!(totals["cmc"]["notified"], transfers, "{totals}");
    assert_eq!(totals["cycles"]["payments"], payments, "{totals}");
    let made = stack.devnet.made(&given).await;
    assert_eq!(made["controllers"], json!([owner]));
    if tool == "top_up_canister" {
        assert_eq!(call["canister_id"], given);
        assert_eq!(made["cycles"], "3500000000000", "once: {made}");
    }
}

/// Goes on with the only payment; gives its canister.
async fn finished(agent: &McpClient, tool: &str, call: &Value, go_on: GoOn) -> String {
    match go_on {
        GoOn::Resume => {
            let resumed = agent.call("resume_funding", json!({})).await;
            let payments = &resumed.structured["payments"];
            assert_eq!(payments.as_array().map(Vec::len), Some(1));
            assert_eq!(payments[0]["code"], "DONE", "{}", resumed.text);
            let given = payments[0]["canister_id"].as_str();
            given.expect("a canister").to_owned()
        }
        GoOn::Repeat => {
            let finished = agent.call(tool, call.clone()).await;
            assert_eq!(finished.structured["repeated"], false, "{}", finished.text);
            canister(&finished)
        }
    }
}

async fn held_are(devnet: &Devnet, expected: u64) {
    let what = format!("{expected} calls to be held");
    until(&what, BOUND, || async {
        (devnet.held().await == expected).then_some(())
    })
    .await;
}
