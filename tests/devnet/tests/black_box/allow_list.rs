//! The callback allow-list, which II's page checks before it hands over a delegation.

use axum::{
    Router,
    body::Body,
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Redirect, Response},
    routing::get,
};
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use ic_agent::Identity;
use serde_json::json;
use tokio::net::TcpListener;

use crate::network::{Network, random_key};

const PATH: &str = "/.well-known/ii-auth-callbacks";

/// Serves `document` as the allow-list of a server whose callback is `{base}/cb`, consents with
/// the check on, and returns the refusal, if any.
async fn consent(document: impl Fn(&str) -> Response) -> Option<String> {
    let network = Network::start().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let (parts, body) = document(&base).into_parts();
    let body = axum::body::to_bytes(body, usize::MAX).await.unwrap();
    let answer = move || async move { Response::from_parts(parts, Body::from(body)) };
    let server = Router::new().route(PATH, get(answer));
    tokio::spawn(async move { axum::serve(listener, server).await });

    let key = URL_SAFE_NO_PAD.encode(random_key().public_key().unwrap());
    let callback: String =
        url::form_urlencoded::byte_serialize(format!("{base}/cb").as_bytes()).collect();
    let link = format!("http://127.0.0.1/mcp#callback={callback}&state=s&registration_key={key}");
    let body = json!({
        "ii": "ii", "link": link, "anchor": 10_000, "access": "all", "check_callback": true,
    });
    let (_, answer) = network.post("/control/consent", body).await;
    answer["error"].as_str().map(str::to_owned)
}

fn json_document(text: String) -> Response {
    ([(CONTENT_TYPE, "application/json")], text).into_response()
}

#[tokio::test]
async fn a_listed_callback_is_served() {
    let listed = |base: &str| {
        json_document(
            json!({ "callbacks": ["https://x.example/", format!("{base}/cb")] }).to_string(),
        )
    };
    assert_eq!(consent(listed).await, None);
}

#[tokio::test]
async fn anything_else_is_refused() {
    let refused =
        consent(|base| json_document(json!({ "callbacks": [format!("{base}/cb/")] }).to_string()));
    assert!(
        refused
            .await
            .unwrap()
            .contains("not on the server's allow-list")
    );
    let refused = consent(|_| json_document("[]".to_owned()));
    assert!(refused.await.unwrap().contains("not an object"));
    let refused = consent(|base| {
        json!({ "callbacks": [format!("{base}/cb")] })
            .to_string()
            .into_response()
    });
    assert!(refused.await.unwrap().contains("not application/json"));
    let refused = consent(|_| json_document(" ".repeat(9000)));
    assert!(refused.await.unwrap().contains("larger than"));
    let refused = consent(|_| StatusCode::NOT_FOUND.into_response());
    assert!(refused.await.unwrap().contains("404"));
    let refused = consent(|_| Redirect::temporary("/moved").into_response());
    assert!(refused.await.unwrap().contains("307"));
}
