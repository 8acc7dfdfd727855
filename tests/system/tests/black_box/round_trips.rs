//! How many requests to the Internet Computer a call costs.

use std::time::Duration;

use icgate_system::{Call, Fault, IcRequest, Interference, Stack, until};
use serde_json::json;

use crate::APP;

const BOUND: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_warm_query_as_the_user_is_one_request() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    let call = || Call::query(app, "whoami", "()").at(APP);
    agent.canister(call()).await.ok();
    stack.devnet.reset_requests().await;
    agent.canister(call()).await.ok();
    let requests = stack.devnet.requests().await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].endpoint, "query");
    assert_eq!(requests[0].method.as_deref(), Some("whoami"));
}

#[tokio::test]
async fn a_warm_query_canister_as_the_user_is_one_request_whatever_it_asks() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    let ask = |method, args| {
        let arguments =
            json!({ "canister_id": app, "method": method, "args": args, "domain": APP });
        agent.call("query_canister", arguments)
    };
    ask("whoami", "()").await.ok();
    stack.devnet.reset_requests().await;
    ask("greet", "(\"Ada\")").await.ok();
    ask("whoami", "()").await.ok();
    let requests = stack.devnet.requests().await;
    let methods: Vec<_> = requests
        .iter()
        .map(|request| (request.endpoint.as_str(), request.method.as_deref()))
        .collect();
    assert_eq!(
        methods,
        [("query", Some("greet")), ("query", Some("whoami"))]
    );
}

#[tokio::test]
async fn an_interface_that_was_read_is_not_read_again() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    let read = || agent.call("get_candid", json!({ "canister_id": app }));
    stack.devnet.reset_requests().await;
    let first = read().await.ok();
    let requests = stack.devnet.requests().await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert!(reads_the_interface_of(app, &requests[0]));

    stack.devnet.reset_requests().await;
    assert_eq!(read().await.ok(), first);
    let resource = json!({ "uri": format!("canister://{app}/candid") });
    let answer = agent.request("resources/read", resource).await;
    assert!(answer.result()["contents"].is_array());
    let call = json!({ "canister_id": app, "method": "increment" });
    agent.call("preview_call", call).await.ok();
    let mut requests = stack.devnet.requests().await;
    // The preview asks the canister what it says of the call; nobody asks for its interface.
    requests.retain(|request| request.endpoint == "read_state");
    requests.retain(|request| reads_the_interface_of(app, request));
    assert_eq!(requests, []);
}

fn reads_the_interface_of(canister: &str, request: &IcRequest) -> bool {
    request.canister.as_deref() == Some(canister)
        && request.reads.as_deref() == Some("candid:service")
}

#[tokio::test]
async fn a_cold_call_asks_internet_identity_while_it_reads_the_interface() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let devnet = &stack.devnet;
    let app = devnet.canister("app");
    devnet
        .interfere("app", "candid:service", Interference::HoldBefore)
        .await;
    devnet.reset_requests().await;
    let call = agent.canister(Call::query(app, "whoami", "()").at(APP));
    let watch = async {
        // The interface is not answered before Internet Identity has been asked for both halves of the delegation.
        until("both round trips to Internet Identity", BOUND, || async {
            let asked = devnet.requests_to("ii").await;
            let has = |method| {
                let mut methods = asked.iter().map(|request| request.method.as_deref());
                methods.any(|asked| asked == Some(method))
            };
            (has("mcp_prepare_delegation") && has("mcp_get_delegation")).then_some(())
        })
        .await;
        assert_eq!(devnet.held().await, 1);
        devnet.release().await;
    };
    let (result, ()) = tokio::join!(call, watch);
    result.ok();
}

#[tokio::test]
async fn a_cold_call_reads_the_interface_while_it_asks_internet_identity() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let devnet = &stack.devnet;
    let app = devnet.canister("app");
    devnet
        .interfere("ii", "mcp_prepare_delegation", Interference::HoldBefore)
        .await;
    devnet.reset_requests().await;
    let call = agent.canister(Call::update(app, "increment", "()").at(APP));
    let watch = async {
        until("the interface to be read", BOUND, || async {
            let requests = devnet.requests().await;
            let read = requests.iter().any(|it| reads_the_interface_of(app, it));
            (read && devnet.held().await == 1).then_some(())
        })
        .await;
        let called = devnet.requests_to("app").await;
        assert!(called.iter().all(|request| request.endpoint != "call"));
        devnet.release().await;
    };
    let (result, ()) = tokio::join!(call, watch);
    result.ok();
}

#[tokio::test]
async fn certificates_verify_however_often_their_subnet_renews_its_delegation() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    stack.devnet.fault(Fault::FreshDelegation).await;
    for _ in 0..3 {
        agent
            .canister(Call::update(app, "increment", "()").at(APP))
            .await
            .ok();
    }
}

#[tokio::test]
async fn a_warm_update_as_the_user_is_one_request() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    let call = || Call::update(app, "increment", "()").at(APP);
    agent.canister(call()).await.ok();
    stack.devnet.reset_requests().await;
    agent.canister(call()).await.ok();
    let requests = stack.devnet.requests().await;
    assert_eq!(requests.len(), 1, "{requests:?}");
    assert_eq!(requests[0].endpoint, "call");
}

#[tokio::test]
async fn a_warm_anonymous_query_is_one_request() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    agent
        .canister(Call::query(app, "greet", "(\"Ada\")"))
        .await
        .ok();
    stack.devnet.reset_requests().await;
    agent
        .canister(Call::query(app, "greet", "(\"Bob\")"))
        .await
        .ok();
    let requests = stack.devnet.requests().await;
    assert_eq!(requests.len(), 1, "{requests:?}");
}

#[tokio::test]
async fn callers_at_the_same_time_share_one_delegation() {
    let stack = Stack::start().await;
    let agent = stack.agent().await;
    let app = stack.devnet.canister("app");
    stack.devnet.reset_requests().await;
    let call = || agent.canister(Call::query(app, "whoami", "()").at(APP));
    let (a, b, c, d) = tokio::join!(call(), call(), call(), call());
    for result in [a, b, c, d] {
        result.ok();
    }
    let mut minted = stack.devnet.requests_to("ii").await;
    minted.retain(|request| request.method.as_deref() == Some("mcp_prepare_delegation"));
    assert_eq!(minted.len(), 1, "{minted:?}");
}
