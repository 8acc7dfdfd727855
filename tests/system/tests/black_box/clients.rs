//! The official SDKs with their own OAuth clients, from the bare URL to every tool. `tests/run` installs them.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use icgate_system::{Call, Devnet, Instance, Stack, binary, repository};
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::{Value, json};
use tokio::process::Command;

use crate::{ANONYMOUS, APP};

const BOUND: Duration = Duration::from_secs(180);

/// What a client prints.
#[derive(Debug, Deserialize)]
struct Outcome {
    protocol: String,
    tools: Vec<String>,
    results: Vec<Said>,
}

#[derive(Debug, Deserialize)]
struct Said {
    error: bool,
    text: String,
}

#[tokio::test]
async fn python_v2_on_beta() {
    let client = python("python-v2", "client_v2.py");
    carry_out(Instance::Beta, client, "2026-07-28").await;
}

#[tokio::test]
async fn python_v2_on_prod() {
    let client = python("python-v2", "client_v2.py");
    carry_out(Instance::Prod, client, "2026-07-28").await;
}

#[tokio::test]
async fn python_v1_on_beta() {
    let client = python("python-v1", "client_v1.py");
    carry_out(Instance::Beta, client, "2025-11-25").await;
}

#[tokio::test]
async fn python_v1_on_prod() {
    let client = python("python-v1", "client_v1.py");
    carry_out(Instance::Prod, client, "2025-11-25").await;
}

#[tokio::test]
async fn typescript_v2_on_prod() {
    let (client, _dir) = typescript("client_v2.mjs");
    carry_out(Instance::Prod, client, "2026-07-28").await;
}

#[tokio::test]
async fn typescript_v2_on_beta() {
    let (client, _dir) = typescript("client_v2.mjs");
    carry_out(Instance::Beta, client, "2026-07-28").await;
}

#[tokio::test]
async fn typescript_v1_on_beta() {
    let (client, _dir) = typescript("client_v1.mjs");
    carry_out(Instance::Beta, client, "2025-11-25").await;
}

#[tokio::test]
async fn typescript_v1_on_prod() {
    let (client, _dir) = typescript("client_v1.mjs");
    carry_out(Instance::Prod, client, "2025-11-25").await;
}

/// Where `tests/run` installs: beside the profile's directory of cargo's target directory.
pub(crate) fn installed(name: &str) -> PathBuf {
    let target = binary("icgate");
    let target = target.ancestors().nth(2).expect("the target directory");
    let path = target.join("clients").join(name);
    assert!(
        path.exists(),
        "{} is missing: tests/run installs it",
        path.display()
    );
    path
}

fn sources() -> PathBuf {
    repository().join("tests").join("clients")
}

pub(crate) fn python(environment: &str, script: &str) -> Command {
    let mut command = Command::new(installed(environment).join("bin").join("python"));
    command.arg(sources().join("python").join(script));
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

pub(crate) fn typescript(script: &str) -> (Command, tempfile::TempDir) {
    node("typescript", &[script, "session_v2.mjs", "person.mjs"])
}

/// Runs the first script of a folder. Node looks for packages beside a script, so the scripts are put beside them.
pub(crate) fn node(folder: &str, scripts: &[&str]) -> (Command, tempfile::TempDir) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    for script in scripts {
        fs::copy(sources().join(folder).join(script), dir.path().join(script)).expect("a copy");
    }
    let modules = installed(&format!("{folder}/node_modules"));
    symlink(&modules, &dir.path().join("node_modules"));
    let mut command = Command::new(installed("node"));
    command.arg(dir.path().join(scripts[0]));
    (command, dir)
}

fn symlink(original: &Path, link: &Path) {
    std::os::unix::fs::symlink(original, link).expect("a link");
}

/// Runs a client, whose person signs in at the instance's Internet Identity, and gives what it printed.
pub(crate) async fn run<T: DeserializeOwned>(
    mut client: Command,
    devnet: &Devnet,
    instance: Instance,
) -> T {
    client
        .env("ICGATE_TEST_DEVNET", devnet.ic_url())
        .env("ICGATE_TEST_II", instance.ii())
        .env("ICGATE_TEST_BROWSER", sources().join("browser.py"))
        .kill_on_drop(true);
    let ended = tokio::time::timeout(BOUND, client.output()).await;
    let output = ended
        .expect("the client ends in time")
        .expect("the client starts");
    let (printed, log) = (
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr),
    );
    assert!(
        output.status.success(),
        "{}\n{printed}\n{log}",
        output.status
    );
    serde_json::from_str(printed.trim()).unwrap_or_else(|error| panic!("{error}\n{printed}\n{log}"))
}

async fn carry_out(instance: Instance, mut client: Command, protocol: &str) {
    let stack = Stack::start().await;
    let app = stack.devnet.canister("app");
    let step = |tool: &str, arguments: Value| json!({ "tool": tool, "arguments": arguments });
    let call = |call: Call| step("call_canister", call.arguments());
    let plan = [
        step("get_candid", json!({ "canister_id": app })),
        call(Call::query(app, "greet", "(\"Ada\")")),
        call(Call::update(app, "increment", "()")),
        call(Call::query(app, "whoami", "()")),
        step("get_principal", json!({ "domain": APP })),
        call(Call::query(app, "whoami", "()").at(APP)),
        call(Call::update(app, "whoami_update", "()").at(APP)),
        step(
            "get_principal",
            json!({ "domain": APP, "account": "savings" }),
        ),
        call(Call::query(app, "whoami", "()").at(APP).account("savings")),
        call(
            Call::update(app, "whoami_update", "()")
                .at(APP)
                .account("savings"),
        ),
        step("list_accounts", json!({ "domain": APP })),
    ];
    client
        .arg(stack.mcp_url(instance))
        .arg(json!(plan).to_string());
    let outcome: Outcome = run(client, &stack.devnet, instance).await;

    assert_eq!(outcome.protocol, protocol);
    for name in [
        "get_candid",
        "call_canister",
        "get_principal",
        "list_accounts",
    ] {
        assert!(
            outcome.tools.iter().any(|tool| tool == name),
            "{:?}",
            outcome.tools
        );
    }
    assert_eq!(outcome.results.len(), plan.len());
    for (step, said) in plan.iter().zip(&outcome.results) {
        assert!(!said.error, "{step}: {}", said.text);
    }
    let said = |n: usize| outcome.results[n].text.as_str();
    assert!(said(0).contains("whoami"), "{}", said(0));
    assert!(said(1).contains("Ada"), "{}", said(1));
    assert!(said(2).contains('1'), "{}", said(2));
    assert!(said(3).contains(ANONYMOUS), "{}", said(3));
    for (principal, calls) in [(4, [5, 6]), (7, [8, 9])] {
        let principal = said(principal)
            .split_whitespace()
            .find(|word| word.contains('-'));
        let principal = principal
            .expect("a principal")
            .trim_matches(|c: char| !c.is_alphanumeric());
        for n in calls {
            assert!(
                said(n).contains(principal),
                "{} is not {principal}",
                said(n)
            );
        }
    }
    assert!(
        said(10).contains("savings") && said(10).contains("work"),
        "{}",
        said(10)
    );
}
