//! A closed loop over HTTP/1.1: every connection sends its next request when the answer to the last one is complete.

use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::future::try_join_all;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;

use crate::Failure;

/// One MCP request that is sent over and over, each time with an id of its own.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    /// `127.0.0.1:PORT`
    pub(crate) address: String,
    token: Option<String>,
    method: &'static str,
    tool: Option<&'static str>,
    /// The body after the id.
    rest: String,
}

/// What one round saw.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sample {
    pub(crate) latencies: Vec<Duration>,
    pub(crate) elapsed: Duration,
}

impl Target {
    pub(crate) fn new(
        address: &str,
        token: Option<&str>,
        method: &'static str,
        params: Value,
    ) -> Self {
        let mut params = params;
        params["_meta"] = json!({
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        });
        let tool = (method == "tools/call").then_some(match params["name"].as_str() {
            Some("echo") => "echo",
            _ => "call_canister",
        });
        Self {
            address: address.to_owned(),
            token: token.map(str::to_owned),
            method,
            tool,
            rest: format!(",\"method\":\"{method}\",\"params\":{params}}}"),
        }
    }

    fn request(&self, id: u64) -> Result<Request<Full<Bytes>>, Failure> {
        let mut request = Request::post(format!("http://{}/mcp", self.address))
            .header("host", &self.address)
            .header("accept", "application/json, text/event-stream")
            .header("content-type", "application/json")
            .header("mcp-protocol-version", "2026-07-28")
            .header("mcp-method", self.method);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if let Some(tool) = self.tool {
            request = request.header("mcp-name", tool);
        }
        let body = format!("{{\"jsonrpc\":\"2.0\",\"id\":{id}{}", self.rest);
        Ok(request.body(Full::new(body.into()))?)
    }

    /// Loads the target for a while.
    pub(crate) async fn load(
        &self,
        connections: usize,
        during: Duration,
    ) -> Result<Sample, Failure> {
        let start = Instant::now();
        let loops = (0..connections).map(|_| self.drive(start + during));
        let latencies = try_join_all(loops).await?.concat();
        Ok(Sample {
            latencies,
            elapsed: start.elapsed(),
        })
    }

    /// One request, to warm up or to look at the answer.
    pub(crate) async fn once(&self) -> Result<Bytes, Failure> {
        let mut connection = self.connect().await?;
        self.exchange(&mut connection, 1).await
    }

    async fn drive(&self, end: Instant) -> Result<Vec<Duration>, Failure> {
        let mut connection = self.connect().await?;
        let mut latencies = Vec::new();
        while Instant::now() < end {
            let start = Instant::now();
            let body = self
                .exchange(&mut connection, latencies.len() as u64)
                .await?;
            latencies.push(start.elapsed());
            check(&body)?;
        }
        Ok(latencies)
    }

    async fn connect(&self) -> Result<http1::SendRequest<Full<Bytes>>, Failure> {
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        Ok(sender)
    }

    async fn exchange(
        &self,
        connection: &mut http1::SendRequest<Full<Bytes>>,
        id: u64,
    ) -> Result<Bytes, Failure> {
        connection.ready().await?;
        let answer = connection.send_request(self.request(id)?).await?;
        let status = answer.status();
        let body = answer.into_body().collect().await?.to_bytes();
        if status.is_success() {
            Ok(body)
        } else {
            Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into())
        }
    }
}

/// An error measured fast would be a lie.
fn check(body: &[u8]) -> Result<(), Failure> {
    let has = |needle: &[u8]| body.windows(needle.len()).any(|window| window == needle);
    if has(b"\"result\"") && !has(b"\"isError\":true") {
        Ok(())
    } else {
        Err(format!("not a result: {}", String::from_utf8_lossy(body)).into())
    }
}
