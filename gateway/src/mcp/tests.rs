//! The endpoint as a client meets it, with a signer that answers by rote and an Internet Computer that is not there.

mod lists;
mod outage;
mod streams;

use std::{
    future::Future,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, SystemTime},
};

use http_body_util::BodyExt;
use icgate_proto::{
    Reason, SignerClient, SignerError,
    v1::{
        Account, GetPrincipalRequest, GetPrincipalResponse, ListAccountsRequest,
        ListAccountsResponse, account_selector,
        identities_server::{Identities, IdentitiesServer},
    },
};
use serde_json::{Value, json};
use tokio::{io::AsyncReadExt, net::TcpListener};
use tonic::{Request as Rpc, Response as Reply, Status, transport::Server as Grpc};

use super::{
    KEEP_ALIVE, Mcp, Served, Tools, Wire, catalog::Parts, listing::Asked, management::Wasm,
};
use crate::{
    body::{self, Response},
    config::Services,
    connection::{AccessLevel, Authorized, ConnectionEnd, ConnectionId},
    discovery::Discovery,
    fetch::{Fetcher, Reach},
    ic::Ic,
    instance::{InstanceName, PublicUrl},
    oauth::{Credential, Prefix},
    scope::{Scope, Scopes},
    store::{Limits, Store},
    uploads::Uploads,
};

/// A signer for whom the origin decides what happens.
struct Signer;

const SIGNED_IN: &str = "https://app.example";
const REVOKED: &str = "https://revoked.example";
const BUSY: &str = "https://busy.example";

fn refusal(origin: &str) -> Result<(), Status> {
    let reason = match origin {
        REVOKED => Reason::ConnectionEnded,
        BUSY => Reason::IdentityUnavailable,
        _ => return Ok(()),
    };
    Err(SignerError::new(reason, "as the test wants it").into())
}

#[tonic::async_trait]
impl Identities for Signer {
    async fn list_accounts(
        &self,
        request: Rpc<ListAccountsRequest>,
    ) -> Result<Reply<ListAccountsResponse>, Status> {
        let request = request.into_inner();
        refusal(&request.origin)?;
        let savings = Account {
            number: Some(2),
            name: Some("savings\u{1b}[2J".to_owned()),
            last_used_ns: Some(1_700_000_000_000_000_000),
        };
        Ok(Reply::new(ListAccountsResponse {
            origin: request.origin,
            accounts: vec![Account::default(), savings],
        }))
    }

    async fn get_principal(
        &self,
        request: Rpc<GetPrincipalRequest>,
    ) -> Result<Reply<GetPrincipalResponse>, Status> {
        let account = request.into_inner().account.unwrap_or_default();
        refusal(&account.origin)?;
        let number = match account.account {
            None => None,
            Some(account_selector::Account::Name(name))
                if ["savings", "#2"].contains(&name.as_str()) =>
            {
                Some(2)
            }
            Some(account_selector::Account::Number(number)) => Some(number),
            Some(account_selector::Account::Name(_)) => {
                let unknown = SignerError::new(Reason::AccountUnknown, "There is only savings.");
                return Err(unknown.into());
            }
        };
        Ok(Reply::new(GetPrincipalResponse {
            principal: vec![1, 2, 3],
            origin: account.origin,
            account_number: number,
        }))
    }
}

#[derive(Default)]
struct Ended(AtomicUsize);

impl ConnectionEnd for Ended {
    fn ended<'a>(
        &'a self,
        _: InstanceName,
        _: &'a ConnectionId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(()))
    }

    fn sign_out<'a>(
        &'a self,
        _: InstanceName,
        _: &'a ConnectionId,
    ) -> Pin<Box<dyn Future<Output = bool> + Send + 'a>> {
        self.0.fetch_add(1, Ordering::SeqCst);
        Box::pin(std::future::ready(true))
    }
}

struct Bench {
    mcp: Mcp,
    _state: tempfile::TempDir,
    ended: Arc<Ended>,
}

/// Nothing listens on the port of a listener that is gone.
async fn nowhere() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap()
}

async fn bench() -> Bench {
    bench_with(nowhere().await).await
}

async fn bench_with(ic: SocketAddr) -> Bench {
    bench_asking(ic, &Services::default()).await
}

async fn bench_asking(ic: SocketAddr, services: &Services) -> Bench {
    let wire = Wire {
        repairs: false,
        keep_alive: KEEP_ALIVE,
    };
    bench_on(wire, ic, services).await
}

async fn bench_on(wire: Wire, ic: SocketAddr, services: &Services) -> Bench {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(
        Grpc::builder()
            .add_service(IdentitiesServer::new(Signer))
            .serve_with_incoming(tokio_stream::wrappers::TcpListenerStream::new(listener)),
    );
    let channel = tonic::transport::Endpoint::from_shared(format!("http://{address}")).unwrap();
    let ic = Ic::new(&format!("http://{ic}").parse().unwrap(), None).unwrap();
    let ended = Arc::new(Ended::default());
    let state = tempfile::tempdir().unwrap();
    let store = Store::open(state.path(), Limits::default()).await.unwrap();
    let public_url = PublicUrl::parse("http://127.0.0.1:8000").unwrap();
    let uploads = Uploads::open(state.path(), public_url.clone(), store.clone()).unwrap();
    let parts = Parts {
        signer: SignerClient::over(channel.connect_lazy()),
        ended: Arc::<Ended>::clone(&ended) as _,
        store,
        wasm: Wasm::new(uploads, Fetcher::new(Reach::new(false))),
    };
    let discovery = Discovery::new(services, false);
    let tools = Tools::new(Arc::new(ic), parts, &public_url, discovery, false);
    Bench {
        mcp: Mcp::over(tools, &public_url, Served::default(), wire),
        ended,
        _state: state,
    }
}

fn authorized(scopes: &[Scope], access_level: AccessLevel) -> Authorized {
    Authorized {
        instance: InstanceName::Beta,
        connection: ConnectionId::new("connection"),
        bearer: Credential::mint(Prefix::Access),
        scopes: scopes.iter().copied().collect::<Scopes>(),
        access_level,
        connection_expires_at: SystemTime::now() + Duration::from_secs(600),
        client_name: None,
    }
}

fn everything() -> Authorized {
    authorized(&Scope::ALL, AccessLevel::All)
}

fn request(body: &Value) -> body::Request {
    http::Request::post("/mcp")
        .header("host", "gate.example")
        .header("content-type", "application/json")
        .header("authorization", "Bearer icg_at_x")
        .body(body::full(body.to_string()))
        .unwrap()
}

async fn read(response: Response) -> (u16, Value) {
    let status = response.status().as_u16();
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    (
        status,
        serde_json::from_slice(&bytes).unwrap_or(Value::Null),
    )
}

impl Bench {
    async fn answer_as(&self, authorized: Authorized, request: body::Request) -> (u16, Value) {
        read(
            self.mcp
                .handle(InstanceName::Beta, authorized, request)
                .await,
        )
        .await
    }

    async fn answer(&self, request: body::Request) -> (u16, Value) {
        self.answer_as(everything(), request).await
    }

    async fn send(&self, authorized: Authorized, body: Value) -> (u16, Value) {
        self.answer_as(authorized, request(&body)).await
    }

    async fn tool_as(&self, authorized: Authorized, name: &str, arguments: Value) -> Value {
        let (status, answer) = self.send(authorized, called(name, &arguments)).await;
        assert_eq!(status, 200, "{answer}");
        answer["result"].clone()
    }

    async fn tool(&self, name: &str, arguments: Value) -> Value {
        self.tool_as(everything(), name, arguments).await
    }
}

fn failed(result: &Value, code: &str) -> String {
    assert_eq!(result["isError"], true, "{result}");
    assert_eq!(result["_meta"]["icgate/code"], code, "{result}");
    assert!(result.get("structuredContent").is_none());
    result["content"][0]["text"].as_str().unwrap().to_owned()
}

fn modern(method: &str, params: Value) -> body::Request {
    let mut params = params;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientCapabilities": {},
        "io.modelcontextprotocol/clientInfo": { "name": "test", "version": "0" },
    });
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params });
    let mut request = request(&body);
    let headers = request.headers_mut();
    headers.insert("mcp-protocol-version", "2026-07-28".parse().unwrap());
    headers.insert("mcp-method", method.parse().unwrap());
    if let Some(name) = params["name"].as_str() {
        headers.insert("mcp-name", name.parse().unwrap());
    }
    request
}

#[tokio::test]
async fn clients_that_initialize_are_served_without_a_session() {
    let bench = bench().await;
    let initialize = json!({ "jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": { "name": "t", "version": "0" } } });
    let response = bench
        .mcp
        .handle(InstanceName::Beta, everything(), request(&initialize))
        .await;
    assert!(response.headers().get("mcp-session-id").is_none());
    let (status, answer) = read(response).await;
    assert_eq!(status, 200);
    assert_eq!(answer["result"]["protocolVersion"], "2025-11-25");
    assert_eq!(answer["result"]["serverInfo"]["name"], "icgate");
    assert!(answer["result"]["instructions"].as_str().unwrap().len() < 2048);
    for capability in ["tools", "resources", "prompts", "completions"] {
        assert!(
            answer["result"]["capabilities"][capability].is_object(),
            "{answer}"
        );
    }
    let (status, _) = bench
        .send(
            everything(),
            json!({ "jsonrpc": "2.0", "method": "notifications/initialized" }),
        )
        .await;
    assert_eq!(status, 202);
    let (_, list) = bench
        .send(
            everything(),
            json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
        )
        .await;
    assert_eq!(list["result"]["tools"][0]["name"], "get_candid");
    assert!(
        list["result"].get("cacheScope").is_none() && list["result"].get("resultType").is_none()
    );
}

#[tokio::test]
async fn clients_of_the_newest_revision_discover_list_and_call() {
    let bench = bench().await;
    let (status, discovered) = bench.answer(modern("server/discover", json!({}))).await;
    assert_eq!(status, 200, "{discovered}");
    assert!(
        discovered["result"]["supportedVersions"]
            .as_array()
            .unwrap()
            .contains(&json!("2026-07-28"))
    );
    let (_, list) = bench.answer(modern("tools/list", json!({}))).await;
    assert_eq!(list["result"]["cacheScope"], "private");
    assert!(list["result"]["ttlMs"].as_u64().unwrap() > 0);
    let call = json!({ "name": "get_principal", "arguments": { "domain": "app.example" } });
    let (_, called) = bench.answer(modern("tools/call", call)).await;
    assert_eq!(called["result"]["resultType"], "complete");
    for method in ["prompts/list", "resources/list", "resources/templates/list"] {
        let (status, answer) = bench.answer(modern(method, json!({}))).await;
        assert_eq!(status, 200, "{method}: {answer}");
        assert_eq!(
            answer["result"]["cacheScope"], "private",
            "{method}: {answer}"
        );
    }
    let (status, answer) = bench.answer(modern("ping", json!({}))).await;
    assert_eq!(
        (status, &answer["error"]["code"]),
        (404, &json!(-32601)),
        "{answer}"
    );
}

#[tokio::test]
async fn the_list_is_serialized_once_on_either_wire() {
    let bench = bench().await;
    let old = || request(&json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/list" }));
    let new = || modern("tools/list", json!({}));
    for ask in [&old as &dyn Fn() -> body::Request, &new] {
        let prepared = super::transport::prepare(ask()).await.ok().unwrap();
        let asked = Asked::read(&prepared).unwrap();
        assert!(bench.mcp.listing.answer(&asked).await.is_none());
        let (_, first) = bench.answer(ask()).await;
        // What follows is answered from here and does not reach the service.
        let kept = bench.mcp.listing.answer(&asked).await.unwrap();
        assert_eq!(read(kept).await.1, first);
    }
}

#[tokio::test]
async fn a_list_that_is_remembered_still_meets_every_check() {
    let bench = bench().await;
    let (_, first) = bench.answer(modern("tools/list", json!({}))).await;
    let (_, again) = bench.answer(modern("tools/list", json!({}))).await;
    assert_eq!(again, first);

    let old = json!({ "jsonrpc": "2.0", "id": "x", "method": "tools/list" });
    let (_, old) = bench.answer(request(&old)).await;
    assert_eq!(old["id"], "x");
    assert_eq!(old["result"]["tools"], first["result"]["tools"]);
    assert!(old["result"].get("cacheScope").is_none(), "{old}");

    // The header contradicts the body: refused however often the list was asked for before.
    let mut torn = modern("tools/list", json!({}));
    torn.headers_mut().insert(
        "mcp-protocol-version",
        http::HeaderValue::from_static("2025-11-25"),
    );
    let (status, refused) = bench.answer(torn).await;
    assert_eq!(
        (status, &refused["error"]["code"]),
        (400, &json!(-32020)),
        "{refused}"
    );
}

#[tokio::test]
async fn every_tool_is_described_honestly() {
    let bench = bench().await;
    let (_, list) = bench
        .send(
            everything(),
            json!({ "jsonrpc": "2.0", "id": 2, "method": "tools/list" }),
        )
        .await;
    let tools = list["result"]["tools"].as_array().unwrap();
    assert_eq!(tools[0]["name"], "get_candid");
    let changing = [
        "update_canister",
        "call_canister",
        "end_session",
        "create_canister",
        "top_up_canister",
        "resume_funding",
        "install_code",
        "update_canister_settings",
        "uninstall_code",
        "delete_canister",
        "take_snapshot",
        "load_snapshot",
        "delete_snapshot",
    ];
    let undoable = ["start_canister", "stop_canister", "begin_upload"];
    // Twice is like once.
    let settled = [
        "start_canister",
        "stop_canister",
        "end_session",
        "create_canister",
        "top_up_canister",
        "resume_funding",
    ];
    for tool in tools {
        let is_one_of = |names: &[&str]| names.iter().any(|name| tool["name"] == *name);
        let hints = &tool["annotations"];
        let reads = !is_one_of(&changing) && !is_one_of(&undoable);
        assert_eq!(hints["readOnlyHint"], reads, "{tool}");
        assert_eq!(hints["destructiveHint"], is_one_of(&changing), "{tool}");
        let repeatable = reads || is_one_of(&settled);
        assert_eq!(hints["idempotentHint"], repeatable, "{tool}");
        assert!(tool["title"].is_string() && tool["description"].is_string());
        assert_eq!(tool["inputSchema"]["type"], "object");
        assert_eq!(tool["outputSchema"]["type"], "object");
    }
}

#[tokio::test]
async fn accounts_and_principals_come_from_the_signer() {
    let bench = bench().await;
    let listed = bench
        .tool("list_accounts", json!({ "domain": "APP.example/" }))
        .await;
    assert_eq!(listed["structuredContent"]["origin"], SIGNED_IN);
    assert_eq!(
        listed["structuredContent"]["accounts"][1]["name"],
        "savings[2J"
    );
    assert_eq!(
        listed["structuredContent"]["accounts"][1]["last_used"],
        "2023-11-14T22:13:20Z"
    );
    assert!(
        listed["content"][0]["text"]
            .as_str()
            .unwrap()
            .contains("savings[2J (#2)")
    );
    for account in [json!("savings"), json!("#2"), json!(2)] {
        let principal = bench
            .tool(
                "get_principal",
                json!({ "derivation_origin": "app.example", "account": account }),
            )
            .await;
        assert_eq!(principal["structuredContent"]["account_number"], 2);
        assert_eq!(
            principal["content"][0]["text"],
            principal["structuredContent"]["principal"]
        );
    }
    let unknown = bench
        .tool(
            "get_principal",
            json!({ "domain": "app.example", "account": "x" }),
        )
        .await;
    assert!(
        failed(&unknown, "ACCOUNT_UNKNOWN").contains("There is only savings. Use list_accounts")
    );
}

#[tokio::test]
async fn a_connection_that_ended_loses_its_tokens_and_a_busy_one_does_not() {
    let bench = bench().await;
    let over = bench
        .tool("list_accounts", json!({ "domain": REVOKED }))
        .await;
    assert!(failed(&over, "CONNECTION_ENDED").contains("reconnect"));
    assert_eq!(bench.ended.0.load(Ordering::SeqCst), 1);
    let busy = bench.tool("list_accounts", json!({ "domain": BUSY })).await;
    assert!(failed(&busy, "IDENTITY_UNAVAILABLE").contains("Try again"));
    assert_eq!(bench.ended.0.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn bad_arguments_are_results_that_name_them() {
    let bench = bench().await;
    let canister = "ryjl3-tyaaa-aaaaa-aaaba-cai";
    for (tool, arguments, named) in [
        ("get_candid", json!({}), "`canister_id` is missing"),
        (
            "get_candid",
            json!({ "canister_id": 5 }),
            "`canister_id` must be a string",
        ),
        (
            "get_candid",
            json!({ "canister_id": "aaaaa-aa" }),
            "management canister",
        ),
        (
            "get_candid",
            json!({ "canister_id": canister, "x": 1 }),
            "`x` is not known",
        ),
        (
            "call_canister",
            json!({ "canister_id": canister }),
            "`method` is missing",
        ),
        (
            "call_canister",
            json!({ "canister_id": canister, "method": "m", "is_query": "yes" }),
            "`is_query`",
        ),
        (
            "call_canister",
            json!({ "canister_id": canister, "method": "m", "account": "x" }),
            "`domain` beside it",
        ),
        (
            "list_accounts",
            json!({ "domain": "https://app.example/path" }),
            "without a path",
        ),
        (
            "list_accounts",
            json!({ "domain": "http://app.example" }),
            "https",
        ),
        ("get_principal", json!({}), "`domain` is missing"),
    ] {
        let result = bench.tool(tool, arguments).await;
        assert!(failed(&result, "BAD_ARGUMENT").contains(named), "{result}");
    }
    let unknown = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "nothing" } });
    assert_eq!(
        bench.send(everything(), unknown).await.1["error"]["code"],
        -32602
    );
}

#[tokio::test]
async fn scope_and_access_level_bound_what_is_called() {
    let bench = bench().await;
    let update = json!({ "canister_id": "ryjl3-tyaaa-aaaaa-aaaba-cai", "method": "m" });
    let reader = authorized(&[Scope::Read], AccessLevel::All);
    let refused = bench
        .send(reader.clone(), called("call_canister", &update))
        .await;
    let sentence = beyond_scope(&refused);
    assert!(
        sentence.contains("\"ic:read\"") && sentence.contains("\"ic:write\""),
        "{sentence}"
    );
    let mut query = update.clone();
    query["is_query"] = json!(true);
    failed(
        &bench.tool_as(reader, "call_canister", query.clone()).await,
        "IC_UNREACHABLE",
    );
    let asker = authorized(&Scope::ALL, AccessLevel::Queries);
    failed(
        &bench.tool_as(asker.clone(), "call_canister", update).await,
        "READ_ONLY",
    );
    failed(
        &bench.tool_as(asker, "call_canister", query).await,
        "IC_UNREACHABLE",
    );
    // Signing in again would give no more: the user allowed questions only.
    let asker = authorized(&[Scope::Read], AccessLevel::Queries);
    let update = json!({ "canister_id": "ryjl3-tyaaa-aaaaa-aaaba-cai", "method": "m" });
    failed(
        &bench.tool_as(asker, "call_canister", update).await,
        "READ_ONLY",
    );
    let nothing = authorized(&[], AccessLevel::All);
    beyond_scope(&bench.send(nothing, called("get_candid", &json!({}))).await);
}

fn called(name: &str, arguments: &Value) -> Value {
    json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": name, "arguments": arguments } })
}

fn beyond_scope((status, answer): &(u16, Value)) -> String {
    assert_eq!(*status, 403, "{answer}");
    assert_eq!(answer["id"], 1, "{answer}");
    assert_eq!(answer["error"]["data"]["icgate/code"], "INSUFFICIENT_SCOPE");
    answer["error"]["message"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_is_not_a_message_gets_the_error_its_standard_names() {
    let bench = bench().await;
    let raw = |body: &str| {
        http::Request::post("/mcp")
            .header("host", "gate.example")
            .header("content-type", "application/json; charset=utf-8")
            .body(body::full(body.to_owned()))
            .unwrap()
    };
    for (body, code) in [
        ("{", -32700),
        ("", -32700),
        ("\u{0}", -32700),
        ("[]", -32600),
        ("{\"a\":1}", -32600),
    ] {
        let (status, answer) = bench.answer(raw(body)).await;
        assert_eq!(
            (status, &answer["error"]["code"]),
            (400, &json!(code)),
            "{body}"
        );
        assert_eq!(answer["jsonrpc"], "2.0");
    }
    let (status, answer) = bench
        .answer(raw(&" ".repeat(super::transport::MAX_BODY + 1)))
        .await;
    assert_eq!((status, &answer["error"]["code"]), (413, &json!(-32600)));
    let mut plain = raw("{}");
    plain
        .headers_mut()
        .insert("content-type", "text/plain".parse().unwrap());
    assert_eq!(bench.answer(plain).await.0, 415);
    for method in ["GET", "DELETE", "PUT"] {
        let mut other = raw("");
        *other.method_mut() = method.parse().unwrap();
        let response = bench
            .mcp
            .handle(InstanceName::Beta, everything(), other)
            .await;
        assert_eq!(
            (
                response.status().as_u16(),
                response.headers()["allow"].as_bytes()
            ),
            (405, &b"POST"[..])
        );
    }
    let foreign = bench
        .mcp
        .handle(InstanceName::Prod, everything(), raw("{}"))
        .await;
    assert_eq!(foreign.status().as_u16(), 403);
}

#[tokio::test]
async fn a_client_that_goes_away_takes_its_call_with_it() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let bench = bench_with(silent.local_addr().unwrap()).await;
    let call = json!({ "jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": { "name": "call_canister",
        "arguments": { "canister_id": "ryjl3-tyaaa-aaaaa-aaaba-cai", "method": "m" } } });
    let client = tokio::spawn(async move { bench.send(everything(), call).await });
    let (mut asked, _) = silent.accept().await.unwrap();
    let mut request = [0; 1024];
    assert!(asked.read(&mut request).await.unwrap() > 0);
    client.abort();
    let gone = async { while asked.read(&mut request).await.is_ok_and(|read| read > 0) {} };
    tokio::time::timeout(Duration::from_secs(10), gone)
        .await
        .expect("the request to the network ends");
}
