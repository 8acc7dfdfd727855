//! The browser session that a sign-in leaves, and what it opens.

use icgate_system::{Browser, Client, Consent, Era, Instance, Person, Stack};
use reqwest::{StatusCode, header};
use serde_json::json;

use crate::APP;

#[tokio::test]
async fn a_browser_connects_itself_and_sees_what_it_ends() {
    let stack = Stack::start().await;
    let (_, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let agent = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;
    let mut person = Person::new(&stack, Instance::Beta);
    let page = person.connections().await;
    assert!(page.body.contains("Connect this browser"), "{}", page.body);
    assert!(!page.body.contains("black-box test"), "{}", page.body);

    person
        .connect(&stack, &Consent::default(), &["black-box test"])
        .await;
    let page = person.connections().await;
    assert_eq!(page.headers[header::CACHE_CONTROL], "no-store");
    let policy = page.headers["content-security-policy"].to_str();
    let policy = policy.expect("a policy");
    for rule in [
        "default-src 'none'",
        "frame-ancestors 'none'",
        "form-action 'self'",
    ] {
        assert!(policy.contains(rule), "{policy}");
    }
    assert!(!policy.contains("script-src"), "{policy}");
    for text in [
        "black-box test",
        "This browser",
        "Actions and questions",
        "read, act",
    ] {
        assert!(page.body.contains(text), "{text}: {}", page.body);
    }
    agent.principal(APP, None).await;
    let id = connection_of(&page.body, "black-box test");
    person.end(&id).await;
    let answer = agent
        .call_raw("get_principal", json!({ "domain": APP }))
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
    let page = person.connections().await;
    assert!(!page.body.contains("black-box test"), "{}", page.body);

    let out = person
        .browser
        .submit_with(&page, ("step", "sign_out"), &[])
        .await;
    assert_eq!(out.redirect(), person.page);
    let page = person.connections().await;
    assert!(page.body.contains("Connect this browser"), "{}", page.body);
}

/// The id in the card of this name.
fn connection_of(html: &str, name: &str) -> String {
    let (_, card) = html
        .split_once(&format!("<h2 class=\"name\">{name}"))
        .expect("a card");
    let (_, value) = card
        .split_once("name=\"connection\" value=\"")
        .expect("its id");
    value.split('"').next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_session_survives_kill_and_opens_nothing_elsewhere() {
    let mut stack = Stack::start().await;
    let mut person = Person::new(&stack, Instance::Beta);
    person.connect(&stack, &Consent::default(), &[]).await;
    stack.gateway.kill();
    stack.signer.kill();
    stack.signer.restart().await;
    stack.gateway.restart().await;
    let page = person.connections().await;
    assert!(page.body.contains("This browser"), "{}", page.body);

    // Another browser, the other instance, and another way to present it.
    let mut other = Browser::new();
    let page = other.get(&person.page).await;
    assert!(page.body.contains("Connect this browser"), "{}", page.body);
    let session = person.browser.cookie("icg_session").expect("a session");
    assert!(session.starts_with("icg_bs_"), "{session}");
    let prod = Person::new(&stack, Instance::Prod).page;
    for name in ["icg_session", "icg_session_prod"] {
        let mut thief = Browser::new();
        thief.keep_cookie(&prod, &format!("{name}={session}; Path=/"));
        let page = thief.get(&prod).await;
        assert!(page.body.contains("Connect this browser"), "{}", page.body);
    }
    let agent = stack.mcp(Instance::Beta, Era::Modern, &session);
    let answer = agent
        .call_raw("get_principal", json!({ "domain": APP }))
        .await;
    assert_eq!(answer.status, StatusCode::UNAUTHORIZED, "{}", answer.text);
}

#[tokio::test]
async fn a_client_that_was_approved_goes_straight_to_internet_identity() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let mut browser = Browser::new();
    client.consent_page(&mut browser).await;
    let url = client.authorization().url;
    let link = browser.get(&url).await.redirect();
    let ii = stack.devnet.ii_url();
    assert!(link.as_str().starts_with(ii), "{link}");
    let callback = stack
        .devnet
        .consent("ii", link.as_str(), &Consent::default())
        .await;
    let page = client.callback(&mut browser, &callback).await;
    let redirect = page.json()["redirect"]
        .as_str()
        .expect("an address")
        .parse();
    let code = &client.returned(&redirect.expect("a URL"))["code"];
    client.redeem(code).await;

    let mut asked = url.clone();
    asked.query_pairs_mut().append_pair("prompt", "consent");
    for (browser, url) in [(&mut browser, &asked), (&mut Browser::new(), &url)] {
        let page = browser.get(url).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert!(page.body.contains("Continue to Internet Identity"));
    }
}
