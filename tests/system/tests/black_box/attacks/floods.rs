//! Strangers who make the server remember more and more.

use std::{fs, path::Path};

use futures_util::{StreamExt, stream};
use icgate_system::{Consent, Era, Instance, Stack, http_client};
use serde_json::json;

/// Registrations of each of the two waves.
const WAVE: usize = 1_500;
const AT_ONCE: usize = 16;
/// The largest registration is some 16 KiB; what is kept of one is far less.
const DISK_PER_CLIENT: u64 = 4 * 1024;
const MEMORY_BOUND_KIB: u64 = 16 * 1024;

async fn flood(stack: &Stack) {
    let http = http_client();
    let endpoint = stack.auth_server(Instance::Beta).endpoint("register");
    let body = json!({
        "client_name": "x".repeat(200),
        "redirect_uris": ["http://127.0.0.1/callback"],
        "token_endpoint_auth_method": "none",
    });
    stream::iter(0..WAVE)
        .for_each_concurrent(AT_ONCE, |_| async {
            let request = http.post(endpoint.clone()).json(&body);
            let answer = request.send().await.expect("an answer");
            // Refused for being too many is fine, failing is not.
            assert_ne!(answer.status().as_u16(), 500);
        })
        .await;
}

fn disk(dir: &Path) -> u64 {
    let files = fs::read_dir(dir).expect("the state directory");
    files
        .map(|file| file.and_then(|file| file.metadata()).map_or(0, |m| m.len()))
        .sum()
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).expect("VmRSS in kB")
}

#[tokio::test]
async fn registration_flood_is_bounded_in_memory_and_disk_and_hurts_nobody_signed_in() {
    let stack = Stack::start().await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let (pid, dir) = (stack.gateway.process().pid(), stack.gateway.state_dir());
    flood(&stack).await;
    let (memory, stored) = (resident_kib(pid), disk(&dir));
    flood(&stack).await;
    let grown = resident_kib(pid).saturating_sub(memory);
    assert!(
        grown < MEMORY_BOUND_KIB,
        "{grown} KiB for {WAVE} registrations"
    );
    let grown = disk(&dir).saturating_sub(stored);
    assert!(
        grown < WAVE as u64 * DISK_PER_CLIENT,
        "{grown} bytes for {WAVE} registrations"
    );
    let next = client.refreshed(&tokens.refresh_token).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &next.access_token);
    agent.tools().await;
}
