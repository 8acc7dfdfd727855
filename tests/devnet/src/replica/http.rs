//! The IC's HTTP interface (IC interface specification, "HTTPS interface").

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use axum::{
    Router,
    body::Bytes,
    extract::{DefaultBodyLimit, Path, Request, State},
    http::{StatusCode, header::CONTENT_TYPE},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use candid::Principal;
use ic_transport_types::{EnvelopeContent, ReadStateResponse, RejectCode, TransportCallResponse};
use serde::Serialize;
use serde_cbor::Value;

use super::{
    Replica, Submitted, addressed,
    envelope::{self, Checked, Endpoint, Refusal},
    faults::Kind,
    interference::Action,
    is_management,
    read_state::{ReadRefused, Scope},
    request_log,
    subnet::{Host, cbor},
};
use crate::canisters::management::effective_canister;

/// Largest request body, as at the boundary nodes.
const MAX_BODY: usize = 4 * 1024 * 1024;
/// Largest update call, envelope included, on an application subnet and on the root subnet.
const MAX_INGRESS: usize = 2 * 1024 * 1024;
const MAX_INGRESS_ROOT: usize = 7 * 1024 * 1024 / 2;

pub(crate) fn routes(replica: Arc<Replica>) -> Router {
    Router::new()
        .route("/api/v2/status", get(status))
        .route("/api/v3/canister/{id}/query", post(query))
        .route("/api/v4/canister/{id}/call", post(call))
        .route("/api/v3/canister/{id}/read_state", post(read_state))
        // What agents before the subnet-sharded certificates use.
        .route("/api/v2/canister/{id}/query", post(query))
        .route("/api/v3/canister/{id}/call", post(call))
        .route("/api/v2/canister/{id}/read_state", post(read_state))
        .route("/api/v3/subnet/{id}/query", post(subnet_only_management))
        .route("/api/v4/subnet/{id}/call", post(subnet_only_management))
        .route("/api/v3/subnet/{id}/read_state", post(subnet_read_state))
        .layer(DefaultBodyLimit::max(MAX_BODY))
        .layer(from_fn_with_state(replica.clone(), slow_down))
        .with_state(replica)
}

/// A request that no canister sees: the status and a plain text.
type Refused = (StatusCode, String);
type Answer = Result<Response, Refused>;

/// Answers late when a fault says so.
async fn slow_down(State(replica): State<Arc<Replica>>, request: Request, next: Next) -> Response {
    if let Some(delay) = replica.faults.hits_path(Kind::SlowMs, request.uri().path()) {
        tokio::time::sleep(Duration::from_millis(delay)).await;
    }
    next.run(request).await
}

async fn status(State(replica): State<Arc<Replica>>) -> Response {
    replica.log.status();
    let text = |s: &str| Value::Text(s.to_owned());
    cbor_response(&Value::Map(BTreeMap::from([
        (text("impl_version"), text(env!("CARGO_PKG_VERSION"))),
        (text("replica_health_status"), text("healthy")),
        (text("root_key"), Value::Bytes(replica.root_key().to_vec())),
    ])))
}

async fn query(State(replica): State<Arc<Replica>>, Path(id): Path<String>, body: Bytes) -> Answer {
    let (host, request) = open(&replica, Endpoint::Query, &id, &body)?;
    Ok(cbor_response(&replica.query(host, &request)))
}

async fn call(State(replica): State<Arc<Replica>>, Path(id): Path<String>, body: Bytes) -> Answer {
    let (host, request) = open(&replica, Endpoint::Call, &id, &body)?;
    let canister = Principal::from_text(&id).ok();
    if let Some(delay) = replica.faults.delay(Kind::SlowCall, canister.as_ref()) {
        return Ok(call_later(replica, request, delay));
    }
    if replica
        .faults
        .hits(Kind::Unavailable, canister.as_ref())
        .is_some()
    {
        submit(&replica, host, &request);
        return Err(replica_error());
    }
    let (callee, method, _) = addressed(&request.content);
    match replica.interference.take(callee, method) {
        None => Ok(submit(&replica, host, &request)),
        Some(action) => {
            // A caller that goes away does not stop its call.
            let call = interfered(replica, host, request, action);
            let failed = |_| {
                (
                    StatusCode::INTERNAL_SERVER_ERROR,
                    "the call failed".to_owned(),
                )
            };
            tokio::spawn(call).await.map_err(failed)
        }
    }
}

/// What a boundary node says when its connection to a replica failed, whether or not the replica has
/// the request.
fn replica_error() -> Refused {
    let text = "error: replica_error\ndetails: The connection to the replica node failed.";
    (StatusCode::SERVICE_UNAVAILABLE, text.to_owned())
}

async fn interfered(
    replica: Arc<Replica>,
    host: Host,
    request: Checked,
    action: Action,
) -> Response {
    match action {
        Action::HoldBefore => {
            replica.interference.hold().await;
            submit(&replica, host, &request)
        }
        Action::HoldAfter => {
            let answer = submit(&replica, host, &request);
            replica.interference.hold().await;
            answer
        }
        Action::LoseAnswer => {
            submit(&replica, host, &request);
            replica.prune(&request);
            StatusCode::ACCEPTED.into_response()
        }
        Action::Reject => {
            let text = "the subnet is oversubscribed".to_owned();
            let reject = super::reject(RejectCode::SysTransient, "IC0204", text);
            cbor_response(&TransportCallResponse::NonReplicatedRejection(reject))
        }
    }
}

fn submit(replica: &Replica, host: Host, request: &Checked) -> Response {
    match replica.submit(host, request) {
        Submitted::Certified(certificate) => {
            cbor_response(&TransportCallResponse::Replied { certificate })
        }
        Submitted::Rejected(reject) => {
            cbor_response(&TransportCallResponse::NonReplicatedRejection(reject))
        }
        Submitted::Pending => StatusCode::ACCEPTED.into_response(),
    }
}

/// Answers 202 at once and runs the call after `delay`.
fn call_later(replica: Arc<Replica>, request: Checked, delay: Duration) -> Response {
    match replica.admit(&request) {
        Err(reject) => cbor_response(&TransportCallResponse::NonReplicatedRejection(reject)),
        Ok(Some(_)) => StatusCode::ACCEPTED.into_response(),
        Ok(None) => {
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                replica.process(&request);
            });
            StatusCode::ACCEPTED.into_response()
        }
    }
}

async fn read_state(
    State(replica): State<Arc<Replica>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let (host, request) = open(&replica, Endpoint::ReadState, &id, &body)?;
    let canister = parse_id(&id)?;
    let reads = request_log::reads(&request.content).unwrap_or_default();
    match replica.interference.take(canister, &reads) {
        None => {}
        Some(Action::HoldBefore | Action::HoldAfter) => replica.interference.hold().await,
        Some(Action::LoseAnswer | Action::Reject) => {
            return Err((StatusCode::SERVICE_UNAVAILABLE, "busy".to_owned()));
        }
    }
    certified(replica.read_state(host, Scope::Canister(canister), &request))
}

async fn subnet_read_state(
    State(replica): State<Arc<Replica>>,
    Path(id): Path<String>,
    body: Bytes,
) -> Answer {
    let subnet = parse_id(&id)?;
    let host = replica
        .network
        .host_with_id(&subnet)
        .ok_or_else(|| (StatusCode::BAD_REQUEST, "subnet_not_found".to_owned()))?;
    let request = admit(&replica, Endpoint::ReadState, subnet, &body)?;
    certified(replica.read_state(host, Scope::Subnet, &request))
}

/// Calls that are routed by a subnet make canisters or ask about the subnet; nobody here may.
async fn subnet_only_management() -> Response {
    let text = "the management canister is not available on this network";
    (StatusCode::BAD_REQUEST, text).into_response()
}

fn certified(result: Result<Vec<u8>, ReadRefused>) -> Answer {
    match result {
        Ok(certificate) => Ok(cbor_response(&ReadStateResponse { certificate })),
        Err(refused) => {
            let status = match refused {
                ReadRefused::Path => StatusCode::BAD_REQUEST,
                ReadRefused::ForeignRequest | ReadRefused::NotATarget => StatusCode::FORBIDDEN,
            };
            Err((status, refused.to_string()))
        }
    }
}

/// Finds the subnet, checks the envelope, and checks that it belongs under this path.
fn open(
    replica: &Replica,
    endpoint: Endpoint,
    id: &str,
    body: &[u8],
) -> Result<(Host, Checked), Refused> {
    let effective = parse_id(id)?;
    let host = replica
        .network
        .host_of(&effective)
        .ok_or_else(canister_not_found)?;
    check_size(host, endpoint, body)?;
    let request = admit(replica, endpoint, effective, body)?;
    if endpoint != Endpoint::ReadState {
        check_route(&request.content, effective)?;
    }
    Ok((host, request))
}

/// An update call must fit into a block.
fn check_size(host: Host, endpoint: Endpoint, body: &[u8]) -> Result<(), Refused> {
    let most = match host {
        Host::Root => MAX_INGRESS_ROOT,
        Host::Application | Host::Foreign => MAX_INGRESS,
    };
    if endpoint != Endpoint::Call || body.len() <= most {
        return Ok(());
    }
    let text = format!(
        "Request is too large. Message byte size {} is larger than the max allowed {most}.",
        body.len()
    );
    Err((StatusCode::PAYLOAD_TOO_LARGE, text))
}

/// A call is routed by its canister; one of the management canister by what it is about.
fn check_route(content: &EnvelopeContent, effective: Principal) -> Result<(), Refused> {
    let (callee, _, arg) = addressed(content);
    let about = if is_management(&callee) {
        effective_canister(arg).unwrap_or(effective)
    } else {
        callee
    };
    if about == effective {
        return Ok(());
    }
    let text = format!(
        "Specified CanisterId {about} does not match effective canister id in URL {effective}"
    );
    Err((StatusCode::BAD_REQUEST, text))
}

fn admit(
    replica: &Replica,
    endpoint: Endpoint,
    effective: Principal,
    body: &[u8],
) -> Result<Checked, Refused> {
    let refuse = |refusal: Refusal| (StatusCode::BAD_REQUEST, refusal.to_string());
    let envelope = envelope::decode(body).map_err(refuse)?;
    // Logged before it is judged: tests count what was sent, not what was welcome.
    replica.log.request(effective, &envelope.content);
    replica.door().check(endpoint, envelope).map_err(refuse)
}

fn parse_id(id: &str) -> Result<Principal, Refused> {
    Principal::from_text(id).map_err(|_| canister_not_found())
}

fn canister_not_found() -> Refused {
    let text = "error: canister_not_found\ndetails: The specified canister does not exist.";
    (StatusCode::BAD_REQUEST, text.to_owned())
}

fn cbor_response<T: Serialize>(value: &T) -> Response {
    ([(CONTENT_TYPE, "application/cbor")], cbor(value)).into_response()
}
