//! The whole as it runs for the world: https at a proxy that the gateway trusts, and nothing of development.

use icgate_system::{
    Browser, Client, Consent, Device, Era, Instance, Person, Proxy, Stack, http_client,
};
use reqwest::{StatusCode, header};
use serde_json::Value;
use url::Url;

use crate::APP;

const ANCHOR: u64 = 10_000;

async fn world() -> (Proxy, Stack) {
    let proxy = Proxy::start_https().await;
    let stack = Stack::start_behind(&proxy, &[]).await;
    for instance in [Instance::Beta, Instance::Prod] {
        let server = stack.mcp_url(instance);
        stack.devnet.trust(instance.ii(), ANCHOR, &server).await;
    }
    (proxy, stack)
}

/// Every cookie of the answer, each of them for this host by https alone.
fn assert_host_cookies(headers: &header::HeaderMap) -> usize {
    let cookies: Vec<_> = headers.get_all(header::SET_COOKIE).iter().collect();
    for cookie in &cookies {
        let cookie = cookie.to_str().expect("ASCII");
        assert!(cookie.starts_with("__Host-icg_"), "{cookie}");
        for attribute in ["; Path=/;", "; HttpOnly", "; Secure", "; SameSite=Lax"] {
            assert!(cookie.contains(attribute), "{attribute}: {cookie}");
        }
        assert!(!cookie.contains("Domain"), "{cookie}");
    }
    cookies.len()
}

#[tokio::test]
async fn a_person_signs_in_over_https_at_both_instances() {
    let (_proxy, stack) = world().await;
    for instance in [Instance::Beta, Instance::Prod] {
        let client = Client::register(stack.auth_server(instance)).await;
        let mut browser = Browser::new();
        let page = browser.get(&client.authorization().url).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert_eq!(assert_host_cookies(&page.headers), 1);
        let left = browser.submit(&page).await;
        assert!(
            assert_host_cookies(&left.headers) >= 1,
            "the connect cookie"
        );
        let link = left.redirect();
        let consent = Consent::default();
        let callback = stack.devnet.consent(instance.ii(), link.as_str(), &consent);
        let redeemed = client.callback(&mut browser, &callback.await).await;
        assert_eq!(redeemed.status, StatusCode::OK, "{}", redeemed.body);
        assert_host_cookies(&redeemed.headers);
        let landed: Url = redeemed.json()["redirect"]
            .as_str()
            .and_then(|address| address.parse().ok())
            .expect("an address");
        let tokens = client.redeem(&client.returned(&landed)["code"]).await;
        let tokens = client.refreshed(&tokens.refresh_token).await;
        let agent = stack.mcp(instance, Era::Modern, &tokens.access_token);
        agent.principal(APP, None).await;
    }
}

#[tokio::test]
async fn a_browser_session_lives_in_a_secure_cookie() {
    let (_proxy, stack) = world().await;
    let mut person = Person::new(&stack, Instance::Beta);
    person.connect(&stack, &Consent::default(), &[]).await;
    assert!(person.browser.cookie("__Host-icg_session").is_some());
    assert!(person.browser.cookie("icg_session").is_none());
    let page = person.connections().await;
    assert!(page.body.contains("This browser"), "{}", page.body);
    // Another browser is a stranger.
    let mut other = Person::new(&stack, Instance::Beta);
    let page = other.connections().await;
    assert!(page.body.contains("Connect this browser"), "{}", page.body);
}

#[tokio::test]
async fn a_document_at_a_host_nobody_vouches_for_is_not_fetched() {
    let (_proxy, stack) = world().await;
    let server = stack.auth_server(Instance::Beta);
    // The second is an address of this machine, which development would fetch.
    for (client_id, refused) in [
        ("https://evil.example/client.json", StatusCode::FORBIDDEN),
        ("https://127.0.0.1/client.json", StatusCode::FORBIDDEN),
        ("http://claude.ai/client.json", StatusCode::BAD_REQUEST),
    ] {
        let described = Client {
            client_id: client_id.to_owned(),
            redirect_uri: "https://evil.example/callback".to_owned(),
            ..Client::at(server.clone())
        };
        let url = described.authorization().url;
        let answer = http_client().get(url).send().await.expect("an answer");
        assert_eq!(answer.status(), refused, "{client_id}");
        assert!(!answer.headers().contains_key(header::LOCATION));
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"], "invalid_client", "{body}");
    }
}

#[tokio::test]
async fn the_device_grant_is_off() {
    let (_proxy, stack) = world().await;
    let server = stack.auth_server(Instance::Beta);
    let page = Browser::new().get(&server.endpoint("device")).await;
    assert_eq!(page.status, StatusCode::NOT_FOUND, "{}", page.body);
    let asked = [("client_id", "x")];
    let (status, body) = server.post("device_authorization", &asked).await;
    assert_eq!(status, StatusCode::NOT_FOUND, "{body}");
    let (status, body) = Device::registration(&server).await;
    assert_eq!(status, StatusCode::BAD_REQUEST, "{body}");
}

#[tokio::test]
async fn a_wrong_host_and_plain_http_are_refused() {
    let (proxy, stack) = world().await;
    let metadata = "/.well-known/oauth-authorization-server";
    let public: Url = proxy.url().parse().expect("a URL");
    let own = public.authority();
    let direct = format!("http://127.0.0.1:{}{metadata}", proxy.gateway_port());
    let through = format!("{}{metadata}", stack.gateway.url());
    // None of the loopback names, which are good in development, is this server's.
    for host in ["evil.example", "127.0.0.1", "localhost"] {
        let asked = http_client().get(&through).header(header::HOST, host);
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::FORBIDDEN, "{host}");
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"], "host_not_allowed", "{body}");
    }
    // The proxy has to say that its client speaks https.
    for (told, status, error) in [
        (None, StatusCode::FORBIDDEN, "https_required"),
        (Some("http"), StatusCode::FORBIDDEN, "https_required"),
        (Some("https"), StatusCode::OK, ""),
    ] {
        let mut asked = http_client().get(&direct).header(header::HOST, own);
        if let Some(told) = told {
            asked = asked.header("x-forwarded-proto", told);
        }
        let answer = asked.send().await.expect("an answer");
        assert_eq!(answer.status(), status, "{told:?}");
        let body: Value = answer.json().await.expect("JSON");
        assert_eq!(body["error"].as_str().unwrap_or_default(), error, "{body}");
    }
}
