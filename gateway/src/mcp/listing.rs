//! `tools/list`, serialized once and not for each request.
//!
//! The list is the same for every caller and for as long as the process runs, and it is what clients ask for most. The
//! service answers the first request of a kind; later ones that differ in nothing but their id, or in what traces them,
//! get the same bytes with their own id. Whatever the service looks at is part of the kind, so its checks of versions
//! and headers hold here as well.

use std::sync::Arc;

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Request, StatusCode,
    header::{ACCEPT, CONTENT_TYPE},
};
use http_body_util::BodyExt;
use moka::future::Cache;
use serde::Deserialize;
use serde_json::{Value, value::RawValue};

use crate::body::{self, Response};

/// Kinds of requests that are remembered. Clients send few.
const KINDS: u64 = 64;
/// A longer request is not worth remembering, in bytes.
const MAX_REQUEST: usize = 2 << 10;
/// What names or traces a single request in its `_meta` and changes nothing about the list.
const PASSING: [&str; 4] = ["progressToken", "traceparent", "tracestate", "baggage"];

/// The answers by kind.
pub(super) struct Listing {
    answers: Cache<Kind, Arc<Answer>>,
}

/// Everything of a request that its answer may depend on.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind(Vec<u8>);

#[derive(Debug)]
struct Answer {
    headers: HeaderMap,
    result: Box<RawValue>,
}

/// A request for the list.
pub(super) struct Asked {
    kind: Kind,
    id: Box<str>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Call<'a> {
    jsonrpc: &'a str,
    #[serde(borrow)]
    id: &'a RawValue,
    method: &'a str,
    #[serde(borrow, default)]
    params: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Success {
    result: Box<RawValue>,
}

impl Asked {
    /// Recognises a well-formed `tools/list` with the id of a request; anything else is the service's.
    pub(super) fn read(request: &Request<Bytes>) -> Option<Self> {
        if request.body().len() > MAX_REQUEST {
            return None;
        }
        let call: Call<'_> = serde_json::from_slice(request.body()).ok()?;
        let id = call.id.get();
        let plain_id = id.starts_with('"') || id.parse::<u32>().is_ok();
        if call.jsonrpc != "2.0" || call.method != "tools/list" || !plain_id {
            return None;
        }
        let mut kind = Vec::with_capacity(256);
        for (name, value) in request.headers() {
            if matters(name) {
                part(&mut kind, name.as_str().as_bytes());
                part(&mut kind, value.as_bytes());
            }
        }
        part(&mut kind, lasting(call.params)?.as_bytes());
        Some(Self {
            kind: Kind(kind),
            id: id.into(),
        })
    }
}

/// The parameters, without what is of this one request only.
fn lasting(params: Option<&RawValue>) -> Option<String> {
    let Some(params) = params else {
        return Some(String::new());
    };
    let mut params: Value = serde_json::from_str(params.get()).ok()?;
    if let Some(Value::Object(meta)) = params.get_mut("_meta") {
        meta.retain(|name, value| {
            !(PASSING.contains(&name.as_str()) && (value.is_string() || value.is_number()))
        });
    }
    Some(params.to_string())
}

/// Whether the MCP service looks at a header.
fn matters(name: &HeaderName) -> bool {
    name == ACCEPT || name == CONTENT_TYPE || name.as_str().starts_with("mcp-")
}

/// Length first, so that no two kinds run into each other.
fn part(kind: &mut Vec<u8>, bytes: &[u8]) {
    kind.extend_from_slice(&bytes.len().to_be_bytes());
    kind.extend_from_slice(bytes);
}

impl Listing {
    pub(super) fn new() -> Self {
        Self {
            answers: Cache::new(KINDS),
        }
    }

    /// The answer, if one of this kind was given before.
    pub(super) async fn answer(&self, asked: &Asked) -> Option<Response> {
        let answer = self.answers.get(&asked.kind).await?;
        let text = [
            r#"{"jsonrpc":"2.0","id":"#,
            &asked.id,
            r#","result":"#,
            answer.result.get(),
            "}",
        ];
        let mut response = Response::new(body::full(text.concat()));
        *response.headers_mut() = answer.headers.clone();
        Some(response)
    }

    /// Keeps the service's answer to `asked` if it is the list, and passes it on.
    pub(super) async fn remember(&self, asked: Asked, response: Response) -> Response {
        let json = response.headers().get(CONTENT_TYPE)
            == Some(&HeaderValue::from_static("application/json"));
        if response.status() != StatusCode::OK || !json {
            return response;
        }
        let (parts, body) = response.into_parts();
        let Ok(collected) = body.collect().await else {
            return super::transport::error(
                StatusCode::INTERNAL_SERVER_ERROR,
                -32603,
                "internal error",
            );
        };
        let bytes = collected.to_bytes();
        if let Ok(Success { result }) = serde_json::from_slice(&bytes) {
            let answer = Answer {
                headers: parts.headers.clone(),
                result,
            };
            self.answers.insert(asked.kind, Arc::new(answer)).await;
        }
        Response::from_parts(parts, body::full(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(headers: &[(&'static str, &'static str)], body: &'static str) -> Option<Asked> {
        let mut request = Request::new(Bytes::from_static(body.as_bytes()));
        for (name, value) in headers {
            request
                .headers_mut()
                .insert(*name, HeaderValue::from_static(value));
        }
        Asked::read(&request)
    }

    #[test]
    fn requests_that_differ_in_more_than_their_id_are_of_different_kinds() {
        let plain = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let kind = |headers: &[_], body| asked(headers, body).unwrap().kind;
        let first = kind(&[], plain);
        assert_eq!(
            kind(&[], r#"{"jsonrpc":"2.0","id":"a","method":"tools/list"}"#),
            first
        );
        assert_eq!(kind(&[("user-agent", "x")], plain), first);
        assert_ne!(
            kind(&[("mcp-protocol-version", "2026-07-28")], plain),
            first
        );
        assert_ne!(kind(&[("accept", "application/json")], plain), first);
        assert_ne!(
            kind(
                &[],
                r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"cursor":"x"}}"#
            ),
            first
        );
        let traced = [
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"progressToken":1,"traceparent":"a"}}}"#,
            r#"{"jsonrpc":"2.0","id":2,"method":"tools/list","params":{"_meta":{"traceparent":"b","progressToken":"2"}}}"#,
        ];
        assert_eq!(kind(&[], traced[0]), kind(&[], traced[1]));
        let odd = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"_meta":{"progressToken":{}}}}"#;
        assert_ne!(kind(&[], odd), kind(&[], traced[0]));
    }

    #[test]
    fn what_is_not_a_plain_request_for_the_list_is_the_services() {
        for body in [
            r#"{"jsonrpc":"2.0","method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":null,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":{},"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1.5,"method":"tools/list"}"#,
            r#"{"jsonrpc":"1.0","id":1,"method":"tools/list"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/call"}"#,
            r#"{"jsonrpc":"2.0","id":1,"method":"tools/list","result":{}}"#,
            r#"[{"jsonrpc":"2.0","id":1,"method":"tools/list"}]"#,
            "tools/list",
        ] {
            assert!(asked(&[], body).is_none(), "{body}");
        }
    }

    #[tokio::test]
    async fn only_a_list_is_remembered_and_the_id_is_each_callers_own() {
        let listing = Listing::new();
        let body = r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#;
        let failed = super::super::transport::error(StatusCode::BAD_REQUEST, -32600, "no");
        listing.remember(asked(&[], body).unwrap(), failed).await;
        assert!(listing.answer(&asked(&[], body).unwrap()).await.is_none());

        let mut good = Response::new(body::full(
            r#"{"jsonrpc":"2.0","id":1,"result":{"tools":[]}}"#,
        ));
        good.headers_mut()
            .insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        listing.remember(asked(&[], body).unwrap(), good).await;
        let next = asked(
            &[],
            r#"{"jsonrpc":"2.0","id":"\"\\","method":"tools/list"}"#,
        )
        .unwrap();
        let answer = listing.answer(&next).await.unwrap();
        let bytes = body::read(answer.into_body(), 1000).await.unwrap();
        assert_eq!(
            bytes,
            r#"{"jsonrpc":"2.0","id":"\"\\","result":{"tools":[]}}"#
        );
    }
}
