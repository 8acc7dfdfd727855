use http::{Extensions, HeaderMap, StatusCode, header};
use icgate_proto::{Reason, v1};
use serde_json::json;

use super::house::{Answer, Browser, House, ORIGIN, REDIRECT, eventually, parameter};
use crate::{
    connection::{AccessLevel, ConnectionEnd},
    instance::InstanceName::{Beta, Prod},
    oauth::credential::{Credential, Prefix},
    scope::{Scope, Scopes},
};

const ONLY: &str = "connection-0";

#[tokio::test]
async fn an_app_connects_calls_refreshes_and_disconnects() {
    let house = House::open().await;
    let client_id = house.register().await;
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client_id, &["ic:read", "ic:write"])
        .await;
    assert_eq!(
        away.link.origin().ascii_serialization(),
        "https://beta.id.example"
    );

    let back = house.redeem(Beta, &browser, &away.state, "good").await;
    let redirect: url::Url = back.json()["redirect"].as_str().unwrap().parse().unwrap();
    assert!(redirect.as_str().starts_with(REDIRECT));
    assert_eq!(parameter(&redirect, "state"), "the client's state");
    assert_eq!(parameter(&redirect, "iss"), ORIGIN);
    // Asked again, the callback page hears the same.
    let again = house.redeem(Beta, &browser, &away.state, "good").await;
    assert_eq!(again.body, back.body);
    assert_eq!(house.signer.calls("complete"), 1);

    let code = parameter(&redirect, "code");
    let answer = house.exchange(Beta, &client_id, &code).await;
    assert_eq!(answer.header(header::CACHE_CONTROL), "no-store");
    let tokens = answer.json();
    assert_eq!(tokens["scope"], "ic:read ic:write");
    assert_eq!(tokens["token_type"], "Bearer");
    assert_eq!(tokens["expires_in"], 3_600);

    let authorized = house.present(Beta, &tokens["access_token"]).await.unwrap();
    assert_eq!(authorized.connection.as_str(), ONLY);
    assert_eq!(authorized.client_name.as_deref(), Some("A <b>client</b>"));
    assert_eq!(authorized.access_level, AccessLevel::All);
    let access = tokens["access_token"].as_str().unwrap();
    let secret = Credential::parse(Prefix::Access, access).unwrap().secret();
    assert_eq!(authorized.bearer.secret(), secret);
    // The cookie's and the code's slots are gone, those of the two tokens stay.
    eventually("two slots", || house.signer.slots(ONLY) == 2).await;
    assert!(house.signer.state().connections[ONLY].contains_key(&secret.to_wire()));

    let refresh = tokens["refresh_token"].as_str().unwrap();
    let renewed = house.refresh(Beta, &client_id, refresh).await.json();
    assert_ne!(renewed["access_token"], tokens["access_token"]);
    house.present(Beta, &renewed["access_token"]).await.unwrap();
    // The access token before still runs out its hour.
    house.present(Beta, &tokens["access_token"]).await.unwrap();
    eventually("three slots", || house.signer.slots(ONLY) == 3).await;

    let renewed_refresh = renewed["refresh_token"].as_str().unwrap();
    let revoked = house
        .post_form("/oauth/revoke", &[("token", renewed_refresh)])
        .await;
    assert_eq!(revoked.status, StatusCode::OK);
    let refused = house
        .present(Beta, &renewed["access_token"])
        .await
        .unwrap_err();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    eventually("closed", || house.signer.state().closed.contains(ONLY)).await;
    let refused = house.refresh(Beta, &client_id, renewed_refresh).await;
    assert_eq!(refused.error(), "invalid_grant");
}

#[tokio::test]
async fn a_refresh_token_that_was_exchanged_already_revokes_what_came_of_it() {
    let house = House::open().await;
    let (client_id, tokens) = house.connected(Beta).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let renewed = house.refresh(Beta, &client_id, refresh).await.json();
    house.present(Beta, &renewed["access_token"]).await.unwrap();
    let revoked = house
        .post_form("/oauth/revoke", &[("token", refresh)])
        .await;
    assert_eq!(revoked.status, StatusCode::OK);
    house
        .present(Beta, &renewed["access_token"])
        .await
        .unwrap_err();
}

#[tokio::test]
async fn an_imported_client_signs_in_and_stays_connected_when_it_is_imported_again() {
    let mut house = House::open().await;
    let file = |name: &str| {
        json!({"clients": [{
            "client_id": "brought-along",
            "client_name": name,
            "redirect_uris": [REDIRECT],
        }]})
        .to_string()
    };
    house.restart_with_clients(&file("One")).await.unwrap();
    let code = house.code(Beta, "brought-along", &["ic:read"]).await;
    let tokens = house.exchange(Beta, "brought-along", &code).await.json();
    let authorized = house.present(Beta, &tokens["access_token"]).await.unwrap();
    assert_eq!(authorized.client_name.as_deref(), Some("One"));

    house.restart_with_clients(&file("Two")).await.unwrap();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let renewed = house.refresh(Beta, "brought-along", refresh).await.json();
    house.present(Beta, &renewed["access_token"]).await.unwrap();

    let error = house.restart_with_clients("[{}]").await.unwrap_err();
    assert!(
        error.to_string().contains("clients.json: entry 1"),
        "{error}"
    );
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_restart() {
    let mut house = House::open().await;
    let (client_id, tokens) = house.connected(Beta).await;
    let other = house.register().await;
    let mut browser = Browser::default();
    let away = house.leave(Beta, &mut browser, &other, &["ic:read"]).await;
    house.restart().await;
    house.present(Beta, &tokens["access_token"]).await.unwrap();
    let renewed = house
        .refresh(Beta, &client_id, tokens["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(renewed.status, StatusCode::OK);
    let back = house.redeem(Beta, &browser, &away.state, "good").await;
    assert_eq!(back.status, StatusCode::OK);
}

#[tokio::test]
async fn what_was_acknowledged_survives_a_kill() {
    let mut house = House::open().await;
    let (client_id, tokens) = house.connected(Beta).await;
    house.killed().await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let renewed = house.refresh(Beta, &client_id, refresh).await;
    assert_eq!(renewed.status, StatusCode::OK);
    house
        .present(Beta, &renewed.json()["access_token"])
        .await
        .unwrap();
}

#[tokio::test]
async fn what_the_signer_has_to_be_told_outlives_its_absence_and_ours() {
    let mut house = House::open().await;
    let (_, tokens) = house.connected(Beta).await;
    house.signer.state().failing = Some(Reason::Overloaded);
    let token = tokens["access_token"].as_str().unwrap();
    house.post_form("/oauth/revoke", &[("token", token)]).await;
    eventually("told in vain", || house.signer.calls("close") > 0).await;
    house.restart().await;
    house.signer.state().failing = None;
    eventually("closed", || house.signer.state().closed.contains(ONLY)).await;
}

#[tokio::test]
async fn the_signer_being_away_costs_a_retry_and_nothing_else() {
    let house = House::open().await;
    let client_id = house.register().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    house.signer.state().failing = Some(Reason::Overloaded);
    let later = house.exchange(Beta, &client_id, &code).await;
    assert_eq!(later.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(later.error(), "temporarily_unavailable");
    assert!(later.headers.contains_key(header::RETRY_AFTER));
    house.signer.state().failing = None;
    let tokens = house.exchange(Beta, &client_id, &code).await.json();

    house.signer.state().failing = Some(Reason::Overloaded);
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let later = house.refresh(Beta, &client_id, refresh).await;
    assert_eq!(later.status, StatusCode::SERVICE_UNAVAILABLE);
    house.signer.state().failing = None;
    assert_eq!(
        house.refresh(Beta, &client_id, refresh).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_lost_refresh_answer_is_given_again() {
    let house = House::open().await;
    let client_id = house.register().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let first = house.exchange(Beta, &client_id, &code).await.json();
    let refresh = first["refresh_token"].as_str().unwrap();
    let first = house.refresh(Beta, &client_id, refresh).await.json();
    let again = house.refresh(Beta, &client_id, refresh).await.json();
    assert_eq!(again["access_token"], first["access_token"]);
    assert_eq!(again["refresh_token"], first["refresh_token"]);
    house.present(Beta, &again["access_token"]).await.unwrap();
}

#[tokio::test]
async fn questions_only_leaves_read() {
    let house = House::open().await;
    house.signer.state().access_level = v1::AccessLevel::Queries;
    let client_id = house.register().await;
    let scopes = ["ic:read", "ic:write", "ic:manage"];
    let code = house.code(Beta, &client_id, &scopes).await;
    let tokens = house.exchange(Beta, &client_id, &code).await.json();
    assert_eq!(tokens["scope"], "ic:read");
    let authorized = house.present(Beta, &tokens["access_token"]).await.unwrap();
    assert_eq!(authorized.access_level, AccessLevel::Queries);
    assert_eq!(authorized.scopes, Scopes::from_iter([Scope::Read]));
    // Who asked for actions only gets nothing, and is told by redirect.
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client_id, &["ic:write"])
        .await;
    let back = house
        .redeem(Beta, &browser, &away.state, "good")
        .await
        .json();
    assert!(
        back["redirect"]
            .as_str()
            .unwrap()
            .contains("error=access_denied")
    );
}

#[tokio::test]
async fn tokens_end_with_the_grant() {
    let house = House::open().await;
    house.signer.state().grant_expires_at = crate::store::Moment::now().plus(50);
    let (_, tokens) = house.connected(Beta).await;
    assert!(tokens["expires_in"].as_u64().unwrap() <= 50);
}

#[tokio::test]
async fn what_the_signer_ended_asks_to_connect_again() {
    let house = House::open().await;
    let (client_id, tokens) = house.connected(Beta).await;
    let authorized = house.present(Beta, &tokens["access_token"]).await.unwrap();
    // The other instance cannot end it.
    house.oauth.ended(Prod, &authorized.connection).await;
    house.present(Beta, &tokens["access_token"]).await.unwrap();
    house.oauth.ended(Beta, &authorized.connection).await;
    let refused = house
        .present(Beta, &tokens["access_token"])
        .await
        .unwrap_err();
    assert_eq!(refused.status, StatusCode::UNAUTHORIZED);
    assert_eq!(refused.error(), "invalid_token");
    assert!(
        refused.json()["error_description"]
            .as_str()
            .unwrap()
            .contains("connect again")
    );
    let refused = house
        .refresh(Beta, &client_id, tokens["refresh_token"].as_str().unwrap())
        .await;
    assert_eq!(refused.error(), "invalid_grant");
}

#[tokio::test]
async fn a_sign_in_that_took_anothers_grant_ends_it() {
    let house = House::open().await;
    let (_, first) = house.connected(Beta).await;
    house.present(Beta, &first["access_token"]).await.unwrap();
    house.signer.state().replaced = vec![ONLY.to_owned()];
    let (_, second) = house.connected(Beta).await;
    house
        .present(Beta, &first["access_token"])
        .await
        .unwrap_err();
    house.present(Beta, &second["access_token"]).await.unwrap();
}

#[tokio::test]
async fn failures_at_identity_are_told_in_words_and_can_be_tried_again() {
    let house = House::open().await;
    let client_id = house.register().await;
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client_id, &["ic:read"])
        .await;
    for (chain, text) in [
        ("tampered", "not made by Internet Identity"),
        ("foreign", "not made by Internet Identity"),
        ("expired", "has expired"),
    ] {
        let answer = house.redeem(Beta, &browser, &away.state, chain).await;
        assert_eq!(answer.status, StatusCode::BAD_REQUEST);
        assert!(answer.error().contains(text), "{answer:?}");
    }
    house.signer.state().failing = Some(Reason::IdentityUnavailable);
    let answer = house.redeem(Beta, &browser, &away.state, "good").await;
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.json()["retry"], json!(true));
    house.signer.state().failing = None;
    let answer = house.redeem(Beta, &browser, &away.state, "good").await;
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test]
async fn the_challenge_leads_to_the_metadata() {
    let house = House::open().await;
    let host = |host: &'static str| HeaderMap::from_iter([(header::HOST, host.parse().unwrap())]);
    let response = house
        .oauth
        .authenticate(Prod, &host("localhost:8000"), &http::Extensions::new())
        .await
        .unwrap_err();
    assert_eq!(
        response.headers()[header::WWW_AUTHENTICATE],
        "Bearer resource_metadata=\"http://localhost:8000/.well-known/oauth-protected-resource/mcp-prod\", \
         scope=\"ic:read ic:write ic:manage\""
    );
    let mut headers = host("127.0.0.1:8000");
    headers.insert(
        header::AUTHORIZATION,
        "Bearer icg_at_nonsense".parse().unwrap(),
    );
    headers.insert(header::ACCEPT, "text/html,*/*".parse().unwrap());
    let response = house
        .oauth
        .authenticate(Beta, &headers, &http::Extensions::new())
        .await
        .unwrap_err();
    let challenge = response.headers()[header::WWW_AUTHENTICATE]
        .to_str()
        .unwrap();
    assert!(challenge.starts_with("Bearer error=\"invalid_token\", error_description="));
    assert_eq!(
        response.headers()[header::CONTENT_TYPE],
        "text/html; charset=utf-8"
    );
}

#[tokio::test]
async fn documents_and_pages_are_where_clients_look() {
    let house = House::open().await;
    for path in [
        "/",
        "/oauth/connect/callback",
        "/prod/oauth/connect/callback",
    ] {
        let page = house.get(path).await;
        assert_eq!(page.status, StatusCode::OK);
        let csp = page.header(header::CONTENT_SECURITY_POLICY);
        let nonce = csp
            .split_once("style-src 'nonce-")
            .unwrap()
            .1
            .split_once('\'')
            .unwrap()
            .0;
        assert!(
            page.body
                .contains(&format!("<style nonce=\"{}\"", nonce.replace('+', "&#43;")))
                || page.body.contains(&format!("<style nonce=\"{nonce}\"")),
            "{path}"
        );
        assert!(csp.contains("frame-ancestors 'none'") && csp.starts_with("default-src 'none'"));
        assert_eq!(page.header(header::X_FRAME_OPTIONS), "DENY");
        assert_eq!(page.header(header::REFERRER_POLICY), "no-referrer");
        assert_ne!(
            house
                .get(path)
                .await
                .header(header::CONTENT_SECURITY_POLICY),
            csp
        );
    }
    let callbacks = house.get("/.well-known/ii-auth-callbacks").await;
    assert_eq!(callbacks.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(callbacks.header(header::CONTENT_TYPE), "application/json");
    assert_eq!(
        callbacks.json(),
        json!({"callbacks": [
            house.instance(Beta).callback(),
            house.instance(Prod).callback(),
        ]})
    );
    let metadata = house
        .get("/prod/.well-known/openid-configuration")
        .await
        .json();
    assert_eq!(metadata["issuer"], format!("{ORIGIN}/prod"));
    let wrong = house
        .send(
            http::Request::put("/oauth/token")
                .body(String::new())
                .unwrap(),
        )
        .await;
    assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(wrong.header(header::ALLOW), "POST");
    let unknown = http::Request::get("/nowhere")
        .body(crate::body::empty())
        .unwrap();
    assert!(house.oauth.handle(unknown).await.is_none());
}

#[tokio::test]
async fn a_store_that_fails_is_told_in_the_form_that_whoever_asks_can_read() {
    use sqlx::Connection;

    let house = House::open().await;
    let file = house.directory.path().join("state/gateway.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let mut beside = sqlx::SqliteConnection::connect_with(&options)
        .await
        .unwrap();
    sqlx::query("ALTER TABLE credentials RENAME TO gone")
        .execute(&mut beside)
        .await
        .unwrap();
    let token = Credential::mint(Prefix::Access).text().to_string();
    for (accept, kind) in [
        ("text/html", "text/html; charset=utf-8"),
        ("application/json", "application/json"),
    ] {
        let headers = HeaderMap::from_iter([
            (
                header::AUTHORIZATION,
                format!("Bearer {token}").parse().unwrap(),
            ),
            (header::ACCEPT, accept.parse().unwrap()),
        ]);
        let nothing = Extensions::new();
        let gate = house.oauth.authenticate(Beta, &headers, &nothing);
        let answer = Answer::of(gate.await.unwrap_err()).await;
        assert_eq!(
            answer.status,
            StatusCode::INTERNAL_SERVER_ERROR,
            "{answer:?}"
        );
        assert_eq!(answer.header(header::CONTENT_TYPE), kind);
    }
}
