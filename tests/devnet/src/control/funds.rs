//! Control of money: balances, totals, how the cycles minting canister behaves, and calls that are
//! held, lost or rejected.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    routing::{get, post},
};
use candid::Principal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Controlled, Shared, done};
use crate::{canisters::cmc::Conduct, replica::interference::Order};

pub(super) fn routes() -> Router<Arc<Controlled>> {
    Router::new()
        .route("/control/cycles", post(credit))
        .route("/control/cmc", post(behave))
        .route("/control/totals", get(totals))
        .route("/control/interfere", post(interfere))
        .route("/control/release", post(release))
        .route("/control/held", get(held))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credit {
    owner: Principal,
    cycles: u64,
}

async fn credit(State(to): Shared, Json(body): Json<Credit>) -> Json<Value> {
    let balance = to.cycles_ledger.credit(body.owner, body.cycles.into());
    Json(json!({ "balance": balance.to_string() }))
}

async fn behave(State(to): Shared, Json(conduct): Json<Conduct>) -> Json<Value> {
    to.cmc.behave(conduct);
    done()
}

/// What came and went, so that a test can prove that nothing was paid twice or got lost.
async fn totals(State(to): Shared) -> Json<Value> {
    Json(json!({
        "icp": to.ledger.totals(),
        "cycles": to.cycles_ledger.totals(),
        "cmc": to.cmc.totals(),
    }))
}

async fn interfere(State(to): Shared, Json(order): Json<Order>) -> Json<Value> {
    to.replica.interference.order(order);
    done()
}

async fn release(State(to): Shared) -> Json<Value> {
    to.replica.interference.release();
    done()
}

async fn held(State(to): Shared) -> Json<Value> {
    Json(json!({ "held": to.replica.interference.held() }))
}
