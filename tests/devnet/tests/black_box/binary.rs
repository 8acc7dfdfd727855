//! The binary as a script uses it.

use std::{process::Stdio, time::Duration};

use rand::{RngCore, rngs::OsRng};
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
    time::timeout,
};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn it_announces_itself_and_ends_on_sigterm() {
    let name = format!("icgate-devnet-{:016x}.json", OsRng.next_u64());
    let ready = std::env::temp_dir().join(name);
    let mut child = Command::new(env!("CARGO_BIN_EXE_icgate-devnet"))
        .arg("--ready-file")
        .arg(&ready)
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let line = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap();
    let line = line.unwrap();
    let written = std::fs::read_to_string(&ready).unwrap();
    std::fs::remove_file(&ready).unwrap();
    assert_eq!(written.trim_end(), line);

    let description: Value = serde_json::from_str(&line).unwrap();
    assert_eq!(
        description["canisters"]["ii"],
        "fgte5-ciaaa-aaaad-aaatq-cai"
    );
    assert_eq!(
        description["canisters"]["ii_prod"],
        "rdmx6-jaaaa-aaaaa-aaadq-cai"
    );
    assert_eq!(
        description["canisters"]["ledger"],
        "ryjl3-tyaaa-aaaaa-aaaba-cai"
    );
    assert_eq!(description["anchors"]["ii"][0], 10_000);
    let ic_url = description["ic_url"].as_str().unwrap();
    let status = reqwest::get(format!("{ic_url}/api/v2/status"))
        .await
        .unwrap();
    assert!(status.status().is_success());

    let id = child.id().unwrap().to_string();
    let sent = Command::new("kill").args(["-TERM", &id]).status().await;
    assert!(sent.unwrap().success());
    let ended = timeout(PATIENCE, child.wait()).await.unwrap().unwrap();
    assert_eq!(ended.code(), Some(0));
}
