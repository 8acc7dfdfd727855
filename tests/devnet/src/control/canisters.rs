//! Canisters made, paid for and looked at without going through what is tested.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::{Query, State},
    routing::{get, post},
};
use candid::Principal;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Answer, Controlled, Shared, refused};
use crate::canisters::management::CanisterSettings;

pub(super) fn routes() -> Router<Arc<Controlled>> {
    Router::new()
        .route("/control/canisters", get(report).post(create))
        .route("/control/canisters/deposit", post(deposit))
        .route("/control/canisters/info", get(info))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Create {
    controllers: Vec<Principal>,
    /// The fee goes off.
    cycles: u64,
}

async fn create(State(to): Shared, Json(body): Json<Create>) -> Answer {
    let settings = CanisterSettings::default();
    let id = to
        .management
        .create_canister(body.controllers, body.cycles.into(), &settings)
        .map_err(refused)?;
    Ok(Json(json!({ "canister_id": id.to_text() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct About {
    canister: Principal,
}

async fn report(State(to): Shared, Query(about): Query<About>) -> Answer {
    to.management
        .report(about.canister)
        .map(Json)
        .map_err(refused)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Deposit {
    canister: Principal,
    cycles: u64,
}

async fn deposit(State(to): Shared, Json(body): Json<Deposit>) -> Answer {
    let balance = to
        .management
        .deposit(body.canister, body.cycles.into())
        .map_err(refused)?;
    Ok(Json(json!({ "cycles": balance.to_string() })))
}

/// The reply to `canister_info` in hexadecimal: only canisters are answered on the network.
async fn info(State(to): Shared, Query(about): Query<About>) -> Answer {
    #[derive(candid::CandidType)]
    struct Ask {
        canister_id: Principal,
        num_requested_changes: Option<u64>,
    }
    let ask = Ask {
        canister_id: about.canister,
        num_requested_changes: Some(20),
    };
    let arg = candid::encode_one(ask).map_err(refused)?;
    let reply = to.management.canister_info(&arg);
    let reply = reply.map_err(|reject| refused(reject.reject_message))?;
    let value: Value = json!({ "reply": hex::encode(reply) });
    Ok(Json(value))
}
