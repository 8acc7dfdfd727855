//! Strangers who make the server remember more and more.

use std::{fs, path::Path};

use futures_util::{StreamExt, stream};
use icgate_system::{Consent, Era, Instance, Stack, http_client};
use serde_json::json;
use sqlx::{SqlitePool, sqlite::SqliteConnectOptions};

/// Registrations of each of the two waves.
const WAVE: usize = 1_500;
/// Clients that are kept; the first wave alone has three times as many.
const CLIENTS: usize = 500;
const AT_ONCE: usize = 16;
/// The largest registration is some 16 KiB; what is kept of one is far less.
const DISK_PER_CLIENT: u64 = 4 * 1024;
/// The write-ahead log, which is taken up every thousand pages of 4 KiB, with room for what is under way.
const LOG_BOUND: u64 = 8 << 20;
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

/// The cap was reached and holds, and the disk has no more than it takes.
async fn assert_kept_within_bounds(dir: &Path) {
    let options = SqliteConnectOptions::new().filename(dir.join("gateway.db"));
    let store = SqlitePool::connect_with(options.read_only(true)).await;
    let store = store.expect("the gateway's database");
    let rows = sqlx::query_scalar::<_, i64>("SELECT count(*) FROM clients");
    let rows = rows.fetch_one(&store).await.expect("a count");
    assert_eq!(rows, CLIENTS as i64);
    store.close().await;
    let bytes = disk(dir);
    assert!(
        bytes < CLIENTS as u64 * DISK_PER_CLIENT + LOG_BOUND,
        "{bytes} bytes for {CLIENTS} clients"
    );
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next());
    kib.and_then(|kib| kib.parse().ok()).expect("VmRSS in kB")
}

#[tokio::test]
async fn registration_flood_is_bounded_in_memory_and_disk_and_hurts_nobody_signed_in() {
    let settings = format!("[limits]\nclients = {CLIENTS}\n");
    let stack = Stack::start_with(&settings).await;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let (pid, dir) = (stack.gateway.process().pid(), stack.gateway.state_dir());
    flood(&stack).await;
    let memory = resident_kib(pid);
    assert_kept_within_bounds(&dir).await;
    flood(&stack).await;
    assert_kept_within_bounds(&dir).await;
    let grown = resident_kib(pid).saturating_sub(memory);
    assert!(
        grown < MEMORY_BOUND_KIB,
        "{grown} KiB for {WAVE} registrations"
    );
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.tools().await;
    let next = client.refreshed(&tokens.refresh_token).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &next.access_token);
    agent.tools().await;
}
