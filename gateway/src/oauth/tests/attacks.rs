use std::collections::BTreeSet;

use futures_util::future::join_all;
use http::{HeaderMap, StatusCode, header};

use super::house::{Answer, Browser, House, ORIGIN, REDIRECT, eventually};
use crate::instance::InstanceName::{Beta, Prod};

const ONLY: &str = "connection-0";

/// The token answer of the one exchange that got one; the others were refused.
fn only_winner(answers: &[Answer]) -> serde_json::Value {
    let (won, lost): (Vec<_>, Vec<_>) = answers
        .iter()
        .partition(|answer| answer.status == StatusCode::OK);
    assert_eq!(won.len(), 1, "{won:?}");
    assert!(lost.iter().all(|answer| answer.error() == "invalid_grant"));
    won[0].json()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn code_replay_fifty_at_once_gives_exactly_one_pair() {
    let house = House::open().await;
    let client_id = house.register().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let answers = join_all((0..50).map(|_| house.exchange(Beta, &client_id, &code))).await;
    let winner = only_winner(&answers);
    // The losers are the winner's own client: they do not harm it.
    house.present(Beta, &winner["access_token"]).await.unwrap();
    let refresh = winner["refresh_token"].as_str().unwrap();
    let renewed = house.refresh(Beta, &client_id, refresh).await;
    assert_eq!(renewed.status, StatusCode::OK);
    // The signer was asked once for the code's slot, once for the pair's and once for the renewed pair's.
    assert_eq!(house.signer.calls("add_slots"), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn user_codes_guessed_at_once_are_counted_before_they_are_looked_up() {
    let house = House::open().await;
    let page = house.get("/oauth/device").await;
    let mut browser = Browser::default();
    browser.take(&page);
    let guess = async |letter: char| {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("csrf", &page.field("csrf"))
            .append_pair("user_code", &format!("BBBBBBBBB{letter}"))
            .finish();
        let answer = house.post_as(&browser, "/oauth/device", &form, ORIGIN);
        answer.await.status
    };
    let answers = join_all("BCDFGHJKLMNPQRSTVWXZ".chars().map(guess)).await;
    let looked_up = answers.iter().filter(|status| **status == StatusCode::OK);
    assert_eq!(looked_up.count(), 10, "{answers:?}");
    assert_eq!(guess('B').await, StatusCode::TOO_MANY_REQUESTS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_code_is_single_use_across_processes() {
    let house = House::open().await;
    let twin = house.twin().await;
    let client_id = house.register().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let answers = join_all((0..20).map(|turn| {
        let process = if turn % 2 == 0 { &house } else { &twin };
        process.exchange(Beta, &client_id, &code)
    }))
    .await;
    let winner = only_winner(&answers);
    // Slots of a pair that lost the race are given back, and the code's goes when the token is used.
    house.present(Beta, &winner["access_token"]).await.unwrap();
    eventually("two slots", || house.signer.slots(ONLY) == 2).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_code_gives_one_pair_across_processes() {
    let house = House::open().await;
    let twin = house.twin().await;
    let (client_id, codes) = house.device_codes().await;
    let code = codes["device_code"].as_str().unwrap();
    assert_eq!(
        twin.poll(&client_id, code).await.error(),
        "authorization_pending"
    );
    house.let_device_in(&codes, &["ic:read"]).await;
    let answers = join_all((0..20).map(|turn| {
        let process = if turn % 2 == 0 { &house } else { &twin };
        process.poll(&client_id, code)
    }))
    .await;
    let pairs: BTreeSet<_> = answers
        .iter()
        .map(|answer| {
            assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
            let pair = answer.json();
            (
                pair["access_token"].to_string(),
                pair["refresh_token"].to_string(),
            )
        })
        .collect();
    assert_eq!(pairs.len(), 1);
    let access = answers[0].json()["access_token"].clone();
    for process in [&house, &twin] {
        process.present(Beta, &access).await.unwrap();
    }
    // Later the code was stolen, whichever process is asked.
    a_minute_passes(&house).await;
    assert_eq!(twin.poll(&client_id, code).await.error(), "invalid_grant");
    assert_eq!(house.poll(&client_id, code).await.error(), "invalid_grant");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_fifty_refreshes_one_pair_comes_out() {
    let house = House::open().await;
    let (client_id, tokens) = house.connected(Beta).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let answers = join_all((0..50).map(|_| house.refresh(Beta, &client_id, refresh))).await;
    let pairs: BTreeSet<_> = answers
        .iter()
        .map(|answer| answer.json()["refresh_token"].to_string())
        .collect();
    assert_eq!(pairs.len(), 1);
}

/// What was exchanged so far was exchanged a minute earlier, so that the grace is over.
async fn a_minute_passes(house: &House) {
    let file = house.directory.path().join("state/gateway.db");
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(file);
    let store = sqlx::SqlitePool::connect_with(options).await.unwrap();
    sqlx::query("UPDATE credentials SET spent_at = spent_at - 60")
        .execute(&store)
        .await
        .unwrap();
    store.close().await;
}

#[tokio::test]
async fn a_copied_refresh_token_is_noticed_also_when_its_owner_was_idle() {
    let house = House::open().await;
    let (client_id, tokens) = house.connected(Beta).await;
    let copied = tokens["refresh_token"].as_str().unwrap();
    let owned = house.refresh(Beta, &client_id, copied).await.json();
    let owned = owned["refresh_token"].as_str().unwrap();
    a_minute_passes(&house).await;
    // The thief gets nothing that its owner does not have.
    let stolen = house.refresh(Beta, &client_id, copied).await.json();
    assert_eq!(stolen["refresh_token"], owned);
    let stolen = house.refresh(Beta, &client_id, owned).await.json();
    house.present(Beta, &stolen["access_token"]).await.unwrap();
    a_minute_passes(&house).await;
    let noticed = house.refresh(Beta, &client_id, owned).await;
    assert_eq!(noticed.error(), "invalid_grant", "{noticed:?}");
    house
        .present(Beta, &stolen["access_token"])
        .await
        .unwrap_err();
}

#[tokio::test]
async fn code_replay_by_a_stranger_revokes_what_it_issued() {
    let house = House::open().await;
    let client_id = house.register().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let tokens = house.exchange(Beta, &client_id, &code).await.json();
    house.present(Beta, &tokens["access_token"]).await.unwrap();
    let other = "another-verifier-that-is-long-enough-for-the-standard";
    let fields = [
        ("grant_type", "authorization_code"),
        ("client_id", client_id.as_str()),
        ("code", code.as_str()),
        ("code_verifier", other),
    ];
    assert_eq!(
        house.post_form("/oauth/token", &fields).await.error(),
        "invalid_grant"
    );
    house
        .present(Beta, &tokens["access_token"])
        .await
        .unwrap_err();
    eventually("closed", || house.signer.state().closed.contains(ONLY)).await;
}

#[tokio::test]
async fn code_replay_by_the_same_client_gets_nothing_and_harms_nothing() {
    let house = House::open().await;
    let client_id = house.register().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let tokens = house.exchange(Beta, &client_id, &code).await.json();
    house.present(Beta, &tokens["access_token"]).await.unwrap();
    let again = house.exchange(Beta, &client_id, &code).await;
    assert_eq!(again.error(), "invalid_grant");
    house.present(Beta, &tokens["access_token"]).await.unwrap();
}

#[tokio::test]
async fn a_stolen_code_without_verifier_neither_works_nor_harms() {
    let house = House::open().await;
    let client_id = house.register().await;
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    let thief = house.register().await;
    assert_eq!(
        house.exchange(Beta, &thief, &code).await.error(),
        "invalid_grant"
    );
    assert_eq!(
        house.exchange(Beta, &client_id, &code).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn nothing_of_one_instance_is_anything_to_the_other() {
    let house = House::open().await;
    let client_id = house.register().await;
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client_id, &["ic:read"])
        .await;
    let elsewhere = house.redeem(Prod, &browser, &away.state, "good").await;
    assert_eq!(elsewhere.status, StatusCode::BAD_REQUEST);
    let code = house.code(Beta, &client_id, &["ic:read"]).await;
    assert_eq!(
        house.exchange(Prod, &client_id, &code).await.error(),
        "invalid_grant"
    );
    let tokens = house.exchange(Beta, &client_id, &code).await.json();
    let refresh = tokens["refresh_token"].as_str().unwrap();
    assert_eq!(
        house.refresh(Prod, &client_id, refresh).await.error(),
        "invalid_grant"
    );
    assert!(house.present(Prod, &tokens["access_token"]).await.is_err());
    house.present(Beta, &tokens["access_token"]).await.unwrap();
    // Also when the token is remembered already.
    assert!(house.present(Prod, &tokens["access_token"]).await.is_err());
    house
        .post_form("/prod/oauth/revoke", &[("token", refresh)])
        .await;
    house.present(Beta, &tokens["access_token"]).await.unwrap();
}

#[tokio::test]
async fn fixation_with_a_foreign_browser_is_refused() {
    let house = House::open().await;
    let client_id = house.register().await;
    let mut attacker = Browser::default();
    let away = house
        .leave(Beta, &mut attacker, &client_id, &["ic:read"])
        .await;
    let victim = Browser::default();
    let answer = house.redeem(Beta, &victim, &away.state, "good").await;
    assert_eq!(answer.status, StatusCode::BAD_REQUEST);
    assert!(answer.error().contains("different browser"));
    // Another sign-in of the victim's own does not help either.
    let mut victim = Browser::default();
    house
        .leave(Beta, &mut victim, &client_id, &["ic:read"])
        .await;
    let answer = house.redeem(Beta, &victim, &away.state, "good").await;
    assert!(answer.error().contains("different browser"));
    // Nor does a cookie of the right name with a value of the victim's own.
    let mut victim = attacker.clone();
    victim.spoil();
    let answer = house.redeem(Beta, &victim, &away.state, "good").await;
    assert!(answer.error().contains("different browser"));
    assert_eq!(house.signer.calls("complete"), 0);
}

#[tokio::test]
async fn two_sign_ins_of_one_browser_do_not_disturb_each_other() {
    let house = House::open().await;
    let client_id = house.register().await;
    let mut browser = Browser::default();
    let first = house
        .leave(Beta, &mut browser, &client_id, &["ic:read"])
        .await;
    let second = house
        .leave(Beta, &mut browser, &client_id, &["ic:read"])
        .await;
    for away in [first, second] {
        let answer = house.redeem(Beta, &browser, &away.state, "good").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }
}

#[tokio::test]
async fn a_consent_cannot_be_forged() {
    let house = House::open().await;
    let client_id = house.register().await;
    let query = House::query(&client_id);
    let mut browser = Browser::default();
    let page = house.consent_page(Beta, &mut browser, &query).await;
    // From another site.
    let foreign = house
        .consent(
            Beta,
            &mut browser.clone(),
            &page,
            &["ic:read"],
            "https://evil.example",
        )
        .await;
    assert_eq!(foreign.status, StatusCode::FORBIDDEN);
    // In another browser.
    let other = house
        .consent(Beta, &mut Browser::default(), &page, &["ic:read"], ORIGIN)
        .await;
    assert_eq!(other.status, StatusCode::FORBIDDEN);
    // At the other instance.
    let elsewhere = house
        .consent(Prod, &mut browser.clone(), &page, &["ic:read"], ORIGIN)
        .await;
    assert_eq!(elsewhere.status, StatusCode::FORBIDDEN);
    // Without anything ticked the page comes again, and nothing began.
    let nothing = house
        .consent(Beta, &mut browser.clone(), &page, &["ic:other"], ORIGIN)
        .await;
    assert!(nothing.body.contains("Tick at least one"));
    assert_eq!(house.signer.calls("begin"), 0);
}

#[tokio::test]
async fn more_than_was_offered_cannot_be_ticked() {
    let house = House::open().await;
    let client_id = house.register().await;
    let query = format!("{}&scope=ic:read+ic:write", House::query(&client_id));
    let mut browser = Browser::default();
    let page = house.consent_page(Beta, &mut browser, &query).await;
    assert!(!page.body.contains("ic:manage"));
    let left = house
        .consent(Beta, &mut browser, &page, &["ic:read", "ic:manage"], ORIGIN)
        .await;
    let link = left.location();
    let state = link.fragment().unwrap().split("state=").nth(1).unwrap();
    let state = state.split('&').next().unwrap();
    let back = house.redeem(Beta, &browser, state, "good").await.json();
    let redirect: url::Url = back["redirect"].as_str().unwrap().parse().unwrap();
    let code = super::house::parameter(&redirect, "code");
    let tokens = house.exchange(Beta, &client_id, &code).await.json();
    assert_eq!(tokens["scope"], "ic:read");
}

#[tokio::test]
async fn pages_reflect_nothing_unescaped_and_pre_tick_no_management() {
    let house = House::open().await;
    let client_id = house.register().await;
    let query = format!("{}&x=%22%3E%3Cscript%3E", House::query(&client_id));
    let mut browser = Browser::default();
    let page = house.consent_page(Beta, &mut browser, &query).await;
    assert_eq!(page.status, StatusCode::OK);
    assert!(page.body.contains("A &#60;b&#62;client&#60;/b&#62;"));
    assert!(!page.body.contains("<b>client") && !page.body.contains("<script>"));
    assert!(page.body.contains("value=\"ic:write\" checked"));
    assert!(page.body.contains("value=\"ic:manage\">"));
    assert_eq!(page.header(header::REFERRER_POLICY), "same-origin");
    // Nobody denies in the person's place, and what they deny is told to the client.
    for (csrf, expected) in [
        ("guessed".to_owned(), StatusCode::FORBIDDEN),
        (page.field("csrf"), StatusCode::OK),
    ] {
        let form = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("query", &query)
            .append_pair("csrf", &csrf)
            .append_pair("step", "deny")
            .finish();
        let denied = house
            .post_as(&browser, "/oauth/authorize", &form, ORIGIN)
            .await;
        assert_eq!(denied.status, expected, "{denied:?}");
        assert_eq!(
            denied.body.contains("error=access_denied"),
            expected.is_success()
        );
        assert!(!denied.body.contains("<script>"), "{}", denied.body);
    }
    assert_eq!(house.signer.calls("begin"), 0);
}

#[tokio::test]
async fn errors_before_a_valid_redirect_stay_here_and_negotiate() {
    let house = House::open().await;
    let client_id = house.register().await;
    let evil = House::query(&client_id).replace("127.0.0.1%3A4242", "evil.example");
    let answer = house.get(&format!("/oauth/authorize?{evil}")).await;
    assert_eq!(answer.status, StatusCode::FORBIDDEN);
    assert_eq!(answer.error(), "invalid_client");
    let request = http::Request::get("/oauth/authorize?client_id=nobody")
        .header(header::ACCEPT, "text/html")
        .body(String::new());
    let page = house.send(request.unwrap()).await;
    assert_eq!(page.status, StatusCode::BAD_REQUEST);
    assert!(page.header(header::CONTENT_TYPE).starts_with("text/html"));
    let plain = House::query(&client_id).replace("S256", "plain");
    let answer = house.get(&format!("/oauth/authorize?{plain}")).await;
    assert!(answer.location().as_str().starts_with(REDIRECT));
    assert!(answer.location().query().unwrap().contains("iss="));
}

#[tokio::test]
async fn a_sign_in_begins_under_the_canonical_loopback_name() {
    let house = House::open().await;
    let client_id = house.register().await;
    let query = House::query(&client_id);
    let request = http::Request::get(format!("/oauth/authorize?{query}"))
        .header(header::HOST, "localhost:8000")
        .body(String::new());
    let answer = house.send(request.unwrap()).await;
    assert_eq!(
        answer.location().as_str(),
        format!("{ORIGIN}/oauth/authorize?{query}")
    );
}

#[tokio::test]
async fn the_token_endpoint_answers_bad_input_as_the_standard_says() {
    let house = House::open().await;
    let (client_id, tokens) = house.connected(Beta).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let unknown = house.refresh(Beta, "nobody", refresh).await;
    assert_eq!(unknown.status, StatusCode::UNAUTHORIZED);
    assert_eq!(unknown.error(), "invalid_client");
    let json = http::Request::post("/oauth/token")
        .header(header::CONTENT_TYPE, "application/json")
        .body("{}".to_owned());
    assert_eq!(house.send(json.unwrap()).await.error(), "invalid_request");
    let basic = http::Request::post("/oauth/token")
        .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
        .header(header::AUTHORIZATION, "Basic YTpi")
        .body(String::new());
    let basic = house.send(basic.unwrap()).await;
    assert_eq!(basic.status, StatusCode::UNAUTHORIZED);
    assert!(basic.headers.contains_key(header::WWW_AUTHENTICATE));
    let large = http::Request::post("/oauth/token").body("x".repeat(20_000));
    assert_eq!(
        house.send(large.unwrap()).await.status,
        StatusCode::PAYLOAD_TOO_LARGE
    );
    let unknown_token = house
        .post_form("/oauth/revoke", &[("token", "whatever")])
        .await;
    assert_eq!(unknown_token.status, StatusCode::OK);
    let not_yours = house.register().await;
    let fields = [("token", refresh), ("client_id", not_yours.as_str())];
    assert_eq!(
        house.post_form("/oauth/revoke", &fields).await.error(),
        "unauthorized_client"
    );
    assert_eq!(
        house.refresh(Beta, &client_id, refresh).await.status,
        StatusCode::OK
    );
}

#[tokio::test]
async fn a_token_works_in_one_authorization_header_only() {
    let house = House::open().await;
    let (_, tokens) = house.connected(Beta).await;
    let token = tokens["access_token"].as_str().unwrap();
    let mut headers = HeaderMap::new();
    for _ in 0..2 {
        headers.append(
            header::AUTHORIZATION,
            format!("Bearer {token}").parse().unwrap(),
        );
    }
    assert!(
        house
            .oauth
            .authenticate(Beta, &headers, &http::Extensions::new())
            .await
            .is_err()
    );
    // A refresh token is no access token.
    assert!(house.present(Beta, &tokens["refresh_token"]).await.is_err());
}

#[tokio::test]
async fn a_stolen_store_holds_no_credential() {
    let house = House::open().await;
    let (client_id, tokens) = house.connected(Beta).await;
    let refresh = tokens["refresh_token"].as_str().unwrap();
    let renewed = house.refresh(Beta, &client_id, refresh).await.json();
    let mut stored = Vec::new();
    for entry in std::fs::read_dir(house.directory.path().join("state")).unwrap() {
        let entry = entry.unwrap();
        let mode =
            std::os::unix::fs::PermissionsExt::mode(&entry.metadata().unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600, "{:?}", entry.file_name());
        stored.extend(std::fs::read(entry.path()).unwrap());
    }
    for answer in [&tokens, &renewed] {
        for name in ["access_token", "refresh_token"] {
            let text = answer[name].as_str().unwrap();
            let bytes = text.as_bytes();
            assert!(!stored.windows(bytes.len()).any(|window| window == bytes));
            let raw = base64::Engine::decode(
                &base64::engine::general_purpose::URL_SAFE_NO_PAD,
                &text["icg_at_".len()..],
            )
            .unwrap();
            assert!(!stored.windows(32).any(|window| window == raw));
        }
    }
}
