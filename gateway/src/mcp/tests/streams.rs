//! Streams of events, and requests that name two revisions.

use std::time::Duration;

use http_body_util::BodyExt;
use serde_json::{Value, json};
use tokio::{net::TcpListener, time::timeout};

use super::{Bench, Wire, bench_on, everything, modern, nowhere};
use crate::{config::Services, instance::InstanceName};

const PATIENCE: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_silent_stream_says_that_it_is_alive() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let wire = Wire {
        repairs: false,
        keep_alive: Duration::from_millis(50),
    };
    let ic = silent.local_addr().unwrap();
    let bench = bench_on(wire, ic, &Services::default()).await;
    let mut call = modern(
        "tools/call",
        json!({ "name": "call_canister", "arguments": { "canister_id": "ryjl3-tyaaa-aaaaa-aaaba-cai", "method": "m" } }),
    );
    watch(&mut call).await;
    let answer = bench
        .mcp
        .handle(InstanceName::Beta, everything(), call)
        .await;
    assert_eq!(answer.headers()["content-type"], "text/event-stream");
    let mut body = answer.into_body();
    let comment = async {
        while let Some(frame) = body.frame().await {
            let data = frame.unwrap().into_data().unwrap();
            if data.starts_with(b":") {
                return;
            }
        }
        panic!("the stream ended without a comment");
    };
    timeout(PATIENCE, comment).await.expect("a comment in time");
}

/// Makes a call one whose progress is to be told.
async fn watch(call: &mut crate::body::Request) {
    let body = std::mem::replace(call.body_mut(), crate::body::empty());
    let body = body.collect().await.unwrap().to_bytes();
    let mut message: Value = serde_json::from_slice(&body).unwrap();
    message["params"]["_meta"]["progressToken"] = "p".into();
    *call.body_mut() = crate::body::full(message.to_string());
}

/// As connectors of claude.ai were seen to ask.
async fn asked_in_two_revisions(bench: &Bench, method: &str, params: Value) -> (u16, Value) {
    let mut request = modern(method, params);
    let headers = request.headers_mut();
    headers.insert("mcp-protocol-version", "2025-11-25".parse().unwrap());
    headers.remove("mcp-method");
    headers.remove("mcp-name");
    bench.answer(request).await
}

#[tokio::test]
async fn a_request_of_two_revisions_is_served_only_where_the_operator_wants_it() {
    for repairs in [false, true] {
        let wire = Wire {
            repairs,
            keep_alive: super::KEEP_ALIVE,
        };
        let bench = bench_on(wire, nowhere().await, &Services::default()).await;
        let call = json!({ "name": "whoami", "arguments": {} });
        for (method, params) in [("tools/list", json!({})), ("tools/call", call)] {
            let (status, answer) = asked_in_two_revisions(&bench, method, params).await;
            if repairs {
                assert_eq!(status, 200, "{answer}");
                assert_eq!(answer["result"]["resultType"], "complete", "{answer}");
            } else {
                assert_eq!(status, 400, "{answer}");
                assert_eq!(answer["error"]["code"], -32020, "{answer}");
            }
        }
    }
}
