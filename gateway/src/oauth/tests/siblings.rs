//! The question about the user's other connections, browser sessions and what they open.

use http::{StatusCode, header};
use icgate_proto::{Reason, v1};
use serde_json::Value;
use url::{Url, form_urlencoded::Serializer};

use super::house::{Answer, Browser, House, ORIGIN, eventually, parameter};
use crate::{
    connection::{AccessLevel, ConnectionEnd},
    instance::InstanceName::{self, Beta, Prod},
};

/// A first client, a second one whose sign-in replaced the first one's grant, and the browser that is asked.
struct Asked {
    house: House,
    first: Value,
    first_client: String,
    browser: Browser,
    client_id: String,
    state: String,
    question: Url,
}

async fn asked() -> Asked {
    let house = House::open().await;
    let (first_client, first) = house.connected(Beta).await;
    let connection = house.present(Beta, &first["access_token"]).await.unwrap();
    house.signer.state().replaced = vec![connection.connection.as_str().to_owned()];
    let client_id = house.register().await;
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client_id, &["ic:read", "ic:write"])
        .await;
    let answer = house.redeem(Beta, &browser, &away.state, "good").await;
    browser.take(&answer);
    let question: Url = answer.json()["redirect"].as_str().unwrap().parse().unwrap();
    assert_eq!(question.path(), "/oauth/connect/others");
    Asked {
        house,
        first,
        first_client,
        browser,
        client_id,
        state: away.state,
        question,
    }
}

const FIRST: &str = "connection-0";

#[tokio::test]
async fn what_is_ticked_goes_on_at_the_lower_level() {
    let mut it = asked().await;
    let house = &it.house;
    let page = house.visit(&it.browser, &it.question).await;
    assert_eq!(page.status, StatusCode::OK, "{page:?}");
    assert!(!page.body.contains("<b>client"), "escaped: {}", page.body);
    assert!(
        !page.body.contains(" checked"),
        "nothing is ticked for the person"
    );
    // Asked again, the callback page hears the same, and no code is made meanwhile.
    let again = house.redeem(Beta, &it.browser, &it.state, "good").await;
    assert_eq!(again.json()["redirect"], it.question.as_str());
    // The signer's word that a connection has ended does not end one that may yet go on.
    let first = house
        .present(Beta, &it.first["access_token"])
        .await
        .unwrap();
    house.oauth.ended(Beta, &first.connection).await;

    house.signer.state().access_level = v1::AccessLevel::Queries;
    let answer = house.say(Beta, &mut it.browser, &page, &[FIRST]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    let code = parameter(&answer.link(), "code");
    let second = house.exchange(Beta, &it.client_id, &code).await.json();
    house.present(Beta, &second["access_token"]).await.unwrap();
    let first = house
        .present(Beta, &it.first["access_token"])
        .await
        .unwrap();
    assert_eq!(
        (first.access_level, first.scopes.to_string().as_str()),
        (AccessLevel::Queries, "ic:read")
    );
    let refresh = it.first["refresh_token"].as_str().unwrap();
    let renewed = house.refresh(Beta, &it.first_client, refresh).await.json();
    assert_eq!(renewed["scope"], "ic:read");
}

#[tokio::test]
async fn what_is_not_ticked_ends_and_an_answer_is_given_once() {
    let mut it = asked().await;
    let house = &it.house;
    let page = house.visit(&it.browser, &it.question).await;
    let answer = house.say(Beta, &mut it.browser, &page, &[]).await;
    let code = parameter(&answer.link(), "code");
    house
        .present(Beta, &it.first["access_token"])
        .await
        .unwrap_err();
    eventually("closed", || house.signer.state().closed.contains(FIRST)).await;
    // The other answer comes too late; it leads to the same place.
    let again = house.say(Beta, &mut it.browser, &page, &[FIRST]).await;
    assert_eq!(parameter(&again.link(), "code"), code);
    assert_eq!(house.signer.calls("continue"), 0);
    house
        .present(Beta, &it.first["access_token"])
        .await
        .unwrap_err();
}

#[tokio::test]
async fn only_the_browser_that_began_is_asked_and_answers() {
    let mut it = asked().await;
    let house = &it.house;
    let page = house.visit(&it.browser, &it.question).await;
    let foreign = house.visit(&Browser::default(), &it.question).await;
    assert_eq!(foreign.status, StatusCode::BAD_REQUEST);
    assert!(foreign.body.contains("different browser"), "{foreign:?}");
    for name in ["", "AAAA", "%00"] {
        let mut url = it.question.clone();
        url.query_pairs_mut().clear().append_pair("sign_in", name);
        let unknown = house.visit(&it.browser, &url).await;
        assert_eq!(unknown.status, StatusCode::BAD_REQUEST, "{name}");
    }
    let form = |csrf: &str| {
        Serializer::new(String::new())
            .append_pair("sign_in", &page.field("sign_in"))
            .append_pair("csrf", csrf)
            .append_pair("go_on", FIRST)
            .finish()
    };
    let path = "/oauth/connect/others";
    let (good, csrf) = (it.browser.clone(), page.field("csrf"));
    for (browser, form, origin) in [
        (&Browser::default(), form(&csrf), ORIGIN),
        (&good, form("guessed"), ORIGIN),
        (&good, form(&csrf), "https://evil.example"),
    ] {
        let refused = house.post_as(browser, path, &form, origin).await;
        assert!(refused.status.is_client_error(), "{refused:?}");
    }
    assert_eq!(house.signer.calls("continue"), 0);
    // The other instance knows nothing of it.
    let other = format!("{ORIGIN}/prod{path}?{}", it.question.query().unwrap());
    let other = house.visit(&it.browser, &other.parse().unwrap()).await;
    assert_eq!(other.status, StatusCode::BAD_REQUEST);
    let answer = house.say(Beta, &mut it.browser, &page, &[FIRST]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
}

#[tokio::test]
async fn a_signer_that_is_away_costs_a_retry() {
    let mut it = asked().await;
    let house = &it.house;
    let page = house.visit(&it.browser, &it.question).await;
    house.signer.state().failing = Some(Reason::Overloaded);
    let later = house.say(Beta, &mut it.browser, &page, &[FIRST]).await;
    assert_eq!(later.status, StatusCode::SERVICE_UNAVAILABLE, "{later:?}");
    house.signer.state().failing = None;
    let answer = house.say(Beta, &mut it.browser, &page, &[FIRST]).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    house
        .present(Beta, &it.first["access_token"])
        .await
        .unwrap();
}

/// A browser with a session, through a sign-in of its own.
async fn browser(house: &House, name: InstanceName) -> Browser {
    let mut browser = Browser::default();
    let page = page_of(name);
    let left = house
        .post_as(&browser, page.path(), "step=sign_in", ORIGIN)
        .await;
    assert_eq!(left.status, StatusCode::SEE_OTHER, "{left:?}");
    browser.take(&left);
    let link = left.location();
    let fragment = link.fragment().unwrap();
    let (_, state) = url::form_urlencoded::parse(fragment.as_bytes())
        .find(|(name, _)| name == "state")
        .unwrap();
    let answer = house.redeem(name, &browser, &state, "good").await;
    assert_eq!(answer.json()["redirect"], page.as_str());
    browser.take(&answer);
    browser
}

fn page_of(name: InstanceName) -> Url {
    format!("{ORIGIN}{}/connections", name.prefix())
        .parse()
        .unwrap()
}

async fn act(
    house: &House,
    browser: &mut Browser,
    page: &Answer,
    fields: &[(&str, &str)],
) -> Answer {
    let form = Serializer::new(String::new())
        .append_pair("csrf", &page.field("csrf"))
        .extend_pairs(fields)
        .finish();
    let answer = house.post_as(browser, "/connections", &form, ORIGIN).await;
    browser.take(&answer);
    answer
}

#[tokio::test]
async fn a_sign_in_leaves_a_session_that_shows_and_ends_connections() {
    let house = House::open().await;
    let client_id = house.register().await;
    let mut browser = Browser::default();
    let away = house
        .leave(Beta, &mut browser, &client_id, &["ic:read"])
        .await;
    let answer = house.redeem(Beta, &browser, &away.state, "good").await;
    let set = answer.header(header::SET_COOKIE).to_owned();
    assert!(set.starts_with("icg_session=icg_bs_"), "{set}");
    assert!(set.contains("; HttpOnly; SameSite=Lax"), "{set}");
    browser.take(&answer);
    let page = house.visit(&browser, &page_of(Beta)).await;
    assert_eq!(page.header(header::CACHE_CONTROL), "no-store");
    assert_eq!(page.body.matches("This browser").count(), 1);
    assert!(page.body.contains("A &#60;b&#62;client"), "{}", page.body);

    let ended = act(
        &house,
        &mut browser,
        &page,
        &[("step", "end"), ("connection", FIRST)],
    )
    .await;
    assert_eq!(ended.status, StatusCode::SEE_OTHER);
    eventually("closed", || house.signer.state().closed.contains(FIRST)).await;
    let page = house.visit(&browser, &page_of(Beta)).await;
    assert!(!page.body.contains("client"), "{}", page.body);
    assert!(page.body.contains("This browser"), "the session lives on");

    let out = act(&house, &mut browser, &page, &[("step", "sign_out")]).await;
    assert!(out.header(header::SET_COOKIE).contains("Max-Age=0"));
    let page = house.visit(&browser, &page_of(Beta)).await;
    assert!(page.body.contains("Connect this browser"), "{}", page.body);
}

#[tokio::test]
async fn a_session_is_nothing_elsewhere_and_its_forms_are_its_own() {
    let house = House::open().await;
    let mut alice = browser(&house, Beta).await;
    let page = house.visit(&alice, &page_of(Beta)).await;
    assert!(page.body.contains("This browser"), "{}", page.body);
    // At the other instance, also under that instance's own name for it, and in the place of a token.
    let value = alice.header();
    let text = value.to_str().unwrap();
    let session = text.split("icg_session=").nth(1).unwrap();
    let session = session.split(';').next().unwrap();
    let mut moved = Browser::default();
    moved.put("icg_session_prod", session);
    for browser in [&alice, &moved] {
        let other = house.visit(browser, &page_of(Prod)).await;
        assert!(other.body.contains("Connect this browser"));
    }
    house
        .present(Beta, &Value::from(session))
        .await
        .unwrap_err();
    // Nobody else's form is taken, and no other method.
    let mut mallory = browser(&house, Beta).await;
    let theirs = house.visit(&mallory, &page_of(Beta)).await;
    assert_ne!(theirs.field("csrf"), page.field("csrf"));
    let own = [("step", "sign_out")];
    let refused = act(&house, &mut mallory, &page, &own).await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    let form = format!("csrf={}&step=sign_out", page.field("csrf"));
    let refused = house
        .post_as(&alice, "/connections", &form, "https://evil.example")
        .await;
    assert_eq!(refused.status, StatusCode::FORBIDDEN);
    // What is unknown or another user's ends nothing.
    let nothing = [("step", "end"), ("connection", "connection-99")];
    let answer = act(&house, &mut alice, &page, &nothing).await;
    assert_eq!(answer.status, StatusCode::SEE_OTHER);
    let page = house.visit(&alice, &page_of(Beta)).await;
    assert!(page.body.contains("This browser"));
}

fn key_of(page: &Answer) -> Value {
    let (_, rest) = page.body.split_once("id=\"key\">").expect("a key");
    rest.split_once('<').unwrap().0.into()
}

#[tokio::test]
async fn a_key_is_shown_once_rotated_by_name_and_revoked() {
    let house = House::open().await;
    let mut browser = browser(&house, Beta).await;
    let page = house.visit(&browser, &page_of(Beta)).await;
    let make = [
        ("step", "make_key"),
        ("name", "ci <script>"),
        ("scope", "ic:read"),
        ("days", "0"),
    ];
    let shown = act(&house, &mut browser, &page, &make).await;
    assert_eq!(shown.status, StatusCode::OK, "{shown:?}");
    let key = key_of(&shown);
    assert!(key.as_str().unwrap().starts_with("icg_key_"));
    for line in [
        "claude mcp add",
        "mcpServers",
        "code --add-mcp",
        "Authorization: Bearer",
    ] {
        assert!(shown.body.contains(line), "{line}");
    }
    assert!(!shown.body.contains("<script>"), "{}", shown.body);
    let authorized = house.present(Beta, &key).await.unwrap();
    assert_eq!(authorized.scopes.to_string(), "ic:read");
    assert_eq!(authorized.client_name.as_deref(), Some("ci <script>"));
    house.present(Prod, &key).await.unwrap_err();
    let page = house.visit(&browser, &page_of(Beta)).await;
    assert!(!page.body.contains(key.as_str().unwrap()));

    let rotated = key_of(&act(&house, &mut browser, &page, &make).await);
    house.present(Beta, &rotated).await.unwrap();
    house.present(Beta, &key).await.unwrap_err();
    let page = house.visit(&browser, &page_of(Beta)).await;
    assert_eq!(page.body.matches("ci &#60;script&#62;</h2>").count(), 1);
    let connection = house.present(Beta, &rotated).await.unwrap().connection;
    let end = [("step", "end"), ("connection", connection.as_str())];
    act(&house, &mut browser, &page, &end).await;
    house.present(Beta, &rotated).await.unwrap_err();

    // Without a session there is no key, and a nameless one is asked for again.
    let nameless = [("step", "make_key"), ("scope", "ic:read"), ("days", "0")];
    let problem = act(&house, &mut browser, &page, &nameless).await;
    assert!(problem.body.contains("Give the key a name"));
    let form = "step=make_key&name=a&scope=ic:read&days=0";
    let none = house
        .post_as(&Browser::default(), "/connections", form, ORIGIN)
        .await;
    assert_eq!(none.status, StatusCode::SEE_OTHER);
    assert_eq!(house.signer.calls("branch"), 2);
}

#[tokio::test]
async fn a_browser_that_approved_is_not_asked_again_for_the_same() {
    let house = House::open().await;
    let client_id = house.register().await;
    let mut browser = Browser::default();
    house
        .leave(Beta, &mut browser, &client_id, &["ic:read"])
        .await;
    let query = House::query(&client_id);
    let skipped = house.consent_page(Beta, &mut browser, &query).await;
    assert_eq!(skipped.status, StatusCode::SEE_OTHER, "{skipped:?}");
    assert!(
        skipped
            .location()
            .as_str()
            .starts_with("https://beta.id.example")
    );
    let begun = house.signer.calls("begin");
    let other = house.register().await;
    for (name, query, mut browser) in [
        (Beta, format!("{query}&prompt=consent"), browser.clone()),
        (Beta, House::query(&other), browser.clone()),
        (Prod, query.clone(), browser.clone()),
        (Beta, query.clone(), Browser::default()),
        (
            Beta,
            query.replace("127.0.0.1%3A4242", "localhost%3A4242"),
            browser.clone(),
        ),
    ] {
        let page = house.consent_page(name, &mut browser, &query).await;
        assert_ne!(page.status, StatusCode::SEE_OTHER, "{query}");
    }
    assert_eq!(house.signer.calls("begin"), begun);
}
