//! The attacker starts a sign-in and lets the victim finish it, or the other way round.

use icgate_system::{Browser, Client, Consent, Instance, Page, Stack};
use reqwest::StatusCode;
use url::{Url, form_urlencoded};

fn assert_nothing_given(page: &Page) {
    assert_eq!(page.status, StatusCode::BAD_REQUEST, "{}", page.body);
    assert!(!page.body.contains("code="), "{}", page.body);
}

/// The address back to a sign-in with what was signed for another one.
fn with_delegation_of(callback: &str, other: &str) -> String {
    let url = |text: &str| text.parse::<Url>().expect("an address");
    let brought = |url: &Url, name: &str| {
        let fragment = url.fragment().unwrap_or_default().as_bytes();
        let found = form_urlencoded::parse(fragment).find(|(known, _)| known == name);
        found.expect("a parameter").1.into_owned()
    };
    let (mut callback, other) = (url(callback), url(other));
    let fragment = form_urlencoded::Serializer::new(String::new())
        .append_pair("state", &brought(&callback, "state"))
        .append_pair("delegation", &brought(&other, "delegation"))
        .finish();
    callback.set_fragment(Some(&fragment));
    callback.into()
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
    // The attacker holds the right cookie and never saw the consent: neither an invention helps nor what Internet
    // Identity really signed for another sign-in, the victim's or one of the attacker's own.
    let forged = lured.replace("delegation=", "delegation=x");
    assert_nothing_given(&client.callback(&mut attacker, &forged).await);
    let back = stack.devnet.consent("ii", own.as_str(), &consent).await;
    let another = Client::register(stack.auth_server(Instance::Beta)).await;
    let another = another.consent_page(&mut attacker).await;
    let attackers = Consent {
        anchor: 10_001,
        ..Consent::default()
    };
    let another = stack.devnet.consent("ii", another.as_str(), &attackers);
    for genuine in [&back, &another.await] {
        let swapped = with_delegation_of(&lured, genuine);
        assert_ne!(swapped, lured);
        assert_nothing_given(&client.callback(&mut attacker, &swapped).await);
    }
    // The victim's own sign-in is not harmed.
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
