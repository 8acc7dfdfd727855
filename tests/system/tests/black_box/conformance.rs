//! The official MCP conformance suite, against the real binaries on both wires.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    time::Duration,
};

use icgate_system::{AuthServer, Client, Consent, Instance, Proxy, Stack, free_port, repository};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::{
    clients::installed,
    oracles::{person, run},
};

const BOUND: Duration = Duration::from_secs(120);

#[tokio::test]
async fn the_conformance_suite_on_the_older_wire() {
    conforms("2025-11-25").await;
}

#[tokio::test]
async fn the_conformance_suite_on_the_current_wire() {
    conforms("2026-07-28").await;
}

/// Every server scenario that the revision requires; the baseline explains the checks that do not apply, most of which
/// ask for the suite's own example tools. A listed one that passes fails the run.
async fn conforms(revision: &str) {
    let proxy = Proxy::start().await;
    let stack = Stack::start_behind(&proxy, &[]).await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    proxy.sign_in(&tokens.access_token);
    let baseline = repository().join(format!("tests/clients/oracles/conformance-{revision}.yaml"));
    assert_explained(&baseline);
    let results = tempfile::tempdir().expect("a temporary directory");
    let mut suite = Command::new(installed("node"));
    suite
        .arg(conformance())
        .args(["server", "--url", &stack.mcp_url(Instance::Beta)])
        .args(["--requirements", revision])
        .arg("--expected-failures")
        .arg(baseline)
        .arg("--output-dir")
        .arg(results.path());
    run(suite).await;
}

/// Every entry of a baseline names one check of a scenario and stands below the reason why it does not apply.
fn assert_explained(baseline: &Path) {
    let text = fs::read_to_string(baseline).expect("the baseline");
    let (_, entries) = text.split_once("server:\n").expect("a list");
    let lines: Vec<_> = entries.lines().map(str::trim).collect();
    for entry in lines.chunks(2) {
        let [reason, check] = entry else {
            panic!("half an entry: {entry:?}");
        };
        assert!(
            reason.starts_with("# ") && reason.ends_with('.'),
            "{reason}"
        );
        assert!(check.starts_with("- ") && check.contains(':'), "{check}");
    }
}

#[tokio::test]
async fn the_conformance_suite_on_authorization() {
    let stack = Stack::start().await;
    let port = free_port();
    let server: AuthServer = stack.auth_server(Instance::Beta);
    let client = Client::register_at(server, &format!("http://127.0.0.1:{port}/callback")).await;
    let results = tempfile::tempdir().expect("a temporary directory");
    let mut suite = Command::new(installed("node"));
    suite
        .arg(conformance())
        .args(["authorization", "--url", stack.gateway.url()])
        .args(["--client-id", &client.client_id])
        .args(["--resource", &stack.mcp_url(Instance::Beta)])
        .args(["--port", &port.to_string()])
        .arg("--output-dir")
        .arg(results.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut suite = suite.spawn().expect("the suite starts");
    let lines = BufReader::new(suite.stdout.take().expect("its output"));
    let reading = async {
        let mut lines = lines.lines();
        let mut said = String::new();
        while let Ok(Some(line)) = lines.next_line().await {
            said.push_str(&line);
            said.push('\n');
            // The person's part: the suite prints the address and waits for the browser.
            if line.contains("/oauth/authorize?") {
                let mut browser = Command::new("python3");
                browser
                    .arg(repository().join("tests/clients/browser.py"))
                    .args(["--deliver", line.trim()]);
                person(&mut browser, &stack, Instance::Beta);
                run(browser).await;
            }
        }
        said
    };
    let said = tokio::time::timeout(BOUND, reading).await.expect("an end");
    let status = suite.wait().await.expect("its status");
    assert!(status.success(), "{said}");
    // A scenario that is skipped would be no failure.
    for scenario in [
        "authorization-server-metadata-endpoint: 2 passed",
        "authorization-code-grant: 1 passed",
    ] {
        assert!(said.contains(scenario), "{said}");
    }
}

fn conformance() -> PathBuf {
    installed("oracles/node_modules").join("@modelcontextprotocol/conformance/dist/index.js")
}
