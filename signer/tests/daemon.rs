//! The daemon as an operator runs it.
#![allow(clippy::unwrap_used, reason = "test code")]

#[path = "support/link.rs"]
mod link;
mod support;

use std::{
    fs,
    path::Path,
    process::{Child, Command, Stdio},
    time::Duration,
};

use icgate_proto::v1;
use support::{World, eventually, secret};

const SIGNER: &str = env!("CARGO_BIN_EXE_icgate-signer");

struct Daemon(Child);

impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Daemon {
    async fn start(config: &Path, ready: &Path) -> Self {
        let _ = fs::remove_file(ready);
        let child = Command::new(SIGNER)
            .args(["run", "--config"])
            .arg(config)
            .arg("--ready-file")
            .arg(ready)
            .stderr(Stdio::null())
            .spawn();
        let daemon = Self(child.unwrap());
        eventually("the signer listens", || async { ready.exists() }).await;
        daemon
    }

    fn signal(&self, name: &str) {
        let pid = self.0.id().to_string();
        assert!(
            Command::new("kill")
                .args([name, &pid])
                .status()
                .unwrap()
                .success()
        );
    }

    /// Resident memory in KiB.
    fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.0.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.trim().trim_end_matches(" kB").trim().parse().unwrap()
    }
}

fn configure(world: &World, dir: &Path, listen: &str) -> std::path::PathBuf {
    let described = world.devnet.description();
    let config = dir.join("signer/signer.toml");
    let text = format!(
        r#"
listen = "{listen}"
state_dir = "state"
ic_url = "{}"
ic_root_key = "{}"
transport = "direct"
[tls]
cert = "signer.pem"
key = "signer.key"
client_ca = "ca.pem"
[master_key]
provider = "file:master.key"
generation = "1"
[[roles]]
name = "gateway"
san = "spiffe://icgate/gateway"
[[instances]]
name = "beta"
ii_canister_id = "{}"
origin = "http://127.0.0.1:8000"
"#,
        described.ic_url, described.root_key, described.canisters.ii
    );
    fs::write(&config, text).unwrap();
    config
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

fn health(config: &Path) -> bool {
    let mut command = Command::new(SIGNER);
    command
        .args(["health", "--config"])
        .arg(config)
        .stderr(Stdio::null());
    command.status().unwrap().success()
}

#[tokio::test(flavor = "multi_thread")]
async fn serves_is_healthy_and_survives_a_crash() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let port = free_port();
    let config = configure(&world, dir.path(), &format!("127.0.0.1:{port}"));
    let ready = dir.path().join("ready");
    assert!(!health(&config), "nobody serves yet");
    let mut daemon = Daemon::start(&config, &ready).await;
    assert_eq!(
        fs::read_to_string(&ready).unwrap(),
        format!("127.0.0.1:{port}")
    );
    assert!(health(&config));
    assert!(daemon.memory() < 40 * 1024, "{} KiB", daemon.memory());

    let client = link::gateway(dir.path(), port);
    let cookie = secret();
    let begun = client
        .begin(v1::BeginRequest {
            instance: "beta".to_owned(),
            ceiling: Some(v1::Ceiling {
                scopes: vec![1],
                access_level: 1,
                expires_at_ns: 0,
            }),
            secret: cookie.to_wire(),
            slot_expires_at_ns: world.in_minutes(10),
            key_request: None,
        })
        .await
        .unwrap();
    daemon.signal("-KILL");
    let _ = daemon.0.wait();
    let mut daemon = Daemon::start(&config, &ready).await;
    let described = client
        .describe(v1::DescribeRequest {
            connection: Some(v1::ConnectionRef {
                connection_id: begun.connection_id,
                secret: cookie.to_wire(),
            }),
        })
        .await;
    assert_eq!(described.unwrap().state(), v1::ConnectionState::Pending);

    daemon.signal("-TERM");
    let mut exited = None;
    for _ in 0..240 {
        exited = daemon.0.try_wait().unwrap();
        if exited.is_some() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(exited.and_then(|status| status.code()), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn listens_on_a_unix_socket_too() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let socket = dir.path().join("signer.sock");
    let config = configure(&world, dir.path(), &format!("unix:{}", socket.display()));
    let ready = dir.path().join("ready");
    let daemon = Daemon::start(&config, &ready).await;
    assert!(health(&config));
    drop(daemon);
    // The socket file of a signer that was killed is in nobody's way.
    assert!(socket.exists());
    let _daemon = Daemon::start(&config, &ready).await;
    assert!(health(&config));
}

#[tokio::test]
async fn a_wrong_configuration_is_explained() {
    let (world, dir) = (World::start().await, tempfile::tempdir().unwrap());
    link::init(dir.path());
    let config = configure(&world, dir.path(), "127.0.0.1:0");
    let good = fs::read_to_string(&config).unwrap();
    for (from, to, place) in [
        ("127.0.0.1:0", "nowhere", "signer.toml:2"),
        (
            "transport = \"direct\"",
            "transport = \"pigeon\"",
            "signer.toml:6",
        ),
        ("state_dir", "stat_dir", "signer.toml:3"),
        ("file:master.key", "file:absent.key", "absent.key"),
        ("\"signer.pem\"", "\"signer.key\"", "signer.key"),
    ] {
        fs::write(&config, good.replacen(from, to, 1)).unwrap();
        let output = Command::new(SIGNER)
            .arg("--config")
            .arg(&config)
            .output()
            .unwrap();
        let log = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(78), "{to}: {log}");
        assert!(log.contains(place), "{to}: {log}");
    }
}
