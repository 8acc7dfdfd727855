//! What services of the operator learn about tokens (RFC 7662).

use std::fs;

use icgate_system::{Browser, Client, Consent, Era, Instance, Spawn, Stack, http_client};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};

/// SHA-256 of `correct horse`.
const SERVICES: &str =
    "# services\nbilling:4104d36f8da2c254349f85836793ebe029e0c957063a34c91c2e9203187b5631\n";

struct Operator {
    stack: Stack,
    _dir: tempfile::TempDir,
}

impl Operator {
    async fn start() -> Self {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let file = dir.path().join("services");
        fs::write(&file, SERVICES).expect("the file of services");
        let settings = format!(
            "oauth_introspection_clients_file = \"{}\"\n",
            file.display()
        );
        Self {
            stack: Stack::start_with(&settings).await,
            _dir: dir,
        }
    }

    async fn ask(&self, instance: Instance, secret: &str, token: &str) -> (StatusCode, Value) {
        let url = self.stack.auth_server(instance).endpoint("introspect");
        let answer = http_client()
            .post(url)
            .basic_auth("billing", Some(secret))
            .form(&[("token", token), ("token_type_hint", "access_token")])
            .send()
            .await
            .expect("an answer");
        assert_eq!(answer.headers()[header::CACHE_CONTROL], "no-store");
        (answer.status(), answer.json().await.expect("JSON"))
    }

    async fn told(&self, instance: Instance, token: &str) -> Value {
        let (status, body) = self.ask(instance, "correct horse", token).await;
        assert_eq!(status, StatusCode::OK, "{body}");
        body
    }
}

#[tokio::test]
async fn a_live_token_is_described_and_everything_else_is_inactive() {
    let operator = Operator::start().await;
    let stack = &operator.stack;
    let (client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let told = operator.told(Instance::Beta, &tokens.access_token).await;
    let base = stack.gateway.url();
    for (member, value) in [
        ("active", json!(true)),
        ("scope", json!(tokens.scope)),
        ("client_id", json!(client.client_id)),
        ("token_type", json!("Bearer")),
        ("iss", json!(base)),
        ("aud", json!(format!("{base}/mcp"))),
    ] {
        assert_eq!(told[member], value, "{told}");
    }
    let seconds = |member: &str| told[member].as_u64().expect("seconds");
    assert_eq!(seconds("exp") - seconds("iat"), tokens.expires_in);
    let user = told["sub"].as_str().expect("a user");
    assert!(!user.is_empty());
    let again = client.refreshed(&tokens.refresh_token).await;
    let next = operator.told(Instance::Beta, &again.access_token).await;
    assert_eq!(next["sub"], user, "the same person");

    let inactive = json!({ "active": false });
    for (instance, token) in [
        (Instance::Prod, again.access_token.as_str()),
        (Instance::Beta, again.refresh_token.as_str()),
        (
            Instance::Beta,
            "icg_at_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
        ),
        (Instance::Beta, "nonsense"),
    ] {
        assert_eq!(operator.told(instance, token).await, inactive, "{token}");
    }
    let form = [("token", again.refresh_token.as_str())];
    client.server.post("revoke", &form).await;
    let revoked = operator.told(Instance::Beta, &again.access_token).await;
    assert_eq!(revoked, inactive);
}

#[tokio::test]
async fn only_services_of_the_operator_may_ask() {
    let operator = Operator::start().await;
    let (_, tokens) = operator
        .stack
        .sign_in(Instance::Beta, &Consent::default())
        .await;
    for secret in ["", "wrong", "correct horse "] {
        let (status, body) = operator
            .ask(Instance::Beta, secret, &tokens.access_token)
            .await;
        assert_eq!(status, StatusCode::UNAUTHORIZED);
        assert_eq!(body["error"], "invalid_client", "{body}");
    }
    let url = operator
        .stack
        .auth_server(Instance::Beta)
        .endpoint("introspect");
    let bearer = http_client()
        .post(url)
        .bearer_auth(&tokens.access_token)
        .form(&[("token", &tokens.access_token)])
        .send()
        .await
        .expect("an answer");
    assert_eq!(bearer.status(), StatusCode::UNAUTHORIZED);
    let challenge = bearer.headers()[header::WWW_AUTHENTICATE].to_str();
    assert!(challenge.is_ok_and(|text| text.starts_with("Basic ")));
}

#[tokio::test]
async fn asking_about_a_token_does_not_use_it() {
    let operator = Operator::start().await;
    let stack = &operator.stack;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let code = client
        .authorize(&mut Browser::new(), &stack.devnet, &Consent::default())
        .await;
    let lost = client.redeem(&code).await;
    let told = operator.told(Instance::Beta, &lost.access_token).await;
    assert_eq!(told["active"], true);
    // Had the token been used, the code would be a thief's now and the connection over.
    let again = client.redeem(&code).await;
    assert_eq!(again.access_token, lost.access_token);
    stack
        .mcp(Instance::Beta, Era::Modern, &again.access_token)
        .tools()
        .await;
}

#[tokio::test]
async fn the_endpoint_is_there_only_where_somebody_may_ask() {
    let metadata = async |stack: &Stack| {
        let url = format!(
            "{}/.well-known/oauth-authorization-server",
            stack.gateway.url()
        );
        let answer = http_client().get(url).send().await.expect("an answer");
        answer.json::<Value>().await.expect("JSON")
    };
    let operator = Operator::start().await;
    let found = metadata(&operator.stack).await;
    assert_eq!(
        found["introspection_endpoint"],
        format!("{}/oauth/introspect", operator.stack.gateway.url())
    );
    assert_eq!(
        found["introspection_endpoint_auth_methods_supported"],
        json!(["client_secret_basic"])
    );
    let stack = Stack::start().await;
    let found = metadata(&stack).await;
    assert!(found.get("introspection_endpoint").is_none(), "{found}");
    let server = stack.auth_server(Instance::Beta);
    let (status, _) = server.post("introspect", &[("token", "x")]).await;
    assert_eq!(status, StatusCode::NOT_FOUND);
}

#[tokio::test]
async fn a_wrong_file_of_services_is_a_mistake_in_the_configuration() {
    let stack = Stack::start().await;
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = |name: &str| dir.path().join(name).display().to_string();
    fs::write(path("services"), "billing:the secret itself\n").expect("the file of services");
    let (status, log) = Spawn::new("icgate", dir.path())
        .arg("serve")
        .env("ICGATE_STATE_DIR", path("state"))
        .env("OAUTH_INTROSPECTION_CLIENTS_FILE", path("services"))
        .env("ICGATE_SIGNER", stack.signer.url())
        .env("ICGATE_SIGNER_CA", stack.signer.link_file("ca.pem"))
        .env("ICGATE_SIGNER_CERT", stack.signer.link_file("gateway.pem"))
        .env("ICGATE_SIGNER_KEY", stack.signer.link_file("gateway.key"))
        .run();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("OAUTH_INTROSPECTION_CLIENTS_FILE"), "{log}");
    assert!(log.contains("line 1"), "{log}");
    assert!(!log.contains("the secret itself"), "{log}");
}
