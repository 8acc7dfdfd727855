use std::collections::BTreeMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use reqwest::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use url::Url;

use crate::{Browser, Consent, Devnet, Instance, Page, http_client};

/// A redirect URI of a client on this machine; nobody listens there, the browser only shows the address.
pub const REDIRECT_URI: &str = "http://127.0.0.1:33999/callback";
/// RFC 7636 wants 43 to 128 characters.
pub(crate) const VERIFIER: &str = "test-verifier~0123456789-abcdefghijklmnopqrstuvwxyz";
const STATE: &str = "client state & more";

/// The authorization server of one instance.
#[derive(Debug, Clone)]
pub struct AuthServer {
    base: String,
    instance: Instance,
    pub(crate) http: reqwest::Client,
}

/// The address an OAuth client opens in the person's browser, and how to judge what comes back.
#[derive(Debug, Clone)]
pub struct Authorization {
    /// `…/oauth/authorize?…`
    pub url: Url,
}

/// What the token endpoint gave.
#[derive(Debug, Clone, Deserialize)]
pub struct Tokens {
    /// Bearer token of the MCP endpoint.
    pub access_token: String,
    /// For the next one.
    pub refresh_token: String,
    /// Always `Bearer`.
    pub token_type: String,
    /// Seconds.
    pub expires_in: u64,
    /// What the token may do.
    #[serde(default)]
    pub scope: String,
}

/// A registered OAuth client.
#[derive(Debug, Clone)]
pub struct Client {
    /// The server it is registered at.
    pub server: AuthServer,
    /// RFC 7591 client identifier.
    pub client_id: String,
    /// Where the browser brings the code.
    pub redirect_uri: String,
}

impl AuthServer {
    /// The authorization server of an instance behind `base`, an origin like `http://127.0.0.1:8000`.
    pub fn new(base: &str, instance: Instance) -> Self {
        Self {
            base: base.to_owned(),
            instance,
            http: http_client(),
        }
    }

    /// The instance it belongs to.
    pub fn instance(&self) -> Instance {
        self.instance
    }

    /// An endpoint's address: `authorize`, `token`, `register`, `revoke`.
    pub fn endpoint(&self, name: &str) -> Url {
        let text = format!("{}{}/oauth/{name}", self.base, self.instance.prefix());
        text.parse().expect("an http URL")
    }

    /// The one resource its tokens are for.
    pub fn resource(&self) -> String {
        format!("{}{}", self.base, self.instance.mcp_path())
    }

    /// Comes back from Internet Identity to the callback or finish page and does once what its script does.
    pub async fn callback(&self, browser: &mut Browser, callback: &str) -> Page {
        let callback: Url = callback.parse().expect("the callback as a URL");
        let page = browser.get(&callback).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let brought = callback.fragment().or(callback.query());
        let brought: BTreeMap<String, String> =
            url::form_urlencoded::parse(brought.unwrap_or_default().as_bytes())
                .into_owned()
                .collect();
        let body = match brought.get("delegation") {
            Some(delegation) => json!({ "state": brought["state"], "delegation": delegation }),
            None => json!({ "state": brought["id"], "finish": brought["fs"] }),
        };
        browser
            .post_json(&self.endpoint("connect/redeem"), &body)
            .await
    }

    /// Posts a form to one of the endpoints and gives status and body.
    pub async fn post(&self, endpoint: &str, form: &[(&str, &str)]) -> (StatusCode, Value) {
        let url = self.endpoint(endpoint);
        let answer = self.http.post(url.clone()).form(form).send().await;
        let answer = answer.unwrap_or_else(|error| panic!("{url}: {error}"));
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        (
            status,
            serde_json::from_str(&text).unwrap_or(Value::String(text)),
        )
    }
}

impl Client {
    /// Registers a public client (RFC 7591) that nobody's browser really comes back to.
    pub async fn register(server: AuthServer) -> Self {
        Self::register_at(server, REDIRECT_URI).await
    }

    /// No client at all, for what a browser does at the server by itself.
    pub fn at(server: AuthServer) -> Self {
        Self {
            server,
            client_id: String::new(),
            redirect_uri: String::new(),
        }
    }

    /// Registers a public client with this redirect URI.
    pub async fn register_at(server: AuthServer, redirect_uri: &str) -> Self {
        Self::register_as("black-box test", server, redirect_uri).await
    }

    /// Registers a public client that calls itself this.
    pub async fn register_as(name: &str, server: AuthServer, redirect_uri: &str) -> Self {
        let metadata = json!({
            "client_name": name,
            "redirect_uris": [redirect_uri],
            "token_endpoint_auth_method": "none",
            "grant_types": ["authorization_code", "refresh_token"],
            "response_types": ["code"],
        });
        let url = server.endpoint("register");
        let answer = server
            .http
            .post(url)
            .json(&metadata)
            .send()
            .await
            .expect("registration");
        let status = answer.status();
        let body: Value = answer.json().await.expect("registration answers JSON");
        assert_eq!(status, StatusCode::CREATED, "{body}");
        let client_id = body["client_id"].as_str().expect("a client_id").to_owned();
        Self {
            server,
            client_id,
            redirect_uri: redirect_uri.to_owned(),
        }
    }

    /// The authorization request (RFC 6749, 7636, 8707).
    pub fn authorization(&self) -> Authorization {
        let challenge = BASE64_URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        let mut url = self.server.endpoint("authorize");
        url.query_pairs_mut()
            .append_pair("response_type", "code")
            .append_pair("client_id", &self.client_id)
            .append_pair("redirect_uri", &self.redirect_uri)
            .append_pair("state", STATE)
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .append_pair("resource", &self.server.resource());
        Authorization { url }
    }

    /// Opens the authorization request and agrees on the consent page: gives the link to Internet Identity.
    pub async fn consent_page(&self, browser: &mut Browser) -> Url {
        let page = browser.get(&self.authorization().url).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        browser.submit(&page).await.redirect()
    }

    /// Comes back from Internet Identity to the page it names and does what that page's script does.
    pub async fn callback(&self, browser: &mut Browser, callback: &str) -> Page {
        self.server.callback(browser, callback).await
    }

    /// The whole way through the browser, with the given consent at Internet Identity.
    pub async fn redeemed(
        &self,
        browser: &mut Browser,
        devnet: &Devnet,
        consent: &Consent,
    ) -> Page {
        let link = self.consent_page(browser).await;
        let callback = devnet
            .consent(self.server.instance.ii(), link.as_str(), consent)
            .await;
        self.callback(browser, &callback).await
    }

    /// The same, to the authorization code; checks `state` and `iss` (RFC 9207) on the way. When the person has other
    /// connections, none of them goes on.
    pub async fn authorize(
        &self,
        browser: &mut Browser,
        devnet: &Devnet,
        consent: &Consent,
    ) -> String {
        let page = self.redeemed(browser, devnet, consent).await;
        self.code(browser, &page).await
    }

    /// The whole way to tokens of these scopes, in a browser of its own. Those that the consent page does not offer
    /// ticked are ticked by hand; when the person has other connections, none of them goes on.
    pub async fn sign_in(&self, devnet: &Devnet, consent: &Consent, scopes: &str) -> Tokens {
        let mut url = self.authorization().url;
        url.query_pairs_mut().append_pair("scope", scopes);
        let mut browser = Browser::new();
        let page = browser.get(&url).await;
        assert_eq!(page.status, StatusCode::OK, "{}", page.body);
        let boxes: Vec<_> = scopes.split(' ').map(|scope| ("scope", scope)).collect();
        let link = browser.tick(&page, &boxes).await.redirect();
        let ii = self.server.instance.ii();
        let callback = devnet.consent(ii, link.as_str(), consent).await;
        let page = self.callback(&mut browser, &callback).await;
        let code = self.code(&mut browser, &page).await;
        self.redeem(&code).await
    }

    async fn code(&self, browser: &mut Browser, redeemed: &Page) -> String {
        let redirect = match self.question(browser, redeemed).await {
            Some(question) => browser.submit(&question).await.link("Back to the app"),
            None => redirect(redeemed),
        };
        self.returned(&redirect)["code"].clone()
    }

    /// The page that asks which of the person's other connections go on, if the redeem led there.
    pub async fn question(&self, browser: &mut Browser, redeemed: &Page) -> Option<Page> {
        let redirect = redirect(redeemed);
        if redirect.path() != self.server.endpoint("connect/others").path() {
            return None;
        }
        let question = browser.get(&redirect).await;
        assert_eq!(question.status, StatusCode::OK, "{}", question.body);
        Some(question)
    }

    /// What the browser brings back to the client; checks the address, `state` and `iss` (RFC 9207).
    pub fn returned(&self, address: &Url) -> BTreeMap<String, String> {
        assert!(
            address.as_str().starts_with(&self.redirect_uri),
            "{address}"
        );
        let query: BTreeMap<String, String> = address.query_pairs().into_owned().collect();
        assert_eq!(query["state"], STATE);
        let issuer = format!("{}{}", self.server.base, self.server.instance.prefix());
        assert_eq!(query["iss"], issuer);
        query
    }

    /// The code exchange, whatever the answer is.
    pub async fn exchange(&self, code: &str) -> (StatusCode, Value) {
        let form = [
            ("grant_type", "authorization_code"),
            ("code", code),
            ("redirect_uri", &self.redirect_uri),
            ("client_id", self.client_id.as_str()),
            ("code_verifier", VERIFIER),
            ("resource", &self.server.resource()),
        ];
        self.server.post("token", &form).await
    }

    /// The code exchange, to tokens.
    pub async fn redeem(&self, code: &str) -> Tokens {
        tokens(self.exchange(code).await)
    }

    /// The refresh, whatever the answer is.
    pub async fn refresh(&self, refresh_token: &str) -> (StatusCode, Value) {
        let form = [
            ("grant_type", "refresh_token"),
            ("refresh_token", refresh_token),
            ("client_id", self.client_id.as_str()),
        ];
        self.server.post("token", &form).await
    }

    /// The refresh, to tokens.
    pub async fn refreshed(&self, refresh_token: &str) -> Tokens {
        tokens(self.refresh(refresh_token).await)
    }
}

/// Where a successful redeem leads.
fn redirect(redeemed: &Page) -> Url {
    assert_eq!(redeemed.status, StatusCode::OK, "{}", redeemed.body);
    let answer = redeemed.json();
    let redirect = answer["redirect"].as_str();
    let redirect = redirect.unwrap_or_else(|| panic!("{answer}"));
    redirect.parse().expect("an address")
}

pub(crate) fn tokens((status, body): (StatusCode, Value)) -> Tokens {
    assert_eq!(status, StatusCode::OK, "{body}");
    serde_json::from_value(body.clone()).unwrap_or_else(|error| panic!("{error}: {body}"))
}
