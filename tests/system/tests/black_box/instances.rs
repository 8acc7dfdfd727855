//! What the two instances choose for themselves, and what they share when the operator gives both the same Internet
//! Identity.

use icgate_system::{Browser, Call, Client, Consent, Device, Era, Handshake, Instance, Stack};
use reqwest::StatusCode;

use crate::APP;

#[tokio::test]
async fn each_instance_speaks_the_handshake_it_was_given() {
    for handshakes in [
        [Handshake::RegistrationDelegation, Handshake::KeyRequest],
        [Handshake::KeyRequest, Handshake::RegistrationDelegation],
    ] {
        let stack = Stack::start_by_each(handshakes).await;
        for (instance, handshake) in [Instance::Beta, Instance::Prod].into_iter().zip(handshakes) {
            let client = Client::register(stack.auth_server(instance)).await;
            let link = client.consent_page(&mut Browser::new()).await;
            let fragment = link.fragment().unwrap_or_default();
            assert_eq!(
                fragment.contains("registration_key="),
                handshake == Handshake::RegistrationDelegation,
                "{instance:?} {handshake:?}: {link}"
            );
            let (_client, tokens) = stack.sign_in(instance, &Consent::default()).await;
            let agent = stack.mcp(instance, Era::Modern, &tokens.access_token);
            agent.principal(APP, None).await;
        }
    }
}

#[tokio::test]
async fn with_one_internet_identity_the_person_is_told_and_the_other_address_ends_in_words() {
    const ENDS: &str = "what is connected at this server's other address ends";
    let stack = Stack::start_with_one_identity().await;
    let (_client, tokens) = stack.sign_in(Instance::Beta, &Consent::default()).await;
    let beta = stack.mcp(Instance::Beta, Era::Modern, &tokens.access_token);
    beta.principal(APP, None).await;

    let device = Device::register(stack.auth_server(Instance::Prod)).await;
    let codes = device.codes(&[]).await;
    let page = device
        .enter(&mut Browser::new(), &codes, &codes.user_code)
        .await;
    assert!(page.body.contains(ENDS), "{}", page.body);

    let prod = Client::register(stack.auth_server(Instance::Prod)).await;
    let mut browser = Browser::new();
    let page = browser.get(&prod.authorization().url).await;
    assert!(page.body.contains(ENDS), "{}", page.body);
    let link = browser.submit(&page).await.redirect();
    let consent = Consent::default();
    let callback = stack.devnet.consent("ii", link.as_str(), &consent).await;
    let redeemed = prod.callback(&mut browser, &callback).await;
    assert_eq!(redeemed.status, StatusCode::OK, "{}", redeemed.body);
    let landed = redeemed.json()["redirect"].as_str().map(str::parse);
    let landed = landed.expect("an address").expect("a URL");
    let tokens = prod.redeem(&prod.returned(&landed)["code"]).await;
    let agent = stack.mcp(Instance::Prod, Era::Modern, &tokens.access_token);
    agent.principal(APP, None).await;

    // Where no delegation is at hand, so that Internet Identity is asked.
    let call = Call::query(stack.devnet.canister("app"), "whoami", "()").at("fresh.example");
    let sentence = beta.canister(call).await.fails_with("CONNECTION_ENDED");
    assert!(sentence.contains("Ask the user to reconnect"), "{sentence}");
}

#[tokio::test]
async fn with_two_internet_identities_nobody_is_told_of_another_address() {
    let stack = Stack::start().await;
    for instance in [Instance::Beta, Instance::Prod] {
        let client = Client::register(stack.auth_server(instance)).await;
        let page = Browser::new().get(&client.authorization().url).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        assert!(!page.body.contains("other address"), "{}", page.body);
    }
}
