//! The life of a registration that is managed, and what becomes of what hangs on it.

use http::{Method, StatusCode, header};
use serde_json::{Value, json};

use super::house::{Answer, Browser, House, eventually};
use crate::instance::InstanceName::{Beta, Prod};

/// A registration as its client knows it.
struct Registration {
    id: String,
    token: String,
}

async fn register(house: &House) -> Registration {
    let body = json!({"redirect_uris": ["http://127.0.0.1:1/callback"], "client_name": "before"});
    let request = http::Request::post("/oauth/register")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body.to_string());
    let answer = house.send(request.unwrap()).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    registration(&answer.json())
}

fn registration(answer: &Value) -> Registration {
    let text = |name: &str| answer[name].as_str().unwrap().to_owned();
    Registration {
        id: text("client_id"),
        token: text("registration_access_token"),
    }
}

async fn ask(house: &House, method: Method, of: &Registration, body: String) -> Answer {
    let request = http::Request::builder()
        .method(method)
        .uri(format!("/oauth/register/{}", of.id))
        .header(header::AUTHORIZATION, format!("Bearer {}", of.token))
        .header(header::CONTENT_TYPE, "application/json")
        .body(body);
    house.send(request.unwrap()).await
}

#[tokio::test]
async fn a_lost_answer_to_a_change_locks_nobody_out() {
    let mut house = House::open().await;
    let first = register(&house).await;
    let body = json!({
        "client_id": first.id,
        "redirect_uris": ["http://127.0.0.1:1/other"],
        "client_name": "after",
    })
    .to_string();
    let lost = ask(&house, Method::PUT, &first, body.clone()).await;
    assert_eq!(lost.status, StatusCode::OK, "{lost:?}");
    house.restart().await;
    let again = ask(&house, Method::PUT, &first, body).await;
    let second = registration(&again.json());
    assert_ne!(second.token, first.token);
    assert_eq!(again.json()["client_name"], "after");
    let lost = registration(&lost.json());
    let refused = ask(&house, Method::GET, &lost, String::new()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED, "replaced unseen");
    // The older one ends when the newer is presented.
    assert_eq!(
        ask(&house, Method::GET, &first, String::new()).await.status,
        StatusCode::OK
    );
    let seen = ask(&house, Method::GET, &second, String::new()).await;
    assert_eq!(registration(&seen.json()).token, second.token);
    let refused = ask(&house, Method::GET, &first, String::new()).await;
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(
        refused.header(header::WWW_AUTHENTICATE),
        "Bearer error=\"invalid_token\""
    );
}

#[tokio::test]
async fn deletion_ends_connections_at_both_instances_and_at_the_signer() {
    let house = House::open().await;
    let client = register(&house).await;
    let mut tokens = Vec::new();
    for name in [Beta, Prod] {
        let code = house.code(name, &client.id, &["ic:read"]).await;
        let answer = house.exchange(name, &client.id, &code).await.json();
        house.present(name, &answer["access_token"]).await.unwrap();
        tokens.push(answer);
    }
    let (_, other) = house.connected(Beta).await;
    let gone = ask(&house, Method::DELETE, &client, String::new()).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT, "{gone:?}");
    for (name, tokens) in [Beta, Prod].into_iter().zip(&tokens) {
        let refused = house.present(name, &tokens["access_token"]).await;
        assert_eq!(refused.unwrap_err().status, StatusCode::UNAUTHORIZED);
        let refresh = tokens["refresh_token"].as_str().unwrap();
        let refused = house.refresh(name, &client.id, refresh).await;
        assert_eq!(refused.error(), "invalid_client");
    }
    eventually("two closed connections", || {
        house.signer.state().closed.len() == 2
    })
    .await;
    house.present(Beta, &other["access_token"]).await.unwrap();
    let again = ask(&house, Method::GET, &client, String::new()).await;
    assert_eq!(again.status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn a_sign_in_under_way_ends_with_its_client() {
    let house = House::open().await;
    let client = register(&house).await;
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client.id, &["ic:read"])
        .await;
    ask(&house, Method::DELETE, &client, String::new()).await;
    let back = house.redeem(Beta, &browser, &away.state, "good").await;
    assert_eq!(back.status, StatusCode::BAD_REQUEST, "{back:?}");
    eventually("the signer to forget it", || {
        house.signer.state().closed.len() == 1
    })
    .await;
    assert_eq!(house.signer.calls("complete"), 0);
}

#[tokio::test]
async fn an_unexchanged_code_is_worth_nothing_once_its_client_is_gone() {
    let house = House::open().await;
    let client = register(&house).await;
    let code = house.code(Beta, &client.id, &["ic:read"]).await;
    ask(&house, Method::DELETE, &client, String::new()).await;
    let refused = house.exchange(Beta, &client.id, &code).await;
    assert_eq!(refused.error(), "invalid_client", "{refused:?}");
}

#[tokio::test]
async fn a_change_ends_sign_ins_and_leaves_connections() {
    let house = House::open().await;
    let client = register(&house).await;
    let code = house.code(Beta, &client.id, &["ic:read"]).await;
    let tokens = house.exchange(Beta, &client.id, &code).await.json();
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client.id, &["ic:read"])
        .await;
    let body = json!({"client_id": client.id, "redirect_uris": ["http://127.0.0.1:1/other"]});
    let changed = ask(&house, Method::PUT, &client, body.to_string()).await;
    assert_eq!(changed.status, StatusCode::OK, "{changed:?}");
    let back = house.redeem(Beta, &browser, &away.state, "good").await;
    assert_eq!(
        back.status,
        StatusCode::BAD_REQUEST,
        "its address is not the client's any more"
    );
    house.present(Beta, &tokens["access_token"]).await.unwrap();
}

#[tokio::test]
async fn a_device_waits_no_longer_when_its_client_changes_or_goes() {
    const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
    let house = House::open().await;
    let grants = json!({"grant_types": [DEVICE], "client_name": "a device"});
    for method in [Method::PUT, Method::DELETE] {
        let request = http::Request::post("/oauth/register")
            .header(header::CONTENT_TYPE, "application/json")
            .body(grants.to_string());
        let answer = house.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let client = registration(&answer.json());
        let id = ("client_id", client.id.as_str());
        let codes = house.post_form("/oauth/device_authorization", &[id]).await;
        let code = codes.json()["device_code"].as_str().unwrap().to_owned();
        let poll = [("grant_type", DEVICE), ("device_code", code.as_str()), id];
        let waits = house.post_form("/oauth/token", &poll).await;
        assert_eq!(waits.error(), "authorization_pending", "{waits:?}");
        let mut body = grants.clone();
        body["client_id"] = client.id.as_str().into();
        let changed = ask(&house, method, &client, body.to_string()).await;
        assert!(changed.status.is_success(), "{changed:?}");
        let over = house.post_form("/oauth/token", &poll).await;
        assert_eq!(over.error(), "invalid_grant", "{over:?}");
    }
}

#[tokio::test]
async fn what_the_operator_brought_is_not_managed() {
    let mut house = House::open().await;
    let client = register(&house).await;
    let file = json!([{"client_id": client.id, "redirect_uris": ["http://127.0.0.1/cb"]}]);
    house.restart_with_clients(&file.to_string()).await.unwrap();
    for method in [Method::GET, Method::DELETE] {
        let refused = ask(&house, method, &client, String::new()).await;
        assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    }
}
