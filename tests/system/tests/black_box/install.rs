//! Installing code: from every source, above and below the size of a message, and only what was meant.

use base64::{Engine, prelude::BASE64_STANDARD};
use icgate_system::Call;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use crate::{
    management::{EMPTY_MODULE, Owner},
    uploads::{begin, put},
};

/// A module with a custom section that makes it this large.
pub(crate) fn module_of(bytes: usize) -> Vec<u8> {
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    let content = bytes - module.len() - 6;
    module.push(0);
    for shift in [0, 7, 14, 21, 28] {
        let more = if shift == 28 { 0 } else { 0x80 };
        module.push(((content >> shift) & 0x7f) as u8 | more);
    }
    // A section without a name, and then anything.
    module.push(0);
    module.extend((1..content).map(|n| (n % 251) as u8));
    assert_eq!(module.len(), bytes);
    module
}

fn with_init_args(types: &str) -> Vec<u8> {
    let name = "icp:public candid:args";
    let mut module = b"\0asm\x01\0\0\0".to_vec();
    module.extend([0, (1 + name.len() + types.len()) as u8, name.len() as u8]);
    module.extend(name.bytes().chain(types.bytes()));
    module
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[tokio::test]
async fn a_module_of_three_megabytes_is_uploaded_and_installed_in_chunks() {
    let owner = Owner::start().await;
    let module = module_of((3 << 20) + 1);
    let upload = begin(&owner.agent, &module).await;
    assert!(upload.command.contains("curl") && upload.command.contains(&upload.url));
    let id = json!({ "upload_id": upload.id });
    let missing = owner.call("install_code", id.clone()).await;
    missing.fails_with("UPLOAD_INCOMPLETE");
    let (status, answer) = put(&upload.url, &upload.ticket, None, &module).await;
    assert_eq!(
        (status, &answer["complete"]),
        (200, &json!(true)),
        "{answer}"
    );

    let installed = owner.call("install_code", id.clone()).await;
    assert_eq!(installed.structured["chunks"], 4, "{}", installed.text);
    assert_eq!(installed.structured["module_hash"], sha256(&module));
    let report = owner.report().await;
    assert_eq!(report["module_hash"], sha256(&module));
    assert_eq!(report["chunks"], 0, "the chunk store is cleared");

    let again = owner.call("install_code", id.clone()).await;
    again.fails_with("NOT_EMPTY");
    assert_eq!(
        owner.report().await["chunks"],
        0,
        "cleared after a refusal too"
    );
    let upgrade = json!({ "upload_id": upload.id, "mode": "upgrade" });
    owner.call("install_code", upgrade).await.ok();
    let history = owner.call("canister_history", json!({})).await.structured;
    assert_eq!(history["module_hash"], sha256(&module));
}

#[tokio::test]
async fn chunks_of_an_interrupted_installation_are_not_sent_again() {
    let owner = Owner::start().await;
    let module = module_of(2_500_000);
    let upload = begin(&owner.agent, &module).await;
    put(&upload.url, &upload.ticket, None, &module).await;
    let arguments = json!({ "canister_id": owner.canister, "upload_id": upload.id });
    owner
        .stack
        .devnet
        .fault(icgate_system::Fault::SlowMs(300))
        .await;
    let interrupted = owner.agent.call("install_code", arguments.clone());
    let bound = std::time::Duration::from_secs(60);
    tokio::select! {
        done = interrupted => panic!("done before it was interrupted: {}", done.text),
        () = icgate_system::until("a first chunk", bound, || async {
            let chunks = owner.report().await["chunks"].as_u64();
            chunks.filter(|chunks| *chunks >= 1).map(drop)
        }) => {}
    }
    owner.stack.devnet.fault(icgate_system::Fault::None).await;
    assert_eq!(owner.report().await["module_hash"], Value::Null);
    owner.stack.devnet.reset_requests().await;
    // The gateway may not have noticed yet that nobody waits for the first.
    icgate_system::until("the first to be over", bound, || async {
        let done = owner.agent.call("install_code", arguments.clone()).await;
        (!done.text.contains("is under way")).then(|| done.ok())
    })
    .await;
    let requests = owner.stack.devnet.requests().await;
    let sent = |method: &str| {
        let is = |request: &&icgate_system::IcRequest| request.method.as_deref() == Some(method);
        requests.iter().filter(is).count()
    };
    assert!(sent("upload_chunk") < 3, "{requests:?}");
    assert_eq!(sent("install_chunked_code"), 1);
    assert_eq!(owner.report().await["module_hash"], sha256(&module));
}

#[tokio::test]
async fn small_modules_go_in_one_message_and_their_arguments_by_their_own_types() {
    let owner = Owner::start().await;
    let module = with_init_args("(record { limit : nat64; name : opt text })");
    let wasm = BASE64_STANDARD.encode(&module);
    let wrong = json!({ "wasm_base64": wasm, "arg": "(true)" });
    let refused = owner
        .call("install_code", wrong)
        .await
        .fails_with("BAD_ARGS");
    assert!(refused.contains("limit : nat64"), "{refused}");
    let right = json!({ "wasm_base64": wasm, "arg": "(record { limit = 5 })" });
    let installed = owner.call("install_code", right).await;
    assert_eq!(installed.structured["chunks"], 0, "{}", installed.text);
    let arg = Call::query(&owner.canister, "init_arg", "()");
    let arg = owner.agent.canister(arg).await.ok();
    assert!(arg.contains("DIDL"), "{arg}");
    let increment = Call::update(&owner.canister, "increment", "()");
    owner.agent.canister(increment).await.ok();
    owner.install("reinstall").await;
    let count = Call::query(&owner.canister, "count", "()");
    assert!(
        owner
            .agent
            .canister(count)
            .await
            .ok()
            .contains("(0 : nat64)")
    );
}

#[tokio::test]
async fn what_is_no_module_or_another_one_is_not_installed() {
    let owner = Owner::start().await;
    owner.stack.devnet.reset_requests().await;
    let script = hex::encode("#!/bin/sh\nexit");
    for (arguments, code) in [
        (json!({}), "NO_WASM"),
        (
            json!({ "wasm_hex": EMPTY_MODULE, "upload_id": "x" }),
            "NO_WASM",
        ),
        (json!({ "wasm_hex": script }), "NOT_WASM"),
        (json!({ "wasm_hex": "1f8b0800" }), "NOT_WASM"),
        (json!({ "wasm_hex": "xyz" }), "BAD_ARGUMENT"),
        (
            json!({ "wasm_hex": EMPTY_MODULE, "mode": "erase" }),
            "BAD_ARGUMENT",
        ),
        (
            json!({ "wasm_hex": EMPTY_MODULE, "sha256": "00".repeat(32) }),
            "WRONG_HASH",
        ),
        (
            json!({ "wasm_hex": EMPTY_MODULE, "arg": "(((((" }),
            "BAD_ARGS",
        ),
        (json!({ "upload_id": "../gateway.db" }), "UPLOAD_UNKNOWN"),
        (
            json!({ "wasm_url": "https://example.org/a.wasm" }),
            "BAD_ARGUMENT",
        ),
        (
            json!({ "wasm_url": "http://169.254.169.254/", "sha256": "00".repeat(32) }),
            "WASM_NOT_FETCHED",
        ),
        (
            json!({ "wasm_url": "file:///etc/passwd", "sha256": "00".repeat(32) }),
            "WASM_NOT_FETCHED",
        ),
    ] {
        owner.call("install_code", arguments).await.fails_with(code);
    }
    let unknown = owner
        .call("install_code", json!({ "upload_id": "x" }))
        .await;
    assert!(unknown.err().contains("curl"), "says how to send a file");
    assert_eq!(owner.stack.devnet.requests().await, []);
    let poor = owner
        .stack
        .devnet
        .create_canister(&owner.principal, 500_000_000_001)
        .await;
    let arguments = json!({ "canister_id": poor, "wasm_hex": EMPTY_MODULE });
    let refused = owner.agent.call("install_code", arguments).await;
    assert!(
        refused
            .fails_with("OUT_OF_CYCLES")
            .contains("top_up_canister")
    );
}

/// A site that answers every request with the same bytes.
async fn site(status: &'static str, body: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/app.wasm", listener.local_addr().expect("bound"));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = stream.read(&mut request).await;
            let length = body.len();
            let head = format!(
                "HTTP/1.1 {status}\r\ncontent-length: {length}\r\nlocation: /x\r\nconnection: close\r\n\r\n"
            );
            let _ = stream.write_all(head.as_bytes()).await;
            let _ = stream.write_all(&body).await;
        }
    });
    url
}

#[tokio::test]
async fn a_module_comes_from_an_address_only_with_the_hash_that_was_named() {
    let owner = Owner::start().await;
    let module = module_of(5_000);
    let url = site("200 OK", module.clone()).await;
    let wrong = json!({ "wasm_url": url, "sha256": "11".repeat(32) });
    owner
        .call("install_code", wrong)
        .await
        .fails_with("WRONG_HASH");
    let moved = site("302 Found", Vec::new()).await;
    let arguments = json!({ "wasm_url": moved, "sha256": sha256(&module) });
    let refused = owner.call("install_code", arguments).await;
    assert!(refused.fails_with("WASM_NOT_FETCHED").contains("Redirects"));
    let right = json!({ "wasm_url": url, "sha256": sha256(&module) });
    owner.call("install_code", right).await.ok();
    assert_eq!(owner.report().await["module_hash"], sha256(&module));
}
