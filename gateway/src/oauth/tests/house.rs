//! A whole authorization server over the signer double, driven by plain requests as a client and a browser would.

use std::{sync::Arc, time::Duration};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tempfile::TempDir;
use url::{Url, form_urlencoded::Serializer};

use super::{instances, signer::Double};
use crate::{
    body,
    config::Config,
    connection::Authorized,
    instance::{Instance, InstanceName, PublicUrl},
    oauth::{Credential, Oauth, OauthError, Prefix},
};

pub(crate) const ORIGIN: &str = "http://127.0.0.1:8000";
pub(crate) const REDIRECT: &str = "http://127.0.0.1:4242/callback";
pub(crate) const DEVICE: &str = "urn:ietf:params:oauth:grant-type:device_code";
pub(crate) const VERIFIER: &str = "a-verifier-that-is-long-enough-for-the-standard~";

/// An answer, read in full.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(response: body::Response) -> Self {
        let (parts, body) = response.into_parts();
        let body = body::read(body, 1 << 20).await.unwrap();
        Self {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub(crate) fn error(&self) -> String {
        self.json()["error"].as_str().unwrap_or_default().to_owned()
    }

    pub(crate) fn header(&self, name: header::HeaderName) -> &str {
        self.headers
            .get(name)
            .map_or("", |value| value.to_str().unwrap())
    }

    pub(crate) fn location(&self) -> Url {
        self.header(header::LOCATION)
            .parse()
            .unwrap_or_else(|_| panic!("no redirect: {self:?}"))
    }

    /// Where the page's link leads.
    pub(crate) fn link(&self) -> Url {
        let (_, rest) = self.body.split_once("href=\"").expect("a link");
        let address = rest.split_once('"').unwrap().0;
        address.replace("&#38;", "&").parse().unwrap()
    }

    /// The value of a hidden field of a form.
    pub(crate) fn field(&self, name: &str) -> String {
        let start = format!("name=\"{name}\" value=\"");
        let value = self
            .body
            .split_once(&start)
            .unwrap_or_else(|| panic!("{name}: {self:?}"))
            .1;
        let value = value.split_once('"').unwrap().0;
        value.replace("&#38;", "&")
    }
}

/// Cookies by name, as a browser keeps them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Browser(std::collections::BTreeMap<String, String>);

impl Browser {
    pub(crate) fn take(&mut self, answer: &Answer) {
        for value in answer.headers.get_all(header::SET_COOKIE) {
            let pair = value.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.0.insert(name.to_owned(), value.to_owned());
        }
    }

    /// Keeps a cookie, as a thief's browser does.
    pub(crate) fn put(&mut self, name: &str, value: &str) {
        self.0.insert(name.to_owned(), value.to_owned());
    }

    /// Gives every connect cookie another value of the same form.
    pub(crate) fn spoil(&mut self) {
        for value in self
            .0
            .values_mut()
            .filter(|value| value.starts_with("icg_cc_"))
        {
            *value = Credential::mint(Prefix::ConnectCookie).text().to_string();
        }
    }

    pub(crate) fn header(&self) -> HeaderValue {
        let pairs: Vec<_> = self
            .0
            .iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        pairs.join("; ").parse().unwrap()
    }
}

/// What Internet Identity's page was opened with.
#[derive(Debug, Clone)]
pub(crate) struct AtIdentity {
    pub(crate) state: String,
    pub(crate) link: Url,
}

pub(crate) struct House {
    pub(crate) oauth: Oauth,
    pub(crate) signer: Double,
    pub(crate) directory: Arc<TempDir>,
    config: Config,
}

impl House {
    pub(crate) async fn open() -> Self {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let config = Config {
            public_url: PublicUrl::parse(ORIGIN).unwrap(),
            instances: instances(ORIGIN),
            state_dir: directory.path().join("state"),
            // Documents of clients lie on loopback here.
            tools: crate::mcp::Served::default(),
            dev: true,
            ..crate::edge::tests::config()
        };
        let signer = Double::start().await;
        let oauth = Oauth::open(&config, signer.client.clone()).await.unwrap();
        Self {
            oauth,
            signer,
            directory,
            config,
        }
    }

    /// What a process finds that starts on the files as they are right now, as after kill -9.
    pub(crate) async fn killed(&mut self) {
        let copy = self.directory.path().join("copy");
        std::fs::create_dir(&copy).unwrap();
        for entry in std::fs::read_dir(&self.config.state_dir).unwrap() {
            let entry = entry.unwrap();
            std::fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
        }
        self.config.state_dir = copy;
        self.restart().await;
    }

    /// A second process on the same files.
    pub(crate) async fn twin(&self) -> House {
        let oauth = Oauth::open(&self.config, self.signer.client.clone())
            .await
            .unwrap();
        House {
            oauth,
            signer: self.signer.clone(),
            directory: Arc::clone(&self.directory),
            config: self.config.clone(),
        }
    }

    /// The same state directory in a new process that is given a file of registrations.
    pub(crate) async fn restart_with_clients(&mut self, file: &str) -> Result<(), OauthError> {
        let path = self.directory.path().join("clients.json");
        std::fs::write(&path, file).unwrap();
        self.config.clients_file = Some(path);
        self.oauth = Oauth::open(&self.config, self.signer.client.clone()).await?;
        Ok(())
    }

    /// The same state directory in a new process with another configuration.
    pub(crate) async fn restart_with(&mut self, change: impl FnOnce(&mut Config)) {
        change(&mut self.config);
        self.restart().await;
    }

    /// The same state directory in a new process; the signer lives on.
    pub(crate) async fn restart(&mut self) {
        self.oauth = Oauth::open(&self.config, self.signer.client.clone())
            .await
            .unwrap();
    }

    pub(crate) fn instance(&self, name: InstanceName) -> &Instance {
        self.config.instance(name)
    }

    pub(crate) async fn send(&self, request: http::Request<String>) -> Answer {
        let request = request.map(body::full);
        Answer::of(self.oauth.handle(request).await.expect("a known address")).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        let request = http::Request::get(path).header(header::HOST, "127.0.0.1:8000");
        self.send(request.body(String::new()).unwrap()).await
    }

    pub(crate) async fn post_form(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let body = Serializer::new(String::new()).extend_pairs(fields).finish();
        let request = http::Request::post(path)
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(body);
        self.send(request.unwrap()).await
    }

    pub(crate) async fn register(&self) -> String {
        let metadata = json!({
            "client_name": "A <b>client</b>",
            "redirect_uris": ["http://127.0.0.1:1/callback"],
        });
        let request = http::Request::post("/oauth/register")
            .header(header::CONTENT_TYPE, "application/json")
            .body(metadata.to_string());
        let answer = self.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        answer.json()["client_id"].as_str().unwrap().to_owned()
    }

    pub(crate) fn query(client_id: &str) -> String {
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(VERIFIER));
        Serializer::new(String::new())
            .append_pair("response_type", "code")
            .append_pair("client_id", client_id)
            .append_pair("redirect_uri", REDIRECT)
            .append_pair("state", "the client's state")
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256")
            .finish()
    }

    pub(crate) async fn consent_page(
        &self,
        name: InstanceName,
        browser: &mut Browser,
        query: &str,
    ) -> Answer {
        let path = format!("{}/oauth/authorize?{query}", name.prefix());
        let request = http::Request::get(path)
            .header(header::HOST, "127.0.0.1:8000")
            .header(header::COOKIE, browser.header());
        let answer = self.send(request.body(String::new()).unwrap()).await;
        browser.take(&answer);
        answer
    }

    pub(crate) async fn consent(
        &self,
        name: InstanceName,
        browser: &mut Browser,
        page: &Answer,
        scopes: &[&str],
        origin: &str,
    ) -> Answer {
        let mut form = Serializer::new(String::new());
        form.append_pair("query", &page.field("query"));
        form.append_pair("csrf", &page.field("csrf"));
        for scope in scopes {
            form.append_pair("scope", scope);
        }
        let request = http::Request::post(format!("{}/oauth/authorize", name.prefix()))
            .header(header::HOST, "127.0.0.1:8000")
            .header(header::ORIGIN, origin)
            .header(header::COOKIE, browser.header())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.finish());
        let answer = self.send(request.unwrap()).await;
        browser.take(&answer);
        answer
    }

    /// From the app's link to Internet Identity's page.
    pub(crate) async fn leave(
        &self,
        name: InstanceName,
        browser: &mut Browser,
        client_id: &str,
        scopes: &[&str],
    ) -> AtIdentity {
        let page = self
            .consent_page(name, browser, &Self::query(client_id))
            .await;
        // A client that this browser approved before goes straight on.
        let left = match page.status {
            StatusCode::SEE_OTHER => page,
            _ => self.consent(name, browser, &page, scopes, ORIGIN).await,
        };
        assert_eq!(left.status, StatusCode::SEE_OTHER, "{left:?}");
        let link = left.location();
        let fragment = link.fragment().unwrap();
        let state = url::form_urlencoded::parse(fragment.as_bytes())
            .find(|(name, _)| name == "state")
            .unwrap()
            .1
            .into_owned();
        AtIdentity { state, link }
    }

    pub(crate) async fn redeem(
        &self,
        name: InstanceName,
        browser: &Browser,
        state: &str,
        chain: &str,
    ) -> Answer {
        let request = http::Request::post(format!("{}/oauth/connect/redeem", name.prefix()))
            .header(header::ORIGIN, ORIGIN)
            .header(header::COOKIE, browser.header())
            .header(header::CONTENT_TYPE, "application/json")
            .body(json!({"state": state, "delegation": chain}).to_string());
        self.send(request.unwrap()).await
    }

    /// A code, through every step that leads to one.
    pub(crate) async fn code(
        &self,
        name: InstanceName,
        client_id: &str,
        scopes: &[&str],
    ) -> String {
        let mut browser = Browser::default();
        let away = self.leave(name, &mut browser, client_id, scopes).await;
        let answer = self.redeem(name, &browser, &away.state, "good").await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        browser.take(&answer);
        let redirect: Url = answer.json()["redirect"].as_str().unwrap().parse().unwrap();
        if !redirect.path().ends_with("/others") {
            return parameter(&redirect, "code");
        }
        let page = self.visit(&browser, &redirect).await;
        let answer = self.say(name, &mut browser, &page, &[]).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        parameter(&answer.link(), "code")
    }

    /// A page of the server as this browser gets it.
    pub(crate) async fn visit(&self, browser: &Browser, url: &Url) -> Answer {
        let request = http::Request::get(url.as_str())
            .header(header::HOST, "127.0.0.1:8000")
            .header(header::ACCEPT, "text/html")
            .header(header::COOKIE, browser.header());
        self.send(request.body(String::new()).unwrap()).await
    }

    /// Answers the question about the other connections: those named go on.
    pub(crate) async fn say(
        &self,
        name: InstanceName,
        browser: &mut Browser,
        page: &Answer,
        go_on: &[&str],
    ) -> Answer {
        let mut form = Serializer::new(String::new());
        form.append_pair("sign_in", &page.field("sign_in"));
        form.append_pair("csrf", &page.field("csrf"));
        for connection in go_on {
            form.append_pair("go_on", connection);
        }
        let path = format!("{}/oauth/connect/others", name.prefix());
        let answer = self.post_as(browser, &path, &form.finish(), ORIGIN).await;
        browser.take(&answer);
        answer
    }

    /// Posts a form with this browser's cookies.
    pub(crate) async fn post_as(
        &self,
        browser: &Browser,
        path: &str,
        form: &str,
        origin: &str,
    ) -> Answer {
        let request = http::Request::post(path)
            .header(header::HOST, "127.0.0.1:8000")
            .header(header::ORIGIN, origin)
            .header(header::COOKIE, browser.header())
            .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(form.to_owned());
        self.send(request.unwrap()).await
    }

    pub(crate) async fn exchange(&self, name: InstanceName, client_id: &str, code: &str) -> Answer {
        let path = format!("{}/oauth/token", name.prefix());
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", client_id),
            ("redirect_uri", REDIRECT),
            ("code", code),
            ("code_verifier", VERIFIER),
        ];
        self.post_form(&path, &fields).await
    }

    pub(crate) async fn refresh(&self, name: InstanceName, client_id: &str, token: &str) -> Answer {
        let path = format!("{}/oauth/token", name.prefix());
        let fields = [
            ("grant_type", "refresh_token"),
            ("client_id", client_id),
            ("refresh_token", token),
        ];
        self.post_form(&path, &fields).await
    }

    /// A client that is a device, and what it was given.
    pub(crate) async fn device_codes(&self) -> (String, Value) {
        let metadata =
            json!({ "grant_types": [DEVICE, "refresh_token"], "client_name": "a device" });
        let request = http::Request::post("/oauth/register")
            .header(header::CONTENT_TYPE, "application/json")
            .body(metadata.to_string());
        let answer = self.send(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
        let client_id = answer.json()["client_id"].as_str().unwrap().to_owned();
        let fields = [("client_id", client_id.as_str())];
        let codes = self.post_form("/oauth/device_authorization", &fields).await;
        assert_eq!(codes.status, StatusCode::OK, "{codes:?}");
        (client_id, codes.json())
    }

    /// The person enters the user code, confirms it and consents at Internet Identity.
    pub(crate) async fn let_device_in(&self, codes: &Value, scopes: &[&str]) {
        let mut browser = Browser::default();
        let address: Url = codes["verification_uri"].as_str().unwrap().parse().unwrap();
        let mut page = self.visit(&browser, &address).await;
        browser.take(&page);
        for step in [None, Some("allow")] {
            let mut form = Serializer::new(String::new());
            form.append_pair("csrf", &page.field("csrf"));
            form.append_pair("user_code", codes["user_code"].as_str().unwrap());
            if let Some(step) = step {
                form.append_pair("step", step);
                form.extend_pairs(scopes.iter().map(|scope| ("scope", scope)));
            }
            page = self
                .post_as(&browser, "/oauth/device", &form.finish(), ORIGIN)
                .await;
            browser.take(&page);
        }
        let link = page.location();
        let fragment = link.fragment().unwrap().as_bytes();
        let state = url::form_urlencoded::parse(fragment)
            .find(|(name, _)| name == "state")
            .unwrap()
            .1;
        let answer = self
            .redeem(InstanceName::Beta, &browser, &state, "good")
            .await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    }

    /// The device asks whether it is let in.
    pub(crate) async fn poll(&self, client_id: &str, device_code: &str) -> Answer {
        let fields = [
            ("grant_type", DEVICE),
            ("client_id", client_id),
            ("device_code", device_code),
        ];
        self.post_form("/oauth/token", &fields).await
    }

    /// A signed-in client: its id and its first token answer.
    pub(crate) async fn connected(&self, name: InstanceName) -> (String, Value) {
        let client_id = self.register().await;
        let code = self.code(name, &client_id, &["ic:read", "ic:write"]).await;
        let answer = self.exchange(name, &client_id, &code).await;
        assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
        (client_id, answer.json())
    }

    pub(crate) async fn present(
        &self,
        name: InstanceName,
        token: &Value,
    ) -> Result<Authorized, Answer> {
        let value = format!("bearer {}", token.as_str().unwrap());
        let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value.parse().unwrap())]);
        let nowhere = http::Extensions::new();
        match self.oauth.authenticate(name, &headers, &nowhere).await {
            Ok(authorized) => Ok(authorized),
            Err(response) => Err(Answer::of(response).await),
        }
    }
}

pub(crate) fn parameter(url: &Url, name: &str) -> String {
    url.query_pairs()
        .find(|(key, _)| key == name)
        .unwrap_or_else(|| panic!("{name}: {url}"))
        .1
        .into_owned()
}

/// Waits until a condition holds that other tasks bring about.
pub(crate) async fn eventually(what: &str, condition: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if condition() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("never: {what}");
}
