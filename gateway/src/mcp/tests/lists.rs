//! The lists of tokens and SNSes from services that do not give all of them.

use candid::Principal;
use serde_json::{Value, json};

use super::{bench_asking, nowhere};
use crate::{
    config::Services,
    fetch::tests::{Page, Site},
};

const NOTE: &str = "could not be read to its end";

fn token(number: usize) -> Value {
    let mut id = number.to_be_bytes().to_vec();
    id.extend([1, 1]);
    json!({
        "ledger_canister_id": Principal::from_slice(&id).to_text(),
        "icrc1_metadata": { "icrc1_name": format!("Coin {number}"), "icrc1_symbol": "COIN" },
    })
}

/// What `find_canister` says when the service of tokens gives these pages, each for its offset.
async fn found(pages: &[(usize, Vec<Value>)]) -> (u64, String) {
    let site = Site::start().await;
    let put = |path: &str, offset: usize, entries: &[Value]| {
        let body = json!({ "data": entries }).to_string();
        let page = Page::new("200 OK", "application/json", &body);
        site.put(&format!("{path}?limit=100&offset={offset}"), page);
    };
    put("/api/v1/snses", 0, &[]);
    for (offset, entries) in pages {
        put("/api/v1/ledgers", *offset, entries);
    }
    let services = Services {
        icrc: site.url("").parse().ok(),
        sns: site.url("").parse().ok(),
        ..Services::default()
    };
    let bench = bench_asking(nowhere().await, &services).await;
    let result = bench
        .tool("find_canister", json!({ "query": "coin" }))
        .await;
    let total = result["structuredContent"]["total"].as_u64();
    let total = total.unwrap_or_else(|| panic!("{result}"));
    (total, result["content"].to_string())
}

#[tokio::test]
async fn a_list_that_is_not_whole_is_said_to_be_so() {
    let (total, said) = found(&[(0, vec![token(0), token(1)]), (2, vec![])]).await;
    assert_eq!(total, 2);
    assert!(!said.contains(NOTE), "{said}");

    // It ignores the offset.
    let first: Vec<Value> = (0..100).map(token).collect();
    let (total, said) = found(&[(0, first.clone()), (100, first.clone())]).await;
    assert_eq!(total, 100);
    assert!(
        said.contains("ICRC tokens") && said.contains(NOTE),
        "{said}"
    );

    // It gives more than it was asked for, and what is read is not all of it.
    let more: Vec<Value> = (0..101).map(token).collect();
    let (total, said) = found(&[(0, more), (101, vec![])]).await;
    assert_eq!(total, 100);
    assert!(said.contains(NOTE), "{said}");
}

#[tokio::test]
async fn a_list_without_an_end_is_read_for_a_while() {
    let endless: Vec<_> = (0..101)
        .map(|offset| (offset, vec![token(offset)]))
        .collect();
    let (total, said) = found(&endless).await;
    assert_eq!(total, 100);
    assert!(said.contains(NOTE), "{said}");
}
