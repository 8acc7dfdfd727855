//! II's page `/mcp` for a person with a browser, on a port of its own: the page, and the JSON it
//! talks to at the same origin.

use std::sync::Arc;

use axum::{
    Json, Router,
    extract::State,
    http::{
        HeaderMap, HeaderName, HeaderValue, StatusCode,
        header::{
            CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HOST, ORIGIN, REFERRER_POLICY,
            X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
        },
    },
    middleware::{Next, from_fn},
    response::{IntoResponse, Redirect, Response},
    routing::{get, post},
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    canisters::ii::Listed,
    consent::{Consent, Deployment, link::Link},
};

const PAGE: &str = include_str!("page.html");
const SCRIPT: &str = include_str!("page.js");
const STYLE: &str = include_str!("page.css");
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(crate) fn routes(deployment: Deployment) -> Router {
    Router::new()
        .route("/", get(|| async { Redirect::to("/mcp") }))
        .route("/mcp", get(|| async { file("text/html", PAGE) }))
        .route("/mcp.js", get(|| async { file("text/javascript", SCRIPT) }))
        .route("/mcp.css", get(|| async { file("text/css", STYLE) }))
        .route("/mcp/anchors", get(anchors))
        .route("/mcp/request", post(request))
        .route("/mcp/consent", post(consent))
        .layer(from_fn(harden))
        .with_state(Arc::new(deployment))
}

type Answer = Result<Json<Value>, (StatusCode, Json<Value>)>;

fn refused(reason: impl std::fmt::Display) -> (StatusCode, Json<Value>) {
    let reason = json!({ "error": reason.to_string() });
    (StatusCode::BAD_REQUEST, Json(reason))
}

async fn anchors(State(ii): State<Arc<Deployment>>) -> Json<Vec<Listed>> {
    Json(ii.double.anchors())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Asked {
    link: String,
}

/// What the page shows of a link: who asks, and for how long.
async fn request(State(ii): State<Arc<Deployment>>, Json(asked): Json<Asked>) -> Answer {
    let link = Link::parse(&asked.link, ii.handshake).map_err(refused)?;
    Ok(Json(json!({
        "server": link.callback.origin().ascii_serialization(),
        "ttl_seconds": link.ttl,
    })))
}

async fn consent(State(ii): State<Arc<Deployment>>, Json(consent): Json<Consent>) -> Answer {
    let callback = ii.consent(&consent, None, false).await.map_err(refused)?;
    Ok(Json(json!({ "callback": callback })))
}

fn file(kind: &'static str, text: &'static str) -> Response {
    let kind = format!("{kind}; charset=utf-8");
    ([(CONTENT_TYPE, kind)], text).into_response()
}

/// Refuses requests that another site's page makes, and sets the headers of a page that holds a
/// live delegation.
async fn harden(request: axum::extract::Request, next: Next) -> Response {
    if !same_origin(request.headers()) {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = next.run(request).await;
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (CACHE_CONTROL, "no-store"),
    ];
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a browser sent the request from this page: a foreign page names its own origin, and a
/// rebound host name is not a loopback one.
fn same_origin(headers: &HeaderMap) -> bool {
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let Some(host) = text(HOST) else {
        return false;
    };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let loopback = matches!(name, "127.0.0.1" | "localhost" | "[::1]");
    let origin = text(ORIGIN).is_none_or(|origin| origin == format!("http://{host}"));
    loopback && origin
}
