//! Being asked about is not being used.

use base64::{Engine, engine::general_purpose::STANDARD};
use http::{StatusCode, header};

use super::house::{Answer, House};
use crate::{instance::InstanceName::Beta, store::Digest};

async fn ask(house: &House, token: &str) -> Answer {
    let request = http::Request::post("/oauth/introspect")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(
            header::AUTHORIZATION,
            format!("Basic {}", STANDARD.encode("billing:secret")),
        )
        .body(format!("token={token}"));
    house.send(request.unwrap()).await
}

#[tokio::test]
async fn introspection_leaves_no_trace() {
    let mut house = House::open().await;
    let file = house.directory.path().join("services");
    let proof = hex::encode(Digest::of("secret").as_bytes());
    std::fs::write(&file, format!("billing:{proof}")).unwrap();
    house
        .restart_with(|config| config.introspection_clients_file = Some(file))
        .await;
    let (_, tokens) = house.connected(Beta).await;
    let token = tokens["access_token"].as_str().unwrap();
    let server = std::sync::Arc::clone(&house.oauth.server);
    let presented = async || {
        let family = server.store.family(Beta, &Digest::of(token)).await;
        family.unwrap().unwrap().credential.presented_at
    };

    let told = ask(&house, token).await;
    assert_eq!(told.status, StatusCode::OK, "{told:?}");
    assert_eq!(told.json()["active"], true);
    assert_eq!(presented().await, None);
    assert!(server.gate.take_used().is_empty());

    house.present(Beta, &tokens["access_token"]).await.unwrap();
    assert!(presented().await.is_some());
    assert!(!server.gate.take_used().is_empty());
}
