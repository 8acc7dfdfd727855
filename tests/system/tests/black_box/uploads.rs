//! Sending modules over HTTP: resumed, bounded, and nobody else's.

use std::{fs, os::unix::fs::PermissionsExt};

use icgate_system::{Consent, Era, Instance, McpClient, Stack, http_client};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    install::{module_of, sha256},
    management::sign_in,
};

/// An upload that was announced.
pub(crate) struct Upload {
    pub(crate) id: String,
    pub(crate) url: String,
    pub(crate) command: String,
    pub(crate) ticket: String,
}

/// Announces an upload of these bytes through MCP.
pub(crate) async fn begin(agent: &McpClient, bytes: &[u8]) -> Upload {
    let arguments = json!({ "bytes": bytes.len(), "sha256": sha256(bytes) });
    let begun = agent.call("begin_upload", arguments).await;
    let text = |name: &str| {
        let value = begun.structured[name].as_str();
        value
            .unwrap_or_else(|| panic!("{name}: {}", begun.text))
            .to_owned()
    };
    let command = text("command");
    let ticket = command
        .split_once("Bearer ")
        .expect("a ticket in the command")
        .1;
    Upload {
        id: text("upload_id"),
        url: text("url"),
        ticket: ticket.split('\'').next().expect("its end").to_owned(),
        command,
    }
}

/// Sends bytes, all of them or from an offset of a whole of some size.
pub(crate) async fn put(
    url: &str,
    bearer: &str,
    part: Option<(usize, usize)>,
    bytes: &[u8],
) -> (u16, Value) {
    let mut request = http_client()
        .put(url)
        .bearer_auth(bearer)
        .body(bytes.to_vec());
    if let Some((start, size)) = part {
        let last = start + bytes.len() - 1;
        request = request.header("Content-Range", format!("bytes {start}-{last}/{size}"));
    }
    let answer = request.send().await.expect("an answer");
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

async fn ask(method: Method, url: &str, bearer: &str, body: Option<Value>) -> (u16, Value) {
    let mut request = http_client().request(method, url).bearer_auth(bearer);
    if let Some(body) = body {
        request = request.json(&body);
    }
    let answer = request.send().await.expect("an answer");
    (
        answer.status().as_u16(),
        answer.json().await.unwrap_or_default(),
    )
}

async fn signed_in(stack: &Stack, anchor: u64) -> (McpClient, String) {
    let tokens = sign_in(stack, anchor, "ic:read ic:manage").await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    (agent, tokens.access_token)
}

#[tokio::test]
async fn an_upload_goes_on_where_a_killed_gateway_left_it() {
    let mut stack = Stack::start().await;
    let (agent, token) = signed_in(&stack, 10_000).await;
    let module = module_of(600_000);
    let upload = begin(&agent, &module).await;
    let size = module.len();
    let (status, answer) = put(&upload.url, &token, Some((0, size)), &module[..250_000]).await;
    assert_eq!(
        (status, &answer["offset"]),
        (202, &json!(250_000)),
        "{answer}"
    );

    stack.gateway.kill();
    stack.gateway.restart().await;
    let (status, answer) = ask(Method::GET, &upload.url, &token, None).await;
    assert_eq!(
        (status, &answer["offset"]),
        (200, &json!(250_000)),
        "{answer}"
    );
    let (status, answer) = put(
        &upload.url,
        &token,
        Some((300_000, size)),
        &module[300_000..],
    )
    .await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (409, Some("wrong_offset"))
    );
    let rest = put(
        &upload.url,
        &upload.ticket,
        Some((250_000, size)),
        &module[250_000..],
    )
    .await;
    assert_eq!(
        (rest.0, &rest.1["complete"]),
        (200, &json!(true)),
        "{}",
        rest.1
    );

    let folder = stack.gateway.state_dir().join("uploads");
    let file = folder.join(&upload.id);
    assert_eq!(fs::read(&file).expect("the file"), module);
    let mode = |path| {
        fs::metadata(path)
            .expect("it is there")
            .permissions()
            .mode()
            & 0o777
    };
    assert_eq!((mode(&folder), mode(&file)), (0o700, 0o600));
    let (status, _) = ask(Method::DELETE, &upload.url, &token, None).await;
    assert_eq!(status, 204);
    assert!(!file.exists());
    assert_eq!(ask(Method::GET, &upload.url, &token, None).await.0, 404);
}

#[tokio::test]
async fn an_upload_is_its_connections_alone() {
    let stack = Stack::start().await;
    let (agent, token) = signed_in(&stack, 10_000).await;
    let (other, others_token) = signed_in(&stack, 10_001).await;
    let module = module_of(100);
    let upload = begin(&agent, &module).await;
    let foreign = begin(&other, &module).await;
    for bearer in [&others_token, &foreign.ticket] {
        for method in [Method::GET, Method::DELETE] {
            let (status, answer) = ask(method, &upload.url, bearer, None).await;
            assert_eq!(
                (status, answer["error"].as_str()),
                (404, Some("unknown_upload"))
            );
        }
        assert_eq!(put(&upload.url, bearer, None, &module).await.0, 404);
    }
    let below_prod = upload.url.replace("/uploads/", "/prod/uploads/");
    assert_eq!(put(&below_prod, &upload.ticket, None, &module).await.0, 404);
    for bearer in ["", "icg_up_", "icg_at_x"] {
        let (status, _) = put(&upload.url, bearer, None, &module).await;
        assert!(status == 401 || status == 404, "{bearer}: {status}");
    }
    let (status, _) = put(&upload.url, &token, None, &module).await;
    assert_eq!(status, 200);
    let id = json!({ "canister_id": stack.devnet.canister("app"), "upload_id": upload.id });
    other
        .call("install_code", id)
        .await
        .fails_with("UPLOAD_UNKNOWN");
    // A ticket is for its upload and nothing else.
    let mcp = stack.mcp(Instance::Beta, Era::Modern, &upload.ticket);
    let refused = mcp.call_raw("get_candid", json!({})).await;
    assert_eq!(refused.status.as_u16(), 401);
}

#[tokio::test]
async fn no_more_lies_on_the_disk_than_was_announced() {
    let stack = Stack::start().await;
    let (agent, token) = signed_in(&stack, 10_000).await;
    let all = format!("{}/uploads", stack.gateway.url());
    let announce = |bytes: u64| json!({ "bytes": bytes, "sha256": "00".repeat(32) });
    let post = |body: Value| ask(Method::POST, &all, &token, Some(body));
    assert_eq!(post(announce((100 << 20) + 1)).await.0, 413);
    assert_eq!(post(announce(0)).await.0, 413);
    for body in [
        json!({}),
        json!({ "bytes": 5 }),
        json!({ "bytes": -1, "sha256": "" }),
        json!([1]),
    ] {
        assert_eq!(post(body.clone()).await.0, 400, "{body}");
    }
    let module = module_of(1_000);
    let upload = begin(&agent, &module).await;
    let longer = [module.as_slice(), b"more"].concat();
    assert_eq!(put(&upload.url, &token, None, &longer).await.0, 413);
    let (status, answer) = put(&upload.url, &token, Some((0, 9_999)), &module).await;
    assert_eq!(status, 400, "{answer}");
    let file = stack.gateway.state_dir().join("uploads").join(&upload.id);
    assert!(fs::metadata(&file).map_or(0, |file| file.len()) <= 1_000);

    let other: Vec<u8> = module.iter().map(|byte| byte ^ 1).collect();
    let (status, answer) = put(&upload.url, &token, None, &other).await;
    assert_eq!(
        (status, answer["error"].as_str()),
        (422, Some("wrong_hash")),
        "{answer}"
    );
    assert!(!file.exists(), "wrong bytes go");
    assert_eq!(put(&upload.url, &token, None, &module).await.0, 200);
    assert_eq!(
        put(&upload.url, &token, None, &module).await.0,
        409,
        "complete is complete"
    );

    assert_eq!(post(announce(100 << 20)).await.0, 201);
    assert_eq!(
        post(announce(100 << 20)).await.0,
        429,
        "the connection's room is taken"
    );
    let refused = agent.call("begin_upload", announce(100 << 20)).await;
    refused.fails_with("TOO_MANY_UPLOADS");
    // The others' room is not.
    let (other_agent, _) = signed_in(&stack, 10_001).await;
    begin(&other_agent, &module).await;
}

#[tokio::test]
async fn who_may_only_ask_uploads_nothing() {
    let stack = Stack::start().await;
    let consent = Consent {
        access: "queries",
        ..Consent::default()
    };
    let (_client, tokens) = stack.sign_in(Instance::Beta, &consent).await;
    let all = format!("{}/uploads", stack.gateway.url());
    let body = json!({ "bytes": 1, "sha256": "00".repeat(32) });
    let (status, answer) = ask(Method::POST, &all, &tokens.access_token, Some(body)).await;
    assert_eq!(status, 403, "{answer}");
    assert!(
        fs::read_dir(stack.gateway.state_dir().join("uploads"))
            .expect("the folder")
            .next()
            .is_none()
    );
}
