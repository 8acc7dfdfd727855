//! Strict third parties judge the authorization server: two OAuth client libraries that validate every answer, and two
//! scanners whose every finding is explained.

use std::{collections::BTreeMap, fs, process::Stdio, time::Duration};

use icgate_system::{Consent, Era, Instance, Stack, repository};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tokio::process::Command;

use crate::clients::{installed, node};

const BOUND: Duration = Duration::from_secs(120);

#[tokio::test]
async fn oauth4webapi_on_codes() {
    judged("oauth4webapi.mjs", Instance::Beta, "code").await;
}

#[tokio::test]
async fn oauth4webapi_on_codes_of_the_other_instance() {
    judged("oauth4webapi.mjs", Instance::Prod, "code").await;
}

#[tokio::test]
async fn oauth4webapi_on_devices() {
    judged("oauth4webapi.mjs", Instance::Beta, "device").await;
}

#[tokio::test]
async fn openid_client_on_codes() {
    judged("openid_client.mjs", Instance::Beta, "code").await;
}

#[tokio::test]
async fn openid_client_on_devices() {
    judged("openid_client.mjs", Instance::Beta, "device").await;
}

async fn judged(judge: &str, instance: Instance, flow: &str) {
    let stack = Stack::start().await;
    // The person has a connection already, so that they are asked about it on the way.
    let (_, before) = stack.sign_in(instance, &Consent::default()).await;
    let (mut command, _dir) = node("oracles", &[judge, "person.mjs"]);
    person(&mut command, &stack, instance);
    let issuer = format!("{}{}", stack.gateway.url(), instance.prefix());
    command.args([&issuer, &stack.mcp_url(instance), flow]);
    let printed = run(command).await;
    let passed: Value = serde_json::from_str(&printed).expect("what passed, as JSON");
    let passed = passed["passed"].as_array().expect("a list").len();
    assert!(passed >= 6, "{printed}");
    // It was not ticked.
    let agent = stack.mcp(instance, Era::Modern, &before.access_token);
    let answer = agent.request("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
}

#[tokio::test]
async fn authgent_finds_what_is_explained() {
    let stack = Stack::start().await;
    let mut command = Command::new(installed("python-scanners").join("bin/authgent-server"));
    command.args(["lint", &stack.mcp_url(Instance::Beta), "--format", "json"]);
    let printed = output(command).await;
    let found: Vec<Value> = serde_json::from_str(printed.trim()).expect("findings as JSON");
    let found = found
        .iter()
        .map(|finding| finding["check_id"].as_str().unwrap_or_default().to_owned());
    assert_explained("authgent-server", found);
}

#[tokio::test]
async fn authscan_finds_what_is_explained() {
    let stack = Stack::start().await;
    let mut command = Command::new(installed("python-scanners").join("bin/python"));
    command
        .args(["-m", "mcp_authscan.cli", "scan", stack.gateway.url()])
        .args(["--checks", "all", "--format", "json"]);
    let printed = output(command).await;
    let report = printed.find('{').map_or("", |start| &printed[start..]);
    let mut report = serde_json::Deserializer::from_str(report).into_iter::<Value>();
    let report = report.next().and_then(Result::ok).expect("a report");
    let checks = report["checks"].as_array().expect("checks");
    assert!(checks.len() >= 10, "{printed}");
    let failed = checks
        .iter()
        .filter(|check| check["passed"] == false)
        .map(|check| check["name"].as_str().unwrap_or_default().to_owned());
    assert_explained("mcp-authscan", failed);
}

#[tokio::test]
async fn authscans_oauth_probes_find_what_is_explained() {
    let stack = Stack::start().await;
    let mut command = Command::new(installed("python-scanners").join("bin/python"));
    command
        .args([
            "-m",
            "mcp_authscan.scan_main",
            &stack.mcp_url(Instance::Beta),
        ])
        .arg("--allow-private");
    let printed = output(command).await;
    let verdicts: BTreeMap<_, _> = printed
        .lines()
        .filter_map(|line| line.strip_prefix('[')?.split_once("] "))
        .filter(|(number, _)| number.parse::<u8>().is_ok())
        .filter_map(|(_, rest)| {
            let mut words = rest.split_whitespace();
            Some((words.next()?.to_owned(), words.next()?.to_owned()))
        })
        .collect();
    assert_eq!(verdicts.len(), 9, "{printed}");
    let unmet = verdicts
        .into_iter()
        .filter(|(_, verdict)| verdict != "PASS")
        .map(|(probe, verdict)| format!("{probe} {verdict}"));
    assert_explained("mcp-authscan probes", unmet);
}

/// What a scanner found is what the baseline explains, no more and no less.
fn assert_explained(scanner: &str, found: impl Iterator<Item = String>) {
    let text = fs::read_to_string(repository().join("tests/clients/oracles/baseline.json"));
    let baseline: BTreeMap<String, BTreeMap<String, String>> =
        serde_json::from_str(&text.expect("the baseline")).expect("scanner, finding, explanation");
    let explained: Vec<_> = baseline[scanner].keys().cloned().collect();
    let mut found: Vec<_> = found.collect();
    found.sort();
    found.dedup();
    assert_eq!(found, explained, "{scanner}");
}

/// Tells a program of the person and their browser.
pub(crate) fn person(command: &mut Command, stack: &Stack, instance: Instance) {
    command
        .env("ICGATE_TEST_DEVNET", stack.devnet.ic_url())
        .env("ICGATE_TEST_II", instance.ii())
        .env(
            "ICGATE_TEST_BROWSER",
            repository().join("tests/clients/browser.py"),
        );
}

/// What a program prints that must succeed.
pub(crate) async fn run(mut command: Command) -> String {
    let output = ended(&mut command).await;
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    let log = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{}\n{printed}\n{log}",
        output.status
    );
    printed
}

/// What a program prints whose status says only whether it found something.
async fn output(mut command: Command) -> String {
    let output = ended(&mut command).await;
    let printed = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&printed).into_owned()
}

async fn ended(command: &mut Command) -> std::process::Output {
    let ended = tokio::time::timeout(
        BOUND,
        command.stdin(Stdio::null()).kill_on_drop(true).output(),
    )
    .await;
    ended.expect("an end in time").expect("a start")
}
