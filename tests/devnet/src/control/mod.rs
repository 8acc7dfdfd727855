//! The control interface for tests: JSON under `/control` on the IC port.

use std::{fmt::Display, sync::Arc, time::Duration};

use axum::{
    Json, Router,
    extract::{Query, State},
    http::StatusCode,
    routing::{get, post},
};
use candid::Principal;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    canisters::{
        Mode,
        ii::wire::{McpConfig, Permissions},
        ledger::Ledger,
    },
    consent::{Consent, ConsentFault, Deployment},
    replica::{
        Replica,
        faults::Fault,
        request_log::{Counts, Entry},
    },
};

/// What the control interface acts on.
pub(crate) struct Controlled {
    pub(crate) replica: Arc<Replica>,
    pub(crate) ledger: Arc<Ledger>,
    pub(crate) ii: Deployment,
    pub(crate) ii_prod: Deployment,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Which {
    Ii,
    IiProd,
}

impl Controlled {
    fn deployment(&self, which: Which) -> &Deployment {
        match which {
            Which::Ii => &self.ii,
            Which::IiProd => &self.ii_prod,
        }
    }
}

pub(crate) fn routes(controlled: Arc<Controlled>) -> Router {
    Router::new()
        .route("/control/consent", post(consent))
        .route("/control/revoke", post(revoke))
        .route("/control/expire_grant", post(expire_grant))
        .route("/control/accounts", post(add_account))
        .route("/control/default_account", post(default_account))
        .route("/control/trust", post(trust))
        .route("/control/principal", get(principal))
        .route("/control/mint", post(mint))
        .route("/control/fault", post(fault))
        .route("/control/time", post(time))
        .route("/control/requests", get(requests))
        .route("/control/requests/counts", get(counts))
        .route("/control/requests/reset", post(reset))
        .with_state(controlled)
}

type Shared = State<Arc<Controlled>>;
/// 400 with a reason.
type Refused = (StatusCode, Json<Value>);
type Answer = Result<Json<Value>, Refused>;

fn refused(reason: impl Display) -> Refused {
    let reason = json!({ "error": reason.to_string() });
    (StatusCode::BAD_REQUEST, Json(reason))
}

fn done() -> Json<Value> {
    Json(json!({}))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ConsentBody {
    ii: Which,
    link: String,
    anchor: u64,
    access: Permissions,
    #[serde(default)]
    ttl_seconds: Option<u64>,
    #[serde(default)]
    fault: Option<ConsentFault>,
    /// Checks the callback's allow-list also where II's page would not: on loopback.
    #[serde(default)]
    check_callback: bool,
}

async fn consent(State(to): Shared, Json(body): Json<ConsentBody>) -> Answer {
    let consent = Consent {
        link: body.link,
        anchor: body.anchor,
        access: body.access,
        ttl_seconds: body.ttl_seconds,
    };
    let callback = to
        .deployment(body.ii)
        .consent(&consent, body.fault, body.check_callback)
        .await
        .map_err(refused)?;
    Ok(Json(json!({ "callback": callback })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AnchorBody {
    ii: Which,
    anchor: u64,
}

async fn revoke(State(to): Shared, Json(body): Json<AnchorBody>) -> Answer {
    let double = &to.deployment(body.ii).double;
    double.revoke(body.anchor).map_err(refused)?;
    Ok(done())
}

async fn expire_grant(State(to): Shared, Json(body): Json<AnchorBody>) -> Answer {
    let double = &to.deployment(body.ii).double;
    double.expire_grant(body.anchor).map_err(refused)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    ii: Which,
    anchor: u64,
    origin: String,
    name: String,
}

async fn add_account(State(to): Shared, Json(body): Json<NewAccount>) -> Answer {
    let double = &to.deployment(body.ii).double;
    let number = double
        .add_account(body.anchor, &body.origin, body.name)
        .map_err(refused)?;
    Ok(Json(json!({ "number": number })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AccountBody {
    ii: Which,
    anchor: u64,
    origin: String,
    /// Absent is the account without a number.
    #[serde(default)]
    account: Option<u64>,
}

async fn default_account(State(to): Shared, Json(body): Json<AccountBody>) -> Answer {
    let double = &to.deployment(body.ii).double;
    let owned = double
        .set_default_account(body.anchor, &body.origin, body.account)
        .map_err(refused)?;
    if owned {
        Ok(done())
    } else {
        Err(refused("the anchor has no such account at this origin"))
    }
}

/// The principal an app sees: what a test expects `whoami` to say.
async fn principal(State(to): Shared, Query(query): Query<AccountBody>) -> Answer {
    let double = &to.deployment(query.ii).double;
    let principal = double
        .principal(query.anchor, &query.origin, query.account)
        .map_err(refused)?;
    Ok(Json(json!({ "principal": principal.to_text() })))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Trust {
    ii: Which,
    anchor: u64,
    enabled: bool,
    #[serde(default)]
    url: Option<String>,
}

/// `mcp_set_config` as the anchor's device.
async fn trust(State(to): Shared, Json(body): Json<Trust>) -> Answer {
    let deployment = to.deployment(body.ii);
    let device = deployment.double.device(body.anchor).map_err(refused)?;
    let config = McpConfig {
        enabled: body.enabled,
        url: body.url,
    };
    let (set,): (Result<(), String>,) = deployment
        .call(
            Mode::Update,
            device,
            "mcp_set_config",
            (body.anchor, config),
        )
        .map_err(refused)?;
    set.map_err(refused)?;
    Ok(done())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mint {
    owner: Principal,
    e8s: u64,
}

async fn mint(State(to): Shared, Json(body): Json<Mint>) -> Json<Value> {
    Json(json!({ "balance_e8s": to.ledger.mint(body.owner, body.e8s) }))
}

async fn fault(State(to): Shared, Json(fault): Json<Fault>) -> Json<Value> {
    to.replica.faults.set(fault);
    done()
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Advance {
    advance_seconds: u64,
}

async fn time(State(to): Shared, Json(body): Json<Advance>) -> Json<Value> {
    to.replica
        .clock
        .advance(Duration::from_secs(body.advance_seconds));
    done()
}

async fn requests(State(to): Shared) -> Json<Vec<Entry>> {
    Json(to.replica.log.entries())
}

async fn counts(State(to): Shared) -> Json<Counts> {
    Json(to.replica.log.counts())
}

async fn reset(State(to): Shared) -> Json<Value> {
    to.replica.log.reset();
    done()
}
