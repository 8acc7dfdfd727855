//! What a client hears while a tool is at work, on both wires, and what is not sent once it says that it has enough.

use icgate_system::{Answer, Consent, Era, Fault, Instance, McpClient, Stack};
use serde_json::{Value, json};

use crate::{
    install::{module_of, sha256},
    management::Owner,
    uploads::{begin, put},
};

const CYCLES: u64 = 1_500_000_000_000;
const TOKEN: &str = "of-this-call";

/// A call of a tool by a client that wants to hear of its progress.
fn watched(tool: &str, arguments: Value) -> Value {
    json!({ "name": tool, "arguments": arguments, "_meta": { "progressToken": TOKEN } })
}

/// What was said before the result, after checking that each note goes on from the one before it.
fn notes(answer: &Answer) -> Vec<String> {
    let events = answer
        .text
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("data:")?.trim()).ok());
    let (mut notes, mut reached) = (Vec::new(), 0.0);
    for event in events.filter(|event| event["method"] == "notifications/progress") {
        let params = &event["params"];
        assert_eq!(params["progressToken"], TOKEN, "{event}");
        let progress = params["progress"].as_f64().unwrap_or_default();
        assert!(progress > reached, "{event}");
        reached = progress;
        notes.push(params["message"].as_str().expect("a message").to_owned());
    }
    notes
}

fn assert_said(notes: &[String], expected: &[&str]) {
    let mut rest = notes.iter();
    for part in expected {
        assert!(rest.any(|note| note.contains(part)), "{part} in {notes:?}");
    }
}

async fn uploaded(agent: &McpClient, module: &[u8]) -> String {
    let upload = begin(agent, module).await;
    assert_eq!(put(&upload.url, &upload.ticket, None, module).await.0, 200);
    upload.id
}

#[tokio::test]
async fn an_installation_and_a_payment_tell_how_far_they_are() {
    let owner = Owner::start().await;
    let devnet = &owner.stack.devnet;
    devnet.mint_icp(&owner.principal, 200_000_000).await;
    let module = module_of(2_500_000);
    for era in [Era::Legacy, Era::Modern] {
        let agent = owner.stack.mcp(Instance::Beta, era, &owner.token);
        let id = uploaded(&agent, &module).await;
        let install =
            json!({ "canister_id": owner.canister, "upload_id": id, "mode": "reinstall" });
        devnet.fault(Fault::SlowCall(1_200)).await;
        let answer = agent
            .request("tools/call", watched("install_code", install))
            .await;
        devnet.fault(Fault::None).await;
        let notes_of_install = notes(&answer);
        let expected = ["chunk 1 of 3", "chunk 3 of 3", "Installing the module"];
        assert_said(&notes_of_install, &expected);
        assert_said(
            &notes_of_install,
            &["waiting for the management canister, "],
        );
        let installed = &answer.result()["structuredContent"];
        assert_eq!(installed["module_hash"], sha256(&module), "{era:?}");

        let pay = json!({ "icp": "0.5", "pay_with": "icp", "request_id": format!("{era:?}") });
        let answer = agent
            .request("tools/call", watched("create_canister", pay))
            .await;
        assert_said(&notes(&answer), &["paying"]);
        assert!(answer.result()["structuredContent"]["canister_id"].is_string());
    }
}

#[tokio::test]
async fn a_resource_that_takes_long_is_told_of() {
    let stack = Stack::start().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    stack.devnet.fault(Fault::SlowMs(1_300)).await;
    // The second reading of an interface is from memory.
    for (era, canister) in [(Era::Legacy, "app"), (Era::Modern, "types")] {
        let agent = stack.mcp(Instance::Beta, era, &tokens.access_token);
        let uri = format!("canister://{}/candid", stack.devnet.canister(canister));
        let asked = json!({ "uri": uri, "_meta": { "progressToken": TOKEN } });
        let answer = agent.request("resources/read", asked).await;
        assert_said(&notes(&answer), &["reading the canister's interface, "]);
        assert_eq!(answer.result()["contents"][0]["uri"], uri, "{era:?}");
    }
}

#[tokio::test]
async fn an_installation_that_is_cancelled_is_not_carried_out() {
    let owner = Owner::start().await;
    let devnet = &owner.stack.devnet;
    let module = module_of(2_500_000);
    for era in [Era::Legacy, Era::Modern] {
        let agent = owner.stack.mcp(Instance::Beta, era, &owner.token);
        let id = uploaded(&agent, &module).await;
        let install = json!({ "canister_id": owner.canister, "upload_id": id });
        devnet.reset_requests().await;
        devnet.fault(Fault::SlowCall(500)).await;
        let mut begun = agent
            .begin("tools/call", watched("install_code", install))
            .await;
        // Those that went before the first of the two was cancelled are not sent again.
        begun.until("Sending chunk ").await;
        // In words, or by leaving.
        let kept = match era {
            Era::Legacy => {
                let meant = json!({ "requestId": begun.id });
                agent.notify("notifications/cancelled", meant).await;
                Some(begun)
            }
            Era::Modern => {
                drop(begun);
                None
            }
        };
        // The same elsewhere takes as long as the cancelled one would have needed.
        let other = devnet.create_canister(&owner.principal, CYCLES).await;
        let install = json!({ "canister_id": other, "upload_id": id });
        agent.call("install_code", install).await.ok();
        devnet.fault(Fault::None).await;
        let sent = devnet.requests().await;
        let installs = sent
            .iter()
            .filter(|request| request.method.as_deref() == Some("install_chunked_code"));
        assert_eq!(installs.count(), 1, "{era:?}: {sent:?}");
        let report = devnet.canister_report(&other).await;
        assert_eq!(report["module_hash"], sha256(&module), "{era:?}");
        assert_eq!(owner.report().await["module_hash"], Value::Null, "{era:?}");
        drop(kept);
    }
}
