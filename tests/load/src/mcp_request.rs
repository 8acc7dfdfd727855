//! One MCP request of the 2026-07-28 revision, sent over and over on kept HTTP/1.1 connections.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, header};
use http_body_util::Full;
use serde_json::{Value, json};

use crate::{
    Failure,
    closed_loop::{self, Sample},
    connection::{Connection, connect, send},
};

const REVISION: &str = "2026-07-28";

/// A request without its id, and the server it goes to.
#[derive(Debug, Clone)]
pub(crate) struct McpRequest {
    /// `127.0.0.1:PORT`
    address: String,
    headers: HeaderMap,
    /// The body after the id.
    rest: String,
}

impl McpRequest {
    /// `tools/list`
    pub(crate) fn list(address: &str, token: Option<&str>) -> Result<Self, Failure> {
        Self::new(address, token, "tools/list", None, json!({}))
    }

    /// `tools/call`
    pub(crate) fn call(
        address: &str,
        token: Option<&str>,
        tool: &str,
        arguments: Value,
    ) -> Result<Self, Failure> {
        let params = json!({ "name": tool, "arguments": arguments });
        Self::new(address, token, "tools/call", Some(tool), params)
    }

    fn new(
        address: &str,
        token: Option<&str>,
        method: &str,
        name: Option<&str>,
        mut params: Value,
    ) -> Result<Self, Failure> {
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": REVISION,
            "io.modelcontextprotocol/clientCapabilities": {},
            "io.modelcontextprotocol/clientInfo": { "name": "icgate-load", "version": "1" },
        });
        let bearer = token.map(|token| format!("Bearer {token}"));
        let mut headers = HeaderMap::new();
        for (header, value) in [
            (header::HOST, Some(address)),
            (header::ACCEPT, Some("application/json, text/event-stream")),
            (header::CONTENT_TYPE, Some("application/json")),
            (header::AUTHORIZATION, bearer.as_deref()),
            (
                HeaderName::from_static("mcp-protocol-version"),
                Some(REVISION),
            ),
            (HeaderName::from_static("mcp-method"), Some(method)),
            (HeaderName::from_static("mcp-name"), name),
        ] {
            if let Some(value) = value {
                headers.insert(header, HeaderValue::from_str(value)?);
            }
        }
        Ok(Self {
            address: address.to_owned(),
            headers,
            rest: format!(",\"method\":\"{method}\",\"params\":{params}}}"),
        })
    }

    /// The result of one such request.
    pub(crate) async fn once(&self) -> Result<Value, Failure> {
        result(&self.send(&mut connect(&self.address).await?, 0).await?)
    }

    /// Loads the server for a while on so many connections. Every answer has to be the same as the first, which has
    /// to be a result.
    pub(crate) async fn load(
        &self,
        connections: usize,
        during: Duration,
    ) -> Result<Sample, Failure> {
        let expected = self.send(&mut connect(&self.address).await?, 0).await?;
        result(&expected)?;
        let expected = after_id(&expected)?;
        let connections = try_join_all((0..connections).map(|_| connect(&self.address))).await?;
        let callers = connections.into_iter().map(|mut connection| {
            async move |count: u64| {
                let body = self.send(&mut connection, count).await?;
                if body.ends_with(expected) {
                    Ok(())
                } else {
                    Err(format!("another answer: {}", String::from_utf8_lossy(&body)).into())
                }
            }
        });
        closed_loop::run(callers, during).await
    }

    async fn send(&self, connection: &mut Connection, id: u64) -> Result<Bytes, Failure> {
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id}{}", self.rest);
        let mut request = Request::new(Full::new(body.into()));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = Uri::from_static("/mcp");
        *request.headers_mut() = self.headers.clone();
        send(connection, request).await
    }
}

/// The result of an answer that has one and does not call it an error.
fn result(body: &[u8]) -> Result<Value, Failure> {
    let mut answer: Value = serde_json::from_slice(body)?;
    if answer["result"].is_object() && answer["result"]["isError"] != true {
        Ok(answer["result"].take())
    } else {
        Err(format!("expected a result, got {answer}").into())
    }
}

/// What of an answer does not depend on its request's id.
fn after_id(body: &[u8]) -> Result<&[u8], Failure> {
    const RESULT: &[u8] = b"\"result\":";
    body.windows(RESULT.len())
        .position(|window| window == RESULT)
        .map(|position| &body[position..])
        .ok_or_else(|| format!("no result: {}", String::from_utf8_lossy(body)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_compared_from_its_result_on() {
        let answer = br#"{"jsonrpc":"2.0","id":7,"result":{"tools":[]}}"#;
        assert_eq!(after_id(answer).unwrap(), br#""result":{"tools":[]}}"#);
        assert!(after_id(br#"{"jsonrpc":"2.0","id":7,"error":{}}"#).is_err());
    }

    #[test]
    fn a_result_is_one_that_is_no_error() {
        assert_eq!(
            result(br#"{"id":1,"result":{"a":1}}"#).unwrap(),
            json!({ "a": 1 })
        );
        assert!(result(br#"{"id":1,"result":{"isError":true}}"#).is_err());
        assert!(result(br#"{"id":1,"error":{"code":-32600}}"#).is_err());
    }

    #[test]
    fn a_token_and_a_tool_travel_in_headers() {
        let request = McpRequest::call("127.0.0.1:1", Some("t"), "echo", json!({})).unwrap();
        assert_eq!(request.headers["authorization"], "Bearer t");
        assert_eq!(request.headers["mcp-name"], "echo");
        let request = McpRequest::list("127.0.0.1:1", None).unwrap();
        assert!(!request.headers.contains_key("authorization"));
        assert!(!request.headers.contains_key("mcp-name"));
    }
}
