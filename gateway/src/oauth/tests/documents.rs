//! Clients whose `client_id` is the address of a metadata document.

use http::{StatusCode, header};
use serde_json::{Value, json};
use url::form_urlencoded;

use super::house::{Answer, Browser, House, ORIGIN};
use crate::{
    fetch::tests::{Page, Site},
    instance::InstanceName::{Beta, Prod},
};

/// As published by clients on the person's computer: without a port, which is another one each time.
fn document(client_id: &str) -> Value {
    json!({
        "client_id": client_id,
        "client_name": "A <b>described</b> client",
        "redirect_uris": ["http://localhost/callback", "http://127.0.0.1/callback"],
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "token_endpoint_auth_method": "none",
    })
}

/// A site with a good document, and that document's address.
async fn described() -> (Site, String) {
    let site = Site::start().await;
    let client_id = site.url("/client.json");
    let page = Page::json(&document(&client_id).to_string());
    site.put("/client.json", page.header("cache-control", "max-age=300"));
    (site, client_id)
}

async fn ask(house: &House, client_id: &str, accept: &str) -> Answer {
    let request = http::Request::get(format!("/oauth/authorize?{}", House::query(client_id)))
        .header(header::HOST, "127.0.0.1:8000")
        .header(header::ACCEPT, accept);
    house.send(request.body(String::new()).unwrap()).await
}

#[tokio::test]
async fn a_described_client_signs_in_without_registration() {
    let mut house = House::open().await;
    let (site, client_id) = described().await;
    for instance in [Beta, Prod] {
        house.code(instance, &client_id, &["ic:read"]).await;
    }
    let code = house.code(Beta, &client_id, &["ic:read", "ic:write"]).await;
    assert_eq!(site.requests(), 1, "the document is fresh for five minutes");

    // From here on nobody needs the document, not even a process that never saw it.
    drop(site);
    house.restart().await;
    let answer = house.exchange(Beta, &client_id, &code).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let tokens = answer.json();
    let authorized = house.present(Beta, &tokens["access_token"]).await.unwrap();
    let name = authorized.client_name.as_deref();
    assert_eq!(name, Some("A <b>described</b> client"));
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let renewed = house.refresh(Beta, &client_id, refresh).await;
    assert_eq!(renewed.status, StatusCode::OK, "{renewed:?}");
    let renewed = renewed.json();
    house.present(Beta, &renewed["access_token"]).await.unwrap();
}

#[tokio::test]
async fn where_documents_are_off_none_is_fetched_and_an_address_is_nobody() {
    let mut house = House::open().await;
    let (site, client_id) = described().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let metadata = "/.well-known/oauth-authorization-server";
    let advertised =
        |answer: Answer| answer.json()["client_id_metadata_document_supported"].clone();
    assert_eq!(advertised(house.get(metadata).await), true);
    assert_eq!(site.requests(), 1);

    house
        .restart_with(|config| config.client_documents = false)
        .await;
    assert_eq!(advertised(house.get(metadata).await), Value::Null);
    let asked = ask(&house, &client_id, "application/json").await;
    let registered_nowhere = ask(&house, "icg_client_x", "application/json").await;
    assert_eq!(asked.status, StatusCode::BAD_REQUEST, "{asked:?}");
    assert_eq!(asked.body, registered_nowhere.body);
    let exchanged = house.exchange(Beta, &client_id, &code).await;
    assert_eq!(
        exchanged.status,
        StatusCode::OK,
        "who signed in before goes on: {exchanged:?}"
    );
    let device = [("client_id", client_id.as_str())];
    let device = house
        .post_form("/oauth/device_authorization", &device)
        .await;
    assert_eq!(device.error(), "invalid_client", "{device:?}");
    assert_eq!(site.requests(), 1, "nothing was fetched");
}

#[tokio::test]
async fn a_described_client_revokes_its_tokens() {
    let mut house = House::open().await;
    let (site, client_id) = described().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let tokens = house.exchange(Beta, &client_id, &code).await.json();
    drop(site);
    house.restart().await;
    let fields = [
        ("token", tokens["access_token"].as_str().unwrap()),
        ("client_id", client_id.as_str()),
    ];
    let revoked = house.post_form("/oauth/revoke", &fields).await;
    assert_eq!(revoked.status, StatusCode::OK, "{revoked:?}");
    house
        .present(Beta, &tokens["access_token"])
        .await
        .unwrap_err();
}

#[tokio::test]
async fn a_sign_in_ends_after_its_document_is_gone() {
    let mut house = House::open().await;
    let (site, client_id) = described().await;
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client_id, &["ic:read"])
        .await;
    drop(site);
    house.restart().await;
    let back = house.redeem(Beta, &browser, &away.state, "good").await;
    assert_eq!(back.status, StatusCode::OK, "{back:?}");
}

#[tokio::test]
async fn a_document_without_the_refresh_grant_gives_no_refresh_token() {
    let house = House::open().await;
    let site = Site::start().await;
    let client_id = site.url("/once.json");
    let mut once = document(&client_id);
    once["grant_types"] = json!(["authorization_code"]);
    site.put("/once.json", Page::json(&once.to_string()));
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let tokens = house.exchange(Beta, &client_id, &code).await.json();
    assert!(tokens["access_token"].is_string(), "{tokens}");
    assert!(tokens.get("refresh_token").is_none(), "{tokens}");
}

#[tokio::test]
async fn the_consent_page_shows_where_the_name_comes_from_and_what_it_is_as_text() {
    let house = House::open().await;
    let site = Site::start().await;
    let client_id = site.url("/long.json");
    let mut long = document(&client_id);
    long["client_name"] = format!("<script>alert(1)</script>{}", "x".repeat(500)).into();
    site.put("/long.json", Page::json(&long.to_string()));
    let page = ask(&house, &client_id, "text/html").await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(!page.body.contains("<script>alert"), "{}", page.body);
    assert!(!page.body.contains(&"x".repeat(100)), "{}", page.body);
    assert!(
        page.body
            .contains("<dt>Described by</dt><dd>127.0.0.1</dd>")
    );
    assert!(
        page.body
            .contains("<dt>Sends you back to</dt><dd>127.0.0.1</dd>")
    );
    assert!(page.body.contains("an app on this computer"));

    let registered = ask(&house, &house.register().await, "text/html").await;
    assert!(!registered.body.contains("Described by"));
}

#[tokio::test]
async fn documents_that_break_a_rule_are_refused_here_and_never_by_redirect() {
    let house = House::open().await;
    let site = Site::start().await;
    let with = |name: &str, value: Value| {
        let mut broken = document(&site.url(&format!("/{name}")));
        broken[name] = value;
        Page::json(&broken.to_string())
    };
    let good = |path: &str| document(&site.url(path)).to_string();
    let pages = [
        ("client_id", with("client_id", site.url("/other").into())),
        ("client_secret", with("client_secret", "s".into())),
        (
            "redirect_uris",
            with("redirect_uris", json!(["https://evil.example/cb"])),
        ),
        ("client_name", with("client_name", Value::Null)),
        ("html", Page::new("200 OK", "text/html", good("/html"))),
        (
            "large",
            Page::json(&format!("{}{}", good("/large"), " ".repeat(8 * 1024))),
        ),
        (
            "away",
            Page::new("302 Found", "application/json", good("/away"))
                .header("location", "/client.json"),
        ),
        (
            "gone",
            Page::new("404 Not Found", "application/json", good("/gone")),
        ),
        (
            "latin",
            Page::new("200 OK", "application/json", b"{\"client_id\":\"\xe9\"}"),
        ),
    ];
    for (name, page) in pages {
        let path = format!("/{name}");
        site.put(&path, page);
        let answer = ask(&house, &site.url(&path), "*/*").await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{name}: {answer:?}");
        assert_eq!(answer.error(), "invalid_client", "{name}");
        assert_eq!(answer.header(header::LOCATION), "", "{name}");
        let page = ask(&house, &site.url(&path), "text/html").await;
        assert_eq!(page.status, StatusCode::BAD_REQUEST, "{name}");
        assert!(
            page.body.contains("metadata document"),
            "{name}: {}",
            page.body
        );
    }
    assert_eq!(site.requests(), 9, "what is bad stays bad for a minute");
}

#[tokio::test]
async fn addresses_inside_the_network_are_refused_unasked() {
    let house = House::open().await;
    for client_id in [
        "http://10.0.0.1/client.json",
        "http://169.254.169.254/latest/meta-data",
        "http://192.168.1.1:8080/client.json",
        "http://[fd00::1]/client.json",
        "http://[64:ff9b::a00:1]/client.json",
        "https://[::ffff:10.0.0.1]/client.json",
        "http://0.0.0.0/client.json",
    ] {
        let answer = ask(&house, client_id, "*/*").await;
        // Not every spelling is a canonical address; none is ever fetched.
        assert_eq!(
            answer.status,
            StatusCode::BAD_REQUEST,
            "{client_id}: {answer:?}"
        );
        assert_eq!(answer.error(), "invalid_client", "{client_id}");
    }
}

#[tokio::test]
async fn a_site_that_is_down_costs_a_retry() {
    let house = House::open().await;
    let (site, client_id) = described().await;
    site.put(
        "/client.json",
        Page::new("503 Later", "application/json", "{}"),
    );
    let later = ask(&house, &client_id, "*/*").await;
    assert_eq!(later.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(later.error(), "temporarily_unavailable");
    assert!(later.headers.contains_key(header::RETRY_AFTER));
    let page = ask(&house, &client_id, "text/html").await;
    assert_eq!(page.status, StatusCode::SERVICE_UNAVAILABLE);
    assert!(page.body.contains("try again"), "{}", page.body);

    let good = Page::json(&document(&client_id).to_string());
    site.put("/client.json", good);
    let page = ask(&house, &client_id, "text/html").await;
    assert_eq!(page.status, StatusCode::OK);
}

#[tokio::test]
async fn a_redirect_that_the_document_does_not_list_gets_nothing() {
    let house = House::open().await;
    let (_site, client_id) = described().await;
    let listed = form_urlencoded::byte_serialize(b"http://127.0.0.1:4242/callback");
    let listed = listed.collect::<String>();
    for other in [
        "http://127.0.0.1:4242/other",
        "https://claude.ai/api/mcp/auth_callback",
    ] {
        let other: String = form_urlencoded::byte_serialize(other.as_bytes()).collect();
        let query = House::query(&client_id).replace(&listed, &other);
        assert!(query.contains(&other));
        let answer = house.get(&format!("/oauth/authorize?{query}")).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{answer:?}");
        assert_eq!(answer.header(header::LOCATION), "");
    }
}

#[tokio::test]
async fn a_described_clients_code_is_nobody_elses() {
    let house = House::open().await;
    let (_site, client_id) = described().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    for other in [
        client_id.replace("127.0.0.1", "localhost"),
        format!("{client_id}?"),
        "https://claude.ai/oauth/claude-code-client-metadata".to_owned(),
        house.register().await,
    ] {
        let refused = house.exchange(Beta, &other, &code).await;
        assert_eq!(refused.error(), "invalid_grant", "{other}: {refused:?}");
    }
    let refused = house.exchange(Beta, "https://evil.example", &code).await;
    assert_eq!(
        refused.error(),
        "invalid_client",
        "not a document's address"
    );
    let refused = house.exchange(Prod, &client_id, &code).await;
    assert_eq!(refused.error(), "invalid_grant");
    let tokens = house.exchange(Beta, &client_id, &code).await;
    assert_eq!(tokens.status, StatusCode::OK, "{tokens:?}");
}

#[tokio::test]
async fn the_form_of_a_described_client_is_bound_like_any_other() {
    let house = House::open().await;
    let (_site, client_id) = described().await;
    let mut browser = Browser::default();
    let query = House::query(&client_id);
    let page = house.consent_page(Beta, &mut browser, &query).await;
    let mut elsewhere = Browser::default();
    let refused = house
        .consent(Beta, &mut elsewhere, &page, &["ic:read"], ORIGIN)
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let left = house
        .consent(Beta, &mut browser, &page, &["ic:read"], ORIGIN)
        .await;
    assert_eq!(left.status, StatusCode::SEE_OTHER);
}
