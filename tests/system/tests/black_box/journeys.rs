//! Whole journeys through official SDKs as they are: from an app's name to acting in it as somebody, and from ICP to a
//! canister that runs, is topped up and goes again.

use std::{fs, time::Duration};

use icgate_system::{Instance, Interference, Stack, until};
use serde_json::{Value, json};

use crate::{
    clients::{python, run, typescript},
    https_site::{Document, HttpsSite},
    install::{module_of, sha256},
};

/// The person who plays the user in `tests/clients/browser.py`.
const ANCHOR: u64 = 10_000;
const E8S: u64 = 100_000_000;
/// A client has to start, sign in and come this far.
const BOUND: Duration = Duration::from_secs(90);

/// Makes the site that of an app: served by one canister, naming the other as the one it works with.
pub(crate) fn serve_app(site: &HttpsSite, frontend: &str, backend: &str) {
    let architecture = json!({ "canisters": [{ "id": backend, "role": "backend" }] });
    for (path, content_type, body) in [
        (
            "/",
            "text/html",
            "<!doctype html><title>Counter</title>".to_owned(),
        ),
        (
            "/.well-known/ic-architecture",
            "application/json",
            architecture.to_string(),
        ),
    ] {
        site.serve(Document {
            path,
            content_type,
            headers: format!("x-ic-canister-id: {frontend}\r\n"),
            body,
        });
    }
}

#[tokio::test]
async fn from_an_apps_name_to_acting_as_the_second_account() {
    let site = HttpsSite::start().await;
    let stack = Stack::start_trusting(site.ca()).await;
    let backend = stack.devnet.canister("app");
    serve_app(&site, stack.devnet.canister("trap"), backend);

    let mut client = python("python-v2", "journey_account.py");
    client
        .arg(stack.mcp_url(Instance::Beta))
        .args(["the counter app", site.origin()]);
    let found: Value = run(client, &stack.devnet, Instance::Beta).await;

    assert_eq!(found["protocol"], "2026-07-28");
    let unknown = found["unknown"].as_str().unwrap_or_default();
    assert!(unknown.contains("Ask the user"), "{unknown}");
    let app = &found["app"];
    assert_eq!(app["derivation_origin"], site.origin(), "{app}");
    assert_eq!(app["basis"], "assumed", "{app}");
    assert_eq!(app["canisters"][0]["canister_id"], backend, "{app}");
    let interface = found["interface"].as_str().unwrap_or_default();
    assert!(interface.contains("whoami_update"), "{interface}");

    let second = found["second"].as_str().expect("a second account");
    let (told, seen) = (&found["told"], &found["seen"]);
    let default = stack.devnet.principal_at("ii", ANCHOR, site.origin()).await;
    assert_eq!(told[""], default, "{found}");
    assert_ne!(told[second], told[""], "another account is another person");
    for account in ["", second] {
        let principal = told[account].as_str().expect("a principal");
        let reply = seen[account].as_str().unwrap_or_default();
        assert!(
            reply.contains(principal),
            "{account}: {reply} is not {principal}"
        );
    }
}

#[tokio::test]
async fn from_icp_to_a_canister_and_back_though_the_gateway_is_killed_while_it_pays() {
    let mut stack = Stack::start().await;
    let origin = stack.gateway.url().replacen("http://", "https://", 1);
    let owner = stack.devnet.principal_at("ii", ANCHOR, &origin).await;
    stack.devnet.mint_icp(&owner, 2 * E8S).await;
    let module = module_of((3 << 20) + 1);
    let file = stack.dir().join("module.wasm");
    fs::write(&file, &module).expect("a file in the temporary directory");

    let (mut client, _dir) = typescript("journey_canister.mjs");
    client
        .arg(stack.mcp_url(Instance::Beta))
        .arg(&file)
        .env("ICGATE_TEST_TICK", "ic:manage");
    // The ICP has been taken, and nobody has told the minting canister.
    let (canister, method) = ("cmc", "notify_create_canister");
    let held = Interference::HoldBefore;
    stack.devnet.interfere(canister, method, held).await;
    let Stack {
        gateway, devnet, ..
    } = &mut stack;
    let killed = async {
        until("the payment to be made", BOUND, || async {
            (devnet.held().await == 1).then_some(())
        })
        .await;
        gateway.kill();
        gateway.restart().await;
    };
    let journey = run::<Value>(client, devnet, Instance::Beta);
    let (found, ()) = tokio::join!(journey, killed);

    assert_eq!(found["protocol"], "2026-07-28");
    assert_eq!(found["sign_ins"], 1, "the token outlives the gateway");
    let payments = found["resumed"]["payments"].as_array().expect("a list");
    let [payment] = payments.as_slice() else {
        panic!("one payment: {}", found["resumed"]);
    };
    assert_eq!(payment["code"], "DONE", "{payment}");
    let created = &found["created"];
    assert_eq!(created["repeated"], true, "{created}");
    assert_eq!(created["canister_id"], payment["canister_id"]);
    assert_eq!(created["paid"], "0.5 ICP");

    let upload = &found["upload"];
    assert_eq!(upload["first"]["status"], 202, "{upload}");
    let offset = upload["offset"].as_u64().expect("an offset");
    assert!((1_000_001..(3 << 20) + 1).contains(&offset), "{upload}");
    assert_eq!(upload["last"]["complete"], true, "{upload}");
    let installed = &found["installed"];
    assert_eq!(installed["module_hash"], sha256(&module), "{installed}");
    assert_eq!(installed["chunks"], 4, "{installed}");
    let steps: Vec<&str> = found["steps"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|step| step["message"].as_str())
        .collect();
    for step in [
        "Sending chunk 1 of 4",
        "Sending chunk 4 of 4",
        "Installing the module",
    ] {
        assert!(steps.contains(&step), "{step}: {steps:?}");
    }
    assert_eq!(found["running"]["status"], "running");
    assert_eq!(found["running"]["module_hash"], sha256(&module));
    let cycles = |status: &Value| status["cycles"].as_u64().expect("cycles");
    let gained = cycles(&found["richer"]) - cycles(&found["running"]);
    assert_eq!(gained, 1_000_000_000_000, "0.2 ICP at five XDR for one");
    assert_eq!(found["stopped"]["status"], "stopped");
    assert_eq!(found["deleted"]["code"], "TURNED_AWAY");

    // The copy that was on its way when the gateway died arrives after everything else.
    devnet.release().await;
    until("the held call to go", BOUND, || async {
        (devnet.held().await == 0).then_some(())
    })
    .await;
    let totals = devnet.totals().await;
    assert_eq!(totals["icp"]["transfers"], 2, "0.5 and 0.2 ICP: {totals}");
    assert_eq!(totals["icp"]["burned"], 7 * E8S / 10, "{totals}");
    assert_eq!(totals["icp"]["minted"], 2 * E8S, "{totals}");
    let of = |name: &str| totals["icp"][name].as_u64().expect("a total");
    assert_eq!(
        of("held") + of("burned") + of("fees"),
        of("minted"),
        "{totals}"
    );
    assert_eq!(totals["cmc"]["notified"], 2, "{totals}");
    assert_eq!(totals["cycles"]["payments"], 0, "{totals}");
}
