//! `deploy/run --offline-demo`: the whole product from one command.

use std::{
    fs::{self, File},
    os::unix::fs::PermissionsExt,
    process::{Child, Command, Stdio},
    time::Duration,
};

use candid::Principal;
use icgate_system::{
    AuthServer, Browser, Client, Era, Instance, McpClient, binary, free_port, http_client,
    repository, until,
};
use reqwest::StatusCode;
use serde_json::{Value, json};
use tempfile::TempDir;

const BOUND: Duration = Duration::from_secs(120);

/// `deploy/run` under way, stopped with what it started when the test ends.
struct Script {
    child: Child,
    url: String,
    /// Holds the state directory.
    dir: TempDir,
}

impl Script {
    /// Starts it on a free port with a state directory of its own, and waits until all is up.
    async fn start(arguments: &[&str]) -> Self {
        Self::start_with(arguments, &[]).await
    }

    /// The same with further environment variables.
    async fn start_with(arguments: &[&str], env: &[(&str, &str)]) -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let port = free_port();
        let url = format!("http://127.0.0.1:{port}");
        let output = File::create(dir.path().join("output")).expect("a file for the output");
        let binaries = binary("icgate");
        let child = Command::new(repository().join("deploy").join("run"))
            .args(arguments)
            .envs(env.iter().copied())
            .env("PORT", port.to_string())
            .env("ICGATE_STATE_DIR", dir.path().join("state"))
            // The binaries the other tests use: building release ones here would take minutes.
            .env("ICGATE_BIN_DIR", binaries.parent().expect("a directory"))
            .stdin(Stdio::null())
            .stdout(output.try_clone().expect("a second handle"))
            .stderr(output)
            .spawn()
            .expect("deploy/run starts");
        let mut script = Self { child, url, dir };
        until("deploy/run to be done starting", BOUND, || {
            let ended = script.child.try_wait().expect("the script's state");
            assert!(ended.is_none(), "{ended:?}\n{}", script.shown());
            let done = script.shown().contains("Ctrl-C stops both");
            async move { done.then_some(()) }
        })
        .await;
        let line = format!(
            "claude mcp add --transport http icgate {}/mcp\n",
            script.url
        );
        assert!(script.shown().contains(&line), "{}", script.shown());
        script
    }

    /// What it has printed.
    fn shown(&self) -> String {
        fs::read_to_string(self.dir.path().join("output")).unwrap_or_default()
    }

    /// A file of its state directory.
    fn read(&self, file: &str) -> String {
        fs::read_to_string(self.dir.path().join("state").join(file))
            .unwrap_or_else(|error| panic!("{file}: {error}\n{}", self.shown()))
    }

    fn signal(&self, name: &str) {
        // An error means that it has ended already.
        let _ = Command::new("kill")
            .arg(name)
            .arg(self.child.id().to_string())
            .status();
    }

    /// Asks it to stop and sees that nothing is left.
    async fn stop(mut self, signal: &str) {
        self.signal(signal);
        let status = until("the script to end", BOUND, || {
            let ended = self.child.try_wait().expect("the script's state");
            async move { ended }
        })
        .await;
        assert!(status.success(), "{status}\n{}", self.shown());
        let gone = http_client()
            .get(format!("{}/healthz", self.url))
            .send()
            .await;
        assert!(gone.is_err(), "nothing listens any more");
    }
}

impl Drop for Script {
    fn drop(&mut self) {
        self.signal("-TERM");
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn the_offline_demo_starts_serves_and_stops() {
    let script = Script::start(&["--offline-demo"]).await;
    let shown = script.shown();
    assert!(shown.contains("not a boundary"), "{shown}");
    let named = shown.lines().find_map(|line| {
        let id = line.strip_prefix("and the app canister is ")?;
        Principal::from_text(id.strip_suffix('.')?).ok()
    });
    assert!(named.is_some(), "a canister's id: {shown}");

    let health = http_client()
        .get(format!("{}/healthz", script.url))
        .send()
        .await;
    assert_eq!(
        health.expect("/healthz").status(),
        StatusCode::OK,
        "{}",
        script.shown()
    );
    let stranger = McpClient::new(&format!("{}/mcp", script.url), Era::Legacy, None);
    let answer = stranger.request("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);

    // A local Internet Computer's root key is fetched once and pinned for both.
    for file in ["signer/signer.toml", "gateway/gateway.toml"] {
        let text = script.read(file);
        assert!(
            text.contains("ic_root_key") && !text.contains("\"fetch\""),
            "{file}: {text}"
        );
    }
    script.stop("-TERM").await;
}

#[tokio::test]
async fn which_tools_are_served_is_passed_on() {
    let tools = [("ICGATE_TOOLS", "directory, skills")];
    let script = Script::start_with(&["--offline-demo"], &tools).await;
    let settings = script.read("gateway/gateway.toml");
    assert!(
        settings.contains("icgate_tools = \"directory, skills\""),
        "{settings}"
    );
    let url = format!("{}/.well-known/oauth-protected-resource/mcp", script.url);
    let metadata = http_client().get(url).send().await.expect("metadata");
    let metadata: Value = metadata.json().await.expect("metadata as JSON");
    assert_eq!(metadata["scopes_supported"], json!(["ic:read"]));
    script.stop("-TERM").await;
}

#[tokio::test]
async fn without_settings_it_serves_mainnet() {
    let script = Script::start(&[]).await;
    for file in ["signer/signer.toml", "gateway/gateway.toml"] {
        let text = script.read(file);
        assert!(
            text.contains("https://icp-api.io") && !text.contains("ic_root_key"),
            "{text}"
        );
    }
    let pairs = [
        (Instance::Beta, "https://beta.id.ai/mcp#"),
        (Instance::Prod, "https://id.ai/mcp#"),
    ];
    for (instance, ii) in pairs {
        let client = Client::register(AuthServer::new(&script.url, instance)).await;
        let link = client.consent_page(&mut Browser::new()).await;
        assert!(link.as_str().starts_with(ii), "{link}");
    }
    for file in ["ca/ca.key", "signer/master.key", "gateway/gateway.key"] {
        let mode = fs::metadata(script.dir.path().join("state").join(file));
        let mode = mode.expect("a file of the state").permissions().mode() & 0o777;
        assert_eq!(mode, 0o600, "{file}: {mode:o}");
    }
    script.stop("-INT").await;
}

#[test]
fn a_mistake_in_the_settings_ends_it_with_78_and_what_this_start_said() {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let log = dir.path().join("log");
    fs::create_dir(&log).expect("a directory for the logs");
    let earlier = "said by an earlier start";
    fs::write(log.join("icgate.log"), format!("{earlier}\n")).expect("a log");
    let output = Command::new(repository().join("deploy").join("run"))
        .env("PORT", free_port().to_string())
        .env("ICGATE_STATE_DIR", dir.path())
        .env(
            "ICGATE_BIN_DIR",
            binary("icgate").parent().expect("its directory"),
        )
        .env("II_HANDSHAKE", "nonsense")
        .output()
        .expect("deploy/run starts");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(78), "{said}");
    assert!(said.contains("II_HANDSHAKE"), "{said}");
    assert!(!said.contains(earlier), "{said}");
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
