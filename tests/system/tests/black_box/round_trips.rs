//! How many requests to the Internet Computer a call costs.

use icgate_system::{Call, Stack};

use crate::APP;

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
