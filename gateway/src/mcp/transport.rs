//! HTTP around the MCP service: what the specification asks for and the service leaves to its host.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderValue, Method, StatusCode,
    header::{ACCEPT, ALLOW, AUTHORIZATION, CONTENT_TYPE},
};
use http_body_util::{BodyExt, Limited, combinators::BoxBody};
use serde::de::IgnoredAny;
use serde_json::json;

use crate::body::{self, BodyError, Request, Response};

/// Largest request body, in bytes.
pub(super) const MAX_BODY: usize = 4 << 20;
/// Most of an error text that is passed on, in bytes.
const MAX_ERROR: usize = 16 << 10;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// JSON-RPC 2.0 error codes.
const PARSE_ERROR: i32 = -32700;
pub(super) const INVALID_REQUEST: i32 = -32600;
const INTERNAL_ERROR: i32 = -32603;

pub(super) type Served = http::Response<BoxBody<Bytes, std::convert::Infallible>>;

/// Makes a request ready for the service: only POST, the body read in full, and no credential in it any more.
///
/// # Errors
/// The finished answer when the request goes no further.
pub(super) async fn prepare(request: Request) -> Result<http::Request<Bytes>, Response> {
    let (mut parts, body) = request.into_parts();
    if parts.method != Method::POST {
        let mut response = error(
            StatusCode::METHOD_NOT_ALLOWED,
            INVALID_REQUEST,
            "MCP requests are sent with POST",
        );
        response
            .headers_mut()
            .insert(ALLOW, HeaderValue::from_static("POST"));
        return Err(response);
    }
    let body = body::read(body, MAX_BODY)
        .await
        .map_err(|failed| match failed {
            BodyError::TooLarge => error(
                StatusCode::PAYLOAD_TOO_LARGE,
                INVALID_REQUEST,
                "the request is larger than 4 MiB",
            ),
            BodyError::TooSlow => error(
                StatusCode::REQUEST_TIMEOUT,
                INVALID_REQUEST,
                "the request did not arrive in time",
            ),
            BodyError::Disconnected => error(
                StatusCode::BAD_REQUEST,
                INVALID_REQUEST,
                "the request ended before its end",
            ),
        })?;
    parts.headers.remove(AUTHORIZATION);
    widen_accept(&mut parts.headers);
    Ok(http::Request::from_parts(parts, body))
}

/// A client that does not say what it accepts, or that it accepts anything, accepts both forms of an answer.
fn widen_accept(headers: &mut HeaderMap) {
    let anything = |value: &HeaderValue| {
        value.to_str().is_ok_and(|text| {
            text.split(',')
                .filter_map(|range| range.split(';').next())
                .any(|range| range.trim() == "*/*")
        })
    };
    if !headers.contains_key(ACCEPT) || headers.get_all(ACCEPT).iter().any(anything) {
        headers.insert(
            ACCEPT,
            HeaderValue::from_static("application/json, text/event-stream"),
        );
    }
}

/// Turns the service's answer into ours. Its errors in plain text become JSON-RPC errors; a body that is no
/// JSON-RPC message gets the status and code its standard names.
pub(super) async fn finish(served: Served, request: &Bytes, was_json: bool) -> Response {
    let status = served.status();
    let failed = status.is_client_error() || status.is_server_error();
    if !failed || served.headers().get(CONTENT_TYPE) == Some(&JSON) {
        return served.map(|body| body.map_err(|never| match never {}).boxed_unsync());
    }
    if status == StatusCode::UNSUPPORTED_MEDIA_TYPE && was_json {
        return unreadable(request);
    }
    let text = match Limited::new(served.into_body(), MAX_ERROR).collect().await {
        Ok(text) => String::from_utf8_lossy(&text.to_bytes()).into_owned(),
        Err(_) => status.to_string(),
    };
    if status.is_server_error() {
        tracing::error!(%status, text, "the MCP service failed");
        return error(status, INTERNAL_ERROR, "internal error");
    }
    error(status, INVALID_REQUEST, &text)
}

fn unreadable(request: &[u8]) -> Response {
    match serde_json::from_slice::<IgnoredAny>(request) {
        Err(cause) => error(
            StatusCode::BAD_REQUEST,
            PARSE_ERROR,
            &format!("the body is not JSON: {cause}"),
        ),
        Ok(_) => error(
            StatusCode::BAD_REQUEST,
            INVALID_REQUEST,
            "the body is not one JSON-RPC 2.0 message of MCP",
        ),
    }
}

/// Whether a request says that its body is JSON.
pub(super) fn is_json(headers: &HeaderMap) -> bool {
    let essence = headers
        .get(CONTENT_TYPE)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split(';').next());
    essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json"))
}

/// A JSON-RPC error of a request whose id is not known.
pub(super) fn error(status: StatusCode, code: i32, message: &str) -> Response {
    let body = json!({ "jsonrpc": "2.0", "error": { "code": code, "message": message } });
    body::json(status, &body)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn widened(values: &[&'static str]) -> String {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(ACCEPT, HeaderValue::from_static(value));
        }
        widen_accept(&mut headers);
        headers.get(ACCEPT).unwrap().to_str().unwrap().to_owned()
    }

    #[test]
    fn only_a_client_that_takes_anything_is_given_both() {
        let both = "application/json, text/event-stream";
        assert_eq!(widened(&[]), both);
        assert_eq!(widened(&["*/*"]), both);
        assert_eq!(widened(&["text/html, */*;q=0.8"]), both);
        assert_eq!(widened(&["text/html", "*/*"]), both);
        assert_eq!(widened(&["application/json"]), "application/json");
    }
}
