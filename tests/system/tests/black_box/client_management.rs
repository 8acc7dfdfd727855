//! A client manages its own registration (RFC 7592).

use icgate_system::{AuthServer, Browser, Client, Consent, Era, Instance, Stack, http_client};
use reqwest::{Method, StatusCode, header};
use serde_json::{Value, json};

/// A registration as its client knows it.
struct Registration {
    url: String,
    token: String,
    metadata: Value,
}

impl Registration {
    fn of(answer: Value) -> Self {
        let text = |name: &str| answer[name].as_str().expect("a text").to_owned();
        Self {
            url: text("registration_client_uri"),
            token: text("registration_access_token"),
            metadata: answer,
        }
    }

    async fn new(server: &AuthServer) -> Self {
        let body = json!({
            "client_name": "before",
            "redirect_uris": [icgate_system::REDIRECT_URI],
        });
        let answer = http_client()
            .post(server.endpoint("register"))
            .json(&body)
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.status(), StatusCode::CREATED);
        Self::of(answer.json().await.expect("JSON"))
    }

    fn client(&self, server: AuthServer) -> Client {
        Client {
            server,
            client_id: self.metadata["client_id"]
                .as_str()
                .expect("an id")
                .to_owned(),
            redirect_uri: icgate_system::REDIRECT_URI.to_owned(),
        }
    }

    async fn ask(&self, method: Method, body: Option<&Value>) -> (StatusCode, Value) {
        let mut request = http_client()
            .request(method, &self.url)
            .bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.expect("an answer");
        let status = answer.status();
        if status == StatusCode::OK {
            assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        }
        (status, answer.json().await.unwrap_or_default())
    }
}

#[tokio::test]
async fn a_registration_is_read_changed_and_deleted() {
    let mut stack = Stack::start().await;
    let server = stack.auth_server(Instance::Beta);
    let first = Registration::new(&server).await;
    assert!(first.url.starts_with(stack.gateway.url()), "{}", first.url);
    assert!(!first.metadata.to_string().contains("null"));
    let (status, read) = first.ask(Method::GET, None).await;
    assert_eq!((status, &read), (StatusCode::OK, &first.metadata));

    let change = json!({
        "client_id": first.metadata["client_id"],
        "redirect_uris": [icgate_system::REDIRECT_URI, "http://127.0.0.1/other"],
        "grant_types": ["authorization_code"],
    });
    let (status, changed) = first.ask(Method::PUT, Some(&change)).await;
    assert_eq!(status, StatusCode::OK, "{changed}");
    assert!(!changed.to_string().contains("null"), "{changed}");
    assert_eq!(changed["redirect_uris"], change["redirect_uris"]);
    assert_eq!(changed["grant_types"], json!(["authorization_code"]));
    assert!(changed.get("client_name").is_none(), "{changed}");
    assert_eq!(changed["client_id_issued_at"], read["client_id_issued_at"]);
    let second = Registration::of(changed);
    assert_ne!(second.token, first.token);

    stack.gateway.kill();
    stack.gateway.restart().await;
    let (status, read) = second.ask(Method::GET, None).await;
    assert_eq!((status, &read), (StatusCode::OK, &second.metadata));
    let (status, _) = first.ask(Method::GET, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED, "rotated");

    let (status, _) = second.ask(Method::DELETE, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);
    let (status, _) = second.ask(Method::GET, None).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
    let page = Browser::new()
        .get(&second.client(server).authorization().url)
        .await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.body);
}

#[tokio::test]
async fn deletion_ends_what_hangs_on_the_client_also_during_a_sign_in() {
    let stack = Stack::start().await;
    let server = stack.auth_server(Instance::Beta);
    let registration = Registration::new(&server).await;
    let client = registration.client(server);
    let code = client
        .authorize(&mut Browser::new(), &stack.devnet, &Consent::default())
        .await;
    let tokens = client.redeem(&code).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.tools().await;
    // Another person is at Internet Identity with the same client.
    let bob = Consent {
        anchor: 10_001,
        ..Consent::default()
    };
    let mut browser = Browser::new();
    let link = client.consent_page(&mut browser).await;
    let callback = stack.devnet.consent("ii", link.as_str(), &bob).await;

    let (status, _) = registration.ask(Method::DELETE, None).await;
    assert_eq!(status, StatusCode::NO_CONTENT);

    let finished = client.callback(&mut browser, &callback).await;
    assert!(finished.status.is_client_error(), "{}", finished.body);
    assert!(finished.json().get("redirect").is_none());
    let answer = agent.request("tools/list", json!({})).await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
    let (status, body) = client.refresh(&tokens.refresh_token).await;
    assert_eq!(
        (status, &body["error"]),
        (StatusCode::UNAUTHORIZED, &"invalid_client".into()),
        "it registers anew"
    );
}

#[tokio::test]
async fn nobody_else_manages_a_registration() {
    let stack = Stack::start().await;
    let server = stack.auth_server(Instance::Beta);
    let mine = Registration::new(&server).await;
    let other = Registration::new(&server).await;
    let (_, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    for token in [&other.token, &tokens.access_token, &"x".to_owned()] {
        for method in [Method::GET, Method::PUT, Method::DELETE] {
            let thief = Registration {
                url: mine.url.clone(),
                token: token.clone(),
                metadata: Value::Null,
            };
            let (status, body) = thief.ask(method, Some(&json!({}))).await;
            assert_eq!(
                (status, &body["error"]),
                (StatusCode::UNAUTHORIZED, &"invalid_token".into())
            );
        }
    }
    // A client that describes itself has no registration, and no address of one.
    let described = format!(
        "{}/https%3A%2F%2Fclaude.ai%2Foauth%2Fx",
        server.endpoint("register")
    );
    let answer = http_client()
        .delete(described)
        .bearer_auth(&mine.token)
        .send()
        .await
        .expect("an answer");
    assert_eq!(answer.status(), StatusCode::UNAUTHORIZED);
    let (status, _) = mine.ask(Method::GET, None).await;
    assert_eq!(status, StatusCode::OK);
}
