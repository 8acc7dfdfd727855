//! Sending the person's browser, or the code, to where the attacker wants it.

use icgate_system::{
    Browser, Client, Consent, Device, Handshake, Instance, Page, REDIRECT_URI, Stack, http_client,
};
use reqwest::{StatusCode, header};
use serde_json::{Value, json};
use url::Url;

const EVIL: &str = "https://evil.example/steal";

/// The request with one parameter more, or with another value where it has the parameter.
fn with(url: &Url, name: &str, value: &str) -> Url {
    let mut changed = url.clone();
    let others: Vec<(String, String)> = url
        .query_pairs()
        .filter(|(known, _)| known != name)
        .map(|(name, value)| (name.into_owned(), value.into_owned()))
        .collect();
    changed
        .query_pairs_mut()
        .clear()
        .extend_pairs(others)
        .append_pair(name, value);
    changed
}

#[tokio::test]
async fn open_redirect_in_every_parameter_leads_nowhere_else() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let good = client.authorization().url;
    for name in [
        "response_type",
        "client_id",
        "redirect_uri",
        "state",
        "code_challenge",
        "code_challenge_method",
        "resource",
        "scope",
        "response_mode",
        "prompt",
        "next",
        "return_to",
        "post_logout_redirect_uri",
        "request_uri",
        "iss",
    ] {
        let answer = http_client().get(with(&good, name, EVIL)).send().await;
        let answer = answer.expect("an answer");
        // A document of a client that nobody can find is a matter of the moment.
        assert_ne!(answer.status(), StatusCode::INTERNAL_SERVER_ERROR, "{name}");
        if let Some(location) = answer.headers().get(header::LOCATION) {
            let location: Url = location.to_str().expect("ASCII").parse().expect("a URL");
            assert_leads_nowhere_else(&stack, &location, name);
        }
    }
    // What only begins like the registered address is not it.
    for more in ["/more", "x", "?next=1"] {
        let longer = with(&good, "redirect_uri", &format!("{REDIRECT_URI}{more}"));
        let answer = http_client().get(longer).send().await.expect("an answer");
        assert_eq!(answer.status(), StatusCode::BAD_REQUEST, "{more}");
        assert!(!answer.headers().contains_key(header::LOCATION), "{more}");
    }
    // The same twice is no way around the check of the first or the second.
    let mut twice = good.clone();
    twice.query_pairs_mut().append_pair("redirect_uri", EVIL);
    let answer = http_client().get(twice).send().await.expect("an answer");
    assert_eq!(answer.status(), StatusCode::BAD_REQUEST);
    assert!(!answer.headers().contains_key(header::LOCATION));
}

/// To the client's own registered address, to a page here or to Internet Identity; an attacker's value may ride along
/// in the query only.
fn assert_leads_nowhere_else(stack: &Stack, location: &Url, what: &str) {
    let mut bare = location.clone();
    bare.set_query(None);
    bare.set_fragment(None);
    let origin = |text: &str| text.parse::<Url>().expect("a URL").origin();
    let own = [stack.gateway.url(), stack.devnet.ii_url()].map(origin);
    assert!(
        bare.as_str() == REDIRECT_URI || own.contains(&location.origin()),
        "{what}: {location}"
    );
}

/// The same of a whole answer; none of its links, forms and scripts has the attacker's address.
fn assert_page_leads_nowhere_else(stack: &Stack, page: &Page, what: &str) {
    assert!(
        !page.status.is_server_error(),
        "{what}: {}: {}",
        page.status,
        page.body
    );
    if page.status.is_redirection() {
        assert_leads_nowhere_else(stack, &page.redirect(), what);
    }
    assert!(!page.headers.contains_key(header::REFRESH), "{what}");
    assert!(!page.body.contains(EVIL), "{what}: {}", page.body);
}

#[tokio::test]
async fn open_redirect_in_every_parameter_of_the_pages_leads_nowhere_else() {
    // The finish page is of the earlier handshake.
    let stack = Stack::start_by(Handshake::KeyRequest).await;
    let server = stack.auth_server(Instance::Beta);
    for (endpoint, name) in [
        ("device", "user_code"),
        ("device", "next"),
        ("device/done", "next"),
        ("connect/others", "sign_in"),
        ("connect/others", "next"),
        ("connect/callback", "state"),
        ("finish", "id"),
        ("finish", "fs"),
        ("finish", "redirect"),
    ] {
        let what = format!("{endpoint} {name}");
        let url = with(&server.endpoint(endpoint), name, EVIL);
        let page = Browser::new().get(&url).await;
        assert_page_leads_nowhere_else(&stack, &page, &what);
    }
    // What the scripts of the callback and finish page send, and the answer they would follow.
    let redeem = server.endpoint("connect/redeem");
    let body = json!({ "state": EVIL, "finish": EVIL });
    let page = Browser::new().post_json(&redeem, &body).await;
    assert_page_leads_nowhere_else(&stack, &page, "redeem");
    assert!(page.json().get("redirect").is_none(), "{}", page.body);
}

#[tokio::test]
async fn open_redirect_in_a_form_leads_nowhere_else() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let mut browser = Browser::new();
    let good = client.authorization().url;
    let page = browser.get(&good).await;
    // The consent form carries the request it is about.
    for (name, value) in [("redirect_uri", EVIL), ("next", EVIL), ("iss", EVIL)] {
        let query = with(&good, name, value);
        for query in [query.query().expect("a query"), EVIL] {
            for step in ["allow", "deny"] {
                let filled = [("query", query), ("step", step)];
                let answer = browser.tick(&page, &filled).await;
                assert_page_leads_nowhere_else(&stack, &answer, &format!("{name} {step}"));
            }
        }
    }
    let device = Device::register(client.server.clone()).await;
    let codes = device.codes(&[]).await;
    let page = browser.get(&codes.verification_uri).await;
    let answer = browser.tick(&page, &[("user_code", EVIL)]).await;
    assert_page_leads_nowhere_else(&stack, &answer, "user_code");
    let page = device.enter(&mut browser, &codes, &codes.user_code).await;
    for name in ["user_code", "next", "redirect_uri"] {
        let answer = browser
            .tick(&page, &[(name, EVIL), ("step", "allow")])
            .await;
        assert_page_leads_nowhere_else(&stack, &answer, name);
    }
}

#[tokio::test]
async fn javascript_and_encoded_dot_redirects_are_neither_registered_nor_followed() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let register = client.server.endpoint("register");
    for uri in [
        "javascript:alert(document.cookie)",
        "JavaScript:alert(1)//127.0.0.1/callback",
        "java\tscript:alert(1)",
        "data:text/html,<script>alert(1)</script>",
        "vbscript:x",
        "file:///etc/passwd",
        "//evil.example/callback",
        "http://127.0.0.1@evil.example/callback",
        "http://127.0.0.1\\@evil.example/callback",
        "http://127.0.0.1.evil.example/callback",
        "https://claude.ai/api/mcp/auth_callback/..%2f..%2fevil",
        "https://claude.ai/api/mcp/auth_callback/%2e%2e/evil",
        "https://claude.ai/api/mcp/%2e%2e/mcp/auth_callback",
        "https://claude.ai/api/mcp/auth_callback/.%2e/evil",
        "https://claude.ai/api/mcp/auth_callback%2f..%2fevil",
    ] {
        let metadata = json!({ "redirect_uris": [uri], "token_endpoint_auth_method": "none" });
        let answer = http_client().post(register.clone()).json(&metadata).send();
        let answer = answer.await.expect("an answer");
        assert!(
            answer.status().is_client_error(),
            "{uri}: {}",
            answer.status()
        );
        let body: Value = answer.json().await.expect("JSON");
        assert!(body["client_id"].is_null(), "{uri}");

        let url = with(&client.authorization().url, "redirect_uri", uri);
        let answer = http_client().get(url).send().await.expect("an answer");
        assert!(
            answer.status().is_client_error(),
            "{uri}: {}",
            answer.status()
        );
        assert!(!answer.headers().contains_key(header::LOCATION), "{uri}");
    }
}

#[tokio::test]
async fn mix_up_every_answer_names_the_issuer_it_is_of() {
    let stack = Stack::start().await;
    for instance in [Instance::Beta, Instance::Prod] {
        let client = Client::register(stack.auth_server(instance)).await;
        let issuer = format!("{}{}", stack.gateway.url(), instance.prefix());
        let metadata = format!(
            "{}/.well-known/oauth-authorization-server{}",
            stack.gateway.url(),
            instance.prefix()
        );
        let answer = http_client().get(metadata).send().await.expect("an answer");
        let metadata: Value = answer.json().await.expect("JSON");
        assert_eq!(metadata["issuer"], issuer);
        let announced = &metadata["authorization_response_iss_parameter_supported"];
        assert_eq!(announced, true, "RFC 9207");

        // A client that talks to several servers is told who answers: with a code, a refusal and a mistake.
        let mut browser = Browser::new();
        let page = client
            .redeemed(&mut browser, &stack.devnet, &Consent::default())
            .await;
        let with_code = page.json()["redirect"]
            .as_str()
            .expect("a redirect")
            .parse();
        // The browser that has agreed once is not asked again.
        let mut other = Browser::new();
        let asked = other.get(&client.authorization().url).await;
        let denied = other.choose(&asked, "deny").await.link("Back to the app");
        let mistaken = with(&client.authorization().url, "response_type", "token");
        let mistaken = browser.get(&mistaken).await.redirect();
        for address in [with_code.expect("a URL"), denied, mistaken] {
            assert_eq!(client.returned(&address)["iss"], issuer, "{address}");
        }
    }
}
