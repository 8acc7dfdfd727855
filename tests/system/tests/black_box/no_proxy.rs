//! Proxies that the environment names are for other programs: what the gateway fetches, it fetches itself.

use std::{io::ErrorKind, net::TcpListener};

use icgate_system::{Call, Stack};
use serde_json::json;

use crate::{https_site::HttpsSite, journeys::serve_app};

#[tokio::test]
async fn no_proxy_of_the_environment_is_ever_asked() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let proxy = format!("http://{}", listener.local_addr().expect("an address"));
    let site = HttpsSite::start().await;
    let mut env = vec![("SSL_CERT_FILE", site.ca())];
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"] {
        env.push((name, &proxy));
    }
    for name in ["http_proxy", "https_proxy", "all_proxy"] {
        env.push((name, &proxy));
    }
    let stack = Stack::start_in(&env).await;
    let app = stack.devnet.canister("app");
    serve_app(&site, stack.devnet.canister("trap"), app);

    let agent = stack.agent().await;
    let opened = agent
        .call("open_app", json!({ "app": site.origin() }))
        .await;
    let canisters = &opened.structured["canisters"];
    assert_eq!(canisters[0]["canister_id"], app, "{}", opened.text);
    let plain = json!({ "domain": stack.devnet.world().site("app") });
    agent.call("discover_canisters", plain).await.ok();
    let looked = agent.call("lookup_canister", json!({ "canister_id": app }));
    assert_eq!(looked.await.structured["known"], true);
    agent.call("list_ic_skills", json!({})).await.ok();
    agent
        .canister(Call::query(app, "greet", "(\"Ada\")"))
        .await
        .ok();
    agent
        .canister(Call::update(app, "increment", "()"))
        .await
        .ok();

    // Whoever came would wait in the queue.
    listener.set_nonblocking(true).expect("a socket");
    let came = listener.accept().map(|(_, from)| from);
    assert_eq!(
        came.expect_err("nobody comes").kind(),
        ErrorKind::WouldBlock
    );
}
