//! The control interface and the ledger.

use candid::{CandidType, Nat, Principal};
use ic_agent::Identity;
use serde::Deserialize;
use serde_bytes::ByteBuf;
use serde_json::json;

use crate::network::{Network, query, random_key, update};

#[tokio::test]
async fn requests_are_counted_and_listed() {
    let network = Network::start().await;
    let app = network.canisters().app;
    let key = random_key();
    let me = key.sender().unwrap();
    let agent = network.agent(key).await;
    let _: (Nat,) = query(&agent, app, "count", ()).await.unwrap();
    network.control("requests/reset", json!({})).await;
    let _: (Nat,) = query(&agent, app, "count", ()).await.unwrap();
    let _: (Nat,) = update(&agent, app, "increment", ()).await.unwrap();
    let entry = |endpoint: &str, method: &str| {
        json!({
            "endpoint": endpoint, "canister": app.to_text(), "method": method,
            "sender": me.to_text(),
        })
    };
    assert_eq!(
        network.get("/control/requests").await,
        json!([entry("query", "count"), entry("call", "increment")])
    );
    assert_eq!(
        network.get("/control/requests/counts").await,
        json!({ "status": 0, "query": 1, "call": 1, "read_state": 0 })
    );
}

#[tokio::test]
async fn unknown_members_are_refused() {
    let network = Network::start().await;
    let body = json!({ "ii": "ii", "anchor": 10_000, "surprise": true });
    let (status, _) = {
        let url = format!("{}/control/revoke", network.description().ic_url);
        let response = network.http().post(url).json(&body).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    };
    assert_eq!(status, 422);
}

#[derive(CandidType)]
struct Account {
    owner: Principal,
    subaccount: Option<ByteBuf>,
}

#[derive(CandidType)]
struct Transfer {
    to: Account,
    fee: Option<Nat>,
    memo: Option<ByteBuf>,
    from_subaccount: Option<ByteBuf>,
    created_at_time: Option<u64>,
    amount: Nat,
}

#[derive(Debug, PartialEq, CandidType, Deserialize)]
enum TransferError {
    InsufficientFunds { balance: Nat },
    BadFee { expected_fee: Nat },
    Duplicate { duplicate_of: Nat },
}

#[derive(CandidType)]
struct Identified {
    account: ByteBuf,
}

#[derive(CandidType, Deserialize)]
struct Tokens {
    e8s: u64,
}

#[tokio::test]
async fn the_ledger_moves_tokens_once() {
    let network = Network::start().await;
    let ledger = network.canisters().ledger;
    let key = random_key();
    let me = key.sender().unwrap();
    let agent = network.agent(key).await;
    let mint = json!({ "owner": me.to_text(), "e8s": 1_000_000 });
    network.control("mint", mint).await;

    let other = Principal::self_authenticating([9]);
    let account = |owner| Account {
        owner,
        subaccount: None,
    };
    let created = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_nanos() as u64;
    let transfer = |amount: u64, fee: Option<u64>| Transfer {
        to: account(other),
        fee: fee.map(Nat::from),
        memo: None,
        from_subaccount: None,
        created_at_time: Some(created),
        amount: amount.into(),
    };
    let send = |args| async {
        let (result,): (Result<Nat, TransferError>,) =
            update(&agent, ledger, "icrc1_transfer", (args,))
                .await
                .unwrap();
        result
    };
    send(transfer(300_000, None)).await.unwrap();
    let again = send(transfer(300_000, None)).await.unwrap_err();
    assert!(matches!(again, TransferError::Duplicate { .. }));
    let fee = send(transfer(1, Some(1))).await.unwrap_err();
    let expected_fee = 10_000_u32.into();
    assert_eq!(fee, TransferError::BadFee { expected_fee });
    let poor = send(transfer(999_999, None)).await.unwrap_err();
    let balance = 690_000_u32.into();
    assert_eq!(poor, TransferError::InsufficientFunds { balance });

    let (received,): (Nat,) = query(&agent, ledger, "icrc1_balance_of", (account(other),))
        .await
        .unwrap();
    assert_eq!(received, 300_000_u32);
    let (id,): (ByteBuf,) = query(&agent, ledger, "account_identifier", (account(other),))
        .await
        .unwrap();
    let (legacy,): (Tokens,) = query(
        &agent,
        ledger,
        "account_balance",
        (Identified { account: id },),
    )
    .await
    .unwrap();
    assert_eq!(legacy.e8s, 300_000);
}
