use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicU64, Ordering},
};

use reqwest::{StatusCode, header::HeaderMap};
use serde_json::{Value, json};
use tokio::sync::OnceCell;

use crate::{http_client, schema::mismatch};

/// The revision that introduced the header `MCP-Protocol-Version`.
const FIRST_WITH_HEADER: &str = "2025-06-18";

/// Which revision of the Model Context Protocol the client speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Era {
    /// 2025-11-25: `initialize`, served without a session.
    Legacy,
    /// 2026-07-28: no handshake, every request carries its own `_meta`.
    Modern,
}

impl Era {
    /// The revision's date.
    pub fn version(self) -> &'static str {
        match self {
            Era::Legacy => "2025-11-25",
            Era::Modern => "2026-07-28",
        }
    }
}

/// An MCP client that speaks JSON-RPC over plain HTTP, so that a test sees every status and header.
#[derive(Debug)]
pub struct McpClient {
    url: String,
    era: Era,
    /// The revision's date.
    version: &'static str,
    token: Option<String>,
    http: reqwest::Client,
    next_id: AtomicU64,
    /// What the listed tools say of their results, once it was needed.
    output_schemas: OnceCell<BTreeMap<String, Value>>,
}

/// A request on its way, whose answer is read as it comes.
#[derive(Debug)]
pub struct Begun {
    /// The request's id.
    pub id: u64,
    /// The answer, so far.
    pub response: reqwest::Response,
}

impl Begun {
    /// Reads on until the answer holds this text.
    ///
    /// # Panics
    /// When the answer ends before.
    pub async fn until(&mut self, text: &str) -> String {
        let mut read = String::new();
        while !read.contains(text) {
            let chunk = self.response.chunk().await.expect("the answer goes on");
            let chunk = chunk.unwrap_or_else(|| panic!("no {text} in {read}"));
            read.push_str(&String::from_utf8_lossy(&chunk));
        }
        read
    }
}

/// One HTTP answer of the MCP endpoint.
#[derive(Debug, Clone)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// Response headers.
    pub headers: HeaderMap,
    /// The JSON-RPC message; null when the body was none.
    pub message: Value,
    /// The body as it came.
    pub text: String,
}

impl Answer {
    /// The result of a request that succeeded.
    ///
    /// # Panics
    /// When it did not.
    pub fn result(&self) -> &Value {
        assert!(
            self.status == StatusCode::OK && self.message.get("result").is_some(),
            "expected a result, got {}: {}",
            self.status,
            self.text
        );
        &self.message["result"]
    }
}

/// What a tool said.
#[derive(Debug, Clone)]
pub struct ToolResult {
    /// Whether the tool says that it failed.
    pub is_error: bool,
    /// Its text blocks, one after the other.
    pub text: String,
    /// The structured content, null when there is none.
    pub structured: Value,
    /// What kind of failure it was, as the stable code in its `_meta`.
    pub code: Option<String>,
}

impl ToolResult {
    /// The text of a call that succeeded.
    ///
    /// # Panics
    /// When it failed.
    pub fn ok(self) -> String {
        assert!(!self.is_error, "the tool failed: {}", self.text);
        self.text
    }

    /// The text of a call that failed for this reason.
    ///
    /// # Panics
    /// When it succeeded or failed for another one.
    pub fn fails_with(self, code: &str) -> String {
        assert_eq!(self.code.as_deref(), Some(code), "{}", self.text);
        self.err()
    }

    /// The text of a call that failed.
    ///
    /// # Panics
    /// When it succeeded.
    pub fn err(self) -> String {
        assert!(
            self.is_error,
            "the tool was expected to fail: {}",
            self.text
        );
        self.text
    }
}

/// The arguments of `call_canister`.
#[derive(Debug, Clone)]
pub struct Call(Value);

impl Call {
    /// An anonymous update call.
    pub fn update(canister_id: &str, method: &str, args: &str) -> Self {
        Self(json!({ "canister_id": canister_id, "method": method, "args": args }))
    }

    /// An anonymous query call.
    pub fn query(canister_id: &str, method: &str, args: &str) -> Self {
        let mut call = Self::update(canister_id, method, args);
        call.0["is_query"] = true.into();
        call
    }

    /// As the user, with the default account at this domain.
    pub fn at(mut self, domain: &str) -> Self {
        self.0["domain"] = domain.into();
        self
    }

    /// With the account of this name.
    pub fn account(mut self, name: &str) -> Self {
        self.0["account"] = name.into();
        self
    }

    /// With the caller's own idea of the canister's interface.
    pub fn candid(mut self, interface: &str) -> Self {
        self.0["candid"] = interface.into();
        self
    }

    /// As the tool takes it.
    pub fn arguments(&self) -> Value {
        self.0.clone()
    }
}

impl McpClient {
    /// A client of an endpoint.
    pub fn new(url: &str, era: Era, token: Option<&str>) -> Self {
        Self {
            url: url.to_owned(),
            era,
            version: era.version(),
            token: token.map(str::to_owned),
            http: http_client(),
            next_id: AtomicU64::new(1),
            output_schemas: OnceCell::new(),
        }
    }

    /// The same client with another revision of its era.
    pub fn speaking(mut self, version: &'static str) -> Self {
        self.version = version;
        self
    }

    /// Sends one JSON-RPC request and gives the answer, whatever it is.
    pub async fn request(&self, method: &str, params: Value) -> Answer {
        let answer = self.begin(method, params).await.response;
        let (status, headers) = (answer.status(), answer.headers().clone());
        let text = answer.text().await.unwrap_or_default();
        Answer {
            status,
            headers,
            message: message(&text),
            text,
        }
    }

    /// Sends one JSON-RPC request and waits for no more than the head of its answer.
    pub async fn begin(&self, method: &str, params: Value) -> Begun {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let response = self.post(method, params, Some(id)).await;
        Begun { id, response }
    }

    /// Sends a JSON-RPC notification.
    pub async fn notify(&self, method: &str, params: Value) -> StatusCode {
        self.post(method, params, None).await.status()
    }

    async fn post(&self, method: &str, mut params: Value, id: Option<u64>) -> reqwest::Response {
        let mut request = self
            .http
            .post(&self.url)
            .header("Accept", "application/json, text/event-stream");
        if self.version >= FIRST_WITH_HEADER {
            request = request.header("MCP-Protocol-Version", self.version);
        }
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if self.era == Era::Modern {
            let meta = &mut params["_meta"];
            meta["io.modelcontextprotocol/protocolVersion"] = self.version.into();
            meta["io.modelcontextprotocol/clientCapabilities"] = json!({});
            meta["io.modelcontextprotocol/clientInfo"] =
                json!({ "name": "black-box", "version": "1" });
            request = request.header("Mcp-Method", method);
            let name = params["name"].as_str().or_else(|| params["uri"].as_str());
            if let Some(name) = name {
                request = request.header("Mcp-Name", name);
            }
        }
        let mut body = json!({ "jsonrpc": "2.0", "method": method, "params": params });
        if let Some(id) = id {
            body["id"] = id.into();
        }
        let answer = request.json(&body).send().await;
        answer.unwrap_or_else(|error| panic!("{method} at {}: {error}", self.url))
    }

    /// How the era opens: `initialize` or `server/discover`; gives the result.
    pub async fn open(&self) -> Value {
        let answer = match self.era {
            Era::Legacy => {
                let params = json!({
                    "protocolVersion": self.version,
                    "capabilities": {},
                    "clientInfo": { "name": "black-box", "version": "1" },
                });
                self.request("initialize", params).await
            }
            Era::Modern => self.request("server/discover", json!({})).await,
        };
        answer.result().clone()
    }

    /// The tools the server lists.
    pub async fn tools(&self) -> Vec<Value> {
        let answer = self.request("tools/list", json!({})).await;
        answer.result()["tools"]
            .as_array()
            .expect("a list of tools")
            .clone()
    }

    /// Calls a tool and gives the HTTP answer.
    pub async fn call_raw(&self, tool: &str, arguments: Value) -> Answer {
        self.request(
            "tools/call",
            json!({ "name": tool, "arguments": arguments }),
        )
        .await
    }

    /// Calls a tool and gives what it said.
    pub async fn call(&self, tool: &str, arguments: Value) -> ToolResult {
        let answer = self.call_raw(tool, arguments).await;
        let result = answer.result();
        self.assert_conforms(tool, result).await;
        let blocks = result["content"].as_array().cloned().unwrap_or_default();
        let text: Vec<&str> = blocks
            .iter()
            .filter_map(|block| block["text"].as_str())
            .collect();
        ToolResult {
            is_error: result["isError"].as_bool().unwrap_or(false),
            text: text.join("\n"),
            structured: result["structuredContent"].clone(),
            code: result["_meta"]["icgate/code"].as_str().map(str::to_owned),
        }
    }

    /// What a tool found is what its listed schema says.
    async fn assert_conforms(&self, tool: &str, result: &Value) {
        if result["isError"] == true {
            assert!(result["structuredContent"].is_null(), "{tool}: {result}");
            return;
        }
        let schemas = self.output_schemas.get_or_init(|| async {
            let tools = self.tools().await.into_iter();
            let schema = |tool: Value| {
                Some((
                    tool["name"].as_str()?.to_owned(),
                    tool["outputSchema"].clone(),
                ))
            };
            tools.filter_map(schema).collect()
        });
        let schemas = schemas.await;
        let schema = schemas
            .get(tool)
            .unwrap_or_else(|| panic!("{tool} is not listed"));
        if let Some(mismatch) = mismatch(schema, &result["structuredContent"]) {
            panic!("{tool} gives what it does not declare: {mismatch} in {result}");
        }
    }

    /// Calls a canister.
    pub async fn canister(&self, call: Call) -> ToolResult {
        self.call("call_canister", call.arguments()).await
    }

    /// The user's principal at a domain, as text.
    pub async fn principal(&self, domain: &str, account: Option<&str>) -> String {
        let mut arguments = json!({ "domain": domain });
        if let Some(account) = account {
            arguments["account"] = account.into();
        }
        self.call("get_principal", arguments).await.ok()
    }
}

/// The JSON-RPC message of a body that is JSON or the one event of an SSE stream.
fn message(text: &str) -> Value {
    serde_json::from_str(text)
        .ok()
        .or_else(|| {
            let last = text
                .lines()
                .rev()
                .find_map(|line| line.strip_prefix("data:"))?;
            serde_json::from_str(last).ok()
        })
        .unwrap_or(Value::Null)
}
