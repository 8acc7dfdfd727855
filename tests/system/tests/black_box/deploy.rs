//! `deploy/run --offline-demo`: the whole product from one command.

use std::{
    fs::{self, File},
    process::{Command, Stdio},
    time::Duration,
};

use icgate_system::{Era, Instance, McpClient, binary, free_port, http_client, repository, until};
use reqwest::StatusCode;
use serde_json::json;

const BOUND: Duration = Duration::from_secs(120);

/// Stops the script and what it started when the test fails half way.
struct Script(std::process::Child);

impl Script {
    fn terminate(&self) {
        let _ = Command::new("kill")
            .arg("-TERM")
            .arg(self.0.id().to_string())
            .status();
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.terminate();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn the_offline_demo_starts_serves_and_stops() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let state = dir.path().join("state");
    let log = dir.path().join("log");
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let output = File::create(&log).expect("a log file");
    let binaries = binary("icgate");
    let binaries = binaries.parent().expect("a directory");
    let child = Command::new(repository().join("deploy").join("run"))
        .arg("--offline-demo")
        .env("PORT", port.to_string())
        .env("PUBLIC_URL", &url)
        .env("ICGATE_STATE_DIR", &state)
        // The binaries the other tests use: building release ones here would take minutes.
        .env("ICGATE_BIN_DIR", binaries)
        .stdin(Stdio::null())
        .stdout(output.try_clone().expect("a second handle"))
        .stderr(output)
        .spawn()
        .expect("deploy/run starts");
    let mut script = Script(child);
    let shown = || fs::read_to_string(&log).unwrap_or_default();

    let line = format!("claude mcp add --transport http icgate {url}/mcp");
    until("the connect line", BOUND, || {
        let ended = script.0.try_wait().expect("the script's state");
        assert!(ended.is_none(), "{ended:?}\n{}", shown());
        let said = shown().contains(&line) && shown().contains("Ctrl-C stops both.");
        async move { said.then_some(()) }
    })
    .await;
    assert!(shown().contains("not a boundary"), "{}", shown());

    let health = http_client()
        .get(format!("{url}/healthz"))
        .send()
        .await
        .expect("/healthz");
    assert_eq!(health.status(), StatusCode::OK, "{}", shown());
    let stranger = McpClient::new(
        &format!("{url}{}", Instance::Beta.mcp_path()),
        Era::Legacy,
        None,
    );
    let answer = stranger.request("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);

    for file in [
        "signer/signer.toml",
        "gateway/gateway.toml",
        "ca/ca.key",
        "signer/master.key",
    ] {
        assert!(
            state.join(file).is_file(),
            "{file} below the state directory\n{}",
            shown()
        );
    }
    let signer = fs::read_to_string(state.join("signer/signer.toml")).expect("signer.toml");
    assert!(
        !signer.contains("\"fetch\""),
        "the signer's root key is pinned: {signer}"
    );
    let gateway = fs::read_to_string(state.join("gateway/gateway.toml")).expect("gateway.toml");
    assert!(
        !gateway.contains("\"fetch\"") && gateway.contains("ic_root_key"),
        "{gateway}"
    );

    script.terminate();
    let status = until("the script to end", BOUND, || {
        let ended = script.0.try_wait().expect("the script's state");
        async move { ended }
    })
    .await;
    assert!(status.success(), "{status}\n{}", shown());
    let gone = http_client().get(format!("{url}/healthz")).send().await;
    assert!(gone.is_err(), "nothing listens any more");
}

#[test]
fn an_unknown_option_is_refused_with_the_usage() {
    let output = Command::new(repository().join("deploy").join("run"))
        .arg("--nonsense")
        .output()
        .expect("deploy/run starts");
    assert_eq!(output.status.code(), Some(64));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("usage"), "{said}");
}
