//! The attacker starts a sign-in and lets the victim finish it, or the other way round.

use icgate_system::{Browser, Client, Consent, Instance, Page, Stack};
use reqwest::StatusCode;

fn assert_nothing_given(page: &Page) {
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.body);
    assert!(!page.body.contains("code="), "{}", page.body);
}

#[tokio::test]
async fn fixation_the_victims_browser_with_cookies_of_its_own_completes_no_foreign_sign_in() {
    let stack = Stack::start().await;
    let client = Client::register(stack.auth_server(Instance::Beta)).await;
    let (mut attacker, mut victim) = (Browser::new(), Browser::new());
    let theirs = client.consent_page(&mut attacker).await;
    // The victim has a sign-in of its own on its way: its cookie is a good one, for another sign-in.
    let own = client.consent_page(&mut victim).await;
    let consent = Consent::default();
    let lured = stack.devnet.consent("ii", theirs.as_str(), &consent).await;
    assert_nothing_given(&client.callback(&mut victim, &lured).await);
    // The attacker holds the right cookie and never saw the consent.
    let forged = lured.replace("delegation=", "delegation=x");
    assert_nothing_given(&client.callback(&mut attacker, &forged).await);
    // The victim's own sign-in is not harmed.
    let back = stack.devnet.consent("ii", own.as_str(), &consent).await;
    let page = client.callback(&mut victim, &back).await;
    assert_eq!(page.status, StatusCode::OK, "{}", page.body);
}

#[tokio::test]
async fn fixation_the_connect_cookie_of_one_instance_opens_nothing_at_the_other() {
    let stack = Stack::start().await;
    let beta = Client::register(stack.auth_server(Instance::Beta)).await;
    let prod = Client {
        server: stack.auth_server(Instance::Prod),
        ..beta.clone()
    };
    let mut browser = Browser::new();
    let link = beta.consent_page(&mut browser).await;
    let callback = stack
        .devnet
        .consent("ii", link.as_str(), &Consent::default())
        .await;
    let moved = callback.replace("/oauth/connect/callback", "/prod/oauth/connect/callback");
    assert_ne!(moved, callback);
    assert_nothing_given(&prod.callback(&mut browser, &moved).await);
}
